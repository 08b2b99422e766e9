package drift

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func observations(n int, seed uint64, shift float64, lang string) []Observation {
	random := rand.New(rand.NewPCG(seed, 1))
	out := make([]Observation, n)
	for i := range out {
		for s := range signals {
			out[i].numbers[s] = random.Float64()
		}
		out[i].numbers[0] += shift
		out[i].lang = "id"
		if i%5 == 0 {
			out[i].lang = lang
		}
	}
	return out
}

// By hand: bins of .2 and .8 against .5 and .5 give (-.3) ln(.4) + .3 ln(1.6) = .4159.
func TestIndexByHand(t *testing.T) {
	if got := index([]float64{0.2, 0.8}, []float64{0.5, 0.5}); math.Abs(got-0.41589) > 1e-5 {
		t.Errorf("%v", got)
	}
}

func TestWhatMovesIsSeen(t *testing.T) {
	r := NewReference(observations(5000, 1, 0, "en"))
	m := NewMonitor(func(string) *Reference { return r })
	for _, o := range observations(Fewest-1, 2, 0, "en") {
		m.Add("kota-contoh", o)
	}
	if n := testutil.CollectAndCount(m); n != 0 {
		t.Errorf("%d figures of %d messages", n, Fewest-1)
	}
	for _, o := range observations(2000, 3, 0, "en") {
		m.Add("kota-contoh", o)
	}
	for name, v := range m.Indexes("kota-contoh") {
		if v > 0.03 {
			t.Errorf("nothing moved, and %s has an index of %.3f", name, v)
		}
	}
	for _, o := range observations(2*half+1, 4, 0.3, "jv") {
		m.Add("kota-contoh", o)
	}
	for name, v := range m.Indexes("kota-contoh") {
		if moved := name == "p_negative" || name == language; moved != (v > 0.25) {
			t.Errorf("%s has an index of %.3f", name, v)
		}
	}
	if m.Indexes("nobody") != nil {
		t.Error("figures of no stream")
	}
	if n := testutil.CollectAndCount(m); n != len(signals)+1 {
		t.Errorf("%d figures", n)
	}
}

// A reference of constants has one bin and a stream of other values still moves out of none: the index stays finite.
func TestConstants(t *testing.T) {
	r := NewReference(make([]Observation, 10))
	m := NewMonitor(func(string) *Reference { return r })
	for _, o := range observations(1000, 5, 0, "en") {
		m.Add("i", o)
	}
	for name, v := range m.Indexes("i") {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			t.Errorf("%s: %v", name, v)
		}
	}
}
