package storetest

import (
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/clickhouse/clickhousetest"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

// AccessStatements are those of deploy/clickhouse/access.sql.
func AccessStatements(t testing.TB) []string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../../../deploy/clickhouse/access.sql"))
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

// RowPolicy is one of the file.
type RowPolicy struct {
	Name, Filter  string
	Tables, Roles []string
}

// RowPolicies are those of the file.
func RowPolicies(t testing.TB) (list []RowPolicy) {
	t.Helper()
	form := regexp.MustCompile(`(?s)^CREATE ROW POLICY IF NOT EXISTS (\w+) ON\s+(.*?)\s+USING (.*?)\s+TO (.*)$`)
	for _, statement := range AccessStatements(t) {
		if m := form.FindStringSubmatch(statement); m != nil {
			p := RowPolicy{Name: m[1], Filter: m[3], Roles: strings.Split(m[4], ", ")}
			for _, table := range regexp.MustCompile(`,\s*`).Split(m[2], -1) {
				p.Tables = append(p.Tables, strings.TrimPrefix(table, clickhouse.Database+"."))
			}
			list = append(list, p)
		}
	}
	return list
}

// users is a ClickHouse users file whose one user has what the access file gives to a role: the engine takes no CREATE ROLE, but grants, row policies and profiles from there.
func users(t testing.TB, role string) string {
	t.Helper()
	grant := regexp.MustCompile(`^(GRANT|REVOKE) (.*) (TO|FROM) ` + role + `$`)
	var grants, filters, settings, constraints strings.Builder
	escape := func(s string) string {
		var b strings.Builder
		if err := xml.EscapeText(&b, []byte(s)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, statement := range AccessStatements(t) {
		if m := grant.FindStringSubmatch(statement); m != nil {
			fmt.Fprintf(&grants, "<query>%s %s</query>", m[1], escape(m[2]))
		}
		if m := regexp.MustCompile(`(?s)^CREATE SETTINGS PROFILE OR REPLACE \w+ SETTINGS\s+(.*?)\s+TO (.*)$`).FindStringSubmatch(statement); m != nil && slices.Contains(strings.Split(m[2], ", "), role) {
			for _, s := range regexp.MustCompile(`(\w+) = '?(\w+)'?(?: MAX (\d+))?`).FindAllStringSubmatch(m[1], -1) {
				fmt.Fprintf(&settings, "<%s>%s</%[1]s>", s[1], s[2])
				if s[3] != "" {
					fmt.Fprintf(&constraints, "<%s><max>%s</max></%[1]s>", s[1], s[3])
				}
			}
		}
	}
	for _, p := range RowPolicies(t) {
		if slices.Contains(p.Roles, role) {
			for _, table := range p.Tables {
				fmt.Fprintf(&filters, "<%s><filter>%s</filter></%[1]s>", table, escape(p.Filter))
			}
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "users.xml")
	for name, text := range map[string]string{
		path: "<clickhouse><profiles><default>" + settings.String() + "<constraints>" + constraints.String() + "</constraints></default></profiles><quotas><default/></quotas>" +
			"<users><default><password/><networks><ip>::/0</ip></networks><profile>default</profile>" +
			"<quota>default</quota><grants>" + grants.String() + "</grants><databases><dwiarah>" + filters.String() + "</dwiarah></databases></default></users></clickhouse>",
		filepath.Join(dir, "config.xml"): "<clickhouse><users_config>" + path + "</users_config></clickhouse>",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config.xml")
}

// Everybody stands for the engine's own user, who may do everything.
const Everybody = ""

// As runs an engine on a folder, where what comes is done by a user of one role.
func As(t testing.TB, dir, role string, do func(*store.Store)) {
	t.Helper()
	clickhousetest.Skip(t)
	config := ""
	if role != Everybody {
		config = users(t, role)
	}
	e, err := engine.Start(t.Context(), engine.Config{DataDir: dir, LibraryConfig: config})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(Config(e.Addr(), clickhouse.Database))
	if err != nil {
		t.Fatal(err)
	}
	do(s)
	if err := errors.Join(s.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
}

// EmptyDatabase is a folder with the database and nothing in it.
func EmptyDatabase(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	As(t, dir, Everybody, func(s *store.Store) {
		admin := Open(t, Config(strings.TrimPrefix(s.Addresses(), "http://"), "default"))
		if err := clickhouse.EnsureDatabase(t.Context(), admin.Conn(), clickhouse.Database); err != nil {
			t.Fatal(err)
		}
	})
	return dir
}
