package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas/reference"
)

// tolerance of figures; counts are compared exactly.
const tolerance = 1e-6

// compareViews holds every metric view of one institution and period against the reference reading, and returns how many figures were compared.
func compareViews(t *testing.T, conn driver.Conn, institution string, r *reference.Reading, from, to time.Time) int {
	t.Helper()
	return compare(t, conn, institution, r, from, to, true)
}

// compareWithoutCalendar leaves out the columns in business time, for a reading that knows no calendar.
func compareWithoutCalendar(t *testing.T, conn driver.Conn, institution string, r *reference.Reading, from, to time.Time) int {
	t.Helper()
	return compare(t, conn, institution, r, from, to, false)
}

func compare(t *testing.T, conn driver.Conn, institution string, r *reference.Reading, from, to time.Time, calendar bool) int {
	t.Helper()
	compared := 0
	check := func(view string, arguments string, want ...map[string]any) {
		t.Helper()
		got := selectView(t, conn, institution, view, arguments, from, to)
		if len(got) != len(want) {
			t.Errorf("%s of %s: %d rows, the reading has %d", view, institution, len(got), len(want))
			return
		}
		for i := range want {
			for column, w := range want[i] {
				g, there := got[i][column]
				if !there {
					t.Errorf("%s has no column %s", view, column)
					continue
				}
				compared++
				if !sameFigure(g, w) {
					t.Errorf("%s of %s, row %d, %s: the view says %v, the reading %v", view, institution, i, column, printable(g), printable(w))
				}
			}
		}
	}
	check("metric_reply_share", "", reference.Columns(r.ReplyShare(from, to)))
	for _, window := range []time.Duration{time.Hour, 24 * time.Hour, 72 * time.Hour} {
		rate, err := r.ResponseRate(from, to, window)
		if err != nil {
			t.Fatal(err)
		}
		check("metric_response_rate", fmt.Sprintf(", window_s=%d", int(window.Seconds())), reference.Columns(rate))
	}
	wait := reference.Columns(r.Wait(from, to))
	if !calendar {
		maps.DeleteFunc(wait, func(column string, _ any) bool { return strings.HasPrefix(column, "b_") })
	}
	check("metric_wait", "", wait)
	check("metric_asymmetry", "", reference.Columns(r.Asymmetry(from, to)))
	check("metric_dialogue", "", reference.Columns(r.Dialogue(from, to)))
	check("metric_sentiment", "", reference.Columns(r.Sentiment(from, to)))
	check("metric_risk", "", columnsOf(r.Risk(from, to))...)
	series, err := r.Series(from, to, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	check("series_engagement", ", step_s=86400", columnsOf(series)...)
	return compared
}

func columnsOf[T any](rows []T) []map[string]any {
	var all []map[string]any
	for _, r := range rows {
		all = append(all, reference.Columns(r))
	}
	return all
}

// orders of the views that give more than one row.
var orders = map[string]string{"metric_risk": " ORDER BY load DESC, risk_tag", "series_engagement": " ORDER BY bucket"}

func selectView(t *testing.T, conn driver.Conn, institution, view, arguments string, from, to time.Time) []map[string]any {
	t.Helper()
	query := "SELECT * FROM " + view + "(institution={institution:String}, from={from:DateTime64(3, 'UTC')}, to={to:DateTime64(3, 'UTC')}" + arguments + ")" + orders[view]
	return selectRows(t, conn, query, clickhouse.Named("institution", institution), clickhouse.Named("from", wireTime(from)), clickhouse.Named("to", wireTime(to)))
}

func wireTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

func selectRows(t *testing.T, conn driver.Conn, query string, args ...any) []map[string]any {
	t.Helper()
	rows, err := conn.Query(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var all []map[string]any
	for rows.Next() {
		var into []any
		for _, c := range rows.ColumnTypes() {
			into = append(into, reflect.New(c.ScanType()).Interface())
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		row := map[string]any{}
		for i, name := range rows.Columns() {
			row[name] = plain(reflect.ValueOf(into[i]).Elem())
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return all
}

// plain brings a scanned value into the form of reference.Columns: int64, float64, string, time or nil.
func plain(v reflect.Value) any {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch {
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return int64(v.Uint())
	case v.CanFloat():
		return v.Float()
	}
	return v.Interface()
}

func sameFigure(got, want any) bool {
	switch w := want.(type) {
	case float64:
		g, ok := got.(float64)
		return ok && math.Abs(g-w) <= tolerance*max(1, math.Abs(w))
	case time.Time:
		g, ok := got.(time.Time)
		return ok && g.Equal(w)
	case *time.Time:
		g, ok := got.(time.Time)
		return ok && w != nil && g.Equal(*w)
	}
	return reflect.DeepEqual(got, want)
}

func printable(v any) string { return fmt.Sprintf("%v (%T)", v, v) }

// viewsOf prints every view of every institution, so that two states can be compared to the last digit. Ingest's own clock is not in any of them.
func viewsOf(t *testing.T, conn driver.Conn, institutions []string, from, to time.Time) string {
	t.Helper()
	var b strings.Builder
	print := func(name string, rows []map[string]any) {
		var lines []string
		for _, r := range rows {
			var fields []string
			for k, v := range r {
				fields = append(fields, fmt.Sprintf("%s=%#v", k, v))
			}
			slices.Sort(fields)
			lines = append(lines, strings.Join(fields, " "))
		}
		slices.Sort(lines)
		fmt.Fprintf(&b, "%s\n%s\n", name, strings.Join(lines, "\n"))
	}
	for _, view := range []string{"messages", "message_texts", "requests", "coverage", "account_snapshots"} {
		print(view, selectRows(t, conn, "SELECT * FROM "+view))
	}
	for _, in := range institutions {
		for view, arguments := range map[string]string{
			"metric_reply_share": "", "metric_response_rate": ", window_s=86400", "metric_wait": "", "metric_asymmetry": "", "metric_dialogue": "",
			"metric_sentiment": "", "metric_risk": "", "series_engagement": ", step_s=86400",
		} {
			print(view+" "+in, selectView(t, conn, in, view, arguments, from, to))
		}
	}
	lines := strings.SplitAfter(b.String(), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}
