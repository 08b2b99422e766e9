package clickhouse

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// viewFile is a script as its file makes it.
func viewFile(name, body string) script {
	_, object, _ := strings.Cut(name, "_")
	return script{name: "views/" + name + ".sql", sql: "CREATE OR REPLACE VIEW " + object + " AS\n" + body + "\nCOMMENT 'It''s (said).'"}
}

func TestInternalViewsAreInlined(t *testing.T) {
	views := []script{
		viewFile("001_int_plain", "SELECT a FROM t"),
		viewFile("002_int_low", "SELECT a FROM int_plain WHERE a = {institution:String} AND b >= {from:DateTime64(3, 'UTC')}"),
		viewFile("003_int_high", "SELECT a FROM int_low(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')} - f(1, 2)) AS x"),
		viewFile("004_metric", "SELECT a FROM x LEFT JOIN int_high(institution = '), (', from={from:DateTime64(3, 'UTC')}) AS y ON 1 JOIN series_other(institution = 'b')"),
	}
	got, err := inlined(views)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		views[0].sql,
		views[1].sql,
		viewFile("003_int_high", `SELECT a FROM (
SELECT a FROM int_plain WHERE a = {institution:String} AND b >= CAST({from:DateTime64(3, 'UTC')} - f(1, 2), 'DateTime64(3, \'UTC\')')) AS x`).sql,
		viewFile("004_metric", `SELECT a FROM x LEFT JOIN (
SELECT a FROM (
SELECT a FROM int_plain WHERE a = CAST('), (', 'String') AND b >= CAST({from:DateTime64(3, 'UTC')} - f(1, 2), 'DateTime64(3, \'UTC\')')) AS x) AS y ON 1 JOIN series_other(institution = 'b')`).sql,
	}
	for i := range want {
		if diff := cmp.Diff(want[i], got[i].sql); diff != "" {
			t.Errorf("%s: -want +got:\n%s", views[i].name, diff)
		}
	}
}

func TestCallsThatCannotBeInlined(t *testing.T) {
	low := viewFile("001_int_low", "SELECT a FROM t WHERE a = {institution:String}")
	for call, want := range map[string]string{
		"int_low(from = 1)":                   "views/002_metric.sql: reading the call of int_low: parameter institution is not given",
		"int_low({institution:String})":       `views/002_metric.sql: reading the call of int_low: argument "{institution:String}" is not of the form NAME = EXPRESSION`,
		"int_low(institution = 'never ended)": "no parenthesis ends",
	} {
		if _, err := inlined([]script{low, viewFile("002_metric", "SELECT a FROM "+call)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gave %v, want %s", call, err, want)
		}
	}
	// What the engine is to find stays a call.
	got, err := inlined([]script{viewFile("002_metric", "SELECT a FROM int_low(institution = 'a')")})
	if err != nil || !strings.Contains(got[0].sql, "FROM int_low(institution = 'a')") {
		t.Errorf("a call of an unknown view became %v, %v", got, err)
	}
}

// A view that is called before its file comes would be analysed twice, quietly.
func TestNoShippedViewCallsAnInternalOne(t *testing.T) {
	views, err := scripts(files, "views", viewName)
	if err != nil {
		t.Fatal(err)
	}
	if views, err = inlined(views); err != nil {
		t.Fatal(err)
	}
	for _, v := range views {
		if call := internalCall.FindString(v.sql); call != "" {
			t.Errorf("%s still has %s", v.name, call)
		}
	}
}
