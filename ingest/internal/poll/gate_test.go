package poll

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestTheStalestGoesFirst: of those that wait for a shared budget, the one that was complete longest ago is next; one that gave up is passed over.
func TestTheStalestGoesFirst(t *testing.T) {
	var g gate
	if !g.enter(t.Context(), time.Time{}) {
		t.Fatal("the first has to wait")
	}
	order := make(chan int, 10)
	waiting := func(n int) {
		for {
			g.mu.Lock()
			there := len(g.waiting)
			g.mu.Unlock()
			if there == n {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	gone, give := context.WithCancel(t.Context())
	for i, minute := range []int{3, 1, 2, 0} {
		ctx := t.Context()
		if minute == 0 {
			ctx = gone
		}
		go func() {
			if g.enter(ctx, time.Unix(int64(60*minute), 0)) {
				order <- minute
				g.leave()
			} else {
				order <- -1
			}
		}()
		waiting(i + 1)
	}
	give()
	waiting(3)
	g.leave()
	var got []int
	for range 4 {
		got = append(got, <-order)
	}
	if fmt.Sprint(got) != "[-1 1 2 3]" {
		t.Errorf("order %v", got)
	}
}
