package main

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/sink"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// untilRead waits until the group has committed everything.
func untilRead(t *testing.T, conn kafka.Conn, group string, ended <-chan error, topics ...string) {
	t.Helper()
	for {
		lags, err := kafka.Lag(t.Context(), conn, group, topics...)
		var behind int64
		for _, l := range lags {
			behind += l.Behind()
		}
		if err == nil && behind == 0 {
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("%s ended: %v", group, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// untilShown waits until a gauge of the running sink has these values, by topic, or under "" where it has no label.
func untilShown(t *testing.T, tel *telemetry.Telemetry, ended <-chan error, name string, want map[string]float64) {
	t.Helper()
	var got map[string]float64
	for deadline := time.Now().Add(time.Minute); !maps.Equal(got, want); {
		got = map[string]float64{}
		families, err := tel.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, m := range family.Metric {
				switch {
				case family.GetName() != name:
				case len(m.Label) == 0:
					got[""] = m.Gauge.GetValue()
				default:
					got[m.Label[0].GetValue()] = m.Gauge.GetValue()
				}
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %v, want %v", name, got, want)
		}
		select {
		case err := <-ended:
			t.Fatalf("something ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestVerifySaysWhatHasNoFate(t *testing.T) {
	conn := withTopics(t, kafka.TopicSpec{Name: schemas.TopicRaw, Partitions: 2}, kafka.TopicSpec{Name: schemas.TopicEnriched, Partitions: 2},
		kafka.TopicSpec{Name: schemas.TopicLedger, Partitions: 1}, kafka.TopicSpec{Name: schemas.TopicDead, Partitions: 1})
	c, db := configured(t, conn.Brokers...)
	producer := newProducer(t, conn)
	// Numbered keys spread the records over the partitions in the same way each time: what is among the newest of one decides what the running sink sees.
	produced := 0
	produce := func(topic string, value []byte) {
		t.Helper()
		produced++
		record := kafka.Record{Topic: topic, Key: strconv.AppendInt(nil, int64(produced), 10), Value: value, Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}}
		if err := producer.Produce(t.Context(), record); err != nil {
			t.Fatal(err)
		}
	}
	encoded := func(m interface{ MarshalVT() ([]byte, error) }) []byte {
		t.Helper()
		value, err := event.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	const messages = 20
	for n := range messages {
		e := storetest.Enriched(n)
		if n == 3 { // deleted since
			e.Message.DeletedAtMs = new(e.Message.CreatedAtMs + 1000)
		}
		produce(schemas.TopicRaw, encoded(e.Message))
		produce(schemas.TopicEnriched, encoded(e))
	}
	produce(schemas.TopicEnriched, []byte("poison"))
	first := storetest.Enriched(0).Message
	for _, entry := range []*event.LedgerEntry{
		{Entry: &event.LedgerEntry_Coverage{Coverage: &event.Coverage{Connector: "archive:x", Institution: first.Institution, SinceMs: first.CreatedAtMs, UntilMs: first.CreatedAtMs + 1000, Status: "complete"}}},
		// What a stretch that grows says first is within what it says last.
		{Entry: &event.LedgerEntry_Coverage{Coverage: &event.Coverage{Connector: "archive:x", Institution: first.Institution, SinceMs: first.CreatedAtMs, UntilMs: first.CreatedAtMs + 9000, Status: "complete"}}},
		{Entry: &event.LedgerEntry_Snapshot{Snapshot: &event.AccountSnapshot{Institution: first.Institution, Platform: first.Platform, Account: first.Account, ObservedAtMs: first.CreatedAtMs, Followers: new(int64(5))}}},
		{Entry: &event.LedgerEntry_Visibility{Visibility: &event.Visibility{Institution: first.Institution, Platform: first.Platform, MessageKey: first.MessageKey, State: "shown", AtMs: first.CreatedAtMs}}},
		{Entry: &event.LedgerEntry_Visibility{Visibility: &event.Visibility{Institution: first.Institution, Platform: first.Platform, AuthorKey: strings.Repeat("ab", 16), State: "deleted", AtMs: first.CreatedAtMs}}},
	} {
		produce(schemas.TopicLedger, encoded(entry))
	}

	// The real sink, and a stand-in of enrich's group that commits what it reads.
	cfg := sink.DefaultConfig()
	if err := config.Load(c.path, &cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Batch.Age = config.Duration(20 * time.Millisecond)
	cfg.Verify.Every, cfg.Verify.Newest = config.Duration(200*time.Millisecond), 3
	tel, err := telemetry.New("sink", telemetry.Config{Log: telemetry.LogConfig{Level: "error", Format: "text"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := sink.New(cfg, tel)
	if err != nil {
		t.Fatal(err)
	}
	enrich, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: conn, Group: "dwiarah-enrich", Topics: []string{schemas.TopicRaw}, Log: slog.New(slog.DiscardHandler), Policy: kafka.BatchPolicy{MaxAge: 20 * time.Millisecond}},
		func(context.Context, []kafka.Record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 2)
	go func() { ended <- s.Run(ctx) }()
	go func() { ended <- enrich.Run(ctx) }()
	untilRead(t, conn, cfg.Kafka.Group, ended, schemas.TopicEnriched, schemas.TopicLedger)
	// Its letter comes behind that of the enriched topic: purging takes the oldest letters only.
	produce(schemas.TopicLedger, []byte("poison"))
	untilRead(t, conn, cfg.Kafka.Group, ended, schemas.TopicLedger)
	untilRead(t, conn, "dwiarah-enrich", ended, schemas.TopicRaw)
	// The running sink compares the newest three of each partition: two of the raw and of the enriched topic, one of the ledger.
	untilShown(t, tel, ended, "dwiarah_verify_checked_records", map[string]float64{schemas.TopicRaw: 6, schemas.TopicEnriched: 6, schemas.TopicLedger: 3})
	untilShown(t, tel, ended, "dwiarah_verify_unaccounted_records", map[string]float64{schemas.TopicRaw: 0, schemas.TopicEnriched: 0, schemas.TopicLedger: 0})

	metrics := filepath.Join(t.TempDir(), "verify.prom")
	c.want([]string{"verify", "--metrics-file", metrics},
		"mentions.raw.v1: 20 records behind the positions = 20 enriched + 0 deleted + 0 expired + 0 dead-lettered + 0 purged + 0 older than the next topic + 0 unaccounted; 0 waiting",
		"mentions.enriched.v1: 21 records behind the positions = 19 stored + 1 deleted + 0 expired + 1 dead-lettered + 0 purged + 0 older than the next topic + 0 unaccounted; 0 waiting",
		"mentions.ledger.v1: 6 records behind the positions = 5 stored + 0 deleted + 0 expired + 1 dead-lettered + 0 purged + 0 older than the next topic + 0 unaccounted; 0 waiting")
	if text, err := os.ReadFile(metrics); err != nil || !strings.Contains(string(text), `dwiarah_verify_unaccounted_records{topic="mentions.enriched.v1"} 0`) {
		t.Errorf("metrics: %v\n%s", err, text)
	}

	// What is no letter is counted and said, and hides no letter.
	produce(schemas.TopicDead, []byte("poison"))
	c.want([]string{"verify"}, "1 dead-lettered + 0 purged", "mentions.dlq.v1: 1 record cannot be decoded as a dead letter, the first is 0:2", "sink dlq list --undecodable")
	untilShown(t, tel, ended, "dwiarah_verify_undecodable_letters", map[string]float64{"": 1})

	c.want([]string{"dlq", "purge", "--source", schemas.TopicEnriched, "--yes"}, "purged 1 of 1 letters")
	c.want([]string{"verify"}, "mentions.enriched.v1: 21 records behind the positions = 19 stored + 1 deleted + 0 expired + 0 dead-lettered + 1 purged + 0 older than the next topic + 0 unaccounted")

	// What enrich has committed and not made, and a row that is not there any more.
	produce(schemas.TopicRaw, encoded(storetest.Enriched(100).Message))
	untilRead(t, conn, "dwiarah-enrich", ended, schemas.TopicRaw)
	if err := db.Conn().Exec(t.Context(), "DELETE FROM message_facts WHERE message_id = 'm7'"); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []string{"DELETE FROM coverage_ledger WHERE true", "DELETE FROM account_counts WHERE true", "DELETE FROM visibility_changes WHERE subject = 'author'"} {
		if err := db.Conn().Exec(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
	}
	untilShown(t, tel, ended, "dwiarah_verify_unaccounted_records", map[string]float64{schemas.TopicRaw: 1, schemas.TopicEnriched: 0, schemas.TopicLedger: 1})
	code, out, errOut := c.run("verify")
	if code == 0 || !strings.Contains(errOut, "broken at 3 of 3 topics") {
		t.Errorf("ended with %d: %s", code, errOut)
	}
	for _, part := range []string{"20 enriched", "1 unaccounted", "neither in mentions.enriched.v1 nor dead-lettered", "18 stored", "neither stored nor dead-lettered",
		"1 stored", "4 unaccounted", "neither in coverage_ledger nor dead-lettered", "neither in account_counts", "neither in visibility_changes"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not said:\n%s", part, out)
		}
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
