package kafka

import (
	"errors"
	"fmt"
	"time"
)

// BatchPolicy says when a batch is handed to the handler: at the first limit that is reached.
type BatchPolicy struct {
	MaxRecords int           // records; 0 means 20,000
	MaxBytes   int           // bytes of keys, values and headers; 0 means 32 MiB; a single larger record is a batch of its own
	MaxAge     time.Duration // since the batch's first record; 0 means 1 s
}

func (p BatchPolicy) withDefaults() BatchPolicy {
	if p.MaxRecords == 0 {
		p.MaxRecords = 20_000
	}
	if p.MaxBytes == 0 {
		p.MaxBytes = 32 << 20
	}
	if p.MaxAge == 0 {
		p.MaxAge = time.Second
	}
	return p
}

func (p BatchPolicy) validate() error {
	var errs []error
	if p.MaxRecords < 1 {
		errs = append(errs, fmt.Errorf("Policy.MaxRecords is %d; at least 1 is needed", p.MaxRecords))
	}
	if p.MaxBytes < 1 {
		errs = append(errs, fmt.Errorf("Policy.MaxBytes is %d; at least 1 is needed", p.MaxBytes))
	}
	if p.MaxAge < time.Millisecond {
		errs = append(errs, fmt.Errorf("Policy.MaxAge is %v; at least 1ms is needed", p.MaxAge))
	}
	return errors.Join(errs...)
}

// gatherer makes batches of the chunks that the partitions deliver, by policy.
type gatherer struct {
	policy BatchPolicy
	batch  []Record
	bytes  int
	first  time.Time // when the batch got its first record
}

// add takes records of the chunk, in order, until the batch is full, and returns those that it did not take.
func (g *gatherer) add(chunk []Record, now time.Time) (rest []Record, full bool) {
	for i := range chunk {
		size := chunk[i].Size()
		if len(g.batch) > 0 && g.bytes+size > g.policy.MaxBytes {
			return chunk[i:], true
		}
		if len(g.batch) == 0 {
			g.first = now
		}
		g.batch = append(g.batch, chunk[i])
		g.bytes += size
		if len(g.batch) == g.policy.MaxRecords || g.bytes >= g.policy.MaxBytes {
			return chunk[i+1:], true
		}
	}
	return nil, false
}

// take returns the batch, which is the caller's from now on, and starts the next one.
func (g *gatherer) take() []Record {
	batch := g.batch
	// The next batch is likely as large as this one; the slice itself is not reused because the handler owns it.
	g.batch, g.bytes = make([]Record, 0, len(batch)), 0
	return batch
}

// due returns when the batch is old enough to go; it has a meaning only while the batch is not empty.
func (g *gatherer) due() time.Time { return g.first.Add(g.policy.MaxAge) }
