package clickhouse

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/reference"
)

// day0 is a Monday; scenes tell their times in hours after it.
var day0 = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

func hour(h float64) int64 { return day0.UnixMilli() + int64(h*3600_000) }

// scene builds a world message by message. The account's key is A, its sibling's A2.
type scene struct{ world }

type change func(*event.Enriched)

func (s *scene) add(id, author, kind, direction string, at float64, changes ...change) {
	e := &event.Enriched{
		Message: &event.Message{
			Institution: s.institution, Platform: "x", MessageId: id, MessageKey: messageKey("x", id), AuthorKey: author, Kind: kind, Direction: direction,
			CreatedAtMs: hour(at),
		},
		Enrichment: &event.Enrichment{Sentiment: schemas.Neutral},
	}
	for _, c := range changes {
		c(e)
	}
	s.messages = append(s.messages, e)
}

// ask adds an inbound reply to the account's message that needs a reply; answer a human reply to a message.
func (s *scene) ask(id, author, parent, root string, at float64, changes ...change) {
	s.add(id, author, schemas.KindReply, schemas.Inbound, at, append([]change{under(parent, root), yes, need}, changes...)...)
}

func (s *scene) answer(id, parent, to, root string, at float64, changes ...change) {
	s.add(id, "A", schemas.KindReply, schemas.Outbound, at, append([]change{under(parent, root), toAuthor(to), no}, changes...)...)
}

func (s *scene) post(id string, at float64, changes ...change) {
	s.add(id, "A", schemas.KindPost, schemas.Outbound, at, changes...)
}

func under(parent, root string) change {
	return func(e *event.Enriched) { e.Message.ParentId, e.Message.RootId = parent, root }
}
func toAuthor(key string) change { return func(e *event.Enriched) { e.Message.ParentAuthorKey = key } }
func mentions(keys ...string) change {
	return func(e *event.Enriched) { e.Message.MentionKeys = keys }
}
func deleted(at float64) change {
	return func(e *event.Enriched) { ms := hour(at); e.Message.DeletedAtMs = &ms }
}
func createdAt(at time.Time) change {
	return func(e *event.Enriched) { e.Message.CreatedAtMs = at.UnixMilli() }
}
func feels(s string) change { return func(e *event.Enriched) { e.Enrichment.Sentiment = s } }
func by(author string) change {
	return func(e *event.Enriched) { e.Message.AuthorKey = author }
}
func yes(e *event.Enriched)     { e.Message.ParentIsAccount = event.Known_KNOWN_YES }
func no(e *event.Enriched)      { e.Message.ParentIsAccount = event.Known_KNOWN_NO }
func unknown(e *event.Enriched) { e.Message.ParentIsAccount = event.Known_KNOWN_UNSPECIFIED }
func need(e *event.Enriched)    { e.Enrichment.NeedsReply = true }
func auto(e *event.Enriched)    { e.Message.IsAuto = true }
func mention(e *event.Enriched) { e.Message.MentionsAccount = true }
func stream(e *event.Enriched)  { e.Message.FromAccountStream = true }

func (s *scene) covered(connector string, since, until float64) {
	s.coverage = append(s.coverage, &event.Coverage{
		Connector: connector, Institution: s.institution, SinceMs: hour(since), UntilMs: hour(until), Status: schemas.CoverageComplete,
	})
}

// view is what a parameterised view has to say of a scene's default period, or of another one.
type view struct {
	name     string
	extra    []string
	from, to string
	want     []record
}

const (
	periodFrom = "2026-01-05 00:00:00.000"
	periodTo   = "2026-02-04 00:00:00.000"
)

// at renders a scene's hour as results do.
func at(h float64) string { return time.UnixMilli(hour(h)).UTC().Format(instant) }

const hourS = 3600.

// z is the quantile that 95 % intervals are made with.
const z = 1.959964

// scenes are small worlds with results computed by hand.
var scenes = []struct {
	name  string
	build func(*scene)
	views []view
	// requests are the rows of the view requests, by request_id.
	requests map[string]record
}{
	{
		// Of what an institution sets, the row that is valid on the first day of the period counts; under the defaults a2 follows b1, and b1 and b2 are one episode.
		name: "what an institution sets",
		build: func(s *scene) {
			s.post("p", 0)
			s.ask("a1", "u1", "p", "p", 1, feels(schemas.Negative))
			s.answer("b1", "a1", "u1", "p", 2)
			s.ask("a2", "u1", "b1", "p", 4, func(e *event.Enriched) {
				e.Enrichment.RiskTags, e.Enrichment.RiskSeverity = []string{"service_failure"}, 3
				e.Enrichment.RiskP = []*event.TagProbability{{Tag: "service_failure", P: .5}}
			})
			s.answer("b2", "a2", "u1", "p", 5)
			s.covered("c", 0, 720)
			for _, set := range []reference.Setting{
				{Name: "follow_up_s", ValidFrom: day0, Value: 3600}, {Name: "follow_up_s", ValidFrom: day0.AddDate(0, 0, 1), Value: 86400},
				{Name: "handling_gap_s", ValidFrom: day0, Value: 7200}, {Name: "sentiment_least", ValidFrom: day0, Value: 2},
				{Name: "risk_weight_3", ValidFrom: day0, Value: 7}, {Name: "risk_least", ValidFrom: day0, Value: 2}, {Name: "crisis_days", ValidFrom: day0, Value: 10},
			} {
				set.Institution = s.institution
				s.settings = append(s.settings, set)
			}
			s.events = append(s.events, reference.InstitutionEvent{Kind: reference.EventCrisis, On: day0})
		},
		views: []view{
			{name: "metric_wait", want: []record{{"n": int64(2), "replied": int64(2), "follow_up_n": int64(0)}}},
			{name: "metric_handling", want: []record{{"n": int64(0), "single": int64(2)}}},
			{name: "metric_sentiment", want: []record{{"n": int64(2), "net": -.5}}},
			// 7 x 1/2 x log2 2
			{name: "metric_risk", want: []record{{"risk_tag": "service_failure", "load": 3.5, "messages": int64(2), "share": .5}}},
			{name: "series_engagement", extra: []string{"step_s = 2592000"}, want: []record{{"risk_load": 3.5}, {"risk_load": nil}}},
		},
	},
	{
		// One message an hour, three in the third week, and four more in one hour of it; followers that stand still for four days, then are a tenth more.
		name: "how far back an institution looks",
		build: func(s *scene) {
			for h := range 525 {
				said := 1
				if h >= 336 && h < 504 {
					said = 3
				}
				if h == 352 {
					said += 4
				}
				for i := range said {
					s.add(fmt.Sprint(h, "-", i), "u", schemas.KindMention, schemas.Inbound, float64(h), mention)
				}
			}
			s.covered("c", 0, 720)
			for d, followers := range []int64{500, 1000, 1000, 1000, 1000, 1100} {
				s.snapshots = append(s.snapshots, &event.AccountSnapshot{
					Institution: s.institution, Platform: schemas.PlatformX, Account: "kantor", ObservedAtMs: day0.AddDate(0, 0, d).UnixMilli(), Followers: &followers,
				})
			}
			for name, value := range map[string]float64{
				"anomaly_poisson_days": 2, "anomaly_anscombe_days": 8, "anomaly_weeks": 1, "anomaly_beside_h": 3, "growth_days": 3, "growth_least_days": 2, "growth_least_mad": 0,
			} {
				s.settings = append(s.settings, reference.Setting{Institution: s.institution, Name: name, ValidFrom: day0, Value: value})
			}
		},
		views: []view{
			{name: "series_volume_anomaly", from: at(47), to: at(49), want: []record{{"n": int64(3), "method": "none", "z": nil}, {"n": int64(3), "method": "poisson"}}},
			// The sums of the hours 76 and 52.
			{name: "series_volume_anomaly", from: at(100), to: at(101), want: []record{{"n": int64(3), "method": "poisson", "expected": 3., "z": 0.}}},
			// Those of the hours 349 to 355: 9, 9, 9, 13, 13, 13, 9.
			{name: "series_volume_anomaly", from: at(520), to: at(521), want: []record{{
				"n": int64(3), "method": "anscombe", "expected": 9., "z": 2*math.Sqrt(3.375) - 2*math.Sqrt(9.375),
			}}},
			{name: "series_follower_growth", from: at(96), to: at(144), want: []record{
				{"n": int64(3), "growth": 0., "z": 0., "unexplained": false},
				{"n": int64(3), "growth": math.Log(1.1), "z": math.Log(1.1) / 1e-9, "unexplained": true},
			}},
		},
	},
	{
		// The vector of the metric specification: B = 3, R = 5, I = 8 and an automatic reply.
		name: "seventeen messages",
		build: func(s *scene) {
			for i, id := range []string{"p1", "p2", "p3"} {
				s.post(id, float64(i))
			}
			s.ask("a1", "u1", "p1", "p1", 3)
			s.answer("b1", "a1", "u1", "p1", 4)
			s.ask("a2", "u1", "b1", "p1", 5)
			s.answer("b2", "a2", "u1", "p1", 6)
			s.ask("a3", "u1", "b2", "p1", 7)
			s.ask("a4", "u2", "p2", "p2", 8)
			s.answer("b3", "a4", "u2", "p2", 9)
			s.answer("b4", "a4", "u2", "p2", 10)
			s.ask("a5", "u2", "b4", "p2", 11)
			s.ask("a6", "u3", "p3", "p3", 12)
			s.answer("b5", "a6", "u3", "p3", 13)
			s.ask("a7", "u4", "p3", "p3", 14)
			s.answer("auto", "a7", "u4", "p3", 14.5, auto)
			s.ask("a8", "u5", "p3", "p3", 15)
			s.covered("c", 0, 720)
		},
		views: []view{
			{name: "metric_reply_share", want: []record{{
				"broadcasts": int64(3), "replies": int64(5), "auto_replies": int64(1), "reply_share": .625, "auto_share": 1. / 6, "n": int64(8),
			}}},
			{name: "metric_asymmetry", want: []record{{
				"inbound": int64(8), "replies": int64(5), "asymmetry": 3. / 13, "reciprocity": 10. / 13, "targeting": 1., "n": int64(13),
				"authors": int64(5), "authors_answered": int64(3), "author_coverage": .6,
				// out_u sorted: 0 0 1 2 2, so (2i - 6) x_i sums to 0*1 + 2*2 + 4*2 over 5 * 5.
				"reply_gini": .48,
			}}},
			// Threads p1 (u1 came back), p2 (u2 came back), p3 (u3 did not). Turns: 5 in p1; a4 b3b4 a5 are 3; a6 b5 a7a8 are 3.
			{name: "metric_dialogue", want: []record{{
				"threads": int64(3), "looped": int64(2), "loop_rate": 2. / 3, "depth_p50": 3., "depth_p90": 4.6, "n": int64(3),
			}}},
		},
	},
	{
		name: "folding",
		build: func(s *scene) {
			s.post("p", 0)
			// 0, 20 and 40 hours, no answer: one request.
			s.ask("a1", "u1", "p", "p", 1)
			s.ask("a2", "u1", "p", "p", 21)
			s.ask("a3", "u1", "p", "p", 41)
			// Exactly 24 hours later folds, a millisecond more does not.
			s.ask("b1", "u2", "p", "p", 1)
			s.ask("b2", "u2", "p", "p", 25)
			s.ask("b3", "u2", "p", "p", 49+1./3600_000)
			// An answer in between ends the first request; the folded message is answered with it.
			s.ask("c1", "u3", "p", "p", 1)
			s.ask("c2", "u3", "p", "p", 2)
			s.answer("rc", "c2", "u3", "p", 5)
			s.ask("c3", "u3", "p", "p", 6)
			// A message at the very instant of the answer is not folded, and is answered at once.
			s.ask("d1", "u4", "p", "p", 1)
			s.ask("d2", "u4", "p", "p", 3)
			s.answer("rd", "d1", "u4", "p", 3)
			// Another thread and another author do not fold.
			s.ask("e1", "u1", "x", "other", 2)
			s.covered("c", 0, 720)
		},
		requests: map[string]record{
			"a1": {"outcome": "open", "wait_s": 719 * hourS, "author_key": "u1", "root_id": "p", "answered_at": nil, "deleted_at": nil},
			"b1": {"outcome": "open"}, "b3": {"outcome": "open"},
			"c1": {"outcome": "replied", "wait_s": 4 * hourS, "answered_at": at(5)},
			"c3": {"outcome": "open"},
			"d1": {"outcome": "replied", "wait_s": 2 * hourS},
			"d2": {"outcome": "replied", "wait_s": 0.},
			"e1": {"outcome": "open", "root_id": "other"},
		},
	},
	{
		// The 24 hours before the period fold into it, and answers come from after it.
		name: "the edges of a period",
		build: func(s *scene) {
			s.post("p", -100)
			s.ask("a1", "u1", "p", "p", -1)
			s.ask("a2", "u1", "p", "p", 1)
			s.ask("b1", "u2", "p", "p", 0)
			s.ask("c1", "u3", "p", "p", 48)
			s.ask("d1", "u4", "p", "p", 47)
			s.answer("rd", "d1", "u4", "p", 50)
			s.answer("rb", "b1", "u2", "p", 100)
			s.covered("c", -200, 99)
		},
		views: []view{
			{name: "metric_wait", from: at(0), to: at(48), want: []record{{"n": int64(2), "replied": int64(1), "open": int64(1)}}},
			{name: "metric_response_rate", from: at(0), to: at(48), extra: []string{"window_s = 10800"}, want: []record{{"n": int64(2), "answered": int64(1)}}},
			{name: "metric_asymmetry", from: at(0), to: at(48), want: []record{{"inbound": int64(3), "replies": int64(0), "asymmetry": 1., "targeting": nil, "reply_gini": nil, "reciprocity": 0.}}},
		},
		requests: map[string]record{
			"a1": {"outcome": "open", "wait_s": 100 * hourS}, "b1": {"outcome": "open", "wait_s": 99 * hourS}, "c1": {"outcome": "open"},
			"d1": {"outcome": "replied", "wait_s": 3 * hourS},
		},
	},
	{
		name: "deletions",
		build: func(s *scene) {
			s.post("p", 0)
			s.ask("before", "u1", "p", "p", 1, deleted(2))
			s.answer("r1", "before", "u1", "p", 3)
			s.ask("after", "u2", "p", "p", 1, deleted(4))
			s.answer("r2", "after", "u2", "p", 3)
			s.ask("tie", "u3", "p", "p", 1, deleted(3))
			s.answer("r3", "tie", "u3", "p", 3)
			s.ask("unsaid", "u4", "p", "p", 1)
			s.answer("r4", "unsaid", "u4", "p", 3, deleted(5))
			s.ask("later", "u5", "p", "p", 1, deleted(900))
			s.covered("c", 0, 720)
		},
		requests: map[string]record{
			"before": {"outcome": "deleted", "wait_s": hourS, "deleted_at": at(2), "answered_at": nil, "author_key": ""},
			"after":  {"outcome": "replied", "wait_s": 2 * hourS, "deleted_at": nil, "author_key": ""},
			"tie":    {"outcome": "replied", "wait_s": 2 * hourS},
			"unsaid": {"outcome": "open", "author_key": "u4"},
			"later":  {"outcome": "open"},
		},
		views: []view{
			{name: "metric_reply_share", want: []record{{"broadcasts": int64(1), "replies": int64(3)}}},
			// Only u4's message still stands.
			{name: "metric_asymmetry", want: []record{{"inbound": int64(1), "replies": int64(3), "asymmetry": -.5, "reciprocity": 0., "targeting": 0., "authors": int64(1), "reply_gini": nil}}},
			{name: "metric_dialogue", want: []record{{"threads": int64(0), "loop_rate": nil, "depth_p50": nil, "depth_p90": nil}}},
			{name: "metric_wait", want: []record{{"n": int64(5), "replied": int64(2), "deleted": int64(1), "open": int64(2)}}},
		},
	},
	{
		name: "who speaks to whom",
		build: func(s *scene) {
			s.post("p", 0)
			s.post("thread of its own", 1, under("p", "p"), func(e *event.Enriched) { e.Message.Kind = schemas.KindReply }, yes)
			s.add("shared", "A", schemas.KindRepost, schemas.Outbound, 2)
			s.add("quoting", "A", schemas.KindQuote, schemas.Outbound, 2, under("a", "a"), toAuthor("u1"), no)
			// A sibling account answers, to two authors at once.
			s.ask("a", "u1", "p", "p", 3)
			s.ask("b", "u2", "p", "p", 3)
			s.answer("r", "a", "u1", "p", 4, by("A2"), mentions("u2", "A2"))
			// An automatic reply stops no clock, an automatic message is not addressed.
			s.ask("c", "u3", "p", "p", 3)
			s.answer("ra", "c", "u3", "p", 4, auto)
			s.ask("robot", "u4", "p", "p", 3, auto)
			// A quote is addressed only if it mentions; a repost never is.
			s.add("q1", "u5", schemas.KindQuote, schemas.Inbound, 5, under("p", "p"), yes, need)
			s.add("q2", "u5", schemas.KindQuote, schemas.Inbound, 5, under("p", "q2"), yes, need, mention)
			s.add("q3", "u5", schemas.KindRepost, schemas.Inbound, 5, mention, need)
			// Side talk between citizens is not addressed, a mention is.
			s.add("side", "u6", schemas.KindReply, schemas.Inbound, 6, under("a", "p"), no, need, stream, toAuthor("u1"))
			s.add("call", "u6", schemas.KindMention, schemas.Inbound, 6, mention)
			s.covered("c", 0, 720)
		},
		views: []view{
			{name: "metric_reply_share", want: []record{{"broadcasts": int64(3), "replies": int64(1), "auto_replies": int64(1), "reply_share": .25, "auto_share": .5}}},
			// Addressed: a, b, c, q2, call.
			{name: "metric_asymmetry", want: []record{{"inbound": int64(5), "replies": int64(1), "reciprocity": 4. / 6, "targeting": 2., "authors": int64(5), "authors_answered": int64(2)}}},
		},
		requests: map[string]record{
			"a": {"outcome": "replied", "wait_s": hourS}, "b": {"outcome": "replied", "wait_s": hourS}, "c": {"outcome": "open"}, "q2": {"outcome": "open", "root_id": "q2"},
		},
	},
	{
		name: "orphans and late parents",
		build: func(s *scene) {
			// The parent is nowhere: addressed only out of an account's own stream.
			s.add("o1", "u1", schemas.KindReply, schemas.Inbound, 1, under("gone", ""), stream, need)
			s.add("o2", "u2", schemas.KindReply, schemas.Inbound, 1, under("gone", ""), need)
			s.add("o3", "u3", schemas.KindMention, schemas.Inbound, 1, stream, need)
			// Its author is known to be somebody else, though not whether that is an account.
			s.add("o4", "u4", schemas.KindReply, schemas.Inbound, 1, under("gone", ""), toAuthor("u9"), stream, need)
			// The parent is read from its row, which may be older than the period, deleted, or of the future.
			s.post("old", -5000)
			s.add("n1", "u5", schemas.KindReply, schemas.Inbound, 1, under("old", "old"), need)
			s.post("erased", -2, deleted(0))
			s.add("n2", "u6", schemas.KindReply, schemas.Inbound, 1, under("erased", "erased"), need)
			s.add("n3", "u7", schemas.KindReply, schemas.Inbound, 1, under("n1", "old"), need, stream)
			// Replies that do not name whom they answer: resolved by id, or to nobody known. One to an inbound message is R, one to an outbound one is B.
			s.answer("r1", "n1", "", "old", 2, unknown)
			s.answer("r2", "nowhere", "", "old", 2, unknown)
			s.answer("r3", "old", "", "old", 2, unknown)
			s.answer("r4", "late", "", "late", 5, unknown)
			s.add("late", "u8", schemas.KindMention, schemas.Inbound, 6, mention)
			s.covered("c", 0, 720)
		},
		views: []view{
			{name: "metric_reply_share", want: []record{{"broadcasts": int64(1), "replies": int64(3)}}},
			// Addressed: o1, o3, n1, n2, late. out_u: u5 and u8 got one each.
			{name: "metric_asymmetry", want: []record{{"inbound": int64(5), "replies": int64(3), "authors": int64(5), "authors_answered": int64(2), "targeting": 2. / 3, "reply_gini": .6}}},
		},
		requests: map[string]record{
			"o1": {"outcome": "open", "root_id": "o1"}, "o3": {"outcome": "open"}, "n1": {"outcome": "replied", "wait_s": hourS}, "n2": {"outcome": "open"},
		},
	},
	{
		name: "versions",
		build: func(s *scene) {
			s.post("p", 0)
			seq := func(n uint32) change { return func(e *event.Enriched) { e.Enrichment.ModelSeq = n } }
			edited := func(h float64) change { return func(e *event.Enriched) { ms := hour(h); e.Message.EditedAtMs = &ms } }
			s.ask("a", "u1", "p", "p", 1, feels("negative"), seq(2))
			s.ask("a", "u1", "p", "p", 1, feels("positive"), seq(1))
			s.ask("b", "u2", "p", "p", 1, feels("negative"), edited(3), func(e *event.Enriched) { e.Enrichment.NeedsReply = false })
			s.ask("b", "u2", "p", "p", 1, feels("positive"), seq(9))
			s.covered("c", 0, 720)
		},
		views: []view{
			{name: "metric_sentiment", want: []record{{"n": int64(2), "raw_negative": 1., "raw_neutral": 0., "raw_positive": 0., "net": nil, "net_lo": nil, "net_hi": nil, "negative": nil, "neutral": nil, "positive": nil}}},
		},
		requests: map[string]record{"a": {"outcome": "open"}},
	},
	{
		// Two connectors: what the slower one has not read is not known. Others do not count: not in the period, or a gap.
		name: "the end of what is known",
		build: func(s *scene) {
			s.post("p", 0)
			s.ask("a", "u1", "p", "p", 10)
			s.answer("ra", "a", "u1", "p", 60)
			s.ask("b", "u2", "p", "p", 10, deleted(55))
			s.ask("c", "u3", "p", "p", 50)
			s.ask("d", "u4", "p", "p", 50+1./3600_000)
			s.ask("e", "u5", "p", "p", 30)
			s.answer("re", "e", "u5", "p", 50)
			s.covered("fast", 0, 100)
			s.covered("slow", 0, 20)
			s.covered("slow", 0, 50)
			s.covered("slow", -300, -200)
			s.covered("past", -300, 0)
			s.covered("next", 720, 900)
			s.coverage = append(s.coverage, &event.Coverage{Connector: "broken", Institution: s.institution, SinceMs: hour(0), UntilMs: hour(5), Status: schemas.CoverageGap, Reason: schemas.GapOutage})
		},
		views: []view{
			{name: "metric_wait", want: []record{{"n": int64(4), "replied": int64(1), "deleted": int64(0), "open": int64(3), "answered_p50_s": 20 * hourS}}},
			// a and b were observed for 40 hours, e for 20, c for none.
			{name: "metric_response_rate", extra: []string{"window_s = 72000"}, want: []record{{"n": int64(3), "answered": int64(1)}}},
			{name: "metric_response_rate", extra: []string{"window_s = 72000.001"}, want: []record{{"n": int64(2), "answered": int64(0)}}},
			{name: "metric_response_rate", extra: []string{"window_s = 144000"}, want: []record{{"n": int64(2), "answered": int64(0), "rate": 0., "lo": 0., "hi": z * z / (2 + z*z)}}},
		},
		// Over all time the connector "past" is the slowest: nothing was known after hour 0.
		requests: map[string]record{},
	},
	{
		name: "everybody answered",
		build: func(s *scene) {
			s.post("p", 0)
			s.ask("a", "u1", "p", "p", 1)
			s.answer("ra", "a", "u1", "p", 2)
			s.ask("b", "u2", "p", "p", 1)
			s.answer("rb", "b", "u2", "p", 4)
			s.covered("c", 0, 720)
		},
		views: []view{
			// Survival is 1/2 from 1 h on and 0 from 3 h on.
			{name: "metric_wait", want: []record{{
				"n": int64(2), "replied": int64(2), "deleted": int64(0), "open": int64(0), "km_median_s": hourS, "rmst_7d_s": 2 * hourS,
				"incidence_1h": .5, "incidence_24h": 1., "incidence_72h": 1., "answered_p50_s": 2 * hourS, "answered_p90_s": 2.8 * hourS,
				"b_n": nil, "b_replied": nil, "b_deleted": nil, "b_open": nil, "b_km_median_s": nil, "b_rmst_7d_s": nil, "b_incidence_1h": nil, "b_incidence_24h": nil,
				"b_incidence_72h": nil, "b_answered_p50_s": nil, "b_answered_p90_s": nil, "b_out_of_hours": nil,
			}}},
		},
	},
	{
		name: "half is reached exactly",
		build: func(s *scene) {
			s.post("p", 0)
			// 5/6 x 4/5 x 3/4 is one half, and its logarithms do not add up to that of one half.
			for i, id := range []string{"a", "b", "c", "d", "e", "f"} {
				s.ask(id, "u"+id, "p", "p", 1)
				if i < 3 {
					s.answer("r"+id, id, "u"+id, "p", 2+float64(i))
				}
			}
			s.covered("c", 0, 720)
		},
		views: []view{{name: "metric_wait", want: []record{{"n": int64(6), "km_median_s": 3 * hourS, "rmst_7d_s": (1 + 5./6 + 4./6 + .5*165) * hourS}}}},
	},
	{
		name: "deletion competes",
		build: func(s *scene) {
			s.post("p", 0)
			s.ask("a", "u1", "p", "p", 1)
			s.answer("ra", "a", "u1", "p", 2)
			s.ask("b", "u2", "p", "p", 1, deleted(3))
			s.ask("c", "u3", "p", "p", 1)
			s.answer("rc", "c", "u3", "p", 4)
			s.ask("d", "u4", "p", "p", 1)
			s.covered("c", 0, 720)
		},
		views: []view{
			// Kaplan-Meier 3/4, then with two at risk 3/8. Aalen-Johansen 1/4, then 1/2 x 1/2.
			{name: "metric_wait", want: []record{{
				"n": int64(4), "replied": int64(2), "deleted": int64(1), "open": int64(1), "km_median_s": 3 * hourS, "rmst_7d_s": (1 + .75*2 + .375*165) * hourS,
				"incidence_1h": .25, "incidence_24h": .5, "incidence_72h": .5,
			}}},
			// The interval of one event among four at risk: 0.128 to 0.961, as R's survfit with conf.type = "log-log" gives it.
			{name: "curve_wait", want: []record{
				{"t_s": 0., "survival": 1., "incidence": 0., "at_risk": int64(4), "lo": nil, "hi": nil, "n": int64(4)},
				{"t_s": hourS, "survival": .75, "incidence": .25, "at_risk": int64(4), "lo": math.Pow(.75, math.Exp(z*math.Sqrt(1./12)/-math.Log(.75)))},
				{"t_s": 2 * hourS, "survival": .75, "incidence": .25, "at_risk": int64(3)},
				{"t_s": 3 * hourS, "survival": .375, "incidence": .5, "at_risk": int64(2)},
				{"t_s": 719 * hourS, "survival": .375, "incidence": .5, "at_risk": int64(1)},
			}},
			{name: "metric_response_rate", extra: []string{"window_s = 86400"}, want: []record{{"n": int64(3), "answered": int64(2), "rate": 2. / 3}}},
			{name: "metric_response_rate", extra: []string{"window_s = 7200"}, want: []record{{"n": int64(3), "answered": int64(1)}}},
			{name: "metric_response_rate", extra: []string{"window_s = 3600"}, want: []record{{"n": int64(4), "answered": int64(1), "rate": .25}}},
		},
	},
	{
		// At one instant: two replies, a deletion and a censoring, of five at risk; the fifth goes on.
		name: "ties",
		build: func(s *scene) {
			s.post("p", 0)
			s.ask("a", "u1", "p", "p", 10)
			s.answer("ra", "a", "u1", "p", 12)
			s.ask("b", "u2", "p", "p", 10)
			s.answer("rb", "b", "u2", "p", 12)
			s.ask("c", "u3", "p", "p", 10, deleted(12))
			s.ask("d", "u4", "p", "p", 48)
			s.ask("e", "u5", "p", "p", 10)
			s.covered("c", 0, 50)
		},
		views: []view{
			{name: "metric_wait", want: []record{{
				"n": int64(5), "replied": int64(2), "deleted": int64(1), "open": int64(2), "km_median_s": nil, "rmst_7d_s": (2 + .6*166) * hourS,
				"incidence_1h": 0., "incidence_24h": .4, "incidence_72h": .4,
			}}},
		},
	},
	{
		name: "nobody answered",
		build: func(s *scene) {
			s.ask("a", "u1", "", "a", 1)
			s.ask("b", "u2", "", "b", 1, deleted(2))
			s.covered("c", 0, 25)
		},
		views: []view{
			{name: "metric_wait", want: []record{{
				"n": int64(2), "replied": int64(0), "deleted": int64(1), "open": int64(1), "km_median_s": nil, "rmst_7d_s": 168 * hourS, "incidence_1h": 0., "incidence_72h": 0.,
				"answered_p50_s": nil, "answered_p90_s": nil,
			}}},
			{name: "metric_response_rate", extra: []string{"window_s = 86400"}, want: []record{{"n": int64(1), "answered": int64(0), "rate": 0., "lo": 0., "hi": z * z / (1 + z*z)}}},
		},
	},
	{
		// An answer after more than 7 days counts 7 days.
		name: "the horizon of the mean",
		build: func(s *scene) {
			s.post("p", 0)
			s.ask("a", "u1", "p", "p", 1)
			s.answer("ra", "a", "u1", "p", 201)
			s.covered("c", 0, 720)
		},
		views: []view{{name: "metric_wait", want: []record{{"rmst_7d_s": 168 * hourS, "km_median_s": 200 * hourS, "incidence_72h": 0., "answered_p90_s": 200 * hourS}}}},
	},
	{
		name: "nothing asked",
		build: func(s *scene) {
			s.covered("c", 0, 24)
		},
		views: []view{
			{name: "metric_reply_share", want: []record{{"broadcasts": int64(0), "replies": int64(0), "auto_replies": int64(0), "reply_share": nil, "auto_share": nil, "n": int64(0)}}},
			{name: "metric_response_rate", extra: []string{"window_s = 3600"}, want: []record{{"n": int64(0), "answered": int64(0), "rate": nil, "lo": nil, "hi": nil}}},
			{name: "metric_wait", want: []record{{
				"n": int64(0), "replied": int64(0), "deleted": int64(0), "open": int64(0), "km_median_s": nil, "rmst_7d_s": nil,
				"incidence_1h": nil, "incidence_24h": nil, "incidence_72h": nil, "answered_p50_s": nil, "answered_p90_s": nil, "b_n": nil,
			}}},
			{name: "metric_asymmetry", want: []record{{
				"inbound": int64(0), "replies": int64(0), "asymmetry": nil, "reciprocity": nil, "targeting": nil, "authors": int64(0),
				"authors_answered": int64(0), "author_coverage": nil, "reply_gini": nil, "n": int64(0),
			}}},
			{name: "metric_dialogue", want: []record{{"threads": int64(0), "looped": int64(0), "loop_rate": nil, "depth_p50": nil, "depth_p90": nil, "n": int64(0)}}},
			{name: "metric_sentiment", want: []record{{"n": int64(0), "raw_negative": nil, "raw_neutral": nil, "raw_positive": nil, "net": nil}}},
			{name: "metric_risk"},
			{name: "series_engagement", extra: []string{"step_s = 86400"}, want: []record{{
				"bucket": at(0), "inbound": int64(0), "replies": int64(0), "asymmetry": nil, "reciprocity": nil, "answered_24h": nil, "negative_share": nil, "risk_load": nil, "n": int64(0),
			}}},
		},
	},
	{
		// Without coverage there are no requests, but there are messages.
		name: "nothing covered",
		build: func(s *scene) {
			s.post("p", 0)
			s.ask("a", "u1", "p", "p", 1, feels("negative"))
			s.answer("ra", "a", "u1", "p", 2)
		},
		requests: map[string]record{},
		views: []view{
			{name: "metric_wait", want: []record{{"n": int64(0), "rmst_7d_s": nil}}},
			{name: "metric_response_rate", extra: []string{"window_s = 3600"}, want: []record{{"n": int64(0), "rate": nil}}},
			{name: "metric_reply_share", want: []record{{"n": int64(2), "reply_share": .5}}},
			{name: "series_engagement", extra: []string{"step_s = 3600"}, want: []record{
				{"bucket": at(0), "inbound": int64(0), "replies": int64(0), "asymmetry": nil, "risk_load": nil, "negative_share": nil},
				{"bucket": at(1), "inbound": int64(1), "replies": int64(0), "asymmetry": 1., "risk_load": 0., "negative_share": 1., "answered_24h": nil},
				{"bucket": at(2), "inbound": int64(0), "replies": int64(1), "asymmetry": -1., "risk_load": nil, "negative_share": nil},
			}},
		},
	},
	{
		name: "tone",
		build: func(s *scene) {
			s.post("p", 0)
			for i := range 60 {
				s.ask(fmt.Sprint("a", i), fmt.Sprint("u", i), "p", "p", 1, feels([]string{"negative", "negative", "negative", "neutral", "positive", "positive"}[i%6]))
			}
			s.ask("silent", "u", "p", "p", 1, feels("unknown"))
			s.add("side", "v", schemas.KindReply, schemas.Inbound, 1, no, feels("negative"))
			s.covered("c", 0, 720)
		},
		views: []view{
			// se^2 = (1/2 + 1/3 - 1/36) / 60
			{name: "metric_sentiment", want: []record{{
				"n": int64(60), "raw_negative": .5, "raw_neutral": 1. / 6, "raw_positive": 1. / 3, "net": -1. / 6,
				"net_lo": -1./6 - z*math.Sqrt(29./36/60), "net_hi": -1./6 + z*math.Sqrt(29./36/60),
			}}},
		},
	},
	{
		name: "all of one tone",
		build: func(s *scene) {
			for i := range 50 {
				s.add(fmt.Sprint("a", i), fmt.Sprint("u", i), schemas.KindMention, schemas.Inbound, 1, mention, feels("negative"))
			}
		},
		views: []view{{name: "metric_sentiment", want: []record{{"n": int64(50), "net": -1., "net_lo": -1., "net_hi": -1.}}}},
	},
	{
		name: "risk",
		build: func(s *scene) {
			tagged := func(severity uint32, followers int64, bot *float32, tags ...string) change {
				return func(e *event.Enriched) {
					e.Message.AuthorFollowers = &followers
					e.Enrichment.RiskTags, e.Enrichment.RiskSeverity, e.Enrichment.BotP = tags, severity, bot
					e.Enrichment.RiskP = []*event.TagProbability{{Tag: "misconduct_corruption", P: .5}, {Tag: "service_failure", P: .25}, {Tag: "none", P: 1}}
				}
			}
			half := float32(.5)
			s.ask("a", "u1", "p", "p", 1, tagged(5, 14, nil, "misconduct_corruption", "service_failure"))
			s.ask("b", "u1", "p", "p", 1, tagged(2, 0, &half, "service_failure", "service_failure"))
			s.ask("c", "u2", "p", "p", 1, tagged(3, 6, nil, "non_response"))
			s.ask("d", "u2", "p", "p", 1, tagged(0, 6, nil, "policy_criticism"))
			s.ask("e", "u3", "p", "p", 1, tagged(0, 6, nil, "none"))
			s.ask("f", "u4", "p", "p", 1, tagged(5, 6, nil, "service_failure"), deleted(2))
			s.covered("c", 0, 720)
		},
		views: []view{
			// Weights: a 16 x log2 16 = 64; b 2 x 1/2 x log2 2 = 1; c 4 x log2 8 = 12, but its tag has no probability.
			{name: "metric_risk", want: []record{
				{"risk_tag": "misconduct_corruption", "n": int64(1), "severity_max": int64(5), "load": 32., "authors": int64(1)},
				{"risk_tag": "service_failure", "n": int64(2), "severity_max": int64(5), "load": 16.25, "authors": int64(1)},
				{"risk_tag": "non_response", "n": int64(1), "severity_max": int64(3), "load": 0., "authors": int64(1)},
				{"risk_tag": "policy_criticism", "n": int64(1), "severity_max": int64(0), "load": 0., "authors": int64(1)},
			}},
			{name: "series_engagement", extra: []string{"step_s = 2592000"}, want: []record{{"risk_load": 48.25}, {"risk_load": nil}}},
		},
	},
	{
		// u1 comes back with the same tag; within 24 hours it is the same complaint still, and after 365 days it is a first one again. Neither another tag, nor another
		// author, nor what was deleted or not written to the institution makes a repeat.
		name: "recurrence",
		build: func(s *scene) {
			tagged := func(tags ...string) change {
				return func(e *event.Enriched) { e.Enrichment.RiskTags = tags }
			}
			const year, instant = 365 * 24., 1. / 3600_000
			s.ask("a", "u1", "p", "p", 1, tagged("service_failure"))
			s.ask("same", "u1", "p", "p", 25, tagged("service_failure"))
			s.ask("again", "u1", "q", "q", 25+instant, tagged("service_failure", "non_response"))
			s.ask("old", "u2", "p", "p", 2-year, tagged("non_response"))
			s.ask("within the year", "u2", "p", "p", 2, tagged("non_response"))
			s.ask("older", "u3", "p", "p", 2-year-instant, tagged("non_response"))
			s.ask("after the year", "u3", "p", "p", 2, tagged("non_response"))
			s.ask("gone", "u4", "p", "p", -48, tagged("non_response"), deleted(-47))
			s.add("aside", "u4", schemas.KindPost, schemas.Inbound, -48, tagged("non_response"))
			s.ask("nobody came back", "u4", "p", "p", 3, tagged("non_response", "none", ""))
			s.ask("unknown author", "", "p", "p", -48, tagged("non_response"))
			s.ask("another unknown", "", "p", "p", 3, tagged("non_response"))
			s.covered("c", -100*24-1, 720)
			s.covered("late", 0, 720)
		},
		views: []view{
			{name: "metric_recurrence", want: []record{
				{"risk_tag": "non_response", "n": int64(5), "first": int64(4), "repeated": int64(1), "repeat_share": .2, "authors": int64(5), "authors_repeating": int64(1), "history_days": int64(100)},
				{"risk_tag": "service_failure", "n": int64(3), "first": int64(2), "repeated": int64(1), "authors": int64(1), "authors_repeating": int64(1)},
			}},
			{name: "metric_recurrence", from: at(24), to: at(26), want: []record{
				{"risk_tag": "service_failure", "n": int64(2), "repeated": int64(1), "history_days": int64(101)},
				{"risk_tag": "non_response", "n": int64(1), "repeated": int64(0)},
			}},
		},
	},
	{
		// Local days of Asia/Jakarta begin at 17:00 UTC.
		name: "series",
		build: func(s *scene) {
			s.offsetS = 25200
			s.post("p", 1)
			s.ask("a", "u1", "p", "p", 16.5, feels("negative"))
			s.answer("ra", "a", "u1", "p", 18)
			s.ask("b", "u2", "p", "p", 17, feels("positive"))
			s.ask("b2", "u2", "p", "p", 18, feels("unknown"))
			s.ask("c", "u3", "p", "p", 41, deleted(42))
			s.ask("out", "u4", "p", "p", 90)
			s.covered("c", 0, 65)
		},
		views: []view{
			{name: "series_engagement", from: at(16), to: at(84), extra: []string{"step_s = 86400"}, want: []record{
				{"bucket": at(-7), "inbound": int64(1), "replies": int64(0), "n": int64(1), "asymmetry": 1., "reciprocity": 0., "answered_24h": 1., "negative_share": 1., "risk_load": 0.},
				{"bucket": at(17), "inbound": int64(2), "replies": int64(1), "n": int64(3), "asymmetry": 1. / 3, "reciprocity": 0., "answered_24h": 0., "negative_share": 0.},
				{"bucket": at(41), "inbound": int64(0), "replies": int64(0), "n": int64(0), "asymmetry": nil, "answered_24h": nil, "negative_share": nil, "risk_load": nil},
			}},
		},
	},
}

func TestScenes(t *testing.T) {
	conn := migrated(t)
	for i, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			s := &scene{world{institution: fmt.Sprintf("scene-%d", i)}}
			sc.build(s)
			s.put(t, conn)
			for _, v := range sc.views {
				from, to := v.from, v.to
				if from == "" {
					from, to = periodFrom, periodTo
				}
				got := metric(t, conn, v.name, s.institution, from, to, v.extra...)
				if len(got) != len(v.want) {
					t.Errorf("%s %v has %d rows, want %d: %v", v.name, v.extra, len(got), len(v.want), got)
					continue
				}
				for i, want := range v.want {
					for _, d := range differences(got[i], want) {
						t.Errorf("%s %v row %d: %s", v.name, v.extra, i, d)
					}
				}
			}
			if sc.requests == nil {
				return
			}
			rows, _ := query(t, conn, "SELECT * FROM requests WHERE institution = {institution:String} ORDER BY asked_at, request_id", map[string]string{"institution": s.institution})
			got := map[string]record{}
			for _, r := range rows {
				got[r["request_id"].(string)] = r
			}
			for id, want := range sc.requests {
				for _, d := range differences(got[id], want) {
					t.Errorf("request %s: %s", id, d)
				}
			}
			for id := range got {
				if _, wanted := sc.requests[id]; !wanted {
					t.Errorf("%s is a request, and should not be: %v", id, got[id])
				}
			}
		})
	}
}
