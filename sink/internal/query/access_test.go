package query_test

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/clickhouse/calendar"
	"github.com/dwiarah/dwiarah/sink/internal/query"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// The engine reads every statement of the file, and no table with texts is forgotten.
func TestAccessFileIsUnderstood(t *testing.T) {
	addr := storetest.Shared(t)
	s := storetest.Open(t, storetest.Config(addr, storetest.Database(t, addr)))
	statements := storetest.AccessStatements(t)
	if len(statements) < 15 {
		t.Fatalf("%d statements are read of the file", len(statements))
	}
	for _, statement := range statements {
		if err := s.Conn().Exec(t.Context(), "EXPLAIN AST "+statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	// On a cluster the rows lie in a table of another name.
	var withTexts []string
	for _, table := range append(tablesWith(t, s, "text", "url"), "message_texts") {
		withTexts = append(withTexts, "SELECT ON dwiarah."+table, "SELECT ON dwiarah."+table+"_local")
	}
	for _, role := range []string{"analyst", "reporter"} {
		if want := "REVOKE " + strings.Join(withTexts, ", ") + " FROM " + role; !slices.Contains(statements, want) {
			t.Errorf("the file has no %s", want)
		}
	}
	policies := storetest.RowPolicies(t)
	for _, table := range tablesWith(t, s, "author_key", "author_mark", "message_id", "message_key", "subject_key") {
		for _, policy := range []string{"dwiarah_readers", "dwiarah_services"} {
			for _, name := range []string{table, table + "_local"} {
				if !slices.ContainsFunc(policies, func(p storetest.RowPolicy) bool { return p.Name == policy && slices.Contains(p.Tables, name) }) {
					t.Errorf("table %s tells of single messages, and there is no row policy %s on it", name, policy)
				}
			}
		}
	}
}

// tablesWith are the tables that have one of the columns.
func tablesWith(t *testing.T, s *store.Store, columns ...string) (tables []string) {
	t.Helper()
	if err := s.Conn().QueryRow(t.Context(), `SELECT groupUniqArray(c.table) FROM system.columns AS c
		JOIN system.tables AS t ON t.database = c.database AND t.name = c.table
		WHERE c.database = currentDatabase() AND t.engine LIKE '%MergeTree' AND c.name IN ($1)`, columns).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if len(tables) == 0 {
		t.Fatalf("no table has any of the columns %q", columns)
	}
	return tables
}

// twoInstitutions is a folder with a message and its text of each of institutions a and b, of which a is the user's.
func twoInstitutions(t *testing.T) (dir string) {
	t.Helper()
	dir = storetest.EmptyDatabase(t)
	storetest.As(t, dir, storetest.Everybody, func(s *store.Store) {
		if _, err := clickhouse.Migrate(t.Context(), s.Conn()); err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{
			"INSERT INTO message_facts (institution, created_at, platform, message_id, author_key, kind, direction, expires_at) SELECT i, '2026-01-05 00:00:00', 'x', concat('m', i), 'u', 'mention', 'inbound', '2100-01-01' FROM (SELECT arrayJoin(['a', 'b']) AS i)",
			"INSERT INTO message_bodies (institution, created_at, platform, message_id, text, expires_at) SELECT i, '2026-01-05 00:00:00', 'x', concat('m', i), concat('text of ', i), '2100-01-01' FROM (SELECT arrayJoin(['a', 'b']) AS i)",
			"INSERT INTO reader_institutions VALUES ('default', 'a')",
		} {
			if err := s.Conn().Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	})
	return dir
}

// ask runs a statement, which may read or change, and returns what it prints.
func ask(t *testing.T, s *store.Store, statement string) (string, error) {
	t.Helper()
	if !strings.HasPrefix(statement, "SELECT") && !strings.HasPrefix(statement, "EXPLAIN") {
		return "", s.Conn().Exec(t.Context(), statement)
	}
	var out strings.Builder
	err := query.Print(t.Context(), s.Conn(), statement, nil, &out)
	return out.String(), err
}

// With the grants, row policies and profiles of the shipped file, on the real engine: an analyst reads no text and nobody else's institution.
func TestRolesReadWhatTheyMay(t *testing.T) {
	dir := twoInstitutions(t)
	const (
		denied  = "ACCESS_DENIED"
		limited = "SETTING_CONSTRAINT_VIOLATION"
	)
	for role, questions := range map[string]map[string]string{
		"analyst": {
			"SELECT text FROM message_texts":                                                 denied,
			"SELECT text FROM message_bodies":                                                denied,
			"SELECT message_id FROM messages":                                                "ma\n1 rows",
			"SELECT institution FROM message_facts":                                          "a\n1 rows",
			"SELECT count() FROM requests":                                                   "0\n1 rows",
			"SELECT n FROM metric_wait(institution='a', from='2026-01-01', to='2026-02-01')": "0\n1 rows",
			"INSERT INTO reader_institutions VALUES ('default', '*')":                        denied,
			"ALTER TABLE message_facts DELETE WHERE 1":                                       denied,
			"SELECT 1 SETTINGS max_memory_usage = 5000000000":                                "1\n1 rows",
			"SELECT 1 SETTINGS max_memory_usage = 9000000000":                                limited,
			"SELECT 1 SETTINGS max_execution_time = 301":                                     limited,
			"SELECT number FROM numbers(1000001)":                                            "TOO_MANY_ROWS_OR_BYTES",
		},
		"reviewer": {
			"SELECT text FROM message_texts": "text of a\n1 rows",
			"INSERT INTO tombstones (institution, platform, message_key, deleted_at) VALUES ('a', 'x', unhex('00'), now())": denied,
			"SELECT 1 SETTINGS max_threads = 9": limited,
		},
		"reporter": {
			"SELECT text FROM message_texts":                denied,
			"SELECT text FROM message_bodies":               denied,
			"SELECT message_id FROM messages ORDER BY 1":    "ma\nmb\n2 rows",
			"INSERT INTO report_runs (report) VALUES ('r')": "",
		},
		"writer": {
			"ALTER TABLE message_facts DELETE WHERE institution = 'c'":                                                      "",
			"INSERT INTO tombstones (institution, platform, message_key, deleted_at) VALUES ('c', 'x', unhex('00'), now())": "",
			"SELECT sum(rows) > 0 FROM system.parts WHERE database = 'dwiarah'":                                             "1\n1 rows",
			"DROP TABLE tombstones":                       denied,
			"CREATE TABLE mine (a UInt8) ENGINE = Memory": denied,
		},
		"migrator": {
			"DROP TABLE message_facts":               denied,
			"DROP TABLE business_spans":              denied,
			"TRUNCATE TABLE message_facts":           denied,
			"DROP DATABASE dwiarah":                  denied,
			"CREATE TABLE elsewhere.t AS tombstones": denied,
		},
	} {
		storetest.As(t, dir, role, func(s *store.Store) {
			for question, want := range questions {
				out, err := ask(t, s, question)
				switch {
				case want == strings.ToUpper(want) && want != "":
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%s: %s gave %s %v, want %s", role, question, out, err, want)
					}
				case err != nil:
					t.Errorf("%s: %s: %v", role, question, err)
				case want != "" && !strings.HasSuffix(strings.TrimSpace(out), want):
					t.Errorf("%s: %s gave %q, want %q", role, question, out, want)
				}
			}
		})
	}
}

// What the migrator may do is enough for a new database, for one that has to change, and for a calendar that takes the place of another.
func TestMigratorMigrates(t *testing.T) {
	dir := storetest.EmptyDatabase(t)
	other, err := calendar.Load("id-government")
	if err != nil {
		t.Fatal(err)
	}
	other.Checksum = "another file"
	storetest.As(t, dir, "migrator", func(s *store.Store) {
		for _, others := range [][]*calendar.Calendar{nil, {other}} {
			made, err := clickhouse.Migrate(t.Context(), s.Conn())
			if err != nil || (made.Steps() > 0) != (others == nil) {
				t.Errorf("%d steps, %v", made.Steps(), err)
			}
			if loaded, err := clickhouse.LoadCalendars(t.Context(), s.Conn(), others...); err != nil || len(loaded) != 1 {
				t.Errorf("the calendars %q were loaded: %v", loaded, err)
			}
			// A view whose file has changed is replaced.
			if err := s.Conn().Exec(t.Context(), "CREATE OR REPLACE VIEW messages AS SELECT 1"); err != nil {
				t.Error(err)
			}
		}
	})
}

// There are more ways to a text than its table and its view. Each shows it to somebody who may do everything, and none to an analyst.
func TestAnalystsFindNoOtherWayToATexts(t *testing.T) {
	dir := twoInstitutions(t)
	ways := []string{
		"SELECT * FROM merge('dwiarah', '^message_')",
		"SELECT text FROM merge('dwiarah', '^message_bodies$')",
		"SELECT text FROM remote('127.0.0.1', 'dwiarah', 'message_bodies')",
		"SELECT text FROM remote('127.0.0.1', 'dwiarah', 'message_texts')",
		"SELECT text FROM loop('dwiarah', 'message_bodies') LIMIT 1",
		"SELECT text FROM view(SELECT text FROM dwiarah.message_bodies)",
		"SELECT groupArray(concat(token, ' of')) FROM mergeTreeTextIndex('dwiarah', 'message_bodies', 'words')",
		"SELECT b.text FROM messages AS m INNER JOIN message_texts AS b ON b.message_id = m.message_id",
		"SELECT (SELECT any(text) FROM message_bodies)",
		"SELECT if(count() > 0, 'text of', '') FROM messages WHERE message_id IN (SELECT message_id FROM message_bodies WHERE text LIKE 'text of %')",
		"SELECT * FROM (SELECT * FROM message_facts) AS f LEFT JOIN message_bodies AS b USING (institution, platform, message_id)",
		"SELECT if(explain LIKE '%message_bodies%', 'text of', '') FROM viewExplain('EXPLAIN', '', (SELECT text FROM dwiarah.message_bodies))",
	}
	shows := func(role string, want bool) {
		storetest.As(t, dir, role, func(s *store.Store) {
			for _, way := range ways {
				if out, err := ask(t, s, way); strings.Contains(out, "text of") != want {
					t.Errorf("as %q: %s gave %q %v", role, way, out, err)
				}
			}
		})
	}
	shows(storetest.Everybody, true)
	shows("analyst", false)
	shows("reporter", false)
}

// An analyst's rights reach the cookbook's queries, which read the views that reports and panels read.
func TestAnalystsReachTheViews(t *testing.T) {
	names, err := filepath.Glob("../../../schemas/clickhouse/cookbook/*.sql")
	if err != nil || len(names) < 30 {
		t.Fatalf("%d files of the cookbook, %v", len(names), err)
	}
	storetest.As(t, twoInstitutions(t), "analyst", func(s *store.Store) {
		for _, name := range names {
			sql, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			parameters := map[string]string{"institution": "a", "from": "2026-01-01 00:00:00", "to": "2026-02-01 00:00:00"}
			if err := query.Print(t.Context(), s.Conn(), string(sql), parameters, io.Discard); err != nil {
				t.Errorf("%s: %v", filepath.Base(name), err)
			}
		}
	})
}
