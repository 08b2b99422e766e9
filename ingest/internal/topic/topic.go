// Package topic reads a topic for a person or a test: without a group, so that nothing is committed and no service is disturbed.
package topic

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// Options say what is read.
type Options struct {
	// FromStart reads what is there before what comes.
	FromStart bool
	// Follow goes on with what comes until the context ends; otherwise reading ends at what was there when it began.
	Follow bool
}

// Read hands the records of every partition to do, one at a time; records of one partition in their order. It ends with the first error of do.
func Read(ctx context.Context, conn kafka.Conn, topic string, o Options, do func(kafka.Record) error) error {
	dialer := conn.Dialer()
	partitions, err := lookUp(ctx, dialer, conn.Brokers, topic)
	if err != nil {
		return fmt.Errorf("looking up topic %q on %v: %w", topic, conn.Brokers, err)
	}
	records := make(chan kafka.Record)
	group, ctx := errgroup.WithContext(ctx)
	var readers errgroup.Group
	for _, p := range partitions {
		readers.Go(func() error { return readPartition(ctx, dialer, conn.Brokers, p, o, records) })
	}
	group.Go(func() error {
		defer close(records)
		return readers.Wait()
	})
	group.Go(func() error {
		for r := range records {
			if err := do(r); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

func lookUp(ctx context.Context, dialer *kafkago.Dialer, brokers []string, topic string) ([]kafkago.Partition, error) {
	err := errors.New("no broker is configured")
	for _, b := range brokers {
		var partitions []kafkago.Partition
		if partitions, err = dialer.LookupPartitions(ctx, "tcp", b, topic); err == nil {
			return partitions, nil
		}
	}
	return nil, err
}

func readPartition(ctx context.Context, dialer *kafkago.Dialer, brokers []string, p kafkago.Partition, o Options, out chan<- kafka.Record) error {
	leader, err := dialer.DialPartition(ctx, "tcp", fmt.Sprintf("%s:%d", p.Leader.Host, p.Leader.Port), p)
	if err != nil {
		return fmt.Errorf("reaching the leader of partition %d: %w", p.ID, err)
	}
	first, last, err := leader.ReadOffsets()
	if err = errors.Join(err, leader.Close()); err != nil {
		return fmt.Errorf("reading the offsets of partition %d: %w", p.ID, err)
	}
	if !o.FromStart {
		first = last
	}
	if first >= last && !o.Follow {
		return nil
	}
	r := kafkago.NewReader(kafkago.ReaderConfig{Brokers: brokers, Topic: p.Topic, Partition: p.ID, Dialer: dialer, MinBytes: 1, MaxBytes: 16 << 20, MaxWait: 250 * time.Millisecond})
	defer r.Close() //nolint:errcheck // It was only read.
	if err := r.SetOffset(first); err != nil {
		return fmt.Errorf("reading partition %d from %d: %w", p.ID, first, err)
	}
	for {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return fmt.Errorf("reading partition %d: %w", p.ID, err)
		}
		record := kafka.Record{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Time}
		for _, h := range m.Headers {
			record.Headers = append(record.Headers, kafka.Header(h))
		}
		select {
		case out <- record:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !o.Follow && m.Offset+1 >= last {
			return nil
		}
	}
}
