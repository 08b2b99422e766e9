package poll

import (
	"context"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"

	"github.com/dwiarah/dwiarah/ingest/internal/record"
)

// watchEvery is how often the sources are looked at.
const watchEvery = 5 * time.Second

// streamLife is how often a stream says at least that it is complete (source.Streamer), whatever the schedule of its polls.
const streamLife = time.Minute

// watch looks at all sources until ctx ends.
func (p *Poller) watch(ctx context.Context) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := p.Watch(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Watch writes a gap for every source that has not become more complete for one and a half periods of its schedule, and another for each period after that, unless its
// poll has said so itself: for a poll that hangs, or a stream that is silent. A dead connector must not look like a silent institution.
func (p *Poller) Watch(ctx context.Context) error {
	now := p.cfg.Now().UTC()
	var records []kafka.Record
	var silent []*life
	for _, f := range p.cfg.Feeds {
		l := p.lives[f.Source.Connector()]
		next := f.Schedule.Next(now)
		period := f.Schedule.Next(next).Sub(next)
		l.mu.Lock()
		if l.streaming {
			period = max(period, streamLife)
		}
		since := l.until
		overdue := !l.begun.IsZero() && now.Sub(l.seen) > period+max(period/2, p.cfg.Jitter) && now.Sub(l.noted) > period
		l.mu.Unlock()
		if !overdue {
			continue
		}
		silent = append(silent, l)
		p.cfg.Log.Warn("source shows no life", "connector", f.Source.Connector(), "complete_until", since)
		p.metrics.gaps.WithLabelValues(f.Source.Connector(), schemas.GapOutage).Inc()
		for _, in := range f.Institutions {
			r, err := record.Coverage(&event.Coverage{
				Connector: f.Source.Connector(), Institution: in.ID, SinceMs: since.UnixMilli(), UntilMs: now.UnixMilli(),
				Status: schemas.CoverageGap, Reason: schemas.GapOutage, RecordedAtMs: now.UnixMilli(),
			})
			if err != nil {
				return err
			}
			records = append(records, r)
		}
	}
	if len(records) == 0 {
		return nil
	}
	if err := p.cfg.Producer.Produce(ctx, records...); err != nil {
		return err
	}
	for _, l := range silent {
		l.mu.Lock()
		l.noted = now
		l.mu.Unlock()
	}
	return nil
}
