package clickhouse

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// sharded are the tables whose rows lie on one shard, that of their institution. All others stand whole on every node: they are small, and every shard reads them.
//
// A thread is not split off from its institution: reciprocity, coverage of authors, concentration and the folding of requests join all threads of an
// institution, so that shards by thread would send an institution's rows over the network for every metric. An institution too large for a node is a node
// too small: fifty institutions' ten million messages take about a gigabyte.
var sharded = []string{
	"message_facts", "message_bodies", "tombstones", "visibility_changes", "settled_requests", "kept_months", "message_labels", "coverage_ledger", "account_counts",
}

// shardingKey keeps everything of an institution together.
const shardingKey = "cityHash64(institution)"

var (
	tableForm = regexp.MustCompile(`(?s)^(.*)CREATE TABLE IF NOT EXISTS (\w+)\n(\(\n.*\n\)\n)ENGINE = (\w+)(?:\((.*?)\))?\n(.*)$`)
	// rowsForm is a migration that fills a table with its defaults. Such tables stand whole on every node, so that one insert reaches all.
	rowsForm = regexp.MustCompile(`(?m)^INSERT INTO (\w+) \(`)
	// settingForm is a migration that changes how a table is stored.
	settingForm = regexp.MustCompile(`(?m)^ALTER TABLE (\w+) MODIFY SETTING `)
	// columnsForm says what the columns of a table or view hold.
	columnsForm = regexp.MustCompile(`(?m)^ALTER TABLE (\w+)\n`)
	viewForm    = regexp.MustCompile(`(?m)^CREATE OR REPLACE VIEW (\w+) AS$`)
	comment     = regexp.MustCompile(`\nCOMMENT '(.*)'$`)
)

// Cluster returns the statements that make the database on a ClickHouse cluster of that name, from the same files that Migrate applies to one node: every
// table replicated, the big ones as NAME_local on each shard with a Distributed table NAME before them, and so the views without parameters; the others over those. Servers need the macros {shard} and
// {replica} and a Keeper. Every statement may be repeated. What the statements did is recorded, so that Migrate then finds nothing to do.
func Cluster(name, database string) ([]string, error) { return cluster(name, database, files) }

func cluster(name, database string, from fs.FS) ([]string, error) {
	for _, n := range []string{name, database} {
		if !databaseName.MatchString(n) {
			return nil, fmt.Errorf("cluster or database %q: allowed are 1 to 63 letters, digits and _, not beginning with a digit", n)
		}
	}
	migrations, err := scripts(from, "migrations", migrationName)
	if err != nil {
		return nil, err
	}
	views, err := scripts(from, "views", viewName)
	if err != nil {
		return nil, err
	}
	if views, err = inlined(views); err != nil {
		return nil, err
	}
	statements := []string{"CREATE DATABASE IF NOT EXISTS " + database + " ON CLUSTER " + name}
	record := script{name: "schema_migrations", sql: recordTable}
	for _, m := range append([]script{record}, migrations...) {
		made, err := m.onCluster(name, database)
		if err != nil {
			return nil, err
		}
		statements = append(statements, made...)
	}
	var objects []string
	for _, s := range slices.Concat(migrations, views) {
		objects = append(objects, s.object())
	}
	local := slices.Clone(sharded)
	for _, v := range views {
		made, err := v.viewOnCluster(name, database, objects, local)
		if err != nil {
			return nil, err
		}
		if len(made) > 1 {
			local = append(local, v.object())
		}
		statements = append(statements, made...)
	}
	var noted []string
	for _, s := range slices.Concat(migrations, views) {
		noted = append(noted, fmt.Sprintf("('%s', '%s', now64(6, 'UTC'))", s.name, s.checksum))
	}
	return append(statements, "INSERT INTO "+database+".schema_migrations VALUES\n"+strings.Join(noted, ",\n")), nil
}

// viewOnCluster returns a view's statements on a cluster, with the database before the names of objects, all tables and views: the statements are run from any database. A view without
// parameters is made on each shard as NAME_local, over what lies there under the names of local, with a Distributed table before it: its joins never leave the shard, and the
// condition on the institution, which stands beside its name wherever it is read, finds the shard.
func (s script) viewOnCluster(name, database string, objects, local []string) ([]string, error) {
	body, said, commented := strings.Cut(s.statements()[0], "\nCOMMENT '")
	if !viewForm.MatchString(body) || !commented {
		return nil, fmt.Errorf("%s: no CREATE OR REPLACE VIEW NAME AS on a line of its own, or no COMMENT at its end", s.name)
	}
	on, whole := " ON CLUSTER "+name, database+"."+s.object()
	said = "\nCOMMENT '" + said
	if strings.Contains(body, "{") || internalView.MatchString(body) {
		body = viewForm.ReplaceAllString(body, "CREATE OR REPLACE VIEW "+whole+on+" AS")
		return []string{readFrom(body, objects, database+".$2") + said}, nil
	}
	body = readFrom(body, local, database+".${2}_local")
	body = readFrom(body, objects, database+".$2")
	body = regexp.MustCompile(`([^.\w])(`+strings.Join(local, "|")+`)\.`).ReplaceAllString(body, "${1}${2}_local.")
	made := []string{viewForm.ReplaceAllString(body, "CREATE OR REPLACE VIEW "+whole+"_local"+on+" AS") + said}
	for _, columns := range s.statements()[1:] {
		made = append(made, columnsForm.ReplaceAllString(columns, "ALTER TABLE "+whole+"_local"+on+"\n"))
	}
	return append(made,
		"CREATE OR REPLACE TABLE "+whole+on+" AS "+whole+"_local\nENGINE = Distributed("+name+", "+database+", "+s.object()+"_local, "+shardingKey+")"+said), nil
}

// readFrom gives tables and views other names where a query reads them; in the new one, ${2} is the old.
func readFrom(query string, names []string, to string) string {
	return regexp.MustCompile(`\b(FROM |JOIN )(`+strings.Join(names, "|")+`)\b`).ReplaceAllString(query, "${1}"+to)
}

// onCluster returns a migration's statements on a cluster.
func (s script) onCluster(name, database string) (list []string, err error) {
	for _, statement := range s.statements() {
		made, err := script{name: s.name, sql: statement}.statementOnCluster(name, database)
		if err != nil {
			return nil, err
		}
		list = append(list, made...)
	}
	return list, nil
}

func (s script) statementOnCluster(name, database string) ([]string, error) {
	if rows := rowsForm.FindStringSubmatch(s.sql); rows != nil && !slices.Contains(sharded, rows[1]) {
		return []string{rowsForm.ReplaceAllString(s.sql, "INSERT INTO "+database+".$1 (")}, nil
	}
	if columns := columnsForm.FindStringSubmatch(s.sql); columns != nil {
		of := []string{columns[1]}
		if slices.Contains(sharded, columns[1]) {
			of = append(of, columns[1]+"_local")
		}
		var made []string
		for _, table := range of {
			made = append(made, columnsForm.ReplaceAllString(s.sql, "ALTER TABLE "+database+"."+table+" ON CLUSTER "+name+"\n"))
		}
		return made, nil
	}
	if settings := settingForm.FindStringSubmatch(s.sql); settings != nil {
		table := settings[1]
		if slices.Contains(sharded, table) {
			table += "_local"
		}
		return []string{settingForm.ReplaceAllString(s.sql, "ALTER TABLE "+database+"."+table+" ON CLUSTER "+name+" MODIFY SETTING ")}, nil
	}
	m := tableForm.FindStringSubmatch(s.sql)
	if m == nil {
		return nil, fmt.Errorf("%s: not of the form CREATE TABLE IF NOT EXISTS NAME (...) ENGINE = ..., INSERT INTO NAME (...), ALTER TABLE NAME MODIFY SETTING ... or ALTER TABLE NAME and on lines of their own COMMENT COLUMN ...", s.name)
	}
	head, table, columns, engine, arguments, rest := m[1], m[2], m[3], m[4], m[5], m[6]
	if !strings.HasSuffix(engine, "MergeTree") {
		return nil, fmt.Errorf("%s: engine %s has no replicated form; allowed: the MergeTree family", s.name, engine)
	}
	if arguments != "" {
		arguments = ", " + arguments
	}
	on := " ON CLUSTER " + name + "\n"
	replicated := func(name, path, replica string) string {
		return head + "CREATE TABLE IF NOT EXISTS " + database + "." + name + on + columns + "ENGINE = Replicated" + engine +
			"('/clickhouse/tables/" + path + "/" + database + "/" + name + "', '" + replica + "'" + arguments + ")\n" + rest
	}
	if !slices.Contains(sharded, table) {
		return []string{replicated(table, "whole", "{shard}-{replica}")}, nil
	}
	said := comment.FindStringSubmatch(rest)
	if said == nil {
		return nil, fmt.Errorf("%s: no COMMENT at its end", s.name)
	}
	local := table + "_local"
	return []string{
		replicated(local, "{shard}", "{replica}"),
		"CREATE TABLE IF NOT EXISTS " + database + "." + table + strings.TrimSuffix(on, "\n") + " AS " + database + "." + local +
			"\nENGINE = Distributed(" + name + ", " + database + ", " + local + ", " + shardingKey + ")\nCOMMENT '" + said[1] + "'",
	}, nil
}
