// Package stack is the whole of Dwiarah in one process: an embedded broker, a ClickHouse child and the three services, composed as their own commands
// compose them. Nothing is written a second time for it.
package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/page"
	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/sink"
)

// partitions of each topic on the one node; two cores keep four busy.
const partitions = 4

// Config is the standalone's whole configuration.
type Config struct {
	// DataDir holds everything that survives: the log, the tables, keys, import positions and reports.
	DataDir string
	// Institutions is the path of institutions.yaml.
	Institutions string
	// ClickHouse, Kafka and Page are addresses to listen on; port 0 takes a free one.
	ClickHouse, Kafka, Page string
	// Archives to import, the mapping of those that are CSV, and up to when they are known to be complete (zero: to their last message).
	Archives []string
	Mapping  string
	Until    time.Time
	// Sources are live sources, polled or followed as ingest does, and Webhook takes what their platforms deliver.
	Sources []ingest.Source
	Webhook ingest.WebhookConfig
	// Reports makes the weekly reports on their schedule.
	Reports bool
	// Batch is how many rows an import sends at a time, and SinkRecords how many the sink gathers; 0 means their defaults.
	Batch, SinkRecords int
	Log                telemetry.LogConfig
}

// Paths within the data folder.
func (c Config) keysFile() string { return filepath.Join(c.DataDir, "identity.keys") }
func (c Config) stateDir() string { return filepath.Join(c.DataDir, "ingest") }

// ingest is the configuration of the live sources.
func (c Config) ingest() ingest.Config {
	cfg := ingest.DefaultConfig()
	cfg.Institutions, cfg.StateDir, cfg.Sources, cfg.Webhook = c.Institutions, c.stateDir(), c.Sources, c.Webhook
	return cfg
}

// ReportsDir is where reports are written and where the page finds them.
func (c Config) ReportsDir() string { return filepath.Join(c.DataDir, "reports") }

// AdaptationsDir is where adaptations to institutions' streams are kept.
func (c Config) AdaptationsDir() string { return filepath.Join(c.DataDir, "adaptations") }

// Stack is a standalone that has been started.
type Stack struct {
	// Conn is a connection to the database, and Progress tells how far the pipeline is.
	Conn     driver.Conn
	Progress func(ctx context.Context) (page.Progress, error)
	// ClickHouse, Kafka and Page are the addresses that are listened on.
	ClickHouse, Kafka, Page string

	cfg      Config
	log      *slog.Logger
	engine   *engine.Engine
	broker   *broker.Broker
	listener net.Listener
	sink     *sink.Sink
	enricher *enrich.Service
	imports  *imports
	ingest   *ingest.Ingest // nil without live sources
	health   []*telemetry.Telemetry
	parts    []run.Part
}

// Start starts the broker and the engine and builds everything else; Run works, Close ends what Start has started.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Stack, error) {
	s := &Stack{cfg: cfg, log: log, imports: newImports(cfg.Archives)}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	directory, err := institutions.Load(s.cfg.Institutions)
	if err != nil {
		return err
	}
	for _, dir := range []string{s.cfg.DataDir, s.cfg.ReportsDir(), s.cfg.stateDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the data folder: %w", err)
		}
	}
	// The first start makes the keys; they never leave the data folder.
	if _, err := ingest.InitKeys(s.cfg.keysFile()); err != nil {
		return err
	}
	keys, err := ingest.LoadKeys(s.cfg.keysFile())
	if err != nil {
		return err
	}
	s.log.Info("starting the embedded ClickHouse")
	if s.engine, err = engine.Start(ctx, engine.Config{
		DataDir: filepath.Join(s.cfg.DataDir, "clickhouse"), Addr: s.cfg.ClickHouse, Supervise: true, Logger: s.log,
	}); err != nil {
		return err
	}
	s.ClickHouse = s.engine.Addr()
	s.log.Info("starting the embedded Kafka")
	if s.broker, err = broker.Start(broker.Config{
		Addr: s.cfg.Kafka, DataDir: filepath.Join(s.cfg.DataDir, "kafka"), Topics: topics(), Log: s.log,
	}); err != nil {
		return err
	}
	s.Kafka = s.broker.Addr()
	if s.listener, err = net.Listen("tcp", s.cfg.Page); err != nil {
		return fmt.Errorf("listening for the page: %w", err)
	}
	s.Page = s.listener.Addr().String()
	return s.build(ctx, directory, keys)
}

// topics keep what people wrote as long as those of deploy/kafka do. The embedded broker deletes whole segments and closes them by size alone, so they are small: in a partition that
// gets less than a mebibyte in 72 hours, and something in each of them, a text stays longer.
func topics() []kafka.TopicSpec {
	const text, ledger, segment = 60 * time.Hour, 30 * 24 * time.Hour, 8 * time.Hour
	var specs []kafka.TopicSpec
	for name, kept := range map[string]time.Duration{schemas.TopicRaw: text, schemas.TopicEnriched: text, schemas.TopicDead: text, schemas.TopicLedger: ledger} {
		specs = append(specs, kafka.TopicSpec{Name: name, Partitions: partitions, Replication: 1, Config: map[string]string{
			"retention.ms": strconv.FormatInt(kept.Milliseconds(), 10), "segment.ms": strconv.FormatInt(segment.Milliseconds(), 10), "segment.bytes": strconv.Itoa(1 << 20),
		}})
	}
	return specs
}

// build makes the services as their commands make them, each with a telemetry of its own, all of which the page's address serves.
func (s *Stack) build(ctx context.Context, directory *institutions.Directory, keys *identitykey.Ring) error {
	conn := kafka.Conn{Brokers: []string{s.Kafka}, ClientID: "dwiarah"}

	sinkConfig := sink.DefaultConfig()
	sinkConfig.Kafka.Brokers = conn.Brokers
	sinkConfig.ClickHouse.Addresses = []string{"http://" + s.ClickHouse}
	sinkConfig.Institutions = s.cfg.Institutions
	sinkConfig.Migrate = true
	sinkConfig.Reports.Enabled, sinkConfig.Reports.Dir = s.cfg.Reports, s.cfg.ReportsDir()
	if s.cfg.SinkRecords > 0 {
		sinkConfig.Batch.Records = s.cfg.SinkRecords
	}
	// Before anything else reads: the page and the reports find their views from the first moment on.
	if _, err := sink.Migrate(ctx, sinkConfig, s.log); err != nil {
		return err
	}
	sinkTel, err := s.telemetry("sink")
	if err != nil {
		return err
	}
	if s.sink, err = sink.New(sinkConfig, sinkTel); err != nil {
		return err
	}

	enrichConfig := enrich.DefaultConfig()
	enrichConfig.Kafka.Brokers = conn.Brokers
	enrichConfig.Classify.Adaptations = s.cfg.AdaptationsDir()
	enrichTel, err := s.telemetry("enrich")
	if err != nil {
		return err
	}
	if s.enricher, err = enrich.New(enrichConfig, enrichTel); err != nil {
		return err
	}

	if s.Conn, err = clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{s.ClickHouse}, Auth: clickhouse.Auth{Database: sinkConfig.ClickHouse.Database},
	}); err != nil {
		return fmt.Errorf("connecting to ClickHouse: %w", err)
	}
	positions := &positions{conn: conn, enrichGroup: enrichConfig.Kafka.Group, sinkGroup: sinkConfig.Kafka.Group, imports: s.imports}
	s.Progress = positions.Progress

	ingestTel, err := s.telemetry("ingest")
	if err != nil {
		return err
	}
	importConfig := ingest.ImportConfig{
		Kafka: conn, Institutions: directory, Keys: keys, StateDir: s.cfg.stateDir(), Mapping: s.cfg.Mapping, Until: s.cfg.Until,
		BatchMessages: s.cfg.Batch, Log: s.log, Metrics: ingestTel.Registry,
	}

	if len(s.cfg.Sources) > 0 {
		text, err := os.ReadFile(s.cfg.keysFile())
		if err != nil {
			return fmt.Errorf("reading the identity keys: %w", err)
		}
		ingestConfig := s.cfg.ingest()
		ingestConfig.Kafka.Brokers, ingestConfig.Keys = conn.Brokers, config.NewSecret(string(text))
		if s.ingest, err = ingest.New(ingestConfig, ingestTel); err != nil {
			return err
		}
	}

	web, err := s.page()
	if err != nil {
		return err
	}
	s.parts = []run.Part{
		{Name: "sink", Run: s.sink.Run},
		{Name: "enrich", Run: s.enricher.Run},
		{Name: "page", Run: web},
		{Name: "import", MayFinish: true, Run: func(ctx context.Context) error { return s.imports.run(ctx, importConfig, s.cfg.Archives, s.log) }},
	}
	if s.ingest != nil {
		s.parts = append(s.parts, run.Part{Name: "ingest", Run: s.ingest.Run})
	}
	return nil
}

func (s *Stack) telemetry(service string) (*telemetry.Telemetry, error) {
	tel, err := telemetry.New(service, telemetry.Config{Log: s.cfg.Log})
	if err != nil {
		return nil, err
	}
	s.health = append(s.health, tel)
	return tel, nil
}

// page serves the page, and the metrics of all services together.
func (s *Stack) page() (func(ctx context.Context) error, error) {
	p, err := page.New(page.Config{
		Conn: s.Conn, Measure: s.measure, ReportsDir: s.cfg.ReportsDir(), Progress: s.Progress, Log: s.log,
		Addresses: page.Addresses{ClickHouse: s.ClickHouse, Kafka: s.Kafka, Database: sink.DefaultConfig().ClickHouse.Database},
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	p.Mount(mux)
	var gatherers prometheus.Gatherers
	for _, tel := range s.health {
		gatherers = append(gatherers, tel.Gatherer())
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherers, promhttp.HandlerOpts{}))
	server := telemetry.NewServer(mux, s.log)
	return func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() {
			grace, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			_ = server.Shutdown(grace)
		})
		defer stop()
		if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving the page: %w", err)
		}
		return nil
	}, nil
}

// measure measures the classifier by an institution's labels, so that its shares are corrected.
func (s *Stack) measure(ctx context.Context, institution string) error {
	_, err := enrich.Measure(ctx, s.Conn, s.enricher.Classifiers(), institution)
	return err
}

// Run works until ctx ends or a part dies, then stops the parts in reverse order.
func (s *Stack) Run(ctx context.Context) error {
	return run.New(s.log, s.parts...).Run(ctx)
}

// Landed waits until every archive is imported and nothing waits between the stages. A question to Kafka that goes unanswered is asked again.
func (s *Stack) Landed(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		p, err := s.Progress(ctx)
		if err != nil {
			s.log.Warn("asking again how far the pipeline is", "error", err)
			continue
		}
		if p.Idle {
			return nil
		}
	}
}

// WeeklyReport makes the weekly report of the last whole week up to which every institution is known, and returns its files. The schedule makes the same
// report of the weeks that the clock ends; an archive's weeks have ended long ago.
func (s *Stack) WeeklyReport(ctx context.Context) ([]string, error) {
	list, err := page.Summaries(ctx, s.Conn)
	if err != nil {
		return nil, err
	}
	var known time.Time
	for _, in := range list {
		if !in.NowObs.IsZero() && (known.IsZero() || in.NowObs.Before(known)) {
			known = in.NowObs
		}
	}
	if known.IsZero() {
		return nil, errors.New("making the weekly report: no institution has any coverage")
	}
	year, week := known.AddDate(0, 0, -7).ISOWeek()
	made, err := s.sink.Report(ctx, sink.ReportOrder{Report: sink.DefaultConfig().Reports.List[0].Name, Period: fmt.Sprintf("%04d-W%02d", year, week)})
	if err != nil {
		return nil, fmt.Errorf("making the weekly report: %w", err)
	}
	var files []string
	for _, m := range made {
		files = append(files, m.Files...)
	}
	return files, nil
}

// Imported says what the imports did; it is complete once Landed has returned nil.
func (s *Stack) Imported() ingest.ImportSummary {
	s.imports.mu.Lock()
	defer s.imports.mu.Unlock()
	return s.imports.summary
}

// Close ends the broker and the engine.
func (s *Stack) Close() error {
	var errs []error
	if s.Conn != nil {
		errs = append(errs, s.Conn.Close())
	}
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.broker != nil {
		errs = append(errs, s.broker.Close())
	}
	if s.engine != nil {
		errs = append(errs, s.engine.Close())
	}
	return errors.Join(errs...)
}

// Check reads the inputs of a configuration and starts nothing.
func Check(cfg Config) error {
	_, err := institutions.Load(cfg.Institutions)
	if err == nil {
		err = ingest.CheckSources(cfg.ingest())
	}
	errs := []error{err}
	for _, f := range cfg.Archives {
		if f == ingest.Stdin {
			continue
		}
		if _, err := os.Stat(f); err != nil {
			errs = append(errs, fmt.Errorf("looking for an archive: %w", err))
		}
	}
	return errors.Join(errs...)
}
