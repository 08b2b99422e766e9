// Package clickhousetest gives tests of the modules around it the real engine.
package clickhousetest

import (
	"log/slog"
	"os"
	"testing"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	tables "github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
)

// Skip skips the test where DWIARAH_ENGINE=skip leaves the engine out.
func Skip(t testing.TB) {
	t.Helper()
	if os.Getenv("DWIARAH_ENGINE") == "skip" {
		t.Skip("DWIARAH_ENGINE=skip: this test needs ClickHouse")
	}
}

// Start starts an engine of the test's own on a data folder and ends it with the test.
func Start(t testing.TB, dir string) *engine.Engine {
	t.Helper()
	Skip(t)
	e, err := engine.Start(t.Context(), engine.Config{DataDir: dir, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// Migrated starts an engine of the test's own and returns it with a connection to its default database, which has the tables and views of this build.
func Migrated(t testing.TB) (*engine.Engine, driver.Conn) {
	t.Helper()
	e := Start(t, t.TempDir())
	conn, err := clickhouse.Open(&clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{e.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := tables.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	return e, conn
}
