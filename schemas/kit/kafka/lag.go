package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	kafkago "github.com/segmentio/kafka-go"
)

// PartitionLag is how far a group is behind in one partition.
type PartitionLag struct {
	Topic     string
	Partition int
	Committed int64 // next offset the group would read; -1 when it has committed none
	First     int64 // first offset in the log
	End       int64 // high watermark: one past the last readable offset
}

// Behind returns the number of offsets between the group's position and the end of the log.
func (l PartitionLag) Behind() int64 { return max(0, l.End-max(l.Committed, l.First)) }

// Lag returns the lag of a group in every partition of the topics, ordered by topic and partition.
// The group is idle when the sum of Behind is 0, and no producer writes.
func Lag(ctx context.Context, conn Conn, group string, topics ...string) ([]PartitionLag, error) {
	if err := conn.validate(); err != nil {
		return nil, fmt.Errorf("reading the lag of group %q: %w", group, err)
	}
	client, transport := conn.client()
	defer transport.CloseIdleConnections()
	lags, err := lag(ctx, client, group, topics)
	if err != nil {
		return nil, fmt.Errorf("reading the lag of group %q: %w", group, err)
	}
	return lags, nil
}

// Extents returns where every partition of the topics begins and ends, ordered by topic and partition: what Lag returns, of no group. Committed is -1.
func Extents(ctx context.Context, conn Conn, topics ...string) ([]PartitionLag, error) {
	if err := conn.validate(); err != nil {
		return nil, fmt.Errorf("reading the extents of topics: %w", err)
	}
	client, transport := conn.client()
	defer transport.CloseIdleConnections()
	all, err := allPartitions(ctx, client, topics)
	if err != nil {
		return nil, fmt.Errorf("reading the extents of topics: %w", err)
	}
	extents, err := logs(ctx, client, all)
	if err != nil {
		return nil, fmt.Errorf("reading the extents of topics: %w", err)
	}
	return extents, nil
}

func lag(ctx context.Context, client *kafkago.Client, group string, topics []string) ([]PartitionLag, error) {
	all, err := allPartitions(ctx, client, topics)
	if err != nil {
		return nil, err
	}
	request := &kafkago.OffsetFetchRequest{GroupID: group, Topics: all}
	// The committed offsets first: what is committed between the two requests makes the lag too large, never too small.
	committed, err := client.OffsetFetch(ctx, request)
	if err == nil {
		err = committed.Error
	}
	if errors.Is(err, kafkago.GroupIdNotFound) { // a group that has never committed is unknown to some brokers
		return logs(ctx, client, request.Topics)
	}
	if err != nil {
		return nil, fmt.Errorf("reading committed offsets: %w", err)
	}
	lags, err := logs(ctx, client, request.Topics)
	if err != nil {
		return nil, err
	}
	for topic, ps := range committed.Topics {
		for _, p := range ps {
			if p.Error != nil {
				return nil, fmt.Errorf("reading the committed offset of topic %q, partition %d: %w", topic, p.Partition, p.Error)
			}
			i, found := slices.BinarySearchFunc(lags, PartitionLag{Topic: topic, Partition: p.Partition}, byPartition)
			if found {
				lags[i].Committed = p.CommittedOffset
			}
		}
	}
	return lags, nil
}

// allPartitions returns the partitions of the topics, all of which have to exist.
func allPartitions(ctx context.Context, client *kafkago.Client, topics []string) (map[string][]int, error) {
	have, err := partitions(ctx, client, topics)
	if err != nil {
		return nil, err
	}
	all := map[string][]int{}
	for _, topic := range topics {
		n, ok := have[topic]
		if !ok {
			return nil, &UnknownTopicError{Topic: topic}
		}
		for p := range n {
			all[topic] = append(all[topic], p)
		}
	}
	return all, nil
}

// logs returns the first offset and the high watermark of the partitions, ordered, with Committed -1.
func logs(ctx context.Context, client *kafkago.Client, partitions map[string][]int) ([]PartitionLag, error) {
	request := &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{}}
	for topic, ps := range partitions {
		for _, p := range ps {
			request.Topics[topic] = append(request.Topics[topic], kafkago.FirstOffsetOf(p), kafkago.LastOffsetOf(p))
		}
	}
	if len(request.Topics) == 0 {
		return nil, nil
	}
	response, err := client.ListOffsets(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("reading the ends of the log: %w", err)
	}
	var out []PartitionLag
	for topic, ps := range response.Topics {
		for _, p := range ps {
			if p.Error != nil {
				return nil, fmt.Errorf("reading the ends of the log of topic %q, partition %d: %w", topic, p.Partition, p.Error)
			}
			out = append(out, PartitionLag{Topic: topic, Partition: p.Partition, Committed: -1, First: p.FirstOffset, End: p.LastOffset})
		}
	}
	slices.SortFunc(out, byPartition)
	return out, nil
}

func byPartition(a, b PartitionLag) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}
