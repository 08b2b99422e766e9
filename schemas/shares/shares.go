// Package shares corrects the shares of predicted labels for what the classifier is known to get wrong on a stream. The view metric_sentiment does the same in SQL; the
// oracle of its test and enrich's measurements do it here.
package shares

import (
	"math"
	"slices"
)

// Cell is a cell of a confusion matrix: the sum of the weights of the labels in it, and of their squares.
type Cell struct{ Weight, WeightSq float64 }

// Confusion is what people's labels of a stream say of one model version's sentiment. Gold and predicted are in the order negative, neutral, positive.
type Confusion struct {
	Institution, ModelVersion string
	// Labels is how many labels of each class there are.
	Labels [3]int
	// Cells has a row for each gold label, a column for each predicted one.
	Cells [3][3]Cell
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

// Usable tells whether shares can be corrected with c.
func (c *Confusion) Usable() bool {
	n := 0
	for _, l := range c.Labels {
		if l < FewestOfClass {
			return false
		}
		n += l
	}
	if n < FewestLabels {
		return false
	}
	_, d := solve(c.rates(0), [3]float64{})
	return d >= leastDeterminant
}

// Counted is the counts of predicted labels (negative, neutral, positive) of one model version, with its confusion, which is usable.
type Counted struct {
	Counts    [3]float64
	Confusion *Confusion
}

// Adjust corrects the shares of labels: adjusted classify and count (Forman 2008) for each version, clipped to the simplex, then added. What the correction moves is shrunk
// towards nothing as far as its own noise could have moved it (the positive part of James and Stein 1961), so that labels that are few do no harm where counting was
// right. The interval of positive - negative is the 95 % one of the correction that is not shrunk, widened to hold the figure.
func Adjust(parts []Counted) (share [3]float64, netLo, netHi float64) {
	n := 0.0
	for _, p := range parts {
		n += p.Counts[0] + p.Counts[1] + p.Counts[2]
	}
	var raw, moved [replicates + 1][3]float64
	for b := range raw {
		for _, p := range parts {
			counted, corrected := p.Confusion.correct(p.Counts, b)
			for k := range 3 {
				raw[b][k] += counted[k] / n
				moved[b][k] += (corrected[k] - counted[k]) / n
			}
		}
	}
	noise, length := 0.0, 0.0
	for k := range 3 {
		length += moved[0][k] * moved[0][k]
		for b := 1; b <= replicates; b++ {
			noise += (moved[b][k] - moved[0][k]) * (moved[b][k] - moved[0][k]) / replicates
		}
	}
	keep := 0.0
	if length > 0 {
		keep = max(0, 1-noise/length)
	}
	for k := range 3 {
		share[k] = raw[0][k] + keep*moved[0][k]
	}
	nets := make([]float64, 0, replicates)
	for b := 1; b <= replicates; b++ {
		nets = append(nets, raw[b][2]+moved[b][2]-raw[b][0]-moved[b][0])
	}
	slices.Sort(nets)
	net := share[2] - share[0]
	return share, min(net, quantile(nets, 0.025)), max(net, quantile(nets, 0.975))
}

// quantile interpolates linearly between ordered values, as quantilesExactInclusive does.
func quantile(ordered []float64, p float64) float64 {
	below, part := math.Modf(p * float64(len(ordered)-1))
	at := int(below)
	return ordered[at] + part*(ordered[min(at+1, len(ordered)-1)]-ordered[at])
}

// correct returns counts of predicted labels as they are and corrected, both of the same sum. Replicate 0 is the figure itself, the others are draws of a bootstrap: counts
// and cells as Poisson weights would sum up, by their first two moments.
func (c *Confusion) correct(counts [3]float64, replicate int) (counted, corrected [3]float64) {
	n := counts[0] + counts[1] + counts[2]
	var q [3]float64
	total := 0.0
	for k, x := range counts {
		q[k] = max(0, x+math.Sqrt(x)*deviate(replicate, k))
		total += q[k]
	}
	for k := range q {
		if total == 0 {
			q[k] = counts[k] / n
		} else {
			q[k] /= total
		}
	}
	share, d := solve(c.rates(replicate), q)
	if d < leastDeterminant {
		share = q
	}
	total = 0
	for k := range share {
		share[k] = max(0, share[k])
		total += share[k]
	}
	for k := range share {
		counted[k], corrected[k] = q[k]*n, share[k]/total*n
	}
	return counted, corrected
}

// rates are the probabilities of each predicted label given each gold one.
func (c *Confusion) rates(replicate int) (m [3][3]float64) {
	for g := range m {
		total, own := 0.0, 0.0
		for k := range m[g] {
			cell := c.Cells[g][k]
			m[g][k] = max(0, cell.Weight+math.Sqrt(cell.WeightSq)*deviate(replicate, 3+3*g+k))
			total += m[g][k]
			own += cell.Weight
		}
		for k := range m[g] {
			if total == 0 {
				m[g][k] = c.Cells[g][k].Weight / own
			} else {
				m[g][k] /= total
			}
		}
	}
	return m
}

// solve returns x with sum over g of x[g] m[g][k] = q[k], and the determinant of m.
func solve(m [3][3]float64, q [3]float64) (x [3]float64, determinant float64) {
	cofactor := func(g, k int) float64 {
		a, b, c, d := (g+1)%3, (g+2)%3, (k+1)%3, (k+2)%3
		return m[a][c]*m[b][d] - m[a][d]*m[b][c]
	}
	for k := range 3 {
		determinant += m[0][k] * cofactor(0, k)
	}
	if determinant < leastDeterminant {
		return x, determinant
	}
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

// Add adds a label of weight w.
func (c *Confusion) Add(gold, predicted int, w float64) {
	c.Labels[gold]++
	c.Cells[gold][predicted].Weight += w
	c.Cells[gold][predicted].WeightSq += w * w
}
