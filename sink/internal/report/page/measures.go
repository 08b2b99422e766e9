package page

import (
	"github.com/dwiarah/dwiarah/sink/internal/report/figures"
)

// unit says how a measure is written.
type unit string

const (
	share          unit = "share"           // 0 to 1
	seconds        unit = "seconds"         // by the clock on the wall
	workingSeconds unit = "working_seconds" // by one that runs in working hours only
	index          unit = "index"           // a number without a unit
	count          unit = "count"
	turns          unit = "turns" // of a conversation
)

// measure is one figure of a report under its stable name, which is the row's name in the CSV file.
type measure struct {
	key    string
	group  string
	unit   unit
	value  *float64
	lo, hi *float64 // 95 % interval, where the metric has one
	n      *float64 // what the figure is over, where that is not the measure itself
	reason string   // key of the words that say why value is nil
	aside  bool     // only ever read beside another measure
}

const (
	groupAnswered = "answered"
	groupWait     = "wait"
	groupTwoWay   = "two_way"
	groupTone     = "tone"
)

func groups() []string { return []string{groupAnswered, groupWait, groupTwoWay, groupTone} }

// Reasons for a figure to be undefined, as keys of the words.
const (
	whyNoCoverage  = "why_no_coverage"
	whyFewAuthors  = "why_few_authors"
	whyNoRequests  = "why_no_requests"
	whyNoMatured   = "why_no_matured"
	whyNotReached  = "why_not_reached"
	whyNoAnswers   = "why_no_answers"
	whyNoCalendar  = "why_no_calendar"
	whyNoMessages  = "why_no_messages"
	whyNoReplies   = "why_no_replies"
	whyNoOutbound  = "why_no_outbound"
	whyNoThreads   = "why_no_threads"
	whyFewMessages = "why_few_messages"
	// The page leaves these rows out, where no period has them.
	whyUncalibrated = "why_uncalibrated"

	// In the table of days, where there is little room.
	whyNotRead      = "why_not_read"
	whyFewAuthorsOn = "why_few_authors_day"
	whyNoMaturedOn  = "why_no_requests_day"
)

// measures lists the figures in the order in which they are read. Every nil value has a reason.
func measures(f *figures.Figures) []measure {
	var list []measure
	add := func(m measure, otherwise string) {
		m.reason = ""
		if hidden := hiddenReason(f, m); hidden != "" {
			m.value, m.lo, m.hi, m.n, m.reason = nil, nil, nil, nil, hidden
		} else if m.value == nil {
			m.reason = otherwise
		}
		list = append(list, m)
	}
	whole := func(n uint64) *float64 { x := float64(n); return &x }
	maybe := func(n *uint64) *float64 {
		if n == nil {
			return nil
		}
		return whole(*n)
	}

	w := &f.Wait
	add(measure{key: "requests", group: groupAnswered, unit: count, value: whole(w.N)}, "")
	for _, r := range []struct {
		key  string
		rate figures.Rate
	}{{"response_rate_1h", f.Rate1h}, {"response_rate_24h", f.Rate24h}, {"response_rate_72h", f.Rate72h}} {
		add(measure{key: r.key, group: groupAnswered, unit: share, value: r.rate.Rate, lo: r.rate.Lo, hi: r.rate.Hi, n: whole(r.rate.N)}, whyNoMatured)
	}
	add(measure{key: "incidence_1h", group: groupAnswered, unit: share, value: w.Incidence1h, n: whole(w.N)}, whyNoRequests)
	add(measure{key: "incidence_24h", group: groupAnswered, unit: share, value: w.Incidence24h, n: whole(w.N)}, whyNoRequests)
	add(measure{key: "incidence_72h", group: groupAnswered, unit: share, value: w.Incidence72h, n: whole(w.N)}, whyNoRequests)
	add(measure{key: "replied", group: groupAnswered, unit: count, value: whole(w.Replied)}, "")
	add(measure{key: "open", group: groupAnswered, unit: count, value: whole(w.Open)}, "")
	add(measure{key: "deleted", group: groupAnswered, unit: count, value: whole(w.Deleted)}, "")

	median := whyNotReached
	if w.N == 0 {
		median = whyNoRequests
	}
	add(measure{key: "km_median_s", group: groupWait, unit: seconds, value: w.KMMedianS, n: whole(w.N)}, median)
	add(measure{key: "rmst_7d_s", group: groupWait, unit: seconds, value: w.RMST7dS, n: whole(w.N)}, whyNoRequests)
	business, businessMedian := whyNoRequests, whyNotReached
	switch {
	case f.Institution.Calendar == "" || w.BN == nil:
		business, businessMedian = whyNoCalendar, whyNoCalendar
	case *w.BN == 0:
		businessMedian = whyNoRequests
	}
	add(measure{key: "b_km_median_s", group: groupWait, unit: workingSeconds, value: w.BKMMedianS, n: maybe(w.BN)}, businessMedian)
	add(measure{key: "b_rmst_7d_s", group: groupWait, unit: workingSeconds, value: w.BRMST7dS, n: maybe(w.BN)}, business)
	add(measure{key: "b_out_of_hours", group: groupWait, unit: count, value: maybe(w.BOutOfHours)}, business)
	add(measure{key: "answered_p50_s", group: groupWait, unit: seconds, value: w.AnsweredP50S, n: whole(w.Replied), aside: true}, whyNoAnswers)
	add(measure{key: "answered_p90_s", group: groupWait, unit: seconds, value: w.AnsweredP90S, n: whole(w.Replied), aside: true}, whyNoAnswers)

	a := &f.Asymmetry
	add(measure{key: "inbound", group: groupTwoWay, unit: count, value: whole(a.Inbound)}, "")
	add(measure{key: "replies", group: groupTwoWay, unit: count, value: whole(a.Replies)}, "")
	add(measure{key: "asymmetry", group: groupTwoWay, unit: index, value: a.Asymmetry, n: whole(a.N)}, whyNoMessages)
	add(measure{key: "reciprocity", group: groupTwoWay, unit: index, value: a.Reciprocity, n: whole(a.N)}, whyNoMessages)
	targeting := whyNoReplies
	if a.Inbound == 0 {
		targeting = whyNoMessages
	}
	add(measure{key: "targeting", group: groupTwoWay, unit: index, value: a.Targeting, n: whole(a.N)}, targeting)
	add(measure{key: "author_coverage", group: groupTwoWay, unit: share, value: a.AuthorCoverage, n: whole(a.Authors)}, whyNoMessages)
	add(measure{key: "reply_gini", group: groupTwoWay, unit: index, value: a.ReplyGini, n: whole(a.Authors)}, targeting)
	d := &f.Dialogue
	add(measure{key: "loop_rate", group: groupTwoWay, unit: share, value: d.LoopRate, n: whole(d.Threads)}, whyNoThreads)
	add(measure{key: "depth_p50", group: groupTwoWay, unit: turns, value: d.DepthP50, n: whole(d.Threads)}, whyNoThreads)
	add(measure{key: "depth_p90", group: groupTwoWay, unit: turns, value: d.DepthP90, n: whole(d.Threads)}, whyNoThreads)
	s := &f.ReplyShare
	add(measure{key: "broadcasts", group: groupTwoWay, unit: count, value: whole(s.Broadcasts)}, "")
	add(measure{key: "reply_share", group: groupTwoWay, unit: share, value: s.ReplyShare, n: whole(s.N)}, whyNoOutbound)
	add(measure{key: "auto_share", group: groupTwoWay, unit: share, value: s.AutoShare, n: whole(s.Replies + s.AutoReplies)}, whyNoReplies)

	t := &f.Sentiment
	add(measure{key: "raw_negative", group: groupTone, unit: share, value: t.RawNegative, n: whole(t.N)}, whyNoMessages)
	add(measure{key: "raw_neutral", group: groupTone, unit: share, value: t.RawNeutral, n: whole(t.N)}, whyNoMessages)
	add(measure{key: "raw_positive", group: groupTone, unit: share, value: t.RawPositive, n: whole(t.N)}, whyNoMessages)
	for _, corrected := range []struct {
		key   string
		value *float64
	}{{"negative", t.Negative}, {"neutral", t.Neutral}, {"positive", t.Positive}} {
		add(measure{key: corrected.key, group: groupTone, unit: share, value: corrected.value, n: whole(t.N)}, whyUncalibrated)
	}
	net := whyFewMessages
	if t.N == 0 {
		net = whyNoMessages
	}
	add(measure{key: "net_sentiment", group: groupTone, unit: index, value: t.Net, lo: t.NetLo, hi: t.NetHi, n: whole(t.N)}, net)
	return list
}

// ownBehaviour are the measures of what the institution itself published; they are about no member of the public.
var ownBehaviour = map[string]bool{"broadcasts": true, "reply_share": true, "auto_share": true}

// hiddenReason tells why a figure may not be shown although it may exist: nothing was read, or it is about too few people.
func hiddenReason(f *figures.Figures, m measure) string {
	if f.Quality.NowObs() == nil {
		return whyNoCoverage
	}
	authors, any := f.Asymmetry.Authors, f.Asymmetry.Inbound > 0
	if m.group == groupAnswered || m.group == groupWait {
		authors, any = f.Quality.Requesters, f.Wait.N > 0
	}
	if any && authors < figures.MinAuthors && !ownBehaviour[m.key] {
		return whyFewAuthors
	}
	return ""
}
