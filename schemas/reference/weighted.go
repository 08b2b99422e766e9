package reference

import (
	"maps"
	"slices"
	"time"
)

// WeightedRow is a row of metric_weighted (M20).
type WeightedRow struct {
	Metric   string   `json:"metric"`
	Raw      *float64 `json:"raw"`
	Weighted *float64 `json:"weighted"`
	N        int      `json:"n"`
}

// Weighted is M20: figures of a period as they are and with each message in I_addr counted as 1 - the bot score of its author.
func (r *Reading) Weighted(from, to time.Time) []WeightedRow {
	bots := r.bots(from, to)
	human := func(author string) float64 { return 1 - bots[author] } // 1 for who is not in I_addr
	out, in := map[string]float64{}, map[string]float64{}
	var replies, labels, negative, positive, wLabels, wNegative, wPositive, load, wLoad float64
	rows := r.during(from, to)
	for _, x := range rows {
		switch x.side {
		case sideReply:
			replies++
			for _, author := range x.addresses {
				out[author]++
			}
		case sideAddressed:
			in[x.AuthorKey]++
			w := human(x.AuthorKey)
			for _, l := range r.riskLoads(x, from) {
				load, wLoad = load+l, wLoad+l*w
			}
			switch x.labels.GetSentiment() {
			case "negative":
				negative, wNegative = negative+1, wNegative+w
			case "positive":
				positive, wPositive = positive+1, wPositive+w
			case "neutral":
			default:
				continue
			}
			labels, wLabels = labels+1, wLabels+w
		}
	}
	var inbound, authors, answered, matched float64
	for author, n := range in {
		w := human(author)
		inbound += n * w
		authors += w
		if out[author] > 0 {
			answered += w
		}
		matched += min(n*w, out[author])
	}
	var asked, wAsked, inTime float64
	inTimeHere := 0.0
	now, _ := r.NowObs(from, to)
	var waits, wWaits []weightedWait
	for _, q := range r.RequestsBetween(from, to) {
		one := responseRate([]Request{q}, now, 24*time.Hour)
		w := 1.0
		if q.message.deletedMs == nil {
			w = human(q.AuthorKey)
		}
		waits = append(waits, weightedWait{q.WaitS, q.Outcome == OutcomeReplied, 1})
		wWaits = append(wWaits, weightedWait{q.WaitS, q.Outcome == OutcomeReplied, w})
		asked += float64(one.N)
		inTimeHere += float64(one.Answered)
		wAsked += w * float64(one.N)
		inTime += w * float64(one.Answered)
	}
	a := asymmetry(rows)
	var loads, wLoads *float64
	if factor := r.crisisFactor(from, to); len(in) > 0 {
		load, wLoad = load*factor, wLoad*factor
		loads, wLoads = &load, &wLoad
	}
	received := 0.0
	for _, n := range in {
		received += n
	}
	return []WeightedRow{
		{"asymmetry", a.Asymmetry, ratio(inbound-replies, inbound+replies), a.N},
		{"author_coverage", a.AuthorCoverage, ratio(answered, authors), a.Authors},
		{"negative_share", ratio(negative, labels), ratio(wNegative, wLabels), int(labels)},
		{"net_sentiment", ratio(positive-negative, labels), ratio(wPositive-wNegative, wLabels), int(labels)},
		{"reciprocity", a.Reciprocity, ratio(2*matched, inbound+replies), a.N},
		{"response_rate_24h", ratio(inTimeHere, asked), ratio(inTime, wAsked), int(asked)},
		{"risk_load", loads, wLoads, int(received)},
		{"rmst_7d_s", weightedRestrictedMean(waits), weightedRestrictedMean(wWaits), len(waits)},
		{"targeting", a.Targeting, ratio(matched, min(inbound, replies)), a.N},
	}
}

// weightedWait is a request's wait in seconds, and how much it counts.
type weightedWait struct {
	seconds float64
	replied bool
	weight  float64
}

// weightedRestrictedMean is kaplanMeier's restricted mean with each request counted by its weight; nil where they sum to 0.
func weightedRestrictedMean(waits []weightedWait) *float64 {
	type sums struct{ ended, replied float64 }
	at := map[float64]sums{}
	risk := 0.0
	for _, w := range waits {
		s := at[w.seconds]
		s.ended += w.weight
		if w.replied {
			s.replied += w.weight
		}
		at[w.seconds] = s
	}
	times := slices.Sorted(maps.Keys(at))
	// Summed from the end, so that what is left at risk at the last wait is that wait's own.
	atRisk := make([]float64, len(times))
	for i := len(times) - 1; i >= 0; i-- {
		risk += at[times[i]].ended
		atRisk[i] = risk
	}
	if risk == 0 {
		return nil
	}
	survival, area, since := 1.0, 0.0, 0.0
	for i, t := range times {
		until := min(t, tauS)
		area += survival * (until - since)
		since = until
		if at[t].replied > 0 {
			survival *= 1 - at[t].replied/atRisk[i]
		}
	}
	area += survival * (tauS - since)
	return &area
}
