package poll

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
)

const (
	// firstRetry and lastRetry are how long after its end a stream is opened again; meanwhile the source is polled.
	firstRetry, lastRetry = time.Second, 5 * time.Minute
	// steadyAfter is how long a stream has to have lasted for the next retry to be a first one.
	steadyAfter = time.Minute
)

// follow follows a source's push until ctx ends. Whenever the stream breaks the source is polled at once, and on schedule until the stream is there again.
func (p *Poller) follow(ctx context.Context, f Feed, s source.Streamer) error {
	connector := f.Source.Connector()
	l := p.lives[connector]
	wait := firstRetry
	for ctx.Err() == nil {
		l.turn.Lock()
		begun := time.Now()
		err := p.stream(ctx, f, s)
		if err == nil && ctx.Err() == nil {
			err = p.poll(ctx, f)
		}
		l.turn.Unlock()
		if err != nil {
			return err
		}
		if time.Since(begun) > steadyAfter {
			wait = firstRetry
		}
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		wait = min(2*wait, lastRetry)
	}
	return nil
}

// stream follows the push once. The error is of our own state.
func (p *Poller) stream(ctx context.Context, f Feed, s source.Streamer) error {
	connector := f.Source.Connector()
	pos, err := p.load(f)
	if err != nil {
		return err
	}
	t := &turn{Poller: p, feed: f, pos: pos, positioned: true, streaming: true}
	err = s.Stream(ctx, pos.Cursor, func(ctx context.Context, page source.Page) error {
		p.streams(connector, true)
		if err := t.emit(ctx, page); err != nil {
			return err
		}
		if p.cfg.Progress != nil {
			p.cfg.Progress(connector)
		}
		return nil
	})
	p.streams(connector, false)
	result := "broken"
	if ctx.Err() != nil {
		result = "stopped"
	}
	p.metrics.streams.WithLabelValues(connector, result).Inc()
	return t.end(ctx, err)
}

// streams notes whether the connector's push is followed.
func (p *Poller) streams(connector string, yes bool) {
	value := 0.0
	if yes {
		value = 1
	}
	p.metrics.streaming.WithLabelValues(connector).Set(value)
	l := p.lives[connector]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streaming = yes
}
