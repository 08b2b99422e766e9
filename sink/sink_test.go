package sink_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/sink"
	"github.com/dwiarah/dwiarah/sink/internal/deadletter"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

const institutionsYAML = `
institutions:
  - id: dinas-air
    name: Dinas Air Kota Contoh
    zone: Asia/Makassar
    calendar: id-government
    accounts: {mastodon: [{id: "1", handle: dinasair}]}
    purpose: menjawab warga
    legal_basis: tugas pelayanan publik
    retention: {text_days: 30, facts_days: 200}
`

// world is a broker, a database and a configuration of a sink between them.
type world struct {
	t        *testing.T
	cfg      sink.Config
	conn     kafka.Conn
	store    *store.Store
	producer *kafka.Producer
	registry *prometheus.Registry
}

func newWorld(t *testing.T) *world {
	t.Helper()
	addr := storetest.Shared(t)
	return newWorldOn(t, storetest.Config(addr, storetest.Database(t, addr)))
}

// newWorldOn is a world around a database that has the tables.
func newWorldOn(t *testing.T, database sink.ClickHouseConfig) *world {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	b, err := broker.Start(broker.Config{Log: log, Topics: []kafka.TopicSpec{
		{Name: schemas.TopicEnriched, Partitions: 3}, {Name: schemas.TopicLedger, Partitions: 1}, {Name: schemas.TopicDead, Partitions: 2},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, cfg: sink.DefaultConfig(), conn: kafka.Conn{Brokers: []string{b.Addr()}, ClientID: "test"}}
	w.cfg.Kafka.Brokers = w.conn.Brokers
	w.cfg.ClickHouse = database
	w.cfg.Reports.Dir = t.TempDir()
	w.cfg.Reports.Enabled = false
	w.cfg.Batch.Age = config.Duration(50 * time.Millisecond)
	w.cfg.Institutions = filepath.Join(t.TempDir(), "institutions.yaml")
	if err := os.WriteFile(w.cfg.Institutions, []byte(institutionsYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	w.store = storetest.Open(t, w.cfg.ClickHouse)
	if w.producer, err = kafka.NewProducer(kafka.ProducerConfig{Conn: w.conn, Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.producer.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// drain runs a sink until its group has read everything that is there, then stops it.
func (w *world) drain() {
	w.t.Helper()
	s := w.sink()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for w.behind() > 0 {
		select {
		case err := <-ended:
			w.t.Fatal("the sink ended:", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; err != nil {
		w.t.Fatal("stopping the sink:", err)
	}
}

// sink builds a sink, whose metrics are then the world's.
func (w *world) sink() *sink.Sink {
	w.t.Helper()
	cfg := telemetry.DefaultConfig()
	cfg.Listen, cfg.Log.Level = "", "warn"
	tel, err := telemetry.New("sink", cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.registry = tel.Registry
	s, err := sink.New(w.cfg, tel)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// behind is how many records the sink's group has not committed. On a busy machine a request may time out: it is asked again, for as long as the test lasts.
func (w *world) behind() (sum int64) {
	w.t.Helper()
	for {
		lags, err := kafka.Lag(w.t.Context(), w.conn, w.cfg.Kafka.Group, schemas.TopicEnriched, schemas.TopicLedger)
		var slow net.Error
		if errors.As(err, &slow) && slow.Timeout() && w.t.Context().Err() == nil {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		for _, l := range lags {
			sum += l.Behind()
		}
		return sum
	}
}

func (w *world) produce(records ...kafka.Record) {
	w.t.Helper()
	if err := w.producer.Produce(w.t.Context(), records...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) count(query string) uint64 { return storetest.Count(w.t, w.store, query) }

// letters returns the dead letters by reason.
func (w *world) letters() map[string][]deadletter.Letter {
	w.t.Helper()
	found := map[string][]deadletter.Letter{}
	if err := deadletter.Scan(w.t.Context(), w.conn, func(l deadletter.Letter) error {
		found[l.GetReason()] = append(found[l.GetReason()], l)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return found
}

// balance checks that what was consumed was stored or dead-lettered, and returns the two.
func (w *world) balance() (stored, dead float64) {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			sums[f.GetName()] += m.GetCounter().GetValue()
		}
	}
	stored, dead = sums["dwiarah_sink_stored_total"], sums["dwiarah_sink_dead_lettered_total"]
	if consumed := sums["dwiarah_sink_consumed_total"]; consumed != stored+dead {
		w.t.Errorf("consumed %v, stored %v, dead-lettered %v", consumed, stored, dead)
	}
	return stored, dead
}

func schemaHeader() []kafka.Header {
	return []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}
}

func record(t *testing.T, e *event.Enriched) kafka.Record {
	t.Helper()
	b, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return kafka.Record{Topic: schemas.TopicEnriched, Key: []byte(e.GetMessage().GetMessageId()), Value: b, Headers: schemaHeader()}
}

func coverage(t *testing.T, since, until int) kafka.Record {
	t.Helper()
	b, err := event.Encode(&event.LedgerEntry{Entry: &event.LedgerEntry_Coverage{Coverage: &event.Coverage{
		Institution: storetest.Institution, Connector: "archive", Status: schemas.CoverageComplete,
		SinceMs: storetest.Enriched(since).Message.CreatedAtMs, UntilMs: storetest.Enriched(until).Message.CreatedAtMs,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return kafka.Record{Topic: schemas.TopicLedger, Key: []byte("archive"), Value: b, Headers: schemaHeader()}
}

func TestFromTopicsToViews(t *testing.T) {
	storetest.Shared(t)
	running := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, running) }) // after everything that newWorld closes
	w := newWorld(t)
	const messages = 2000
	for n := range messages {
		w.produce(record(t, storetest.Enriched(n)))
		if n == 10 {
			break // one by one is slow; the rest goes in one call
		}
	}
	var rest []kafka.Record
	for n := 11; n < messages; n++ {
		rest = append(rest, record(t, storetest.Enriched(n)))
	}
	w.produce(rest...)
	w.produce(coverage(t, 0, 3000))
	w.drain()
	for query, want := range map[string]uint64{
		"SELECT count() FROM messages":      messages,
		"SELECT count() FROM message_texts": messages,
		"SELECT count() FROM coverage":      1,
		"SELECT count() FROM institution_settings FINAL WHERE institution = 'dinas-air' AND utc_offset_s = 8 * 3600 AND calendar = 'id-government'": 1,
		"SELECT countIf(expires_at != toDateTime(ingested_at) + INTERVAL 200 DAY) FROM message_facts":                                               0,
		"SELECT toUInt64(count() > 0) FROM requests": 1,
	} {
		if got := w.count(query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	if stored, dead := w.balance(); stored != messages+1 || dead != 0 {
		t.Errorf("%v stored, %v dead-lettered", stored, dead)
	}
}

// F11, the sink's part.
func TestPoisonIsDeadLetteredAndTheRestStored(t *testing.T) {
	w := newWorld(t)
	refused, invalid := storetest.Enriched(7), storetest.Enriched(8)
	invalid.Message.AuthorKey = "@seorang_warga"
	if err := w.store.Conn().Exec(t.Context(), "ALTER TABLE message_facts ADD CONSTRAINT poison CHECK message_id != 'm7'"); err != nil {
		t.Fatal(err)
	}
	strange := record(t, storetest.Enriched(9))
	strange.Headers = []kafka.Header{{Key: event.SchemaHeader, Value: []byte("99")}}
	poison := []kafka.Record{
		record(t, refused), record(t, invalid), strange,
		{Topic: schemas.TopicEnriched, Key: []byte("k"), Value: []byte("\x00\xffnot protobuf"), Headers: schemaHeader()},
		{Topic: schemas.TopicEnriched, Value: nil, Headers: schemaHeader()},
		{Topic: schemas.TopicEnriched, Key: []byte("k"), Value: []byte("no header")},
		{Topic: schemas.TopicLedger, Value: []byte("{}"), Headers: schemaHeader()},
	}
	var records []kafka.Record
	for n := range 200 {
		if n != 7 && n != 8 && n != 9 {
			records = append(records, record(t, storetest.Enriched(n)))
		}
		if n%30 == 15 && len(poison) > 0 {
			records, poison = append(records, poison[0]), poison[1:]
		}
	}
	w.produce(records...)
	w.drain()
	if got := w.count("SELECT count() FROM messages"); got != 197 {
		t.Errorf("%d messages, want 197", got)
	}
	letters := w.letters()
	for reason, want := range map[schemas.DeadReason]int{
		schemas.DeadRefused: 1, schemas.DeadInvalidField: 1, schemas.DeadUnknownSchema: 2, schemas.DeadMalformed: 2, schemas.DeadMissingField: 1,
	} {
		if got := len(letters[string(reason)]); got != want {
			t.Errorf("%d letters of reason %s, want %d", got, reason, want)
		}
	}
	if stored, dead := w.balance(); stored != 197 || dead != 7 {
		t.Errorf("%v stored, %v dead-lettered", stored, dead)
	}
	for _, l := range slices.Concat(slices.Collect(maps.Values(letters))...) {
		if l.GetStage() != schemas.StageSink || l.GetSource() == "" || l.GetAttempt() != 1 || l.GetAtMs() == 0 || slices.Contains([]string{"", "@seorang_warga"}, l.GetDetail()) {
			t.Errorf("letter %v", l.DeadLetter)
		}
	}

	// The table is mended; the letter goes back to its topic, as it came.
	if err := w.store.Conn().Exec(t.Context(), "ALTER TABLE message_facts DROP CONSTRAINT poison"); err != nil {
		t.Fatal(err)
	}
	guilty := letters[string(schemas.DeadRefused)]
	replayed, left, err := deadletter.Replay(t.Context(), w.conn, guilty, false, slog.Default())
	if replayed != 1 || left != nil || err != nil {
		t.Fatal(replayed, left, err)
	}
	w.drain()
	if got := w.count("SELECT count() FROM messages WHERE message_id = 'm7'"); got != 1 {
		t.Error("the replayed message is not there")
	}
	// What is still poison is dead-lettered again, as a further attempt.
	if _, _, err := deadletter.Replay(t.Context(), w.conn, letters[string(schemas.DeadInvalidField)], false, slog.Default()); err != nil {
		t.Fatal(err)
	}
	w.drain()
	again := w.letters()[string(schemas.DeadInvalidField)]
	if len(again) != 2 || max(again[0].GetAttempt(), again[1].GetAttempt()) != 2 {
		t.Errorf("letters after the second attempt: %v", again)
	}
}

// F17: records of an older release, which lack the later fields, of this one, and of a newer one, which hold fields that this does not know, come together: all are
// stored, and what a newer one adds is no reason to refuse it.
func TestOldAndNewRecordsComeTogether(t *testing.T) {
	w := newWorld(t)
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 7)
	var records []kafka.Record
	const messages = 300
	for n := range messages {
		e := storetest.Enriched(n)
		switch n % 3 {
		case 0:
			e.Message.LinkHashes, e.Message.ObservedAtMs, e.Message.Connector, e.Message.TextHash = nil, nil, "", 0
			e.Enrichment.BotP, e.Enrichment.IsAuto, e.Enrichment.ModelSeq = nil, false, 0
		case 1:
			e.Message.ProtoReflect().SetUnknown(unknown)
			e.Enrichment.ProtoReflect().SetUnknown(unknown)
			e.ProtoReflect().SetUnknown(unknown)
		}
		records = append(records, record(t, e))
	}
	w.produce(records...)
	w.drain()
	if got := w.count("SELECT uniqExact(message_id) FROM messages"); got != messages {
		t.Errorf("%d messages, want %d", got, messages)
	}
	if got := w.count("SELECT count() FROM message_texts WHERE text != ''"); got != messages {
		t.Errorf("%d texts, want %d", got, messages)
	}
	if stored, dead := w.balance(); stored != messages || dead != 0 {
		t.Errorf("%v stored, %v dead-lettered", stored, dead)
	}
}

func TestReadingTheTopicsAgainChangesNoView(t *testing.T) {
	w := newWorld(t)
	var records []kafka.Record
	for n := range 500 {
		records = append(records, record(t, storetest.Enriched(n)))
	}
	w.produce(records...)
	w.produce(coverage(t, 0, 100), coverage(t, 0, 600))
	hash := func() string {
		return fmt.Sprint(w.count("SELECT count() FROM messages"), w.count("SELECT sum(cityHash64(toString(tuple(*)))) FROM messages"),
			w.count("SELECT sum(cityHash64(toString(tuple(*)))) FROM requests"), w.count("SELECT sum(cityHash64(toString(tuple(*)))) FROM coverage"))
	}
	w.drain()
	first := hash()
	for n, size := range []int{90, 10_000} {
		w.cfg.Kafka.Group, w.cfg.Batch.Records = fmt.Sprint("again-", n), size
		w.drain()
		if again := hash(); again != first {
			t.Errorf("in batches of %d: %s, was %s", size, again, first)
		}
	}
}

func TestAStoppedStoreIsWaitedForAndTheEndIsClean(t *testing.T) {
	w := newWorld(t)
	w.cfg.ClickHouse.Addresses = []string{"http://127.0.0.1:1"} // nobody listens there
	s := w.sink()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("stopped while waiting: %v", err)
	}
}

func TestAMissingTableStopsLoudly(t *testing.T) {
	w := newWorld(t)
	if err := w.store.Conn().Exec(t.Context(), "DROP TABLE message_facts"); err != nil {
		t.Fatal(err)
	}
	w.produce(record(t, storetest.Enriched(1)))
	s := w.sink()
	if err := s.Run(t.Context()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one that stops", err)
	}
	if n := w.behind(); n != 1 {
		t.Errorf("%d records are behind, want 1: nothing may be committed", n)
	}
	if letters := w.letters(); len(letters) != 0 {
		t.Errorf("dead letters %v: the message is not to blame", letters)
	}
}
