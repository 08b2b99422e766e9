package shares_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas/shares"
)

// confusion holds labels of a classifier with these rates: rates[g][k] is the probability of answering k where g is true.
func confusion(rates [3][3]float64, labels int) *shares.Confusion {
	c := &shares.Confusion{Labels: [3]int{labels, labels, labels}}
	for g := range rates {
		for k := range rates[g] {
			n := rates[g][k] * float64(labels)
			c.Cells[g][k] = shares.Cell{Weight: n, WeightSq: n}
		}
	}
	return c
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestAdjust(t *testing.T) {
	faultless := [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
	share, _, _ := shares.Adjust([]shares.Counted{{Counts: [3]float64{50, 30, 20}, Confusion: confusion(faultless, 100)}})
	for k, want := range []float64{0.5, 0.3, 0.2} {
		near(t, "a share of a faultless classifier", share[k], want, 1e-12)
	}

	// What a classifier of these rates counts where the truth is .6, .3, .1, known from labels enough that nothing is shrunk to speak of.
	rates, truth := [3][3]float64{{0.7, 0.2, 0.1}, {0.1, 0.8, 0.1}, {0.1, 0.2, 0.7}}, [3]float64{0.6, 0.3, 0.1}
	var counts [3]float64
	for k := range counts {
		for g := range truth {
			counts[k] += 1e6 * truth[g] * rates[g][k]
		}
	}
	share, lo, hi := shares.Adjust([]shares.Counted{{Counts: counts, Confusion: confusion(rates, 1_000_000)}})
	for k := range truth {
		near(t, "a corrected share", share[k], truth[k], 1e-3)
	}
	if net := truth[2] - truth[0]; lo > net || hi < net || hi-lo > 0.02 {
		t.Errorf("the interval is %v to %v; the truth is %v", lo, hi, net)
	}
}

func TestUsable(t *testing.T) {
	good := [3][3]float64{{0.8, 0.1, 0.1}, {0.1, 0.8, 0.1}, {0.1, 0.1, 0.8}}
	blind := [3][3]float64{{0.3, 0.4, 0.3}, {0.3, 0.4, 0.3}, {0.3, 0.4, 0.3}}
	few := confusion(good, 100)
	few.Labels[2] = shares.FewestOfClass - 1
	for _, c := range []struct {
		what string
		c    *shares.Confusion
		want bool
	}{
		{"enough labels", confusion(good, 70), true}, {"too few labels", confusion(good, 60), false}, {"too few of a class", few, false},
		{"answers that do not depend on the truth", confusion(blind, 100), false},
	} {
		if c.c.Usable() != c.want {
			t.Errorf("%s: usable is %v", c.what, !c.want)
		}
	}
}

// Whatever the labels say, shares are shares, and the interval holds the net of them.
func TestAdjustStaysOnTheSimplex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &shares.Confusion{}
		for g := range 3 {
			for k := range 3 {
				n := rapid.IntRange(0, 80).Draw(t, "labels")
				if g == k {
					n += 70
				}
				c.Labels[g] += n
				c.Cells[g][k] = shares.Cell{Weight: float64(n), WeightSq: float64(n)}
			}
		}
		if !c.Usable() {
			t.Skip("not usable")
		}
		var counts [3]float64
		for k := range counts {
			counts[k] = float64(rapid.IntRange(0, 500).Draw(t, "count"))
		}
		if counts[0]+counts[1]+counts[2] == 0 {
			t.Skip("nothing counted")
		}
		share, lo, hi := shares.Adjust([]shares.Counted{{Counts: counts, Confusion: c}})
		sum := 0.0
		for _, s := range share {
			if !(s >= -1e-12 && s <= 1+1e-12) {
				t.Fatalf("a share is %v", s)
			}
			sum += s
		}
		if net := share[2] - share[0]; math.Abs(sum-1) > 1e-9 || !(lo <= net && net <= hi) {
			t.Fatalf("the shares sum up to %v; net %v in %v to %v", sum, net, lo, hi)
		}
	})
}
