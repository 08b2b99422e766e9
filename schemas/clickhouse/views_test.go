package clickhouse

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// parameterised are the views with parameters, with those beyond institution, from and to.
var parameterised = []struct{ name, extra string }{
	{"metric_reply_share", ""},
	{"metric_response_rate", ", window_s=86400"},
	{"metric_wait", ""},
	{"metric_asymmetry", ""},
	{"metric_dialogue", ""},
	{"metric_sentiment", ""},
	{"metric_risk", ""},
	{"series_engagement", ", step_s=86400"},
	{"curve_wait", ""},
	{"curve_business_wait", ""},
	{"metric_response_rate_working", ", working_days=3"},
	{"metric_handling", ""},
	{"metric_content", ""},
	{"metric_service_clock", ""},
	{"metric_stage", ""},
	{"metric_sentiment_shift", ""},
	{"metric_quality", ""},
	{"metric_bait", ""},
	{"series_follower_growth", ""},
	{"metric_authenticity", ""},
	{"series_volume_anomaly", ""},
	{"metric_weighted", ""},
	{"metric_recurrence", ""},
}

var plainViews = []string{"messages", "message_texts", "requests", "coverage", "account_snapshots"}

// The names, the order and the types of the columns are the stable interface: a change of the golden file is a change of the contract.
func TestColumnsOfTheStableInterface(t *testing.T) {
	conn := migrated(t)
	var b strings.Builder
	describe := func(name, from string) {
		fmt.Fprintf(&b, "%s\n", name)
		rows, _ := query(t, conn, "DESCRIBE (SELECT * FROM "+from+")", nil)
		for _, r := range rows {
			fmt.Fprintf(&b, "    %s %s\n", r["name"], r["type"])
		}
	}
	for _, v := range plainViews {
		describe(v, v)
	}
	for _, v := range parameterised {
		// The call of the documentation, with plain dates. Of an institution that nobody has heard of no figure is known: every column that may be NULL is, or counts 0 (I7).
		call := v.name + "(institution='x', from='2026-01-01', to='2026-02-01'" + v.extra + ")"
		rows, err := conn.Query(t.Context(), "SELECT * FROM "+call)
		if err != nil {
			t.Fatal(v.name, err)
		}
		if len(rows.Columns()) == 0 { // no rows, and then no columns either
			if err := rows.Close(); err != nil {
				t.Fatal(v.name, err)
			}
			describe(v.name, call)
			continue
		}
		fmt.Fprintf(&b, "%s\n", v.name)
		for _, c := range rows.ColumnTypes() {
			fmt.Fprintf(&b, "    %s %s\n", c.Name(), c.DatabaseTypeName())
		}
		for rows.Next() {
			values := make([]any, len(rows.Columns()))
			for i, c := range rows.ColumnTypes() {
				values[i] = reflect.New(c.ScanType()).Interface()
			}
			if err := rows.Scan(values...); err != nil {
				t.Fatal(v.name, err)
			}
			for i, c := range rows.ColumnTypes() {
				value := plain(reflect.ValueOf(values[i]).Elem())
				if count, is := value.(int64); value != nil && c.Nullable() && !(is && count == 0) {
					t.Errorf("%s of nobody: %s is %v", v.name, c.Name(), value)
				}
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(v.name, err)
		}
	}
	const golden = "testdata/columns.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		t.Errorf("the columns are\n%s\n%s has\n%s", got, golden, want)
	}
}

// METRICS.md names every view with its parameters and columns as they are, for who has only the page.
func TestMetricsPageNamesEveryColumn(t *testing.T) {
	page, err := os.ReadFile("../METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	columns, err := os.ReadFile("testdata/columns.golden")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## 5 The views")
	told := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (`+"`"+`.*) \| (.*) \|$`).FindAllStringSubmatch(table, -1) {
		list := regexp.MustCompile(`^a row per [^:]*: `).ReplaceAllString(row[2], "")
		list = regexp.MustCompile(` \([^)]*\)`).ReplaceAllString(list, "")
		for _, call := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row[1], -1) {
			told[call[1]] = list
		}
	}
	made := map[string]string{}
	for _, view := range regexp.MustCompile(`(?m)^(\w+)\n((?:    .*\n)+)`).FindAllStringSubmatch(string(columns), -1) {
		var names []string
		for _, column := range regexp.MustCompile(`(?m)^    (\w+) `).FindAllStringSubmatch(view[2], -1) {
			names = append(names, column[1])
		}
		call := view[1]
		if n := slices.IndexFunc(parameterised, func(p struct{ name, extra string }) bool { return p.name == call }); n >= 0 {
			call += "(institution, from, to" + regexp.MustCompile(`=\d+`).ReplaceAllString(parameterised[n].extra, "") + ")"
		}
		made[call] = strings.Join(names, ", ")
	}
	if diff := cmp.Diff(made, told); diff != "" {
		t.Errorf("section 5 of METRICS.md differs from the views (-views +page):\n%s", diff)
	}
}

func TestParametersAreRefused(t *testing.T) {
	conn := migrated(t)
	for _, call := range []string{"metric_response_rate(%s, window_s=0)", "metric_response_rate(%s, window_s=-1)", "series_engagement(%s, step_s=0)", "series_engagement(%s, step_s=-3600)", "metric_response_rate_working(%s, working_days=0)"} {
		err := conn.Exec(t.Context(), "SELECT * FROM "+fmt.Sprintf(call, "institution='x', from='2026-01-01', to='2026-02-01'"))
		if err == nil || !regexp.MustCompile("has to be a number of (seconds|days) above 0").MatchString(err.Error()) {
			t.Errorf("%s gave %v", call, err)
		}
	}
}

// everything renders what all views, without some, say of an institution. Row order is fixed where the view does not fix it.
func everything(t fataler, conn driver.Conn, institution string, without ...string) string {
	var b strings.Builder
	p := map[string]string{"institution": institution}
	for _, v := range plainViews {
		rows, columns := query(t, conn, "SELECT * FROM "+v+" WHERE institution = {institution:String} ORDER BY ALL", p)
		render(&b, v, rows, columns)
	}
	for _, v := range parameterised {
		if slices.Contains(without, v.name) {
			continue
		}
		rows, columns := query(t, conn, "SELECT * FROM "+v.name+"(institution={institution:String}, from='2026-01-01', to='2026-02-01'"+v.extra+")", p)
		render(&b, v.name, rows, columns)
	}
	return b.String()
}

func render(b *strings.Builder, name string, rows []record, columns []string) {
	fmt.Fprintf(b, "%s %v\n", name, columns)
	for _, r := range rows {
		for _, c := range columns {
			fmt.Fprintf(b, " %v", r[c])
		}
		b.WriteByte('\n')
	}
}

// deliver writes messages as they may come: in any order, in batches of any size.
func (w world) deliver(t *rapid.T, conn driver.Conn, label string, messages []*event.Enriched) {
	order := rapid.Permutation(messages).Draw(t, label)
	for len(order) > 0 {
		n := rapid.IntRange(1, len(order)).Draw(t, "batch")
		w.putMessages(t, conn, order[:n])
		order = order[n:]
	}
}

// notFigures are what no view may say (I7).
var notFigures = regexp.MustCompile(`NaN|[+-]Inf`)

// Delivered again, shuffled, in other batches and among another institution's, before and after the parts are merged, the same records leave every view as it is (I2). They lie
// in several months, each a partition. DWIARAH_WORLDS sets how many worlds are tried.
func TestRepeatsChangeNothing(t *testing.T) {
	conn := migrated(t)
	if _, err := LoadCalendars(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	checks(t, "1")
	rapid.Check(t, func(rt *rapid.T) {
		w := rapid.Custom(drawWorld).Filter(func(w world) bool { return len(w.messages) >= 30 }).Draw(rt, "world")
		w.coverage = append(w.coverage, coverage(w.institution, -40, 400))
		w.put(rt, conn)
		insertSnapshots(rt, conn, w.institution)
		before := everything(rt, conn, w.institution)
		if bad := notFigures.FindString(before); bad != "" {
			rt.Fatalf("a view says %s:\n%s", bad, before)
		}
		w.deliver(rt, conn, "again", w.messages)
		w.putCoverage(rt, conn)
		insertSnapshots(rt, conn, w.institution)
		if rapid.Bool().Draw(rt, "merged") {
			for _, table := range []string{"message_facts", "message_bodies", "tombstones", "coverage_ledger", "account_counts"} {
				if err := conn.Exec(context.Background(), "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
					rt.Fatal(err)
				}
			}
		}
		w.deliver(rt, conn, "and again", w.messages)
		if after := everything(rt, conn, w.institution); after != before {
			rt.Errorf("the views differ (-before +after):\n%s", cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")))
		}
	})
}

// Where each reply speaks to one author who wrote to the institution, reciprocity is what is left of asymmetry, times targeting (I9), however the messages come.
func TestIdentityOfReciprocity(t *testing.T) {
	conn := migrated(t)
	checks(t, "20")
	rapid.Check(t, func(rt *rapid.T) {
		s := &scene{world{institution: fmt.Sprint("identity-", worlds.Add(1))}}
		for u := range rapid.IntRange(1, 5).Draw(rt, "authors") {
			author := fmt.Sprint("u", u)
			for n := range rapid.IntRange(1, 5).Draw(rt, "in") {
				s.ask(fmt.Sprint(author, "-in-", n), author, "p", author, 24*float64(n+u))
			}
			for n := range rapid.IntRange(0, 5).Draw(rt, "out") {
				s.answer(fmt.Sprint(author, "-out-", n), author+"-in-0", author, author, 24*float64(n+u)+1)
			}
		}
		s.deliver(rt, conn, "delivery", s.messages)
		s.deliver(rt, conn, "again", s.messages)
		got := metric(rt, conn, "metric_asymmetry", s.institution, "2026-01-01", "2026-03-01")[0]
		if got["targeting"] == nil {
			if got["replies"] != int64(0) || got["reciprocity"] != 0. {
				rt.Fatalf("%v", got)
			}
			return
		}
		if want := (1 - math.Abs(got["asymmetry"].(float64))) * got["targeting"].(float64); !same(got["reciprocity"], want) {
			rt.Errorf("reciprocity is %v, want %v: %v", got["reciprocity"], want, got)
		}
	})
}

// checks sets how many worlds rapid draws: so many, or what DWIARAH_WORLDS says.
func checks(t *testing.T, usual string) {
	t.Helper()
	if n := os.Getenv("DWIARAH_WORLDS"); n != "" {
		usual = n
	}
	if err := flag.Set("rapid.checks", usual); err != nil {
		t.Fatalf("DWIARAH_WORLDS=%s: %v", usual, err)
	}
}

func coverage(institution string, since, until float64) *event.Coverage {
	return &event.Coverage{Connector: "whole", Institution: institution, SinceMs: hour(since), UntilMs: hour(until), Status: schemas.CoverageComplete}
}

func insertSnapshots(t fataler, conn driver.Conn, institution string) {
	insert(t, conn, "account_counts (institution, platform, account, observed_at, followers, following, posts)", [][]any{
		{institution, "x", "kantor-pusat", day0, new(int64(1200)), nil, new(int64(7))},
		{institution, "x", "kantor-pusat", day0.AddDate(0, 0, 1), new(int64(1300)), nil, new(int64(8))},
	})
}

// A period of no length touches no day, wherever in a day it lies.
func TestAnEmptyPeriodHasNoRows(t *testing.T) {
	conn := migrated(t)
	s := &scene{world{institution: "instant"}}
	s.add("asked", "u1", schemas.KindMention, schemas.Inbound, 26, mention)
	s.coverage = append(s.coverage, coverage(s.institution, -40, 400))
	s.put(t, conn)
	insertSnapshots(t, conn, s.institution)
	at := day0.Add(26 * time.Hour).Format("2006-01-02 15:04:05")
	for _, v := range parameterised {
		if !strings.HasPrefix(v.name, "series_") && !strings.HasPrefix(v.name, "curve_") {
			continue
		}
		rows, _ := query(t, conn, "SELECT * FROM "+v.name+"(institution = {institution:String}, from = {at:DateTime64(3, 'UTC')}, to = {at:DateTime64(3, 'UTC')}"+v.extra+")",
			map[string]string{"institution": s.institution, "at": at})
		if len(rows) != 0 {
			t.Errorf("%s has %v", v.name, rows)
		}
	}
}

// A deletion hides a message whether it comes before or after it (I5).
func TestTombstonesWin(t *testing.T) {
	conn := migrated(t)
	for _, order := range []string{"before", "after"} {
		s := &scene{world{institution: order}}
		s.add("kept", "u1", schemas.KindMention, schemas.Inbound, 1, mention)
		s.add("gone", "u1", schemas.KindMention, schemas.Inbound, 1, mention)
		messages := s.messages
		s.messages = nil
		s.add("gone", "u1", schemas.KindMention, schemas.Inbound, 1, deleted(5), func(e *event.Enriched) { e.Enrichment = nil })
		tombstone := s.messages
		s.messages = nil
		s.put(t, conn)
		if order == "before" {
			s.putMessages(t, conn, tombstone)
			s.putMessages(t, conn, messages)
		} else {
			s.putMessages(t, conn, messages)
			s.putMessages(t, conn, tombstone)
		}
		s.putMessages(t, conn, messages)
		for _, v := range []string{"messages", "message_texts"} {
			rows, _ := query(t, conn, "SELECT message_id FROM "+v+" WHERE institution = {institution:String}", map[string]string{"institution": order})
			if len(rows) != 1 || rows[0]["message_id"] != "kept" {
				t.Errorf("the deletion came %s: %s has %v", order, v, rows)
			}
		}
	}
}

// Whatever is delivered in whatever order and batches, and replayed afterwards without the deletions: of what was deleted once nothing is shown (I5).
func TestTombstonesBeatAnyReplay(t *testing.T) {
	conn := migrated(t)
	checks(t, "8")
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		var standing []*event.Enriched
		deleted, shown := map[string]bool{}, map[string]bool{}
		key := func(m *event.Message) string { return m.Platform + " " + m.MessageId }
		for _, e := range w.messages {
			if e.Message.DeletedAtMs != nil {
				deleted[e.Message.Institution+key(e.Message)] = true
			} else {
				standing = append(standing, e)
			}
		}
		for _, e := range standing {
			if e.Message.Institution == w.institution && !deleted[w.institution+key(e.Message)] {
				shown[key(e.Message)] = true
			}
		}
		w.deliver(rt, conn, "delivery", w.messages)
		w.deliver(rt, conn, "replay", standing)
		for _, view := range []string{"messages", "message_texts"} {
			rows, _ := query(rt, conn, "SELECT DISTINCT platform, message_id FROM "+view+" WHERE institution = {institution:String}", map[string]string{"institution": w.institution})
			for _, r := range rows {
				if id := fmt.Sprint(r["platform"], " ", r["message_id"]); !shown[id] {
					rt.Errorf("%s shows %s, which was deleted", view, id)
				}
			}
			if len(rows) != len(shown) {
				rt.Errorf("%s shows %d messages, want %d", view, len(rows), len(shown))
			}
		}
	})
}

// The views mean the same whatever a client sets.
func TestSettingsOfAClientChangeNothing(t *testing.T) {
	conn := migrated(t)
	loadTestCalendar(t, conn)
	w := rapid.Custom(drawWorld).Example(22)
	w.calendar, w.offsetS = "vectors", 25200
	w.coverage = append(w.coverage, coverage(w.institution, -40, 400))
	w.put(t, conn)
	want := everything(t, conn, w.institution)
	set := settingConn{conn, clickhouse.Settings{"join_use_nulls": 1, "transform_null_in": 1, "union_default_mode": "DISTINCT", "max_threads": 1}}
	if got := everything(t, set, w.institution); got != want {
		t.Errorf("the views are\n%s\nwith the settings\n%s", want, got)
	}
}

// The load is a sum over messages, and does not depend on the order in which they are read, to the last digit.
func TestLoadDoesNotDependOnTheOrderOfReading(t *testing.T) {
	conn := migrated(t)
	random := rand.New(rand.NewPCG(3, 9))
	s := &scene{world{institution: "load"}}
	for i := range 4000 {
		s.add(fmt.Sprint(i), fmt.Sprint("u", i%50), schemas.KindMention, schemas.Inbound, float64(i)/8, mention, func(e *event.Enriched) {
			e.Message.AuthorFollowers = new(random.Int64N(1_000_000))
			e.Enrichment.RiskTags, e.Enrichment.RiskSeverity = []string{"non_response"}, 2
			e.Enrichment.RiskP = []*event.TagProbability{{Tag: "non_response", P: random.Float32()}}
		})
	}
	for part := range slices.Chunk(s.messages, 500) {
		s.putMessages(t, conn, part)
	}
	want := everything(t, conn, s.institution)
	for _, blocks := range []int{7, 130} {
		set := settingConn{conn, clickhouse.Settings{"max_threads": 4, "max_block_size": blocks, "preferred_block_size_bytes": 0}}
		if got := everything(t, set, s.institution); got != want {
			t.Errorf("read in blocks of %d rows: %s", blocks, cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
		}
	}
}

// A year of hours, each with messages, is looked through without holding the year once for every hour.
func TestVolumeOfAYear(t *testing.T) {
	conn := migrated(t)
	const hours = 365 * 24
	s := &scene{world{institution: "year"}}
	for i := range hours {
		s.add(fmt.Sprint(i), "u", schemas.KindMention, schemas.Inbound, float64(i), mention)
	}
	s.covered("c", 0, hours)
	s.put(t, conn)
	set := settingConn{conn, clickhouse.Settings{"max_memory_usage": 256 << 20}}
	rows, _ := query(t, set, "SELECT countIf(method = 'anscombe' AND n = 3) AS judged, count() AS rows FROM series_volume_anomaly(institution = 'year', from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})",
		map[string]string{"from": day0.Format(instant), "to": day0.Add(hours * time.Hour).Format(instant)})
	if want := []record{{"judged": int64(hours - 672), "rows": int64(hours)}}; !reflect.DeepEqual(rows, want) {
		t.Errorf("a year of hours gave %v, want %v", rows, want)
	}
}

// settingConn queries with settings.
type settingConn struct {
	driver.Conn
	settings clickhouse.Settings
}

func (c settingConn) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	return c.Conn.Query(clickhouse.Context(ctx, clickhouse.WithSettings(c.settings)), query, args...)
}

// Every reading of the big tables is bounded by the institution through the primary key.
func TestViewsReadOneInstitution(t *testing.T) {
	conn := migrated(t)
	for _, institution := range []string{"a", "b", "c"} {
		s := &scene{world{institution: institution}}
		s.ask("q", "u", "", "q", 1, unknown)
		s.add("gone", "u1", schemas.KindMention, schemas.Inbound, 1, deleted(5))
		s.covered("c", 0, 24)
		s.put(t, conn)
		insertSnapshots(t, conn, institution)
	}
	check := func(name, from string) {
		t.Helper()
		rows, _ := query(t, conn, "EXPLAIN indexes = 1 SELECT * FROM "+from, nil)
		var lines []string
		for _, r := range rows {
			lines = append(lines, r["explain"].(string))
		}
		reads := strings.Split(strings.Join(lines, "\n"), "ReadFromMergeTree")[1:]
		if len(reads) == 0 {
			t.Errorf("%s reads nothing:\n%s", name, strings.Join(lines, "\n"))
		}
		for _, read := range reads {
			table, _, _ := strings.Cut(read, "\n")
			if slices.ContainsFunc([]string{"institution_settings", "business_spans", "metric_settings", "service_clocks"}, func(small string) bool { return strings.Contains(table, small) }) {
				continue // small tables for all
			}
			if !strings.Contains(read, "institution in ['b', 'b']") {
				t.Errorf("%s reads all of %s:\n%s", name, table, read)
			}
		}
	}
	for _, v := range plainViews {
		check(v, v+" WHERE institution = 'b'")
	}
	for _, v := range parameterised {
		check(v.name, v.name+"(institution='b', from='2026-01-01', to='2026-02-01'"+v.extra+")")
	}
}

// However much others have: of their messages requests reads what lies in the same granules of the key, for the messages, for their parents and for who asks for these.
func TestRequestsReadLittleOfOthers(t *testing.T) {
	conn := migrated(t)
	s := &scene{world{institution: "b"}}
	s.ask("q", "u", "", "q", 1, unknown)
	s.covered("c", 0, 24)
	s.put(t, conn)
	const granule, readings, crowd = 8192, 3, 200_000
	for _, institution := range []string{"a", "c"} {
		if err := conn.Exec(t.Context(), "INSERT INTO message_facts (institution, created_at, platform, message_id, author_key, kind, direction, parent_id, root_id, mentions_account, needs_reply, version, expires_at) "+
			"SELECT {i:String}, toDateTime64('2026-01-05 00:00:00', 3, 'UTC') + number, 'x', toString(number), 'u', 'reply', 'inbound', 'p', 'p', true, true, 1, '2100-01-01' FROM numbers({n:UInt32})",
			clickhouse.Named("i", institution), clickhouse.Named("n", fmt.Sprint(crowd))); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, conn, "OPTIMIZE TABLE message_facts FINAL")
	rows, _ := query(t, conn, "EXPLAIN ESTIMATE SELECT * FROM requests WHERE institution = 'b'", nil)
	read := int64(0)
	for _, r := range rows {
		if r["table"] == "message_facts" {
			read += r["rows"].(int64)
		}
	}
	if read == 0 || read > readings*2*granule {
		t.Errorf("of %d messages of others, requests of one reads %d, want at most %d: %v", 2*crowd, read, readings*2*granule, rows)
	}
}
