// Package report makes the scheduled reports: it knows when one is due, reads the figures, has the page written and brings it to a folder and to people.
//
// Exactly once: a period is made when its tick has passed and the run log does not have it as done, whether the process was there at the tick or not. A run that was
// interrupted stays "running" in the log and is taken over by the next pass. Each output is noted in the log as soon as it is delivered, so that a repeat sends no mail
// twice; what remains is a death between the mail server's "taken" and that note, and then the second mail carries the same Message-ID as the first.
package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/sink/internal/report/figures"
	"github.com/dwiarah/dwiarah/sink/internal/report/mail"
	"github.com/dwiarah/dwiarah/sink/internal/report/page"
	"github.com/dwiarah/dwiarah/sink/internal/report/period"
)

// AllInstitutions stands for the comparison of institutions in the run log and in file names. No institution's id begins with an underscore.
const AllInstitutions = "_all"

// source reads what reports say.
type source interface {
	Institutions(ctx context.Context) ([]figures.Institution, error)
	Read(ctx context.Context, in figures.Institution, p period.Period, depth figures.Depth) (*figures.Figures, error)
}

// runLog remembers what was made.
type runLog interface {
	Of(ctx context.Context, report, institution string, zone *time.Location) ([]Run, error)
	Recent(ctx context.Context, most int) ([]Run, error)
	Record(ctx context.Context, run Run) error
}

// sender sends a mail.
type sender interface {
	Send(ctx context.Context, m mail.Mail) error
}

// Reports makes the reports of a configuration. Its methods are safe for concurrent use, save that Run runs once.
type Reports struct {
	dir         string
	enabled     bool
	definitions []*definition
	source      source
	runs        runLog
	sender      sender
	now         func() time.Time
	log         *slog.Logger
	metrics     metrics
	born        time.Time // when this process began to be there for ticks
}

// definition is a Definition with its words resolved.
type definition struct {
	Definition
	schedule cron.Schedule
	zone     *time.Location
}

type metrics struct {
	runs *prometheus.CounterVec // report, status
	due  *prometheus.GaugeVec   // report
}

// New returns the reports of a configuration that has passed Validate. conn is a database that holds the tables and views. now is the clock; nil means the machine's.
func New(cfg Config, conn driver.Conn, log *slog.Logger, registry prometheus.Registerer, now func() time.Time) (*Reports, error) {
	sender, err := mail.NewSender(cfg.SMTP)
	if err != nil {
		return nil, err
	}
	if now == nil {
		now = time.Now
	}
	return build(cfg, figures.NewSource(conn), NewRuns(conn), sender, log, registry, now)
}

func build(cfg Config, from source, runs runLog, to sender, log *slog.Logger, registry prometheus.Registerer, now func() time.Time) (*Reports, error) {
	r := &Reports{dir: cfg.Dir, enabled: cfg.Enabled, source: from, runs: runs, sender: to, now: now, log: log}
	r.metrics = metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dwiarah_sink_report_runs_total", Help: "Runs of reports that ended, by report and status.",
		}, []string{"report", "status"}),
		due: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "dwiarah_sink_report_due", Help: "Periods that were due and not done when the report was last looked after.",
		}, []string{"report"}),
	}
	if err := errors.Join(registry.Register(r.metrics.runs), registry.Register(r.metrics.due)); err != nil {
		return nil, fmt.Errorf("registering the reports' metrics: %w", err)
	}
	for _, d := range cfg.List {
		zone, err := time.LoadLocation(d.Zone)
		if err != nil {
			return nil, fmt.Errorf("loading the zone of report %s: %w", d.Name, err)
		}
		schedule, err := parseSchedule(d.Schedule, d.Zone)
		if err != nil {
			return nil, fmt.Errorf("reading the schedule of report %s: %w", d.Name, err)
		}
		if d.Language == "" {
			d.Language = page.Languages()[0]
		}
		if d.CatchUp == 0 {
			d.CatchUp = usualCatchUp
		}
		r.definitions = append(r.definitions, &definition{Definition: d, schedule: schedule, zone: zone})
		for _, status := range []string{StatusDone, StatusFailed} {
			r.metrics.runs.WithLabelValues(d.Name, status)
		}
	}
	return r, nil
}

// Retries of a report that failed.
const (
	retryFirst = time.Minute
	retryMost  = time.Hour
)

// Run looks after the reports until ctx ends: at once for what was missed, then at every tick. A tick that comes while its report is still being made is skipped; nothing is
// lost by that, because making goes on until nothing is due. It returns nil. A run that ctx cuts short stays "running" in the log.
func (r *Reports) Run(ctx context.Context) error {
	r.born = r.now()
	if !r.enabled {
		<-ctx.Done()
		return nil
	}
	c := cron.New(cron.WithLocation(time.UTC), cron.WithLogger(cron.DiscardLogger), cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger)))
	var jobs []cron.EntryID
	for _, d := range r.definitions {
		jobs = append(jobs, c.Schedule(d.schedule, cron.FuncJob(func() { r.lookAfter(ctx, d) })))
	}
	c.Start()
	var first sync.WaitGroup
	for _, id := range jobs {
		first.Go(c.Entry(id).WrappedJob.Run)
	}
	<-ctx.Done()
	<-c.Stop().Done()
	first.Wait()
	return nil
}

// lookAfter makes what is due of one report until nothing is, pausing after a failure.
func (r *Reports) lookAfter(ctx context.Context, d *definition) {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = retryFirst, retryMost
	for ctx.Err() == nil {
		made, err := r.pass(ctx, d)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause := pauses.NextBackOff()
			r.log.Error("report is tried again", "report", d.Name, "pause", pause, "error", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		case made == 0:
			return
		default:
			pauses.Reset()
		}
	}
}

// pass makes every period of a report that is due now, oldest first, and returns how many it made. One institution's failure keeps no other from its report.
func (r *Reports) pass(ctx context.Context, d *definition) (made int, err error) {
	subjects, err := r.subjects(ctx, d)
	if err != nil {
		return 0, err
	}
	var failures []error
	waiting := 0
	for _, s := range subjects {
		runs, err := r.runs.Of(ctx, d.Name, s.id, s.zone)
		if err != nil {
			return made, err
		}
		list := due(d.schedule, s.zone, r.now(), runs, d.CatchUp)
		waiting += len(list)
		for _, p := range list {
			if err := r.make(ctx, d, s, p, r.trigger(d, p), find(runs, p)); err != nil {
				failures = append(failures, err)
				continue
			}
			made++
			waiting--
		}
	}
	r.metrics.due.WithLabelValues(d.Name).Set(float64(waiting))
	return made, errors.Join(failures...)
}

func (r *Reports) trigger(d *definition, p period.Period) string {
	if tick, ok := dueAt(d.schedule, p); ok && !tick.Before(r.born) {
		return TriggerSchedule
	}
	return TriggerCatchUp
}

func find(runs []Run, p period.Period) *Run {
	for n := range runs {
		if key(runs[n].Period) == key(p) {
			return &runs[n]
		}
	}
	return nil
}

// subject is what one page is about: an institution, or all of a report's institutions compared.
type subject struct {
	id           string
	zone         *time.Location
	institutions []figures.Institution
}

func (s subject) isComparison() bool { return s.id == AllInstitutions }

// subjects lists the pages of a report: its institutions, each in its own zone, and where there are several their comparison, in the report's zone.
func (r *Reports) subjects(ctx context.Context, d *definition) ([]subject, error) {
	all, err := r.source.Institutions(ctx)
	if err != nil {
		return nil, err
	}
	var list []subject
	var compared []figures.Institution
	for _, in := range all {
		if len(d.Institutions) > 0 && !slices.Contains(d.Institutions, in.ID) {
			continue
		}
		compared = append(compared, in)
		list = append(list, subject{id: in.ID, zone: in.Zone, institutions: []figures.Institution{in}})
	}
	for _, id := range d.Institutions {
		if !slices.ContainsFunc(compared, func(in figures.Institution) bool { return in.ID == id }) {
			r.log.Warn("report names an institution that the database does not know", "report", d.Name, "institution", id)
		}
	}
	if len(compared) > 1 {
		list = append(list, subject{id: AllInstitutions, zone: d.zone, institutions: compared})
	}
	return list, nil
}

// make makes one page, delivers it and keeps the log. before is the period's state in the log, nil for none.
func (r *Reports) make(ctx context.Context, d *definition, s subject, p period.Period, trigger string, before *Run) error {
	run := Run{Report: d.Name, Institution: s.id, Period: p, Status: StatusRunning, StartedAt: r.now(), MetricSpec: schemas.MetricSpec, Trigger: trigger}
	redo := false
	if before != nil {
		run.Version, run.Outputs, redo = before.Version, before.Outputs, before.Status == StatusDone
		if before.Status == StatusRunning {
			r.log.Info("report that was interrupted is taken over", "report", d.Name, "institution", s.id, "period", p)
		}
	}
	// A period that is done stays done while it is made again by hand, also when that fails.
	if !redo {
		if err := r.record(ctx, &run); err != nil {
			return err
		}
	}
	err := r.produce(ctx, d, s, p, &run, redo)
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	run.Status, run.Error = StatusDone, ""
	if err != nil {
		run.Status, run.Error = StatusFailed, err.Error()
	}
	finished := r.now()
	run.FinishedAt = &finished
	r.metrics.runs.WithLabelValues(d.Name, run.Status).Inc()
	if !redo || err == nil {
		err = errors.Join(err, r.record(ctx, &run))
	}
	if err == nil {
		r.log.Info("report made", "report", d.Name, "institution", s.id, "period", p, "trigger", trigger, "outputs", len(run.Outputs))
	}
	return err
}

// record writes the run's state under a version above all earlier ones, whatever the clock does.
func (r *Reports) record(ctx context.Context, run *Run) error {
	run.Version = max(run.Version+1, uint64(max(0, r.now().UnixNano())))
	return r.runs.Record(ctx, *run)
}

// produce writes the page and delivers it. Each mail that the server has taken is noted in run and, unless the period is done already, in the log.
func (r *Reports) produce(ctx context.Context, d *definition, s subject, p period.Period, run *Run, redo bool) error {
	document, err := r.document(ctx, d, s, p)
	if err != nil {
		return err
	}
	stem := stem(d.Name, s.id, p)
	if _, err := writeFolder(r.dir, stem, document); err != nil {
		return err
	}
	for _, suffix := range suffixes {
		if name := "file:" + stem + suffix; !slices.Contains(run.Outputs, name) {
			run.Outputs = append(run.Outputs, name)
		}
	}
	for _, to := range d.Recipients {
		if len(to.Institutions) > 0 && !slices.Contains(to.Institutions, s.id) {
			continue
		}
		id := mail.ID(stem, to.To)
		if slices.Contains(run.Outputs, "mail:"+id) {
			continue
		}
		if err := r.sender.Send(ctx, mail.Mail{ID: id, To: to.To, Stem: stem, Date: r.now(), Document: document}); err != nil {
			return err
		}
		run.Outputs = append(run.Outputs, "mail:"+id)
		if !redo {
			if err := r.record(ctx, run); err != nil {
				return err
			}
		}
	}
	return nil
}

func stem(report, institution string, p period.Period) string {
	return report + "-" + institution + "-" + p.String()
}

// document reads the figures of a subject and writes its page. A panic of a drawing or templating library is an error of this page, and not the end of the process.
func (r *Reports) document(ctx context.Context, d *definition, s subject, p period.Period) (document *page.Document, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("writing the report %s: panic: %v", stem(d.Name, s.id, p), cause)
		}
	}()
	if s.isComparison() {
		c := page.Comparison{Period: p, MadeAt: r.now(), MetricSpec: schemas.MetricSpec, Language: d.Language}
		for _, in := range s.institutions {
			f, err := r.source.Read(ctx, in, p, figures.Standing)
			if err != nil {
				return nil, err
			}
			c.Institutions = append(c.Institutions, f)
		}
		return page.RenderComparison(c)
	}
	sheet := page.Sheet{MadeAt: r.now(), MetricSpec: schemas.MetricSpec, Language: d.Language}
	if sheet.Current, err = r.source.Read(ctx, s.institutions[0], p, figures.Whole); err != nil {
		return nil, err
	}
	if sheet.Previous, err = r.source.Read(ctx, s.institutions[0], p.Previous(), figures.Past); err != nil {
		return nil, err
	}
	return page.Render(sheet)
}

// Order asks for one report by hand.
type Order struct {
	Report string
	// Period as period.Parse reads it, in each institution's own zone.
	Period string
	// Institution by id, or AllInstitutions for the comparison; empty means every page of the report.
	Institution string
	// Dir, where set, gets the files, and nothing else happens: no mail, no entry in the run log, and the period may still be under way. Otherwise the run is like a scheduled one: it
	// goes to the configured folder and to the recipients who have not had it, and is in the log.
	Dir string
}

// Made is a page that was made.
type Made struct {
	Institution string
	Period      period.Period
	Files       []string // paths
}

// RunOnce makes a report by hand.
func (r *Reports) RunOnce(ctx context.Context, o Order) ([]Made, error) {
	d, err := r.definition(o.Report)
	if err != nil {
		return nil, err
	}
	subjects, err := r.subjects(ctx, d)
	if err != nil {
		return nil, err
	}
	if o.Institution != "" {
		var known []string
		for _, s := range subjects {
			known = append(known, s.id)
		}
		subjects = slices.DeleteFunc(subjects, func(s subject) bool { return s.id != o.Institution })
		if len(subjects) == 0 {
			return nil, fmt.Errorf("report %s is not about an institution %q; allowed: %s", d.Name, o.Institution, strings.Join(known, ", "))
		}
	}
	if len(subjects) == 0 {
		return nil, fmt.Errorf("report %s is about no institution: the database has settings of none of its institutions", d.Name)
	}
	var made []Made
	for _, s := range subjects {
		m, err := r.order(ctx, d, s, o)
		if err != nil {
			return made, err
		}
		made = append(made, m)
	}
	return made, nil
}

func (r *Reports) order(ctx context.Context, d *definition, s subject, o Order) (Made, error) {
	p, err := period.Parse(o.Period, s.zone)
	if err != nil {
		return Made{}, err
	}
	m := Made{Institution: s.id, Period: p}
	if o.Dir != "" {
		document, err := r.document(ctx, d, s, p)
		if err != nil {
			return m, err
		}
		m.Files, err = writeFolder(o.Dir, stem(d.Name, s.id, p), document)
		return m, err
	}
	if p.To.After(r.now()) {
		return m, fmt.Errorf("period %s of %s ends at %s, which is still to come; to look at it now, have it written to a folder of its own", p, s.id, p.To.In(s.zone).Format(time.RFC3339))
	}
	runs, err := r.runs.Of(ctx, d.Name, s.id, s.zone)
	if err != nil {
		return m, err
	}
	if err := r.make(ctx, d, s, p, TriggerManual, find(runs, p)); err != nil {
		return m, err
	}
	m.Files = paths(r.dir, stem(d.Name, s.id, p))
	return m, nil
}

func (r *Reports) definition(name string) (*definition, error) {
	var known []string
	for _, d := range r.definitions {
		if d.Name == name {
			return d, nil
		}
		known = append(known, d.Name)
	}
	return nil, fmt.Errorf("report %q is not configured; allowed: %s", name, strings.Join(known, ", "))
}

// Listing is what report list shows of one report.
type Listing struct {
	Name, Schedule, Zone string
	Next                 time.Time // the next tick, in the report's zone
}

// List returns the configured reports, and the runs whose state changed last.
func (r *Reports) List(ctx context.Context, most int) ([]Listing, []Run, error) {
	var list []Listing
	for _, d := range r.definitions {
		list = append(list, Listing{Name: d.Name, Schedule: d.Definition.Schedule, Zone: d.Definition.Zone, Next: d.schedule.Next(r.now()).In(d.zone)})
	}
	runs, err := r.runs.Recent(ctx, most)
	return list, runs, err
}
