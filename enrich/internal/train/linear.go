// Package train fits the model: hashed linear heads by dual coordinate descent with naive-Bayes weighting, their calibration on held-out
// folds, and the artefact. Everything is seeded, and nothing depends on the order in which goroutines finish: the same data, code book and
// seed give the same bytes.
package train

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

// matrix holds the documents' features in rows (compressed sparse rows): bucket and value, all views already scaled.
type matrix struct {
	bits  int
	start []int
	index []uint32
	value []float32
}

func (m *matrix) rows() int { return len(m.start) - 1 }

func (m *matrix) row(i int) ([]uint32, []float32) {
	return m.index[m.start[i]:m.start[i+1]], m.value[m.start[i]:m.start[i+1]]
}

// newMatrix analyses the texts into a space of 2^bits buckets; words and concepts are how much these views count beside that by characters.
func newMatrix(a *text.Analyzer, texts []string, bits int, words, concepts float64) *matrix {
	m := &matrix{bits: bits, start: []int{0}}
	type feature struct {
		bucket uint32
		value  float32
	}
	var row []feature
	var grams []uint32
	doc := &text.Doc{}
	for _, s := range texts {
		a.Analyze(doc, s)
		row, grams = row[:0], grams[:0]
		for _, t := range doc.Tokens {
			grams = doc.Grams(t, grams)
		}
		wordScale, conceptScale, charScale := float32(words*model.ViewScale(len(doc.Words))), float32(concepts*model.ViewScale(len(doc.Concepts))), float32(model.ViewScale(len(grams)))
		if words != 0 {
			for _, h := range doc.Words {
				row = append(row, feature{h >> (32 - bits), wordScale})
			}
		}
		if concepts != 0 {
			for _, h := range doc.Concepts {
				row = append(row, feature{h >> (32 - bits), conceptScale})
			}
		}
		for _, h := range grams {
			row = append(row, feature{h >> (32 - bits), charScale})
		}
		slices.SortStableFunc(row, func(x, y feature) int { return int(x.bucket) - int(y.bucket) })
		for i, f := range row {
			if i > 0 && f.bucket == row[i-1].bucket {
				m.value[len(m.value)-1] += f.value
				continue
			}
			m.index = append(m.index, f.bucket)
			m.value = append(m.value, f.value)
		}
		m.start = append(m.start, len(m.index))
	}
	return m
}

// options of one binary problem.
type options struct {
	c      float64
	epochs int
	seed   uint64
	// bayes scales features by the log-count ratio of naive Bayes; where texts are few it would believe accidents.
	bayes bool
}

// tolerance is the violation of the optimality conditions at which fitting stops.
const tolerance = 0.1

// fit learns one column: y is +1, -1 or 0 (not used); weight is each document's share of the loss. It returns weights and bias.
//
// The loss is the squared hinge of a linear SVM with L2 regularisation, solved in the dual (Hsieh et al. 2008); features are scaled by the
// log-count ratio of naive Bayes (Wang and Manning 2012) where wanted, folded into the weights at the end.
func fit(m *matrix, y []int8, weight []float64, o options) ([]float32, float32) {
	size := 1 << m.bits
	values, ratio := m.value, []float32(nil)
	if o.bayes {
		ratio = logRatios(m, y, weight, size)
		values = make([]float32, len(m.value))
		for j, f := range m.index {
			values[j] = m.value[j] * ratio[f]
		}
	}
	var used []int
	for i, v := range y {
		if v != 0 && weight[i] > 0 {
			used = append(used, i)
		}
	}
	norm := make([]float64, m.rows())
	for _, i := range used {
		sum := 1.0
		for j := m.start[i]; j < m.start[i+1]; j++ {
			sum += float64(values[j]) * float64(values[j])
		}
		norm[i] = sum
	}
	w := make([]float64, size)
	bias := 0.0
	alpha := make([]float64, m.rows())
	random := rand.New(rand.NewPCG(o.seed, 7))
	for range o.epochs {
		random.Shuffle(len(used), func(a, b int) { used[a], used[b] = used[b], used[a] })
		worst := 0.0
		for _, i := range used {
			label := float64(y[i])
			index, value := m.index[m.start[i]:m.start[i+1]], values[m.start[i]:m.start[i+1]]
			score := bias
			for j, f := range index {
				score += w[f] * float64(value[j])
			}
			diagonal := 0.5 / (o.c * weight[i])
			gradient := label*score - 1 + alpha[i]*diagonal
			if alpha[i] == 0 && gradient >= 0 {
				continue
			}
			worst = max(worst, math.Abs(gradient))
			updated := max(alpha[i]-gradient/(norm[i]+diagonal), 0)
			step := (updated - alpha[i]) * label
			alpha[i] = updated
			if step == 0 {
				continue
			}
			bias += step
			for j, f := range index {
				w[f] += step * float64(value[j])
			}
		}
		if worst < tolerance {
			break
		}
	}
	out := make([]float32, size)
	for f := range w {
		out[f] = float32(w[f])
		if o.bayes {
			out[f] *= ratio[f]
		}
	}
	return out, float32(bias)
}

// blend fits with and without the scaling of naive Bayes and averages the two, share being that of naive Bayes: it knows the rare words of
// other streams, the plain fit knows the domain. The blend is linear again and costs nothing when scoring.
func blend(m *matrix, y []int8, weight []float64, share float64, o options) ([]float32, float32) {
	var w []float32
	var b float32
	add := func(part float64, bayes bool) {
		if part == 0 {
			return
		}
		o.bayes = bayes
		pw, pb := fit(m, y, weight, o)
		if w == nil {
			w = make([]float32, len(pw))
		}
		for f := range w {
			w[f] += float32(part * float64(pw[f]))
		}
		b += float32(part * float64(pb))
	}
	add(share, true)
	add(1-share, false)
	return w, b
}

// logRatios is log of p(feature | +) over p(feature | -), smoothed by one.
func logRatios(m *matrix, y []int8, weight []float64, size int) []float32 {
	p, q := make([]float64, size), make([]float64, size)
	for i, v := range y {
		if v == 0 {
			continue
		}
		into := p
		if v < 0 {
			into = q
		}
		index, _ := m.row(i)
		for _, f := range index {
			into[f] += weight[i]
		}
	}
	sumP, sumQ := 0.0, 0.0
	for f := range p {
		if p[f]+q[f] > 0 {
			sumP += p[f] + 1
			sumQ += q[f] + 1
		}
	}
	ratio := make([]float32, size)
	for f := range p {
		if p[f]+q[f] > 0 {
			ratio[f] = float32(math.Log((p[f] + 1) / sumP * sumQ / (q[f] + 1)))
		}
	}
	return ratio
}

// score of one row under a column.
func (m *matrix) score(i int, w []float32, bias float32) float64 {
	index, value := m.row(i)
	s := float64(bias)
	for j, f := range index {
		s += float64(w[f]) * float64(value[j])
	}
	return s
}
