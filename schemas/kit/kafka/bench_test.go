package kafka_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
)

// records returns n records of 500 bytes for the topic that compress about as text does.
func records(topic string, n int) []kafka.Record {
	words := []string{"jalan", "rusak", "sudah", "dilaporkan", "terima", "kasih", "kapan", "diperbaiki", "mohon", "info", "air", "mati", "sejak", "pagi", "min"}
	out := make([]kafka.Record, n)
	for i := range out {
		var v []byte
		for len(v) < 500 {
			v = append(append(v, words[rand.IntN(len(words))]...), ' ')
		}
		out[i] = kafka.Record{Topic: topic, Key: []byte(strconv.Itoa(rand.Int())), Value: v[:500]}
	}
	return out
}

// cpu returns the processor time that this process has used: with the embedded broker, the broker's as well.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, begin time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(cpu(b)-begin)/float64(b.N), "cpu-ns/record")
}

func BenchmarkProduce(b *testing.B) {
	kb := kafkatest.Shared(b)
	topic := kb.Topic(b, 12)
	p := producer(b, kb)
	batch := records(topic, 10_000)
	b.SetBytes(500)
	b.ReportAllocs()
	begin := cpu(b)
	b.ResetTimer()
	for n := 0; n < b.N; n += len(batch) {
		if err := p.Produce(context.Background(), batch[:min(len(batch), b.N-n)]...); err != nil {
			b.Fatal(err)
		}
	}
	report(b, begin)
}

func BenchmarkConsume(b *testing.B) {
	kb := kafkatest.Shared(b)
	topic := kb.Topic(b, 12)
	p := producer(b, kb)
	batch := records(topic, 10_000)
	for n := 0; n < b.N; n += len(batch) {
		if err := p.Produce(context.Background(), batch[:min(len(batch), b.N-n)]...); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(500)
	b.ReportAllocs()
	begin := cpu(b)
	b.ResetTimer()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	left := b.N
	c, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: kb.Conn, Group: kafkatest.Group(b), Topics: []string{topic}}, func(_ context.Context, batch []kafka.Record) error {
		if left -= len(batch); left <= 0 {
			cancel()
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Run(ctx); err != nil {
		b.Fatal(err)
	}
	report(b, begin)
}
