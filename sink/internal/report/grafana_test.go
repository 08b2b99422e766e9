package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	tables "github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/sample"
	"github.com/dwiarah/dwiarah/sink/internal/report/figures"
	"github.com/dwiarah/dwiarah/sink/internal/report/period"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// deploy is where the files that Grafana and Prometheus are given lie.
const deploy = "../../../deploy"

// dashboard is the part of Grafana's dashboard that holds SQL.
type dashboard struct {
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Datasource  struct{ Type, UID string }
		Targets     []struct {
			RawSQL     string `json:"rawSql"`
			Datasource struct{ Type, UID string }
		}
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(deploy, "grafana", "dashboards", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	list := map[string]dashboard{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		list[filepath.Base(f)] = d
	}
	return list
}

var (
	macro    = regexp.MustCompile(`\$__([A-Za-z_]+)(?:\(([^()]*)\))?`)
	variable = regexp.MustCompile(`\$\{([a-z_]+)(?::([a-z]+))?\}|\$([a-z_]+)`)
)

// expand does to a panel's SQL what Grafana and the official ClickHouse plugin (4.20, pkg/macros) do before ClickHouse sees it. A macro or a variable that it does not know is
// an error: the plugin would send it as it stands.
func expand(sql string, from, to time.Time, interval time.Duration, variables map[string]string) (string, error) {
	var problem error
	seconds := func(t time.Time) string { return fmt.Sprintf("toDateTime(%d)", t.Unix()) }
	millis := func(t time.Time) string { return fmt.Sprintf("fromUnixTimestamp64Milli(%d)", t.UnixMilli()) }
	sql = macro.ReplaceAllStringFunc(sql, func(text string) string {
		m := macro.FindStringSubmatch(text)
		column := strings.TrimSpace(m[2])
		switch m[1] {
		case "fromTime":
			return seconds(from)
		case "toTime":
			return seconds(to)
		case "fromTime_ms":
			return millis(from)
		case "toTime_ms":
			return millis(to)
		case "timeFilter":
			return fmt.Sprintf("%s >= %s AND %s <= %s", column, seconds(from), column, seconds(to))
		case "timeFilter_ms":
			return fmt.Sprintf("%s >= %s AND %s <= %s", column, millis(from), column, millis(to))
		case "timeInterval":
			return fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL %d second)", column, max(1, int(interval.Seconds())))
		case "timeInterval_ms":
			return fmt.Sprintf("toStartOfInterval(toDateTime64(%s, 3), INTERVAL %d millisecond)", column, max(1, interval.Milliseconds()))
		case "interval_s":
			return fmt.Sprint(max(1, int(interval.Seconds())))
		}
		problem = fmt.Errorf("the macro $__%s is not one of the plugin's that this test knows", m[1])
		return text
	})
	sql = variable.ReplaceAllStringFunc(sql, func(text string) string {
		m := variable.FindStringSubmatch(text)
		value, ok := variables[m[1]+m[3]]
		switch {
		case !ok:
			problem = fmt.Errorf("the dashboard has no variable for %s", text)
		case m[2] == "singlequote":
			return "'" + strings.ReplaceAll(value, "'", `\'`) + "'"
		case m[2] != "":
			problem = fmt.Errorf("the format of %s is not known to this test", text)
		}
		return value
	})
	return sql, problem
}

func TestExpand(t *testing.T) {
	from, to := time.Unix(1000, 5e6).UTC(), time.Unix(2000, 0).UTC()
	f := func(sql, want string) {
		t.Helper()
		got, err := expand(sql, from, to, 20*time.Second, map[string]string{"institution": "a'b", "step": "3600"})
		if err != nil || got != want {
			t.Errorf("%q became %q, %v; want %q", sql, got, err, want)
		}
	}
	f("$__fromTime $__toTime", "toDateTime(1000) toDateTime(2000)")
	f("$__fromTime_ms", "fromUnixTimestamp64Milli(1000005)")
	f("$__timeFilter(c)", "c >= toDateTime(1000) AND c <= toDateTime(2000)")
	f("$__timeInterval(c) $__interval_s", "toStartOfInterval(toDateTime(c), INTERVAL 20 second) 20")
	f("${institution:singlequote} ${step} $step", `'a\'b' 3600 3600`)
	for _, bad := range []string{"$__timeFliter(c)", "${instiution}", "${institution:regex}"} {
		if got, err := expand(bad, from, to, time.Second, map[string]string{"institution": "a"}); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
}

// Every panel's SQL runs on the real engine over the sample, gives rows, and holds no number that is none.
func TestPanelsOfTheSample(t *testing.T) {
	conn, _ := sampleDatabase(t)
	to := sample.DefaultEnd()
	values := map[string]string{"institution": "tirta-lengkara", "step": "86400"}
	// A server's own zone must not move the bounds of a period.
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"session_timezone": "Asia/Jakarta"}))
	for file, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			if v.Type != "query" {
				continue
			}
			rows, err := conn.Query(ctx, v.Query)
			if err != nil {
				t.Errorf("%s: variable %s: %v", file, v.Name, err)
				continue
			}
			found := false
			for rows.Next() {
				var id, name string
				if err := rows.Scan(&id, &name); err != nil {
					t.Fatal(err)
				}
				found = found || id == values[v.Name]
			}
			if err := rows.Err(); err != nil || !found {
				t.Errorf("%s: variable %s does not offer %q: %v", file, v.Name, values[v.Name], err)
			}
			rows.Close()
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				t.Run(p.Title, func(t *testing.T) {
					sql, err := expand(target.RawSQL, to.AddDate(0, 0, -30), to, time.Hour, values)
					if err != nil {
						t.Fatal(err)
					}
					rows, err := conn.Query(ctx, sql)
					if err != nil {
						t.Fatal(err)
					}
					defer rows.Close()
					n, filled := 0, map[string]bool{}
					for rows.Next() {
						n++
						row := make([]any, len(rows.ColumnTypes()))
						for k, column := range rows.ColumnTypes() {
							row[k] = reflect.New(column.ScanType()).Interface()
						}
						if err := rows.Scan(row...); err != nil {
							t.Fatal(err)
						}
						for k, column := range rows.Columns() {
							v := reflect.ValueOf(row[k]).Elem()
							for v.Kind() == reflect.Pointer && !v.IsNil() {
								v = v.Elem()
							}
							if v.Kind() == reflect.Pointer {
								continue
							}
							filled[column] = true
							if v.CanFloat() && (math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)) {
								t.Errorf("%s is %v", column, v.Float())
							}
						}
					}
					if err := rows.Err(); err != nil {
						t.Fatal(err)
					}
					if n == 0 {
						t.Error("no rows")
					}
					for _, column := range rows.Columns() {
						if !filled[column] {
							t.Errorf("%s is NULL in all %d rows", column, n)
						}
						if column == "author_key" || column == "text" {
							t.Errorf("a panel shows %s", column)
						}
					}
					if p.Type == "timeseries" && !slices.Contains(rows.Columns(), "time") {
						t.Error("a series without a column time")
					}
				})
			}
		}
	}
}

// Grafana's rights reach every question of its dashboards: those of the role reporter, reading only.
func TestPanelsAsTheReporter(t *testing.T) {
	dir := storetest.EmptyDatabase(t)
	storetest.As(t, dir, storetest.Everybody, func(s *store.Store) {
		if _, err := tables.Migrate(t.Context(), s.Conn()); err != nil {
			t.Fatal(err)
		}
	})
	to := sample.DefaultEnd()
	values := map[string]string{"institution": "a", "step": "86400"}
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"readonly": 2}))
	storetest.As(t, dir, "reporter", func(s *store.Store) {
		asked := 0
		ask := func(what, question string) {
			t.Helper()
			asked++
			sql, err := expand(question, to.AddDate(0, 0, -30), to, time.Hour, values)
			if err == nil {
				err = s.Conn().Exec(ctx, sql)
			}
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		for file, d := range dashboards(t) {
			for _, v := range d.Templating.List {
				if v.Type == "query" {
					ask(file+": "+v.Name, v.Query)
				}
			}
			for _, p := range d.Panels {
				for _, target := range p.Targets {
					ask(file+": "+p.Title, target.RawSQL)
				}
			}
		}
		if asked < 10 {
			t.Errorf("only %d questions were asked", asked)
		}
		for _, refused := range []string{"SELECT text FROM message_texts", "SELECT text FROM message_bodies", "INSERT INTO report_runs (report) VALUES ('r')"} {
			if err := s.Conn().Exec(ctx, refused); err == nil {
				t.Errorf("%s is not refused", refused)
			}
		}
	})
}

// A panel and a report say the same of the same period, whatever the server's own zone.
func TestAPanelSaysWhatTheReportSays(t *testing.T) {
	conn, s := sampleDatabase(t)
	source := figures.NewSource(conn)
	list, err := source.Institutions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in := list[slices.IndexFunc(list, func(in figures.Institution) bool { return in.ID == s.Key.Institutions[0].ID })]
	week, err := period.Parse("2026-W35", in.Zone)
	if err != nil {
		t.Fatal(err)
	}
	want, err := source.Read(t.Context(), in, week, figures.Standing)
	if err != nil {
		t.Fatal(err)
	}
	sql, err := expand(dashboards(t)["two-way.json"].Panels[0].Targets[0].RawSQL, week.From, week.To, time.Hour, map[string]string{"institution": in.ID})
	if err != nil {
		t.Fatal(err)
	}
	for _, zone := range []string{"UTC", "Asia/Jayapura"} {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"session_timezone": zone}))
		var rate, lo, hi *float64
		var n uint64
		if err := conn.QueryRow(ctx, sql).Scan(&rate, &lo, &hi, &n); err != nil {
			t.Fatal(err)
		}
		if n != want.Rate24h.N || *rate != *want.Rate24h.Rate {
			t.Errorf("server in %s: the panel says %v of %d, the report %v of %d", zone, *rate, n, *want.Rate24h.Rate, want.Rate24h.N)
		}
	}
}

func TestDashboardsAreWellFormed(t *testing.T) {
	for file, d := range dashboards(t) {
		ids := map[int]string{}
		taken := map[[2]int]string{}
		hasDatasource := false
		for _, v := range d.Templating.List {
			hasDatasource = hasDatasource || v.Type == "datasource" && v.Name == "datasource" && v.Query == "grafana-clickhouse-datasource"
		}
		if !hasDatasource {
			t.Errorf("%s: the datasource is no variable", file)
		}
		for _, p := range d.Panels {
			if other, there := ids[p.ID]; there || p.Title == "" {
				t.Errorf("%s: panel %d %q: its id is that of %q, or it has no title", file, p.ID, p.Title, other)
			}
			ids[p.ID] = p.Title
			if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
				t.Errorf("%s: %q asks nothing, or asks a datasource that is no variable", file, p.Title)
			}
			for _, target := range p.Targets {
				if target.Datasource.UID != "${datasource}" || target.Datasource.Type != "grafana-clickhouse-datasource" {
					t.Errorf("%s: %q asks %+v", file, p.Title, target.Datasource)
				}
			}
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" || x > 23 {
						t.Fatalf("%s: %q lies over %q or beyond the edge", file, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}

// Every metric that a rule reads is one that the code has.
func TestRulesReadMetricsThatExist(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(deploy, "prometheus", "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	err = filepath.WalkDir("../../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		code.Write(source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, name := range regexp.MustCompile(`dwiarah_[a-z0-9_]+`).FindAllString(string(b), -1) {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		// A name stands whole in the code, or in the parts that a registering function puts together.
		parts := regexp.MustCompile(`^dwiarah_(consumer|producer|ingest|verify)_(.+)$`).FindStringSubmatch(name)
		if !strings.Contains(code.String(), `"`+name+`"`) && (parts == nil || !strings.Contains(code.String(), `"`+parts[2]+`"`)) {
			t.Errorf("no code has the metric %s", name)
		}
	}
	if len(names) < 5 {
		t.Errorf("the rules read only %v", names)
	}
}
