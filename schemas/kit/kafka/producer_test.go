package kafka_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
)

// F12.
func TestOversizeRecord(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 1), kafkatest.Group(t)
	p := producer(t, b)
	err := p.Produce(within(t), kafka.Record{Topic: topic, Value: []byte("small")}, kafka.Record{Topic: topic, Value: make([]byte, 1_000_000)})
	var large *kafka.TooLargeError
	if !errors.As(err, &large) || large.Index != 1 || large.Topic != topic || large.Limit != 1_000_000 || large.Size <= large.Limit {
		t.Fatalf("got %v", err)
	}
	if n := behind(lag(t, b, group, topic)); n != 0 {
		t.Errorf("%d records of the refused call were sent", n)
	}
	// What is within the limit goes through the broker's own, in one record or in many.
	big := kafka.Record{Topic: topic, Key: []byte("k"), Value: make([]byte, 999_900)}
	for i := range big.Value {
		big.Value[i] = byte(i * i >> 7) // does not compress to nothing
	}
	if err := p.Produce(within(t), big, big, big); err != nil {
		t.Fatal(err)
	}
	if n := behind(lag(t, b, group, topic)); n != 3 {
		t.Errorf("%d records are in the log, want 3", n)
	}
}

// The topic's own limit is lower than the producer's: the broker refuses, and Produce must not try for ever. F12.
func TestTopicWithALowerLimit(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic := kafkatest.Group(t)
	if err := kafka.EnsureTopics(within(t), b.Conn, []kafka.TopicSpec{{Name: topic, Partitions: 1, Config: map[string]string{"max.message.bytes": "1000"}}}); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 5000)
	for i := range value {
		value[i] = byte(i*i*i>>5 ^ i*7)
	}
	err := producer(t, b).Produce(within(t), kafka.Record{Topic: topic, Value: value})
	if !errors.Is(err, kafkago.MessageSizeTooLarge) || !strings.Contains(err.Error(), topic) {
		t.Errorf("got %v", err)
	}
}

func TestProduceToNowhere(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	p := producer(t, b)
	if err := p.Produce(within(t)); err != nil {
		t.Errorf("no records: %v", err)
	}
	if err := p.Produce(within(t), kafka.Record{Value: []byte("x")}); err == nil || !strings.Contains(err.Error(), "names no topic") {
		t.Errorf("no topic: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Produce(ctx, kafka.Record{Topic: b.Topic(t, 1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("a ctx that has ended: %v", err)
	}
	closed, err := kafka.NewProducer(kafka.ProducerConfig{Conn: b.Conn})
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := closed.Produce(within(t), kafka.Record{Topic: "any"}); err == nil {
		t.Error("a closed producer produces")
	}
}

func TestProducerConfig(t *testing.T) {
	_, err := kafka.NewProducer(kafka.ProducerConfig{Conn: kafka.Conn{Brokers: []string{"nohost"}}, MaxRecordBytes: -1, BatchRecords: -1, BatchWait: -1})
	for _, want := range []string{"Brokers", "MaxRecordBytes", "BatchRecords", "BatchWait"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}
	_, err = kafka.NewConsumer(kafka.ConsumerConfig{SessionTimeout: 1, DrainTimeout: -1, RestartAfter: 5, FailAfter: 4, Policy: kafka.BatchPolicy{MaxRecords: -1, MaxBytes: -1, MaxAge: 1}}, nil)
	for _, want := range []string{"Brokers", "Group", "Topics", "SessionTimeout", "DrainTimeout", "RestartAfter", "MaxRecords", "MaxBytes", "MaxAge", "handler"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}
}

// A partition that fails for a while: everything gets there, and of each key the last version comes last.
func TestProduceRetriesAndKeepsTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	var mu sync.Mutex
	requests := 0
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		requests++
		if requests > 12 || requests%2 == 0 {
			return nil, nil, false
		}
		produce := request.(*kmsg.ProduceRequest)
		response := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range produce.Topics {
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				part := kmsg.NewProduceResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, kerr.NotEnoughReplicas.Code
				topic.Partitions = append(topic.Partitions, part)
			}
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	})
	conn := kafka.Conn{Brokers: cluster.ListenAddrs()}
	p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: conn, BatchRecords: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const keys, versions = 9, 12
	var records []kafka.Record
	for v := range versions {
		for k := range keys {
			records = append(records, kafka.Record{Topic: "t", Key: []byte{byte(k)}, Value: []byte{byte(v)}})
		}
	}
	if err := p.Produce(within(t), records...); err != nil {
		t.Fatal(err)
	}
	if requests <= 12 {
		t.Fatalf("%d requests: nothing had to be sent again", requests)
	}
	var s store
	r := run(t, kafka.ConsumerConfig{Conn: conn, Group: "g", Topics: []string{"t"}}, s.handle)
	eventually(t, "everything is read", func() bool {
		lags, err := kafka.Lag(within(t), conn, "g", "t")
		return err == nil && behind(lags) == 0
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got := map[byte][]byte{}
	for _, r := range s.all() {
		got[r.Key[0]] = append(got[r.Key[0]], r.Value[0])
	}
	for k := range byte(keys) {
		seen := got[k]
		if len(seen) < versions || seen[len(seen)-1] != versions-1 {
			t.Errorf("key %d: the versions in the log are %v", k, seen)
		}
		distinct := slices.Clone(seen)
		slices.Sort(distinct)
		if distinct = slices.Compact(distinct); len(distinct) != versions {
			t.Errorf("key %d: only the versions %v are in the log", k, distinct)
		}
	}
}

func TestEnsureTopics(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	first, second := kafkatest.Group(t), kafkatest.Group(t)
	specs := []kafka.TopicSpec{
		{Name: first, Partitions: 12, Config: map[string]string{"retention.ms": "259200000", "min.insync.replicas": "1"}},
		{Name: second, Partitions: 1, Replication: 1},
	}
	var wg sync.WaitGroup
	for range 4 { // services start at the same time
		wg.Go(func() {
			if err := kafka.EnsureTopics(within(t), b.Conn, specs); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	lags, err := kafka.Lag(within(t), b.Conn, "nobody", first, second)
	if err != nil || len(lags) != 13 || lags[0].Committed != -1 || lags[0].Behind() != 0 {
		t.Errorf("got %+v, %v", lags, err)
	}
	specs[0].Partitions, specs[1].Partitions = 6, 2
	err = kafka.EnsureTopics(within(t), b.Conn, specs)
	var wrong *kafka.PartitionsError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), first) || !strings.Contains(err.Error(), second) {
		t.Errorf("got %v, want an error that names both topics", err)
	}
	refused := []kafka.TopicSpec{{Name: kafkatest.Group(t), Partitions: 1, Replication: 1, Config: map[string]string{"retention.ms": "soon"}}}
	if err := kafka.EnsureTopics(within(t), b.Conn, refused); b.Real() && !errors.Is(err, kafkago.InvalidConfiguration) { // the embedded broker takes any
		t.Errorf("a setting that makes no sense: %v", err)
	}
}

func TestLagOfAMissingTopic(t *testing.T) {
	t.Parallel()
	var missing *kafka.UnknownTopicError
	if _, err := kafka.Lag(within(t), kafkatest.Shared(t).Conn, "g", "nobody.made.this.v1"); !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := kafka.EnsureTopics(ctx, kafka.Conn{Brokers: []string{"127.0.0.1:1"}}, nil); err == nil {
		t.Error("topics are ensured on no broker")
	}
}
