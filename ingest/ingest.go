package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/ingest/internal/poll"
	"github.com/dwiarah/dwiarah/ingest/internal/recheck"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/ingest/internal/webhook"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
)

// Ingest polls the configured sources.
type Ingest struct {
	cfg      Config
	log      *slog.Logger
	feeds    []poll.Feed
	producer *kafka.Producer
	poller   *poll.Poller
	webhook  *webhook.Service // nil where none are taken
}

const (
	// jitter spreads sources that are due in the same second.
	jitter = 3 * time.Second
	// pollLimit is how long a source may take to end a poll, waits for its platform's budget included, before ingest calls itself ill.
	pollLimit = 30 * time.Minute
)

// New builds everything and calls nobody. The configuration has passed Validate; the error names whatever else is wrong with it, all at once.
func New(cfg Config, tel *telemetry.Telemetry) (*Ingest, error) {
	directory, err := institutions.Load(cfg.Institutions)
	if err != nil {
		return nil, err
	}
	if cfg.Keys.IsZero() {
		return nil, errors.New(`keys: missing; allowed: "file:PATH" or "env:NAME" of what ingest keys init makes`)
	}
	ring, err := identitykey.Parse(cfg.Keys.Reveal())
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	conn, err := cfg.Kafka.Conn(ClientID)
	if err != nil {
		return nil, err
	}
	in := &Ingest{cfg: cfg, log: tel.Log}
	if in.feeds, err = feeds(cfg, directory, tel.Log); err != nil {
		return nil, err
	}
	if in.producer, err = kafka.NewProducer(kafka.ProducerConfig{Conn: conn, Log: tel.Log, Metrics: tel.Registry}); err != nil {
		return nil, err
	}
	signs := map[string]*telemetry.Progress{}
	for _, f := range in.feeds {
		signs[f.Source.Connector()] = tel.Health.Progress(f.Source.Connector(), pollLimit)
	}
	in.poller = poll.New(poll.Config{
		Feeds: in.feeds, Converter: identity.New(ring, directory), Producer: in.producer, StateDir: in.cursorDir(), Log: tel.Log, Now: time.Now,
		Metrics: tel.Registry, Jitter: jitter, Progress: func(connector string) { signs[connector].Advance() },
	})
	if cfg.Webhook.Listen != "" {
		if in.webhook, err = in.receive(tel); err != nil {
			return nil, errors.Join(err, in.producer.Close())
		}
	}
	return in, nil
}

// CheckSources builds the sources, calls nobody, and reports every mistake of theirs that Validate cannot see without the institutions file and the state.
func CheckSources(cfg Config) error {
	directory, err := institutions.Load(cfg.Institutions)
	if err != nil {
		return err
	}
	_, err = feeds(cfg, directory, slog.New(slog.DiscardHandler))
	return err
}

// receive builds what takes deliveries, for every source that can.
func (in *Ingest) receive(tel *telemetry.Telemetry) (*webhook.Service, error) {
	var targets []webhook.Target
	for _, f := range in.feeds {
		if r, can := f.Source.(source.Receiver); can {
			targets = append(targets, webhook.Target{
				Connector: f.Source.Connector(), Platform: f.Platform, Receiver: r,
				Deliver: func(ctx context.Context, body []byte) error { return in.poller.Receive(ctx, f, body) },
			})
		}
	}
	return webhook.New(webhook.Config{
		Listen: in.cfg.Webhook.Listen, Dir: filepath.Join(in.cfg.StateDir, "deliveries"), Targets: targets, Log: tel.Log, Metrics: tel.Registry, Now: time.Now,
	})
}

func (in *Ingest) cursorDir() string { return cursorDir(in.cfg) }

func cursorDir(cfg Config) string { return filepath.Join(cfg.StateDir, "cursors") }

// builder builds feeds.
type builder struct {
	cfg       Config
	directory *institutions.Directory
	log       *slog.Logger
	purses    *budget.Purses
	libraries map[string]*recheck.Library // by platform
}

// feeds builds the sources. A source for an account of no institution is refused: only an institution has a purpose, a legal basis and a retention.
func feeds(cfg Config, directory *institutions.Directory, log *slog.Logger) ([]poll.Feed, error) {
	b := &builder{
		cfg: cfg, directory: directory, log: log, purses: budget.NewPurses(filepath.Join(cfg.StateDir, "budgets"), time.Now), libraries: map[string]*recheck.Library{},
	}
	var all []poll.Feed
	var problems []error
	seen := map[string]bool{}
	for n, s := range cfg.Sources {
		at := fmt.Sprintf("sources[%d]", n)
		f, err := b.feed(source.Config(s).WithDefaults())
		if err != nil {
			problems = append(problems, fmt.Errorf("%s.%w", at, err))
			continue
		}
		if name := f.Source.Connector(); seen[name] {
			problems = append(problems, fmt.Errorf("%s: %q; allowed: a source that no other entry configures", at, name))
		} else {
			seen[name] = true
		}
		all = append(all, f)
	}
	return all, errors.Join(problems...)
}

// Messages that are kept for their re-read, of a source of one account and of one of all accounts.
const (
	knownOfOne = 5_000
	knownOfAll = 100_000
)

func (b *builder) feed(cfg source.Config) (poll.Feed, error) {
	platform, known := platforms()[cfg.Platform]
	if !known {
		return poll.Feed{}, fmt.Errorf("platform: %q; allowed: one of %s", cfg.Platform, strings.Join(sorted(platforms()), ", "))
	}
	f := poll.Feed{Platform: cfg.Platform, RecheckPerPoll: cfg.RecheckPerPoll}
	account, limit := source.Account{}, knownOfOne
	if platform.All != "" {
		f.Platform, f.Wide, limit = platform.All, true, knownOfAll
		for i := range b.directory.All() {
			if in := &b.directory.All()[i]; len(in.Accounts[platform.All]) > 0 {
				f.Institutions = append(f.Institutions, in)
			}
		}
		if len(f.Institutions) == 0 {
			return f, fmt.Errorf("platform: %q; allowed where an institution of the institutions file has an account on %s", cfg.Platform, platform.All)
		}
	} else {
		account.Institution, account.Account = b.directory.Owner(cfg.Platform, cfg.Account)
		if account.Institution == nil {
			return f, fmt.Errorf("account: %q; allowed: an account on %s of an institution in the institutions file, which states purpose, legal basis and retention", cfg.Account, cfg.Platform)
		}
		f.Institutions, f.Account = []*institutions.Institution{account.Institution}, account.Account.Name()
	}
	var wrong []error
	settings := decodeSettings(platform, cfg.Settings, func(key string, value any, allowed string) {
		wrong = append(wrong, fmt.Errorf("%s: %v; allowed: %s", key, value, allowed))
	})
	var err error
	if f.Schedule, err = poll.ParseSchedule(cfg.Schedule); err != nil {
		wrong = append(wrong, fmt.Errorf("schedule: %q: %w", cfg.Schedule, err))
	}
	if err := errors.Join(wrong...); err != nil {
		return f, err
	}
	library := b.libraries[f.Platform]
	if library == nil {
		library = &recheck.Library{}
		b.libraries[f.Platform] = library
	}
	f.Known = library.Message
	f.Source, err = platform.New(source.Environment{
		Config: cfg, Account: account, Directory: b.directory, Log: b.log, Now: time.Now,
		Settings: settings, Purses: b.purses, Known: library.Message, KnownAuthor: library.Author,
	})
	if err != nil {
		return f, err
	}
	within := time.Duration(0)
	if r, ok := f.Source.(source.Rechecker); ok {
		within = r.Rechecks().Within
	}
	f.Book, err = recheck.Open(recheck.Config{
		Path: filepath.Join(knownDir(b.cfg), poll.FileName(f.Source.Connector())+".jsonl"), Keep: cfg.Recheck.Std(), Limit: limit, Within: within, Now: time.Now,
	})
	if err == nil {
		library.Add(f.Book)
	}
	return f, err
}

// Run polls until ctx ends, then lets what is under way become durable and returns nil. The error is of our own state: what a platform does wrong
// becomes a gap in the coverage ledger.
func (in *Ingest) Run(ctx context.Context) error {
	if len(in.feeds) == 0 {
		in.log.Info("no source is configured; nothing is polled")
	}
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return in.poller.Run(ctx) })
	if in.webhook != nil {
		parts.Go(func() error { return in.webhook.Run(ctx) })
	}
	return errors.Join(parts.Wait(), in.producer.Close())
}

// Close releases what New opened, for an Ingest that is not run.
func (in *Ingest) Close() error { return in.producer.Close() }

// CheckResult is what one call to one source said.
type CheckResult struct {
	Connector string
	Err       error
	// Meaning says in words what is wrong and what to do; it may be empty.
	Meaning string
}

// Explain says in words what a failed call of a platform means and what to do; empty where the error says it itself.
func Explain(err error) string { return web.Explain(err) }

// checks is how many sources are called at a time: one that does not answer keeps few others waiting.
const checks = 8

// Check calls each source once.
func (in *Ingest) Check(ctx context.Context) []CheckResult {
	results := make([]CheckResult, len(in.feeds))
	var calls errgroup.Group
	calls.SetLimit(checks)
	for i, f := range in.feeds {
		calls.Go(func() error {
			err := f.Source.Check(ctx)
			results[i] = CheckResult{Connector: f.Source.Connector(), Err: err, Meaning: Explain(err)}
			return nil
		})
	}
	_ = calls.Wait() // what is wrong stands in the results
	return results
}

// Backfill reads [since, until) of one source again, however long ago, and says what became of what it read.
func (in *Ingest) Backfill(ctx context.Context, connector string, since, until time.Time) (Counts, error) {
	at := slices.IndexFunc(in.feeds, func(f poll.Feed) bool { return f.Source.Connector() == connector })
	if at < 0 {
		var known []string
		for _, f := range in.feeds {
			known = append(known, f.Source.Connector())
		}
		return Counts{}, fmt.Errorf("source: %q; allowed: one of %s", connector, strings.Join(known, ", "))
	}
	if !since.Before(until) {
		return Counts{}, fmt.Errorf("since: %q; allowed: a time before until, %s", since.Format(time.RFC3339), until.Format(time.RFC3339))
	}
	return in.poller.Backfill(ctx, in.feeds[at], since, until)
}

// SourceState is how far a source is.
type SourceState = poll.Position

// Sources returns how far each configured source is, in the configuration's order.
func (in *Ingest) Sources() ([]SourceState, error) {
	var connectors []string
	for _, f := range in.feeds {
		connectors = append(connectors, f.Source.Connector())
	}
	all, err := poll.Load(in.cursorDir(), connectors)
	for i := range all {
		all[i].Account = in.feeds[i].Account
	}
	return all, err
}
