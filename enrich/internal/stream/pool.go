package stream

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dwiarah/dwiarah/schemas/event"
)

// failure says how the labeller failed a message.
type failure string

const (
	hang     failure = "hang"
	panicked failure = "panic"
)

// outcome is an answer, or why there is none.
type outcome struct {
	answer  *event.Enrichment
	failure failure
}

// maxAbandoned bounds the goroutines that may hang in the labeller for good. A hanging labeller is broken own state: past the bound the
// service stops, loudly, rather than fill up with them.
const maxAbandoned = 16

// pool labels messages on some workers. A worker that does not come back from a message in time is abandoned, its message gets no answer, and
// another worker takes its place.
type pool struct {
	label     func(*event.Message) *event.Enrichment
	workers   int
	timeout   time.Duration
	abandoned atomic.Int64
}

// batchRun is the labelling of one batch. Its lock guards everything below it; a worker takes it between two messages only.
type batchRun struct {
	pool     *pool
	messages []*event.Message
	work     []int

	mu       sync.Mutex
	next     int
	open     int
	outcomes []outcome
	settled  []bool
	busy     map[int]time.Time
	done     chan struct{}
}

// run labels the messages at the places in work and returns an outcome for each.
func (p *pool) run(ctx context.Context, messages []*event.Message, work []int) ([]outcome, error) {
	r := &batchRun{pool: p, messages: messages, work: work, open: len(work), outcomes: make([]outcome, len(work)), settled: make([]bool, len(work)),
		busy: map[int]time.Time{}, done: make(chan struct{})}
	if len(work) == 0 {
		return r.outcomes, nil
	}
	for range min(p.workers, len(work)) {
		go r.worker()
	}
	look := time.NewTicker(max(p.timeout/4, time.Millisecond))
	defer look.Stop()
	for {
		select {
		case <-r.done:
			return r.outcomes, nil
		case <-ctx.Done():
			// The workers end with the message they have: the run takes no more from here on.
			r.stop()
			return nil, context.Cause(ctx)
		case now := <-look.C:
			if err := r.abandon(now); err != nil {
				r.stop()
				return nil, err
			}
		}
	}
}

// worker labels messages until none is left, or until it was abandoned.
func (r *batchRun) worker() {
	for {
		i, ok := r.take()
		if !ok {
			return
		}
		o := r.pool.one(r.messages[r.work[i]])
		if !r.settle(i, o) {
			r.pool.abandoned.Add(-1)
			return
		}
	}
}

// one labels one message and turns a panic into a failure.
func (p *pool) one(m *event.Message) (o outcome) {
	defer func() {
		if recover() != nil {
			o = outcome{failure: panicked}
		}
	}()
	return outcome{answer: p.label(m)}
}

func (r *batchRun) take() (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next >= len(r.work) {
		return 0, false
	}
	i := r.next
	r.next++
	r.busy[i] = time.Now()
	return i, true
}

// settle stores an outcome; false means that the worker was abandoned with this message, which has its outcome already.
func (r *batchRun) settle(i int, o outcome) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled[i] {
		return false
	}
	r.store(i, o)
	return true
}

func (r *batchRun) store(i int, o outcome) {
	delete(r.busy, i)
	r.outcomes[i], r.settled[i] = o, true
	if r.open--; r.open == 0 {
		close(r.done)
	}
}

// abandon gives up the messages that have taken too long, and starts a worker in place of each one lost.
func (r *batchRun) abandon(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, since := range r.busy {
		if now.Sub(since) < r.pool.timeout {
			continue
		}
		if n := r.pool.abandoned.Add(1); n > maxAbandoned {
			return fmt.Errorf("labelling: the classifier hangs in %d messages at a time", n)
		}
		r.store(i, outcome{failure: hang})
		go r.worker()
	}
	return nil
}

func (r *batchRun) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = len(r.work)
}
