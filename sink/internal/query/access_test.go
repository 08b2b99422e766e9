package query_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/sink/internal/query"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const accessFile = "../../../deploy/clickhouse/access.sql"

// access returns the statements of the shipped file.
func access(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(accessFile)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, s := range strings.Split(regexp.MustCompile(`(?m)^--.*\n`).ReplaceAllString(string(b), ""), ";\n") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// The engine reads every statement of the file, and no table with texts is forgotten.
func TestAccessFileIsUnderstood(t *testing.T) {
	addr := storetest.Shared(t)
	s := storetest.Open(t, storetest.Config(addr, storetest.Database(t, addr)))
	statements := access(t)
	if len(statements) < 25 {
		t.Fatalf("%d statements are read from %s", len(statements), accessFile)
	}
	for _, statement := range statements {
		if err := s.Conn().Exec(t.Context(), "EXPLAIN AST "+statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	for _, table := range tablesWith(t, s, "text", "url") {
		for _, role := range []string{"analyst", "reporter"} {
			if !slices.Contains(statements, fmt.Sprintf("REVOKE SELECT ON dwiarah.%s FROM %s", table, role)) {
				t.Errorf("%s may read %s", role, table)
			}
		}
	}
	for _, table := range tablesWith(t, s, "author_key", "author_mark", "message_id", "message_key", "subject_key") {
		for _, policy := range []string{"readers", "services"} {
			if !slices.ContainsFunc(statements, func(s string) bool {
				return strings.HasPrefix(s, fmt.Sprintf("CREATE ROW POLICY IF NOT EXISTS dwiarah_%s ON dwiarah.%s USING ", policy, table))
			}) {
				t.Errorf("table %s tells of single messages, and there is no row policy dwiarah_%s on it", table, policy)
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

// users is a ClickHouse users file whose one user has what the access file gives to a role: the engine takes no CREATE ROLE, but grants and row policies from there.
func users(t *testing.T, role string) string {
	t.Helper()
	grant := regexp.MustCompile(`^(GRANT|REVOKE) (.*) (TO|FROM) ` + role + `$`)
	policy := regexp.MustCompile(`^CREATE ROW POLICY IF NOT EXISTS \w+ ON dwiarah\.(\w+) USING (.*) TO (.*)$`)
	var grants, filters strings.Builder
	escape := func(s string) string {
		var b strings.Builder
		if err := xml.EscapeText(&b, []byte(s)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, statement := range access(t) {
		if m := grant.FindStringSubmatch(statement); m != nil {
			fmt.Fprintf(&grants, "<query>%s %s</query>", m[1], escape(m[2]))
		}
		if m := policy.FindStringSubmatch(statement); m != nil && slices.Contains(strings.Split(m[3], ", "), role) {
			fmt.Fprintf(&filters, "<%s><filter>%s</filter></%[1]s>", m[1], escape(m[2]))
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "users.xml")
	for name, text := range map[string]string{
		path: "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password/><networks><ip>::/0</ip></networks><profile>default</profile>" +
			"<quota>default</quota><grants>" + grants.String() + "</grants><databases><dwiarah>" + filters.String() + "</dwiarah></databases></default></users></clickhouse>",
		filepath.Join(dir, "config.xml"): "<clickhouse><users_config>" + path + "</users_config></clickhouse>",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config.xml")
}

// With the grants and row policies of the shipped file, on the real engine: an analyst reads no text and nobody else's institution.
func TestRolesReadWhatTheyMay(t *testing.T) {
	storetest.Shared(t) // skips where there is no engine
	dir := t.TempDir()
	start := func(config string) (*store.Store, func()) {
		t.Helper()
		e, err := engine.Start(t.Context(), engine.Config{DataDir: dir, LibraryConfig: config})
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(storetest.Config(e.Addr(), clickhouse.Database))
		if err != nil {
			t.Fatal(err)
		}
		return s, func() {
			if err := errors.Join(s.Close(), e.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, end := start("")
	admin := storetest.Open(t, storetest.Config(strings.TrimPrefix(s.Addresses(), "http://"), "default"))
	if err := clickhouse.EnsureDatabase(t.Context(), admin.Conn(), clickhouse.Database); err != nil {
		t.Fatal(err)
	}
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
	end()
	const denied = "ACCESS_DENIED"
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
		},
		"reviewer": {
			"SELECT text FROM message_texts": "text of a\n1 rows",
			"INSERT INTO tombstones (institution, platform, message_key, deleted_at) VALUES ('a', 'x', unhex('00'), now())": denied,
		},
		"reporter": {
			"SELECT text FROM message_texts":                denied,
			"SELECT message_id FROM messages ORDER BY 1":    "ma\nmb\n2 rows",
			"INSERT INTO report_runs (report) VALUES ('r')": "",
		},
		"writer": {
			"ALTER TABLE message_facts DELETE WHERE institution = 'c'":                                                      "",
			"INSERT INTO tombstones (institution, platform, message_key, deleted_at) VALUES ('c', 'x', unhex('00'), now())": "",
			"DROP TABLE tombstones":                       denied,
			"CREATE TABLE mine (a UInt8) ENGINE = Memory": denied,
		},
	} {
		s, end := start(users(t, role))
		for question, want := range questions {
			var out strings.Builder
			var err error
			if strings.HasPrefix(question, "SELECT") {
				err = query.Print(t.Context(), s.Conn(), question, nil, &out)
			} else {
				err = s.Conn().Exec(t.Context(), question)
			}
			switch {
			case want == denied:
				if err == nil || !strings.Contains(err.Error(), denied) {
					t.Errorf("%s: %s gave %s %v", role, question, out.String(), err)
				}
			case err != nil:
				t.Errorf("%s: %s: %v", role, question, err)
			case want != "" && !strings.HasSuffix(strings.TrimSpace(out.String()), want):
				t.Errorf("%s: %s gave %q, want %q", role, question, out.String(), want)
			}
		}
		end()
	}
}
