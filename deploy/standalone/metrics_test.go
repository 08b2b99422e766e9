package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/sink"
)

// registered are the names of the project's metrics by the services that show them. Of the Go runtime's and the process's own there are documents elsewhere.
func registered(t *testing.T) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "institutions.yaml")
	if err := os.WriteFile(file, []byte("institutions:\n  - id: kota-a\n    name: Kota A\n    zone: Asia/Jakarta\n    accounts: {x: [{handle: kota_a}]}\n    purpose: menjawab warga\n    legal_basis: UU 25/2009\n    retention: {text_days: 90, facts_days: 395}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(dir, "keys")
	if _, err := ingest.InitKeys(keys); err != nil {
		t.Fatal(err)
	}
	ring, err := os.ReadFile(keys)
	if err != nil {
		t.Fatal(err)
	}
	services := map[string]func(*telemetry.Telemetry) error{
		"ingest": func(tel *telemetry.Telemetry) error {
			cfg := ingest.DefaultConfig()
			cfg.Institutions, cfg.StateDir, cfg.Keys = file, dir, config.NewSecret(string(ring))
			in, err := ingest.New(cfg, tel)
			if err != nil {
				return err
			}
			return in.Close()
		},
		"enrich": func(tel *telemetry.Telemetry) error {
			_, err := enrich.New(enrich.DefaultConfig(), tel)
			return err
		},
		"sink": func(tel *telemetry.Telemetry) error {
			cfg := sink.DefaultConfig()
			cfg.Institutions, cfg.Reports.Dir = file, dir
			s, err := sink.New(cfg, tel)
			if err != nil {
				return err
			}
			return s.Close()
		},
	}
	names := map[string][]string{}
	ours := regexp.MustCompile(`fqName: "(dwiarah_[a-z0-9_]+)"`)
	for service, build := range services {
		tel, err := telemetry.New(service, telemetry.Config{Log: telemetry.LogConfig{Level: "error", Format: "text"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := build(tel); err != nil {
			t.Fatal(err)
		}
		described := make(chan *prometheus.Desc, 10_000)
		tel.Registry.Describe(described)
		close(described)
		for d := range described {
			if name := ours.FindStringSubmatch(d.String()); name != nil && !slices.Contains(names[name[1]], service) {
				names[name[1]] = append(names[name[1]], service)
			}
		}
	}
	for _, list := range names {
		slices.Sort(list)
	}
	return names
}

// TestMetricsAreDocumented: every metric that a service registers stands in the table with what to do about it, and the table names nothing else.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(deploy, "prometheus", "METRICS.md"))
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(dwiarah_[a-z0-9_]+)` \\| ([a-z, ]+) \\| [^|]+ \\| [^|]{10,} \\|$").FindAllStringSubmatch(string(page), -1) {
		written[row[1]] = row[2]
	}
	known := registered(t)
	for _, name := range slices.Sorted(maps.Keys(known)) {
		services := ""
		for n, s := range known[name] {
			if n > 0 {
				services += ", "
			}
			services += s
		}
		if written[name] != services {
			t.Errorf("%s is of %q; the table says %q", name, services, written[name])
		}
	}
	for name := range written {
		if known[name] == nil {
			t.Errorf("the table has %s, which no service registers", name)
		}
	}
	rules, err := os.ReadFile(filepath.Join(deploy, "prometheus", "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`dwiarah_[a-z0-9_]+`).FindAllString(string(rules), -1) {
		if known[name] == nil {
			t.Errorf("a rule asks for %s, which no service registers", name)
		}
	}
}

// TestAlerts runs the rules' own tests. Prometheus is a package of Debian; CI has it.
func TestAlerts(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("promtool is not on PATH; CI has to have it (Debian's package prometheus)")
		}
		t.Skip("promtool is not on PATH (Debian's package prometheus): the alert rules are not tested")
	}
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"test", "rules", "rules_test.yml"}} {
		c := exec.CommandContext(t.Context(), promtool, args...)
		c.Dir = filepath.Join(deploy, "prometheus")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
