package report

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/sink/internal/report/period"
)

// Statuses of a run. A run that is running in the log while nothing runs was interrupted: it is taken over.
const (
	StatusRunning = "running"
	StatusDone    = "done"
	StatusFailed  = "failed"
)

// Triggers of a run.
const (
	TriggerSchedule = "schedule" // the process was there at the tick
	TriggerCatchUp  = "catch_up" // it was not
	TriggerManual   = "manual"
)

// Run is the state of one report of one institution in one period.
type Run struct {
	Report      string
	Institution string // AllInstitutions for the comparison
	Period      period.Period
	Status      string
	StartedAt   time.Time
	FinishedAt  *time.Time
	Outputs     []string // "file:NAME" and "mail:ID"; no address
	Error       string
	MetricSpec  string
	Trigger     string
	Version     uint64 // grows with every change of the state
}

// Runs is the run log in ClickHouse.
type Runs struct{ conn driver.Conn }

// NewRuns returns the log in the table report_runs of conn's database.
func NewRuns(conn driver.Conn) *Runs { return &Runs{conn: conn} }

//go:embed sql/runs.sql
var runsSQL string

//go:embed sql/recent_runs.sql
var recentRunsSQL string

// Of returns the latest state of every period of a report and an institution. Their periods carry zone.
func (r *Runs) Of(ctx context.Context, report, institution string, zone *time.Location) ([]Run, error) {
	list, err := r.query(ctx, runsSQL, clickhouse.Parameters{"report": report, "institution": institution}, zone)
	if err != nil {
		return nil, fmt.Errorf("reading the runs of report %s for %s: %w", report, institution, err)
	}
	return list, nil
}

// Recent returns the states that changed last, newest first.
func (r *Runs) Recent(ctx context.Context, most int) ([]Run, error) {
	list, err := r.query(ctx, recentRunsSQL, clickhouse.Parameters{"most": fmt.Sprint(most)}, time.UTC)
	if err != nil {
		return nil, fmt.Errorf("reading the latest runs of reports: %w", err)
	}
	return list, nil
}

func (r *Runs) query(ctx context.Context, sql string, params clickhouse.Parameters, zone *time.Location) ([]Run, error) {
	rows, err := r.conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(params)), sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Run
	for rows.Next() {
		run := Run{Period: period.Period{Zone: zone}}
		if err := rows.Scan(&run.Report, &run.Institution, &run.Period.From, &run.Period.To, &run.Status, &run.StartedAt, &run.FinishedAt,
			&run.Outputs, &run.Error, &run.MetricSpec, &run.Trigger, &run.Version); err != nil {
			return nil, err
		}
		run.Period.From, run.Period.To = run.Period.From.UTC(), run.Period.To.UTC()
		list = append(list, run)
	}
	return list, rows.Err()
}

// Record writes a state. It returns when the row is stored; a repeat changes nothing.
func (r *Runs) Record(ctx context.Context, run Run) error {
	// One row, waited for: with asynchronous inserts a crash could lose the state of a report that has already been sent.
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0}))
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO report_runs (report, institution, period_from, period_to, status, started_at, finished_at, outputs, error, metric_spec, trigger, version)")
	if err != nil {
		return fmt.Errorf("recording a run of report %s: %w", run.Report, err)
	}
	defer batch.Close()
	outputs := run.Outputs
	if outputs == nil {
		outputs = []string{}
	}
	if err := batch.Append(run.Report, run.Institution, run.Period.From, run.Period.To, run.Status, run.StartedAt, run.FinishedAt,
		outputs, run.Error, run.MetricSpec, run.Trigger, run.Version); err != nil {
		return fmt.Errorf("recording a run of report %s: %w", run.Report, err)
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("recording a run of report %s: %w", run.Report, err)
	}
	return nil
}
