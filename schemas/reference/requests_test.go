package reference

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/schemas/event"
)

// brief writes requests as id:outcome:hours.
func brief(requests []Request) string {
	var out []string
	for _, q := range requests {
		out = append(out, fmt.Sprintf("%s:%s:%.6g", q.RequestID, q.Outcome, q.WaitS/3600))
	}
	return strings.Join(out, " ")
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(*script)
		want  string
	}{
		{"three messages, each 20 h after the one before, unanswered: one request", func(s *script) {
			s.asks("m1", 0, "ani", inThread("h"))
			s.asks("m2", 20, "ani", inThread("h"))
			s.asks("m3", 40, "ani", inThread("h"))
		}, "m1:open:100"},
		{"just over 24 h: two", func(s *script) {
			s.asks("m1", 0, "ani", inThread("h"))
			s.asks("m2", 24, "ani", inThread("h"))
			s.asks("m3", 48.001, "ani", inThread("h"))
		}, "m1:open:100 m3:open:51.999"},
		{"the first one answered in between: the second asks anew", func(s *script) {
			s.asks("m1", 0, "ani", inThread("h"))
			s.answers("r1", 1, "m1", "ani", inThread("h"))
			s.asks("m2", 2, "ani", inThread("h"))
		}, "m1:replied:1 m2:open:98"},
		{"answered in the very millisecond of the second message: no longer unanswered", func(s *script) {
			s.asks("m1", 0, "ani", inThread("h"))
			s.answers("r1", 2, "m1", "ani", inThread("h"))
			s.asks("m2", 2, "ani", inThread("h"))
		}, "m1:replied:2 m2:replied:0"},
		{"other authors and other threads do not fold", func(s *script) {
			s.asks("m1", 0, "ani", inThread("h"))
			s.asks("m2", 1, "budi", inThread("h"))
			s.asks("m3", 2, "ani")
		}, "m1:open:100 m2:open:99 m3:open:98"},
		{"what needs no reply neither asks nor folds", func(s *script) {
			s.asks("m1", 0, "ani", inThread("h"), func(e *event.Enriched) { e.Enrichment.NeedsReply = false })
			s.asks("m2", 1, "ani", inThread("h"))
		}, "m2:open:99"},
		{"a mention in the thread answers as well", func(s *script) {
			s.asks("m1", 0, "ani", inThread("h"))
			s.asks("m2", 1, "budi", inThread("h"))
			s.answers("r1", 3, "m2", "budi", inThread("h"), naming("ani"))
		}, "m1:replied:3 m2:replied:2"},
		{"an answer in another thread, an automatic one, one to another author: none counts", func(s *script) {
			s.asks("m1", 0, "ani", inThread("h"))
			s.answers("r1", 1, "m1", "ani", inThread("other"))
			s.answers("r2", 1, "m1", "ani", inThread("h"), automatic)
			s.answers("r3", 1, "m9", "budi", inThread("h"))
		}, "m1:open:100"},
		{"the parent's author is resolved by the parent's id, even of a deleted message", func(s *script) {
			s.asks("m1", 0, "ani", inThread("h"), deletedAt(9))
			s.answers("r1", 1, "m1", "", inThread("h"), parentIs(event.Known_KNOWN_UNSPECIFIED))
		}, "m1:replied:1"},
		{"deleted before the answer; after it; in the same millisecond", func(s *script) {
			s.asks("m1", 0, "ani", deletedAt(2))
			s.answers("r1", 3, "m1", "ani", inThread("m1"))
			s.asks("m2", 0, "ani", deletedAt(4))
			s.answers("r2", 3, "m2", "ani", inThread("m2"))
			s.asks("m3", 0, "ani", deletedAt(3))
			s.answers("r3", 3, "m3", "ani", inThread("m3"))
		}, "m1:deleted:2 m2:replied:3 m3:replied:3"},
		{"a deleted answer is none", func(s *script) {
			s.asks("m1", 0, "ani")
			s.answers("r1", 3, "m1", "ani", inThread("m1"), deletedAt(5))
		}, "m1:open:100"},
		{"a tombstone without text deletes and is no version", func(s *script) {
			s.asks("m1", 0, "ani")
			s.asks("m1", 0, "", observedAt(6), deletedAt(6), bare)
			s.asks("m1", 0, "", observedAt(7), deletedAt(7), bare)
			s.asks("gone", 1, "ani", deletedAt(6), bare)
		}, "m1:deleted:6"},
		{"asked, answered, deleted after now_obs: not seen", func(s *script) {
			s.asks("m1", 0, "ani")
			s.answers("r1", 101, "m1", "ani", inThread("m1"))
			s.asks("m2", 1, "budi", deletedAt(102))
			s.asks("m3", 103, "cici")
			s.asks("m4", 100, "cici")
		}, "m1:open:100 m2:open:99 m4:open:0"},
		{"repeats change nothing, the newest version counts", func(s *script) {
			s.asks("m1", 0, "ani")
			s.asks("m1", 0, "ani", observedAt(5), func(e *event.Enriched) { e.Enrichment.NeedsReply = false })
			s.asks("m2", 0, "ani", observedAt(5), func(e *event.Enriched) { e.Enrichment.ModelSeq = 2 })
			s.asks("m2", 0, "ani", observedAt(5), func(e *event.Enriched) { e.Enrichment.ModelSeq, e.Enrichment.NeedsReply = 1, false })
		}, "m2:open:100"},
	} {
		var s script
		s.covered("import", -1, 100)
		c.write(&s)
		if got := brief(s.read().Requests()); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// A stretch that begins after the period covers nothing of it, though its connector is expected.
func TestCoverageAfterThePeriod(t *testing.T) {
	var s script
	s.covered("x", 0, 20)
	s.covered("x", 50, 60)
	if q := s.read().Quality(at(0), at(40)); q.Connectors != 1 || q.Coverage == nil || *q.Coverage != 0.5 || *q.CoverageWorst != 0.5 {
		t.Errorf("%d connectors, coverage %v, worst %v", q.Connectors, *q.Coverage, *q.CoverageWorst)
	}
}

func TestNowObs(t *testing.T) {
	var s script
	s.asks("m1", 0, "ani")
	s.asks("m2", 30, "ani")
	if got := s.read().Requests(); got != nil {
		t.Errorf("without coverage: %s, want nothing", brief(got))
	}
	s.covered("x", -10, 20)
	s.covered("x", 19, 50)
	s.covered("mastodon", -10, 40)
	s.covered("bluesky", 60, 70)
	s.coverage = append(s.coverage, &event.Coverage{Connector: "youtube", Institution: office, SinceMs: at(0).UnixMilli(), UntilMs: at(5).UnixMilli(), Status: "gap"},
		&event.Coverage{Connector: "youtube", Institution: "another", SinceMs: at(0).UnixMilli(), UntilMs: at(5).UnixMilli(), Status: "complete"})
	r := s.read()
	for _, c := range []struct{ from, to, want float64 }{
		{-100, 100, 40}, // the least of 50, 40, 70
		{-10, 10, 20},   // the later stretch of x does not meet it
		{41, 50, 50},    // only x
		{60, 61, 70},
	} {
		now, ok := r.NowObs(at(c.from), at(c.to))
		if !ok || !now.Equal(at(c.want)) {
			t.Errorf("[%g, %g): %v %v, want %v", c.from, c.to, now, ok, at(c.want))
		}
	}
	if _, ok := r.NowObs(at(50), at(60)); ok {
		t.Error("[50, 60): there is a now_obs, want none: a stretch ends before or begins after")
	}
	if got := brief(r.RequestsBetween(at(-1), at(10))); got != "m1:open:20" {
		t.Errorf("of a period: %s", got)
	}
	if got := brief(r.Requests()); got != "m1:open:40 m2:open:10" {
		t.Errorf("of all time: %s", got)
	}
}
