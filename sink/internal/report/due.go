package report

import (
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/dwiarah/dwiarah/sink/internal/report/period"
)

// dueAt returns the first tick at which a period is asked for: one at which it is the last period that has ended. There is none where the schedule leaves the
// period out.
func dueAt(schedule cron.Schedule, p period.Period) (time.Time, bool) {
	tick := schedule.Next(p.To.Add(-time.Nanosecond))
	return tick, !tick.IsZero() && tick.Before(p.Next().To)
}

// scannedBack bounds the search for periods that a sparse schedule asks for.
const scannedBack = 520

// due returns the periods that are to be made at the instant now, oldest first: of the latest window periods that the schedule has asked for, those that the log does not
// have as done. Nothing before the first period that the log knows of is due; an empty log makes the latest one due, so that a new report begins with the
// period that has just ended. A run by hand begins no history.
//
// It depends on the clock only through which ticks have passed. That is what makes every period come exactly once after any pattern of downtime: the log
// alone says what was done.
func due(schedule cron.Schedule, zone *time.Location, now time.Time, runs []Run, window int) []period.Period {
	var first time.Time
	done := map[[2]int64]bool{}
	for _, r := range runs {
		if r.Status == StatusDone {
			done[key(r.Period)] = true
		}
		if r.Trigger != TriggerManual && (first.IsZero() || r.Period.From.Before(first)) {
			first = r.Period.From
		}
	}
	var list []period.Period
	p := period.EndedBy(now, zone)
	for asked, scanned := 0, 0; asked < window && scanned < scannedBack && !p.From.Before(first); p, scanned = p.Previous(), scanned+1 {
		tick, ok := dueAt(schedule, p)
		if !ok || tick.After(now) {
			continue
		}
		asked++
		if !done[key(p)] {
			list = append(list, p)
		}
		if first.IsZero() {
			break
		}
	}
	slices.Reverse(list)
	return list
}

func key(p period.Period) [2]int64 { return [2]int64{p.From.Unix(), p.To.Unix()} }
