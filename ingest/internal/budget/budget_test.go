package budget_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
)

// TestNeverOver: whatever is reserved and settled, with restarts in between, no window spends more than its limit, and what is refused would have.
func TestNeverOver(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		now := time.Date(2026, 1, 31, 22, 0, 0, 0, time.UTC)
		caps := []budget.Cap{{Period: budget.Day, Limit: 1000}, {Period: budget.Month, Limit: 2500}}
		open := func() *budget.Purse {
			p, err := budget.NewPurses(dir, func() time.Time { return now }).Open("x:kota", budget.MicroUSD, caps...)
			if err != nil {
				rt.Fatal(err)
			}
			return p
		}
		p := open()
		day, month := map[string]int64{}, map[string]int64{}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(rt, "minutes")) * time.Minute)
			if rapid.IntRange(0, 5).Draw(rt, "restart") == 0 {
				p = open()
			}
			if rapid.IntRange(0, 5).Draw(rt, "another process") == 0 {
				defer func(mine *budget.Purse) { p = mine }(p)
				p = open()
			}
			ask := rapid.Int64Range(1, 700).Draw(rt, "ask")
			d, m := now.Format(time.DateOnly), now.Format("2006-01")
			fits := day[d]+ask <= 1000 && month[m]+ask <= 2500
			hold, err := p.Reserve(ask)
			var exhausted *budget.ExhaustedError
			if fits != (err == nil) || err != nil && !errors.As(err, &exhausted) {
				rt.Fatalf("%d on %s with %d and %d spent: %v", ask, d, day[d], month[m], err)
			}
			if err != nil {
				continue
			}
			cost := ask
			if rapid.Bool().Draw(rt, "settled") {
				cost = rapid.Int64Range(0, ask).Draw(rt, "cost")
				if err := hold.Settle(cost); err != nil {
					rt.Fatal(err)
				}
			}
			day[d] += cost
			month[m] += cost
			if lines := p.Lines(); lines[0].Left != 1000-day[d] || lines[1].Left != 2500-month[m] {
				rt.Fatalf("lines %v, want %d and %d spent", lines, day[d], month[m])
			}
		}
	})
}

func TestTheDayBeginsInItsZone(t *testing.T) {
	pacific, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 7, 59, 0, 0, time.UTC) // a minute before midnight there
	p, err := budget.NewPurses(t.TempDir(), func() time.Time { return now }).Open("youtube", budget.Units, budget.Cap{Period: budget.Day, Limit: 10, Zone: pacific})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Reserve(10); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Reserve(1); err == nil {
		t.Error("over the limit")
	}
	if l := p.Lines()[0]; !l.Reset.Equal(now.Add(time.Minute)) || l.Left != 0 {
		t.Errorf("line %+v", l)
	}
	now = now.Add(time.Minute)
	if _, err := p.Reserve(1); err != nil {
		t.Errorf("a new day: %v", err)
	}
}

func TestASharedPurseHasOneLimit(t *testing.T) {
	ps := budget.NewPurses(t.TempDir(), time.Now)
	a, err := ps.Open("x", budget.MicroUSD, budget.Cap{Period: budget.Day, Limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := ps.Open("x", budget.MicroUSD, budget.Cap{Period: budget.Day, Limit: 5}); err != nil || a != b {
		t.Errorf("not shared: %v", err)
	}
	if _, err := ps.Open("x", budget.MicroUSD, budget.Cap{Period: budget.Day, Limit: 6}); err == nil {
		t.Error("two limits of one purse")
	}
}
