package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/stack"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/schemas/reference"
	"github.com/dwiarah/dwiarah/schemas/sample"
)

// commandVariable makes the test binary be the command, so that a test can kill a whole dwiarah.
const commandVariable = "DWIARAH_TEST_COMMAND"

func TestMain(m *testing.M) {
	engine.RunIfChild()
	if os.Getenv(commandVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience bounds every wait of these tests.
const patience = 15 * time.Minute

// up starts a standalone and waits until its archives have landed; it ends with the test, or earlier by the function that it returns.
func up(t *testing.T, cfg stack.Config) (*stack.Stack, func()) {
	t.Helper()
	cfg.ClickHouse, cfg.Kafka, cfg.Page = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Log = telemetry.LogConfig{Level: "error", Format: "text"}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	s, err := stack.Start(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-ran; err != nil {
				t.Errorf("running: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	landed := make(chan error, 1)
	go func() { landed <- s.Landed(ctx) }()
	select {
	case err := <-landed:
		if err != nil {
			t.Fatalf("waiting for the archives to land: %v", err)
		}
	case err := <-ran:
		ran <- err
		t.Fatalf("ended before the archives had landed: %v", err)
	}
	return s, stop
}

// readLabels reads from the enriched topic what enrichment said: the one thing of a reading that does not come from the archive itself.
func readLabels(t *testing.T, broker string) labels {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn := kafka.Conn{Brokers: []string{broker}, ClientID: "test"}
	group := "labels-" + strings.ToLower(t.Name())
	known, versions := labels{}, map[[2]string]int64{}
	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: conn, Group: group, Topics: []string{schemas.TopicEnriched}, Log: slog.New(slog.DiscardHandler)},
		func(_ context.Context, batch []kafka.Record) error {
			for _, r := range batch {
				var e event.Enriched
				if err := event.Decode(event.SchemaValue(), r.Value, &e); err != nil {
					return err
				}
				id := [2]string{e.Message.Institution, e.Message.MessageId}
				version := max(e.Message.CreatedAtMs, e.Message.GetEditedAtMs(), e.Message.GetObservedAtMs())
				if e.Enrichment != nil && version >= versions[id] {
					known[id], versions[id] = e.Enrichment, version
				}
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	consuming, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(consuming) }()
	for behind := int64(1); behind > 0; {
		time.Sleep(100 * time.Millisecond)
		lags, err := kafka.Lag(ctx, conn, group, schemas.TopicEnriched)
		if err != nil {
			t.Fatal(err)
		}
		behind = 0
		for _, l := range lags {
			behind += l.Behind()
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return known
}

func count(t *testing.T, conn driver.Conn, query string) int {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return int(n)
}

// TestConversations imports the real conversations, accounts for every one, and holds every metric view against a reading that works from the file
// alone. Then the same archive comes a second time, and a third time in another order and in other batches: no view changes by a digit.
func TestConversations(t *testing.T) {
	file := sharedData(t, "threads", "twcs_threads_a.csv")
	dir := t.TempDir()
	brands, tweets := brandsOf(t, file), readTweets(t, file)
	writeBrands(t, filepath.Join(dir, "institutions.yaml"), brands)
	cfg := stack.Config{DataDir: filepath.Join(dir, "data"), Institutions: filepath.Join(dir, "institutions.yaml"), Archives: []string{file}, Mapping: "twcs"}
	s, stop := up(t, cfg)

	sum := s.Imported()
	stored := count(t, s.Conn, "SELECT uniqExact(platform, message_id) FROM messages")
	if int(sum.Read) != len(tweets) || len(tweets) != 2901 || stored+int(sum.DeadTotal()) != len(tweets) || sum.DroppedTotal() != 0 {
		t.Errorf("2,901 messages are in the file: read %d, stored %d, dead-lettered %d, dropped %d", sum.Read, stored, sum.DeadTotal(), sum.DroppedTotal())
	}
	worlds := readWorlds(tweets, brands, readLabels(t, s.Kafka))
	var facts int
	for _, w := range worlds {
		facts += len(w.Messages)
	}
	if rows := count(t, s.Conn, "SELECT count() FROM messages"); rows != facts {
		t.Errorf("the view messages has %d rows; the file has %d messages as institutions see them", rows, facts)
	}
	from, to := period(tweets)
	compared := 0
	// Every view of the institutions with the most messages; the others are of the same file and the same code.
	for _, institution := range busiest(worlds, 8) {
		r := reference.Read(worlds[institution])
		compared += compareViews(t, s.Conn, institution, r, from, to)
	}
	t.Logf("%d institutions, %d figures compared", len(worlds), compared)

	few := busiest(worlds, 2)
	before := viewsOf(t, s.Conn, few, from, to)
	stop()

	s, stop = up(t, cfg)
	if after := viewsOf(t, s.Conn, few, from, to); after != before {
		t.Errorf("the same archive a second time changed a view:\n%s", firstDifference(before, after))
	}
	stop()

	shuffled := filepath.Join(dir, "shuffled.csv")
	shuffleCSV(t, file, shuffled)
	cfg.Archives, cfg.Batch, cfg.SinkRecords = []string{shuffled}, 137, 211
	s, _ = up(t, cfg)
	if after := viewsOf(t, s.Conn, few, from, to); after != before {
		t.Errorf("the same archive in another order and other batches changed a view:\n%s", firstDifference(before, after))
	}
}

// TestOrphans: most parents of this file are missing; nothing is lost by that, and the orphans are counted.
func TestOrphans(t *testing.T) {
	file := sharedData(t, "threads", "twcs_random5000_orphans.csv")
	dir := t.TempDir()
	brands, tweets := brandsOf(t, file), readTweets(t, file)
	writeBrands(t, filepath.Join(dir, "institutions.yaml"), brands)
	s, _ := up(t, stack.Config{DataDir: filepath.Join(dir, "data"), Institutions: filepath.Join(dir, "institutions.yaml"), Archives: []string{file}, Mapping: "twcs"})
	sum := s.Imported()
	stored := count(t, s.Conn, "SELECT uniqExact(platform, message_id) FROM messages")
	if int(sum.Read) != len(tweets) || stored != int(sum.Produced) || sum.Read != sum.Produced+sum.DroppedTotal()+sum.DeadTotal() {
		t.Errorf("of %d rows: read %d, produced %d, stored %d, dropped %v, dead-lettered %v", len(tweets), sum.Read, sum.Produced, stored, sum.Dropped, sum.Dead)
	}
	ids := map[string]bool{}
	for _, tw := range tweets {
		ids[tw.id] = true
	}
	orphans := 0
	for _, tw := range tweets {
		if tw.parent != "" && !ids[tw.parent] {
			orphans++
		}
	}
	if sum.DroppedTotal() == 0 && int(sum.Orphans) != orphans {
		t.Errorf("%d orphans counted, the file has %d", sum.Orphans, orphans)
	}
	t.Logf("read %d, produced %d, orphans %d of %d, dropped %v", sum.Read, sum.Produced, sum.Orphans, orphans, sum.Dropped)
}

// TestSampleAnswersItsKey: every metric of the bundled sample's answer key, and the metrics that depend on the classifier given what it said.
func TestSampleAnswersItsKey(t *testing.T) {
	dir := t.TempDir()
	smp, err := sample.Generate(sample.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := smp.Write(dir); err != nil {
		t.Fatal(err)
	}
	s, _ := up(t, stack.Config{
		DataDir: filepath.Join(dir, "data"), Institutions: filepath.Join(dir, sample.InstitutionsFile), Archives: []string{filepath.Join(dir, sample.ArchiveFile)},
	})
	raw, err := os.ReadFile(filepath.Join(dir, sample.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	var key sample.Key
	if err := json.Unmarshal(raw, &key); err != nil {
		t.Fatal(err)
	}
	sum := s.Imported()
	if int(sum.Read) != key.Archive.Rows || sum.Produced != sum.Read {
		t.Errorf("the archive has %d rows: read %d, produced %d, dropped %v, dead-lettered %v", key.Archive.Rows, sum.Read, sum.Produced, sum.Dropped, sum.Dead)
	}
	compared := 0
	for _, in := range key.Institutions {
		for _, p := range in.Periods {
			for view, want := range map[string]map[string]any{
				"metric_reply_share": p.ReplyShare, "metric_asymmetry": p.Asymmetry, "metric_dialogue": p.Dialogue,
			} {
				got := selectView(t, s.Conn, in.ID, view, "", p.From, p.To)[0]
				for column, w := range want {
					compared++
					if !sameKeyFigure(got[column], w) {
						t.Errorf("%s of %s in %s, %s: the view says %v, the key %v", view, in.ID, p.Name, column, printable(got[column]), printable(w))
					}
				}
			}
		}
		for _, a := range in.Accounts {
			rows := selectRows(t, s.Conn, "SELECT count() AS n, argMin(followers, observed_at) AS first, argMax(followers, observed_at) AS last FROM account_snapshots WHERE institution = '"+in.ID+"' AND platform = '"+a.Platform+"' AND account = '"+a.Account+"'")
			if rows[0]["n"] != int64(a.Snapshots) || rows[0]["first"] != a.First || rows[0]["last"] != a.Last {
				t.Errorf("account %s on %s: the view says %v, the key %+v", a.Account, a.Platform, rows[0], a)
			}
		}
	}
	t.Logf("%d figures of the key compared", compared)

	// What depends on the classifier: the generator's own world, under the labels that the classifier gave.
	known := readLabels(t, s.Kafka)
	for _, in := range key.Institutions {
		w := smp.World(in.ID)
		for _, e := range w.Messages {
			if e.Enrichment != nil {
				e.Enrichment = known[[2]string{in.ID, e.Message.MessageId}]
			}
		}
		r := reference.Read(w)
		all := in.Periods[0]
		compareWithoutCalendar(t, s.Conn, in.ID, r, all.From, all.To)
	}
}

// sameKeyFigure compares a scanned figure with one that went through JSON, where every number is a float64.
func sameKeyFigure(got, want any) bool {
	w, number := want.(float64)
	if n, ok := got.(int64); ok && number {
		return float64(n) == w
	}
	return sameFigure(got, want)
}

// TestKilledInTheMiddleOfAnImport kills the whole process, broker and engine with it, while it imports; the next start ends in the state of an import that
// nobody disturbed.
func TestKilledInTheMiddleOfAnImport(t *testing.T) {
	dir := t.TempDir()
	smp, err := sample.Generate(sample.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := smp.Write(dir); err != nil {
		t.Fatal(err)
	}
	archive, institutionsFile := filepath.Join(dir, sample.ArchiveFile), filepath.Join(dir, sample.InstitutionsFile)
	list, from, to := []string{smp.Key.Institutions[0].ID}, smp.Key.Institutions[0].Periods[0].From, smp.Key.Institutions[0].Periods[0].To

	data := filepath.Join(dir, "killed")
	// The first insert of the sink, not a later one: how many there are depends on how fast the stages before it are.
	for _, point := range []string{"ingest.import.after_ack:2", "sink.after_insert"} {
		cmd := exec.Command(os.Args[0], "up", "--data", data, "--institutions", institutionsFile, "--import", archive,
			"--exit-when-idle", "--clickhouse", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--page", "127.0.0.1:0")
		cmd.Env = append(os.Environ(), commandVariable+"=1", "DWIARAH_CRASHPOINT="+point)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Fatalf("was not killed at %s:\n%s", point, out)
		}
	}
	killed := stack.Config{DataDir: data, Institutions: institutionsFile, Archives: []string{archive}}
	s, stop := up(t, killed)
	after := viewsOf(t, s.Conn, list, from, to)
	stop()

	// The same keys, so that the same people have the same author keys.
	calm := stack.Config{DataDir: filepath.Join(dir, "calm"), Institutions: institutionsFile, Archives: []string{archive}}
	if err := os.MkdirAll(calm.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile(filepath.Join(data, "identity.keys"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(calm.DataDir, "identity.keys"), keys, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = up(t, calm)
	if undisturbed := viewsOf(t, s.Conn, list, from, to); undisturbed != after {
		t.Errorf("an import that was killed twice ended otherwise:\n%s", firstDifference(undisturbed, after))
	}
}

func period(tweets []tweet) (from, to time.Time) {
	from, to = tweets[0].at, tweets[0].at
	for _, tw := range tweets {
		if tw.at.Before(from) {
			from = tw.at
		}
		if tw.at.After(to) {
			to = tw.at
		}
	}
	return from, to.Add(time.Millisecond)
}

func busiest(worlds map[string]reference.World, most int) []string {
	names := slices.Sorted(maps.Keys(worlds))
	slices.SortStableFunc(names, func(a, b string) int { return len(worlds[b].Messages) - len(worlds[a].Messages) })
	return names[:min(most, len(names))]
}

// shuffleCSV writes the records of a file in another order.
func shuffleCSV(t *testing.T, from, to string) {
	t.Helper()
	rows := readCSV(t, from)
	rest := rows[1:]
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	writeCSV(t, to, rows)
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(x), len(y)) {
		var l, r string
		if i < len(x) {
			l = x[i]
		}
		if i < len(y) {
			r = y[i]
		}
		if l != r {
			return fmt.Sprintf("- %s\n+ %s", l, r)
		}
	}
	return "no difference"
}
