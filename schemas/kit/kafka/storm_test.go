package kafka_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
)

// Four consumers join and leave at random while records arrive: every record is handled at least once, and no committed
// offset ever covers a record that nobody has handled. F16.
func TestRebalanceStorm(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 6), kafkatest.Group(t)
	cfg := settings(b, group, topic)
	cfg.Policy.MaxRecords = 20
	var s store
	handle := func(ctx context.Context, batch []kafka.Record) error {
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
		return s.handle(ctx, batch)
	}
	writing, finish := context.WithCancel(context.Background())
	defer finish()
	p := producer(t, b)
	total := 0
	var writer sync.WaitGroup
	writer.Go(func() {
		for writing.Err() == nil {
			records := make([]kafka.Record, 20)
			for i := range records {
				v := []byte(strconv.Itoa(total + i))
				records[i] = kafka.Record{Topic: topic, Key: v, Value: v}
			}
			if err := p.Produce(within(t), records...); err != nil {
				t.Error(err)
				return
			}
			total += len(records)
			time.Sleep(5 * time.Millisecond)
		}
	})
	var members sync.WaitGroup
	for range 4 {
		members.Go(func() {
			for range 3 {
				r := run(t, cfg, handle)
				time.Sleep(time.Duration(200+rand.IntN(1500)) * time.Millisecond)
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	members.Wait()
	finish()
	writer.Wait()

	// What is committed was handled, as of now.
	handled := map[int]map[int64]bool{}
	for _, r := range s.all() {
		if handled[r.Partition] == nil {
			handled[r.Partition] = map[int64]bool{}
		}
		handled[r.Partition][r.Offset] = true
	}
	for _, l := range lag(t, b, group, topic) {
		for offset := range max(0, l.Committed) {
			if !handled[l.Partition][offset] {
				t.Fatalf("partition %d is committed up to %d, but nobody handled offset %d", l.Partition, l.Committed, offset)
			}
		}
	}
	last := run(t, cfg, handle)
	idle(t, b, group, topic)
	if err := last.stop(); err != nil {
		t.Error(err)
	}
	values := s.values()
	if len(values) != total {
		t.Errorf("%d of %d records were handled", len(values), total)
	}
	t.Logf("%d records, %d handled again", total, len(s.all())-total)
}
