package calendar

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// vector is a case of testdata/vectors.json; Minutes is nil where the calendar does not reach.
type vector struct {
	Name     string
	Calendar string
	OffsetS  int32 `json:"offset_s"`
	From, To time.Time
	Minutes  *float64
}

func TestVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	calendars := map[string]*Calendar{"vectors": parseFile(t, "testdata/vectors.yaml")}
	for _, name := range Names() {
		c, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		calendars[name] = c
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			got, ok := calendars[v.Calendar].Spans(v.OffsetS).Seconds(v.From, v.To)
			if ok != (v.Minutes != nil) {
				t.Fatalf("known is %t", ok)
			}
			if ok && got != *v.Minutes*60 {
				t.Errorf("%g s, want %g", got, *v.Minutes*60)
			}
		})
	}
}

func parseFile(t *testing.T, path string) *Calendar {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(path, b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGovernmentCalendar(t *testing.T) {
	c, err := Load("id-government")
	if err != nil {
		t.Fatal(err)
	}
	if want := []int32{25200, 28800, 32400, 0}; !slices.Equal(c.Offsets, want) {
		t.Errorf("offsets %v, want %v", c.Offsets, want)
	}
	for day, want := range map[string]string{"2025-08-18": "Hari Kemerdekaan", "2024-11-27": "Pemilihan Kepala Daerah", "2021-08-11": "Tahun Baru Islam (moved from 10 August)", "2021-08-10": "", "2027-05-06": "Kenaikan Yesus Kristus"} {
		d, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := c.DayOff(d.Date()); got != want {
			t.Errorf("%s is %q, want %q", day, got, want)
		}
	}
	// Every year that is not recorded is named, in the calendar's own range, and so is one that is not recorded wholly.
	if want := []int{2015, 2016, 2017, 2018, 2027, 2028, 2029, 2030}; !slices.Equal(c.DaysOffUnknown(), want) {
		t.Errorf("unknown are %v, want %v", c.DaysOffUnknown(), want)
	}
}

func TestLoadNamesTheCalendarsThereAre(t *testing.T) {
	if _, err := Load("nowhere"); err == nil || !strings.Contains(err.Error(), "id-government") {
		t.Errorf("got %v", err)
	}
}

// Seconds agrees with counting the spans one by one, and adds up.
func TestSecondsAddUp(t *testing.T) {
	c := parseFile(t, "testdata/vectors.yaml")
	spans := c.Spans(25200)
	first, last := spans[0].Start.UnixMilli(), spans[len(spans)-1].End.UnixMilli()
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(first, last)
		ms := []int64{at.Draw(t, "t0"), at.Draw(t, "t1"), at.Draw(t, "t2")}
		slices.Sort(ms)
		t0, t1, t2 := time.UnixMilli(ms[0]), time.UnixMilli(ms[1]), time.UnixMilli(ms[2])
		var want time.Duration
		for _, s := range spans {
			start, end := s.Start, s.End
			if start.Before(t0) {
				start = t0
			}
			if end.After(t2) {
				end = t2
			}
			want += max(0, end.Sub(start))
		}
		whole, ok := spans.Seconds(t0, t2)
		if !ok || abs(whole-want.Seconds()) > 1e-6 {
			t.Errorf("%g %t, counted %g", whole, ok, want.Seconds())
		}
		left, _ := spans.Seconds(t0, t1)
		right, _ := spans.Seconds(t1, t2)
		if abs(left+right-whole) > 1e-6 {
			t.Errorf("%g + %g is not %g", left, right, whole)
		}
	})
}

func abs(x float64) float64 { return max(x, -x) }

func TestParseListsAllErrors(t *testing.T) {
	_, err := Parse("c.yaml", []byte(`
name: Upper
title: t
first: 2026-01-01
last: 2025-01-01
offsets_s: [25200, 25200, 90000]
hours:
  ordinary:
    monday: ["08:00-07:00", "eight"]
    moonday: ["08:00-09:00"]
weeks:
  - {hours: other, first: 2026-01-01, last: 2026-12-31, source: ""}
days_off_unknown: [2026, 2026]
days_off:
  - year: 2026
    holidays: {2025-01-01: of another year}
`))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`c.yaml: name: "Upper"`, `c.yaml: last: "2025-01-01"`, `offsets_s[1]: "25200"`, `offsets_s[2]: "90000"`, `hours.ordinary.monday: "08:00-07:00"`,
		`hours.ordinary.monday: "eight"`, `hours.ordinary: "moonday"`, `weeks[0].hours: "other"`, `weeks[0].source: missing`, `days_off[0].source: missing`,
		`days_off[0].holidays: "2025-01-01"`, `c.yaml: days_off: `,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in:\n%v", want, err)
		}
	}
	if _, err := Parse("c.yaml", []byte("surprise: 1\n")); err == nil || !strings.Contains(err.Error(), "surprise") {
		t.Errorf("an unknown key gave %v", err)
	}
}
