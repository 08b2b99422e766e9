package train

import (
	"math"
	"sort"

	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/model"
)

// calibrate fits the head's slopes, offsets and thresholds on scores of texts that the scoring columns had not seen.
func calibrate(head *model.Head, spec headSpec, examples []*corpus.Example, scores [][]float64) {
	n := len(spec.labels)
	head.Slope, head.Offset, head.Threshold = make([]float64, n), make([]float64, n), make([]float64, n)
	for c := range n {
		head.Slope[c], head.Threshold[c] = 1, spec.threshold
	}
	var rows []int
	for i, e := range examples {
		if spec.calibrate == nil || spec.calibrate(e) {
			rows = append(rows, i)
		}
	}
	if spec.kind == model.Softmax {
		calibrateSoftmax(head, spec, examples, rows, scores)
		return
	}
	for c := range n {
		calibrateSigmoid(head, c, spec, examples, rows, scores[c])
	}
}

// calibrateSoftmax fits one slope and one offset a label by gradient descent on the log loss (vector scaling).
func calibrateSoftmax(head *model.Head, spec headSpec, examples []*corpus.Example, rows []int, scores [][]float64) {
	n := len(spec.labels)
	type row struct {
		gold   int
		weight float64
		scores []float64
	}
	var data []row
	total := 0.0
	for _, i := range rows {
		for c := range n {
			if spec.columns[c].y(examples[i]) == 1 {
				s := make([]float64, n)
				for k := range n {
					s[k] = scores[k][i]
				}
				w := examples[i].Weight * spec.columns[c].weight(examples[i])
				data = append(data, row{c, w, s})
				total += w
				break
			}
		}
	}
	if total == 0 {
		return
	}
	const rounds, rate, decay1, decay2 = 400, 0.05, 0.9, 0.999
	p := make([]float64, n)
	gradient, first, second := make([]float64, 2*n), make([]float64, 2*n), make([]float64, 2*n)
	for t := 1; t <= rounds; t++ {
		clear(gradient)
		for _, d := range data {
			head.Calibrate(d.scores, p)
			for c := range n {
				g := p[c]
				if c == d.gold {
					g--
				}
				g *= d.weight / total
				gradient[c] += g * d.scores[c]
				gradient[n+c] += g
			}
		}
		for k := range gradient {
			first[k] = decay1*first[k] + (1-decay1)*gradient[k]
			second[k] = decay2*second[k] + (1-decay2)*gradient[k]*gradient[k]
			step := rate * (first[k] / (1 - math.Pow(decay1, float64(t)))) / (math.Sqrt(second[k]/(1-math.Pow(decay2, float64(t)))) + 1e-8)
			if k < n {
				head.Slope[k] -= step
			} else {
				head.Offset[k-n] -= step
			}
		}
	}
}

// calibrateSigmoid is Platt's scaling with his smoothed targets, by Newton's method, then the choice of the threshold.
func calibrateSigmoid(head *model.Head, c int, spec headSpec, examples []*corpus.Example, rows []int, scores []float64) {
	type point struct {
		score, target, weight float64
		yes                   bool
	}
	var points []point
	positive, negative := 0.0, 0.0
	for _, i := range rows {
		y := spec.columns[c].y(examples[i])
		if y == 0 {
			continue
		}
		w := examples[i].Weight
		points = append(points, point{score: scores[i], weight: w, yes: y > 0})
		if y > 0 {
			positive += w
		} else {
			negative += w
		}
	}
	if positive == 0 || negative == 0 {
		head.Offset[c] = -4
		return
	}
	for i := range points {
		points[i].target = 1 / (negative + 2)
		if points[i].yes {
			points[i].target = (positive + 1) / (positive + 2)
		}
	}
	a, b := 1.0, 0.0
	for range 50 {
		var ga, gb, haa, hab, hbb float64
		for _, x := range points {
			p := 1 / (1 + math.Exp(-(a*x.score + b)))
			g, h := x.weight*(p-x.target), x.weight*max(p*(1-p), 1e-9)
			ga += g * x.score
			gb += g
			haa += h * x.score * x.score
			hab += h * x.score
			hbb += h
		}
		haa += 1e-6
		hbb += 1e-6
		determinant := haa*hbb - hab*hab
		da, db := (hbb*ga-hab*gb)/determinant, (haa*gb-hab*ga)/determinant
		// A Newton step too far would leave the region where the log loss is curved: it is cut.
		scale := 1 / max(1, math.Abs(da)/2, math.Abs(db)/2)
		a -= scale * da
		b -= scale * db
		if math.Abs(da)+math.Abs(db) < 1e-9 {
			break
		}
	}
	head.Slope[c], head.Offset[c] = a, b
	if spec.precision == nil {
		return
	}
	// The threshold is the lowest probability from which on the wanted precision holds on unseen families.
	sort.SliceStable(points, func(i, j int) bool { return points[i].score > points[j].score })
	const lowest, highest = 0.3, 0.9
	threshold, hit, all := highest, 0.0, 0.0
	for _, x := range points {
		all += x.weight
		if x.yes {
			hit += x.weight
		}
		p := 1 / (1 + math.Exp(-(a*x.score + b)))
		if p < lowest {
			break
		}
		if hit/all >= spec.precision(spec.labels[c]) {
			threshold = min(p, highest)
		}
	}
	head.Threshold[c] = threshold
}
