package calendar

import (
	"sort"
	"time"
)

// Span is an unbroken stretch of working time, [Start, End), in UTC.
type Span struct {
	Start, End time.Time
	// Before is the working time of all earlier spans, in seconds.
	Before int64
}

// Spans is a calendar laid out in time, in order and without overlaps. It is known from the first span's start to the last one's end.
type Spans []Span

// Seconds counts the working time in [t0, t1], in seconds. ok is false where the calendar does not reach.
func (s Spans) Seconds(t0, t1 time.Time) (working float64, ok bool) {
	if len(s) == 0 || t1.Before(t0) || t0.Before(s[0].Start) || t1.After(s[len(s)-1].End) {
		return 0, false
	}
	whole0, part0 := s.upTo(t0)
	whole1, part1 := s.upTo(t1)
	// Whole seconds are counted apart from the parts of a second, so that no precision is lost to the years before t0.
	return float64(whole1-whole0) + (part1 - part0).Seconds(), true
}

// upTo splits the working time from the first span to t into that before t's span and that in it.
func (s Spans) upTo(t time.Time) (before int64, inside time.Duration) {
	i := sort.Search(len(s), func(i int) bool { return s[i].Start.After(t) }) - 1
	return s[i].Before, min(t.Sub(s[i].Start), s[i].End.Sub(s[i].Start))
}
