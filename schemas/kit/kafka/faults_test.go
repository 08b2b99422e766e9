package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
)

// faulty returns a cluster whose answers a test may spoil, with n records in the topic "t".
func faulty(t *testing.T, n int, opts ...kfake.Opt) (*kfake.Cluster, kafka.ConsumerConfig) {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "t")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	conn := kafka.Conn{Brokers: cluster.ListenAddrs()}
	p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: conn})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range n {
		if err := p.Produce(within(t), kafka.Record{Topic: "t", Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
	}
	return cluster, kafka.ConsumerConfig{Conn: conn, Group: "g", Topics: []string{"t"}, Policy: kafka.BatchPolicy{MaxAge: 10 * time.Millisecond},
		RestartAfter: 300 * time.Millisecond, FailAfter: 1500 * time.Millisecond}
}

// silence has the brokers answer fetches as if the log were empty, until the returned switch is off; those of some partitions, or of all.
func silence(cluster *kfake.Cluster, partitions ...int32) *atomic.Bool {
	var on atomic.Bool
	on.Store(true)
	cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !on.Load() {
			return nil, nil, false
		}
		fetch := request.(*kmsg.FetchRequest)
		if len(partitions) > 0 && !slices.Contains(partitions, fetch.Topics[0].Partitions[0].Partition) { // the consumer asks for one at a time
			return nil, nil, false
		}
		response := fetch.ResponseKind().(*kmsg.FetchResponse)
		for _, t := range fetch.Topics {
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic, topic.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				part := kmsg.NewFetchResponseTopicPartition()
				part.Partition, part.HighWatermark = p.Partition, p.FetchOffset
				topic.Partitions = append(topic.Partitions, part)
			}
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	})
	return &on
}

func TestWatchdogJoinsAnew(t *testing.T) {
	t.Parallel()
	cluster, cfg := faulty(t, 10)
	silent := silence(cluster)
	registry := prometheus.NewRegistry()
	cfg.Metrics, cfg.FailAfter = registry, time.Hour
	var s store
	r := run(t, cfg, s.handle)
	eventually(t, "the watchdog acts", func() bool { return counter(t, registry, "dwiarah_consumer_watchdog_restarts_total") >= 1 })
	silent.Store(false)
	eventually(t, "the records are read", func() bool { return len(s.all()) == 10 })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

func TestWatchdogGivesUp(t *testing.T) {
	t.Parallel()
	cluster, cfg := faulty(t, 10)
	silence(cluster)
	var stalled *kafka.StalledError
	err := run(t, cfg, (&store{}).handle).wait()
	if !errors.As(err, &stalled) || stalled.Topic != "t" || stalled.Position != 0 || stalled.End != 10 || stalled.For < cfg.FailAfter {
		t.Errorf("got %v", err)
	}
}

// A partition that stands still makes the service ill, however well the one beside it flows.
func TestOneStuckPartitionIsSeen(t *testing.T) {
	t.Parallel()
	cluster, cfg := faulty(t, 0, kfake.SeedTopics(2, "two"))
	silent := silence(cluster, 0)
	tel, err := telemetry.New("t", telemetry.Config{Log: telemetry.LogConfig{Level: "error", Format: "text"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Topics, cfg.Metrics, cfg.Progress, cfg.FailAfter = []string{"two"}, tel.Registry, tel.Health.Progress("consumer", time.Hour), time.Hour
	var s store
	r := run(t, cfg, s.handle)
	p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: cfg.Conn})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	sent := 0
	flow := func() {
		t.Helper()
		for range 20 {
			sent++
			if err := p.Produce(within(t), kafka.Record{Topic: "two", Key: fmt.Append(nil, sent), Value: []byte("v")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	flow()
	eventually(t, "the other partition flows", func() bool { return len(s.all()) > 0 })
	var status telemetry.Status
	eventually(t, "the stuck partition is named", func() bool {
		flow()
		status = tel.Health.Healthy()
		return len(status.Checks[0].Stuck) > 0
	})
	if status.Status != "failing" || status.Checks[0].State != "stalled" || !slices.Equal(status.Checks[0].Stuck, []string{"two/0"}) {
		t.Errorf("got %+v", status)
	}
	for _, record := range s.all() {
		if record.Partition == 0 {
			t.Fatal("the silent partition was read: nothing was tested")
		}
	}
	if stood := standing(t, tel.Registry, "0"); stood < (2 * cfg.RestartAfter).Seconds() {
		t.Errorf("partition 0 is shown to stand for %v s, less than it takes to be called stuck", stood)
	}
	if stood := standing(t, tel.Registry, "1"); stood > (2 * cfg.RestartAfter).Seconds() {
		t.Errorf("partition 1 flows and is shown to stand for %v s", stood)
	}
	silent.Store(false)
	eventually(t, "everything is read", func() bool { return len(s.all()) >= sent })
	eventually(t, "health follows", func() bool { return tel.Health.Healthy().Status == "ok" && standing(t, tel.Registry, "0") == 0 })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// standing is how long a partition is shown to stand, in seconds.
func standing(t *testing.T, r *prometheus.Registry, partition string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			if family.GetName() == "dwiarah_consumer_standing_seconds" && slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == "partition" && l.GetValue() == partition }) {
				return m.Gauge.GetValue()
			}
		}
	}
	return 0
}

func TestWatchdogWhileJoining(t *testing.T) {
	t.Parallel()
	cluster, cfg := faulty(t, 10)
	cluster.ControlKey(int16(kmsg.JoinGroup), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := request.(*kmsg.JoinGroupRequest).ResponseKind().(*kmsg.JoinGroupResponse)
		response.ErrorCode = kerr.CoordinatorNotAvailable.Code
		return response, nil, true
	})
	var stalled *kafka.StalledError
	if err := run(t, cfg, (&store{}).handle).wait(); !errors.As(err, &stalled) || !stalled.Joining {
		t.Errorf("got %v", err)
	}
}

// A handler may take as long as it needs: ClickHouse away for an hour is lag, not a stall.
func TestWatchdogLeavesAWorkingHandlerAlone(t *testing.T) {
	t.Parallel()
	_, cfg := faulty(t, 100)
	registry := prometheus.NewRegistry()
	cfg.Metrics = registry
	cfg.Policy.MaxRecords = 2 // so that the fetch loop waits for the gatherer
	entered, release := make(chan struct{}, 100), make(chan struct{})
	var s store
	r := run(t, cfg, func(ctx context.Context, batch []kafka.Record) error {
		entered <- struct{}{}
		<-release
		return s.handle(ctx, batch)
	})
	<-entered
	select {
	case <-r.done:
		t.Fatalf("Run returned %v", r.err)
	case <-time.After(2 * cfg.FailAfter):
	}
	close(release)
	eventually(t, "the records are handled", func() bool { return len(s.all()) == 100 })
	if n := counter(t, registry, "dwiarah_consumer_watchdog_restarts_total"); n != 0 {
		t.Errorf("the watchdog acted %v times", n)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// Nothing can be said of a broker that does not answer.
func TestWatchdogWaitsForAnAbsentBroker(t *testing.T) {
	t.Parallel()
	cluster, cfg := faulty(t, 10)
	var s store
	r := run(t, cfg, s.handle)
	eventually(t, "the records are read", func() bool { return len(s.all()) == 10 })
	cluster.Close()
	select {
	case <-r.done:
		t.Fatalf("Run returned %v", r.err)
	case <-time.After(2 * cfg.FailAfter):
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// A batch whose commit did not succeed is read again, for it may be another's by now.
func TestCommitThatFails(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*kmsg.OffsetCommitRequest) (kmsg.Response, error){
		"no answer": func(*kmsg.OffsetCommitRequest) (kmsg.Response, error) {
			return nil, errors.New("the connection breaks")
		},
		"refused": func(request *kmsg.OffsetCommitRequest) (kmsg.Response, error) {
			response := request.ResponseKind().(*kmsg.OffsetCommitResponse)
			for _, t := range request.Topics {
				topic := kmsg.NewOffsetCommitResponseTopic()
				topic.Topic = t.Topic
				for _, p := range t.Partitions {
					part := kmsg.NewOffsetCommitResponseTopicPartition()
					part.Partition, part.ErrorCode = p.Partition, kerr.RebalanceInProgress.Code
					topic.Partitions = append(topic.Partitions, part)
				}
				response.Topics = append(response.Topics, topic)
			}
			return response, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, cfg := faulty(t, 10)
			registry := prometheus.NewRegistry()
			cfg.Metrics = registry
			var commits atomic.Int64
			cluster.ControlKey(int16(kmsg.OffsetCommit), func(request kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				if commits.Add(1) != 2 { // the first is that of the start
					return nil, nil, false
				}
				response, err := spoil(request.(*kmsg.OffsetCommitRequest))
				return response, err, true
			})
			var s store
			r := run(t, cfg, s.handle)
			eventually(t, "the records are read twice and committed", func() bool {
				lags, err := kafka.Lag(within(t), cfg.Conn, cfg.Group, "t")
				return err == nil && behind(lags) == 0 && len(s.all()) >= 20
			})
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			if n := counter(t, registry, "dwiarah_consumer_commit_failures_total"); n != 1 {
				t.Errorf("%v commit failures are counted, want 1", n)
			}
			if n := counter(t, registry, "dwiarah_consumer_records_total"); n != 10 {
				t.Errorf("%v records are counted as committed, want 10", n)
			}
		})
	}
}
