// Package agreement says how far annotators agree beyond chance: Krippendorff's alpha for nominal labels (Krippendorff, Content Analysis, 2004, ch. 11), with a
// bootstrap interval over messages.
package agreement

import (
	"math/rand/v2"
	"slices"
)

// Alpha is the result. Units is the number of messages with two labels or more; with none of them, or a single label in all of them, alpha is not defined
// and Defined is false.
type Alpha struct {
	Alpha, Low, High float64
	Units, Labels    int
	Defined          bool
}

// Fewest is how many messages with two labels it takes before alpha is worth showing without further ado: of fewer, one disagreement more or less moves it by a tenth.
const Fewest = 30

// Missing is how many more messages with two labels it takes for Fewest.
func (a Alpha) Missing() int { return max(0, Fewest-a.Units) }

const rounds = 1_000

// Nominal computes alpha over units: the labels of one message each, in any order, a missing label left out. The interval is the 95 % percentile interval of
// a seeded bootstrap over units.
func Nominal(units [][]string, seed uint64) Alpha {
	var pairable [][]int
	index := map[string]int{}
	a := Alpha{}
	for _, u := range units {
		if len(u) < 2 {
			continue
		}
		row := make([]int, len(u))
		for i, l := range u {
			at, ok := index[l]
			if !ok {
				at = len(index)
				index[l] = at
			}
			row[i] = at
		}
		pairable = append(pairable, row)
		a.Labels += len(row)
	}
	a.Units = len(pairable)
	if a.Alpha, a.Defined = alpha(pairable, len(index)); !a.Defined {
		return a
	}
	random := rand.New(rand.NewPCG(seed, 11))
	var values []float64
	drawn := make([][]int, len(pairable))
	for range rounds {
		for i := range drawn {
			drawn[i] = pairable[random.IntN(len(pairable))]
		}
		// A draw in which everybody says the same has no alpha; it is left out, as nothing can be said of it.
		if v, ok := alpha(drawn, len(index)); ok {
			values = append(values, v)
		}
	}
	a.Low, a.High = a.Alpha, a.Alpha
	if len(values) > 0 {
		slices.Sort(values)
		a.Low, a.High = values[len(values)*25/1000], values[len(values)*975/1000]
	}
	return a
}

// alpha is 1 - observed over expected disagreement, from the coincidences within units.
func alpha(units [][]int, k int) (float64, bool) {
	total := make([]float64, k)
	n, observed := 0.0, 0.0
	count := make([]float64, k)
	for _, u := range units {
		clear(count)
		for _, l := range u {
			count[l]++
		}
		m := float64(len(u))
		for l, c := range count {
			total[l] += c
			observed += c * (m - c) / (m - 1)
		}
		n += m
	}
	expected := 0.0
	for _, t := range total {
		expected += t * (n - t)
	}
	if n < 2 || expected == 0 {
		return 0, false
	}
	return 1 - (n-1)*observed/expected, true
}
