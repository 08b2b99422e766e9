package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
)

// BudgetGuard spreads calls over the platform's limit and believes what the answers say of it. Safe for concurrent use.
type BudgetGuard struct {
	now     func() time.Time
	limiter *rate.Limiter
	burst   int

	limits LimitReader

	mu        sync.Mutex
	closed    time.Time // no call before that
	total     int64
	remaining int64
	reset     time.Time
}

// Limit is what an answer says of the platform's limit.
type Limit struct {
	// Remaining is how many calls are left in the window; Total of how many, 0 where the answer does not say.
	Remaining, Total int64
	// Reset is when the window ends; zero where the answer does not say.
	Reset time.Time
}

// LimitReader reads a platform's limit from an answer's headers; false where they say nothing.
type LimitReader func(h http.Header, now time.Time) (Limit, bool)

// NewBudget returns a budget of so many calls in a window, corrected by what limits reads; nil means RateLimitHeaders.
func NewBudget(calls int, window time.Duration, now func() time.Time, limits LimitReader) *BudgetGuard {
	if limits == nil {
		limits = RateLimitHeaders
	}
	burst := max(1, calls/5)
	return &BudgetGuard{
		now: now, limits: limits, limiter: rate.NewLimiter(rate.Limit(float64(calls)/window.Seconds()), burst), burst: burst, remaining: int64(calls), total: int64(calls),
	}
}

// Line is the budget as it stands: by the platform's last word, or whole before it said anything.
func (b *BudgetGuard) Line() budget.Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := budget.Line{Name: "calls", Unit: budget.Calls, Limit: b.total, Left: b.remaining, Reset: b.reset}
	now := b.now()
	switch {
	case b.closed.After(now):
		l.Left, l.Reset = 0, b.closed
	case !b.reset.IsZero() && !b.reset.After(now): // the window that the platform spoke of is over
		l.Left, l.Reset = b.total, time.Time{}
	}
	return l
}

// Close keeps calls back until a time: what a platform asks for in an answer's body.
func (b *BudgetGuard) Close(until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.closed) {
		b.closed = until
	}
}

// Wait waits for leave to call, at most for maxWait: beyond it the error is an *Error of kind Budget, at once.
func (b *BudgetGuard) Wait(ctx context.Context, maxWait time.Duration) error {
	now := b.now()
	b.mu.Lock()
	closed := b.closed.Sub(now)
	b.mu.Unlock()
	reservation := b.limiter.ReserveN(now, 1)
	wait := max(closed, reservation.DelayFrom(now))
	if wait <= 0 {
		return nil
	}
	if wait > maxWait {
		reservation.CancelAt(now)
		return &Error{Kind: Budget, RetryAfter: wait, Err: fmt.Errorf("the budget is used up for %s; a call waits at most %s", wait.Round(time.Second), maxWait)}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		reservation.CancelAt(now)
		return context.Cause(ctx)
	}
}

// RateLimitHeaders reads X-RateLimit-Limit, -Remaining and -Reset, or the same without the X-; the reset as an ISO time, Unix seconds or seconds left.
func RateLimitHeaders(h http.Header, now time.Time) (Limit, bool) {
	remaining, err := strconv.ParseInt(header(h, "RateLimit-Remaining"), 10, 64)
	if err != nil || remaining < 0 {
		return Limit{}, false
	}
	l := Limit{Remaining: remaining}
	if total, err := strconv.ParseInt(header(h, "RateLimit-Limit"), 10, 64); err == nil && total > 0 {
		l.Total = total
	}
	if reset, known := parseReset(header(h, "RateLimit-Reset"), now); known {
		l.Reset = reset
	}
	return l, true
}

// Observe corrects the budget by an answer's headers.
func (b *BudgetGuard) Observe(h http.Header) {
	now := b.now()
	l, known := b.limits(h, now)
	if !known {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remaining, b.reset = l.Remaining, l.Reset
	if l.Total > 0 {
		b.total = l.Total
	}
	if !l.Reset.After(now) {
		return
	}
	if l.Remaining <= 0 {
		b.closed = l.Reset
		return
	}
	// What is left is spread over what is left of the window; others may use the same account.
	b.limiter.SetLimitAt(now, rate.Limit(float64(l.Remaining)/l.Reset.Sub(now).Seconds()))
	b.limiter.SetBurstAt(now, int(max(1, min(int64(b.burst), l.Remaining/2))))
}

// retryAfter is how long an answer asks to wait.
func (b *BudgetGuard) retryAfter(h http.Header) time.Duration {
	now := b.now()
	if v := h.Get("Retry-After"); v != "" {
		return parseRetryAfter(v, now)
	}
	if l, known := b.limits(h, now); known && l.Remaining <= 0 && l.Reset.After(now) {
		return l.Reset.Sub(now)
	}
	return 0
}

func header(h http.Header, name string) string {
	if v := h.Get("X-" + name); v != "" {
		return v
	}
	return h.Get(name)
}

// epochFrom tells a Unix time from a number of seconds that are left: nobody's window lasts thirty years.
const epochFrom = 1_000_000_000

// parseReset reads the three ways in which platforms write when a window ends: an ISO time, Unix seconds, seconds left.
func parseReset(value string, now time.Time) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339, value); err == nil {
		return at, true
	}
	s, err := strconv.ParseFloat(value, 64)
	switch {
	case err != nil || s < 0 || s > 1e12:
		return time.Time{}, false
	case s >= epochFrom:
		return time.Unix(int64(s), 0), true
	}
	return now.Add(time.Duration(s * float64(time.Second))), true
}
