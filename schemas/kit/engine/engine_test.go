package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/schemas/kit/engine"
)

// parentEnv names the data directory of an engine that this test binary starts as somebody else's parent, to be killed.
const parentEnv = "DWIARAH_ENGINE_TEST_PARENT"

func TestMain(m *testing.M) {
	engine.RunIfChild()
	if dataDir := os.Getenv(parentEnv); dataDir != "" {
		e, err := engine.Start(context.Background(), engine.Config{DataDir: dataDir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(e.Addr())
		select {}
	}
	goleak.VerifyTestMain(m)
}

func needEngine(t *testing.T) {
	t.Helper()
	if os.Getenv("DWIARAH_ENGINE") == "skip" {
		t.Skip("DWIARAH_ENGINE=skip: the tests of the real engine are left out")
	}
	if err := engine.Installed(); err != nil {
		t.Fatal(err)
	}
}

// start runs an engine for the length of the test, on a directory of its own unless the configuration names one.
func start(t *testing.T, config engine.Config) *engine.Engine {
	t.Helper()
	needEngine(t)
	if config.DataDir == "" {
		config.DataDir = t.TempDir()
	}
	config.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	e, err := engine.Start(t.Context(), config)
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

// open connects as the services do. change may be nil.
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

func execute(t *testing.T, conn driver.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func number(t *testing.T, conn driver.Conn, query string, arguments ...any) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), query, arguments...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// eventually waits for something that another process does; it fails only where that never happens.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !happened(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after three minutes", what)
		}
	}
}

func TestDataSurvive(t *testing.T) {
	dataDir := t.TempDir()
	first := start(t, engine.Config{DataDir: dataDir})
	conn := open(t, first, nil)
	execute(t, conn, "CREATE DATABASE d", "CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a", "INSERT INTO d.t SELECT number FROM numbers(10)",
		"CREATE VIEW d.v AS SELECT a FROM d.t WHERE a < {below:UInt64}")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	select {
	case <-first.Done():
	default:
		t.Error("Done is open after Close")
	}
	if err := first.Err(); err != nil {
		t.Errorf("after Close, Err gives %v", err)
	}
	second := open(t, start(t, engine.Config{DataDir: dataDir}), nil)
	if n := number(t, second, "SELECT count() FROM d.v(below = 4)"); n != 4 {
		t.Errorf("%d rows in the view, want 4", n)
	}
}

// Whatever an insert that returned without an error wrote is there after a kill; an insert that was under way left all of its rows or none.
func TestKillDuringInserts(t *testing.T) {
	e := start(t, engine.Config{})
	conn := open(t, e, nil)
	execute(t, conn, "CREATE TABLE t (batch UInt64, row UInt64, text String) ENGINE = MergeTree ORDER BY (batch, row)")
	const batchRows = 5_000
	var next atomic.Uint64
	acknowledged := map[uint64]bool{}
	for round := range 4 {
		var writers sync.WaitGroup
		var mu sync.Mutex
		enough := make(chan struct{})
		for range 3 {
			writers.Go(func() {
				for {
					id := next.Add(1)
					batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
					if err != nil {
						return // It has been killed.
					}
					for row := range batchRows {
						if err := batch.Append(id, uint64(row), "pengaduan lampu jalan padam"); err != nil {
							t.Error(err)
							return
						}
					}
					if batch.Send() != nil {
						return
					}
					mu.Lock()
					acknowledged[id] = true
					if len(acknowledged) == 5*(round+1) {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		if err := e.Kill(); err != nil {
			t.Fatal(err)
		}
		writers.Wait()
		select {
		case <-e.Done():
		case <-time.After(time.Minute):
			t.Fatal("Done is open after a death without supervision")
		}
		if e.Err() == nil {
			t.Error("a death has no error")
		}
		addr := e.Addr()
		if err := e.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e.Addr() != addr {
			t.Errorf("the address moved from %s to %s", addr, e.Addr())
		}
		select {
		case <-e.Done():
			t.Error("Done is closed after a restart")
		default:
		}
		rows, err := conn.Query(t.Context(), "SELECT batch, count(), uniqExact(row) FROM t GROUP BY batch")
		if err != nil {
			t.Fatal(err)
		}
		found := map[uint64]bool{}
		for rows.Next() {
			var id, n, distinct uint64
			if err := rows.Scan(&id, &n, &distinct); err != nil {
				t.Fatal(err)
			}
			if n != batchRows || distinct != batchRows {
				t.Errorf("batch %d has %d rows, %d of them distinct", id, n, distinct)
			}
			found[id] = true
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		for id := range acknowledged {
			if !found[id] {
				t.Errorf("batch %d was acknowledged and is gone", id)
			}
		}
	}
}

func TestSupervise(t *testing.T) {
	e := start(t, engine.Config{Supervise: true})
	conn := open(t, e, nil)
	execute(t, conn, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a", "INSERT INTO t VALUES (1)")
	for range 3 {
		if err := e.Kill(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a successor that answers", func() bool {
			var n uint64
			return conn.QueryRow(t.Context(), "SELECT count() FROM t").Scan(&n) == nil && n == 1
		})
	}
	select {
	case <-e.Done():
		t.Error("Done is closed under supervision")
	default:
	}
}

// A restart of an engine that is well ends and replaces its process and keeps its supervision.
func TestRestart(t *testing.T) {
	e := start(t, engine.Config{Supervise: true})
	conn := open(t, e, nil)
	execute(t, conn, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a", "INSERT INTO t VALUES (1)", "CREATE TABLE gone (a UInt8) ENGINE = Memory", "INSERT INTO gone VALUES (1)")
	if err := e.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if t1, gone := number(t, conn, "SELECT count() FROM t"), number(t, conn, "SELECT count() FROM gone"); t1 != 1 || gone != 0 {
		t.Errorf("%d rows on disk and %d in memory, want 1 and 0", t1, gone)
	}
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a successor", func() bool { return conn.Ping(t.Context()) == nil })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Restart(t.Context()); err == nil {
		t.Error("a closed engine was restarted")
	}
}

// An engine dies with its parent, also when that is killed, and another one can take the data.
func TestParentDies(t *testing.T) {
	needEngine(t)
	dataDir := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+dataDir)
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(output).ReadString('\n')
	addr = strings.TrimSpace(addr)
	if err != nil || !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Fatalf("the parent said %q (%v)", addr, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // It was killed: that is its error.
	eventually(t, "the end of the orphan", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return true
		}
		conn.Close()
		return false
	})
	start(t, engine.Config{DataDir: dataDir})
}

func TestStartRefuses(t *testing.T) {
	needEngine(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	broken := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(broken, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	otherKind := t.TempDir()
	if err := os.WriteFile(filepath.Join(otherKind, "engine.kind"), []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		config engine.Config
		want   string
	}{
		{"no directory", engine.Config{}, "no data directory"},
		{"port taken", engine.Config{DataDir: t.TempDir(), Addr: taken.Addr().String()}, "address already in use"},
		{"no library", engine.Config{DataDir: t.TempDir(), Library: filepath.Join(t.TempDir(), "none.so")}, "make engine"},
		{"broken library", engine.Config{DataDir: t.TempDir(), Library: broken}, "loading " + broken},
		{"no server", engine.Config{DataDir: t.TempDir(), ServerBinary: "no-such-clickhouse"}, "no-such-clickhouse"},
		{"both", engine.Config{DataDir: t.TempDir(), ServerBinary: "clickhouse", Library: broken}, "name one"},
		{"no port", engine.Config{DataDir: t.TempDir(), Addr: "127.0.0.1"}, "host:port"},
		{"user", engine.Config{DataDir: t.TempDir(), User: "<a>"}, "the engine's user \"<a>\""},
		{"no user", engine.Config{DataDir: t.TempDir(), Password: "x"}, "no user"},
		{"open to others", engine.Config{DataDir: t.TempDir(), Addr: "0.0.0.0:0"}, "can be reached from other machines"},
		{"directory of another kind", engine.Config{DataDir: otherKind}, "was made by a ClickHouse another"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := engine.Start(t.Context(), c.config)
			if err == nil {
				t.Fatal("started", e.Close())
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q does not say %q", err, c.want)
			}
		})
	}
}

func TestInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(engine.LibraryEnv, "")
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	if err := engine.Installed(); err == nil || !strings.Contains(err.Error(), "make engine") {
		t.Errorf("without an engine: %v", err)
	}
	path, err := engine.LibraryPath()
	if want := filepath.Join(cache, "dwiarah", "engine", engine.Version, "libchdb.so"); err != nil || path != want {
		t.Fatalf("the library's path is %q (%v), want %q", path, err, want)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := engine.Installed(); err != nil {
		t.Errorf("with a library in the cache: %v", err)
	}
	t.Setenv(engine.LibraryEnv, filepath.Join(cache, "none.so"))
	if err := engine.Installed(); err == nil || !strings.Contains(err.Error(), engine.LibraryEnv) {
		t.Errorf("with a wrong %s: %v", engine.LibraryEnv, err)
	}
}

// The package that `make engine` installs and the place where this package looks must be of one version.
func TestPinnedVersion(t *testing.T) {
	pins, err := os.ReadFile("../../../deploy/standalone/engine-lib/package.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, platform := range []string{"linux-x64-gnu", "linux-arm64-gnu", "darwin-arm64", "darwin-x64"} {
		if want := fmt.Sprintf("%q: %q", "@chdb/lib-"+platform, engine.Version); !bytes.Contains(pins, []byte(want)) {
			t.Errorf("package.json does not pin %s", want)
		}
	}
}

func TestPassword(t *testing.T) {
	e := start(t, engine.Config{User: "analis", Password: "rahasia ' \\"})
	answer := func(change func(*http.Request)) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+e.Addr()+"/", strings.NewReader("SELECT 1"))
		if err != nil {
			t.Fatal(err)
		}
		change(request)
		return send(t, request)
	}
	if status, text := answer(func(*http.Request) {}); status != http.StatusUnauthorized || !strings.HasPrefix(text, "Code: 194.") {
		t.Errorf("without a user: %d %s", status, text)
	}
	if status, text := answer(func(r *http.Request) { r.SetBasicAuth("analis", "salah") }); status != http.StatusForbidden || !strings.HasPrefix(text, "Code: 516.") {
		t.Errorf("with a wrong password: %d %s", status, text)
	}
	if status, text := answer(func(r *http.Request) {
		r.Header.Set("X-ClickHouse-User", "analis")
		r.Header.Set("X-ClickHouse-Key", "rahasia ' \\")
		r.Header.Set("Origin", "http://127.0.0.1:3000")
	}); status != http.StatusOK || text != "1\n" {
		t.Errorf("with the password: %d %s", status, text)
	}
	conn := open(t, e, func(o *clickhouse.Options) { o.Auth = clickhouse.Auth{Username: "analis", Password: "rahasia ' \\"} })
	if err := conn.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// send gives the status and the body of an answer.
func send(t *testing.T, request *http.Request) (int, string) {
	t.Helper()
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// httpClient keeps no connections, which would be goroutines, and unpacks nothing.
var httpClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
