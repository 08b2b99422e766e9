package kafka

import (
	"context"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// DeleteBefore deletes the records of a partition before an offset, for every reader and for good, and returns the first offset that is left. Kafka cuts a log
// from the front only; end cannot be after the high watermark. The user needs the right DELETE on the topic.
func DeleteBefore(ctx context.Context, conn Conn, topic string, partition int, end int64) (first int64, err error) {
	if err := conn.validate(); err != nil {
		return 0, fmt.Errorf("deleting records: %w", err)
	}
	client, transport := conn.client()
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, client.Timeout)
	defer cancel()
	request := &deleteRecordsRequest{
		Topics:    []deleteRecordsTopic{{Name: topic, Partitions: []deleteRecordsPartition{{Partition: int32(partition), Offset: end}}}},
		TimeoutMs: int32(client.Timeout.Milliseconds()),
	}
	answer, err := transport.RoundTrip(ctx, client.Addr, request)
	if err == nil {
		first, err = answer.(*deleteRecordsResponse).only()
	}
	if err != nil {
		return 0, fmt.Errorf("deleting the records of topic %q, partition %d, before offset %d: %w", topic, partition, end, err)
	}
	return first, nil
}

// kafka-go has no DeleteRecords; its protocol package takes messages of others.
func init() { protocol.Register(&deleteRecordsRequest{}, &deleteRecordsResponse{}) }

type deleteRecordsRequest struct {
	Topics    []deleteRecordsTopic `kafka:"min=v0,max=v1"`
	TimeoutMs int32                `kafka:"min=v0,max=v1"`
}

type deleteRecordsTopic struct {
	Name       string                   `kafka:"min=v0,max=v1"`
	Partitions []deleteRecordsPartition `kafka:"min=v0,max=v1"`
}

type deleteRecordsPartition struct {
	Partition int32 `kafka:"min=v0,max=v1"`
	Offset    int64 `kafka:"min=v0,max=v1"`
}

func (*deleteRecordsRequest) ApiKey() protocol.ApiKey { return protocol.DeleteRecords }

// Broker is the leader of the request's only partition.
func (r *deleteRecordsRequest) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	topic := r.Topics[0]
	of, ok := cluster.Topics[topic.Name].Partitions[topic.Partitions[0].Partition]
	if !ok {
		return protocol.Broker{}, kafkago.UnknownTopicOrPartition
	}
	leader, ok := cluster.Brokers[of.Leader]
	if !ok {
		return protocol.Broker{}, kafkago.LeaderNotAvailable
	}
	return leader, nil
}

type deleteRecordsResponse struct {
	ThrottleTimeMs int32                     `kafka:"min=v0,max=v1"`
	Topics         []deleteRecordsTopicStart `kafka:"min=v0,max=v1"`
}

type deleteRecordsTopicStart struct {
	Name       string                        `kafka:"min=v0,max=v1"`
	Partitions []deleteRecordsPartitionStart `kafka:"min=v0,max=v1"`
}

type deleteRecordsPartitionStart struct {
	Partition    int32 `kafka:"min=v0,max=v1"`
	LowWatermark int64 `kafka:"min=v0,max=v1"`
	ErrorCode    int16 `kafka:"min=v0,max=v1"`
}

func (*deleteRecordsResponse) ApiKey() protocol.ApiKey { return protocol.DeleteRecords }

// only returns the answer for the only partition that was asked for.
func (r *deleteRecordsResponse) only() (first int64, err error) {
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("the broker answers for %d topics, not for the one partition", len(r.Topics))
	}
	p := r.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return 0, kafkago.Error(p.ErrorCode)
	}
	return p.LowWatermark, nil
}
