package poll

import (
	"context"
	"sync"
	"time"
)

// gate lets one at a time use a shared budget. Of those that wait, the one that was complete longest ago goes first.
type gate struct {
	mu      sync.Mutex
	busy    bool
	waiting []*waiter
}

type waiter struct {
	since time.Time
	begin chan struct{}
}

// enter waits for the turn; false when ctx ended.
func (g *gate) enter(ctx context.Context, completeUntil time.Time) bool {
	g.mu.Lock()
	if !g.busy {
		g.busy = true
		g.mu.Unlock()
		return true
	}
	w := &waiter{since: completeUntil, begin: make(chan struct{})}
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	select {
	case <-w.begin:
		return true
	case <-ctx.Done():
	}
	g.mu.Lock()
	for i, other := range g.waiting {
		if other == w {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			g.mu.Unlock()
			return false
		}
	}
	g.mu.Unlock()
	g.leave() // its turn came at the same moment
	return false
}

// leave gives the turn to the stalest.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.busy = false
		return
	}
	stalest := 0
	for i, w := range g.waiting {
		if w.since.Before(g.waiting[stalest].since) {
			stalest = i
		}
	}
	w := g.waiting[stalest]
	g.waiting = append(g.waiting[:stalest], g.waiting[stalest+1:]...)
	close(w.begin)
}
