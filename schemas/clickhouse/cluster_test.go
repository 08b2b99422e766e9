package clickhouse

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The statements for a cluster are the same files: golden, and each understood by the engine.
func TestClusterIsGolden(t *testing.T) {
	statements, err := Cluster("dwiarah", Database)
	if err != nil {
		t.Fatal(err)
	}
	// Queries and checksums of views change with every metric and are their own files.
	var b strings.Builder
	for _, s := range statements {
		if strings.Contains(s, "CREATE OR REPLACE VIEW") {
			s = viewOnCluster.FindString(s) + " ..."
		}
		if strings.HasPrefix(s, "INSERT") {
			s, _, _ = strings.Cut(s, "\n")
		}
		b.WriteString(s + ";\n\n")
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

var viewOnCluster = regexp.MustCompile(`CREATE OR REPLACE VIEW \S+ ON CLUSTER \w+ AS`)

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
