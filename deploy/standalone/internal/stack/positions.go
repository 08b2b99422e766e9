package stack

import (
	"context"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/page"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// positions reads from Kafka how far each stage is: what is committed is done, and nothing else is.
type positions struct {
	conn                   kafka.Conn
	enrichGroup, sinkGroup string
	imports                *imports
	mu                     sync.Mutex
	at                     time.Time
	last                   page.Progress
}

// freshness is how long a reading serves: a page that many people watch asks Kafka no more often.
const freshness = 500 * time.Millisecond

// Progress returns how far the pipeline is.
func (p *positions) Progress(ctx context.Context) (page.Progress, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < freshness {
		return p.last, nil
	}
	progress := page.Progress{Imports: p.imports.snapshot()}
	// Imports are read first: a batch that they produce after this makes the answer "not idle" at worst a moment late, never early.
	raw, err := kafka.Lag(ctx, p.conn, p.enrichGroup, schemas.TopicRaw)
	if err != nil {
		return progress, err
	}
	enriched, err := kafka.Lag(ctx, p.conn, p.sinkGroup, schemas.TopicEnriched, schemas.TopicLedger)
	if err != nil {
		return progress, err
	}
	dead, err := kafka.Extents(ctx, p.conn, schemas.TopicDead)
	if err != nil {
		return progress, err
	}
	var waiting int64
	for _, l := range raw {
		progress.Raw += l.End
		progress.Enriched += l.End - l.Behind()
		waiting += l.Behind()
	}
	for _, l := range enriched {
		if l.Topic == schemas.TopicEnriched {
			progress.Stored += l.End - l.Behind()
		}
		waiting += l.Behind()
	}
	for _, l := range dead {
		progress.Dead += l.End
	}
	progress.Idle = waiting == 0 && p.imports.done()
	p.last, p.at = progress, time.Now()
	return progress, nil
}
