package sink_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/sink"
	"github.com/dwiarah/dwiarah/sink/internal/erase"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// The roles of deploy/clickhouse/access.sql are enough: the migrator makes a database from nothing, and the writer stores, verifies, reports and erases in it.
func TestTheSinkAsMigratorAndWriter(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	storetest.As(t, dir, "migrator", func(s *store.Store) {
		cfg := sink.DefaultConfig()
		cfg.ClickHouse = storetest.Config(strings.TrimPrefix(s.Addresses(), "http://"), s.Database())
		for _, want := range []bool{true, false} {
			did, err := sink.Migrate(t.Context(), cfg, log)
			if err != nil {
				t.Fatal(err)
			}
			if made := len(did.Migrations) > 20 && len(did.Views) > 20 && len(did.Calendars) > 0; made != want {
				t.Errorf("%d migrations, %d views, calendars %q", len(did.Migrations), len(did.Views), did.Calendars)
			}
		}
	})
	if t.Failed() {
		return
	}
	storetest.As(t, dir, "writer", func(s *store.Store) {
		if _, err := sink.Migrate(t.Context(), sink.Config{ClickHouse: storetest.Config(strings.TrimPrefix(s.Addresses(), "http://"), s.Database())}, log); err == nil || !strings.Contains(err.Error(), "ACCESS_DENIED") {
			t.Errorf("migrating as the writer: %v", err)
		}
		w := newWorldOn(t, storetest.Config(strings.TrimPrefix(s.Addresses(), "http://"), s.Database()))
		const messages = 200
		var records []kafka.Record
		for n := range messages {
			records = append(records, record(t, storetest.Enriched(n)))
		}
		gone, at := storetest.Enriched(7).Message, time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixMilli()
		records = append(records, coverage(t, 0, messages), record(t, &event.Enriched{Message: &event.Message{
			Institution: gone.Institution, Platform: gone.Platform, MessageKey: gone.MessageKey, DeletedAtMs: &at,
		}}))
		w.produce(records...)
		w.drain()
		if stored, dead := w.balance(); stored != messages+2 || dead != 0 {
			t.Errorf("%v stored, %v dead-lettered", stored, dead)
		}
		reporter := w.sink()
		made, err := reporter.Report(t.Context(), sink.ReportOrder{Report: "weekly", Period: "2026-W09"})
		if err != nil || len(made) == 0 || w.count("SELECT count() FROM report_runs") == 0 {
			t.Errorf("%d pages of the report were made and logged: %v", len(made), err)
		}
		if err := reporter.Close(); err != nil {
			t.Error(err)
		}
		proof, err := erase.Run(t.Context(), w.store, log, time.Second)
		if err != nil || proof.Messages != 1 || !proof.Complete() {
			t.Errorf("erasing: %+v, %v", proof, err)
		}
		if n := w.count("SELECT count() FROM messages"); n != messages-1 {
			t.Errorf("%d messages, want %d", n, messages-1)
		}
	})
}
