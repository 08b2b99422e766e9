package shares_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas/shares"
)

var classes = []string{"a", "b", "c"}

// matrix holds labels of a classifier with these rates: rates[g][k] is the probability of answering k where g is true.
func matrix(rates [3][3]float64, labels int) *shares.Matrix {
	c := &shares.Confusion{Cells: map[[2]string]shares.Cell{}}
	for g := range rates {
		for k := range rates[g] {
			n := rates[g][k] * float64(labels)
			c.Cells[[2]string{classes[g], classes[k]}] = shares.Cell{Labels: int(math.Round(n)), Weight: n, WeightSq: n}
		}
	}
	return c.Among(classes...)
}

// net is what an interval is asked for.
func net(share []float64) float64 { return share[2] - share[0] }

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestAdjust(t *testing.T) {
	faultless := [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
	a := shares.Adjust([]shares.Counted{{Counts: []float64{50, 30, 20}, Matrix: matrix(faultless, 100)}})
	for k, want := range []float64{0.5, 0.3, 0.2} {
		near(t, "a share of a faultless classifier", a.Shares[k], want, 1e-12)
	}

	// What a classifier of these rates counts where the truth is .6, .3, .1, known from labels enough that nothing is shrunk to speak of.
	rates, truth := [3][3]float64{{0.7, 0.2, 0.1}, {0.1, 0.8, 0.1}, {0.1, 0.2, 0.7}}, [3]float64{0.6, 0.3, 0.1}
	counts := make([]float64, 3)
	for k := range counts {
		for g := range truth {
			counts[k] += 1e6 * truth[g] * rates[g][k]
		}
	}
	a = shares.Adjust([]shares.Counted{{Counts: counts, Matrix: matrix(rates, 1_000_000)}})
	for k := range truth {
		near(t, "a corrected share", a.Shares[k], truth[k], 1e-3)
	}
	if lo, hi := a.Interval(net); lo > net(truth[:]) || hi < net(truth[:]) || hi-lo > 0.02 {
		t.Errorf("the interval is %v to %v; the truth is %v", lo, hi, net(truth[:]))
	}
}

// Ten labels, all answered rightly, do not make a faultless classifier, nor does a class that nobody was told to be make one that is not there.
func TestIntervalsOfFewLabels(t *testing.T) {
	c := &shares.Confusion{}
	for i := range 250 {
		gold := "b"
		if i < 10 {
			gold = "a"
		}
		c.Add(gold, gold, 1)
	}
	first := func(share []float64) float64 { return share[0] }
	lo, hi := shares.Adjust([]shares.Counted{{Counts: []float64{100_000, 900_000}, Matrix: c.Against("a")}}).Interval(first)
	if lo > 0.1 || hi < 0.115 {
		t.Errorf("the interval is %v to %v; it takes the ten for all", lo, hi)
	}
	if lo, hi = shares.Adjust([]shares.Counted{{Counts: []float64{0, 60}, Matrix: c.Against("a")}}).Interval(first); lo != 0 || hi < 0.01 {
		t.Errorf("the interval is %v to %v where none of 60 was seen", lo, hi)
	}
}

// One label against all others: a classifier that finds four fifths of what is "a" and calls a tenth of the rest so, where the truth is a twentieth.
func TestAdjustOneLabelAgainstTheRest(t *testing.T) {
	c := &shares.Confusion{}
	for i := range 20_000 {
		gold := classes[i%3]
		predicted := map[string]string{"a": "a", "b": "b", "c": "group"}[gold]
		if gold == "a" && i%15 == 0 {
			predicted = "group"
		}
		if gold != "a" && (i/3)%10 == 0 {
			predicted = "a"
		}
		c.Add(gold, predicted, 1)
	}
	const messages, truth = 1e6, 0.05
	said := messages * (truth*0.8 + (1-truth)*0.1)
	m := c.Against("a")
	if !m.Usable() || c.Against("d").Usable() {
		t.Fatal("a is what there are labels of, d is not")
	}
	a := shares.Adjust([]shares.Counted{{Counts: []float64{said, messages - said}, Matrix: m}})
	near(t, "the share of a", a.Shares[0], truth, 2e-3)
	if lo, hi := a.Interval(func(s []float64) float64 { return s[0] }); lo > truth || hi < truth || hi-lo > 0.05 {
		t.Errorf("the interval is %v to %v; the truth is %v", lo, hi, truth)
	}
}

func TestUsable(t *testing.T) {
	good := [3][3]float64{{0.8, 0.1, 0.1}, {0.1, 0.8, 0.1}, {0.1, 0.1, 0.8}}
	blind := [3][3]float64{{0.3, 0.4, 0.3}, {0.3, 0.4, 0.3}, {0.3, 0.4, 0.3}}
	few := &shares.Confusion{}
	for i := range 250 {
		few.Add(classes[i%2], classes[i%2], 1)
	}
	for range shares.FewestOfClass - 1 {
		few.Add("c", "c", 1)
	}
	for _, c := range []struct {
		what string
		m    *shares.Matrix
		want bool
	}{
		{"enough labels", matrix(good, 70), true}, {"too few labels", matrix(good, 60), false}, {"too few of a class", few.Among(classes...), false},
		{"answers that do not depend on the truth", matrix(blind, 100), false}, {"no label at all", (&shares.Confusion{}).Among(classes...), false},
	} {
		if c.m.Usable() != c.want {
			t.Errorf("%s: usable is %v", c.what, !c.want)
		}
	}
}

// Whatever the labels say, shares are shares, and the interval holds the net of them.
func TestAdjustStaysOnTheSimplex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &shares.Confusion{Cells: map[[2]string]shares.Cell{}}
		for _, gold := range classes {
			for _, predicted := range classes {
				n := rapid.IntRange(0, 80).Draw(t, "labels")
				if gold == predicted {
					n += 70
				}
				c.Cells[[2]string{gold, predicted}] = shares.Cell{Labels: n, Weight: float64(n), WeightSq: float64(n)}
			}
		}
		m, counts := c.Among(classes...), make([]float64, 3)
		if rapid.Bool().Draw(t, "one against the rest") {
			m, counts = c.Against("b"), make([]float64, 2)
		}
		if !m.Usable() {
			t.Skip("not usable")
		}
		for k := range counts {
			counts[k] = float64(rapid.IntRange(0, 500).Draw(t, "count"))
		}
		if slices.Max(counts) == 0 {
			t.Skip("nothing counted")
		}
		a := shares.Adjust([]shares.Counted{{Counts: counts, Matrix: m}})
		sum := 0.0
		for _, s := range a.Shares {
			if !(s >= -1e-12 && s <= 1+1e-12) {
				t.Fatalf("a share is %v", s)
			}
			sum += s
		}
		first := func(share []float64) float64 { return share[0] }
		if lo, hi := a.Interval(first); math.Abs(sum-1) > 1e-9 || !(-1e-12 <= lo && lo <= a.Shares[0] && a.Shares[0] <= hi && hi <= 1+1e-12) {
			t.Fatalf("the shares %v sum up to %v; the first in %v to %v", a.Shares, sum, lo, hi)
		}
	})
}
