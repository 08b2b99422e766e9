package clickhouse

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Result names the files whose statements a run of Migrate executed, in order.
type Result struct {
	Migrations []string
	Views      []string
}

// Steps is how many statements changed the database; 0 when it was up to date.
func (r Result) Steps() int { return len(r.Migrations) + len(r.Views) }

// internalView is a view of parameters that a view reads. ClickHouse puts the database to a table's name when a view is made, but looks for such a view in
// the reader's current one: who asks for dwiarah.metric_wait(...) from elsewhere would not find it.
var internalView = regexp.MustCompile(`\bFROM ((?:int|series)_[a-z_]+\()`)

var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// EnsureDatabase creates a database where it is absent. conn has to be open on a database that exists, as default does.
func EnsureDatabase(ctx context.Context, conn driver.Conn, name string) error {
	if !databaseName.MatchString(name) {
		return fmt.Errorf("database %q: allowed are 1 to 63 letters, digits and _, not beginning with a digit", name)
	}
	if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS `"+name+"`"); err != nil {
		return fmt.Errorf("creating database %s: %w", name, err)
	}
	return nil
}

// Migrate brings conn's database up to the SQL files of this build. Migrations that the database does not record are applied in order; one whose file has
// changed since it was applied, or that this build does not know, is refused, before anything is changed. Views are replaced where their file differs from the
// recorded one or where they are missing, together with all later ones, which may read them. Data is never dropped. Migrate may be repeated and, because every
// statement may be, also after a run that died half-way or beside another run.
func Migrate(ctx context.Context, conn driver.Conn) (Result, error) {
	return migrate(ctx, conn, files)
}

func migrate(ctx context.Context, conn driver.Conn, from fs.FS) (Result, error) {
	var result Result
	migrations, err := scripts(from, "migrations", migrationName)
	if err != nil {
		return result, err
	}
	views, err := scripts(from, "views", viewName)
	if err != nil {
		return result, err
	}
	if views, err = inlined(views); err != nil {
		return result, err
	}
	record, err := openRecord(ctx, conn)
	if err != nil {
		return result, err
	}
	if err := record.check(migrations); err != nil {
		return result, err
	}
	for _, m := range migrations {
		if record.sums[m.name] != "" {
			continue
		}
		if err := record.apply(ctx, m); err != nil {
			return result, err
		}
		result.Migrations = append(result.Migrations, m.name)
	}
	present, err := viewNames(ctx, conn)
	if err != nil {
		return result, err
	}
	var database string
	if err := conn.QueryRow(ctx, "SELECT currentDatabase()").Scan(&database); err != nil {
		return result, fmt.Errorf("asking for the current database: %w", err)
	}
	// A view keeps the columns that its sources had when it was made, so whatever comes after a change is made again.
	stale := len(result.Migrations) > 0
	for _, v := range views {
		if stale = stale || record.sums[v.name] != v.checksum || !present[v.object()]; !stale {
			continue
		}
		v.sql = internalView.ReplaceAllString(v.sql, "FROM `"+database+"`.$1")
		if err := record.apply(ctx, v); err != nil {
			return result, err
		}
		result.Views = append(result.Views, v.name)
	}
	return result, nil
}

// migrationRecord is what the database remembers of the files that were applied to it.
type migrationRecord struct {
	conn driver.Conn
	sums map[string]string // checksum by file name
}

// recordTable makes the table of what was applied.
const recordTable = `CREATE TABLE IF NOT EXISTS schema_migrations
(
    name       String,
    checksum   String COMMENT 'SHA-256 of the file',
    applied_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY name
COMMENT 'The SQL and calendar files that this database was brought up to'`

func openRecord(ctx context.Context, conn driver.Conn) (*migrationRecord, error) {
	err := conn.Exec(ctx, recordTable)
	if err != nil {
		return nil, fmt.Errorf("creating the table schema_migrations: %w", err)
	}
	rows, err := conn.Query(ctx, "SELECT name, argMax(checksum, applied_at) FROM schema_migrations GROUP BY name")
	if err != nil {
		return nil, fmt.Errorf("reading schema_migrations: %w", err)
	}
	defer rows.Close()
	r := &migrationRecord{conn: conn, sums: map[string]string{}}
	for rows.Next() {
		var name, sum string
		if err := rows.Scan(&name, &sum); err != nil {
			return nil, fmt.Errorf("reading schema_migrations: %w", err)
		}
		r.sums[name] = sum
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading schema_migrations: %w", err)
	}
	return r, nil
}

// check refuses a history that is not a part of this build's.
func (r *migrationRecord) check(migrations []script) error {
	known := map[string]bool{}
	for _, m := range migrations {
		known[m.name] = true
		if applied := r.sums[m.name]; applied != "" && applied != m.checksum {
			return fmt.Errorf("%s was changed after it had been applied: its checksum is %.12s, the database has %.12s; restore the file and put the change into a new migration", m.name, m.checksum, applied)
		}
	}
	for name := range r.sums {
		if migrationName.MatchString(name) && !known[name] {
			return fmt.Errorf("the database has had %s, which this build does not know: a newer build has migrated it; use that build or a later one", name)
		}
	}
	return nil
}

func (r *migrationRecord) apply(ctx context.Context, s script) error {
	for _, statement := range s.statements() {
		if err := r.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("applying %s: %w", s.name, err)
		}
	}
	return r.note(ctx, s.name, s.checksum)
}

func (r *migrationRecord) note(ctx context.Context, name, checksum string) error {
	err := r.conn.Exec(ctx, "INSERT INTO schema_migrations SELECT {name:String}, {checksum:String}, now64(6, 'UTC')",
		clickhouse.Named("name", name), clickhouse.Named("checksum", checksum))
	if err != nil {
		return fmt.Errorf("recording %s in schema_migrations: %w", name, err)
	}
	return nil
}

// viewNames are the views there are. On a cluster those without parameters are Distributed tables, see Cluster.
func viewNames(ctx context.Context, conn driver.Conn) (map[string]bool, error) {
	rows, err := conn.Query(ctx, "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine IN ('View', 'Distributed')")
	if err != nil {
		return nil, fmt.Errorf("listing views: %w", err)
	}
	defer rows.Close()
	names := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("listing views: %w", err)
		}
		names[name] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing views: %w", err)
	}
	return names, nil
}
