package kafka_test

import (
	"errors"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
)

func TestDeleteBefore(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic := b.Topic(t, 2)
	produce(t, b, topic, "v", 40)
	extents := func() []kafka.PartitionLag {
		t.Helper()
		all, err := kafka.Extents(within(t), b.Conn, topic)
		if err != nil || len(all) != 2 {
			t.Fatalf("extents %+v, %v", all, err)
		}
		return all
	}
	ends := extents()
	if ends[0].End < 3 || ends[1].End < 3 {
		t.Fatalf("the records lie in one partition: %+v", ends)
	}
	first, err := kafka.DeleteBefore(within(t), b.Conn, topic, 1, 2)
	if err != nil || first != 2 {
		t.Errorf("the partition begins at %d, %v", first, err)
	}
	if now := extents(); now[0] != ends[0] || now[1].First != 2 || now[1].End != ends[1].End {
		t.Errorf("got %+v, was %+v", now, ends)
	}
	for _, wrong := range []struct {
		topic     string
		partition int
		end       int64
		want      error
	}{
		{topic, 0, ends[0].End + 1, kafkago.OffsetOutOfRange},
		{topic, 2, 1, kafkago.UnknownTopicOrPartition},
		{"nobody.made.this.v1", 0, 1, kafkago.UnknownTopicOrPartition},
	} {
		if _, err := kafka.DeleteBefore(within(t), b.Conn, wrong.topic, wrong.partition, wrong.end); !errors.Is(err, wrong.want) {
			t.Errorf("%s/%d before %d: %v, want %v", wrong.topic, wrong.partition, wrong.end, err, wrong.want)
		}
	}
	if _, err := kafka.DeleteBefore(within(t), kafka.Conn{}, topic, 0, 1); err == nil {
		t.Error("records are deleted on no broker")
	}
}
