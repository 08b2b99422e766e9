package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// BudgetGuard spreads calls over the platform's limit and believes what the answers say of it. Safe for concurrent use.
type BudgetGuard struct {
	now     func() time.Time
	limiter *rate.Limiter
	burst   int

	mu        sync.Mutex
	closed    time.Time // no call before that
	remaining int64
}

// NewBudget returns a budget of so many calls in a window.
func NewBudget(calls int, window time.Duration, now func() time.Time) *BudgetGuard {
	burst := max(1, calls/5)
	return &BudgetGuard{now: now, limiter: rate.NewLimiter(rate.Limit(float64(calls)/window.Seconds()), burst), burst: burst, remaining: int64(calls)}
}

// Remaining is how many calls the platform said are left, or the whole budget before it said anything.
func (b *BudgetGuard) Remaining() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remaining
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

// Observe reads the limit's headers of an answer: X-RateLimit-Limit, -Remaining and -Reset, or the same without the X-.
func (b *BudgetGuard) Observe(h http.Header) {
	remaining, err := strconv.ParseInt(header(h, "RateLimit-Remaining"), 10, 64)
	if err != nil || remaining < 0 {
		return
	}
	now := b.now()
	reset, known := parseReset(header(h, "RateLimit-Reset"), now)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remaining = remaining
	if !known || !reset.After(now) {
		return
	}
	if remaining == 0 {
		b.closed = reset
		return
	}
	// What is left is spread over what is left of the window; others may use the same account.
	b.limiter.SetLimitAt(now, rate.Limit(float64(remaining)/reset.Sub(now).Seconds()))
	b.limiter.SetBurstAt(now, int(max(1, min(int64(b.burst), remaining/2))))
}

// retryAfter is how long an answer asks to wait.
func (b *BudgetGuard) retryAfter(h http.Header) time.Duration {
	now := b.now()
	if v := h.Get("Retry-After"); v != "" {
		return parseRetryAfter(v, now)
	}
	if header(h, "RateLimit-Remaining") == "0" {
		if reset, known := parseReset(header(h, "RateLimit-Reset"), now); known && reset.After(now) {
			return reset.Sub(now)
		}
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
