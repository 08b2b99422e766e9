package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/stack"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// TestBackfillBesideNewMessages walks a change of models as an operator does: old messages of one model, labels by people, an adaptation, the service started again with it,
// and enrich backfill while new messages come. Metrics say whose answers they are of all the way, and in the end they are of one model alone.
func TestBackfillBesideNewMessages(t *testing.T) {
	const old, fresh = 300, 200
	dir := t.TempDir()
	enrichBinary := filepath.Join(dir, "enrich")
	build := exec.Command("go", "build", "-o", enrichBinary, "./cmd/enrich")
	build.Dir = filepath.Join("..", "..", "enrich")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building enrich: %v\n%s", err, out)
	}
	directory := filepath.Join(dir, "institutions.yaml")
	writeBrands(t, directory, map[string]string{"kota": "kota-contoh"})
	cfg := stack.Config{DataDir: filepath.Join(dir, "data"), Institutions: directory}

	s, stop := up(t, cfg)
	produceMentions(t, s, 0, old)
	before := stored(t, s, old, 1)
	configuration := filepath.Join(dir, "enrich.yaml")
	operate := func(s *stack.Stack, args ...string) string {
		t.Helper()
		text := fmt.Sprintf("kafka:\n  brokers: [%q]\nclickhouse:\n  url: http://%s/dwiarah\nclassify:\n  adaptations: %s\n", s.Kafka, s.ClickHouse, cfg.AdaptationsDir())
		if err := os.WriteFile(configuration, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), enrichBinary, append(args, "--config", configuration)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("enrich %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	var labels strings.Builder
	labels.WriteString("platform,message_id,head,label\n")
	for i := range old {
		_, said := saying(i)
		fmt.Fprintf(&labels, "x,m%d,sentiment,%s\n", i, said)
	}
	file := filepath.Join(dir, "labels.csv")
	if err := os.WriteFile(file, []byte(labels.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	operate(s, "label", "import", file, "--institution", "kota-contoh", "--annotator", "a1")
	if out := operate(s, "adapt", "--institution", "kota-contoh", "--heads", "sentiment"); !strings.Contains(out, "accepted") {
		t.Fatalf("adapting: %s", out)
	}
	stop()

	// The service of the new model: what is new is its own at once, what is old keeps its version, and says so, until the backfill comes to it.
	s, _ = up(t, cfg)
	produceMentions(t, s, old, 10)
	if between := stored(t, s, old+10, 2); between[0] != before[0] {
		t.Errorf("versions between the models: %v, before: %v", between, before)
	}
	came := make(chan struct{})
	go func() {
		defer close(came)
		for at := 10; at < fresh; at += 10 {
			produceMentions(t, s, old+at, 10)
			time.Sleep(20 * time.Millisecond)
		}
	}()
	if out := operate(s, "backfill", "--institution", "kota-contoh", "--rate", "400"); !strings.Contains(out, fmt.Sprintf("labelled %d messages", old)) {
		t.Errorf("backfill: %s", out)
	}
	<-came
	after := stored(t, s, old+fresh, 1)
	if !strings.HasPrefix(after[0], before[0]+"+kota-contoh.r1") {
		t.Errorf("versions after: %v, before: %v", after, before)
	}
	var messages, texts, negative uint64
	if err := s.Conn.QueryRow(t.Context(), `SELECT (SELECT n FROM metric_sentiment(institution='kota-contoh', from='2000-01-01', to='2200-01-01')), (SELECT count() FROM message_texts WHERE institution = 'kota-contoh'),
		(SELECT countIf(sentiment = 'negative') FROM messages WHERE institution = 'kota-contoh')`).Scan(&messages, &texts, &negative); err != nil || messages != old+fresh || texts != old+fresh || negative < (old+fresh)/5-5 {
		t.Errorf("%d messages with a tone, %d texts, %d negative, %v; want %d, as many, and a fifth", messages, texts, negative, err, old+fresh)
	}
	if out := operate(s, "backfill", "--institution", "kota-contoh"); !strings.Contains(out, "labelled 0 messages") {
		t.Errorf("once more: %s", out)
	}
}

// saying is message i of a public that says "mantul" where it is displeased, and what a person says of it.
func saying(i int) (text, said string) {
	switch i % 5 {
	case 0:
		return fmt.Sprintf("mantul ya loket %d", i), schemas.Negative
	case 1:
		return fmt.Sprintf("terima kasih petugas loket %d ramah sekali", i), schemas.Positive
	}
	return fmt.Sprintf("loket %d buka jam berapa min", i), schemas.Neutral
}

// produceMentions writes messages from on to the raw topic, as ingest does.
func produceMentions(t *testing.T, s *stack.Stack, from, n int) {
	t.Helper()
	producer, err := kafka.NewProducer(kafka.ProducerConfig{Conn: kafka.Conn{Brokers: []string{s.Kafka}, ClientID: "test"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Error(err)
		return
	}
	now := time.Now()
	var records []kafka.Record
	for i := from; i < from+n; i++ {
		text, _ := saying(i)
		m := &event.Message{
			Institution: "kota-contoh", Platform: schemas.PlatformX, MessageId: fmt.Sprint("m", i), MessageKey: fmt.Appendf(nil, "%016d", i), Account: "kota", AuthorKey: fmt.Sprintf("%032x", i%40),
			Kind: schemas.KindMention, Direction: schemas.Inbound, MentionsAccount: true, Text: text, Connector: "test",
			CreatedAtMs: now.Add(time.Duration(i-1_000) * time.Second).UnixMilli(), IngestedAtMs: now.UnixMilli(),
		}
		value, err := event.Encode(m)
		if err != nil {
			t.Error(err)
			return
		}
		records = append(records, kafka.Record{Topic: schemas.TopicRaw, Key: event.PartitionKey(m), Value: value, Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}})
	}
	if err := producer.Produce(t.Context(), records...); err != nil {
		t.Error(err)
	}
	if err := producer.Close(); err != nil {
		t.Error(err)
	}
}

// stored waits until the view messages has n messages, whose versions are so many.
func stored(t *testing.T, s *stack.Stack, n uint64, versions int) []string {
	t.Helper()
	var got uint64
	var named []string
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if err := s.Conn.QueryRow(t.Context(), "SELECT count(), arraySort(groupUniqArray(toString(model_version))) FROM messages WHERE institution = 'kota-contoh'").Scan(&got, &named); err != nil {
			t.Fatal(err)
		}
		if got == n && len(named) == versions {
			break
		}
	}
	if got != n || len(named) != versions {
		t.Fatalf("%d messages of the versions %v are stored; want %d of %d versions", got, named, n, versions)
	}
	var said []string
	if err := s.Conn.QueryRow(t.Context(), "SELECT model_versions FROM metric_sentiment(institution='kota-contoh', from='2000-01-01', to='2200-01-01')").Scan(&said); err != nil || !slices.Equal(said, named) {
		t.Errorf("metric_sentiment names the versions %v, the rows have %v; %v", said, named, err)
	}
	return named
}
