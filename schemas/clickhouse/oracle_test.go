package clickhouse

import (
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/clickhouse/calendar"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/reference"
)

// TestViewsAgreeWithReference compares the views with package reference, which computes the same metrics without SQL, over generated worlds.
// DWIARAH_WORLDS sets how many worlds there are; with it, every world is asked everything and the worlds are others each time, without it a few things of
// the same few worlds: what a change is held by has to be the same for everybody. DWIARAH_VIEWS is a regular expression of
// the views to ask.
func TestViewsAgreeWithReference(t *testing.T) {
	conn := migrated(t)
	if _, err := LoadCalendars(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	working, err := calendar.Load("id-government")
	if err != nil {
		t.Fatal(err)
	}
	spans := map[int32]calendar.Spans{}
	for _, o := range working.Offsets {
		spans[o] = working.Spans(o)
	}
	asked := 3
	checks := "25"
	if n := os.Getenv("DWIARAH_WORLDS"); n != "" {
		checks, asked = n, len(comparisons)
	} else if err := flag.Set("rapid.seed", "1"); err != nil {
		t.Fatal(err)
	}
	compared := comparisons
	if pattern := os.Getenv("DWIARAH_VIEWS"); pattern != "" {
		chosen, err := regexp.Compile(pattern)
		if err != nil {
			t.Fatalf("DWIARAH_VIEWS: %v", err)
		}
		compared = slices.DeleteFunc(slices.Clone(comparisons), func(c comparison) bool { return !chosen.MatchString(c.view) })
		asked = min(asked, len(compared))
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		t.Fatalf("DWIARAH_WORLDS=%s: %v", checks, err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		from, to := drawPeriod(rt)
		w.put(rt, conn)
		in := reference.World{Institution: w.institution, OffsetS: int(w.offsetS), Messages: w.messages, Coverage: w.coverage, Snapshots: w.snapshots, Settings: w.settings, ServiceClocks: w.clocks, Events: w.events, Confusions: w.confusions}
		if w.calendar != "" {
			in.Business = spans[w.offsetS].Seconds
			in.WorkingDays = workingDays(spans[w.offsetS], w.offsetS)
		}
		reading := reference.Read(in)
		for _, c := range rapid.Permutation(compared).Draw(rt, "comparisons")[:asked] {
			extra, want := c.want(rt, reading, from, to)
			if c.view == "requests" {
				w.hideDeletedAuthors(want)
			}
			var got []record
			if c.view == "requests" {
				got, _ = query(rt, conn, "SELECT * FROM requests WHERE institution = {institution:String} ORDER BY asked_at, request_id, platform",
					map[string]string{"institution": w.institution})
			} else {
				got = metric(rt, conn, c.view, w.institution, from.Format(instant), to.Format(instant), extra...)
			}
			compare(rt, fmt.Sprintf("%s %v of %s from %s to %s", c.view, extra, w.institution, from.Format(instant), to.Format(instant)), got, want)
		}
	})
}

// workingDays are the local dates of the spans.
func workingDays(spans calendar.Spans, offsetS int32) []time.Time {
	var days []time.Time
	for _, s := range spans {
		days = append(days, s.Start.Add(time.Duration(offsetS)*time.Second).Truncate(24*time.Hour))
	}
	return slices.CompactFunc(days, time.Time.Equal)
}

// hideDeletedAuthors blanks the authors of requests whose message was deleted: the view keeps the facts of timing and lets go of the person, while package
// reference works on records that still have the author.
func (w world) hideDeletedAuthors(requests []record) {
	deleted := map[string]bool{}
	for _, e := range w.messages {
		if e.Message.Institution == w.institution && e.Message.DeletedAtMs != nil {
			deleted[e.Message.Platform+" "+e.Message.MessageId] = true
		}
	}
	for _, r := range requests {
		if deleted[fmt.Sprint(r["platform"], " ", r["request_id"])] {
			r["author_key"] = ""
		}
	}
}

func compare(t *rapid.T, what string, got, want []record) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s has %d rows, want %d:\n%v\n%v", what, len(got), len(want), got, want)
		return
	}
	for i := range want {
		if d := differences(got[i], want[i]); len(d) > 0 {
			t.Errorf("%s, row %d: %s", what, i, strings.Join(d, "; "))
		}
	}
}

type comparison struct {
	view string
	want func(t *rapid.T, r *reference.Reading, from, to time.Time) (extra []string, rows []record)
}

// comparisons pair each view with its method of reference.
var comparisons = []comparison{
	{"metric_reply_share", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, []record{columns(r.ReplyShare(from, to))}
	}},
	{"metric_response_rate", func(t *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		window := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Hour, 4 * time.Hour, 24 * time.Hour, 36 * time.Hour, 72 * time.Hour}).Draw(t, "window")
		rate, err := r.ResponseRate(from, to, window)
		if err != nil {
			t.Fatal(err)
		}
		return []string{fmt.Sprint("window_s = ", window.Seconds())}, []record{columns(rate)}
	}},
	{"metric_wait", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, []record{columns(r.Wait(from, to))}
	}},
	{"metric_asymmetry", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, []record{columns(r.Asymmetry(from, to))}
	}},
	{"metric_dialogue", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, []record{columns(r.Dialogue(from, to))}
	}},
	{"metric_sentiment", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, []record{columns(r.Sentiment(from, to))}
	}},
	{"metric_risk", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, records(r.Risk(from, to))
	}},
	{"metric_recurrence", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, records(r.Recurrence(from, to))
	}},
	{"series_engagement", func(t *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		step := rapid.SampledFrom([]time.Duration{time.Hour, 3 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 5000 * time.Second}).Draw(t, "step")
		series, err := r.Series(from, to, step)
		if err != nil {
			t.Fatal(err)
		}
		return []string{fmt.Sprint("step_s = ", int64(step.Seconds()))}, records(series)
	}},
	{"curve_wait", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, records(r.Curve(from, to))
	}},
	{"curve_business_wait", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, records(r.BusinessCurve(from, to))
	}},
	{"metric_response_rate_working", func(t *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		days := rapid.SampledFrom([]int{1, 3, 5, 10}).Draw(t, "working days")
		rate, err := r.ResponseRateWorking(from, to, days)
		if err != nil {
			t.Fatal(err)
		}
		return []string{fmt.Sprint("working_days = ", days)}, []record{columns(rate)}
	}},
	{"metric_handling", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, []record{columns(r.Handling(from, to))}
	}},
	{"metric_content", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, records(r.Content(from, to))
	}},
	{"metric_service_clock", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, records(r.ServiceClocks(from, to))
	}},
	{"metric_stage", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, []record{columns(r.Stage(from, to))}
	}},
	{"metric_sentiment_shift", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, []record{columns(r.SentimentShift(from, to))}
	}},
	{"metric_quality", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, []record{columns(r.Quality(from, to))}
	}},
	{"metric_bait", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, records(r.Bait(from, to))
	}},
	{"series_follower_growth", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, records(r.FollowerGrowth(from, to))
	}},
	{"metric_authenticity", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, []record{columns(r.Authenticity(from, to))}
	}},
	{"series_volume_anomaly", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, records(r.VolumeAnomaly(from, to))
	}},
	{"metric_weighted", func(_ *rapid.T, r *reference.Reading, from, to time.Time) ([]string, []record) {
		return nil, records(r.Weighted(from, to))
	}},
	{"requests", func(_ *rapid.T, r *reference.Reading, _, _ time.Time) ([]string, []record) {
		return nil, records(r.Requests())
	}},
}

func records[T any](results []T) []record {
	var rows []record
	for _, r := range results {
		rows = append(rows, columns(r))
	}
	return rows
}

func columns(result any) record {
	r := record{}
	for name, v := range reference.Columns(result) {
		switch x := v.(type) {
		case time.Time:
			v = x.UTC().Format(instant)
		case *time.Time:
			v = nil
			if x != nil {
				v = x.UTC().Format(instant)
			}
		}
		r[name] = v
	}
	return r
}

var worlds atomic.Int64

// grid is what most times are multiples of, so that ties and exact windows are common.
const grid = 30 * time.Minute

func drawTime(t *rapid.T, label string, firstHour, lastHour int) time.Time {
	n := rapid.IntRange(firstHour*2, lastHour*2).Draw(t, label)
	at := day0.Add(time.Duration(n) * grid)
	if rapid.IntRange(0, 9).Draw(t, label+" off the grid") == 0 {
		at = at.Add(rapid.SampledFrom([]time.Duration{time.Millisecond, -time.Millisecond, 417 * time.Second, 5 * time.Second, 10 * time.Second, time.Minute}).Draw(t, label+" by"))
	}
	return at
}

func drawPeriod(t *rapid.T) (from, to time.Time) {
	from = drawTime(t, "from", -30, 100)
	to = from.Add(rapid.SampledFrom([]time.Duration{0, time.Hour, 36 * time.Hour, 5 * 24 * time.Hour, 30 * 24 * time.Hour}).Draw(t, "period"))
	return from, to
}

// drawWorld draws an institution's messages and coverage of some days, with everything that is odd in the rules: ties, late and missing parents, deletions,
// versions, automatic messages, sibling accounts. Beside it live messages of another institution under the same ids.
func drawWorld(t *rapid.T) world {
	n := worlds.Add(1)
	w := world{institution: fmt.Sprintf("world-%d", n)}
	w.offsetS = rapid.SampledFrom([]int32{0, 25200, 28800, 32400}).Draw(t, "offset")
	w.calendar = rapid.SampledFrom([]string{"", "id-government"}).Draw(t, "calendar")
	for i := range rapid.IntRange(0, 4).Draw(t, "stretches") {
		since := drawTime(t, "since", -40, 100)
		status := rapid.SampledFrom([]string{schemas.CoverageComplete, schemas.CoverageComplete, schemas.CoverageComplete, schemas.CoverageGap}).Draw(t, "status")
		w.coverage = append(w.coverage, &event.Coverage{
			Institution: w.institution, Connector: fmt.Sprint("c", rapid.IntRange(0, min(i, 2)).Draw(t, "connector")), Status: status,
			SinceMs: since.UnixMilli(), UntilMs: since.Add(time.Duration(rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 600), rapid.IntRange(50, 600), rapid.IntRange(100, 600)).Draw(t, "length")) * grid).UnixMilli(),
		})
	}
	count := rapid.IntRange(0, 60).Draw(t, "messages")
	for i := range count {
		e := drawMessage(t, w.institution, i, count)
		w.messages = append(w.messages, e)
		switch rapid.IntRange(0, 19).Draw(t, "further") {
		case 0, 1: // a deletion, as a record of its own that knows nothing else
			ms := drawDeletion(t, e)
			w.messages = append(w.messages, &event.Enriched{Message: &event.Message{
				Institution: w.institution, Platform: e.Message.Platform, MessageId: e.Message.MessageId, MessageKey: e.Message.MessageKey, CreatedAtMs: e.Message.CreatedAtMs,
				Kind: e.Message.Kind, Direction: e.Message.Direction, AuthorKey: e.Message.AuthorKey, DeletedAtMs: &ms,
				IngestedAtMs: ms + int64(rapid.IntRange(0, 3).Draw(t, "learned after"))*60_000,
			}})
		case 2: // another version: edited, and read by a newer model
			v := drawMessage(t, w.institution, i, count)
			v.Message.Platform, v.Message.MessageKey, v.Message.CreatedAtMs = e.Message.Platform, e.Message.MessageKey, e.Message.CreatedAtMs
			edited := e.Message.CreatedAtMs + 1000
			v.Message.EditedAtMs = &edited
			w.messages = append(w.messages, v)
		case 3: // the same text, read by a newer model
			v := proto.CloneOf(e)
			v.Enrichment.ModelSeq += 1
			v.Enrichment.NeedsReply = !v.Enrichment.NeedsReply
			w.messages = append(w.messages, v)
		case 4: // deleted, with what was known of it
			ms := drawDeletion(t, e)
			e.Message.DeletedAtMs = &ms
		}
	}
	for range rapid.IntRange(0, 6).Draw(t, "snapshots") {
		s := &event.AccountSnapshot{
			Institution: w.institution, Platform: schemas.PlatformX, Account: rapid.SampledFrom([]string{"kantor", "humas"}).Draw(t, "snapshot of"),
			ObservedAtMs: drawTime(t, "observed", -60, 100).UnixMilli(), Followers: drawCount(t, "followers"),
		}
		if !slices.ContainsFunc(w.snapshots, func(o *event.AccountSnapshot) bool { return o.Account == s.Account && o.ObservedAtMs == s.ObservedAtMs }) {
			w.snapshots = append(w.snapshots, s)
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "daily snapshots") == 0 {
		for n := range 30 {
			if followers := drawCount(t, "followers of the day"); followers != nil {
				w.snapshots = append(w.snapshots, &event.AccountSnapshot{
					Institution: w.institution, Platform: schemas.PlatformX, Account: "kantor", Followers: followers,
					ObservedAtMs: day0.AddDate(0, 0, n-26).Add(15*time.Hour + time.Second).UnixMilli(),
				})
			}
		}
	}
	drawRules(t, &w)
	order := rapid.Permutation(w.messages).Draw(t, "order")
	w.messages = order
	for i, e := range slices.Clone(order) {
		if i%7 == 0 {
			other := proto.CloneOf(e)
			other.Message.Institution = w.institution + "-neighbour"
			w.messages = append(w.messages, other)
		}
	}
	return w
}

// drawCount draws a count that a platform may lack.
func drawCount(t *rapid.T, label string) *int64 {
	if rapid.IntRange(0, 3).Draw(t, label+" given") == 0 {
		return nil
	}
	return new(int64(rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 5000)).Draw(t, label)))
}

// drawRules draws what people may set: thresholds and clocks of the institution's own, valid from some date, and events.
func drawRules(t *rapid.T, w *world) {
	date := func(label string) time.Time { return day0.AddDate(0, 0, rapid.IntRange(-20, 6).Draw(t, label)) }
	for range rapid.IntRange(0, 2).Draw(t, "settings") {
		name := rapid.SampledFrom([]string{
			"stage_one_way_reply_share", "stage_two_way_reply_share", "stage_two_way_answered_24h", "stage_administrative_template_share", "template_repeats",
			"crisis_factor", "risk_weight_1", "risk_weight_3", "risk_weight_5", "risk_least", "coordination_window_s", "bot_weight_young", "quality_least_labels", "growth_z", "anomaly_z", "anomaly_least", "anomaly_refractory_s",
			"bait_negative_share", "coordination_times", "handling_gap_s", "follow_up_s", "sentiment_least", "recurrence_s", "crisis_days", "evidence_days",
			"anomaly_weeks", "anomaly_beside_h", "anomaly_anscombe_days", "anomaly_poisson_days", "growth_days", "growth_least_days", "quality_expected_days", "quality_drift_days",
		}).Draw(t, "setting")
		s := reference.Setting{Institution: w.institution, Name: name, ValidFrom: date("valid from"), Value: rapid.SampledFrom([]float64{0.05, 0.25, 0.5, 1, 2}).Draw(t, "value")}
		if strings.HasSuffix(name, "_s") {
			s.Value *= 36 * 3600
		}
		if strings.HasSuffix(name, "_days") {
			s.Value *= 10
		}
		if !slices.ContainsFunc(w.settings, func(o reference.Setting) bool { return o.Name == s.Name && o.ValidFrom.Equal(s.ValidFrom) }) {
			w.settings = append(w.settings, s)
		}
	}
	if rapid.Bool().Draw(t, "a clock") {
		w.clocks = append(w.clocks, reference.ServiceClock{
			Institution: w.institution, Clock: rapid.SampledFrom([]string{"information", "complaint", "own"}).Draw(t, "clock"), ValidFrom: date("clock from"),
			Days: rapid.IntRange(0, 3).Draw(t, "clock days"), Unit: rapid.SampledFrom([]string{reference.UnitDays, reference.UnitWorkingDays}).Draw(t, "unit"),
			Tags: rapid.SampledFrom([][]string{{}, {"none"}, {"service_failure"}}).Draw(t, "tags"),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "events") {
		e := reference.InstitutionEvent{
			Kind: rapid.SampledFrom([]string{reference.EventCrisis, reference.EventChangeMade}).Draw(t, "event"),
			On:   day0.AddDate(0, 0, rapid.SampledFrom([]int{-400, -362, -20, 0, 2, 400}).Draw(t, "event on")),
		}
		if !slices.Contains(w.events, e) {
			w.events = append(w.events, e)
		}
	}
}

func drawDeletion(t *rapid.T, e *event.Enriched) int64 {
	return e.Message.CreatedAtMs + int64(rapid.IntRange(0, 120).Draw(t, "half hours"))*grid.Milliseconds()
}

func drawMessage(t *rapid.T, institution string, i, count int) *event.Enriched {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	chance := func(label string, percent int) bool { return rapid.IntRange(0, 99).Draw(t, label) < percent }
	id := func(label string) string { return fmt.Sprint("m", rapid.IntRange(0, count+1).Draw(t, label)) }

	outbound := chance("outbound", 35)
	author := pick("author", "u1", "u2", "u3", "u4")
	direction := schemas.Inbound
	if outbound {
		author, direction = pick("account", "A", "A", "A2"), schemas.Outbound
	}
	at := drawTime(t, "at", -30, 110)
	if chance("weeks before", 10) { // what anomalies are measured against
		at = at.AddDate(0, 0, -7*rapid.IntRange(1, 6).Draw(t, "weeks"))
	}
	platform := pick("platform", schemas.PlatformX, schemas.PlatformX, schemas.PlatformX, schemas.PlatformMastodon)
	m := &event.Message{
		Institution: institution, Platform: platform, MessageId: fmt.Sprint("m", i), MessageKey: messageKey(platform, fmt.Sprint("m", i)),
		AuthorKey: author, Direction: direction, CreatedAtMs: at.UnixMilli(),
		Kind:    pick("kind", schemas.KindReply, schemas.KindReply, schemas.KindReply, schemas.KindReply, schemas.KindComment, schemas.KindMention, schemas.KindPost, schemas.KindQuote, schemas.KindRepost),
		RootId:  pick("root", "", "m0", "m0", "m0", "m1", "m1", "m2"),
		Account: pick("of account", "kantor", "kantor", "humas"), IngestedAtMs: at.Add(rapid.SampledFrom([]time.Duration{0, time.Minute, 3 * time.Hour, 72 * time.Hour}).Draw(t, "lag")).UnixMilli(),
		Likes: drawCount(t, "likes"), Replies: drawCount(t, "reply count"), Shares: drawCount(t, "shares"), Views: drawCount(t, "views"),
		TextHash: rapid.SampledFrom([]uint64{0, 0, 1, 2, math.MaxUint64}).Draw(t, "text"), LinkHashes: rapid.SampledFrom([][]uint64{{}, {}, {7}, {7, 8}}).Draw(t, "links"),
		Connector: pick("delivered by", "c0", "c1", "archive:x"),
		IsAuto:    chance("auto", 8), MentionsAccount: chance("mentions the account", 25), FromAccountStream: chance("stream", 40),
	}
	if chance("has a parent", 80) {
		m.ParentId = id("parent")
		m.ParentIsAccount = rapid.SampledFrom([]event.Known{event.Known_KNOWN_UNSPECIFIED, event.Known_KNOWN_NO, event.Known_KNOWN_YES}).Draw(t, "parent is account")
		if chance("names the parent's author", 50) {
			m.ParentAuthorKey = pick("parent's author", "u1", "u2", "u3", "u4", "A", "stranger")
		}
	}
	if chance("mentions", 30) {
		m.MentionKeys = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"u1", "u2", "u3", "u4", "stranger"}), 1, 3, rapid.ID).Draw(t, "mentions")
	}
	if chance("followers", 70) {
		followers := int64(rapid.IntRange(0, 100000).Draw(t, "followers"))
		m.AuthorFollowers = &followers
	}
	if chance("account age", 50) {
		born := at.AddDate(0, 0, -rapid.SampledFrom([]int{1, 29, 30, 31, 900}).Draw(t, "age")).UnixMilli()
		m.AuthorCreatedAtMs = &born
	}
	n := &event.Enrichment{
		Sentiment:  pick("sentiment", schemas.Negative, schemas.Neutral, schemas.Positive, schemas.SentimentUnknown),
		NeedsReply: chance("needs reply", 70), RiskSeverity: uint32(rapid.IntRange(0, 5).Draw(t, "severity")), ModelSeq: 1,
		ModelVersion: pick("model", "1-a", "1-a", "2-b"),
		IsAuto:       outbound && chance("auto by its words", 8),
	}
	if n.Sentiment != schemas.SentimentUnknown {
		n.PNegative = float32(rapid.IntRange(0, 10).Draw(t, "p negative")) / 10
		n.PPositive = (1 - n.PNegative) / 2
		n.PNeutral = 1 - n.PNegative - n.PPositive
	}
	if outbound {
		n.ContentFunction = pick("function", "", "informative", "educative", "entertaining", "other")
	}
	for _, tag := range []string{"none", "service_failure", "non_response", "misconduct_corruption"} {
		if chance(tag, 20) {
			n.RiskTags = append(n.RiskTags, tag)
		}
		if chance("p "+tag, 60) {
			n.RiskP = append(n.RiskP, &event.TagProbability{Tag: tag, P: float32(rapid.IntRange(1, 100).Draw(t, "p")) / 100})
		}
	}
	if chance("bot", 30) {
		p := float32(rapid.IntRange(0, 100).Draw(t, "bot p")) / 100
		n.BotP = &p
	}
	return &event.Enriched{Message: m, Enrichment: n}
}
