package measure

import (
	"math"
	"strings"
	"testing"
)

func TestEvaluate(t *testing.T) {
	// Gold a: 3 of 4 hit; gold b: 1 of 2 hit; c is predicted once and never gold.
	p := []Prediction{{"a", "a", 0.9}, {"a", "a", 0.9}, {"a", "a", 0.9}, {"a", "b", 0.6}, {"b", "b", 0.6}, {"b", "c", 0.6}}
	r := Evaluate(p, 1)
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	near("accuracy", r.Accuracy, 4.0/6)
	near("macro-F1 over the gold labels", r.MacroF1, (2*3.0/(4+3)+2*1.0/(2+2))/2)
	// Bin 0.9: 3 right, sum of p 2.7; bin 0.6: 1 right, sum of p 1.8.
	near("ECE", r.ECE, (0.3+0.8)/6)
	near("precision of a", r.Classes[0].Precision, 1)
	near("recall of a", r.Classes[0].Recall, 0.75)
	// b is predicted twice and gold twice, c is predicted once and never gold.
	near("prevalence error of b", r.Classes[1].PrevalenceError(r.N), 0)
	near("prevalence error of c", r.Classes[2].PrevalenceError(r.N), 1.0/6)
	if want := "p from 0.9                         3     0.900     1.000  #############################################|####"; !strings.Contains(r.ReliabilityText(), want) {
		t.Errorf("reliability:\n%s", r.ReliabilityText())
	}
	if r.Confusion[0][1] != 1 || r.Confusion[1][2] != 1 {
		t.Errorf("confusion %v", r.Confusion)
	}
	if r.MacroF1Interval.Low > r.MacroF1 || r.MacroF1Interval.High < r.MacroF1 {
		t.Errorf("interval %v does not hold %v", r.MacroF1Interval, r.MacroF1)
	}
	if a, b := Evaluate(p, 1).MacroF1Interval, r.MacroF1Interval; a != b {
		t.Error("one seed gives two intervals")
	}
	if !strings.Contains(r.String(), "macro-F1 0.679") {
		t.Errorf("report: %s", r)
	}
}

func TestEvaluateNothing(t *testing.T) {
	r := Evaluate(nil, 1)
	if r.N != 0 || r.Accuracy != 0 || math.IsNaN(r.ECE) {
		t.Errorf("%+v", r)
	}
}
