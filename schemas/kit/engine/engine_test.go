package engine_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas/kit/engine"
)

func TestMain(m *testing.M) {
	engine.RunIfChild()
	os.Exit(m.Run())
}

func start(t *testing.T, config engine.Config) *engine.Engine {
	t.Helper()
	if os.Getenv("DWIARAH_ENGINE") == "skip" {
		t.Skip("DWIARAH_ENGINE=skip: tests of the real engine are left out")
	}
	if config.DataDir == "" {
		config.DataDir = t.TempDir()
	}
	config.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e, err := engine.Start(ctx, config)
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

func open(t *testing.T, e *engine.Engine, change func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	options := &clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{e.Addr()}}
	if change != nil {
		change(options)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func TestFirst(t *testing.T) {
	e := start(t, engine.Config{})
	conn := open(t, e, nil)
	var s string
	if err := conn.QueryRow(t.Context(), "SELECT concat('a', {x:String})", clickhouse.Named("x", "it's\n")).Scan(&s); err != nil {
		t.Fatal(err)
	}
	t.Logf("%q", s)
	if err := conn.Exec(t.Context(), "CREATE TABLE t (a UInt64, l LowCardinality(String), n Nullable(String)) ENGINE=MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	b, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := b.Append(uint64(i), "x", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), "SELECT * FROM t")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var a uint64
		var l string
		var n *string
		if err := rows.Scan(&a, &l, &n); err != nil {
			t.Fatal(err)
		}
		t.Log(a, l, n)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	t.Log(conn.Exec(t.Context(), "SELECT * FROM nope"))
}
