package reference

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/shares"
)

// MessageCounts counts the rows of the view messages in a period.
type MessageCounts struct {
	N        int            `json:"n"`
	Inbound  int            `json:"inbound"`
	Outbound int            `json:"outbound"`
	ByKind   map[string]int `json:"by_kind"`
	// Authors counts the distinct authors of inbound messages.
	Authors int `json:"authors"`
	// Deleted counts the messages of the period that have facts but a tombstone as well, and so are absent from everything above.
	Deleted int `json:"deleted"`
}

// Messages counts the messages of a period.
func (r *Reading) Messages(from, to time.Time) MessageCounts {
	c := MessageCounts{ByKind: map[string]int{}}
	authors := map[string]bool{}
	for _, x := range r.rows {
		switch {
		case !within(x.CreatedAtMs, from, to):
			continue
		case x.deletedMs != nil:
			c.Deleted++
			continue
		case x.Direction == schemas.Outbound:
			c.Outbound++
		default:
			c.Inbound++
			authors[x.AuthorKey] = true
		}
		c.N++
		c.ByKind[x.Kind]++
	}
	c.Authors = len(authors)
	return c
}

// ReplyShare is the row of metric_reply_share (M1).
type ReplyShare struct {
	N           int      `json:"n"`
	Broadcasts  int      `json:"broadcasts"`
	Replies     int      `json:"replies"`
	AutoReplies int      `json:"auto_replies"`
	ReplyShare  *float64 `json:"reply_share"`
	AutoShare   *float64 `json:"auto_share"`
}

// ReplyShare is M1 over the messages of a period; n is B + R.
func (r *Reading) ReplyShare(from, to time.Time) ReplyShare {
	var s ReplyShare
	for _, x := range r.during(from, to) {
		switch x.side {
		case sideBroadcast:
			s.Broadcasts++
		case sideReply:
			s.Replies++
		case sideAutoReply:
			s.AutoReplies++
		}
	}
	s.N = s.Broadcasts + s.Replies
	s.ReplyShare = ratio(float64(s.Replies), float64(s.N))
	s.AutoShare = ratio(float64(s.AutoReplies), float64(s.Replies+s.AutoReplies))
	return s
}

// ResponseRate is the row of metric_response_rate (M2).
type ResponseRate struct {
	N        int      `json:"n"`
	Answered int      `json:"answered"`
	Rate     *float64 `json:"rate"`
	Lo       *float64 `json:"lo"`
	Hi       *float64 `json:"hi"`
}

// ErrWindow tells that a window or a step is not above 0.
var ErrWindow = errors.New("a window or a step has to be above 0")

// ResponseRate is M2: of the requests of a period that had the whole window, how many were answered within it. The error is ErrWindow.
func (r *Reading) ResponseRate(from, to time.Time, window time.Duration) (ResponseRate, error) {
	if window <= 0 {
		return ResponseRate{}, fmt.Errorf("response rate in %v: %w", window, ErrWindow)
	}
	now, ok := r.NowObs(from, to)
	if !ok {
		return ResponseRate{}, nil
	}
	return responseRate(r.RequestsBetween(from, to), now, window), nil
}

func responseRate(requests []Request, now time.Time, window time.Duration) ResponseRate {
	var s ResponseRate
	for _, q := range requests {
		if q.AskedAt.After(now.Add(-window)) || q.Outcome == OutcomeDeleted && q.WaitS <= window.Seconds() {
			continue
		}
		s.N++
		if q.Outcome == OutcomeReplied && q.WaitS <= window.Seconds() {
			s.Answered++
		}
	}
	s.Rate = ratio(float64(s.Answered), float64(s.N))
	s.Lo, s.Hi = wilson(s.Answered, s.N)
	return s
}

// Wait is the row of metric_wait (M2b, M4-M7), in seconds.
type Wait struct {
	N            int      `json:"n"`
	Replied      int      `json:"replied"`
	Deleted      int      `json:"deleted"`
	Open         int      `json:"open"`
	KMMedianS    *float64 `json:"km_median_s"`
	RMST7dS      *float64 `json:"rmst_7d_s"`
	Incidence1h  *float64 `json:"incidence_1h"`
	Incidence24h *float64 `json:"incidence_24h"`
	Incidence72h *float64 `json:"incidence_72h"`
	AnsweredP50S *float64 `json:"answered_p50_s"`
	AnsweredP90S *float64 `json:"answered_p90_s"`
	// The same for the requests that follow a reply (M7).
	FollowUpN         int      `json:"follow_up_n"`
	FollowUpReplied   int      `json:"follow_up_replied"`
	FollowUpKMMedianS *float64 `json:"follow_up_km_median_s"`
	FollowUpRMST7dS   *float64 `json:"follow_up_rmst_7d_s"`
	BusinessWait
}

// BusinessWait holds the twins of Wait in business time. All of it is nil without a calendar.
type BusinessWait struct {
	// BN counts the requests in the b_ figures; it leaves out those replied to in 0 business seconds (BOutOfHours) and those that the calendar
	// does not reach.
	BN            *int     `json:"b_n"`
	BOutOfHours   *int     `json:"b_out_of_hours"`
	BKMMedianS    *float64 `json:"b_km_median_s"`
	BRMST7dS      *float64 `json:"b_rmst_7d_s"`
	BIncidence1h  *float64 `json:"b_incidence_1h"`
	BIncidence24h *float64 `json:"b_incidence_24h"`
	BIncidence72h *float64 `json:"b_incidence_72h"`
	BAnsweredP50S *float64 `json:"b_answered_p50_s"`
	BAnsweredP90S *float64 `json:"b_answered_p90_s"`

	BFollowUpN         *int     `json:"b_follow_up_n"`
	BFollowUpKMMedianS *float64 `json:"b_follow_up_km_median_s"`
	BFollowUpRMST7dS   *float64 `json:"b_follow_up_rmst_7d_s"`
}

// Wait is M2b and M4-M7 over the requests of a period.
func (r *Reading) Wait(from, to time.Time) Wait {
	causes := map[string]cause{OutcomeReplied: replied, OutcomeDeleted: deleted, OutcomeOpen: censored}
	var s Wait
	var wall, business, followUps, businessFollowUps []observation
	outOfHours := 0
	for _, q := range r.RequestsBetween(from, to) {
		s.N++
		switch q.Outcome {
		case OutcomeReplied:
			s.Replied++
		case OutcomeDeleted:
			s.Deleted++
		case OutcomeOpen:
			s.Open++
		}
		wall = append(wall, observation{q.WaitS, causes[q.Outcome]})
		if q.followsReply {
			followUps = append(followUps, observation{q.WaitS, causes[q.Outcome]})
			if q.Outcome == OutcomeReplied {
				s.FollowUpReplied++
			}
		}
		switch {
		case q.BusinessWaitS == nil:
		case *q.BusinessWaitS == 0 && q.Outcome == OutcomeReplied:
			outOfHours++
		default:
			business = append(business, observation{*q.BusinessWaitS, causes[q.Outcome]})
			if q.followsReply {
				businessFollowUps = append(businessFollowUps, observation{*q.BusinessWaitS, causes[q.Outcome]})
			}
		}
	}
	s.FollowUpN = len(followUps)
	s.FollowUpKMMedianS, s.FollowUpRMST7dS = kaplanMeier(followUps)
	w := figuresOf(wall)
	s.KMMedianS, s.RMST7dS = w.median, w.restrictedMean
	s.Incidence1h, s.Incidence24h, s.Incidence72h = w.incidence1h, w.incidence24h, w.incidence72h
	s.AnsweredP50S, s.AnsweredP90S = w.p50, w.p90
	if r.business != nil {
		n := len(business)
		b := figuresOf(business)
		s.BusinessWait = BusinessWait{
			BN: &n, BOutOfHours: &outOfHours, BKMMedianS: b.median, BRMST7dS: b.restrictedMean,
			BIncidence1h: b.incidence1h, BIncidence24h: b.incidence24h, BIncidence72h: b.incidence72h,
			BAnsweredP50S: b.p50, BAnsweredP90S: b.p90,
		}
		followed := len(businessFollowUps)
		s.BFollowUpN = &followed
		s.BFollowUpKMMedianS, s.BFollowUpRMST7dS = kaplanMeier(businessFollowUps)
	}
	return s
}

type waitFigures struct {
	median, restrictedMean                  *float64
	incidence1h, incidence24h, incidence72h *float64
	p50, p90                                *float64
}

func figuresOf(observations []observation) waitFigures {
	var answered []float64
	for _, o := range observations {
		if o.cause == replied {
			answered = append(answered, o.seconds)
		}
	}
	var f waitFigures
	f.median, f.restrictedMean = kaplanMeier(observations)
	f.incidence1h = aalenJohansen(observations, 3600)
	f.incidence24h = aalenJohansen(observations, 24*3600)
	f.incidence72h = aalenJohansen(observations, 72*3600)
	f.p50, f.p90 = quantile(answered, 0.5), quantile(answered, 0.9)
	return f
}

// Asymmetry is the row of metric_asymmetry (M3, M9, M10, M11, M13).
type Asymmetry struct {
	N               int      `json:"n"`
	Inbound         int      `json:"inbound"`
	Replies         int      `json:"replies"`
	Asymmetry       *float64 `json:"asymmetry"`
	Reciprocity     *float64 `json:"reciprocity"`
	Targeting       *float64 `json:"targeting"`
	Authors         int      `json:"authors"`
	AuthorsAnswered int      `json:"authors_answered"`
	AuthorCoverage  *float64 `json:"author_coverage"`
	ReplyGini       *float64 `json:"reply_gini"`
	ReplyTop1Share  *float64 `json:"reply_top1_share"`
}

// Asymmetry is M3, M9, M10, M11 and M13 over the messages of a period; n is I + R.
func (r *Reading) Asymmetry(from, to time.Time) Asymmetry { return asymmetry(r.during(from, to)) }

func asymmetry(rows []*row) Asymmetry {
	var s Asymmetry
	in, out := map[string]int{}, map[string]int{}
	for _, x := range rows {
		switch x.side {
		case sideAddressed:
			s.Inbound++
			in[x.AuthorKey]++
		case sideReply:
			s.Replies++
			for _, author := range x.addresses {
				out[author]++
			}
		}
	}
	matched := 0
	var perAuthor []int
	for author, n := range in {
		matched += min(n, out[author])
		perAuthor = append(perAuthor, out[author])
		if out[author] > 0 {
			s.AuthorsAnswered++
		}
	}
	i, o := float64(s.Inbound), float64(s.Replies)
	s.N = s.Inbound + s.Replies
	s.Authors = len(in)
	s.Asymmetry = ratio(i-o, i+o)
	s.Reciprocity = ratio(2*float64(matched), i+o)
	s.Targeting = ratio(float64(matched), min(i, o))
	s.AuthorCoverage = ratio(float64(s.AuthorsAnswered), float64(s.Authors))
	s.ReplyGini = gini(perAuthor)
	slices.Sort(perAuthor)
	slices.Reverse(perAuthor)
	top, all := 0, 0
	for i, out := range perAuthor {
		all += out
		if i*100 < len(perAuthor) { // the first hundredth, rounded up
			top += out
		}
	}
	s.ReplyTop1Share = ratio(float64(top), float64(all))
	return s
}

// Dialogue is the row of metric_dialogue (M12).
type Dialogue struct {
	N        int      `json:"n"`
	Threads  int      `json:"threads"`
	Looped   int      `json:"looped"`
	LoopRate *float64 `json:"loop_rate"`
	DepthP50 *float64 `json:"depth_p50"`
	DepthP90 *float64 `json:"depth_p90"`
}

// Dialogue is M12 over the messages of a period; n is the threads in which somebody wrote and was then addressed by an R. Depth counts the
// turns of such a thread: runs of messages of one side, I_addr or R.
func (r *Reading) Dialogue(from, to time.Time) Dialogue {
	threads := map[thread][]*row{}
	for _, x := range r.during(from, to) {
		if x.side == sideAddressed || x.side == sideReply {
			threads[x.thread] = append(threads[x.thread], x)
		}
	}
	var s Dialogue
	var depths []float64
	for _, rows := range threads {
		answered, looped, turns := false, false, 0
		for n, x := range rows {
			if n == 0 || rows[n-1].side != x.side {
				turns++
			}
			if x.side != sideReply {
				continue
			}
			for _, author := range x.addresses {
				by := func(y *row) bool { return y.side == sideAddressed && y.AuthorKey == author }
				if !slices.ContainsFunc(rows, func(y *row) bool { return by(y) && y.CreatedAtMs <= x.CreatedAtMs }) {
					continue
				}
				answered = true
				looped = looped || slices.ContainsFunc(rows, func(y *row) bool { return by(y) && y.CreatedAtMs > x.CreatedAtMs })
			}
		}
		if !answered {
			continue
		}
		s.Threads++
		if looped {
			s.Looped++
		}
		depths = append(depths, float64(turns))
	}
	s.N = s.Threads
	s.LoopRate = ratio(float64(s.Looped), float64(s.Threads))
	s.DepthP50, s.DepthP90 = quantile(depths, 0.5), quantile(depths, 0.9)
	return s
}

// Sentiment is the row of metric_sentiment (M16).
type Sentiment struct {
	N           int      `json:"n"`
	RawNegative *float64 `json:"raw_negative"`
	RawNeutral  *float64 `json:"raw_neutral"`
	RawPositive *float64 `json:"raw_positive"`
	// The corrected shares are nil where Calibrated is false.
	Negative *float64 `json:"negative"`
	Neutral  *float64 `json:"neutral"`
	Positive *float64 `json:"positive"`
	Net      *float64 `json:"net"`
	NetLo    *float64 `json:"net_lo"`
	NetHi    *float64 `json:"net_hi"`
	// Calibrated tells that every model version in the period was measured on the stream, and n is large enough.
	Calibrated bool `json:"calibrated"`
	// ModelVersions are those of the answers that were counted, in order.
	ModelVersions []string `json:"model_versions"`
}

// Sentiment is M16 over the labelled I_addr of a period.
func (r *Reading) Sentiment(from, to time.Time) Sentiment {
	labelled := map[string]int{}
	byVersion := map[string][]float64{}
	s := Sentiment{ModelVersions: []string{}}
	for _, x := range r.during(from, to) {
		label := x.labels.GetSentiment()
		if at := slices.Index([]string{schemas.Negative, schemas.Neutral, schemas.Positive}, label); x.side == sideAddressed && at >= 0 {
			labelled[label]++
			s.N++
			if byVersion[x.labels.GetModelVersion()] == nil {
				byVersion[x.labels.GetModelVersion()] = make([]float64, 3)
			}
			byVersion[x.labels.GetModelVersion()][at]++
		}
	}
	s.ModelVersions = append(s.ModelVersions, slices.Sorted(maps.Keys(byVersion))...)
	n := float64(s.N)
	s.RawNegative = ratio(float64(labelled[schemas.Negative]), n)
	s.RawNeutral = ratio(float64(labelled[schemas.Neutral]), n)
	s.RawPositive = ratio(float64(labelled[schemas.Positive]), n)
	if n < r.setting("sentiment_least", from) {
		return s
	}
	p, q := *s.RawPositive, *s.RawNegative
	net := p - q
	margin := z95 * math.Sqrt((p+q-net*net)/n)
	lo, hi := max(-1, net-margin), min(1, net+margin)
	s.Net, s.NetLo, s.NetHi = &net, &lo, &hi
	r.correct(&s, byVersion)
	return s
}

// correct puts corrected shares and their net into s, if each version's confusion is known.
func (r *Reading) correct(s *Sentiment, byVersion map[string][]float64) {
	var parts []shares.Counted
	for _, v := range s.ModelVersions {
		matrix := r.confusion(headSentiment, v).Among(schemas.Negative, schemas.Neutral, schemas.Positive)
		if !matrix.Usable() {
			return
		}
		parts = append(parts, shares.Counted{Counts: byVersion[v], Matrix: matrix})
	}
	a := shares.Adjust(parts)
	netOf := func(share []float64) float64 { return share[2] - share[0] }
	net := netOf(a.Shares)
	lo, hi := a.Interval(netOf)
	s.Negative, s.Neutral, s.Positive, s.Net, s.NetLo, s.NetHi = &a.Shares[0], &a.Shares[1], &a.Shares[2], &net, &lo, &hi
	s.Calibrated = true
}

// The heads whose shares are corrected, as enrich names them.
const (
	headSentiment = "sentiment"
	headRiskTag   = "risk_tag"
)

// confusion is that of a head and model version on the institution's stream; without labels there is nothing in it.
func (r *Reading) confusion(head, version string) *shares.Confusion {
	for _, c := range r.confusions {
		if c.Institution == r.institution && c.Head == head && c.ModelVersion == version {
			return c
		}
	}
	return &shares.Confusion{}
}

// RiskRow is a row of metric_risk (M18).
type RiskRow struct {
	RiskTag     string  `json:"risk_tag"`
	N           int     `json:"n"`
	SeverityMax int     `json:"severity_max"`
	Load        float64 `json:"load"`
	Authors     int     `json:"authors"`
	// CrisisFactor is what a crisis of the last year has made of the load, else 1.
	CrisisFactor float64 `json:"crisis_factor"`
	// Messages is |I_addr|, of which Primary have the tag as their first.
	Messages int     `json:"messages"`
	Primary  int     `json:"primary"`
	RawShare float64 `json:"raw_share"`
	// Share is corrected where Calibrated is true, else raw; nil where Messages are few.
	Share   *float64 `json:"share"`
	ShareLo *float64 `json:"share_lo"`
	ShareHi *float64 `json:"share_hi"`
	// Calibrated tells that every model version in the period was measured on the stream with labels of this tag.
	Calibrated bool `json:"calibrated"`
	// ModelVersions labelled the Messages, in order.
	ModelVersions []string `json:"model_versions"`
}

// named are model versions in order, without that of messages which none has labelled.
func named(versions iter.Seq[string]) []string {
	return append([]string{}, slices.DeleteFunc(slices.Sorted(versions), func(v string) bool { return v == "" })...)
}

// noRisk is the tag of a message that carries none.
const noRisk = "none"

// greatestSeverity is the last of the severities, which begin at 0.
const greatestSeverity = 5

// Risk is M18 over the I_addr of a period: a row for each tag that some message carries, by load and then by tag.
func (r *Reading) Risk(from, to time.Time) []RiskRow {
	factor := r.crisisFactor(from, to)
	byTag := map[string]*RiskRow{}
	authors := map[string]map[string]bool{}
	first := map[string][]string{} // by model version, the first tag of each message
	for _, x := range r.during(from, to) {
		if x.side == sideAddressed {
			tag := ""
			if tags := x.tags(); len(tags) > 0 {
				tag = tags[0]
			}
			first[x.labels.GetModelVersion()] = append(first[x.labels.GetModelVersion()], tag)
		}
		for tag, load := range r.riskLoads(x, from) {
			if byTag[tag] == nil {
				byTag[tag] = &RiskRow{RiskTag: tag, CrisisFactor: factor}
				authors[tag] = map[string]bool{}
			}
			row := byTag[tag]
			row.N++
			row.SeverityMax = max(row.SeverityMax, int(x.labels.GetRiskSeverity()))
			row.Load += load * factor
			authors[tag][x.AuthorKey] = true
			row.Authors = len(authors[tag])
		}
	}
	var rows []RiskRow
	for _, row := range byTag {
		row.ModelVersions = named(maps.Keys(first))
		r.putShare(row, first, from)
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b RiskRow) int { return cmp.Or(cmp.Compare(b.Load, a.Load), cmp.Compare(a.RiskTag, b.RiskTag)) })
	return rows
}

// putShare puts the share of a tag as the first of a message into its row, corrected if each version's confusion is known.
func (r *Reading) putShare(row *RiskRow, first map[string][]string, from time.Time) {
	var parts []shares.Counted
	usable := true
	for _, v := range slices.Sorted(maps.Keys(first)) {
		counts := make([]float64, 2)
		for _, tag := range first[v] {
			row.Messages++
			if tag == row.RiskTag {
				row.Primary++
				counts[0]++
			} else {
				counts[1]++
			}
		}
		matrix := r.confusion(headRiskTag, v).Against(row.RiskTag)
		usable = usable && matrix.Usable()
		parts = append(parts, shares.Counted{Counts: counts, Matrix: matrix})
	}
	row.RawShare = float64(row.Primary) / float64(row.Messages)
	if float64(row.Messages) < r.setting("risk_least", from) {
		return
	}
	if !usable {
		raw := row.RawShare
		row.Share = &raw
		row.ShareLo, row.ShareHi = wilson(row.Primary, row.Messages)
		return
	}
	a := shares.Adjust(parts)
	lo, hi := a.Interval(func(share []float64) float64 { return share[0] })
	row.Share, row.ShareLo, row.ShareHi, row.Calibrated = &a.Shares[0], &lo, &hi, true
}

// crisisFactor multiplies the loads of an institution that had a crisis in the crisis_days before the period's end.
func (r *Reading) crisisFactor(from, to time.Time) float64 {
	if r.happened(EventCrisis, to, r.setting("crisis_days", from)) {
		return r.setting("crisis_factor", from)
	}
	return 1
}

// riskLoads gives the load of each tag that the message carries in a period that begins at from; empty unless it is I_addr. A tag without a probability loads 0.
func (r *Reading) riskLoads(x *row, from time.Time) map[string]float64 {
	loads := map[string]float64{}
	if x.side != sideAddressed {
		return loads
	}
	weight := r.setting(fmt.Sprint("risk_weight_", min(int(x.labels.GetRiskSeverity()), greatestSeverity)), from)
	for _, tag := range x.tags() {
		loads[tag] = 0
		for _, p := range x.labels.GetRiskP() {
			if p.Tag == tag {
				loads[tag] = weight * float64(p.P) * (1 - float64(x.labels.GetBotP())) * math.Log2(2+float64(x.GetAuthorFollowers()))
			}
		}
	}
	return loads
}

// SeriesRow is a row of series_engagement.
type SeriesRow struct {
	// Bucket is the bucket's start, which may lie before the period's.
	Bucket        time.Time `json:"bucket"`
	N             int       `json:"n"`
	Inbound       int       `json:"inbound"`
	Replies       int       `json:"replies"`
	Asymmetry     *float64  `json:"asymmetry"`
	Reciprocity   *float64  `json:"reciprocity"`
	Answered24h   *float64  `json:"answered_24h"`
	NegativeShare *float64  `json:"negative_share"`
	RiskLoad      *float64  `json:"risk_load"`
}

// Series gives a row for each bucket of the period that has messages or meets a complete stretch of coverage, in order of time. Buckets count
// from local midnight of 1 January 1970. What a row holds is that of the bucket's part of the period, as of the whole period's now_obs. The
// step is whole seconds; the error is ErrWindow.
func (r *Reading) Series(from, to time.Time, bucketStep time.Duration) ([]SeriesRow, error) {
	if bucketStep < time.Second {
		return nil, fmt.Errorf("series by %v: %w", bucketStep, ErrWindow)
	}
	stepMs := bucketStep.Milliseconds()
	bucketOf := func(ms int64) int64 {
		local := ms + r.offsetMs // never before 1970 for a message
		return local - local%stepMs - r.offsetMs
	}
	if !from.Before(to) {
		return nil, nil
	}
	rows := map[int64][]*row{}
	for _, x := range r.during(from, to) {
		rows[bucketOf(x.CreatedAtMs)] = append(rows[bucketOf(x.CreatedAtMs)], x)
	}
	for _, c := range r.coverage {
		if c.Status != schemas.CoverageComplete {
			continue
		}
		// A bucket has to meet the stretch and to meet the period; the two need not meet within it.
		first, last := max(bucketOf(c.SinceMs), bucketOf(from.UnixMilli())), min(c.UntilMs, to.UnixMilli())
		for bucket := first; bucket < last; bucket += stepMs {
			if rows[bucket] == nil {
				rows[bucket] = []*row{}
			}
		}
	}
	requests := map[int64][]Request{}
	now, _ := r.NowObs(from, to)
	for _, q := range r.RequestsBetween(from, to) {
		bucket := bucketOf(q.AskedAt.UnixMilli())
		requests[bucket] = append(requests[bucket], q)
	}
	factor := r.crisisFactor(from, to)
	var series []SeriesRow
	for _, bucket := range slices.Sorted(maps.Keys(rows)) {
		a := asymmetry(rows[bucket])
		s := SeriesRow{
			Bucket: time.UnixMilli(bucket).UTC(), N: a.N, Inbound: a.Inbound, Replies: a.Replies, Asymmetry: a.Asymmetry, Reciprocity: a.Reciprocity,
			Answered24h: responseRate(requests[bucket], now, 24*time.Hour).Rate,
		}
		labelled, negative, load := 0, 0, 0.0
		for _, x := range rows[bucket] {
			if x.side != sideAddressed {
				continue
			}
			switch x.labels.GetSentiment() {
			case schemas.Negative:
				negative++
				labelled++
			case schemas.Neutral, schemas.Positive:
				labelled++
			}
			for _, l := range r.riskLoads(x, from) {
				load += l * factor
			}
		}
		s.NegativeShare = ratio(float64(negative), float64(labelled))
		if s.Inbound > 0 {
			s.RiskLoad = &load
		}
		series = append(series, s)
	}
	return series, nil
}
