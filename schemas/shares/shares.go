// Package shares corrects the shares of predicted labels for what the classifier is known to get wrong on a stream. The views metric_sentiment and metric_risk do the same
// in SQL; the oracle of their tests and enrich's measurements do it here.
package shares

import (
	"maps"
	"math"
	"slices"
)

// Cell is a cell of a confusion matrix: how many labels are in it, the sum of their weights, and of the squares of these.
type Cell struct {
	Labels           int
	Weight, WeightSq float64
}

func (c Cell) plus(o Cell) Cell {
	return Cell{c.Labels + o.Labels, c.Weight + o.Weight, c.WeightSq + o.WeightSq}
}

// Confusion is what people's labels of a stream say of one model version's answers under one head.
type Confusion struct {
	Institution, Head, ModelVersion string
	// Cells are by gold and predicted label.
	Cells map[[2]string]Cell
}

// Add adds a label of weight w.
func (c *Confusion) Add(gold, predicted string, w float64) {
	if c.Cells == nil {
		c.Cells = map[[2]string]Cell{}
	}
	c.Cells[[2]string{gold, predicted}] = c.Cells[[2]string{gold, predicted}].plus(Cell{1, w, w * w})
}

// Among returns the matrix of these labels. What is predicted beside them counts as labelled, and in no cell.
func (c *Confusion) Among(labels ...string) *Matrix {
	return c.matrix(len(labels), func(label string) int { return slices.Index(labels, label) })
}

// Against returns the matrix of one label, the first, and of all others together.
func (c *Confusion) Against(label string) *Matrix {
	return c.matrix(2, func(l string) int {
		if l == label {
			return 0
		}
		return 1
	})
}

func (c *Confusion) matrix(classes int, classOf func(label string) int) *Matrix {
	m := &Matrix{labels: make([]int, classes), cells: make([][]Cell, classes)}
	for g := range m.cells {
		m.cells[g] = make([]Cell, classes)
	}
	// In a fixed order, so that sums repeat to the last digit.
	for _, of := range slices.SortedFunc(maps.Keys(c.Cells), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		g, k, cell := classOf(of[0]), classOf(of[1]), c.Cells[of]
		if g < 0 {
			continue
		}
		m.labels[g] += cell.Labels
		if k >= 0 {
			m.cells[g][k] = m.cells[g][k].plus(cell)
		}
	}
	return m
}

// Matrix is a confusion matrix of two or three classes.
type Matrix struct {
	labels []int
	// cells has a row for each gold class, a column for each predicted one.
	cells [][]Cell
}

const (
	// FewestLabels is how many labels of a stream and model version it takes to correct shares with, and FewestOfClass how many of each class.
	FewestLabels  = 200
	FewestOfClass = 5
	// leastDeterminant is that of a classifier whose answers hardly depend on the truth: nothing can be corrected with it.
	leastDeterminant = 0.05
	// replicates of the bootstrap.
	replicates = 200
)

// Usable tells whether shares can be corrected with m.
func (m *Matrix) Usable() bool {
	n := 0
	for _, l := range m.labels {
		if l < FewestOfClass {
			return false
		}
		n += l
	}
	if n < FewestLabels {
		return false
	}
	_, d := solve(m.rates(0), make([]float64, len(m.labels)))
	return d >= leastDeterminant
}

// Counted is the counts of predicted classes of one model version, with its matrix, which is usable.
type Counted struct {
	Counts []float64
	Matrix *Matrix
}

// Adjusted is corrected shares.
type Adjusted struct {
	// Shares are by class.
	Shares []float64
	draws  [][]float64
}

// Interval is the 95 % one of a figure of the shares, of the correction that is not shrunk, widened to hold the figure itself.
func (a *Adjusted) Interval(figure func(shares []float64) float64) (lo, hi float64) {
	values := make([]float64, len(a.draws))
	for b, d := range a.draws {
		values[b] = figure(d)
	}
	slices.Sort(values)
	own := figure(a.Shares)
	return min(own, quantile(values, 0.025)), max(own, quantile(values, 0.975))
}

// Adjust corrects the shares of labels: adjusted classify and count (Forman 2008) for each version, clipped to the simplex, then added. What the correction moves is shrunk
// towards nothing as far as its own noise could have moved it (the positive part of James and Stein 1961), so that labels that are few do no harm where counting was
// right.
func Adjust(parts []Counted) *Adjusted {
	classes, n := len(parts[0].Counts), 0.0
	for _, p := range parts {
		n += sum(p.Counts)
	}
	raw, moved := make([][]float64, replicates+1), make([][]float64, replicates+1)
	for b := range raw {
		raw[b], moved[b] = make([]float64, classes), make([]float64, classes)
		for _, p := range parts {
			counted, corrected := p.Matrix.correct(p.Counts, b)
			for k := range classes {
				raw[b][k] += counted[k] / n
				moved[b][k] += (corrected[k] - counted[k]) / n
			}
		}
	}
	noise, length := 0.0, 0.0
	for k := range classes {
		length += moved[0][k] * moved[0][k]
		for b := 1; b <= replicates; b++ {
			noise += (moved[b][k] - moved[0][k]) * (moved[b][k] - moved[0][k]) / replicates
		}
	}
	keep := 0.0
	if length > 0 {
		keep = max(0, 1-noise/length)
	}
	out := &Adjusted{}
	for b := range raw {
		part := 1.0
		if b == 0 {
			part = keep
		}
		share := make([]float64, classes)
		for k := range share {
			share[k] = raw[b][k] + part*moved[b][k]
		}
		out.draws = append(out.draws, share)
	}
	out.Shares, out.draws = out.draws[0], out.draws[1:]
	return out
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}

// quantile interpolates linearly between ordered values, as quantilesExactInclusive does.
func quantile(ordered []float64, p float64) float64 {
	below, part := math.Modf(p * float64(len(ordered)-1))
	at := int(below)
	return ordered[at] + part*(ordered[min(at+1, len(ordered)-1)]-ordered[at])
}

// correct returns counts of predicted classes as they are and corrected, both of the same sum. Replicate 0 is the figure itself, the others are draws of a bootstrap: counts
// and cells as Poisson weights would sum up, by their first two moments; an empty one varies as if one message were in it: that none was seen is not that there is none.
func (m *Matrix) correct(counts []float64, replicate int) (counted, corrected []float64) {
	n, q := sum(counts), make([]float64, len(counts))
	for k, x := range counts {
		q[k] = max(0, x+math.Sqrt(max(1, x))*deviate(replicate, k))
	}
	total := sum(q)
	for k := range q {
		if total == 0 {
			q[k] = counts[k] / n
		} else {
			q[k] /= total
		}
	}
	share, d := solve(m.rates(replicate), q)
	// A determinant that is no number is that of a class without any weight.
	if !(d >= leastDeterminant) {
		share = slices.Clone(q)
	}
	for k := range share {
		share[k] = max(0, share[k])
	}
	total = sum(share)
	counted, corrected = q, share
	for k := range share {
		counted[k] *= n
		corrected[k] *= n / total
	}
	return counted, corrected
}

// rates are the probabilities of each predicted class given each gold one.
func (m *Matrix) rates(replicate int) [][]float64 {
	classes := len(m.labels)
	out := make([][]float64, classes)
	for g := range out {
		out[g] = make([]float64, classes)
		own, squares := 0.0, 0.0
		for _, cell := range m.cells[g] {
			squares += cell.WeightSq
		}
		for k, cell := range m.cells[g] {
			variance := max(cell.WeightSq, squares/float64(m.labels[g]))
			out[g][k] = max(0, cell.Weight+math.Sqrt(variance)*deviate(replicate, classes+classes*g+k))
			own += cell.Weight
		}
		total := sum(out[g])
		for k := range out[g] {
			if total == 0 {
				out[g][k] = m.cells[g][k].Weight / own
			} else {
				out[g][k] /= total
			}
		}
	}
	return out
}

// solve returns x with sum over g of x[g] m[g][k] = q[k], and the determinant of m, which is 2 x 2 or 3 x 3.
func solve(m [][]float64, q []float64) (x []float64, determinant float64) {
	cofactor := func(g, k int) float64 {
		if len(m) == 2 {
			return m[1-g][1-k] * float64(1-2*((g+k)%2))
		}
		a, b, c, d := (g+1)%3, (g+2)%3, (k+1)%3, (k+2)%3
		return m[a][c]*m[b][d] - m[a][d]*m[b][c]
	}
	for k := range m {
		determinant += m[0][k] * cofactor(0, k)
	}
	x = make([]float64, len(m))
	for g := range x {
		for k := range q {
			x[g] += q[k] * cofactor(g, k) / determinant
		}
	}
	return x, determinant
}

// deviate is a standard normal deviate, the same wherever it is asked for: the sum of twelve uniform ones, less six. Replicate 0 has none.
func deviate(replicate, place int) float64 {
	if replicate == 0 {
		return 0
	}
	sum := uint64(0)
	for i := range 3 {
		h := intHash64(uint64(replicate*64 + place*4 + i))
		for shift := 0; shift < 64; shift += 16 {
			sum += h >> shift & 0xffff
		}
	}
	return (float64(sum)+6)/65536 - 6
}

// intHash64 is ClickHouse's function of that name.
func intHash64(x uint64) uint64 {
	x ^= 0x4CF2D2BAAE6DA887
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}
