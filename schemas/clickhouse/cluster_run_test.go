package clickhouse

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
)

// mirrors is a cluster of two shards that are both this engine, so that they hold the same rows: what is asked of both comes twice, and what is asked of one is right.
const mirrors = `<clickhouse><tcp_port>9000</tcp_port><remote_servers><mirrors>
	<shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>9000</port></replica></shard>
	<shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>9000</port></replica></shard>
</mirrors></remote_servers></clickhouse>`

// Over the tables and views of a cluster, with the settings that its page asks for, every view says of an institution what it says on one node, and asks one shard alone: joins, IN and all.
func TestViewsStayOnTheInstitutionsShard(t *testing.T) {
	if addr == "" {
		t.Skip("DWIARAH_ENGINE=skip: tests of the real engine are left out")
	}
	config := filepath.Join(t.TempDir(), "config.xml")
	if err := os.WriteFile(config, []byte(mirrors), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := engine.Start(t.Context(), engine.Config{DataDir: t.TempDir(), LibraryConfig: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	admin := connectTo(t, e.Addr(), "default", nil)
	if err := EnsureDatabase(t.Context(), admin, "one"); err != nil {
		t.Fatal(err)
	}
	one := connectTo(t, e.Addr(), "one", nil)
	if _, err := Migrate(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	statements, err := Cluster("mirrors", "many")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		// There is no Keeper here, and one node.
		s = strings.ReplaceAll(s, " ON CLUSTER mirrors", "")
		s = regexp.MustCompile(`ENGINE = Replicated(\w+)\('[^']*', '[^']*'(?:, )?`).ReplaceAllString(s, "ENGINE = $1(")
		if err := admin.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s\n%v", s, err)
		}
	}
	many := connectTo(t, e.Addr(), "many", clickhouse.Settings{"optimize_skip_unused_shards": 1, "distributed_product_mode": "local", "distributed_foreground_insert": 1})
	if made, err := Migrate(t.Context(), many); err != nil || made.Steps() > 0 {
		t.Errorf("after the printed statements there were %d steps to do: %v", made.Steps(), err)
	}
	for _, conn := range []driver.Conn{one, many} {
		if _, err := LoadCalendars(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	w := rapid.Custom(drawWorld).Example(20)
	w.coverage = append(w.coverage, coverage(w.institution, -40, 400))
	changes := rapid.Custom(func(t *rapid.T) []*event.Visibility { return drawVisibility(t, w) }).Example(0)
	for _, conn := range []driver.Conn{one, many} {
		w.put(t, conn)
		w.putVisibility(t, conn, changes)
		insertSnapshots(t, conn, w.institution)
	}
	if want, got := everything(t, one, w.institution), everything(t, many, w.institution); got != want {
		t.Errorf("on a cluster the views differ (-one node +cluster):\n%s", cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
	}
}
