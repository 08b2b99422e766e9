package clickhouse

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas/clickhouse/calendar"
)

func loadTestCalendar(t *testing.T, conn driver.Conn) *calendar.Calendar {
	t.Helper()
	b, err := os.ReadFile("calendar/testdata/vectors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := calendar.Parse("vectors.yaml", b)
	if err != nil {
		t.Fatal(err)
	}
	record, err := openRecord(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record.loadCalendar(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoadCalendarsIsIdempotent(t *testing.T) {
	conn := migrated(t)
	for run, want := range [][]string{calendar.Names(), nil} {
		loaded, err := LoadCalendars(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(loaded, want) {
			t.Errorf("run %d loaded %v, want %v", run, loaded, want)
		}
	}
	spans := func() uint64 { return scan[uint64](t, conn, "SELECT count() FROM business_spans") }
	whole := spans()
	if n := scan[uint64](t, conn, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'business_spans%'"); n != 1 {
		t.Errorf("%d tables of spans are left, want 1", n)
	}
	// Another calendar, and a broken copy of this one, are both put right without touching each other.
	loadTestCalendar(t, conn)
	exec(t, conn, "ALTER TABLE business_spans DELETE WHERE calendar = 'id-government' AND utc_offset_s = 0 SETTINGS mutations_sync = 1")
	if _, err := LoadCalendars(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if got := spans() - scan[uint64](t, conn, "SELECT count() FROM business_spans WHERE calendar = 'vectors'"); got != whole {
		t.Errorf("%d spans after the repair, want %d", got, whole)
	}
	// One of an institution's own takes the place of the build's of the same name.
	own, err := calendar.ReadFile("calendar/testdata/vectors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	own.Name = "id-government"
	loaded, err := LoadCalendars(t.Context(), conn, own)
	if err != nil || !slices.Equal(loaded, []string{"id-government"}) {
		t.Fatalf("loaded %v, %v", loaded, err)
	}
	if got := scan[uint64](t, conn, "SELECT count() FROM business_spans WHERE calendar = 'id-government'"); got >= whole {
		t.Errorf("%d spans of the institution's own calendar, the build's had %d", got, whole)
	}
}

// Business time in SQL is that of Go: for the specification's vectors and for random pairs of instants over the zones.
func TestBusinessTime(t *testing.T) {
	conn := migrated(t)
	if _, err := LoadCalendars(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	government, err := calendar.Load("id-government")
	if err != nil {
		t.Fatal(err)
	}
	calendars := map[string]*calendar.Calendar{"id-government": government, "vectors": loadTestCalendar(t, conn)}
	b, err := os.ReadFile("calendar/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Calendar string
		OffsetS        int32 `json:"offset_s"`
		From, To       time.Time
		Minutes        *float64
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	type office struct {
		calendar string
		offset   int32
	}
	type pair struct {
		name     string
		from, to time.Time
		want     any
	}
	offices := map[office][]pair{}
	for _, v := range vectors {
		p := pair{name: v.Name, from: v.From, to: v.To}
		if v.Minutes != nil {
			p.want = *v.Minutes * 60
		}
		offices[office{v.Calendar, v.OffsetS}] = append(offices[office{v.Calendar, v.OffsetS}], p)
	}
	random := rand.New(rand.NewPCG(1, 2))
	first := time.Date(2015, 1, 5, 0, 0, 0, 0, time.UTC)
	for _, offset := range government.Offsets {
		spans := government.Spans(offset)
		for i := range 750 {
			from := first.Add(time.Duration(random.Int64N(15*365*24*3600*1000)) * time.Millisecond)
			to := from.Add(time.Duration(random.Int64N(30*24*3600*1000)) * time.Millisecond)
			want, ok := spans.Seconds(from, to)
			if !ok {
				t.Fatal("the calendar does not reach ", from)
			}
			offices[office{"id-government", offset}] = append(offices[office{"id-government", offset}], pair{fmt.Sprint("random ", i), from, to, want})
		}
	}
	for o, pairs := range offices {
		s := &scene{world{institution: fmt.Sprintf("office-%s-%d", o.calendar, o.offset), offsetS: o.offset, calendar: o.calendar}}
		for i, p := range pairs {
			id, author := fmt.Sprint("q", i), fmt.Sprint("u", i)
			hours := func(at time.Time) float64 { return at.Sub(day0).Hours() }
			s.ask(id, author, "", id, hours(p.from), createdAt(p.from))
			s.answer("r"+id, id, author, id, hours(p.to), createdAt(p.to))
		}
		s.covered("c", -20*365*24, 20*365*24)
		s.put(t, conn)
		rows, _ := query(t, conn, "SELECT request_id, business_wait_s, wait_s FROM requests WHERE institution = {institution:String}", map[string]string{"institution": s.institution})
		if len(rows) != len(pairs) {
			t.Errorf("%v: %d requests, want %d", o, len(rows), len(pairs))
		}
		for _, r := range rows {
			var i int
			if _, err := fmt.Sscanf(r["request_id"].(string), "q%d", &i); err != nil {
				t.Fatal(err)
			}
			if !same(r["business_wait_s"], pairs[i].want) {
				t.Errorf("%v, %s: from %s to %s are %v s, want %v", o, pairs[i].name, pairs[i].from, pairs[i].to, r["business_wait_s"], pairs[i].want)
			}
			if calendars[o.calendar] == nil {
				t.Errorf("calendar %s was not loaded", o.calendar)
			}
		}
	}
}

// The twins leave out what was answered without any working time, and count it apart.
func TestBusinessTwins(t *testing.T) {
	conn := migrated(t)
	loadTestCalendar(t, conn)
	s := &scene{world{institution: "office", offsetS: 25200, calendar: "vectors"}}
	// Hour 0 is Monday 07:00 local; the break is from 5 to 6, the day from 0.5 to 9.
	s.ask("a", "u1", "", "a", 1)
	s.answer("ra", "a", "u1", "a", 3) // 2 h
	s.ask("b", "u2", "", "b", 8)
	s.answer("rb", "b", "u2", "b", 25.5) // 1 h, and 1 h of Tuesday from 24.5 on
	s.ask("c", "u3", "", "c", 12)
	s.answer("rc", "c", "u3", "c", 14)         // none
	s.ask("d", "u4", "", "d", 12, deleted(13)) // none, censored at 0
	s.ask("e", "u5", "", "e", 1)               // open for 7.5 h on Monday and 1 h on Tuesday
	s.covered("k", 0, 25.5)
	s.put(t, conn)
	got := metric(t, conn, "metric_wait", "office", periodFrom, periodTo)
	want := record{
		"n": int64(5), "replied": int64(3), "deleted": int64(1), "open": int64(1),
		"b_n": int64(4), "b_replied": int64(2), "b_deleted": int64(1), "b_open": int64(1), "b_out_of_hours": int64(1),
		// Three are at risk at 2 h, two of them are answered then.
		"b_km_median_s": 2 * hourS, "b_rmst_7d_s": (2 + 166./3) * hourS, "b_incidence_1h": 0., "b_incidence_24h": .75 * 2 / 3,
		"b_incidence_72h": .5, "b_answered_p50_s": 2 * hourS, "b_answered_p90_s": 2 * hourS,
	}
	for _, d := range differences(got[0], want) {
		t.Error(d)
	}
	// Nothing asked, but a calendar: counts are 0, figures NULL.
	got = metric(t, conn, "metric_wait", "office", "2026-06-01", "2026-07-01")
	for _, d := range differences(got[0], record{"n": int64(0), "b_n": int64(0), "b_out_of_hours": int64(0), "b_rmst_7d_s": nil, "b_km_median_s": nil}) {
		t.Error(d)
	}
}
