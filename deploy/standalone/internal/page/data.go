package page

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// periodDays are the periods that the page offers; they end at the last instant up to which the institution's connectors are complete.
var periodDays = []int{28, 7, 90}

// Institution is one row of institution_settings with what is known of its coverage.
type Institution struct {
	ID, Name, Zone string
	OffsetS        int32
	// Since and NowObs bound what is known; both are zero before any coverage was written.
	Since, NowObs time.Time
	Messages      uint64
}

func (in Institution) location() *time.Location { return time.FixedZone(in.Zone, int(in.OffsetS)) }

// Summary is an institution's headline over one period.
type Summary struct {
	Institution
	From, To  time.Time
	Days      int
	Rate      Rate
	Wait      Wait
	Asymmetry Asymmetry
}

// Rate is a row of metric_response_rate with a window of 24 hours.
type Rate struct {
	N        uint64   `ch:"n"`
	Answered uint64   `ch:"answered"`
	Rate     *float64 `ch:"rate"`
	Lo       *float64 `ch:"lo"`
	Hi       *float64 `ch:"hi"`
}

// Wait is a row of metric_wait; seconds.
type Wait struct {
	N           uint64   `ch:"n"`
	Replied     uint64   `ch:"replied"`
	Deleted     uint64   `ch:"deleted"`
	Open        uint64   `ch:"open"`
	Median      *float64 `ch:"km_median_s"`
	Restricted  *float64 `ch:"rmst_7d_s"`
	AnsweredP50 *float64 `ch:"answered_p50_s"`
	AnsweredP90 *float64 `ch:"answered_p90_s"`
}

// Asymmetry is a row of metric_asymmetry.
type Asymmetry struct {
	Inbound     uint64   `ch:"inbound"`
	Replies     uint64   `ch:"replies"`
	Asymmetry   *float64 `ch:"asymmetry"`
	Reciprocity *float64 `ch:"reciprocity"`
	Targeting   *float64 `ch:"targeting"`
	Authors     uint64   `ch:"authors"`
	Coverage    *float64 `ch:"author_coverage"`
}

// Dialogue is a row of metric_dialogue.
type Dialogue struct {
	Threads  uint64   `ch:"threads"`
	Looped   uint64   `ch:"looped"`
	LoopRate *float64 `ch:"loop_rate"`
}

// Sentiment is a row of metric_sentiment.
type Sentiment struct {
	N        uint64   `ch:"n"`
	Negative *float64 `ch:"shown_negative"`
	Neutral  *float64 `ch:"shown_neutral"`
	Positive *float64 `ch:"shown_positive"`
	// Calibrated is true where labels by people have corrected the shares; else they are the raw ones.
	Calibrated bool `ch:"calibrated"`
	// ModelVersions are those whose answers these are.
	ModelVersions []string `ch:"model_versions"`
}

// Risk is a row of metric_risk.
type Risk struct {
	Tag      string   `ch:"risk_tag"`
	N        uint64   `ch:"n"`
	Severity uint8    `ch:"severity_max"`
	Load     *float64 `ch:"load"`
	Authors  uint64   `ch:"authors"`
	// Share is that of the messages with the tag as their first; nil, as its 95 % interval, where the messages are few.
	Share *float64 `ch:"share"`
	Lo    *float64 `ch:"share_lo"`
	Hi    *float64 `ch:"share_hi"`
	// Calibrated is true where labels by people have corrected the share; else it is the raw one.
	Calibrated bool `ch:"calibrated"`
}

// Point is a row of series_engagement by day.
type Point struct {
	Bucket      time.Time `ch:"bucket"`
	Inbound     uint64    `ch:"inbound"`
	Replies     uint64    `ch:"replies"`
	Answered24h *float64  `ch:"answered_24h"`
	Negative    *float64  `ch:"negative_share"`
}

// CurvePoint is a row of curve_wait: the share still without an answer T seconds after asking.
type CurvePoint struct {
	T        float64  `ch:"t_s"`
	Survival float64  `ch:"survival"`
	Lo       *float64 `ch:"lo"`
	Hi       *float64 `ch:"hi"`
}

// Waiting is an open request; nothing in it names a person.
type Waiting struct {
	Platform string    `ch:"platform"`
	AskedAt  time.Time `ch:"asked_at"`
	WaitS    *float64  `ch:"wait_s"`
}

// minAuthors is how many distinct authors a cell needs to be shown (METRICS, rules for the edges).
const minAuthors = 5

const selectInstitutions = `
SELECT s.institution AS institution, s.name AS name, s.zone AS zone, s.utc_offset_s AS utc_offset_s,
       c.since AS since, c.until AS until, m.messages AS messages
FROM (SELECT * FROM institution_settings FINAL) AS s
LEFT JOIN (
    SELECT institution, min(since) AS since, min(until) AS until
    FROM (SELECT institution, connector, min(since) AS since, max(until) AS until FROM coverage WHERE status = 'complete' GROUP BY institution, connector)
    GROUP BY institution) AS c ON c.institution = s.institution
LEFT JOIN (SELECT institution, count() AS messages FROM messages GROUP BY institution) AS m ON m.institution = s.institution
ORDER BY institution`

func institutions(ctx context.Context, conn driver.Conn) ([]Institution, error) {
	var rows []struct {
		Institution string    `ch:"institution"`
		Name        string    `ch:"name"`
		Zone        string    `ch:"zone"`
		OffsetS     int32     `ch:"utc_offset_s"`
		Since       time.Time `ch:"since"`
		Until       time.Time `ch:"until"`
		Messages    uint64    `ch:"messages"`
	}
	if err := conn.Select(ctx, &rows, selectInstitutions); err != nil {
		return nil, fmt.Errorf("reading the institutions: %w", err)
	}
	var list []Institution
	for _, r := range rows {
		in := Institution{ID: r.Institution, Name: r.Name, Zone: r.Zone, OffsetS: r.OffsetS, Messages: r.Messages}
		// A left join without a partner gives the epoch, which is no coverage.
		if r.Until.Unix() > 0 {
			in.Since, in.NowObs = r.Since, r.Until
		}
		list = append(list, in)
	}
	return list, nil
}

// period ends just after the last known instant, so that the last message is in it; days of 0 take all that is known.
func (in Institution) period(days int) (from, to time.Time) {
	to = in.NowObs.Add(time.Millisecond)
	if days == 0 {
		return in.Since, to
	}
	return to.AddDate(0, 0, -days), to
}

func arguments(in Institution, from, to time.Time, more ...any) []any {
	return append([]any{
		clickhouse.Named("institution", in.ID),
		clickhouse.Named("from", from.UTC().Format("2006-01-02 15:04:05.000")),
		clickhouse.Named("to", to.UTC().Format("2006-01-02 15:04:05.000")),
	}, more...)
}

const arg = `institution={institution:String}, from={from:DateTime64(3, 'UTC')}, to={to:DateTime64(3, 'UTC')}`

func one[T any](ctx context.Context, conn driver.Conn, query string, args []any) (T, error) {
	var rows []T
	var zero T
	if err := conn.Select(ctx, &rows, query, args...); err != nil {
		return zero, fmt.Errorf("reading a metric: %w", err)
	}
	if len(rows) != 1 {
		return zero, fmt.Errorf("reading a metric: %d rows where one is promised", len(rows))
	}
	return rows[0], nil
}

func summarise(ctx context.Context, conn driver.Conn, in Institution, days int) (Summary, error) {
	s := Summary{Institution: in, Days: days}
	if in.NowObs.IsZero() {
		return s, nil
	}
	s.From, s.To = in.period(days)
	args := arguments(in, s.From, s.To)
	var err error
	if s.Rate, err = one[Rate](ctx, conn, `SELECT n, answered, rate, lo, hi FROM metric_response_rate(`+arg+`, window_s=86400)`, args); err != nil {
		return s, err
	}
	if s.Wait, err = one[Wait](ctx, conn, `SELECT n, replied, deleted, open, km_median_s, rmst_7d_s, answered_p50_s, answered_p90_s FROM metric_wait(`+arg+`)`, args); err != nil {
		return s, err
	}
	s.Asymmetry, err = one[Asymmetry](ctx, conn, `SELECT inbound, replies, asymmetry, reciprocity, targeting, authors, author_coverage FROM metric_asymmetry(`+arg+`)`, args)
	return s, err
}

// Summaries returns the headline of every institution over all that is known of it, the ranked ones first, the shortest mean wait at the top.
func Summaries(ctx context.Context, conn driver.Conn) ([]Summary, error) {
	list, err := institutions(ctx, conn)
	if err != nil {
		return nil, err
	}
	var all []Summary
	for _, in := range list {
		s, err := summarise(ctx, conn, in, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, byRestrictedWait)
	return all, nil
}

type detailData struct {
	Summary
	Periods   []int
	Dialogue  Dialogue
	Sentiment Sentiment
	Risks     []Risk
	Hidden    int // tags with fewer than minAuthors authors
	Waiting   []Waiting
	Curve     template.HTML
	Volume    template.HTML
	Rates     template.HTML
}

func detail(ctx context.Context, conn driver.Conn, in Institution, days int) (detailData, error) {
	d := detailData{Periods: periodDays}
	var err error
	if d.Summary, err = summarise(ctx, conn, in, days); err != nil || in.NowObs.IsZero() {
		return d, err
	}
	args := arguments(in, d.From, d.To)
	if d.Dialogue, err = one[Dialogue](ctx, conn, `SELECT threads, looped, loop_rate FROM metric_dialogue(`+arg+`)`, args); err != nil {
		return d, err
	}
	if d.Sentiment, err = one[Sentiment](ctx, conn, `
SELECT n, calibrated, if(calibrated, negative, raw_negative) AS shown_negative, if(calibrated, neutral, raw_neutral) AS shown_neutral, if(calibrated, positive, raw_positive) AS shown_positive, model_versions
FROM metric_sentiment(`+arg+`)`, args); err != nil {
		return d, err
	}
	var risks []Risk
	if err = conn.Select(ctx, &risks, `SELECT risk_tag, n, severity_max, load, authors, share, share_lo, share_hi, calibrated FROM metric_risk(`+arg+`) ORDER BY load DESC, risk_tag`, args...); err != nil {
		return d, fmt.Errorf("reading the risk tags: %w", err)
	}
	for _, r := range risks {
		if r.Authors < minAuthors {
			d.Hidden++
			continue
		}
		d.Risks = append(d.Risks, r)
	}
	if err = conn.Select(ctx, &d.Waiting, `
SELECT platform, asked_at, wait_s FROM requests
WHERE institution = {institution:String} AND outcome = 'open' AND asked_at >= {from:DateTime64(3, 'UTC')} AND asked_at < {to:DateTime64(3, 'UTC')}
ORDER BY wait_s DESC, request_id LIMIT 10`, args...); err != nil {
		return d, fmt.Errorf("reading the open requests: %w", err)
	}
	var curve []CurvePoint
	if err = conn.Select(ctx, &curve, `SELECT t_s, survival, lo, hi FROM curve_wait(`+arg+`) ORDER BY t_s`, args...); err != nil {
		return d, fmt.Errorf("reading the curve of the wait: %w", err)
	}
	if d.Curve, err = curveChart(curve); err != nil {
		return d, err
	}
	var points []Point
	if err = conn.Select(ctx, &points, `SELECT bucket, inbound, replies, answered_24h, negative_share FROM series_engagement(`+arg+`, step_s=86400) ORDER BY bucket`, args...); err != nil {
		return d, fmt.Errorf("reading the series: %w", err)
	}
	if d.Volume, err = volumeChart(in, points); err != nil {
		return d, err
	}
	d.Rates, err = ratesChart(in, points)
	return d, err
}

// byRestrictedWait ranks by the ranking metric (M5), lower first; what has none, or too few requests to be ranked, stands last.
func byRestrictedWait(a, b Summary) int {
	ra, rb := a.Ranked(), b.Ranked()
	switch {
	case ra && rb:
		return cmp.Compare(*a.Wait.Restricted, *b.Wait.Restricted)
	case ra:
		return -1
	case rb:
		return 1
	}
	return cmp.Compare(a.ID, b.ID)
}

// minRanked is how many requests a ranking needs (METRICS, M2).
const minRanked = 30

// Ranked tells whether there are enough requests to compare institutions by.
func (s Summary) Ranked() bool { return s.Wait.Restricted != nil && s.Wait.N >= minRanked }

// Report is a report that was made, as the run log knows it.
type Report struct {
	Name, About, Period string
	// Page is the file to open first, Others are the same figures in other forms.
	Page   string
	Others []string
}

// shownReports is how many reports the page lists; the folder keeps all.
const shownReports = 40

const selectReports = `
SELECT toString(report) AS report, toString(institution) AS institution, period_from, period_to, outputs
FROM report_runs FINAL
WHERE status = 'done'
ORDER BY period_to DESC, report, institution
LIMIT {most:UInt32}`

// reports returns the reports that were made last, the newest period first. One that is about no institution in the list compares them all, in the zone of
// the first.
func reports(ctx context.Context, conn driver.Conn, list []Summary) ([]Report, error) {
	var rows []struct {
		Report      string    `ch:"report"`
		Institution string    `ch:"institution"`
		From        time.Time `ch:"period_from"`
		To          time.Time `ch:"period_to"`
		Outputs     []string  `ch:"outputs"`
	}
	if err := conn.Select(ctx, &rows, selectReports, clickhouse.Named("most", fmt.Sprint(shownReports))); err != nil {
		return nil, fmt.Errorf("reading which reports were made: %w", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	var out []Report
	for _, r := range rows {
		report, zone := Report{Name: r.Report, About: "all institutions compared"}, list[0].location()
		for _, in := range list {
			if in.ID == r.Institution {
				report.About, zone = in.Name, in.location()
			}
		}
		report.Period = r.From.In(zone).Format("2 Jan") + " – " + r.To.Add(-time.Second).In(zone).Format("2 Jan 2006")
		for _, output := range r.Outputs {
			name, isFile := strings.CutPrefix(output, "file:")
			switch {
			case !isFile:
			case filepath.Ext(name) == ".html":
				report.Page = name
			default:
				report.Others = append(report.Others, name)
			}
		}
		if report.Page != "" {
			out = append(out, report)
		}
	}
	return out, nil
}
