package reference

import "time"

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
	var replies, labels, negative, positive, wLabels, wNegative, wPositive float64
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
	for _, q := range r.RequestsBetween(from, to) {
		one := responseRate([]Request{q}, now, 24*time.Hour)
		w := 1.0
		if q.message.deletedMs == nil {
			w = human(q.AuthorKey)
		}
		asked += float64(one.N)
		inTimeHere += float64(one.Answered)
		wAsked += w * float64(one.N)
		inTime += w * float64(one.Answered)
	}
	a := asymmetry(rows)
	return []WeightedRow{
		{"asymmetry", a.Asymmetry, ratio(inbound-replies, inbound+replies), a.N},
		{"author_coverage", a.AuthorCoverage, ratio(answered, authors), a.Authors},
		{"negative_share", ratio(negative, labels), ratio(wNegative, wLabels), int(labels)},
		{"net_sentiment", ratio(positive-negative, labels), ratio(wPositive-wNegative, wLabels), int(labels)},
		{"reciprocity", a.Reciprocity, ratio(2*matched, inbound+replies), a.N},
		{"response_rate_24h", ratio(inTimeHere, asked), ratio(inTime, wAsked), int(asked)},
		{"targeting", a.Targeting, ratio(matched, min(inbound, replies)), a.N},
	}
}
