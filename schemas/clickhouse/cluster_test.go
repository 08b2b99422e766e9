package clickhouse

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// The statements for a cluster come from the same files: golden for one of each kind, all of them understood by the engine.
func TestClusterIsGolden(t *testing.T) {
	some := fstest.MapFS{}
	for name, file := range shipped(t) {
		if slices.Contains([]string{"migrations/0003_tombstones.sql", "migrations/0006_institution_settings.sql", "migrations/0019_visibility_changes.sql", "migrations/0025_label_parts.sql", "views/000_int_concealed.sql", "views/011_int_requests.sql", "views/012_int_waits.sql", "views/014_requests.sql"}, name) {
			some[name] = file
		}
	}
	golded, err := cluster("kota", Database, some)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range golded {
		b.WriteString(checksum.ReplaceAllString(s, "'...'") + ";\n\n")
	}
	const golden = "testdata/cluster.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	statements, err := Cluster("dwiarah", Database)
	if err != nil {
		t.Fatal(err)
	}
	conn := database(t)
	for _, s := range statements {
		if strings.HasPrefix(s, "INSERT") {
			continue
		}
		if err := conn.Exec(t.Context(), "EXPLAIN AST "+s); err != nil {
			t.Errorf("%s\n%v", s, err)
		}
	}
	for _, name := range []string{"", "a b", "x'; DROP"} {
		if _, err := Cluster(name, Database); err == nil {
			t.Errorf("cluster %q was accepted", name)
		}
	}
}

var checksum = regexp.MustCompile(`'[0-9a-f]{64}'`)

// Every table that rows of messages go to is known to the list of sharded ones, or is small.
func TestShardedTablesHaveAnInstitutionFirst(t *testing.T) {
	conn := migrated(t)
	rows, _ := query(t, conn, "SELECT name, sorting_key FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'", nil)
	found := 0
	for _, r := range rows {
		if slices.Contains(sharded, r["name"].(string)) {
			found++
			if !strings.HasPrefix(r["sorting_key"].(string), "institution,") {
				t.Errorf("%s is sharded by institution and sorted by %s", r["name"], r["sorting_key"])
			}
		}
	}
	if found != len(sharded) {
		t.Errorf("%d of %d sharded tables exist", found, len(sharded))
	}
}
