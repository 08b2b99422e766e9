// Package figures holds what a report says of one institution in one period, and reads it from the views of the stable interface.
package figures

import (
	"time"

	"github.com/dwiarah/dwiarah/sink/internal/report/period"
)

// Institution is one row of the institutions' settings.
type Institution struct {
	ID       string `ch:"institution"`
	Name     string `ch:"name"`
	ZoneName string `ch:"zone"`
	Calendar string `ch:"calendar"` // empty for none
	Zone     *time.Location
}

// Figures are all metrics of an institution in a period. A nil figure is undefined there, never 0.
type Figures struct {
	Institution Institution
	Period      period.Period

	Rate1h, Rate24h, Rate72h Rate
	Wait                     Wait
	ReplyShare               ReplyShare
	Asymmetry                Asymmetry
	Dialogue                 Dialogue
	Sentiment                Sentiment
	Risks                    []Risk
	Days                     []Day
	Quality                  Quality
}

// Rate is a row of metric_response_rate: the matured response rate with its Wilson interval.
type Rate struct {
	N        uint64   `ch:"n"`
	Answered uint64   `ch:"answered"`
	Rate     *float64 `ch:"rate"`
	Lo       *float64 `ch:"lo"`
	Hi       *float64 `ch:"hi"`
}

// Wait is a row of metric_wait; times are in seconds. The B twins are in business time and nil without a calendar.
type Wait struct {
	N            uint64   `ch:"n"`
	Replied      uint64   `ch:"replied"`
	Deleted      uint64   `ch:"deleted"`
	Open         uint64   `ch:"open"`
	KMMedianS    *float64 `ch:"km_median_s"`
	RMST7dS      *float64 `ch:"rmst_7d_s"`
	Incidence1h  *float64 `ch:"incidence_1h"`
	Incidence24h *float64 `ch:"incidence_24h"`
	Incidence72h *float64 `ch:"incidence_72h"`
	AnsweredP50S *float64 `ch:"answered_p50_s"`
	AnsweredP90S *float64 `ch:"answered_p90_s"`

	BN            *uint64  `ch:"b_n"`
	BOutOfHours   *uint64  `ch:"b_out_of_hours"`
	BKMMedianS    *float64 `ch:"b_km_median_s"`
	BRMST7dS      *float64 `ch:"b_rmst_7d_s"`
	BAnsweredP50S *float64 `ch:"b_answered_p50_s"`
	BAnsweredP90S *float64 `ch:"b_answered_p90_s"`
}

// ReplyShare is a row of metric_reply_share.
type ReplyShare struct {
	N           uint64   `ch:"n"`
	Broadcasts  uint64   `ch:"broadcasts"`
	Replies     uint64   `ch:"replies"`
	AutoReplies uint64   `ch:"auto_replies"`
	ReplyShare  *float64 `ch:"reply_share"`
	AutoShare   *float64 `ch:"auto_share"`
}

// Asymmetry is a row of metric_asymmetry.
type Asymmetry struct {
	N               uint64   `ch:"n"`
	Inbound         uint64   `ch:"inbound"`
	Replies         uint64   `ch:"replies"`
	Asymmetry       *float64 `ch:"asymmetry"`
	Reciprocity     *float64 `ch:"reciprocity"`
	Targeting       *float64 `ch:"targeting"`
	Authors         uint64   `ch:"authors"`
	AuthorsAnswered uint64   `ch:"authors_answered"`
	AuthorCoverage  *float64 `ch:"author_coverage"`
	ReplyGini       *float64 `ch:"reply_gini"`
}

// Dialogue is a row of metric_dialogue.
type Dialogue struct {
	N        uint64   `ch:"n"`
	Threads  uint64   `ch:"threads"`
	Looped   uint64   `ch:"looped"`
	LoopRate *float64 `ch:"loop_rate"`
	DepthP50 *float64 `ch:"depth_p50"`
	DepthP90 *float64 `ch:"depth_p90"`
}

// Sentiment is a row of metric_sentiment. The corrected shares are nil until enough labels by people say how the classifier errs on the stream; then
// Calibrated is true, and Net is of them.
type Sentiment struct {
	N           uint64   `ch:"n"`
	RawNegative *float64 `ch:"raw_negative"`
	RawNeutral  *float64 `ch:"raw_neutral"`
	RawPositive *float64 `ch:"raw_positive"`
	Negative    *float64 `ch:"negative"`
	Neutral     *float64 `ch:"neutral"`
	Positive    *float64 `ch:"positive"`
	Calibrated  bool     `ch:"calibrated"`
	Net         *float64 `ch:"net"`
	NetLo       *float64 `ch:"net_lo"`
	NetHi       *float64 `ch:"net_hi"`
}

// Risk is a row of metric_risk. Share is that of the messages to the institution, Messages of them, which have the tag as their first: corrected by labels of the
// stream where Calibrated is true, else the classifier's raw answer. It is nil, as its 95 % interval is, where Messages are few.
type Risk struct {
	Tag         string   `ch:"risk_tag"`
	N           uint64   `ch:"n"`
	SeverityMax uint8    `ch:"severity_max"`
	Load        float64  `ch:"load"`
	Authors     uint64   `ch:"authors"`
	Messages    uint64   `ch:"messages"`
	Share       *float64 `ch:"share"`
	ShareLo     *float64 `ch:"share_lo"`
	ShareHi     *float64 `ch:"share_hi"`
	Calibrated  bool     `ch:"calibrated"`
}

// Day is a row of series_engagement for a local day.
type Day struct {
	Bucket        time.Time `ch:"bucket"` // the local midnight at which the day begins, in UTC
	N             uint64    `ch:"n"`
	Inbound       uint64    `ch:"inbound"`
	Replies       uint64    `ch:"replies"`
	Answered24h   *float64  `ch:"answered_24h"`
	NegativeShare *float64  `ch:"negative_share"`
	// Speakers are the distinct authors of the inbound messages, Requesters those of the requests asked on the day.
	Speakers, Requesters uint64
}

// Quality says how far the other figures can be trusted (M25).
type Quality struct {
	Connectors    []Connector
	Requesters    uint64   // distinct authors of the period's requests
	LagP95S       *float64 // between a message's creation and its observation; nil where no platform tells
	ModelVersions []string
}

// Connector is the coverage of one connector in the period.
type Connector struct {
	Name     string     `ch:"connector"`
	Coverage float64    `ch:"coverage"` // share of the period that was read completely, 0 to 1
	NowObs   *time.Time `ch:"now_obs"`  // last instant known complete
}

// Thresholds of the metric specification.
const (
	// MinAuthors is the least number of distinct authors that a cell of a report may be about.
	MinAuthors = 5
	// MinRanked is the least number of requests that is ranked.
	MinRanked = 30
	// MinCoverage is the coverage under which a metric is greyed out.
	MinCoverage = 0.95
)

// NowObs is the last instant up to which every connector is known complete; nil where nothing of the period was read.
func (q Quality) NowObs() *time.Time {
	var least *time.Time
	for _, c := range q.Connectors {
		if c.NowObs != nil && (least == nil || c.NowObs.Before(*least)) {
			least = c.NowObs
		}
	}
	return least
}

// Coverage is the share of the period that was read completely: that of the connector that read least. It is 0 where nothing was read.
func (q Quality) Coverage() float64 {
	least := 1.0
	for _, c := range q.Connectors {
		least = min(least, c.Coverage)
	}
	if len(q.Connectors) == 0 {
		return 0
	}
	return least
}
