package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
)

// queueChunks is how many chunks of at most an eighth of a batch wait for the gatherer: the next batch, while the handler works.
const queueChunks = 8

var (
	errGenerationEnded = errors.New("the group's generation has ended")
	errDrainDeadline   = errors.New("the drain deadline has passed")
)

// generation is what the consumer does between two rebalances: a fetch loop per assigned partition, one gatherer.
type generation struct {
	c      *Consumer
	group  *kafkago.Generation
	client *kafkago.Client
	parts  []*partition

	chunks       chan []Record
	chunkRecords int
	chunkBytes   int

	mu          sync.Mutex
	uncommitted int  // records handed over by the fetch loops and not committed yet
	idle        bool // as last told to Progress
	handling    bool // the handler is running
}

// partition is one assigned partition. Its fetch loop owns next and expect; the rest is guarded by the generation's mu.
type partition struct {
	topicPartition
	next   int64 // offset to fetch
	expect int   // records of the last chunk, which the next one is likely to have as well

	position  int64 // next, as of the last records that the gatherer took
	end       int64 // high watermark as last seen
	committed int64
	atEnd     bool // the last fetch reached the high watermark
	waiting   bool // has records that the gatherer does not take yet
	lag       prometheus.Gauge
}

// consume works on one generation until it has ended, ctx ends (then it drains), or something breaks. Only the last is an error.
func (c *Consumer) consume(ctx, ended context.Context, group *kafkago.Generation, client *kafkago.Client) error {
	fetching, stop := context.WithCancel(ended)
	defer stop()
	defer context.AfterFunc(ctx, stop)()

	g, err := c.newGeneration(fetching, group, client)
	switch {
	case fetching.Err() != nil:
		return nil
	case refused(err):
		return err
	case err != nil:
		c.metrics.joinFailures.Inc()
		c.cfg.Log.Warn("starting a generation again", "group", c.cfg.Group, "generation", group.ID, "error", err)
		return nil
	}
	c.metrics.generations.Inc()
	c.cfg.Log.Info("consuming", "group", c.cfg.Group, "generation", group.ID, "partitions", len(g.parts))
	c.setGeneration(g)
	defer c.setGeneration(nil)

	broken := make(chan error, len(g.parts))
	var loops sync.WaitGroup
	for _, p := range g.parts {
		loops.Go(func() {
			if err := g.fetch(fetching, p); err != nil {
				broken <- err
			}
		})
	}
	work, release := g.handlerContext(ctx, ended)
	err = g.gather(ctx, ended, work, broken)
	release()
	stop()
	loops.Wait()
	for _, p := range g.parts {
		c.metrics.lag.DeleteLabelValues(c.cfg.Group, p.topic, strconv.Itoa(p.partition))
	}
	c.metrics.buffered.Set(0)
	c.cfg.Progress.Advance() // not idle until a next generation says so
	if errors.Is(err, errGenerationEnded) {
		return nil
	}
	return err
}

func (c *Consumer) newGeneration(ctx context.Context, group *kafkago.Generation, client *kafkago.Client) (*generation, error) {
	g := &generation{
		c: c, group: group, client: client,
		chunks:       make(chan []Record, queueChunks),
		chunkRecords: max(1, c.cfg.Policy.MaxRecords/queueChunks),
		chunkBytes:   max(1, c.cfg.Policy.MaxBytes/queueChunks),
	}
	starts := map[topicPartition]int64{}
	fresh := map[string][]int{}
	for topic, assignments := range group.Assignments {
		for _, a := range assignments {
			starts[topicPartition{topic, a.ID}] = a.Offset
			if a.Offset < 0 {
				fresh[topic] = append(fresh[topic], a.ID)
			}
		}
	}
	if len(fresh) > 0 {
		// Where the group starts is committed before anything is read, so that from now on a gap can be told from a beginning.
		found, err := logs(ctx, client, fresh)
		if err != nil {
			return nil, err
		}
		offsets := map[string]map[int]int64{}
		for _, l := range found {
			starts[topicPartition{l.Topic, l.Partition}] = l.First
			if offsets[l.Topic] == nil {
				offsets[l.Topic] = map[int]int64{}
			}
			offsets[l.Topic][l.Partition] = l.First
		}
		if err := g.commit(offsets); err != nil {
			return nil, err
		}
	}
	for tp, start := range starts {
		g.parts = append(g.parts, &partition{topicPartition: tp, next: start, position: start, committed: start,
			lag: c.metrics.lag.WithLabelValues(c.cfg.Group, tp.topic, strconv.Itoa(tp.partition))})
	}
	if len(g.parts) == 0 {
		g.idle = true
		c.cfg.Progress.Idle()
	}
	return g, nil
}

// handlerContext returns the handler's ctx: it outlives the shutdown by the drain timeout, and the generation by half a
// session. The latter is as long as the group's coordinator still waits for this member, and takes its commit.
func (g *generation) handlerContext(ctx, ended context.Context) (context.Context, func()) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	released := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var limit time.Duration
		var cause error
		select {
		case <-ended.Done():
			limit, cause = g.c.cfg.SessionTimeout/2, errGenerationEnded
		case <-ctx.Done():
			limit, cause = g.c.cfg.DrainTimeout, errDrainDeadline
		case <-released:
			return
		}
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(cause)
		case <-released:
		}
	})
	return work, func() {
		close(released)
		wg.Wait()
		cancel(nil)
	}
}

// gather makes batches of what the fetch loops deliver and hands them on, one after another. After ctx it calls the handler
// at most once more: for the batch that it had begun to gather, unless the handler was running when ctx ended.
func (g *generation) gather(ctx, ended, work context.Context, broken <-chan error) error {
	batch := gatherer{policy: g.c.cfg.Policy}
	age := time.NewTimer(0)
	<-age.C
	defer age.Stop()
	for {
		select {
		case <-ended.Done():
			return errGenerationEnded
		case err := <-broken:
			return err
		case <-ctx.Done():
			if len(batch.batch) == 0 || ended.Err() != nil {
				return nil
			}
			return g.deliver(work, batch.take())
		case <-age.C:
			if err := g.deliver(work, batch.take()); err != nil {
				return err
			}
		case chunk := <-g.chunks:
			for len(chunk) > 0 {
				begins := len(batch.batch) == 0
				rest, full := batch.add(chunk, time.Now())
				if begins {
					age.Reset(time.Until(batch.due()))
				}
				if chunk = rest; !full {
					continue
				}
				age.Stop()
				if err := g.deliver(work, batch.take()); err != nil {
					return err
				}
				if ctx.Err() != nil {
					return nil
				}
			}
		}
	}
}

// deliver hands the batch to the handler and then commits it on this generation: data durable first, position second.
func (g *generation) deliver(work context.Context, batch []Record) error {
	cfg, m := &g.c.cfg, g.c.metrics
	n, bytes := len(batch), map[string]int{}
	records := map[string]int{}
	offsets := map[string]map[int]int64{}
	for i := range batch { // before the handler, whose records they are
		r := &batch[i]
		records[r.Topic]++
		bytes[r.Topic] += r.Size()
		if offsets[r.Topic] == nil {
			offsets[r.Topic] = map[int]int64{}
		}
		offsets[r.Topic][r.Partition] = r.Offset + 1
	}
	g.setHandling(true)
	begin := time.Now()
	err := g.c.handler(work, batch)
	m.handler.Observe(time.Since(begin).Seconds())
	g.setHandling(false)
	switch cause := context.Cause(work); {
	case err == nil:
	case errors.Is(cause, errGenerationEnded):
		cfg.Log.Warn("giving up a batch of a generation that has ended; it will be read again", "group", cfg.Group, "generation", g.group.ID, "records", n, "error", err)
		return errGenerationEnded
	case errors.Is(cause, errDrainDeadline):
		return fmt.Errorf("draining %d records: %w (%v): %w", n, errDrainDeadline, cfg.DrainTimeout, err)
	default:
		return fmt.Errorf("handling %d records: %w", n, err)
	}
	crashpoint.Hit("consumer.before_commit")
	if err := g.commit(offsets); err != nil {
		cfg.Log.Warn("commit refused; the batch will be read again", "group", cfg.Group, "generation", g.group.ID, "records", n, "error", err)
		return errGenerationEnded
	}
	crashpoint.Hit("consumer.after_commit")
	m.batches.Inc()
	m.commits.Inc()
	for topic := range records {
		m.records.WithLabelValues(cfg.Group, topic).Add(float64(records[topic]))
		m.bytes.WithLabelValues(cfg.Group, topic).Add(float64(bytes[topic]))
	}
	g.moved(n, offsets)
	return nil
}

// commit commits on this generation only. The group's coordinator refuses it from a member that is no longer part of it.
func (g *generation) commit(offsets map[string]map[int]int64) error {
	if err := g.group.CommitOffsets(offsets); err != nil {
		g.c.metrics.commitFailures.Inc()
		return fmt.Errorf("committing offsets on generation %d: %w", g.group.ID, err)
	}
	return nil
}

func (g *generation) setHandling(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handling = on
}

// moved notes a committed batch.
func (g *generation) moved(records int, offsets map[string]map[int]int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.parts {
		if offset, ok := offsets[p.topic][p.partition]; ok {
			p.committed = offset
			p.lag.Set(float64(max(0, p.end-offset)))
		}
	}
	g.uncommitted -= records
	g.c.metrics.buffered.Set(float64(g.uncommitted))
	g.c.cfg.Progress.Advance()
	g.idle = false
	g.rest()
}

// rest tells Progress when everything there is has been read and committed. The caller holds mu.
func (g *generation) rest() {
	if g.idle || g.uncommitted > 0 {
		return
	}
	for _, p := range g.parts {
		if !p.atEnd {
			return
		}
	}
	g.idle = true
	g.c.cfg.Progress.Idle()
}

// busy ends the rest. The caller holds mu.
func (g *generation) busy() {
	if g.idle {
		g.idle = false
		g.c.cfg.Progress.Advance()
	}
}

// assigned returns the generation's partitions by topic.
func (g *generation) assigned() map[string][]int {
	out := map[string][]int{}
	for _, p := range g.parts {
		out[p.topic] = append(out[p.topic], p.partition)
	}
	return out
}

// positions returns where the partitions stand that do not wait for the handler.
func (g *generation) positions() map[topicPartition]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[topicPartition]int64, len(g.parts))
	for _, p := range g.parts {
		if !p.waiting || !g.handling {
			out[p.topicPartition] = p.position
		}
	}
	return out
}
