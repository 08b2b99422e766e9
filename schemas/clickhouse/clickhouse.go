// Package clickhouse owns the tables and views of the store: SQL files, one object each, and the loader that brings a database up to them.
// The views are the interface for analysts, reports and panels; METRICS.md one directory up says what they mean, README.md why the tables are as they are.
package clickhouse

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// Database is the name of the database in production. Nothing in the SQL names it: the connection's database decides.
const Database = "dwiarah"

//go:embed migrations/*.sql views/*.sql
var files embed.FS

// script is one SQL file: the statement that makes one object, and those that say what its columns hold; or such statements alone.
type script struct {
	// name is the path in this package, as errors and the record of migrations show it.
	name     string
	sql      string
	checksum string
}

// statements are those of the file: a semicolon at a line's end stands between two.
func (s script) statements() []string { return strings.Split(s.sql, ";\n") }

// object is the name of what the script makes.
func (s script) object() string {
	_, name, _ := strings.Cut(strings.TrimSuffix(s.name, ".sql"), "_")
	return name
}

var (
	migrationName = regexp.MustCompile(`^migrations/[0-9]{4}_[a-z0-9_]+\.sql$`)
	viewName      = regexp.MustCompile(`^views/[0-9]{3}_[a-z0-9_]+\.sql$`)
)

// scripts reads the SQL files of a directory in the order of their numbers.
func scripts(from fs.FS, dir string, form *regexp.Regexp) ([]script, error) {
	names, err := fs.Glob(from, dir+"/*.sql")
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	var list []script
	numbers := map[string]string{}
	for _, name := range names { // Glob sorts
		if !form.MatchString(name) {
			return nil, fmt.Errorf("%s: the name of the file has to match %s", name, form)
		}
		number, _, _ := strings.Cut(name, "_")
		if other := numbers[number]; other != "" {
			return nil, fmt.Errorf("%s has the number of %s", name, other)
		}
		numbers[number] = name
		b, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		sum := sha256.Sum256(b)
		list = append(list, script{name: name, sql: strings.TrimSpace(string(b)), checksum: hex.EncodeToString(sum[:])})
	}
	return list, nil
}
