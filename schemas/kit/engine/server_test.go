package engine

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

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
