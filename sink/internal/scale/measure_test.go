package scale

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
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

	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

var (
	only    = flag.String("views", "", "measure the views whose names this expression matches")
	repeats = flag.Int("repeats", 9, "ask each question that often")
	smaller = flag.String("smaller", "", "the folder of a smaller store that was measured before: how the same questions grow")
	page    = flag.String("page", "", "write what was found into this file")
)

// measurement is what one question took.
type measurement struct {
	P50, P95    time.Duration // by nearest rank: of nine answers the fifth and the slowest
	CPU         time.Duration // the engine's processor time of one answer, which a busy machine does not stretch
	Rows, Bytes int64         // read
}

// measurements are what a store of a size was found to take. They are kept in its folder, from one run to the next.
type measurements struct {
	Messages uint64
	Bytes    map[string]float64             // a message, by table
	Load     string                         // of the machine, when it began
	Taken    map[string]map[int]measurement // by view and days
}

const measuredFile = "measured.json"

// TestViewsAtScale measures what each view takes for one institution, in the store that TestLoad has loaded.
func TestViewsAtScale(t *testing.T) {
	if *folder == "" {
		t.Skip("a measurement: make bench-metrics")
	}
	addr, s := opened(t, *folder)
	all := kept(t, *folder)
	all.Load = loadAverage(t)
	all.storage(t, s)
	all.measure(t, s, addr)
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*folder, measuredFile), text, 0o644); err != nil {
		t.Fatal(err)
	}
	var before measurements
	if *smaller != "" {
		before = kept(t, *smaller)
	}
	found := all.page(before)
	t.Log("\n" + found)
	if *page != "" {
		if err := os.WriteFile(*page, []byte(found), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// kept are the measurements of the runs before; none is none.
func kept(t *testing.T, dir string) (all measurements) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, measuredFile))
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if all.Taken == nil {
		all.Taken = map[string]map[int]measurement{}
	}
	return all
}

// storage is what a message takes on the disk.
func (all *measurements) storage(t *testing.T, s *store.Store) {
	t.Helper()
	all.Messages, all.Bytes = storetest.Count(t, s, "SELECT count() FROM message_facts"), map[string]float64{}
	if all.Messages == 0 {
		t.Fatalf("%s holds no messages: make bench-metrics-load", *folder)
	}
	for _, table := range []string{"message_facts", "message_bodies"} {
		bytes := storetest.Count(t, s, "SELECT sum(bytes_on_disk) FROM system.parts WHERE database = currentDatabase() AND active AND table = '"+table+"'")
		all.Bytes[table] = float64(bytes) / float64(all.Messages)
	}
}

var placeholder = regexp.MustCompile(`\{([a-z_]+):`)

// answers are values of the parameters that views have beside institution, from and to; 5 for others.
var answers = map[string]string{"window_s": "86400", "step_s": "86400"}

// base is the least that any question about a period has to do, for comparison.
const base = "the base table, FINAL"

var baseQuestions = map[string]string{
	base:                        "(SELECT count(), uniqExact(author_key), countIf(direction = 'outbound'), countIf(needs_reply) FROM message_facts FINAL WHERE institution = 'office-00' AND created_at >= %[1]s AND created_at < %[2]s)",
	"the base table, argMax":    "(SELECT count(), uniqExact(a), countIf(d = 'outbound'), countIf(q) FROM (SELECT argMax(author_key, version) AS a, argMax(direction, version) AS d, argMax(needs_reply, version) AS q FROM message_facts WHERE institution = 'office-00' AND created_at >= %[1]s AND created_at < %[2]s GROUP BY platform, message_id, created_at))",
	"the base table, not FINAL": "(SELECT count(), uniqExact(author_key), countIf(direction = 'outbound'), countIf(needs_reply) FROM message_facts WHERE institution = 'office-00' AND created_at >= %[1]s AND created_at < %[2]s)",
	"messages":                  "(SELECT * FROM messages WHERE institution = 'office-00' AND created_at >= %[1]s AND created_at < %[2]s)",
	"requests":                  "(SELECT * FROM requests WHERE institution = 'office-00' AND asked_at >= %[1]s AND asked_at < %[2]s)",
}

// questions are what is asked, by name, with verbs for the beginning and the end of the period.
func questions(t *testing.T, s *store.Store) map[string]string {
	t.Helper()
	rows, err := s.Conn().Query(t.Context(), "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() AND engine = 'View' AND match(name, '^(metric|series|curve)_') ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	list := map[string]string{}
	for name, question := range baseQuestions {
		list[name] = question
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
		list[name] = call + ")"
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

var periods = []int{30, 365} // days

func (all *measurements) measure(t *testing.T, s *store.Store, addr string) {
	t.Helper()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	list := questions(t, s)
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(list)), func(name string) bool { return name != base && !wanted.MatchString(name) })
	for n, name := range names {
		all.Taken[name] = map[int]measurement{}
		for _, days := range periods {
			from, to := "'"+end.AddDate(0, 0, -60-days).Format(time.DateTime)+"'", "'"+end.AddDate(0, 0, -60).Format(time.DateTime)+"'"
			m := ask(t, addr, "SELECT * FROM "+fmt.Sprintf(list[name], from, to), *repeats)
			all.Taken[name][days] = m
			t.Logf("%d of %d, %s over %d days: p50 %.0f ms, p95 %.0f ms", n+1, len(names), name, days, ms(m.P50), ms(m.P95))
		}
	}
}

// ask runs a question some times, after one that is not counted.
func ask(t *testing.T, addr, sql string, times int) (m measurement) {
	t.Helper()
	var took []time.Duration
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
		m.Rows, _ = strconv.ParseInt(summary["read_rows"], 10, 64)
		m.Bytes, _ = strconv.ParseInt(summary["read_bytes"], 10, 64)
	}
	slices.Sort(took)
	m.CPU = used / time.Duration(times)
	m.P50, m.P95 = took[(times+1)/2-1], took[(times*95+99)/100-1]
	return m
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

// loadAverage is the machine's: times mean little on a machine that others use.
func loadAverage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
