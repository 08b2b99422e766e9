package agreement

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The reliability data of Krippendorff's "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units, a dot for a missing value; nominal alpha is .743.
func TestPublishedExample(t *testing.T) {
	observers := []string{"1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."}
	units := make([][]string, 12)
	for _, o := range observers {
		for i, v := range strings.Fields(o) {
			if v != "." {
				units[i] = append(units[i], v)
			}
		}
	}
	a := Nominal(units, 1)
	if !a.Defined || math.Abs(a.Alpha-0.743) > 0.0005 || a.Units != 11 || a.Labels != 40 {
		t.Errorf("%+v, want alpha 0.743 over 11 units and 40 labels", a)
	}
	if !(a.Low < a.Alpha && a.Alpha < a.High && a.High <= 1) {
		t.Errorf("interval %.3f to %.3f around %.3f", a.Low, a.High, a.Alpha)
	}
	if again := Nominal(units, 1); again != a {
		t.Errorf("the same seed gives %+v, then %+v", a, again)
	}
}

func TestNothingToAgreeOn(t *testing.T) {
	for _, units := range [][][]string{nil, {{"x"}, {"y"}}, {{"x", "x"}, {"x", "x"}}} {
		if a := Nominal(units, 1); a.Defined {
			t.Errorf("%v: alpha is %v, want none", units, a.Alpha)
		}
	}
}

func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 4), 0, 12).Draw(t, "units")
		a := Nominal(units, 1)
		if a.Defined && (math.IsNaN(a.Alpha) || a.Alpha > 1 || a.Low > a.High) {
			t.Errorf("%+v", a)
		}
		perfect := true
		for _, u := range units {
			for _, l := range u {
				perfect = perfect && (len(u) < 2 || l == u[0])
			}
		}
		if a.Defined && perfect != (a.Alpha == 1) {
			t.Errorf("alpha %v; everybody agrees: %v", a.Alpha, perfect)
		}
	})
}
