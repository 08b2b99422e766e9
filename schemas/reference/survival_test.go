package reference

import (
	"math"
	"testing"
)

func waits(c cause, seconds ...float64) []observation {
	var out []observation
	for _, s := range seconds {
		out = append(out, observation{s, c})
	}
	return out
}

func close6(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil || math.Abs(*got-want) > 1e-6 {
		t.Errorf("%s is %s, want %.7f", what, value(got), want)
	}
}

// The remission times of the 6-MP arm of Freireich et al. (1963), the textbook example with ties and censoring: S(6) = .857, S(7) = .807,
// S(10) = .753, S(13) = .690, S(16) = .627, S(22) = .538, S(23) = .448; the median is 23.
func freireich() []observation {
	return append(waits(replied, 6, 6, 6, 7, 10, 13, 16, 22, 23), waits(censored, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)...)
}

func TestKaplanMeier(t *testing.T) {
	median, mean := kaplanMeier(freireich())
	close6(t, "the median", median, 23)
	// 6 + .857143 + 3 x .806723 + 3 x .752941 + 3 x .690196 + 6 x .627451 + .537815 + (604800 - 23) x .448179
	s := []float64{1, 18. / 21}
	s = append(s, s[1]*16/17, s[1]*16/17*14/15, s[1]*16/17*14/15*11/12)
	s = append(s, s[4]*10/11)
	s = append(s, s[5]*6/7)
	s = append(s, s[6]*5/6)
	times := []float64{0, 6, 7, 10, 13, 16, 22, 23, tauS}
	area := 0.0
	for n := range s {
		area += s[n] * (times[n+1] - times[n])
	}
	close6(t, "S(23)", &s[7], 0.448179)
	close6(t, "the restricted mean", mean, area)

	for _, c := range []struct {
		name         string
		observations []observation
		median, mean float64 // a median of -1 is nil
	}{
		{"nobody answered", waits(censored, 10, 20), -1, tauS},
		{"at once", waits(replied, 0, 0), 0, 0},
		{"one of two: S is one half exactly", append(waits(replied, 100), waits(censored, 100)...), 100, 100 + (tauS-100)/2},
		{"3/4 x 2/3", waits(replied, 1, 2, 3, 4), 2, 2.5},
		{"a deletion is a censoring and comes after the reply of its second", append(waits(replied, 5), waits(deleted, 5, 3)...), 5, 5 + (tauS-5)/2.},
		{"an answer after a month", append(waits(replied, 30*24*3600), waits(replied, 3600)...), 3600, 3600 + (tauS-3600)/2.},
		{"the later of two after a month", waits(replied, 30*24*3600, 31*24*3600, 32*24*3600), 31 * 24 * 3600, tauS},
	} {
		median, mean := kaplanMeier(c.observations)
		if c.median < 0 && median != nil {
			t.Errorf("%s: the median is %s, want nil", c.name, value(median))
		} else if c.median >= 0 {
			close6(t, c.name+": the median", median, c.median)
		}
		close6(t, c.name+": the restricted mean", mean, c.mean)
	}
	if median, mean := kaplanMeier(nil); median != nil || mean != nil {
		t.Errorf("without observations: %s, %s, want nil", value(median), value(mean))
	}
}

func TestAalenJohansen(t *testing.T) {
	// Ten waits: at 1 a reply; at 2 a reply and a deletion, which share the nine at risk; at 3 a censoring; at 4 a deletion, then a reply at 5.
	//   after 1: I = 1/10, S = 9/10
	//   after 2: I = 1/10 + 9/10 x 1/9 = 1/5, S = 9/10 x 7/9 = 7/10
	//   after 4: six at risk, S = 7/10 x 5/6 = 7/12
	//   after 5: I = 1/5 + 7/12 x 1/5 = 19/60
	observations := append(waits(replied, 1, 2, 5), waits(deleted, 2, 4)...)
	observations = append(observations, waits(censored, 3, 6, 6, 6, 6)...)
	for _, c := range []struct{ w, want float64 }{{0.5, 0}, {1, .1}, {2, .2}, {4, .2}, {4.999, .2}, {5, 19. / 60}, {100, 19. / 60}} {
		close6(t, "the incidence", aalenJohansen(observations, c.w), c.want)
	}
	// Without deletions it is 1 - KM.
	close6(t, "the incidence at 23", aalenJohansen(freireich(), 23), 1-0.44817927)
	if got := aalenJohansen(nil, 5); got != nil {
		t.Errorf("without observations: %s, want nil", value(got))
	}
}

func TestWilson(t *testing.T) {
	for _, c := range []struct {
		successes, n int
		lo, hi       float64
	}{
		// Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
		{81, 263, 0.2553, 0.3662},
		{15, 148, 0.0624, 0.1605},
		{0, 20, 0, 0.1611},
		{1, 29, 0.0061, 0.1718},
		{29, 29, 0.8830, 1},
	} {
		lo, hi := wilson(c.successes, c.n)
		if math.Abs(*lo-c.lo) > 5e-5 || math.Abs(*hi-c.hi) > 5e-5 {
			t.Errorf("%d of %d: %s to %s, want %.4f to %.4f", c.successes, c.n, value(lo), value(hi), c.lo, c.hi)
		}
	}
	if lo, hi := wilson(0, 0); lo != nil || hi != nil {
		t.Error("0 of 0 has an interval, want nil")
	}
}

func TestGini(t *testing.T) {
	for _, c := range []struct {
		values []int
		want   string
	}{
		{[]int{1, 1, 1, 1}, "0.0000"},
		{[]int{0, 0, 0, 1}, "0.7500"},
		{[]int{4, 3, 2, 1}, "0.2500"},
		{[]int{1, 3}, "0.2500"},
		{[]int{5}, "0.0000"},
		{[]int{0, 0}, "nil"},
		{nil, "nil"},
	} {
		if got := value(gini(c.values)); got != c.want {
			t.Errorf("of %v: %s, want %s", c.values, got, c.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		p      float64
		want   string
	}{
		{[]float64{3}, 0.9, "3.0000"},
		{[]float64{1, 2}, 0.5, "1.5000"},
		{[]float64{40, 10, 20, 30}, 0.9, "37.0000"},
		{[]float64{1, 2, 3, 4, 5}, 0.5, "3.0000"},
		{[]float64{1, 2}, 1, "2.0000"},
		{nil, 0.5, "nil"},
	} {
		if got := value(quantile(c.values, c.p)); got != c.want {
			t.Errorf("%v of %v: %s, want %s", c.p, c.values, got, c.want)
		}
	}
}
