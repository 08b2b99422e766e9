package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/freeport"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
	"github.com/dwiarah/dwiarah/schemas/kit/tlstest"
	"github.com/dwiarah/dwiarah/sink"
	"github.com/dwiarah/dwiarah/sink/internal/deadletter"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// childVariable makes this test binary the command itself, with its arguments.
const childVariable = "DWIARAH_SINK_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(start(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	storetest.Main(m)
}

func TestRunServesHealthAndStopsInGoodOrder(t *testing.T) {
	b, err := broker.Start(broker.Config{Log: slog.New(slog.DiscardHandler), Topics: []kafka.TopicSpec{
		{Name: schemas.TopicEnriched, Partitions: 1}, {Name: schemas.TopicLedger, Partitions: 1}, {Name: schemas.TopicDead, Partitions: 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	addr, err := freeport.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	c, _ := configured(t, b.Addr())
	process := exec.CommandContext(t.Context(), os.Args[0], "run", "--config", c.path)
	process.Env = append(os.Environ(), childVariable+"=1", "DWIARAH_TELEMETRY__LISTEN="+addr)
	process.Stdout, process.Stderr = t.Output(), t.Output()
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/readyz", "/healthz", "/metrics"} {
		for {
			if answer, err := http.Get("http://" + addr + path); err == nil {
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err == nil && answer.StatusCode == http.StatusOK && (path != "/metrics" || strings.Contains(string(body), "dwiarah_sink_consumed_total")) {
					break
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

const (
	institutionsYAML = `
institutions:
  - id: dinas-air
    name: Dinas Air Kota Contoh
    zone: Asia/Jakarta
    accounts: {mastodon: [{id: "1", handle: dinasair}]}
    purpose: menjawab warga
    legal_basis: tugas pelayanan publik
    retention: {text_days: 30, facts_days: 200}
`
	ringText = "identity 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n" +
		"author 2025 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\n" +
		"author 2026 404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f\n"
)

// command runs the command line against a configuration file, and returns what it wrote.
type command struct {
	t    *testing.T
	path string
	in   string // standard input
}

func (c command) run(args ...string) (code int, out, errOut string) {
	c.t.Helper()
	var stdout, stderr strings.Builder
	code = start(append([]string{"--config", c.path}, args...), strings.NewReader(c.in), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// want runs the command line, and checks that it succeeds with all of these in its output.
func (c command) want(args []string, in ...string) string {
	c.t.Helper()
	code, out, errOut := c.run(args...)
	if code != 0 {
		c.t.Fatalf("%v ended with %d: %s", args, code, errOut)
	}
	for _, part := range in {
		if !strings.Contains(out, part) {
			c.t.Errorf("%v wrote %q, without %q", args, out, part)
		}
	}
	return out
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// configured writes a configuration for the shared engine, a database of the test's own, and those brokers.
func configured(t *testing.T, brokers ...string) (command, *store.Store) {
	t.Helper()
	dir := t.TempDir()
	addr := storetest.Shared(t)
	cfg := storetest.Config(addr, storetest.Database(t, addr))
	write(t, dir, "keys", ringText)
	if len(brokers) == 0 {
		brokers = []string{"127.0.0.1:1"}
	}
	path := write(t, dir, "sink.yaml", "kafka: {brokers: ["+strings.Join(brokers, ",")+"]}\nclickhouse:\n  addresses: ["+cfg.Addresses[0]+"]\n  database: "+cfg.Database+
		"\ninstitutions: "+write(t, dir, "institutions.yaml", institutionsYAML)+"\nidentity_keys: file:"+filepath.Join(dir, "keys")+"\nreports: {dir: "+dir+"}\ntelemetry: {listen: '127.0.0.1:0'}\n")
	return command{t: t, path: path}, storetest.Open(t, cfg)
}

func TestMigrateAndSQL(t *testing.T) {
	c, _ := configured(t)
	c.want([]string{"migrate"}, "is up to date")
	c.want([]string{"migrate", "--cluster", "kota", "--print"}, "message_facts_local ON CLUSTER kota", "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/", "ENGINE = Distributed(kota, ")
	for _, args := range [][]string{{"migrate", "--print"}, {"migrate", "--cluster", "kota"}, {"migrate", "--print", "--cluster", "a b"}} {
		if code, out, _ := c.run(args...); code == 0 || out != "" {
			t.Errorf("%v ended with %d: %s", args, code, out)
		}
	}
	c.want([]string{"sql", "SELECT {a:String} AS a, {b:UInt8} + 1 AS b, NULL AS c, [1, 2] AS d, toDateTime64('2026-03-01 01:02:03.5', 3, 'UTC') AS e, 0.1 AS f",
		"--param", "a=x'; DROP TABLE message_facts; -- =\x1b[2J", "-p", "b=41"},
		"a", "x'; DROP TABLE message_facts; -- =·[2J", "42", "NULL", "[1, 2]", "2026-03-01 01:02:03.5", "0.1", "1 rows")
	c.want([]string{"sql", "SELECT n, km_median_s FROM metric_wait(institution = {i:String}, from = {f:DateTime}, to = {t:DateTime})",
		"-p", "i=dinas-air", "-p", "f=2026-03-01 00:00:00", "-p", "t=2026-04-01 00:00:00"}, "0", "NULL", "1 rows")
	for _, statement := range []string{
		"DROP TABLE message_facts", "INSERT INTO tombstones SELECT 'a', 'x', unhex('00'), now()", "ALTER TABLE message_facts DELETE WHERE 1",
		"SELECT 1 SETTINGS readonly = 0",
	} {
		if code, out, errOut := c.run("sql", statement); code == 0 {
			t.Errorf("%s ended with 0: %s%s", statement, out, errOut)
		}
	}
	c.want([]string{"sql", "SELECT count() FROM message_facts"}, "1 rows")
}

func TestCheckBuildsEverythingAndShowsNoSecret(t *testing.T) {
	c, _ := configured(t)
	out := c.want([]string{"run", "--check"}, "everything could be built; nothing was started", "dwiarah-sink")
	if strings.Contains(out, "4041424344") {
		t.Error("the identity keys are shown")
	}
}

func TestMistakesAreNamedAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	c := command{t: t, path: write(t, dir, "sink.yaml", "kafka: {brokers: []}\nclickhouse: {addresses: ['ftp://x:1', 'http://user:secret@y:2'], retry_most: 1ms}\nbatch: {records: 0}\ninstutions: a.yaml\n")}
	code, _, errOut := c.run("run", "--check")
	if code == 0 {
		t.Error("it ended with 0")
	}
	for _, part := range []string{"kafka.brokers", "clickhouse.addresses[0]", "clickhouse.addresses[1]", "clickhouse.retry_most", "batch.records", "instutions"} {
		if !strings.Contains(errOut, part) {
			t.Errorf("%s is not named in: %s", part, errOut)
		}
	}
}

func TestEraseLeavesTombstonesAndNothingElse(t *testing.T) {
	c, s := configured(t)
	ring, err := identitykey.Parse(ringText)
	if err != nil {
		t.Fatal(err)
	}
	w, err := store.NewWriter(s, nil, func() {}, slog.Default(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	var entries []store.Entry
	for n := range 61 {
		e := storetest.Enriched(n)
		e.Message.MessageKey = ring.MessageKey(e.Message.Platform, e.Message.MessageId)
		switch { // an author of the current epoch, the same of the one before, and another
		case n < 5:
			e.Message.AuthorKey = ring.AuthorKey(e.Message.Platform, "Warga_Satu")
		case n < 8:
			e.Message.AuthorKey = ring.AuthorKeys(e.Message.Platform, "warga_satu")[1]
		case n == 60: // of an institution that has left the file; its messages stay until they expire
			e.Message.Institution, e.Message.AuthorKey = "dinas-lama", ring.AuthorKey(e.Message.Platform, "warga_satu")
		}
		entries = append(entries, store.Entry{Enriched: e})
	}
	replay := func() {
		t.Helper()
		if refusals, err := w.Write(t.Context(), entries); err != nil || len(refusals) > 0 {
			t.Fatal(refusals, err)
		}
	}
	replay()
	count := func(query string, want uint64) {
		t.Helper()
		if got := storetest.Count(t, s, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	if err := s.Conn().Exec(t.Context(), "ALTER TABLE message_bodies MODIFY SETTING old_parts_lifetime = 0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Conn().Exec(t.Context(), "ALTER TABLE message_facts MODIFY SETTING old_parts_lifetime = 0"); err != nil {
		t.Fatal(err)
	}
	subject := []string{"--platform", "mastodon", "--author", "@warga_satu"}
	out := c.want(append([]string{"subject", "list"}, subject...), "9 messages are held", "Keluhan nomor 7")
	if strings.Contains(out, "Keluhan nomor 8") {
		t.Errorf("the list shows another's message: %s", out)
	}
	c.want(append([]string{"subject", "hide"}, subject...), "hidden from every view", "9 messages are held")
	count("SELECT count() FROM messages", 52)
	count("SELECT count() FROM message_texts", 52)
	c.in = "@Warga_Satu\n"
	c.want([]string{"subject", "show", "--platform", "mastodon"}, "9 messages are held")
	count("SELECT count() FROM messages", 61)

	c.want(append([]string{"erase"}, subject...), "deleted messages:   9", "message_bodies:     9 rows before, 0 after", "message_facts:      9 rows before, 0 after", "still on the disk: 0", "erased from ClickHouse", "ingest forget")
	count("SELECT count() FROM message_facts", 52)
	count("SELECT count() FROM message_bodies", 52)
	c.want([]string{"erase", "--platform", "mastodon", "--message-id", "m20"}, "deleted messages:   1", "1 rows before, 0 after")
	c.want([]string{"erase", "--platform", "mastodon", "--message-id", "m999"}, "deleted messages:   0", "0 rows before, 0 after")
	count("SELECT count() FROM messages", 51)
	replay()
	count("SELECT count() FROM messages", 51)
	count("SELECT count() FROM message_texts", 51)
	// What else waits for the job is erased with a subject's messages and is no part of the request.
	c.want([]string{"erase", "--platform", "mastodon", "--message-id", "m21"}, "deleted messages:   11", "1 messages were held of the subject, 0 are")
	count("SELECT countIf(action = 'subject_erase' AND messages = 1 AND facts_before = 12) FROM privacy_log FINAL", 1)
	replay()
	c.want([]string{"erase", "--pending"}, "deleted messages:   11", "message_facts:      11 rows before, 0 after")
	count("SELECT count() FROM message_facts WHERE message_id IN ('m0', 'm7', 'm20', 'm60')", 0)
	c.want(append([]string{"subject", "list"}, subject...), "0 messages are held")
	count("SELECT count() FROM privacy_log FINAL WHERE action LIKE 'subject%' AND outcome = 'done'", 8)
	count("SELECT countIf(action = 'subject_erase' AND messages = 9 AND facts_after = 0) FROM privacy_log FINAL", 1)

	for _, args := range [][]string{
		{"erase", "--platform", "mastodon"}, {"erase", "--platform", "friendster", "--author", "a"}, {"erase", "--platform", "x", "--author", "a", "--message-id", "b"},
		{"erase", "--pending", "--platform", "x"}, {"subject", "list", "--author", "a"}, {"erase"},
	} {
		if code, _, errOut := c.run(args...); code == 0 || strings.Contains(errOut, "warga") {
			t.Errorf("%v ended with %d: %s", args, code, errOut)
		}
	}
}

// withTopics returns how to reach a broker of the test's own, the embedded or a real one, that has these topics.
func withTopics(t *testing.T, topics ...kafka.TopicSpec) kafka.Conn {
	t.Helper()
	b := kafkatest.Start(t)
	if err := kafka.EnsureTopics(t.Context(), b.Conn, topics); err != nil {
		t.Fatal(err)
	}
	return b.Conn
}

func newProducer(t *testing.T, conn kafka.Conn) *kafka.Producer {
	t.Helper()
	p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: conn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// post puts a letter on the dead-letter topic.
func post(t *testing.T, producer *kafka.Producer, l *event.DeadLetter) {
	t.Helper()
	value, err := event.Encode(l)
	if err != nil {
		t.Fatal(err)
	}
	if err := producer.Produce(t.Context(), kafka.Record{Topic: schemas.TopicDead, Key: l.Key, Value: value,
		Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}}); err != nil {
		t.Fatal(err)
	}
}

func TestDeadLettersArePurged(t *testing.T) {
	conn := withTopics(t, kafka.TopicSpec{Name: schemas.TopicDead, Partitions: 1})
	c, db := configured(t, conn.Brokers...)
	producer := newProducer(t, conn)
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for n, stage := range []string{schemas.StageSink, schemas.StageSink, schemas.StageIngest, schemas.StageSink, schemas.StageSink} {
		l := &event.DeadLetter{Stage: stage, Reason: string(schemas.DeadRefused), Original: []byte("{}"), Source: schemas.TopicEnriched, Partition: 3, Offset: int64(100 + n), Attempt: 1,
			AtMs: day.Add(time.Duration(n) * time.Hour).UnixMilli()}
		if stage == schemas.StageIngest {
			l.Reason, l.Source = string(schemas.DeadMalformed), "arsip.jsonl"
		}
		post(t, producer, l)
	}
	for _, args := range [][]string{{"dlq", "purge"}, {"dlq", "purge", "--yes"}, {"dlq", "purge", "--reason", "bad", "--yes"}} {
		if code, _, errOut := c.run(args...); code == 0 || errOut == "" {
			t.Errorf("%v ended with %d: %s", args, code, errOut)
		}
	}
	// A letter that the filter leaves keeps those behind it, for Kafka deletes from the front.
	want := []string{"left: 2 letters of partition 0 behind 0:2 (ingest malformed of 2026-03-01T02:00:00Z)", "sink dlq show 0:2", "--until 2026-03-01T04:00:00.001Z"}
	c.want([]string{"dlq", "purge", "--stage", "sink"}, append(want, "would purge 2 of 4 letters", "--yes")...)
	c.want([]string{"dlq", "list"}, "0:0", "4 sink refused_by_store")
	if n := storetest.Count(t, db, "SELECT count() FROM purged_letters"); n != 0 {
		t.Errorf("a dry run leaves %d letters on record", n)
	}
	c.want([]string{"dlq", "purge", "--stage", "sink", "--yes"}, append(want, "purged 2 of 4 letters")...)
	if out := c.want([]string{"dlq", "list"}, "0:2", "2 sink refused_by_store", "1 ingest malformed"); strings.Contains(out, "0:1 ") {
		t.Errorf("a purged letter is listed: %s", out)
	}
	if code, _, errOut := c.run("dlq", "show", "0:1"); code == 0 || !strings.Contains(errOut, "any more") {
		t.Errorf("a purged letter is shown, %d: %s", code, errOut)
	}
	c.want([]string{"dlq", "purge", "--stage", "enrich", "--yes"}, "purged 0 of 0 letters")
	if out := c.want([]string{"dlq", "purge", "--until", "2026-03-01T04:00:00Z", "--yes"}, "purged 2 of 2 letters"); strings.Contains(out, "left") {
		t.Errorf("nothing was in the way: %s", out)
	}
	c.want([]string{"dlq", "list"}, "0:4", "1 sink refused_by_store")
	if n := storetest.Count(t, db, "SELECT count() FROM purged_letters WHERE (source, partition, offset, stage, reason, toHour(written_at)) IN ("+
		"('mentions.enriched.v1', 3, 100, 'sink', 'refused_by_store', 0), ('mentions.enriched.v1', 3, 101, 'sink', 'refused_by_store', 1),"+
		"('arsip.jsonl', 3, 102, 'ingest', 'malformed', 2), ('mentions.enriched.v1', 3, 103, 'sink', 'refused_by_store', 3)) AND purged_at > now() - 3600"); n != 4 {
		t.Errorf("%d letters are on record, want 4", n)
	}
}

// What is on the dead-letter topic and is no letter keeps nobody from working with the letters around it.
func TestDeadLettersAreListedBesideWhatIsNone(t *testing.T) {
	conn := withTopics(t, kafka.TopicSpec{Name: schemas.TopicEnriched, Partitions: 1}, kafka.TopicSpec{Name: schemas.TopicDead, Partitions: 1})
	c, db := configured(t, conn.Brokers...)
	producer := newProducer(t, conn)
	letter := func(offset int64) {
		t.Helper()
		post(t, producer, &event.DeadLetter{Stage: schemas.StageSink, Reason: string(schemas.DeadRefused), Original: []byte("{}"), Source: schemas.TopicEnriched, Offset: offset, Attempt: 1,
			AtMs: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli()})
	}
	ours := []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}
	letter(100)
	for _, r := range []kafka.Record{
		{Value: []byte("hello\x1b[2J"), Headers: ours},
		{Value: []byte("{}"), Headers: []kafka.Header{{Key: event.SchemaHeader, Value: []byte("2")}}},
		{Key: []byte("k"), Headers: ours},
	} {
		r.Topic = schemas.TopicDead
		if err := producer.Produce(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	letter(101)

	c.want([]string{"dlq", "list"}, "0:0", "0:1", "malformed record", "0:2", "this build reads 1", "0:3", "neither stage nor reason", "0:4", "2 sink refused_by_store", "3 undecodable")
	if out := c.want([]string{"dlq", "list", "--undecodable"}, "0:1", "3 undecodable"); strings.Contains(out, "\n0:4 ") {
		t.Errorf("letters are listed as undecodable: %s", out)
	}
	if out := c.want([]string{"dlq", "list", "--stage", "sink"}, "0:4"); strings.Contains(out, "undecodable") {
		t.Errorf("what is no letter is listed as the sink's: %s", out)
	}
	// What has no time of its own has Kafka's, which is now.
	if out := c.want([]string{"dlq", "list", "--until", "2026-03-02T00:00:00Z"}, "2 sink refused_by_store"); strings.Contains(out, "undecodable") {
		t.Errorf("what came today is listed as older: %s", out)
	}
	c.want([]string{"dlq", "list", "--since", "2026-03-02T00:00:00Z"}, "3 undecodable")
	c.want([]string{"dlq", "show", "0:1"}, "undecodable", "malformed record", "68 65 6c 6c 6f")
	c.want([]string{"dlq", "show", "0:4"}, "refused_by_store")
	c.want([]string{"dlq", "replay", "0:1", "0:4"}, "replayed 1 of 2 letters", "left: replaying letter 0:1", "cannot be decoded")
	if code, _, errOut := c.run("dlq", "list", "--undecodable", "--stage", "sink"); code == 0 || !strings.Contains(errOut, "--undecodable") {
		t.Errorf("undecodable letters of a stage: %d, %s", code, errOut)
	}

	c.want([]string{"dlq", "purge", "--stage", "sink", "--yes"}, "left: 1 letters of partition 0 behind 0:1 (undecodable", "purged 1 of 2 letters")
	c.want([]string{"dlq", "purge", "--undecodable", "--yes"}, "purged 3 of 3 letters")
	c.want([]string{"dlq", "list"}, "0:4", "1 sink refused_by_store")
	if n := storetest.Count(t, db, "SELECT count() FROM purged_letters WHERE source = 'mentions.dlq.v1' AND partition = 0 AND offset IN (1, 2, 3) AND stage = '' AND reason = 'undecodable'"); n != 3 {
		t.Errorf("%d undecodable letters are on record, want 3", n)
	}
}

// Erasing says how long Kafka keeps its copies, by what the brokers have set, and fails where that is too long.
func TestEraseSaysHowLongKafkaKeepsCopies(t *testing.T) {
	start := func(enriched map[string]string) (command, *store.Store) {
		t.Helper()
		b, err := broker.Start(broker.Config{Log: slog.New(slog.DiscardHandler), Topics: []kafka.TopicSpec{
			{Name: schemas.TopicRaw, Partitions: 1, Config: map[string]string{"retention.ms": "216000000", "segment.ms": "28800000"}}, {Name: schemas.TopicEnriched, Partitions: 1, Config: enriched},
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return configured(t, b.Addr())
	}
	c, s := start(map[string]string{"retention.ms": "-1"})
	code, out, errOut := c.run("erase", "--pending")
	if code == 0 || !strings.Contains(out, "mentions.raw.v1, which keeps records for 69h0m0s at most") || !strings.Contains(errOut, "too long, mentions.enriched.v1 for ever: 72h0m0s are allowed") {
		t.Errorf("with a topic without retention it ended with %d: %s%s", code, out, errOut)
	}
	// What was erased for a subject is on record all the same.
	code, _, errOut = c.run("erase", "--platform", "mastodon", "--message-id", "m1")
	if n := storetest.Count(t, s, "SELECT count() FROM privacy_log FINAL WHERE action = 'subject_erase' AND outcome = 'done'"); code == 0 || n != 1 {
		t.Errorf("with a topic without retention a subject's request ended with %d and left %d records: %s", code, n, errOut)
	}
	c, _ = start(map[string]string{"retention.ms": "3600000", "segment.ms": "3600000"})
	c.want([]string{"erase", "--pending"}, "mentions.enriched.v1, which keeps records for 3h0m0s at most")
	c, _ = configured(t)
	c.want([]string{"erase", "--pending"}, "it did not say")
}

func TestDeadLettersAreListedShownAndReplayed(t *testing.T) {
	conn := withTopics(t, kafka.TopicSpec{Name: schemas.TopicRaw, Partitions: 1}, kafka.TopicSpec{Name: schemas.TopicEnriched, Partitions: 1}, kafka.TopicSpec{Name: schemas.TopicDead, Partitions: 1})
	c, _ := configured(t, conn.Brokers...)
	c.want([]string{"dlq", "list"}, "no dead letters")

	producer := newProducer(t, conn)
	original, err := event.Encode(storetest.Enriched(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*event.DeadLetter{
		{Stage: schemas.StageSink, Reason: string(schemas.DeadRefused), Detail: "ClickHouse code 469", Original: original, Source: schemas.TopicEnriched, Partition: 2,
			Offset: 7, Attempt: 1, AtMs: 1772326923456, Key: []byte("k1"), Headers: []*event.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}},
		{Stage: schemas.StageIngest, Reason: string(schemas.DeadMalformed), Detail: "a line\nbroken", Original: []byte("{oops"), Source: "arsip.jsonl", Offset: 12, Attempt: 1},
	} {
		post(t, producer, l)
	}
	c.want([]string{"dlq", "list"}, "0:0", "2026-03-01T01:02:03Z", "mentions.enriched.v1/2@7", "arsip.jsonl:12", "a line·broken", "1 sink refused_by_store", "1 ingest malformed")
	if out := c.want([]string{"dlq", "list", "--stage", "sink"}, "0:0"); strings.Contains(out, "arsip") {
		t.Errorf("the filter let another stage through: %s", out)
	}
	if out := c.want([]string{"dlq", "list", "--since", "2026-03-01T00:00:00Z", "--until", "2026-03-02T00:00:00+07:00"}, "0:0"); strings.Contains(out, "arsip") {
		t.Errorf("the filter let another time through: %s", out)
	}
	c.want([]string{"dlq", "list", "--since", "2026-03-02T00:00:00Z"}, "no dead letters")
	c.want([]string{"dlq", "show", "0:0"}, "reason:  refused_by_store", "Keluhan nomor 1", `"message_id":`)
	c.want([]string{"dlq", "show", "0:1"}, "{oops")
	for _, args := range [][]string{{"dlq", "show", "0:9"}, {"dlq", "show", "x"}, {"dlq", "replay"}, {"dlq", "list", "--reason", "bad"}} {
		if code, _, errOut := c.run(args...); code == 0 || errOut == "" {
			t.Errorf("%v ended with %d: %s", args, code, errOut)
		}
	}
	c.want([]string{"dlq", "replay", "0:0", "--dry-run"}, "would replay 1 of 1")
	c.want([]string{"dlq", "replay", "0:0", "0:1"}, "replayed 1 of 2 letters", "left: replaying letter 0:1", "which is no topic")

	// What is on the topic now is the record as it was, and says which attempt it is.
	got := make(chan kafka.Record, 2)
	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: conn, Group: "test", Topics: []string{schemas.TopicEnriched}}, func(_ context.Context, batch []kafka.Record) error {
		for _, r := range batch {
			got <- r
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx) }()
	r := <-got
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if string(r.Value) != string(original) || string(r.Key) != "k1" || string(deadletter.Header(r.Headers, deadletter.AttemptHeader)) != "1" ||
		string(deadletter.Header(r.Headers, event.SchemaHeader)) != string(event.SchemaValue()) {
		t.Errorf("replayed record %+v", r)
	}
}

// TestDeadLettersOverTLS: what looks at Kafka does it as the configuration says, as the service does.
func TestDeadLettersOverTLS(t *testing.T) {
	_, secured := kafkatest.Secure(t, tlstest.NewIdentity(t, time.Now().Add(time.Hour)))
	conn, err := secured.Conn("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := kafka.EnsureTopics(t.Context(), conn, []kafka.TopicSpec{{Name: schemas.TopicDead, Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	c, _ := configured(t, secured.Brokers[0])
	t.Setenv("DWIARAH_KAFKA__TLS__ENABLED", "true")
	t.Setenv("DWIARAH_KAFKA__TLS__CA", secured.TLS.CA)
	t.Setenv("DWIARAH_KAFKA__SASL__MECHANISM", secured.SASL.Mechanism)
	t.Setenv("DWIARAH_KAFKA__SASL__USERNAME", secured.SASL.Username)
	t.Setenv("DWIARAH_KAFKA__SASL__PASSWORD", "file:"+write(t, t.TempDir(), "password", secured.SASL.Password.Reveal()))
	c.want([]string{"dlq", "list"}, "no dead letters")
	c.want([]string{"run", "--check"}, secured.TLS.CA)
}

func TestVersionAndHelp(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"--help"}, {"dlq", "--help"}} {
		var out strings.Builder
		if code := start(args, strings.NewReader(""), &out, io.Discard); code != 0 || out.Len() == 0 {
			t.Errorf("%v ended with %d: %s", args, code, out.String())
		}
	}
}

// The defaults have to pass their own checks.
func TestDefaultsAreValid(t *testing.T) {
	cfg := sink.DefaultConfig()
	if err := config.Load("", &cfg, config.WithEnviron(nil)); err != nil {
		t.Error(err)
	}
}
