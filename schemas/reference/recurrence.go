package reference

import (
	"cmp"
	"slices"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
)

// RecurrenceRow is a row of metric_recurrence (M18).
type RecurrenceRow struct {
	RiskTag string `json:"risk_tag"`
	// N are the messages of the period with the tag; Repeated of them have an author who had complained of it before, First are the others.
	N           int     `json:"n"`
	First       int     `json:"first"`
	Repeated    int     `json:"repeated"`
	RepeatShare float64 `json:"repeat_share"`
	// RepeatLo and RepeatHi are Wilson's 95 % interval.
	RepeatLo         *float64 `json:"repeat_lo"`
	RepeatHi         *float64 `json:"repeat_hi"`
	Authors          int      `json:"authors"`
	AuthorsRepeating int      `json:"authors_repeating"`
	// HistoryDays are the days before the period that were read, at most those that a repeat may lie back; nil without coverage.
	HistoryDays *int64 `json:"history_days"`
}

// Recurrence is M18's recurrence over the I_addr of a period: a row for each tag that some message carries, by number of messages and then by tag.
func (r *Reading) Recurrence(from, to time.Time) []RecurrenceRow {
	withinMs := int64(r.setting("recurrence_s", from)) * 1000
	byTag := map[string]*RecurrenceRow{}
	authors, repeating := map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, x := range r.during(from, to) {
		if x.side != sideAddressed {
			continue
		}
		for _, tag := range slices.Compact(slices.Sorted(slices.Values(x.tags()))) {
			row := byTag[tag]
			if row == nil {
				row = &RecurrenceRow{RiskTag: tag, HistoryDays: r.historyDays(from, to, withinMs)}
				byTag[tag], authors[tag], repeating[tag] = row, map[string]bool{}, map[string]bool{}
			}
			row.N++
			authors[tag][x.AuthorKey] = true
			if r.repeats(x, tag, withinMs) {
				row.Repeated++
				repeating[tag][x.AuthorKey] = true
			}
		}
	}
	var rows []RecurrenceRow
	for tag, row := range byTag {
		row.First = row.N - row.Repeated
		row.RepeatShare = float64(row.Repeated) / float64(row.N)
		row.RepeatLo, row.RepeatHi = wilson(row.Repeated, row.N)
		row.Authors, row.AuthorsRepeating = len(authors[tag]), len(repeating[tag])
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b RecurrenceRow) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.RiskTag, b.RiskTag)) })
	return rows
}

// repeats tells whether the author of a message had written another to the institution with the tag, longer ago than makes it the same complaint still and at
// most withinMs before.
func (r *Reading) repeats(x *row, tag string, withinMs int64) bool {
	return x.AuthorKey != "" && slices.ContainsFunc(r.rows, func(e *row) bool {
		agoMs := x.CreatedAtMs - e.CreatedAtMs
		return e.side == sideAddressed && e.deletedMs == nil && e.AuthorKey == x.AuthorKey && agoMs > foldWithin.Milliseconds() && agoMs <= withinMs && slices.Contains(e.tags(), tag)
	})
}

// historyDays are the whole days from the first complete coverage to the period, at most those of withinMs.
func (r *Reading) historyDays(from, to time.Time, withinMs int64) *int64 {
	var days *int64
	for _, c := range r.coverage {
		if c.Status == schemas.CoverageComplete && c.SinceMs < to.UnixMilli() {
			known := min(withinMs, max(0, from.UnixMilli()-c.SinceMs)) / (24 * time.Hour).Milliseconds()
			if days == nil || known > *days {
				days = &known
			}
		}
	}
	return days
}
