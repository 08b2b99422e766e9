package kafka_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
)

// Every broker of a cluster is killed in its turn, leaders and coordinators with it, while records are written and read: what was acknowledged is read, and the
// producer and the consumer go on by themselves. F7.
func TestEveryBrokerOfAClusterDies(t *testing.T) {
	t.Parallel()
	c := kafkatest.StartCluster(t)
	const topic, group, partitions, step = "t", "g", 6, 200
	if err := kafka.EnsureTopics(within(t), c.Conn, []kafka.TopicSpec{{Name: topic, Partitions: partitions, Replication: c.Size()}}); err != nil {
		t.Fatal(err)
	}
	var s store
	r := run(t, kafka.ConsumerConfig{Conn: c.Conn, Group: group, Topics: []string{topic}, Policy: kafka.BatchPolicy{MaxRecords: 500}}, s.handle)

	p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: c.Conn})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var acknowledged atomic.Int64
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 0; ctx.Err() == nil; n += 10 {
			var records []kafka.Record
			for i := n; i < n+10; i++ {
				v := fmt.Appendf(nil, "v.%d", i)
				records = append(records, kafka.Record{Topic: topic, Key: v, Value: v})
			}
			if err := p.Produce(ctx, records...); err != nil {
				if ctx.Err() == nil {
					t.Errorf("producing: %v", err)
				}
				return
			}
			acknowledged.Store(int64(n + 10))
		}
	})
	more := func(when string) {
		t.Helper()
		from, read := acknowledged.Load(), len(s.all())
		eventually(t, "records are written and read "+when, func() bool { return acknowledged.Load() >= from+step && len(s.all()) >= read+step })
	}
	more("before anything dies")
	for n := range c.Size() {
		c.Kill(t, n)
		more(fmt.Sprintf("while broker %d is away", n))
		c.Start(t, n)
		more(fmt.Sprintf("with broker %d back", n))
	}
	cancel()
	writing.Wait()
	last := int(acknowledged.Load())
	eventually(t, "everything acknowledged is read", func() bool {
		seen := s.values()
		for n := range last {
			if seen[fmt.Sprintf("v.%d", n)] == 0 {
				return false
			}
		}
		return true
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	t.Logf("%d records acknowledged, %d read", last, len(s.all()))
}
