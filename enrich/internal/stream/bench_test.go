package stream

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// nowhere is a producer that takes everything.
type nowhere struct{}

func (nowhere) Produce(context.Context, ...kafka.Record) error { return nil }

// BenchmarkHandle measures what the stage takes beside the labelling and Kafka: decoding, handing out, encoding.
func BenchmarkHandle(b *testing.B) {
	answer := &event.Enrichment{Sentiment: "neutral", Lang: "id", ModelSeq: 1, RiskTag: "non_response", RiskTags: []string{"non_response"}, ModelVersion: "bench"}
	s, err := New(Config{Label: func(*event.Message) *event.Enrichment { return answer }, Unknown: unknown, Workers: 2, Timeout: time.Second,
		Producer: nowhere{}, Log: slog.Default(), Metrics: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]kafka.Record, 5_000)
	for n := range batch {
		batch[n] = raw(b, message(fmt.Sprint("m", n), fmt.Sprintf("Min, air di gang %d mati dari kemarin, tolong dicek ya", n)))
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Handle(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/message")
}
