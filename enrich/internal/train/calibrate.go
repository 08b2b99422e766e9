package train

import (
	"math"
	"slices"
	"sort"

	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/model"
)

// calibrate fits the head's slopes, offsets and thresholds on scores of texts that the scoring columns had not seen. It returns the log loss of a
// softmax head on them, before doubt leans anywhere; 0 for other heads.
func calibrate(head *model.Head, spec headSpec, examples []*corpus.Example, scores [][]float64) float64 {
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
		return calibrateSoftmax(head, spec, examples, rows, scores)
	}
	for c := range n {
		calibrateSigmoid(head, c, spec, examples, rows, scores[c])
	}
	return 0
}

// scored is one text with the scores that columns gave it which had not seen it.
type scored struct {
	gold   int
	weight float64
	scores []float64
}

// calibrateSoftmax fits one slope for all labels and an offset for each, by gradient descent on the log loss. One slope, because slopes of their
// own let a label win on streams that are unlike the training's.
func calibrateSoftmax(head *model.Head, spec headSpec, examples []*corpus.Example, rows []int, scores [][]float64) float64 {
	n := len(spec.labels)
	var data []scored
	total := 0.0
	for _, i := range rows {
		for c := range n {
			if spec.columns[c].y(examples[i]) == 1 {
				s := make([]float64, n)
				for k := range n {
					s[k] = scores[k][i]
				}
				w := examples[i].Weight * spec.columns[c].weight(examples[i])
				if spec.calibration != nil {
					w *= spec.calibration(examples[i])
				}
				data = append(data, scored{c, w, s})
				total += w
				break
			}
		}
	}
	if total == 0 {
		return 0
	}
	const rounds, rate, decay1, decay2 = 400, 0.05, 0.9, 0.999
	p := make([]float64, n)
	// The slope is the first parameter, the offsets follow.
	gradient, first, second := make([]float64, n+1), make([]float64, n+1), make([]float64, n+1)
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
				gradient[0] += g * d.scores[c]
				gradient[c+1] += g
			}
		}
		for k := range gradient {
			first[k] = decay1*first[k] + (1-decay1)*gradient[k]
			second[k] = decay2*second[k] + (1-decay2)*gradient[k]*gradient[k]
			step := rate * (first[k] / (1 - math.Pow(decay1, float64(t)))) / (math.Sqrt(second[k]/(1-math.Pow(decay2, float64(t)))) + 1e-8)
			if k > 0 {
				head.Offset[k-1] -= step
				continue
			}
			for c := range n {
				head.Slope[c] -= step
			}
		}
	}
	loss := 0.0
	for _, d := range data {
		head.Calibrate(d.scores, p)
		loss -= d.weight / total * math.Log(max(p[d.gold], 1e-12))
	}
	if at := slices.Index(spec.labels, spec.fallback); at >= 0 {
		leanOn(head, at, data)
	}
	return loss
}

// leanOn raises the offset of the fallback label as far as macro-F1 on unseen texts does not suffer: among answers that are as good on what is
// known, the cautious one errs less on streams where that label is most of what there is.
func leanOn(head *model.Head, at int, data []scored) {
	const step, steps, free = 0.1, 15, 0.002
	start := head.Offset[at]
	best, values := 0.0, make([]float64, steps+1)
	for i := range values {
		head.Offset[at] = start + step*float64(i)
		values[i] = weightedMacroF1(head, data)
		best = max(best, values[i])
	}
	for i, v := range values {
		if v >= best-free {
			head.Offset[at] = start + step*float64(i)
		}
	}
}

func weightedMacroF1(head *model.Head, data []scored) float64 {
	n := len(head.Labels)
	p, hit, gold, predicted := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for _, d := range data {
		head.Calibrate(d.scores, p)
		top := 0
		for c := range p {
			if p[c] > p[top] {
				top = c
			}
		}
		gold[d.gold] += d.weight
		predicted[top] += d.weight
		if top == d.gold {
			hit[top] += d.weight
		}
	}
	total := 0.0
	for c := range n {
		if gold[c]+predicted[c] > 0 {
			total += 2 * hit[c] / (gold[c] + predicted[c])
		}
	}
	return total / float64(n)
}

// calibrateSigmoid is Platt's scaling of one label, then the choice of its threshold.
func calibrateSigmoid(head *model.Head, c int, spec headSpec, examples []*corpus.Example, rows []int, scores []float64) {
	var points []point
	for _, i := range rows {
		y := spec.columns[c].y(examples[i])
		if y == 0 {
			continue
		}
		points = append(points, point{score: scores[i], weight: examples[i].Weight, yes: y > 0})
	}
	a, b, ok := platt(points)
	if !ok {
		head.Offset[c] = -4
		return
	}
	head.Slope[c], head.Offset[c] = a, b
	if spec.precision == nil {
		return
	}
	head.Threshold[c] = thresholdFor(points, a, b, spec.precision(spec.labels[c]))
}

// point is the score of one text that a label is right of, or not.
type point struct {
	score, target, weight float64
	yes                   bool
}

// platt fits slope and offset of a sigmoid to points: Platt's scaling with his smoothed targets, by Newton's method; ok is false where all of them are alike.
func platt(points []point) (a, b float64, ok bool) {
	positive, negative := 0.0, 0.0
	for _, x := range points {
		if x.yes {
			positive += x.weight
		} else {
			negative += x.weight
		}
	}
	if positive == 0 || negative == 0 {
		return 1, 0, false
	}
	for i := range points {
		points[i].target = 1 / (negative + 2)
		if points[i].yes {
			points[i].target = (positive + 1) / (positive + 2)
		}
	}
	a, b = 1.0, 0.0
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
	return a, b, true
}

// thresholdFor is the lowest probability from which on the wanted precision holds on unseen families.
func thresholdFor(points []point, a, b, precision float64) float64 {
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
		if hit/all >= precision {
			threshold = min(p, highest)
		}
	}
	return threshold
}
