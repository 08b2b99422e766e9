package clickhouse

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// shipped is a copy of the embedded files that a test may change.
func shipped(t *testing.T) fstest.MapFS {
	t.Helper()
	m := fstest.MapFS{}
	for _, dir := range []string{"migrations", "views"} {
		names, err := fs.Glob(files, dir+"/*.sql")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := fs.ReadFile(files, name)
			if err != nil {
				t.Fatal(err)
			}
			m[name] = &fstest.MapFile{Data: b}
		}
	}
	return m
}

func TestMigrateIsIdempotent(t *testing.T) {
	conn := database(t)
	first, err := Migrate(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Migrations) < 8 || len(first.Views) < 13 {
		t.Errorf("a new database took %d migrations and %d views, want all of them", len(first.Migrations), len(first.Views))
	}
	if !slices.IsSorted(first.Migrations) || !slices.IsSorted(first.Views) {
		t.Errorf("applied out of order: %v, %v", first.Migrations, first.Views)
	}
	second, err := Migrate(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if second.Steps() != 0 {
		t.Errorf("the second run took %d steps: %+v", second.Steps(), second)
	}
}

func TestMigrateStartsFromEveryPastSchema(t *testing.T) {
	all := shipped(t)
	migrations, err := scripts(all, "migrations", migrationName)
	if err != nil {
		t.Fatal(err)
	}
	want := schemaOf(t, migrated(t))
	for n := range migrations {
		past := fstest.MapFS{}
		for _, m := range migrations[:n] {
			past[m.name] = all[m.name]
		}
		conn := database(t)
		if _, err := migrate(t.Context(), conn, past); err != nil {
			t.Fatal(err)
		}
		r, err := Migrate(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(migrations) - n; len(r.Migrations) != got {
			t.Errorf("from schema %d: %d migrations applied, want %d", n, len(r.Migrations), got)
		}
		if got := schemaOf(t, conn); got != want {
			t.Errorf("from schema %d the database ends as\n%s\nwant\n%s", n, got, want)
		}
	}
}

// A run that died between a statement and its record is repeated.
func TestMigrateGoesOnAfterACrash(t *testing.T) {
	conn := migrated(t)
	exec(t, conn, "INSERT INTO institution_settings VALUES ('i', 'I', 'UTC', 0, '', now64(3))")
	exec(t, conn, "TRUNCATE TABLE schema_migrations")
	r, err := Migrate(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if r.Steps() == 0 {
		t.Error("nothing was repeated")
	}
	if n := scan[uint64](t, conn, "SELECT count() FROM institution_settings"); n != 1 {
		t.Errorf("%d rows are left of 1", n)
	}
}

func TestMigrateRefusesAChangedMigration(t *testing.T) {
	conn := database(t)
	all := shipped(t)
	if _, err := migrate(t.Context(), conn, all); err != nil {
		t.Fatal(err)
	}
	const name = "migrations/0003_tombstones.sql"
	all[name] = &fstest.MapFile{Data: append(slices.Clone(all[name].Data), "-- a word\n"...)}
	all["migrations/9999_new.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE new (a UInt8) ENGINE = Memory")}
	_, err := migrate(t.Context(), conn, all)
	if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "changed after it had been applied") {
		t.Fatalf("got %v", err)
	}
	if n := scan[uint64](t, conn, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'new'"); n != 0 {
		t.Error("something was applied before the refusal")
	}
}

func TestMigrateRefusesADatabaseOfALaterBuild(t *testing.T) {
	conn := database(t)
	later := shipped(t)
	later["migrations/9999_later.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE IF NOT EXISTS later (a UInt8) ENGINE = Memory")}
	if _, err := migrate(t.Context(), conn, later); err != nil {
		t.Fatal(err)
	}
	if _, err := Migrate(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "migrations/9999_later.sql") {
		t.Fatalf("got %v", err)
	}
}

func TestMigrateReplacesViews(t *testing.T) {
	conn := database(t)
	before := fstest.MapFS{
		"migrations/0001_a.sql": {Data: []byte("CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = Memory")},
		"views/001_one.sql":     {Data: []byte("CREATE OR REPLACE VIEW one AS SELECT x FROM a")},
		"views/002_two.sql":     {Data: []byte("CREATE OR REPLACE VIEW two AS SELECT x FROM a")},
		"views/003_three.sql":   {Data: []byte("CREATE OR REPLACE VIEW three AS SELECT x FROM two")},
	}
	if _, err := migrate(t.Context(), conn, before); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "INSERT INTO a VALUES (1)")
	after := fstest.MapFS{
		"migrations/0001_a.sql": before["migrations/0001_a.sql"],
		"views/001_one.sql":     before["views/001_one.sql"],
		"views/002_two.sql":     {Data: []byte("CREATE OR REPLACE VIEW two AS SELECT x + 1000 AS x FROM a")},
		"views/003_three.sql":   before["views/003_three.sql"],
	}
	r, err := migrate(t.Context(), conn, after)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"views/002_two.sql", "views/003_three.sql"}; !slices.Equal(r.Views, want) || len(r.Migrations) != 0 {
		t.Errorf("replaced %+v, want %v", r, want)
	}
	if x := scan[uint32](t, conn, "SELECT x FROM three"); x != 1001 {
		t.Errorf("three reads %d, want 1001", x)
	}
	exec(t, conn, "DROP VIEW one")
	if r, err = migrate(t.Context(), conn, after); err != nil || len(r.Views) != 3 {
		t.Errorf("a dropped view: %+v, %v", r, err)
	}
	if r, err = migrate(t.Context(), conn, after); err != nil || r.Steps() != 0 {
		t.Errorf("the last run: %+v, %v", r, err)
	}
}

func TestMigrateNamesTheFileOfABrokenStatement(t *testing.T) {
	conn := database(t)
	_, err := migrate(t.Context(), conn, fstest.MapFS{"migrations/0001_broken.sql": {Data: []byte("CREATE TABEL a")}})
	if err == nil || !strings.Contains(err.Error(), "migrations/0001_broken.sql") {
		t.Fatalf("got %v", err)
	}
}

func TestScripts(t *testing.T) {
	fails := func(want string, names ...string) {
		t.Helper()
		from := fstest.MapFS{}
		for _, name := range names {
			from[name] = &fstest.MapFile{Data: []byte("SELECT 1")}
		}
		if _, err := scripts(from, "views", viewName); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want an error about %q", names, err, want)
		}
	}
	fails("has the number of", "views/001_a.sql", "views/001_b.sql")
	fails("has to match", "views/1_a.sql")
	fails("has to match", "views/001_A.sql")

	for dir, form := range map[string]string{"migrations": "CREATE TABLE IF NOT EXISTS ", "views": "CREATE OR REPLACE VIEW "} {
		list, err := scripts(files, dir, map[string]*regexp.Regexp{"migrations": migrationName, "views": viewName}[dir])
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if dir == "migrations" && (rowsForm.MatchString(s.sql) || settingForm.MatchString(s.sql) || columnsForm.MatchString(s.sql)) {
				continue // rows, settings or columns of a table that a file before it makes
			}
			if !strings.Contains(s.sql, form+s.object()+"\n") && !strings.Contains(s.sql, form+s.object()+" AS\n") {
				t.Errorf("%s does not say %q: every file makes the object of its name and may be repeated", s.name, form+s.object())
			}
			if !strings.Contains(s.sql, "\nCOMMENT '") {
				t.Errorf("%s has no COMMENT", s.name)
			}
			// Who reads it knows SQL, not the numbers of METRICS.md: they stand at its end.
			if regexp.MustCompile(`\nCOMMENT 'M[0-9]`).MatchString(s.sql) {
				t.Errorf("the COMMENT of %s begins with a number of METRICS.md", s.name)
			}
			if strings.Contains(s.sql, Database+".") {
				t.Errorf("%s names the database", s.name)
			}
		}
	}
}

// Whoever has only SQL reads what each column of a table and of a stable view holds. Views with parameters have no columns of their own: their comments name them.
func TestEveryColumnSaysWhatItHolds(t *testing.T) {
	conn := migrated(t)
	if silent := scan[[]string](t, conn, "SELECT arraySort(groupArray(concat(table, '.', name))) FROM system.columns WHERE database = currentDatabase() AND NOT startsWith(table, 'int_') AND comment = ''"); len(silent) > 0 {
		t.Errorf("without a word: %q", silent)
	}
	if said := scan[string](t, conn, "SELECT comment FROM system.columns WHERE database = currentDatabase() AND table = 'messages' AND name = 'reach'"); !strings.Contains(said, "followers") {
		t.Errorf("messages.reach says %q", said)
	}
}

func TestEnsureDatabase(t *testing.T) {
	conn := database(t)
	for range 2 {
		if err := EnsureDatabase(t.Context(), conn, "ensured_1"); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "1a", "a`b", "a b", "a;b"} {
		if err := EnsureDatabase(t.Context(), conn, name); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

// schemaOf renders every column of every object of a database.
func schemaOf(t *testing.T, conn driver.Conn) string {
	t.Helper()
	return scan[string](t, conn, `
SELECT arrayStringConcat(arraySort(groupArray(concat(table, '.', name, ' ', type, ' ', default_expression, ' ', compression_codec, ' ', comment))), '\n')
FROM system.columns WHERE database = currentDatabase()`)
}

func exec(t *testing.T, conn driver.Conn, query string, args ...any) {
	t.Helper()
	if err := conn.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// scan returns the one value of a query's one row.
func scan[T any](t *testing.T, conn driver.Conn, query string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}
