package period_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/sink/internal/report/period"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestParse(t *testing.T) {
	good := func(text, name, from, to, label string) {
		t.Helper()
		p, err := period.Parse(text, zone(t, name))
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
			return
		}
		if got := p.From.Format(time.RFC3339); got != from {
			t.Errorf("Parse(%q) in %s begins %s, want %s", text, name, got, from)
		}
		if got := p.To.Format(time.RFC3339); got != to {
			t.Errorf("Parse(%q) in %s ends %s, want %s", text, name, got, to)
		}
		if got := p.String(); got != label {
			t.Errorf("Parse(%q) is called %s, want %s", text, got, label)
		}
	}
	good("2026-W10", "Asia/Jakarta", "2026-03-01T17:00:00Z", "2026-03-08T17:00:00Z", "2026-W10")
	good("2026-W10", "Asia/Jayapura", "2026-03-01T15:00:00Z", "2026-03-08T15:00:00Z", "2026-W10")
	good("2026-03-02/2026-03-09", "Asia/Jakarta", "2026-03-01T17:00:00Z", "2026-03-08T17:00:00Z", "2026-W10")
	good("2026-03-02/2026-03-05", "UTC", "2026-03-02T00:00:00Z", "2026-03-05T00:00:00Z", "2026-03-02_2026-03-05")
	good("2026-W53", "UTC", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z", "2026-W53")
	good("2027-W01", "UTC", "2027-01-04T00:00:00Z", "2027-01-11T00:00:00Z", "2027-W01")

	bad := func(text string) {
		t.Helper()
		if p, err := period.Parse(text, time.UTC); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", text, p)
		}
	}
	bad("")
	bad("2026-W00")
	bad("2025-W53")
	bad("2026-W54")
	bad("2026-W1")
	bad("2026-03-02")
	bad("2026-03-09/2026-03-02")
	bad("2026-03-02/2026-03-02")
	bad("2020-01-01/2026-01-01")
	bad("last week")
}

func TestEndedBy(t *testing.T) {
	f := func(at, name, label string) {
		t.Helper()
		instant, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := period.EndedBy(instant, zone(t, name)).String(); got != label {
			t.Errorf("at %s in %s the last week that ended is %s, want %s", at, name, got, label)
		}
	}
	f("2026-03-09T00:00:00Z", "UTC", "2026-W10")
	f("2026-03-08T23:59:59Z", "UTC", "2026-W09")
	// Monday has begun in Jayapura and not yet in Jakarta.
	f("2026-03-08T16:00:00Z", "Asia/Jayapura", "2026-W10")
	f("2026-03-08T16:00:00Z", "Asia/Jakarta", "2026-W09")
}

func TestNeighbours(t *testing.T) {
	zones := []*time.Location{time.UTC, zone(t, "Asia/Jakarta"), zone(t, "Asia/Jayapura")}
	rapid.Check(t, func(t *rapid.T) {
		loc := rapid.SampledFrom(zones).Draw(t, "zone")
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0)
		p := period.EndedBy(at, loc)
		if p.To.After(at) || !p.Next().To.After(at) {
			t.Fatalf("%v is not the last week that had ended at %v", p, at)
		}
		if !p.IsWeek() || p.Next().Previous() != p || !p.Previous().To.Equal(p.From) {
			t.Fatalf("%v: %v, %v", p, p.Previous(), p.Next())
		}
		back, err := period.Parse(p.String(), loc)
		if err != nil || back != p {
			t.Fatalf("Parse(%s) = %v, %v; want %v", p, back, err, p)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("2026-W10")
	f.Add("2026-03-02/2026-03-09")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := period.Parse(text, time.UTC)
		if err == nil && !p.From.Before(p.To) {
			t.Errorf("Parse(%q) = %v", text, p)
		}
	})
}
