package reference

import "time"

// WorkingSpan is an unbroken stretch of working time, [Start, End).
type WorkingSpan struct{ Start, End time.Time }

// WorkingSpans is a working calendar laid out in time, in order. It is known from the first span's start to the last one's end.
type WorkingSpans []WorkingSpan

// Seconds sums the working time between two instants; it fits World.Business. ok is false where the calendar does not reach.
func (w WorkingSpans) Seconds(t0, t1 time.Time) (seconds float64, ok bool) {
	if len(w) == 0 || t0.Before(w[0].Start) || t1.After(w[len(w)-1].End) {
		return 0, false
	}
	for _, s := range w {
		start, end := s.Start, s.End
		if t0.After(start) {
			start = t0
		}
		if t1.Before(end) {
			end = t1
		}
		if end.After(start) {
			seconds += end.Sub(start).Seconds()
		}
	}
	return seconds, true
}
