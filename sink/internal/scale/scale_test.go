package scale

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

var (
	messages = flag.Int("messages", 0, "measure the views over that many messages; 0 leaves it out")
	folder   = flag.String("data", "", "keep the data there and go on with what is there; a folder of the run's own if empty")
	only     = flag.String("views", "", "measure the views whose names this expression matches")
	repeats  = flag.Int("repeats", 9, "ask each question that often")
	budget   = flag.Duration("for", time.Hour, "load no longer than this; the next run with the same -data goes on")
)

func TestMain(m *testing.M) { storetest.Main(m) }

const threadsAtOnce = 3000

// TestViewsAtScale loads messages over two years and fifty institutions through the sink's writer, and prints what each view takes for one institution.
func TestViewsAtScale(t *testing.T) {
	if *messages == 0 {
		t.Skip("a measurement: make bench-metrics")
	}
	dir := *folder
	if dir == "" {
		dir = t.TempDir()
	}
	e, err := engine.Start(t.Context(), engine.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := storetest.Open(t, storetest.Config(e.Addr(), storetest.Database(t, e.Addr())).Patient())
	if _, err := clickhouse.LoadCalendars(t.Context(), s.Conn()); err != nil {
		t.Fatal(err)
	}
	w, err := store.NewWriter(s, nil, func() {}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	prepare(t, s, w)
	first := measurements{}
	deadline := time.Now().Add(*budget)
	for _, size := range slices.Compact([]int{min(1_000_000, *messages), *messages}) {
		if len(first) > 0 && size == 1_000_000 {
			break
		}
		if !load(t, s, w, size, deadline) {
			t.Logf("the time for loading is over; the same command goes on")
			return
		}
		now := measure(t, s, e.Addr())
		storage(t, s)
		now.print(t, first)
		if len(first) == 0 {
			first = now
		}
	}
}

func prepare(t *testing.T, s *store.Store, w *store.Writer) {
	t.Helper()
	if err := s.Conn().Exec(t.Context(), "INSERT INTO institution_settings SELECT concat('office-', leftPad(toString(number), 2, '0')), 'Kantor', 'Asia/Jakarta', 25200, 'id-government', toDateTime64('2026-01-01', 3) FROM numbers(50)"); err != nil {
		t.Fatal(err)
	}
	var ledger []store.Entry
	for n := range offices {
		ledger = append(ledger, store.Entry{Ledger: &event.LedgerEntry{Entry: &event.LedgerEntry_Coverage{Coverage: &event.Coverage{
			Institution: office(n), Connector: "archive", Status: "complete", SinceMs: begin.UnixMilli(), UntilMs: end.UnixMilli(),
		}}}})
		for day := begin; day.Before(end); day = day.AddDate(0, 0, 7) {
			followers := int64(100_000) + day.Unix()/86400
			ledger = append(ledger, store.Entry{Ledger: &event.LedgerEntry{Entry: &event.LedgerEntry_Snapshot{Snapshot: &event.AccountSnapshot{
				Institution: office(n), Platform: "mastodon", Account: "kantor", ObservedAtMs: day.UnixMilli(), Followers: &followers,
			}}}})
		}
	}
	write(t, w, ledger)
}

func write(t *testing.T, w *store.Writer, entries []store.Entry) {
	t.Helper()
	if refusals, err := w.Write(t.Context(), entries); err != nil || len(refusals) > 0 {
		t.Fatal(refusals, err)
	}
}

// load brings the store to that many messages, the asked institution's first; it goes on after what is there.
func load(t *testing.T, s *store.Store, w *store.Writer, size int, deadline time.Time) bool {
	t.Helper()
	const per = threadsAtOnce * threadSize
	begun, there := time.Now(), int(storetest.Count(t, s, "SELECT count() FROM message_facts"))
	for done := there / per; done*per < size; done++ {
		if time.Now().After(deadline) {
			return false
		}
		own := done*per < min(ownMessages, size)
		write(t, w, batch(own, done, threadsAtOnce))
	}
	if loaded := size - there; loaded > 0 {
		t.Logf("loaded to %d messages: %.0f messages a second", size, float64(loaded)/time.Since(begun).Seconds())
	}
	// What a server's merges come to by themselves, now.
	for _, table := range []string{"message_facts", "message_bodies"} {
		if err := s.Conn().Exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL SETTINGS optimize_skip_merged_partitions = 1"); err != nil {
			t.Fatal(err)
		}
	}
	return true
}

// storage prints what a message takes on the disk.
func storage(t *testing.T, s *store.Store) {
	t.Helper()
	for _, table := range []string{"message_facts", "message_bodies"} {
		bytes := storetest.Count(t, s, "SELECT sum(bytes_on_disk) FROM system.parts WHERE database = currentDatabase() AND active AND table = '"+table+"'")
		t.Logf("%s: %.1f bytes a message", table, float64(bytes)/float64(storetest.Count(t, s, "SELECT count() FROM message_facts")))
	}
}

type measurement struct {
	p50, p95, cpu time.Duration // cpu: the engine's processor time of one answer, which a busy machine does not stretch
	rows, bytes   int64
}

// measurements by view and days.
type measurements map[string]*measurement

var placeholder = regexp.MustCompile(`\{([a-z_]+):`)

// answers are values of the parameters that views have beside institution, from and to; 5 for others.
var answers = map[string]string{"window_s": "86400", "step_s": "86400"}

// base is the least that any question about a period has to do, for comparison.
const base = "the base table, FINAL"

func measure(t *testing.T, s *store.Store, addr string) measurements {
	t.Helper()
	rows, err := s.Conn().Query(t.Context(), "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() AND engine = 'View' AND match(name, '^(metric|series|curve)_') ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	questions := map[string]string{
		base:                        "(SELECT count(), uniqExact(author_key), countIf(direction = 'outbound'), countIf(needs_reply) FROM message_facts FINAL WHERE institution = 'office-00' AND created_at >= %[1]s AND created_at < %[2]s)",
		"the base table, argMax":    "(SELECT count(), uniqExact(a), countIf(d = 'outbound'), countIf(q) FROM (SELECT argMax(author_key, version) AS a, argMax(direction, version) AS d, argMax(needs_reply, version) AS q FROM message_facts WHERE institution = 'office-00' AND created_at >= %[1]s AND created_at < %[2]s GROUP BY platform, message_id, created_at))",
		"the base table, not FINAL": "(SELECT count(), uniqExact(author_key), countIf(direction = 'outbound'), countIf(needs_reply) FROM message_facts WHERE institution = 'office-00' AND created_at >= %[1]s AND created_at < %[2]s)",
		"messages":                  "(SELECT * FROM messages WHERE institution = 'office-00' AND created_at >= %[1]s AND created_at < %[2]s)",
	}
	for rows.Next() {
		var name, sql string
		if err := rows.Scan(&name, &sql); err != nil {
			t.Fatal(err)
		}
		call := name + "(institution = 'office-00', from = %[1]s, to = %[2]s"
		seen := map[string]bool{"institution": true, "from": true, "to": true}
		for _, found := range placeholder.FindAllStringSubmatch(sql, -1) {
			if p := found[1]; !seen[p] {
				seen[p] = true
				value, known := answers[p]
				if !known {
					value = "5"
				}
				call += ", " + p + " = " + value
			}
		}
		questions[name] = call + ")"
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	all := measurements{}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	for name, question := range questions {
		if name != base && !wanted.MatchString(name) {
			continue
		}
		for _, days := range []int{30, 365} {
			from, to := "'"+end.AddDate(0, 0, -60-days).Format(time.DateTime)+"'", "'"+end.AddDate(0, 0, -60).Format(time.DateTime)+"'"
			all[fmt.Sprint(name, " ", days)] = ask(t, addr, s.Database(), "SELECT * FROM "+fmt.Sprintf(question, from, to), *repeats)
			t.Logf("%s %d days: p50 %.0f ms, CPU %.0f ms", name, days, ms(all[fmt.Sprint(name, " ", days)].p50), ms(all[fmt.Sprint(name, " ", days)].cpu))
		}
	}
	return all
}

// ask runs a question some times, after one that is not counted.
func ask(t *testing.T, addr, database, sql string, times int) *measurement {
	t.Helper()
	var took []time.Duration
	m := &measurement{}
	var used time.Duration
	for n := range times + 1 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/?database="+url.QueryEscape(database), strings.NewReader(sql+" FORMAT Null"))
		if err != nil {
			t.Fatal(err)
		}
		begun, cpu := time.Now(), engineCPU(t)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		cancel()
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", sql, body, err)
		}
		if n > 0 {
			took, used = append(took, time.Since(begun)), used+engineCPU(t)-cpu
		}
		var summary map[string]string
		if err := json.Unmarshal([]byte(answer.Header.Get("X-ClickHouse-Summary")), &summary); err != nil {
			t.Fatal(err)
		}
		m.rows, _ = strconv.ParseInt(summary["read_rows"], 10, 64)
		m.bytes, _ = strconv.ParseInt(summary["read_bytes"], 10, 64)
	}
	slices.Sort(took)
	m.cpu = used / time.Duration(times)
	m.p50, m.p95 = took[len(took)/2], took[len(took)*95/100]
	return m
}

func (all measurements) print(t *testing.T, first measurements) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s %5s %9s %9s %9s %10s %9s %10s %8s\n", "view", "days", "p50 ms", "p95 ms", "CPU ms", "rows", "MB", "x the base", "growth")
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m := all[name]
		view, days := name[:strings.LastIndex(name, " ")], name[strings.LastIndex(name, " ")+1:]
		growth := ""
		if before := first[name]; before != nil {
			growth = fmt.Sprintf("%.2f", float64(m.cpu)/float64(before.cpu))
		}
		ratio := float64(m.cpu) / float64(max(all[base+" "+days].cpu, time.Millisecond))
		fmt.Fprintf(&b, "%-32s %5s %9.0f %9.0f %9.0f %10d %9.1f %10.1f %8s\n", view, days, ms(m.p50), ms(m.p95), ms(m.cpu), m.rows, float64(m.bytes)/1e6, ratio, growth)
	}
	t.Logf("one institution, by view and days\n%s", b.String())
	if *folder != "" {
		if err := os.WriteFile(*folder+"/measured.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// engineCPU is the processor time of this process's child, the engine.
func engineCPU(t *testing.T) time.Duration {
	t.Helper()
	var ticks int64
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range children {
		pids, err := os.ReadFile(path)
		if err != nil {
			continue // a thread that has ended
		}
		for _, pid := range strings.Fields(string(pids)) {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil {
				t.Fatal(err)
			}
			fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
			for _, field := range fields[11:13] { // utime, stime, in hundredths of a second
				n, err := strconv.ParseInt(field, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				ticks += n
			}
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
