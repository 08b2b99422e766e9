package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

const (
	fetchPause = 50 * time.Millisecond  // after an answer without records although there are some
	fetchWait  = 500 * time.Millisecond // how long the broker holds a fetch that has nothing to answer
	fetchBytes = 2 << 20                // of one answer, compressed
)

// outOfRangeAttempts is how often the log must end before the wanted offset until it is believed: a new leader may answer
// with an end that it is still catching up with.
const outOfRangeAttempts = 5

// fetch reads the partition from next until ctx ends. It mends whatever another connection can mend.
func (g *generation) fetch(ctx context.Context, p *partition) error {
	wait := newBackOff()
	beyond := 0 // consecutive answers that the wanted offset is past the end
	for {
		from := p.next
		err := g.read(ctx, p)
		if ctx.Err() != nil {
			return nil
		}
		if p.next != from {
			wait.Reset()
			beyond = 0
		}
		g.fails(p)
		var gap *OffsetRangeError
		switch {
		case errors.As(err, &gap) && gap.Offset > gap.End:
			if beyond++; beyond >= outOfRangeAttempts {
				if err := g.jump(p, gap); err != nil {
					return err
				}
			}
		case errors.As(err, &gap):
			if err := g.jump(p, gap); err != nil {
				return err
			}
			continue
		case refused(err):
			return fmt.Errorf("reading topic %q, partition %d, at offset %d: %w", p.topic, p.partition, p.next, err)
		}
		g.c.metrics.fetchErrors.WithLabelValues(g.c.cfg.Group, p.topic).Inc()
		g.c.cfg.Log.Warn("reading a partition again", "topic", p.topic, "partition", p.partition, "offset", p.next, "error", err)
		if !sleep(ctx, wait.NextBackOff()) {
			return nil
		}
	}
}

// jump goes on at the first offset there is, if that is allowed, and counts what is lost.
func (g *generation) jump(p *partition, gap *OffsetRangeError) error {
	if !g.c.cfg.AllowGap {
		return gap
	}
	g.c.metrics.lost.WithLabelValues(g.c.cfg.Group, p.topic).Add(float64(gap.Lost()))
	g.c.cfg.Log.Error("going on over a gap", "group", g.c.cfg.Group, "topic", p.topic, "partition", p.partition,
		"offset", gap.Offset, "first", gap.First, "end", gap.End, "lost", gap.Lost())
	p.next = gap.First
	return nil
}

// read reads over one connection to the partition's leader until that breaks.
func (g *generation) read(ctx context.Context, p *partition) error {
	conn, err := g.dial(ctx, p)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // ends a fetch that the broker holds

	if _, err := conn.Seek(p.next, kafkago.SeekAbsolute|kafkago.SeekDontCheck); err != nil {
		return fmt.Errorf("seeking: %w", err)
	}
	for {
		if err := conn.SetDeadline(time.Now().Add(fetchWait + ioTimeout)); err != nil {
			return fmt.Errorf("setting a deadline: %w", err)
		}
		err := g.readBatch(ctx, p, conn)
		switch {
		case errors.Is(err, kafkago.OffsetOutOfRange):
			return g.outOfRange(ctx, p)
		case err != nil:
			return err
		}
	}
}

func (g *generation) dial(ctx context.Context, p *partition) (*kafkago.Conn, error) {
	dialer := g.c.cfg.Conn.Dialer()
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	var errs []error
	for _, broker := range g.c.cfg.Conn.Brokers {
		conn, err := dialer.DialLeader(ctx, "tcp", broker, p.topic, p.partition)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("connecting to the leader: %w", errors.Join(errs...))
}

// readBatch does one fetch and hands its records over in chunks. An empty answer is no error.
func (g *generation) readBatch(ctx context.Context, p *partition, conn *kafkago.Conn) error {
	answer := conn.ReadBatchWith(kafkago.ReadBatchConfig{MinBytes: 1, MaxBytes: fetchBytes, MaxWait: fetchWait})
	end := answer.HighWaterMark()
	chunk := make([]Record, 0, p.expect)
	bytes, from := 0, p.next
	for {
		message, err := answer.ReadMessage()
		if err != nil {
			break // also the end; Close tells
		}
		record := fromMessage(&message)
		chunk = append(chunk, record)
		bytes += record.Size()
		if len(chunk) < g.chunkRecords && bytes < g.chunkBytes {
			continue
		}
		if !g.handOver(ctx, p, chunk, end) {
			answer.Close()
			return ctx.Err()
		}
		chunk, bytes = make([]Record, 0, p.expect), 0
		// The gatherer may have let the chunk wait for long.
		if err := conn.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
			break
		}
	}
	err := answer.Close()
	if len(chunk) > 0 && !g.handOver(ctx, p, chunk, end) {
		return ctx.Err()
	}
	// RequestTimedOut is kafka-go's word for an empty answer, but also for one that did not come whole.
	if err != nil && (!errors.Is(err, kafkago.RequestTimedOut) || end < p.next) {
		return fmt.Errorf("fetching: %w", err)
	}
	// A batch may end with offsets that hold no record: kafka-go knows where it ends.
	if offset, _ := conn.Offset(); offset > p.next {
		p.next = offset
	}
	g.reached(p, end)
	if p.next == from && p.next < end {
		sleep(ctx, fetchPause)
	}
	return nil
}

// handOver gives the chunk to the gatherer, waiting as long as that is busy. It reports whether ctx goes on.
func (g *generation) handOver(ctx context.Context, p *partition, chunk []Record, end int64) bool {
	p.expect = len(chunk)
	g.mu.Lock()
	p.atEnd, p.waiting, p.end = false, true, max(p.end, end)
	g.uncommitted += len(chunk)
	g.c.metrics.buffered.Set(float64(g.uncommitted))
	g.busy()
	g.mu.Unlock()
	select {
	case g.chunks <- chunk:
	case <-ctx.Done():
		return false
	}
	p.next = chunk[len(chunk)-1].Offset + 1
	g.mu.Lock()
	p.waiting = false
	p.position = p.next
	p.lag.Set(float64(max(0, p.end-p.committed)))
	g.mu.Unlock()
	return true
}

// reached notes that a fetch was read to its end.
func (g *generation) reached(p *partition, end int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.next != p.position {
		p.position = p.next
	}
	p.end = end
	p.atEnd = p.next >= end
	p.lag.Set(float64(max(0, p.end-p.committed)))
	g.rest()
}

// fails notes that the partition cannot be read at present.
func (g *generation) fails(p *partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.atEnd = false
	g.busy()
}

// outOfRange makes the error of an offset that the log does not hold, or another error when it does after all.
// It asks over another connection: kafka-go leaves the rest of an answer with an error unread.
func (g *generation) outOfRange(ctx context.Context, p *partition) error {
	ends, err := logs(ctx, g.client, map[string][]int{p.topic: {p.partition}})
	if err != nil {
		return err
	}
	first, end := ends[0].First, ends[0].End
	if p.next >= first && p.next <= end {
		return fmt.Errorf("fetching offset %d, which the log from %d to %d holds: %w", p.next, first, end, io.ErrNoProgress)
	}
	return &OffsetRangeError{Group: g.c.cfg.Group, Topic: p.topic, Partition: p.partition, Offset: p.next, First: first, End: end}
}

func fromMessage(m *kafkago.Message) Record {
	r := Record{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Time.UTC()}
	if len(m.Headers) > 0 {
		r.Headers = make([]Header, len(m.Headers))
		for i, h := range m.Headers {
			r.Headers[i] = Header(h)
		}
	}
	return r
}
