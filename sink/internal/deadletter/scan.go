package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

const (
	fetchWait    = 200 * time.Millisecond
	fetchTimeout = 10 * time.Second
	fetchBytes   = 2 << 20
)

// Scan hands the dead-letter topic's letters to f, partition by partition, from the first to the last that is there when Scan begins. It commits
// nothing and belongs to no group. An error of f ends it and is returned as it is. What is no letter is handed over as Undecodable.
func Scan(ctx context.Context, conn kafka.Conn, f func(Letter) error) error {
	extents, err := kafka.Extents(ctx, conn, schemas.TopicDead)
	if err != nil {
		return err
	}
	for _, extent := range extents {
		if err := scanPartition(ctx, conn, extent, f); err != nil {
			return err
		}
	}
	return nil
}

func scanPartition(ctx context.Context, conn kafka.Conn, extent kafka.PartitionLag, f func(Letter) error) error {
	return Read(ctx, conn, extent, func(r kafka.Record) error { return f(open(r)) })
}

// Find returns what stands at that place of the dead-letter topic.
func Find(ctx context.Context, conn kafka.Conn, partition int, offset int64) (Letter, error) {
	extents, err := kafka.Extents(ctx, conn, schemas.TopicDead)
	if err != nil {
		return Letter{}, err
	}
	var found *Letter
	for _, extent := range extents {
		if extent.Partition != partition || offset < extent.First || offset >= extent.End {
			continue
		}
		extent.First, extent.End = offset, offset+1
		if err := scanPartition(ctx, conn, extent, func(l Letter) error { found = &l; return nil }); err != nil {
			return Letter{}, err
		}
	}
	if found == nil {
		return Letter{}, fmt.Errorf("the dead-letter topic holds no letter %d:%d (any more)", partition, offset)
	}
	return *found, nil
}

// Read hands the records of a partition to f, from extent.First to before extent.End. It commits nothing and belongs to no group. An error of f ends it and is
// returned as it is.
func Read(ctx context.Context, conn kafka.Conn, extent kafka.PartitionLag, f func(kafka.Record) error) error {
	if extent.First >= extent.End {
		return nil
	}
	c, err := dial(ctx, conn, extent.Topic, extent.Partition)
	if err != nil {
		return fmt.Errorf("reading topic %s, partition %d: %w", extent.Topic, extent.Partition, err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if _, err := c.Seek(extent.First, kafkago.SeekAbsolute|kafkago.SeekDontCheck); err != nil {
		return fmt.Errorf("reading topic %s, partition %d: %w", extent.Topic, extent.Partition, err)
	}
	for next := extent.First; next < extent.End; {
		records, end, err := fetch(c, extent, next)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("reading topic %s, partition %d, at offset %d: %w", extent.Topic, extent.Partition, next, err)
		}
		next = end
		for _, r := range records {
			if err := f(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func dial(ctx context.Context, conn kafka.Conn, topic string, partition int) (*kafkago.Conn, error) {
	dialer := conn.Dialer()
	var errs []error
	for _, broker := range conn.Brokers {
		c, err := dialer.DialLeader(ctx, "tcp", broker, topic, partition)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("connecting to the leader: %w", errors.Join(errs...))
}

// fetch returns the records of one answer of the broker that are in the extent, and the offset to go on at.
func fetch(c *kafkago.Conn, extent kafka.PartitionLag, next int64) ([]kafka.Record, int64, error) {
	if err := c.SetDeadline(time.Now().Add(fetchTimeout)); err != nil {
		return nil, next, err
	}
	answer := c.ReadBatchWith(kafkago.ReadBatchConfig{MinBytes: 1, MaxBytes: fetchBytes, MaxWait: fetchWait})
	var records []kafka.Record
	for {
		m, err := answer.ReadMessage()
		if err != nil || m.Offset >= extent.End {
			break // also the end of the answer; Close tells
		}
		next = m.Offset + 1
		headers := make([]kafka.Header, len(m.Headers))
		for n, h := range m.Headers {
			headers[n] = kafka.Header(h)
		}
		records = append(records, kafka.Record{Topic: extent.Topic, Partition: extent.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value, Headers: headers, Time: m.Time})
	}
	// RequestTimedOut is kafka-go's word for an answer without records.
	if err := answer.Close(); err != nil && !errors.Is(err, kafkago.RequestTimedOut) {
		return nil, next, err
	}
	// Offsets at the end of an answer may hold no record; kafka-go knows where it ends.
	if offset, _ := c.Offset(); offset > next {
		next = offset
	}
	return records, next, nil
}
