package reference

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
)

// SentimentShift is the row of metric_sentiment_shift (M17).
type SentimentShift struct {
	N          int      `json:"n"`
	NControl   int      `json:"n_control"`
	Shift      *float64 `json:"shift"`
	Control    *float64 `json:"control"`
	Effect     *float64 `json:"effect"`
	NUnmatched int      `json:"n_unmatched"`
}

// tone is p_positive - p_negative; ok is false where the classifier gave no answer.
func (x *row) tone() (tone float64, ok bool) {
	if label := x.labels.GetSentiment(); label == "" || label == schemas.SentimentUnknown {
		return 0, false
	}
	return float64(x.labels.PPositive) - float64(x.labels.PNegative), true
}

// SentimentShift is M17 over the requests of a period.
func (r *Reading) SentimentShift(from, to time.Time) SentimentShift {
	type stratum struct {
		label, tag string
		quarter    int
	}
	treated, others := map[stratum][]float64{}, map[stratum][]float64{}
	for _, q := range r.RequestsBetween(from, to) {
		before, ok := q.message.tone()
		if !ok || q.message.deletedMs != nil || q.Outcome == OutcomeDeleted {
			continue
		}
		since := q.AskedAt
		if q.Outcome == OutcomeReplied {
			since = *q.AnsweredAt
		}
		next := r.nextOf(q.message, since)
		if next == nil || float64(next.CreatedAtMs-since.UnixMilli()) > 1000*r.setting("shift_window_s", from) {
			continue
		}
		after, ok := next.tone()
		if !ok {
			continue
		}
		s := stratum{label: q.message.labels.GetSentiment(), quarter: q.AskedAt.Add(time.Duration(r.offsetMs)*time.Millisecond).Hour() / 6}
		if tags := q.message.tags(); len(tags) > 0 {
			s.tag = tags[0]
		}
		if q.Outcome == OutcomeReplied {
			treated[s] = append(treated[s], after-before)
		} else {
			others[s] = append(others[s], after-before)
		}
	}
	var out SentimentShift
	var shift, control float64
	for s, changes := range treated {
		usual := mean(others[s])
		if usual == nil {
			out.NUnmatched += len(changes)
			continue
		}
		out.N += len(changes)
		out.NControl += len(others[s])
		for _, c := range changes {
			shift += c
			control += *usual
		}
	}
	out.Shift, out.Control, out.Effect = ratio(shift, float64(out.N)), ratio(control, float64(out.N)), ratio(shift-control, float64(out.N))
	return out
}

// nextOf is the author's first standing message in I_addr on the platform after an instant.
func (r *Reading) nextOf(x *row, since time.Time) *row {
	for _, y := range r.rows {
		if y.side == sideAddressed && y.deletedMs == nil && y.Platform == x.Platform && y.AuthorKey == x.AuthorKey && y.CreatedAtMs > since.UnixMilli() {
			return y
		}
	}
	return nil
}

// Quality is the row of metric_quality (M25).
type Quality struct {
	Coverage          *float64 `json:"coverage"`
	CoverageWorst     *float64 `json:"coverage_worst"`
	Connectors        int      `json:"connectors"`
	GreyedOut         bool     `json:"greyed_out"`
	LagP95S           *float64 `json:"lag_p95_s"`
	DuplicateShare    *float64 `json:"duplicate_share"`
	DeleteLatencyP99S *float64 `json:"delete_latency_p99_s"`
	DriftPSI          *float64 `json:"drift_psi"`
	N                 int      `json:"n"`
	// ModelVersions labelled the standing messages, in order.
	ModelVersions []string `json:"model_versions"`
}

// Quality is M25 of a period that is over.
func (r *Reading) Quality(from, to time.Time) Quality {
	var q Quality
	length := float64(to.Sub(from).Milliseconds())
	covered := map[string]float64{}
	heardOf := from.AddDate(0, 0, -r.whole("quality_expected_days", from, 0))
	for _, c := range r.coverage {
		if c.SinceMs < to.UnixMilli() && c.UntilMs > heardOf.UnixMilli() {
			covered[c.Connector] = r.coveredMs(c.Connector, from, to)
		}
	}
	q.Connectors = len(covered)
	if length > 0 && len(covered) > 0 {
		sum, least := 0.0, math.Inf(1)
		for _, ms := range covered {
			sum += ms
			least = min(least, ms)
		}
		q.Coverage, q.CoverageWorst = ratio(sum, float64(len(covered))*length), ratio(least, length)
	}
	q.GreyedOut = q.Coverage == nil || *q.Coverage < r.setting("quality_least_coverage", from)

	var lags []float64
	hashed := 0
	type text struct {
		author string
		hash   uint64
	}
	texts := map[text]bool{}
	versions := map[string]bool{}
	for _, x := range r.during(from, to) {
		q.N++
		versions[x.labels.GetModelVersion()] = true
		if !strings.HasPrefix(x.Connector, "archive:") {
			lags = append(lags, float64(x.IngestedAtMs-x.CreatedAtMs)/1000)
		}
		if x.side == sideAddressed && x.TextHash != 0 {
			hashed++
			texts[text{x.AuthorKey, x.TextHash}] = true
		}
	}
	q.ModelVersions = named(maps.Keys(versions))
	q.LagP95S = quantile(lags, 0.95)
	q.DuplicateShare = ratio(float64(hashed-len(texts)), float64(hashed))

	var latencies []float64
	for _, d := range r.deletions {
		if within(d.deletedMs, from, to) {
			latencies = append(latencies, float64(d.learnedMs-d.deletedMs)/1000)
		}
	}
	q.DeleteLatencyP99S = quantile(latencies, 0.99)
	q.DriftPSI = psi(r.labelCounts(from, to), r.labelCounts(from.AddDate(0, 0, -r.whole("quality_drift_days", from, 0)), from), r.setting("quality_least_labels", from))
	return q
}

// coveredMs is the length of what a connector's complete stretches cover of a period, overlaps once.
func (r *Reading) coveredMs(connector string, from, to time.Time) float64 {
	type stretch struct{ since, until int64 }
	var stretches []stretch
	for _, c := range r.coverage {
		if c.Connector == connector && c.Status == schemas.CoverageComplete && c.SinceMs < to.UnixMilli() {
			stretches = append(stretches, stretch{max(c.SinceMs, from.UnixMilli()), min(c.UntilMs, to.UnixMilli())})
		}
	}
	slices.SortFunc(stretches, func(a, b stretch) int { return cmp.Compare(a.since, b.since) })
	covered, end := int64(0), from.UnixMilli()
	for _, s := range stretches {
		if s.until > end {
			covered += s.until - max(s.since, end)
			end = s.until
		}
	}
	return float64(covered)
}

// labelCounts counts the labels negative, neutral and positive of I_addr.
func (r *Reading) labelCounts(from, to time.Time) (counts [3]float64) {
	for _, x := range r.during(from, to) {
		if i := slices.Index([]string{schemas.Negative, schemas.Neutral, schemas.Positive}, x.labels.GetSentiment()); i >= 0 && x.side == sideAddressed {
			counts[i]++
		}
	}
	return counts
}

// psi is the population stability index of two counts, half a message added to each; nil where either has fewer than the least.
func psi(a, b [3]float64, least float64) *float64 {
	na, nb := a[0]+a[1]+a[2], b[0]+b[1]+b[2]
	if na < least || nb < least {
		return nil
	}
	sum := 0.0
	for i := range a {
		p, q := (a[i]+0.5)/(na+1.5), (b[i]+0.5)/(nb+1.5)
		sum += (p - q) * math.Log(p/q)
	}
	return &sum
}

// BaitRow is a row of metric_bait (M23).
type BaitRow struct {
	Platform        string    `json:"platform"`
	MessageID       string    `json:"message_id"`
	Account         string    `json:"account"`
	CreatedAt       time.Time `json:"created_at"`
	ContentFunction string    `json:"content_function"`
	Likes           int64     `json:"likes"`
	Replies         int64     `json:"replies"`
	ReplyRatio      float64   `json:"reply_ratio"`
	NegativeShare   float64   `json:"negative_share"`
	N               int       `json:"n"`
}

// Bait is M23: the B of a period that bait, by time.
func (r *Reading) Bait(from, to time.Time) []BaitRow {
	var rows []BaitRow
	for _, post := range r.during(from, to) {
		function := post.labels.GetContentFunction()
		if post.side != sideBroadcast || post.Likes == nil || function != "entertaining" && function != "other" {
			continue
		}
		b := BaitRow{Platform: post.Platform, MessageID: post.MessageId, Account: post.Account, CreatedAt: time.UnixMilli(post.CreatedAtMs).UTC(), ContentFunction: function, Likes: *post.Likes}
		negative := 0
		for _, x := range r.rows {
			if x.side != sideAddressed || x.deletedMs != nil || x.thread != (thread{post.Platform, post.MessageId}) || x.CreatedAtMs < from.UnixMilli() {
				continue
			}
			b.Replies++
			switch x.labels.GetSentiment() {
			case schemas.Negative:
				negative++
				b.N++
			case schemas.Neutral, schemas.Positive:
				b.N++
			}
		}
		if post.Replies != nil {
			b.Replies = *post.Replies
		}
		if b.N == 0 {
			continue
		}
		b.ReplyRatio, b.NegativeShare = float64(b.Replies)/float64(b.Likes+1), float64(negative)/float64(b.N)
		if b.ReplyRatio > r.setting("bait_reply_ratio", from) && b.NegativeShare > r.setting("bait_negative_share", from) {
			rows = append(rows, b)
		}
	}
	slices.SortStableFunc(rows, func(a, b BaitRow) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.MessageID, b.MessageID))
	})
	return rows
}
