package main

import (
	"math"
	"testing"

	"github.com/dwiarah/dwiarah/enrich"
)

func TestProbabilityOfThePrimaryTag(t *testing.T) {
	p := enrich.TagProbabilities{{Tag: "public_safety", P: 0.2}, {Tag: "non_response", P: 0.5}, {Tag: "service_failure", P: 0.4}}
	for named, want := range map[string]float64{"public_safety": 0.2, "non_response": 0.8 * 0.5, "service_failure": 0.8 * 0.5 * 0.4, "none": 0.8 * 0.5 * 0.6} {
		if got := primaryP(&enrich.Result{RiskTag: named, RiskP: p}); math.Abs(got-want) > 1e-6 {
			t.Errorf("%s is primary with %v, want %v", named, got, want)
		}
	}
	group := enrich.Result{RiskTag: "SERVICE", RiskP: append(p, enrich.TagProbability{Tag: "SERVICE", P: 0.7})}
	if got := primaryP(&group); math.Abs(got-0.7) > 1e-6 {
		t.Errorf("a group is likely with %v, want 0.7", got)
	}
}
