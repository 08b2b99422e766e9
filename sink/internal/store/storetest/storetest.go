// Package storetest gives tests of the sink a ClickHouse with Dwiarah's tables, and the records to put into it.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/clickhouse/clickhousetest"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

// Config is a store's configuration for an engine's address, with pauses that suit a test.
func Config(addr, database string) store.Config {
	c := store.DefaultConfig()
	c.Addresses, c.Database = []string{"http://" + addr}, database
	c.RetryFirst, c.RetryMost = config.Duration(2*time.Millisecond), config.Duration(50*time.Millisecond)
	return c
}

// shared is the engine that the tests of one process share, unless they need one to themselves.
var shared struct {
	sync.Mutex
	engine *engine.Engine
	dir    string
}

// Main runs a package's tests, and ends the shared engine after them. It is what TestMain does.
func Main(m *testing.M) {
	engine.RunIfChild()
	code := m.Run()
	if shared.engine != nil {
		if err := errors.Join(shared.engine.Close(), os.RemoveAll(shared.dir)); err != nil {
			fmt.Fprintln(os.Stderr, "ending the engine:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Shared returns the address of the process's shared engine.
func Shared(t testing.TB) string {
	t.Helper()
	clickhousetest.Skip(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil {
		dir, err := os.MkdirTemp("", "dwiarah-sink-")
		if err != nil {
			t.Fatal(err)
		}
		if shared.engine, err = engine.Start(context.Background(), engine.Config{DataDir: dir}); err != nil {
			t.Fatal(err)
		}
		shared.dir = dir
	}
	return shared.engine.Addr()
}

// Database makes a database with Dwiarah's tables and views, named after the test, and returns its name.
func Database(t testing.TB, addr string) string {
	t.Helper()
	h := fnv.New64a()
	h.Write([]byte(t.Name()))
	name := fmt.Sprintf("t%x", h.Sum64())
	if err := clickhouse.EnsureDatabase(t.Context(), Open(t, Config(addr, "default")).Conn(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := clickhouse.Migrate(t.Context(), Open(t, Config(addr, name)).Conn()); err != nil {
		t.Fatal(err)
	}
	return name
}

// Open returns a store that is closed with the test.
func Open(t testing.TB, c store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Count returns the single number that a query answers.
func Count(t testing.TB, s *store.Store, query string) uint64 {
	t.Helper()
	var n uint64
	if err := s.Conn().QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// Institution is whose messages Enriched makes.
const Institution = "dinas-air"

// Enriched is the nth of a sequence of different messages, two a minute; the same n gives the same record.
func Enriched(n int) *event.Enriched {
	created := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 30 * time.Second).UnixMilli()
	likes := int64(n % 7)
	return &event.Enriched{
		Message: &event.Message{
			Institution: Institution, Platform: schemas.PlatformMastodon, MessageId: fmt.Sprint("m", n), MessageKey: fmt.Appendf(nil, "%016d", n),
			Account: "dinasair", Kind: schemas.KindReply, Direction: schemas.Inbound, AuthorKey: fmt.Sprintf("%032x", n%997),
			CreatedAtMs: created, IngestedAtMs: time.Date(2096, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() - 1, // never expires
			Text: fmt.Sprintf("Keluhan nomor %d: air keruh\nsejak kemarin, mohon dicek \x00 😀", n), ParentId: "p1", RootId: "p1", Likes: &likes,
			MentionKeys: []string{fmt.Sprintf("%032x", 5)}, MentionsAccount: true, Connector: "archive",
		},
		Enrichment: &event.Enrichment{
			Lang: "id", Sentiment: schemas.Negative, PNegative: 0.75, PNeutral: 0.25, RiskTag: "service_outage", RiskTags: []string{"service_outage"},
			RiskSeverity: 3, RiskP: []*event.TagProbability{{Tag: "service_outage", P: 0.875}}, Toxicity: 0.125, NeedsReply: true, PNeedsReply: 0.5,
			ModelVersion: "test", ModelSeq: 1,
		},
	}
}
