package clickhouse

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas/kit/engine"
)

// addr is the address of the one engine that all tests of this package share; empty when the engine is left out.
var addr string

func TestMain(m *testing.M) {
	engine.RunIfChild()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv("DWIARAH_ENGINE") == "skip" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "dwiarah-views-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	e, err := engine.Start(ctx, engine.Config{DataDir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the engine:", err)
		return 1
	}
	addr = e.Addr()
	code := m.Run()
	if err := e.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "closing the engine:", err)
		return 1
	}
	return code
}

var databases atomic.Int64

// database makes an empty database of the test's own and returns a connection to it.
func database(t *testing.T) driver.Conn {
	t.Helper()
	if addr == "" {
		t.Skip("DWIARAH_ENGINE=skip: tests of the real engine are left out")
	}
	name := fmt.Sprintf("t%d", databases.Add(1))
	if err := EnsureDatabase(t.Context(), connect(t, "default"), name); err != nil {
		t.Fatal(err)
	}
	return connect(t, name)
}

func connect(t *testing.T, database string) driver.Conn {
	t.Helper()
	return connectTo(t, addr, database, nil)
}

// connectTo is connect for an engine of the test's own, and with settings for every statement.
func connectTo(t *testing.T, addr, database string, settings clickhouse.Settings) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{addr}, Auth: clickhouse.Auth{Database: database}, ReadTimeout: time.Minute, Settings: settings,
	})
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

// migrated is database with the tables and views of this build.
func migrated(t *testing.T) driver.Conn {
	t.Helper()
	conn := database(t)
	if _, err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	return conn
}
