package figures

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/sink/internal/report/period"
)

// The statements are constant; what varies goes to the server as a parameter.
var (
	//go:embed sql/institutions.sql
	institutionsSQL string
	//go:embed sql/response_rate.sql
	responseRateSQL string
	//go:embed sql/wait.sql
	waitSQL string
	//go:embed sql/reply_share.sql
	replyShareSQL string
	//go:embed sql/asymmetry.sql
	asymmetrySQL string
	//go:embed sql/dialogue.sql
	dialogueSQL string
	//go:embed sql/sentiment.sql
	sentimentSQL string
	//go:embed sql/risk.sql
	riskSQL string
	//go:embed sql/days.sql
	daysSQL string
	//go:embed sql/speakers.sql
	speakersSQL string
	//go:embed sql/requesters.sql
	requestersSQL string
	//go:embed sql/coverage.sql
	coverageSQL string
	//go:embed sql/observation.sql
	observationSQL string
)

// Source reads figures from a database that holds the views.
type Source struct{ conn driver.Conn }

// NewSource returns a source that reads through conn.
func NewSource(conn driver.Conn) *Source { return &Source{conn: conn} }

// Institutions lists every institution that the database has settings of, by id.
func (s *Source) Institutions(ctx context.Context) ([]Institution, error) {
	var list []Institution
	if err := s.conn.Select(ctx, &list, institutionsSQL); err != nil {
		return nil, fmt.Errorf("reading the institutions: %w", err)
	}
	for n := range list {
		zone, err := time.LoadLocation(list[n].ZoneName)
		if err != nil {
			return nil, fmt.Errorf("reading the institutions: zone %q of %s: %w", list[n].ZoneName, list[n].ID, err)
		}
		list[n].Zone = zone
	}
	return list, nil
}

// Depth says how much is read of an institution in a period.
type Depth int

const (
	// Standing is what a comparison of institutions needs: the rate within a day, the wait and the data's quality.
	Standing Depth = iota
	// Past is Standing and every other figure that is compared with the next period's.
	Past
	// Whole is everything.
	Whole
)

// Read returns the figures of an institution in a period.
func (s *Source) Read(ctx context.Context, in Institution, p period.Period, depth Depth) (*Figures, error) {
	f := &Figures{Institution: in, Period: p}
	q := question{conn: s.conn, params: clickhouse.Parameters{
		"institution": in.ID,
		"from":        instant(p.From),
		"to":          instant(p.To),
		// The period before is where a connector that has since died was last seen.
		"seen_from": instant(p.Previous().From),
	}}
	_, offset := p.From.In(p.Zone).Zone()
	q.params["utc_offset_s"] = strconv.Itoa(offset)

	var people []struct {
		Bucket  *time.Time `ch:"bucket"`
		Authors uint64     `ch:"authors"`
	}
	var speaking []struct {
		Bucket  time.Time `ch:"bucket"`
		Authors uint64    `ch:"authors"`
	}
	var observation struct {
		LagP95S       *float64 `ch:"lag_p95_s"`
		ModelVersions []string `ch:"model_versions"`
	}
	err := errors.Join(
		q.rate(ctx, 86400, &f.Rate24h),
		q.row(ctx, "metric_wait", waitSQL, &f.Wait),
		q.rows(ctx, "coverage", coverageSQL, &f.Quality.Connectors),
		q.rows(ctx, "the authors of requests", requestersSQL, &people),
	)
	if depth >= Past {
		err = errors.Join(err,
			q.rate(ctx, 3600, &f.Rate1h),
			q.rate(ctx, 259200, &f.Rate72h),
			q.row(ctx, "metric_reply_share", replyShareSQL, &f.ReplyShare),
			q.row(ctx, "metric_asymmetry", asymmetrySQL, &f.Asymmetry),
			q.row(ctx, "metric_dialogue", dialogueSQL, &f.Dialogue),
			q.row(ctx, "metric_sentiment", sentimentSQL, &f.Sentiment),
		)
	}
	if depth >= Whole {
		err = errors.Join(err,
			q.rows(ctx, "metric_risk", riskSQL, &f.Risks),
			q.rows(ctx, "series_engagement", daysSQL, &f.Days),
			q.rows(ctx, "the authors of messages", speakersSQL, &speaking),
			q.row(ctx, "messages", observationSQL, &observation),
		)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the figures of %s in %s: %w", in.ID, p, err)
	}
	f.Quality.LagP95S, f.Quality.ModelVersions = observation.LagP95S, observation.ModelVersions
	for _, row := range people {
		if row.Bucket == nil {
			f.Quality.Requesters = row.Authors
			continue
		}
		for n := range f.Days {
			if f.Days[n].Bucket.Equal(*row.Bucket) {
				f.Days[n].Requesters = row.Authors
			}
		}
	}
	for _, row := range speaking {
		for n := range f.Days {
			if f.Days[n].Bucket.Equal(row.Bucket) {
				f.Days[n].Speakers = row.Authors
			}
		}
	}
	return f, nil
}

// instant writes a time as a DateTime64(3, 'UTC') parameter.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

// question is a connection and the parameters that all statements of one reading share.
type question struct {
	conn   driver.Conn
	params clickhouse.Parameters
}

func (q question) rate(ctx context.Context, window int, into *Rate) error {
	params := clickhouse.Parameters{"window_s": strconv.Itoa(window)}
	for k, v := range q.params {
		params[k] = v
	}
	return question{q.conn, params}.row(ctx, "metric_response_rate", responseRateSQL, into)
}

func (q question) row(ctx context.Context, what, sql string, into any) error {
	if err := q.conn.QueryRow(clickhouse.Context(ctx, clickhouse.WithParameters(q.params)), sql).ScanStruct(into); err != nil {
		return fmt.Errorf("reading %s: %w", what, err)
	}
	return finite(what, reflect.ValueOf(into).Elem())
}

func (q question) rows(ctx context.Context, what, sql string, into any) error {
	if err := q.conn.Select(clickhouse.Context(ctx, clickhouse.WithParameters(q.params)), into, sql); err != nil {
		return fmt.Errorf("reading %s: %w", what, err)
	}
	list := reflect.ValueOf(into).Elem()
	for n := range list.Len() {
		if err := finite(what, list.Index(n)); err != nil {
			return err
		}
	}
	return nil
}

// finite refuses a row with a number that is none: a view that returns one is broken, and a page must not hide that.
func finite(what string, row reflect.Value) error {
	for n := range row.NumField() {
		field := row.Field(n)
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		if field.Kind() == reflect.Float64 && (math.IsNaN(field.Float()) || math.IsInf(field.Float(), 0)) {
			return fmt.Errorf("reading %s: %s is %v, which no metric may be", what, row.Type().Field(n).Tag.Get("ch"), field.Float())
		}
	}
	return nil
}
