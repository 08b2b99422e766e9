package reference

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
)

// columns writes the columns of a result that are asked for.
func columns(result any, names string) string {
	all := Columns(result)
	var out []string
	for _, name := range strings.Fields(names) {
		v, ok := all[name]
		switch v := v.(type) {
		case float64:
			out = append(out, fmt.Sprintf("%s=%.4f", name, v))
		default:
			if !ok {
				v = "no such column"
			}
			out = append(out, fmt.Sprintf("%s=%v", name, v))
		}
	}
	return strings.Join(out, " ")
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func TestSeventeenMessages(t *testing.T) {
	s := seventeen()
	if len(s.messages) != 17 {
		t.Fatalf("the vector has %d messages", len(s.messages))
	}
	r := s.read()
	want(t, "M1", columns(r.ReplyShare(beginning, end), "n broadcasts replies auto_replies reply_share auto_share"),
		"n=8 broadcasts=3 replies=5 auto_replies=0 reply_share=0.6250 auto_share=0.0000")
	// Authors in I_addr with (in, out): ani (2, 2), budi (1, 0), dedi (2, 1), evi (1, 1), fani (1, 1), gita (1, 0). Of 0 0 1 1 1 2 the Gini is
	// (-5x0 - 3x0 - 1x1 + 1x1 + 3x1 + 5x2) / (6 x 5) = 13/30.
	want(t, "M3, M9-M11, M13", columns(r.Asymmetry(beginning, end), "n inbound replies asymmetry reciprocity targeting authors authors_answered author_coverage reply_gini"),
		"n=13 inbound=8 replies=5 asymmetry=0.2308 reciprocity=0.7692 targeting=1.0000 authors=6 authors_answered=4 author_coverage=0.6667 reply_gini=0.4333")
	// Three threads are answered, a1 is looped by ani. Turns: a1 in R in R in, b1 in R in R, c1 in R in.
	want(t, "M12", columns(r.Dialogue(beginning, end), "n threads looped loop_rate depth_p50 depth_p90"),
		"n=3 threads=3 looped=1 loop_rate=0.3333 depth_p50=4.0000 depth_p90=4.8000")
	want(t, "the counts", columns(r.Messages(beginning, end), "n inbound outbound by_kind authors deleted"),
		"n=17 inbound=9 outbound=8 by_kind=map[post:3 reply:14] authors=7 deleted=0")
	// a2 1 h, a6 open 43 h, b2 2 h with b3 folded, b5 1 h, c2 1 h, c4 open 25 h.
	want(t, "M2b-M6", columns(r.Wait(beginning, end), "n replied deleted open km_median_s incidence_1h incidence_24h incidence_72h answered_p50_s answered_p90_s b_n b_rmst_7d_s"),
		"n=6 replied=4 deleted=0 open=2 km_median_s=3600.0000 incidence_1h=0.5000 incidence_24h=0.6667 incidence_72h=0.6667 answered_p50_s=3600.0000 answered_p90_s=6120.0000 b_n=<nil> b_rmst_7d_s=<nil>")
	close6(t, "M5", r.Wait(beginning, end).RMST7dS, 3600+3600*.5+(tauS-7200)/3.)
	rate, err := r.ResponseRate(beginning, end, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "M2", columns(rate, "n answered rate lo hi"), "n=6 answered=3 rate=0.5000 lo=0.1876 hi=0.8124")
}

func TestNothingIsMadeUp(t *testing.T) {
	r := (&script{}).read()
	rate, err := r.ResponseRate(beginning, end, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range []any{r.ReplyShare(beginning, end), r.Wait(beginning, end), r.Asymmetry(beginning, end), r.Dialogue(beginning, end), r.Sentiment(beginning, end), rate} {
		for name, v := range Columns(result) {
			if versions, ok := v.([]string); v != nil && v != int64(0) && v != false && (!ok || len(versions) > 0) {
				t.Errorf("%T of nothing: %s is %v, want nil, false or a count of 0", result, name, v)
			}
		}
	}
	if rows := r.Risk(beginning, end); rows != nil {
		t.Errorf("risk of nothing: %v", rows)
	}
	if rows, err := r.Series(beginning, end, time.Hour); rows != nil || err != nil {
		t.Errorf("series of nothing: %v %v", rows, err)
	}
}

func TestWindowsAboveZero(t *testing.T) {
	r := seventeen().read()
	for _, w := range []time.Duration{0, -time.Hour} {
		if _, err := r.ResponseRate(beginning, end, w); !errors.Is(err, ErrWindow) {
			t.Errorf("a window of %v: %v, want ErrWindow", w, err)
		}
		if _, err := r.Series(beginning, end, w); !errors.Is(err, ErrWindow) {
			t.Errorf("a step of %v: %v, want ErrWindow", w, err)
		}
	}
}

func TestSides(t *testing.T) {
	const in, out = schemas.Inbound, schemas.Outbound
	yes, no := parentIs(event.Known_KNOWN_YES), parentIs(event.Known_KNOWN_NO)
	fromStream := func(e *event.Enriched) { e.Message.FromAccountStream = true }
	for _, c := range []struct {
		name            string
		direction, kind string
		options         []option
		want            side
	}{
		{"a post", out, "post", nil, sideBroadcast},
		{"an outbound repost", out, "repost", nil, sideNone},
		{"an outbound quote", out, "quote", nil, sideBroadcast},
		{"an automatic post", out, "post", []option{automatic}, sideBroadcast},
		{"a reply to a citizen", out, "reply", []option{no}, sideReply},
		{"a comment to nobody known", out, "comment", nil, sideReply},
		{"a reply to the own post, known from ingest", out, "reply", []option{yes}, sideBroadcast},
		{"a reply to the own post, known from the parent", out, "reply", []option{under("own")}, sideBroadcast},
		{"a reply to a citizen, known from the parent", out, "reply", []option{under("citizen")}, sideReply},
		{"an automatic reply", out, "reply", []option{automatic}, sideAutoReply},
		{"a reply that is automatic by its words", out, "reply", []option{wordsAuto}, sideAutoReply},
		{"an automatic reply to the own post", out, "reply", []option{automatic, yes}, sideBroadcast},
		{"a mention", in, "post", []option{mentioning}, sideAddressed},
		{"a quote that mentions", in, "quote", []option{mentioning}, sideAddressed},
		{"a quote", in, "quote", nil, sideNone},
		{"a repost that mentions", in, "repost", []option{mentioning}, sideNone},
		{"a bot's mention", in, "mention", []option{mentioning, automatic}, sideNone},
		{"a reply to the account", in, "reply", []option{yes}, sideAddressed},
		{"a comment under the own post", in, "comment", []option{under("own")}, sideAddressed},
		{"side talk", in, "reply", []option{under("citizen")}, sideNone},
		{"an orphan", in, "reply", []option{under("lost")}, sideNone},
		{"an orphan of the account's stream", in, "reply", []option{under("lost"), fromStream}, sideAddressed},
		{"an orphan of the account's stream whose parent's author is known", in, "reply", []option{under("lost"), fromStream, parentBy("ani")}, sideNone},
		{"side talk of the account's stream", in, "reply", []option{under("citizen"), fromStream}, sideNone},
	} {
		var s script
		s.post("own", 0, deletedAt(1)) // a deleted parent still tells whose it was
		s.asks("citizen", 1, "ani")
		s.add("x", 2, c.direction, c.kind, "who", c.options...)
		for _, x := range s.read().rows {
			if x.MessageId == "x" && x.side != c.want {
				t.Errorf("%s: side %d, want %d", c.name, x.side, c.want)
			}
		}
	}
}

func TestAddressedAuthors(t *testing.T) {
	var s script
	s.asks("m1", 0, "ani")
	s.add("sibling", 0, schemas.Outbound, "post", "account2")
	s.answers("r1", 1, "m1", "", parentIs(event.Known_KNOWN_UNSPECIFIED), naming("budi", "ani", "account", "account2"))
	s.answers("r2", 2, "lost", "", parentIs(event.Known_KNOWN_UNSPECIFIED))
	s.answers("r3", 3, "m1", "ani", naming("cici"), func(e *event.Enriched) { e.Message.AuthorKey = "account2" })
	got := map[string][]string{}
	for _, x := range s.read().rows {
		got[x.MessageId] = x.addresses
	}
	for id, want := range map[string][]string{"r1": {"ani", "budi"}, "r2": {"?lost"}, "r3": {"ani", "cici"}, "m1": nil} {
		if !slices.Equal(got[id], want) {
			t.Errorf("%s addresses %v, want %v", id, got[id], want)
		}
	}
}

// At one instant a message comes before the reply that it may have got, and not after it.
func TestDialogueAtOneInstant(t *testing.T) {
	var s script
	s.asks("m1", 1, "ani", inThread("h"))
	s.answers("r1", 1, "m1", "ani", inThread("h"))
	s.asks("m0", 1, "ani", inThread("h"))
	want(t, "M12", columns(s.read().Dialogue(beginning, end), "threads looped depth_p50"), "threads=1 looped=0 depth_p50=2.0000")
	s.answers("r0", 0.5, "lost", "budi", inThread("h"))
	s.asks("m2", 1.001, "ani", inThread("h"))
	want(t, "M12, a little later", columns(s.read().Dialogue(beginning, end), "threads looped depth_p50"), "threads=1 looped=1 depth_p50=4.0000")
}

func TestResponseRateMatures(t *testing.T) {
	var s script
	s.covered("import", -1, 48)
	s.asks("in-time", 0, "a")
	s.answers("r1", 24, "in-time", "a", inThread("in-time"))
	s.asks("late", 0, "b")
	s.answers("r2", 24.001, "late", "b", inThread("late"))
	s.asks("deleted-before", 0, "c", deletedAt(24))
	s.asks("deleted-after", 0, "d", deletedAt(25))
	s.asks("deleted-answered", 0, "e", deletedAt(3))
	s.answers("r3", 2, "deleted-answered", "e", inThread("deleted-answered"))
	s.asks("just-mature", 24, "f")
	s.asks("too-young", 24.001, "g")
	s.answers("r4", 25, "too-young", "g", inThread("too-young"))
	got, err := s.read().ResponseRate(beginning, end, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "M2", columns(got, "n answered rate"), "n=5 answered=2 rate=0.4000")
}

func TestBusinessWait(t *testing.T) {
	var s script
	s.covered("import", -1, 24*5)
	s.asks("in-hours", 0, "a") // Monday 09:00 to 09:30
	s.answers("r1", 0.5, "in-hours", "a", inThread("in-hours"))
	s.asks("over-lunch", 1.5, "b") // 10:30 to 13:30: 120 minutes
	s.answers("r2", 4.5, "over-lunch", "b", inThread("over-lunch"))
	s.asks("evening", 10, "c") // 19:00 to 20:00
	s.answers("r3", 11, "evening", "c", inThread("evening"))
	s.asks("deleted-in-the-evening", 10, "d", deletedAt(12))
	s.asks("open", 96+6, "e") // Friday 15:00 to Saturday 09:00: 90 minutes
	w := World{Institution: office, Messages: s.messages, Coverage: s.coverage, Business: ordinaryWeeks(monday, 2).Seconds}
	wait := Read(w).Wait(beginning, end)
	want(t, "the twins", columns(wait, "n b_n b_out_of_hours b_km_median_s b_incidence_1h b_incidence_24h b_answered_p50_s b_answered_p90_s"),
		// Events at 1800 of three at risk and at 7200 of one; the deletion at 0 competes with four at risk.
		"n=5 b_n=4 b_out_of_hours=1 b_km_median_s=7200.0000 b_incidence_1h=0.2500 b_incidence_24h=0.7500 b_answered_p50_s=4500.0000 b_answered_p90_s=6660.0000")
	close6(t, "b_rmst_7d_s", wait.BRMST7dS, 1800+5400*2/3.)
	want(t, "wall time beside it", columns(wait, "replied deleted open answered_p50_s"), "replied=3 deleted=1 open=1 answered_p50_s=3600.0000")

	w.Business = ordinaryWeeks(monday, 0).Seconds
	want(t, "where the calendar does not reach", columns(Read(w).Wait(beginning, end), "n b_n b_out_of_hours b_km_median_s"), "n=5 b_n=0 b_out_of_hours=0 b_km_median_s=<nil>")
}

// ordinaryWeeks lays out working weeks of an office in Jakarta from a Monday 09:00 on: 07:30-12:00 and 13:00-16:00, Friday 07:30-11:30 and
// 13:00-16:30.
func ordinaryWeeks(monday time.Time, weeks int) WorkingSpans {
	var spans WorkingSpans
	span := func(day time.Time, from, to string) {
		f, _ := time.ParseDuration(from)
		u, _ := time.ParseDuration(to)
		spans = append(spans, WorkingSpan{day.Add(f), day.Add(u)})
	}
	midnight := monday.Add(-9 * time.Hour)
	for week := range weeks {
		for day := range 5 {
			d := midnight.AddDate(0, 0, 7*week+day)
			if day == 4 {
				span(d, "7h30m", "11h30m")
				span(d, "13h", "16h30m")
				continue
			}
			span(d, "7h30m", "12h")
			span(d, "13h", "16h")
		}
	}
	return spans
}

func TestWorkingSpans(t *testing.T) {
	spans := ordinaryWeeks(monday, 2)
	clock := func(day int, hhmm string) time.Time {
		d, _ := time.ParseDuration(hhmm)
		return monday.Add(-9*time.Hour).AddDate(0, 0, day).Add(d)
	}
	for _, c := range []struct {
		name     string
		from, to time.Time
		minutes  float64
	}{
		{"Mon 09:00 to 09:30", clock(0, "9h"), clock(0, "9h30m"), 30},
		{"Fri 16:00 to Mon 08:00", clock(4, "16h"), clock(7, "8h"), 60},
		{"Sat 10:00 to 10:20", clock(5, "10h"), clock(5, "10h20m"), 0},
		{"Mon 11:50 to 13:05", clock(0, "11h50m"), clock(0, "13h5m"), 15},
		{"a week", clock(0, "7h30m"), clock(4, "16h30m"), 37.5 * 60},
	} {
		got, ok := spans.Seconds(c.from, c.to)
		if !ok || got != c.minutes*60 {
			t.Errorf("%s: %v min %v, want %v", c.name, got/60, ok, c.minutes)
		}
	}
	for _, c := range [][2]time.Time{{clock(0, "7h29m"), clock(0, "9h")}, {clock(0, "9h"), clock(11, "16h31m")}} {
		if _, ok := spans.Seconds(c[0], c[1]); ok {
			t.Errorf("%v to %v is outside the calendar, yet ok", c[0], c[1])
		}
	}
}

func TestSentiment(t *testing.T) {
	var s script
	add := func(label string, n int) {
		for i := range n {
			s.asks(fmt.Sprint(label, i), float64(i), "u", feeling(label))
		}
	}
	add(schemas.Negative, 20)
	add(schemas.Neutral, 24)
	add(schemas.Positive, 5)
	add(schemas.SentimentUnknown, 7)
	s.add("side", 1, schemas.Inbound, "reply", "v", under("negative1"), feeling(schemas.Positive))
	s.asks("gone", 1, "v", feeling(schemas.Positive), deletedAt(2))
	names := "n raw_negative raw_neutral raw_positive negative net net_lo net_hi"
	want(t, "49 labels", columns(s.read().Sentiment(beginning, end), names),
		"n=49 raw_negative=0.4082 raw_neutral=0.4898 raw_positive=0.1020 negative=<nil> net=<nil> net_lo=<nil> net_hi=<nil>")
	s.asks("fiftieth", 1, "u", feeling(schemas.Positive))
	// p = .12, q = .4: net -.28, se^2 = (.52 - .0784)/50 = .008832, 1.959964 x .093979 = .184195.
	want(t, "50 labels", columns(s.read().Sentiment(beginning, end), names),
		"n=50 raw_negative=0.4000 raw_neutral=0.4800 raw_positive=0.1200 negative=<nil> net=-0.2800 net_lo=-0.4642 net_hi=-0.0958")
}

func tagged(severity uint32, tags ...string) option {
	return func(e *event.Enriched) {
		e.Enrichment.RiskTag, e.Enrichment.RiskTags, e.Enrichment.RiskSeverity = tags[0], tags, severity
		for _, tag := range tags {
			e.Enrichment.RiskP = append(e.Enrichment.RiskP, &event.TagProbability{Tag: tag, P: 0.5})
		}
	}
}

func TestRisk(t *testing.T) {
	var s script
	followers, bot := int64(62), float32(0.25)
	s.asks("m1", 0, "ani", tagged(3, "wrong_information", "service_failure"), func(e *event.Enriched) { e.Message.AuthorFollowers = &followers })
	s.asks("m2", 1, "ani", tagged(2, "service_failure"), func(e *event.Enriched) { e.Enrichment.BotP = &bot })
	s.asks("m3", 2, "budi", tagged(5, "public_safety"), func(e *event.Enriched) { e.Enrichment.RiskP = nil })
	s.add("side", 3, schemas.Inbound, "reply", "cici", tagged(5, "data_leak_secret"))
	var got []string
	for _, row := range s.read().Risk(beginning, end) {
		got = append(got, columns(row, "risk_tag n severity_max load authors"))
	}
	// m1: 4 x .5 x log2(64) = 12 for each tag; m2: 2 x .5 x .75 x log2(2) = .75; m3 has no probability.
	want(t, "M18", strings.Join(got, "\n"), "risk_tag=service_failure n=2 severity_max=3 load=12.7500 authors=1\n"+
		"risk_tag=wrong_information n=1 severity_max=3 load=12.0000 authors=1\nrisk_tag=public_safety n=1 severity_max=5 load=0.0000 authors=1")
}

func TestSeries(t *testing.T) {
	var s script
	// Local days begin at -9 h. Coverage ends on Wednesday noon; Friday has a message without coverage.
	s.covered("import", 0, 51)
	s.asks("m1", 0, "ani", feeling(schemas.Negative), tagged(2, "service_failure"))
	s.answers("r1", 1, "m1", "ani", inThread("m1"))
	s.asks("m2", 14.999, "budi") // still Monday
	s.asks("m5", 15, "ani")      // Tuesday 00:00
	s.asks("m3", 100, "cici")
	s.asks("m4", 101, "dedi", deletedAt(102))
	series := func(from, to float64) string {
		rows, err := s.read().Series(at(from), at(to), 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, row := range rows {
			out = append(out, fmt.Sprintf("%g ", row.Bucket.Sub(monday).Hours())+columns(row, "n inbound replies asymmetry reciprocity answered_24h negative_share risk_load"))
		}
		return strings.Join(out, "\n")
	}
	want(t, "the week", series(-9, 24*7),
		"-9 n=3 inbound=2 replies=1 asymmetry=0.3333 reciprocity=0.6667 answered_24h=0.5000 negative_share=0.5000 risk_load=1.0000\n"+
			"15 n=1 inbound=1 replies=0 asymmetry=1.0000 reciprocity=0.0000 answered_24h=0.0000 negative_share=0.0000 risk_load=0.0000\n"+
			"39 n=0 inbound=0 replies=0 asymmetry=<nil> reciprocity=<nil> answered_24h=<nil> negative_share=<nil> risk_load=<nil>\n"+
			"87 n=1 inbound=1 replies=0 asymmetry=1.0000 reciprocity=0.0000 answered_24h=<nil> negative_share=0.0000 risk_load=0.0000")
	want(t, "from Monday 10:00 to Monday 12:00: the bucket begins before", series(1, 3),
		"-9 n=1 inbound=0 replies=1 asymmetry=-1.0000 reciprocity=0.0000 answered_24h=<nil> negative_share=<nil> risk_load=<nil>")
	want(t, "an empty period", series(1, 1), "")
}

// In the spirit of the specification's first table: B does what A does, and also answers hard questions, late. Whoever averages the answered
// ranks A first; with the unanswered in, B is.
func TestRankingInversion(t *testing.T) {
	office := func(hardAnswered bool) Wait {
		var s script
		s.covered("import", -1, 24*60)
		for n := range 100 {
			id := fmt.Sprint("q", n)
			s.asks(id, float64(n), fmt.Sprint("u", n))
			switch {
			case n%10 < 4:
				s.answers("r"+id, float64(n)+2+float64(n%3), id, fmt.Sprint("u", n), inThread(id))
			case n%10 < 6 && hardAnswered:
				s.answers("r"+id, float64(n)+30+float64(n%7), id, fmt.Sprint("u", n), inThread(id))
			}
		}
		return s.read().Wait(beginning, end)
	}
	a, b := office(false), office(true)
	if *a.AnsweredP50S >= *b.AnsweredP50S || *a.AnsweredP90S >= *b.AnsweredP90S {
		t.Errorf("waits of the answered: A %s %s, B %s %s; want A to look faster", value(a.AnsweredP50S), value(a.AnsweredP90S), value(b.AnsweredP50S), value(b.AnsweredP90S))
	}
	if *a.RMST7dS <= *b.RMST7dS || *a.Incidence72h >= *b.Incidence72h {
		t.Errorf("unanswered included: A %s, B %s; want B to be better", value(a.RMST7dS), value(b.RMST7dS))
	}
	if a.KMMedianS != nil || b.KMMedianS == nil {
		t.Errorf("medians: A %s, B %s; want A's not reached", value(a.KMMedianS), value(b.KMMedianS))
	}
}

// I9: r = (1 - |AI|) rho, where each R addresses one author in I_addr.
func TestIdentityOfReciprocity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s script
		inbound := rapid.IntRange(1, 30).Draw(t, "inbound")
		author := rapid.IntRange(0, 6)
		var authors []string
		for n := range inbound {
			u := fmt.Sprint("u", author.Draw(t, "author"))
			authors = append(authors, u)
			s.asks(fmt.Sprint("m", n), float64(n), u)
		}
		for n := range rapid.IntRange(1, 30).Draw(t, "replies") {
			parent := rapid.IntRange(0, inbound-1).Draw(t, "parent")
			s.answers(fmt.Sprint("r", n), 40+float64(n), fmt.Sprint("m", parent), authors[parent])
		}
		a := s.read().Asymmetry(beginning, end)
		if got := (1 - math.Abs(*a.Asymmetry)) * *a.Targeting; math.Abs(got-*a.Reciprocity) > 1e-12 {
			t.Fatalf("r = %v, (1 - |AI|) rho = %v", *a.Reciprocity, got)
		}
		if *a.ReplyGini < 0 || *a.ReplyGini >= 1 {
			t.Fatalf("Gini %v", *a.ReplyGini)
		}
	})
}

// Order, repeats and other institutions' records change nothing.
func TestReadingIgnoresOrder(t *testing.T) {
	s := seventeen()
	everything := func(s *script) string {
		r := s.read()
		return fmt.Sprint(Columns(r.ReplyShare(beginning, end)), columns(r.Asymmetry(beginning, end), "n reciprocity targeting"), columns(r.Wait(beginning, end), "n rmst_7d_s"),
			columns(r.Dialogue(beginning, end), "n loop_rate depth_p90"), brief(r.Requests()))
	}
	before := everything(s)
	other := s.answers("r99", 20, "c4", "gita", inThread("c1"))
	other.Message.Institution = "another"
	s.messages = s.messages[:17]
	rapid.Check(t, func(t *rapid.T) {
		shuffled := &script{coverage: s.coverage}
		shuffled.messages = rapid.Permutation(append(append([]*event.Enriched{other}, s.messages...), s.messages...)).Draw(t, "order")
		if after := everything(shuffled); after != before {
			t.Fatalf("got %s, want %s", after, before)
		}
	})
}
