package engine

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// One engine at a time uses a directory, and it is of the kind that made it.
func TestLock(t *testing.T) {
	leash := make(chan struct{})
	close(leash) // Nobody waits for a lock that is held.
	o := orders{DataDir: t.TempDir(), Program: program{Library: "libchdb.so"}}
	if err := o.lock(leash); err != nil {
		t.Fatal(err)
	}
	if err := o.lock(leash); err == nil || !strings.Contains(err.Error(), "locking") {
		t.Errorf("a second lock: %v", err)
	}
	server := orders{DataDir: t.TempDir(), Program: program{Server: "clickhouse"}}
	if err := os.WriteFile(filepath.Join(server.DataDir, "engine.kind"), []byte("library\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.lock(leash); err == nil || !strings.Contains(err.Error(), "made by a ClickHouse library") {
		t.Errorf("a directory of another kind: %v", err)
	}
}

func TestServerConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		orders orders
		addr   string
	}{
		{"open", orders{MaxMemoryBytes: 1 << 30}, "127.0.0.1:8123"},
		{"password", orders{MaxMemoryBytes: 4 << 30, User: "analis", Password: "<rahasia> & \"lain\""}, "[::1]:18123"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, users, err := c.orders.serverConfig(c.addr, "/data/<engine>/server")
			if err != nil {
				t.Fatal(err)
			}
			for name, got := range map[string][]byte{"config": config, "users": users} {
				golden := filepath.Join("testdata", c.name+"-"+name+".xml")
				if *update {
					if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}
