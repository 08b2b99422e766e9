package page

import (
	"regexp"
	"strings"
	"testing"
)

var coordinates = regexp.MustCompile(`[ML] (\d+) (\d+)`)

// The curve of the wait is a step function with a label a day, drawn as far as it is known.
func TestCurveChart(t *testing.T) {
	half, low, high := 0.5, 0.4, 0.6
	chart, err := curveChart([]CurvePoint{{T: 0, Survival: 1}, {T: 2 * 86400, Survival: half, Lo: &low, Hi: &high}, {T: 4 * 86400, Survival: half, Lo: &low, Hi: &high}})
	if err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{"0 d", "1 d", "7 d"} {
		if n := strings.Count(string(chart), ">"+label+"<"); n != 2 {
			t.Errorf("%q stands %d times in the two sizes", label, n)
		}
	}
	wide, _, _ := strings.Cut(string(chart), `<div class="narrow">`)
	_, path, found := strings.Cut(wide, `stroke:rgb(15,118,110)`)
	if !found {
		t.Fatalf("no line of the curve in %s", wide)
	}
	line := wide[strings.LastIndex(wide[:len(wide)-len(path)], "<path"):]
	points := coordinates.FindAllStringSubmatch(line[:strings.Index(line, ">")], -1)
	heights := map[string]bool{}
	for _, p := range points {
		heights[p[2]] = true
	}
	if len(points) != 4*24+1 || len(heights) != 2 {
		t.Errorf("%d points on %d heights; four days are known, on two heights", len(points), len(heights))
	}
	short, err := curveChart([]CurvePoint{{T: 0, Survival: 1}, {T: 7200, Survival: half, Lo: &low, Hi: &high}})
	if err != nil || !strings.Contains(string(short), ">3 h<") || strings.Contains(string(short), ">1 d<") {
		t.Errorf("two hours are not drawn over a day: %v", err)
	}
	if empty, err := curveChart(nil); err != nil || empty != "" {
		t.Errorf("without requests: %q, %v", empty, err)
	}
}
