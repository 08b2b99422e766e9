package scale

import (
	"flag"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/clickhouse/clickhousetest"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

var (
	messages = flag.Int("messages", 0, "load so many messages, or delete among so many; 0 leaves both out")
	folder   = flag.String("data", "", "the folder of the store: loading goes on with what is there, measuring takes what is there; empty leaves both out")
	budget   = flag.Duration("for", 5*time.Hour, "load no longer than this; the same command goes on")
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	database      = "dwiarah"
	threadsAtOnce = 3000
	// toldEvery is how many messages are loaded between two lines of progress.
	toldEvery = 300_000
)

// opened starts an engine on a folder and returns its address, and its store with the tables and views of this build.
func opened(t *testing.T, dir string) (string, *store.Store) {
	t.Helper()
	addr := clickhousetest.Start(t, dir).Addr()
	if err := clickhouse.EnsureDatabase(t.Context(), storetest.Open(t, storetest.Config(addr, "default")).Conn(), database); err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, storetest.Config(addr, database).Patient())
	if _, err := clickhouse.Migrate(t.Context(), s.Conn()); err != nil {
		t.Fatal(err)
	}
	return addr, s
}

func newWriter(t *testing.T, s *store.Store) *store.Writer {
	t.Helper()
	w, err := store.NewWriter(s, nil, func() {}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestLoad loads messages over two years and fifty institutions through the sink's writer into a folder that is kept.
func TestLoad(t *testing.T) {
	if *messages == 0 || *folder == "" {
		t.Skip("for a measurement: make bench-metrics")
	}
	_, s := opened(t, *folder)
	if _, err := clickhouse.LoadCalendars(t.Context(), s.Conn()); err != nil {
		t.Fatal(err)
	}
	w := newWriter(t, s)
	prepare(t, s, w)
	load(t, s, w, *messages, time.Now().Add(*budget))
}

func prepare(t *testing.T, s *store.Store, w *store.Writer) {
	t.Helper()
	if err := s.Conn().Exec(t.Context(), "INSERT INTO institution_settings SELECT concat('office-', leftPad(toString(number), 2, '0')), 'Kantor', 'Asia/Jakarta', 25200, 'id-government', toDateTime64('2026-01-01', 3) FROM numbers(50)"); err != nil {
		t.Fatal(err)
	}
	var ledger []store.Entry
	for n := range offices {
		ledger = append(ledger, store.Entry{Ledger: &event.LedgerEntry{Entry: &event.LedgerEntry_Coverage{Coverage: &event.Coverage{
			Institution: office(n), Connector: "archive", Status: "complete", SinceMs: begin.UnixMilli(), UntilMs: end.UnixMilli(),
		}}}})
		for day := begin; day.Before(end); day = day.AddDate(0, 0, 7) {
			followers := int64(100_000) + day.Unix()/86400
			ledger = append(ledger, store.Entry{Ledger: &event.LedgerEntry{Entry: &event.LedgerEntry_Snapshot{Snapshot: &event.AccountSnapshot{
				Institution: office(n), Platform: "mastodon", Account: "kantor", ObservedAtMs: day.UnixMilli(), Followers: &followers,
			}}}})
		}
	}
	write(t, w, ledger)
}

func write(t *testing.T, w *store.Writer, entries []store.Entry) {
	t.Helper()
	if refusals, err := w.Write(t.Context(), entries); err != nil || len(refusals) > 0 {
		t.Fatal(refusals, err)
	}
}

// load brings the store to that many messages, the asked institution's first; it goes on after what is there.
func load(t *testing.T, s *store.Store, w *store.Writer, size int, deadline time.Time) {
	t.Helper()
	const per = threadsAtOnce * threadSize
	begun, there := time.Now(), int(storetest.Count(t, s, "SELECT count() FROM message_facts"))
	for done := there / per; done*per < size; done++ {
		if time.Now().After(deadline) {
			t.Fatalf("the time for loading is over at %d of %d messages; the same command goes on", done*per, size)
		}
		write(t, w, batch(done*per < min(ownMessages, size), done, threadsAtOnce))
		if now := (done + 1) * per; now%toldEvery == 0 {
			t.Logf("%d of %d messages", now, size)
		}
	}
	if loaded := size - there; loaded > 0 {
		t.Logf("loaded to %d messages: %.0f messages a second", size, float64(loaded)/time.Since(begun).Seconds())
	}
	// What a server's merges come to by themselves, now.
	for _, table := range []string{"message_facts", "message_bodies"} {
		if err := s.Conn().Exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL SETTINGS optimize_skip_merged_partitions = 1"); err != nil {
			t.Fatal(err)
		}
	}
}
