package broker_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// TestMemberThatDiesWhileItJoins holds that a member which is gone before the answer to its JoinGroup loses its partitions to the living.
func TestMemberThatDiesWhileItJoins(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b := start(t, broker.Config{Topics: topics})
	const group, n = "group", 300
	got, registry := map[string]bool{}, prometheus.NewRegistry()
	all := make(chan struct{})
	c, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: kafka.Conn{Brokers: []string{b.Addr()}}, Group: group, Topics: []string{topic},
		SessionTimeout: 6 * time.Second, Metrics: registry, Policy: kafka.BatchPolicy{MaxAge: 10 * time.Millisecond}}, func(_ context.Context, batch []kafka.Record) error {
		for _, r := range batch {
			got[string(r.Value)] = true
		}
		if len(got) == n {
			close(all)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	living, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(living) }()
	await := func(generation float64) {
		t.Helper()
		for ctx.Err() == nil {
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "dwiarah_consumer_rebalances_total" && f.GetMetric()[0].GetCounter().GetValue() >= generation {
					return
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatalf("the consumer's generation %v does not come", generation)
	}
	await(1)

	join := kmsg.NewPtrJoinGroupRequest()
	join.SetVersion(2)
	join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = group, 6000, 6000, "consumer"
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{topic}
	for _, name := range []string{"range", "roundrobin"} {
		protocol := kmsg.NewJoinGroupRequestProtocol()
		protocol.Name, protocol.Metadata = name, meta.AppendTo(nil)
		join.Protocols = append(join.Protocols, protocol)
	}
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("ghost")).AppendRequest(nil, join, 1)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // it waits for the living to join as well, which takes a heartbeat
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}

	await(2)
	if err := produce(ctx, b.Addr(), 0, n); err != nil {
		t.Fatal(err)
	}
	select {
	case <-all:
	case <-ctx.Done():
		lags, err := kafka.Lag(context.Background(), kafka.Conn{Brokers: []string{b.Addr()}}, group, topic)
		t.Errorf("records stay unread: %+v, %v", lags, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
