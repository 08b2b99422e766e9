package enrich

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/schemas/kit/tlstest"
)

// patience bounds every wait for what must happen; no test measures time.
const patience = 60 * time.Second

func TestDefaultsAreValid(t *testing.T) {
	cfg := DefaultConfig()
	if err := config.Load("", &cfg, config.WithEnviron(nil)); err != nil {
		t.Error(err)
	}
}

func TestBadConfigurationNamesEveryMistake(t *testing.T) {
	cfg := DefaultConfig()
	err := config.Load("", &cfg, config.WithEnviron([]string{"DWIARAH_BATCH__RECORDS=0", "DWIARAH_CLASSIFY__TIMEOUT=1h", "DWIARAH_KAFKA__DRAIN=0s"}))
	if err == nil {
		t.Fatal("want an error")
	}
	for _, part := range []string{"batch.records", "classify.timeout", "kafka.drain", "1 to 100,000", "10ms to 1m"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q: %v", part, err)
		}
	}
}

// TestServiceThroughABroker runs the whole service: what goes into the raw topic comes out enriched by the released model.
func TestServiceThroughABroker(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	b, err := broker.Start(broker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	throughABroker(t, kafka.ConnConfig{Brokers: []string{b.Addr()}})
}

// TestServiceOverTLS runs it at a broker that wants TLS and a password.
func TestServiceOverTLS(t *testing.T) {
	_, secured := kafkatest.Secure(t, tlstest.NewIdentity(t, time.Now().Add(time.Hour)))
	throughABroker(t, secured)
}

func throughABroker(t *testing.T, reached kafka.ConnConfig) {
	t.Helper()
	conn, err := reached.Conn("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := kafka.EnsureTopics(t.Context(), conn, []kafka.TopicSpec{{Name: schemas.TopicRaw, Partitions: 2}, {Name: schemas.TopicEnriched, Partitions: 2}, {Name: schemas.TopicDead, Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Kafka.ConnConfig = reached
	cfg.Telemetry.Listen = ""
	tel, err := telemetry.New("enrich", cfg.Telemetry)
	if err != nil {
		t.Fatal(err)
	}
	service, err := New(cfg, tel)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()

	p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: conn})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	texts := []string{"Buka jam berapa, min?", "Lapor 3x ga pernah dibales min", "Pungli 50 ribu di loket, tanpa kuitansi"}
	var raw []kafka.Record
	for n, s := range texts {
		m := &event.Message{Institution: "dinas-a", Platform: schemas.PlatformMastodon, MessageId: fmt.Sprint(n), Direction: schemas.Inbound, Text: s}
		value, err := event.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, kafka.Record{Topic: schemas.TopicRaw, Key: []byte(m.MessageId), Value: value, Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}})
	}
	if err := p.Produce(ctx, raw...); err != nil {
		t.Fatal(err)
	}
	enriched := make(chan *event.Enriched, len(texts))
	reader, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: conn, Group: "reader", Topics: []string{schemas.TopicEnriched}, Policy: kafka.BatchPolicy{MaxAge: 10 * time.Millisecond}},
		func(_ context.Context, batch []kafka.Record) error {
			for _, r := range batch {
				e := &event.Enriched{}
				if err := event.Decode(r.Headers[0].Value, r.Value, e); err != nil {
					return err
				}
				enriched <- e
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	reading, stop := context.WithCancel(ctx)
	read := make(chan error, 1)
	go func() { read <- reader.Run(reading) }()
	want := map[string]string{"0": "none", "1": "non_response", "2": "misconduct_corruption"}
	for range texts {
		select {
		case e := <-enriched:
			if got := e.GetEnrichment().GetRiskTag(); got != want[e.GetMessage().GetMessageId()] {
				t.Errorf("%q: %s", e.GetMessage().GetText(), got)
			}
		case err := <-done:
			t.Fatalf("the service ended: %v", err)
		case <-ctx.Done():
			t.Fatal("the enriched messages do not come")
		}
	}
	stop()
	if err := <-read; err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
