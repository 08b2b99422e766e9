package reference

import (
	"cmp"
	"math"
	"slices"
)

// z95 is the normal quantile of every 95 % interval, as the specification pins it.
const z95 = 1.959964

// tauS is the horizon of the restricted mean wait, 7 days.
const tauS = 7 * 24 * 3600

// cause is how an observation ended.
type cause int

const (
	censored cause = iota
	replied
	deleted
)

// observation is one request's wait.
type observation struct {
	seconds float64
	cause   cause
}

// step is what happened at one distinct time: how many were still waiting just before, and how many waits ended in which way.
type step struct {
	t                        float64
	atRisk, replied, deleted int
}

// steps counts at each distinct time at which something other than a censoring happened. Who is censored at a time is still at risk there:
// events come before censorings.
func steps(observations []observation) []step {
	sorted := slices.Clone(observations)
	slices.SortFunc(sorted, func(a, b observation) int { return cmp.Compare(a.seconds, b.seconds) })
	var out []step
	for first := 0; first < len(sorted); {
		s := step{t: sorted[first].seconds, atRisk: len(sorted) - first}
		for ; first < len(sorted) && sorted[first].seconds == s.t; first++ {
			switch sorted[first].cause {
			case replied:
				s.replied++
			case deleted:
				s.deleted++
			}
		}
		if s.replied+s.deleted > 0 {
			out = append(out, s)
		}
	}
	return out
}

// half is one half with room for rounding: a product such as 3/4 x 2/3, which is exactly one half, is not always so in floating point.
const half = 0.5 + 1e-9

// kaplanMeier gives the time to a reply, deletions censored: its median, nil where it is not reached, and its mean restricted to tauS, the
// last value carried on. Both are nil without observations.
func kaplanMeier(observations []observation) (median, restrictedMean *float64) {
	if len(observations) == 0 {
		return nil, nil
	}
	survival, area, since := 1.0, 0.0, 0.0
	for _, s := range steps(observations) {
		until := min(s.t, tauS)
		area += survival * (until - since)
		since = until
		survival *= 1 - float64(s.replied)/float64(s.atRisk)
		if median == nil && s.replied > 0 && survival <= half {
			median = &s.t
		}
	}
	area += survival * (tauS - since)
	return median, &area
}

// aalenJohansen gives the cumulative incidence of a reply up to w, deletion competing; nil without observations.
func aalenJohansen(observations []observation, w float64) *float64 {
	if len(observations) == 0 {
		return nil
	}
	survival, incidence := 1.0, 0.0
	for _, s := range steps(observations) {
		if s.t > w {
			break
		}
		incidence += survival * float64(s.replied) / float64(s.atRisk)
		survival *= 1 - float64(s.replied+s.deleted)/float64(s.atRisk)
	}
	return &incidence
}

// quantile interpolates linearly between the ordered values, as quantileExactInclusive does; nil without values.
func quantile(values []float64, p float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(values))
	h := p * float64(len(sorted)-1)
	below := int(math.Floor(h))
	q := sorted[below]
	if below+1 < len(sorted) {
		q += (h - float64(below)) * (sorted[below+1] - sorted[below])
	}
	return &q
}

// wilson gives the 95 % interval of a rate; nil for n = 0.
func wilson(successes, n int) (lo, hi *float64) {
	if n == 0 {
		return nil, nil
	}
	p, m := float64(successes)/float64(n), float64(n)
	centre := (p + z95*z95/(2*m)) / (1 + z95*z95/m)
	margin := z95 * math.Sqrt(p*(1-p)/m+z95*z95/(4*m*m)) / (1 + z95*z95/m)
	low, high := max(0, centre-margin), min(1, centre+margin)
	return &low, &high
}

// gini of non-negative values; nil where their sum is 0.
func gini(values []int) *float64 {
	sorted := slices.Sorted(slices.Values(values))
	weighted, sum := 0, 0
	for i, x := range sorted {
		weighted += (2*(i+1) - len(sorted) - 1) * x
		sum += x
	}
	return ratio(float64(weighted), float64(len(sorted)*sum))
}

// ratio is nil where the denominator is 0.
func ratio(numerator, denominator float64) *float64 {
	if denominator == 0 {
		return nil
	}
	q := numerator / denominator
	return &q
}
