package store_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/schemas/clickhouse/clickhousetest"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func writer(t testing.TB, s *store.Store) *store.Writer {
	t.Helper()
	w, err := store.NewWriter(s, nil, func() {}, slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func entries(from, to int) []store.Entry {
	var list []store.Entry
	for n := from; n < to; n++ {
		list = append(list, store.Entry{Enriched: storetest.Enriched(n)})
	}
	return list
}

func write(t *testing.T, w *store.Writer, list []store.Entry) {
	t.Helper()
	refusals, err := w.Write(t.Context(), list)
	if err != nil || len(refusals) > 0 {
		t.Fatal(refusals, err)
	}
}

// faults stands before an engine and answers INSERTs in its place: each with the next of the answers, until there are no more.
type faults struct {
	*httptest.Server
	mu      sync.Mutex
	answers []http.HandlerFunc
	inserts atomic.Int64 // that reached the engine
}

func stand(t *testing.T, addr string) *faults {
	t.Helper()
	f := &faults{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	proxy.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(t.Output(), nil), slog.LevelDebug)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Query().Get("query"), "INSERT") {
			proxy.ServeHTTP(w, r)
			return
		}
		if answer := f.next(); answer != nil {
			answer(w, r)
			return
		}
		f.inserts.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *faults) next() http.HandlerFunc {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.answers) == 0 {
		return nil
	}
	answer := f.answers[0]
	f.answers = f.answers[1:]
	return answer
}

func (f *faults) addr() string { return strings.TrimPrefix(f.URL, "http://") }

func exception(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("X-ClickHouse-Exception-Code", fmt.Sprint(code))
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "Code: %d. DB::Exception: something is the matter. (SOME_NAME)\n", code)
	}
}

// reset breaks the connection in the middle of the request's body.
func reset(w http.ResponseWriter, r *http.Request) {
	io.CopyN(io.Discard, r.Body, 10)
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		c.Close()
	}
}

// hang answers nothing until the client has given up.
func hang(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// F6, code by code.
func TestInsertsAreRepeatedUntilTheyAreIn(t *testing.T) {
	addr := storetest.Shared(t)
	database := storetest.Database(t, addr)
	f := stand(t, addr)
	for _, code := range []int{252, 241, 242, 159, 210, 243, 252, 999, 425} {
		f.answers = append(f.answers, exception(code))
	}
	f.answers = append(f.answers, reset, hang, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) })
	cfg := storetest.Config(f.addr(), database)
	cfg.AttemptTimeout = config.Duration(2 * time.Second)
	s := storetest.Open(t, cfg)
	registry := prometheus.NewRegistry()
	w, err := store.NewWriter(s, nil, func() {}, slog.New(slog.NewTextHandler(t.Output(), nil)), registry)
	if err != nil {
		t.Fatal(err)
	}
	failing := len(f.answers)
	write(t, w, entries(0, 500))
	if got := storetest.Count(t, s, "SELECT count() FROM messages"); got != 500 {
		t.Errorf("%d messages, want 500", got)
	}
	if got := f.inserts.Load(); got != 2 {
		t.Errorf("%d inserts reached the engine, want 2, of bodies and of facts", got)
	}
	if got := counter(t, registry, "dwiarah_sink_insert_retries_total"); got != float64(failing) {
		t.Errorf("%v retries are counted, want %d", got, failing)
	}
}

func counter(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestABrokenStoreStopsTheWriter(t *testing.T) {
	addr := storetest.Shared(t)
	database := storetest.Database(t, addr)
	s := storetest.Open(t, storetest.Config(addr, database))
	w := writer(t, s)
	for _, statement := range []string{
		"ALTER TABLE message_facts RENAME COLUMN likes TO hearts",
		"DROP TABLE message_facts",
	} {
		if err := s.Conn().Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		if refusals, err := w.Write(t.Context(), entries(0, 10)); err == nil || len(refusals) > 0 || store.Classify(err) != store.Broken {
			t.Errorf("after %s: refusals %v, error %v, want no refusal and an error that stops", statement, refusals, err)
		}
	}
}

func TestTheGuiltyAreRefusedAndTheRestIsIn(t *testing.T) {
	addr := storetest.Shared(t)
	database := storetest.Database(t, addr)
	s := storetest.Open(t, storetest.Config(addr, database))
	if err := s.Conn().Exec(t.Context(), "ALTER TABLE message_facts ADD CONSTRAINT poison CHECK message_id NOT IN ('m3', 'm777', 'm778', 'm999')"); err != nil {
		t.Fatal(err)
	}
	refusals, err := writer(t, s).Write(t.Context(), entries(0, 1000))
	if err != nil {
		t.Fatal(err)
	}
	var guilty []int
	for _, r := range refusals {
		guilty = append(guilty, r.Index)
		if got := store.Reason(r.Err); got != "ClickHouse code 469" {
			t.Errorf("refused because of %s", got)
		}
	}
	if fmt.Sprint(guilty) != "[3 777 778 999]" {
		t.Errorf("refused %v", guilty)
	}
	if got := storetest.Count(t, s, "SELECT count() FROM messages"); got != 996 {
		t.Errorf("%d messages, want 996", got)
	}
}

func TestAStoreThatRefusesEverythingIsBroken(t *testing.T) {
	addr := storetest.Shared(t)
	database := storetest.Database(t, addr)
	s := storetest.Open(t, storetest.Config(addr, database))
	if err := s.Conn().Exec(t.Context(), "ALTER TABLE message_bodies ADD CONSTRAINT never CHECK message_id = ''"); err != nil {
		t.Fatal(err)
	}
	_, err := writer(t, s).Write(t.Context(), entries(0, 300))
	if err == nil || !strings.Contains(err.Error(), "refused 50 messages in a row") || store.Classify(err) != store.Broken {
		t.Errorf("error %v, want one that stops", err)
	}
}

// views is what a reader sees, in an order that does not depend on how the rows came.
func views(t *testing.T, s *store.Store) string {
	t.Helper()
	return fmt.Sprint(
		storetest.Count(t, s, "SELECT count() FROM messages"), " messages ",
		storetest.Count(t, s, "SELECT sum(cityHash64(toString(tuple(*)))) FROM messages"), " in them, ",
		storetest.Count(t, s, "SELECT sum(cityHash64(toString(tuple(*)))) FROM message_texts"), " in texts, ",
		storetest.Count(t, s, "SELECT sum(cityHash64(toString(tuple(*)))) FROM requests"), " in requests, ",
		storetest.Count(t, s, "SELECT sum(cityHash64(toString(tuple(*)))) FROM coverage"), " in coverage",
	)
}

func TestRepeatsInAnyBatchesChangeNoView(t *testing.T) {
	addr := storetest.Shared(t)
	database := storetest.Database(t, addr)
	s := storetest.Open(t, storetest.Config(addr, database))
	w := writer(t, s)
	list := entries(0, 600)
	for n := 0; n < 600; n += 10 { // edits, newer models and deletions of the same messages, in the same batches
		edited, rescored, deleted := storetest.Enriched(n), storetest.Enriched(n+1), storetest.Enriched(n+2)
		at := edited.Message.CreatedAtMs + 60_000
		edited.Message.EditedAtMs, edited.Message.Text = &at, "sudah diperbaiki"
		rescored.Enrichment.ModelSeq, rescored.Enrichment.Sentiment = 2, "positive"
		deleted.Message.DeletedAtMs = &at
		gone := &event.Enriched{Message: &event.Message{
			Institution: storetest.Institution, Platform: "mastodon", MessageKey: storetest.Enriched(n + 3).Message.MessageKey, DeletedAtMs: &at,
		}}
		for _, e := range []*event.Enriched{edited, rescored, deleted, gone} {
			list = append(list, store.Entry{Enriched: e})
		}
	}
	list = append(list, store.Entry{Ledger: &event.LedgerEntry{Entry: &event.LedgerEntry_Coverage{Coverage: &event.Coverage{
		Institution: storetest.Institution, Connector: "archive", Status: "complete", SinceMs: storetest.Enriched(0).Message.CreatedAtMs,
		UntilMs: storetest.Enriched(10_000).Message.CreatedAtMs,
	}}}})
	write(t, w, list)
	first := views(t, s)
	if !strings.HasPrefix(first, "480 messages") {
		t.Fatalf("%s, want 600 without 120 that are deleted", first)
	}
	write(t, w, list)
	if again := views(t, s); again != first {
		t.Errorf("the same batch again: %s, was %s", again, first)
	}
	for from := 0; from < len(list); from += 113 { // other batches, the last first, each from its end
		to := min(from+113, len(list))
		part := list[len(list)-to : len(list)-from]
		for n := range len(part) / 2 {
			part[n], part[len(part)-1-n] = part[len(part)-1-n], part[n]
		}
		write(t, w, part)
	}
	if again := views(t, s); again != first {
		t.Errorf("other batches in another order: %s, was %s", again, first)
	}
	for _, table := range []string{"message_facts", "message_bodies", "tombstones", "coverage_ledger"} {
		if err := s.Conn().Exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
			t.Fatal(err)
		}
	}
	if again := views(t, s); again != first {
		t.Errorf("after all merges: %s, was %s", again, first)
	}
}

// F4.
func TestKillingTheEngineLosesNothing(t *testing.T) {
	e := clickhousetest.Start(t, t.TempDir())
	database := storetest.Database(t, e.Addr())
	s := storetest.Open(t, storetest.Config(e.Addr(), database))
	w := writer(t, s)
	const batches, size = 30, 400
	written := make(chan int, batches)
	go func() {
		defer close(written)
		for n := range batches {
			if _, err := w.Write(t.Context(), entries(n*size, (n+1)*size)); err != nil {
				t.Error(err)
				return
			}
			written <- n
		}
	}()
	for n := range written {
		if n%6 != 2 {
			continue
		}
		if err := e.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := e.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := storetest.Count(t, s, "SELECT count() FROM messages"); got != batches*size {
		t.Errorf("%d messages, want %d", got, batches*size)
	}
	if got := storetest.Count(t, s, "SELECT count() FROM message_texts"); got != batches*size {
		t.Errorf("%d texts, want %d", got, batches*size)
	}
}

func TestTheEndOfTheContextEndsTheWaiting(t *testing.T) {
	addr := storetest.Shared(t)
	database := storetest.Database(t, addr)
	f := stand(t, addr)
	ctx, cancel := context.WithCancel(t.Context())
	for range 20 {
		f.answers = append(f.answers, exception(252))
	}
	f.answers = append(f.answers, func(w http.ResponseWriter, r *http.Request) { cancel(); exception(252)(w, r) })
	for range 1000 {
		f.answers = append(f.answers, exception(252))
	}
	before := goleak.IgnoreCurrent()
	s, err := store.Open(storetest.Config(f.addr(), database))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer(t, s).Write(ctx, entries(0, 10)); err == nil || ctx.Err() == nil {
		t.Errorf("error %v, want the context's", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	f.CloseClientConnections()
	goleak.VerifyNone(t, before)
}

func TestCodesHaveClickHousesNames(t *testing.T) {
	addr := storetest.Shared(t)
	s := storetest.Open(t, storetest.Config(addr, "default"))
	for code, name := range store.CodeNames() {
		var got string
		if err := s.Conn().QueryRow(t.Context(), fmt.Sprintf("SELECT errorCodeToName(%d)", code)).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != name {
			t.Errorf("code %d is %s, not %s", code, got, name)
		}
	}
}
