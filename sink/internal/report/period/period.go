// Package period says which stretch of time a report is about: whole local days of an office's zone, never a stretch that ends "now".
package period

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Period is the half-open stretch [From, To). Both are instants in UTC that are midnights in Zone.
type Period struct {
	From, To time.Time
	Zone     *time.Location
}

// EndedBy returns the last whole week, Monday 00:00 to Monday 00:00 in zone, that had ended at the instant at.
func EndedBy(at time.Time, zone *time.Location) Period {
	local := at.In(zone)
	sinceMonday := (int(local.Weekday()) + 6) % 7
	return week(time.Date(local.Year(), local.Month(), local.Day()-sinceMonday-7, 0, 0, 0, 0, zone))
}

// week returns the week that begins at monday, a local midnight.
func week(monday time.Time) Period {
	return Period{From: monday.UTC(), To: monday.AddDate(0, 0, 7).UTC(), Zone: monday.Location()}
}

// shift moves a period by whole local days.
func (p Period) shift(days int) Period {
	return Period{From: p.From.In(p.Zone).AddDate(0, 0, days).UTC(), To: p.To.In(p.Zone).AddDate(0, 0, days).UTC(), Zone: p.Zone}
}

// Previous returns the period of the same number of days that ends where p begins.
func (p Period) Previous() Period { return p.shift(-p.Days()) }

// Next returns the period of the same number of days that begins where p ends.
func (p Period) Next() Period { return p.shift(p.Days()) }

// Days is the number of local days in the period.
func (p Period) Days() int {
	days := 0
	for t := p.From.In(p.Zone); t.Before(p.To); t = t.AddDate(0, 0, 1) {
		days++
	}
	return days
}

// FirstDay and LastDay are the local midnights of the first and of the last day in the period.
func (p Period) FirstDay() time.Time { return p.From.In(p.Zone) }

// LastDay is the local midnight at which the last day of the period begins.
func (p Period) LastDay() time.Time { return p.To.In(p.Zone).AddDate(0, 0, -1) }

// IsWeek tells whether the period is one week from Monday to Monday.
func (p Period) IsWeek() bool { return p.Days() == 7 && p.FirstDay().Weekday() == time.Monday }

// String is how a period is named in file names and on the command line's output: 2026-W10, or 2026-03-02_2026-03-09 where it is no week.
func (p Period) String() string {
	if p.IsWeek() {
		year, number := p.FirstDay().ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, number)
	}
	return p.From.In(p.Zone).Format(time.DateOnly) + "_" + p.To.In(p.Zone).Format(time.DateOnly)
}

var weekForm = regexp.MustCompile(`^(\d{4})-W(\d{2})$`)

// maxDays bounds a hand-written period; a year and its leap day is the longest a page stays readable for.
const maxDays = 366

// Parse reads a period as people write it: an ISO week, 2026-W10, or two dates with the second one left out of the period, 2026-03-02/2026-03-09.
// The days are those of zone.
func Parse(text string, zone *time.Location) (Period, error) {
	const allowed = "allowed: a week as 2026-W10, or first and following day as 2026-03-02/2026-03-09"
	if m := weekForm.FindStringSubmatch(text); m != nil {
		year, _ := strconv.Atoi(m[1])
		number, _ := strconv.Atoi(m[2])
		// The 4th of January is always in week 1.
		p := EndedBy(time.Date(year, time.January, 4+7*number, 0, 0, 0, 0, zone), zone)
		if gotYear, got := p.FirstDay().ISOWeek(); gotYear != year || got != number {
			return Period{}, fmt.Errorf("period %q: the year %d has no week %d; %s", text, year, number, allowed)
		}
		return p, nil
	}
	first, last, found := strings.Cut(text, "/")
	from, errFrom := time.ParseInLocation(time.DateOnly, first, zone)
	to, errTo := time.ParseInLocation(time.DateOnly, last, zone)
	if !found || errFrom != nil || errTo != nil {
		return Period{}, fmt.Errorf("period %q; %s", text, allowed)
	}
	if !from.Before(to) {
		return Period{}, fmt.Errorf("period %q: it ends before it begins; %s", text, allowed)
	}
	if to.After(from.AddDate(0, 0, maxDays)) {
		return Period{}, fmt.Errorf("period %q: longer than %d days; %s", text, maxDays, allowed)
	}
	return Period{From: from.UTC(), To: to.UTC(), Zone: zone}, nil
}
