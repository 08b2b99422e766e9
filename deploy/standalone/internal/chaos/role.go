package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/sink"
)

// roleVariable holds what a process of the harness is to be, as JSON: the harness starts its own binary anew for each.
const roleVariable = "DWIARAH_CHAOS_ROLE"

// Names of the processes.
const (
	roleBroker = "broker"
	roleIngest = "ingest"
	roleEnrich = "enrich"
	roleSink   = "sink"
)

// role is what a process is told.
type role struct {
	Name       string
	Kafka      string // address that clients dial
	Listen     string // of the broker: where it listens
	ClickHouse string // URL
	Database   string
	Group      string // of the sink; empty for the usual one
	Dir        string // everything that survives
}

func (r role) institutions() string { return filepath.Join(r.Dir, "institutions.yaml") }
func (r role) keys() string         { return filepath.Join(r.Dir, "identity.keys") }
func (r role) inbox() string        { return filepath.Join(r.Dir, "inbox") }
func (r role) imported() string     { return filepath.Join(r.Dir, "imported") }

// RunIfRole makes this process what the harness asks for, and does not return then. A command and a TestMain call it first.
func RunIfRole() {
	text := os.Getenv(roleVariable)
	if text == "" {
		return
	}
	go func() { // the harness holds the other end: whatever becomes of it, its processes do not outlive it
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	var r role
	err := json.Unmarshal([]byte(text), &r)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err = r.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, r.Name+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (r role) run(ctx context.Context) error {
	tel, err := telemetry.New(r.Name, telemetry.Config{Log: telemetry.LogConfig{Level: "warn", Format: "text"}})
	if err != nil {
		return err
	}
	switch r.Name {
	case roleBroker:
		return r.runBroker(ctx, tel.Log)
	case roleIngest:
		return r.runIngest(ctx, tel)
	case roleEnrich:
		cfg := enrich.DefaultConfig()
		cfg.Kafka.Brokers = []string{r.Kafka}
		s, err := enrich.New(cfg, tel)
		if err != nil {
			return err
		}
		return run.New(tel.Log, run.Part{Name: r.Name, Run: s.Run}).Run(ctx)
	case roleSink:
		s, err := sink.New(r.sink(), tel)
		if err != nil {
			return err
		}
		return run.New(tel.Log, run.Part{Name: r.Name, Run: s.Run, Drain: 20 * time.Second}).Run(ctx)
	}
	return fmt.Errorf("role %q is not known", r.Name)
}

func (r role) sink() sink.Config {
	cfg := sink.DefaultConfig()
	cfg.Kafka.Brokers = []string{r.Kafka}
	if r.Group != "" {
		cfg.Kafka.Group = r.Group
	}
	cfg.ClickHouse.Addresses, cfg.ClickHouse.Database = []string{r.ClickHouse}, r.Database
	// An INSERT over a network that swallows answers is given up after this.
	cfg.ClickHouse.AttemptTimeout, cfg.ClickHouse.RetryMost = config.Duration(10*time.Second), config.Duration(2*time.Second)
	cfg.Institutions, cfg.Migrate = r.institutions(), true
	cfg.Reports.Enabled, cfg.Reports.Dir = false, filepath.Join(r.Dir, "reports")
	return cfg
}

// partitions of each topic.
const partitions = 4

func (r role) runBroker(ctx context.Context, log *slog.Logger) error {
	cfg := broker.Config{Addr: r.Listen, Advertise: r.Kafka, DataDir: filepath.Join(r.Dir, "kafka"), Log: log}
	for _, name := range []string{schemas.TopicRaw, schemas.TopicEnriched, schemas.TopicDead, schemas.TopicLedger} {
		cfg.Topics = append(cfg.Topics, kafka.TopicSpec{Name: name, Partitions: partitions})
	}
	b, err := broker.Start(cfg)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return b.Close()
}

// runIngest imports the archives of the inbox in their order, and goes on with what comes. Which of them are done is written down after each: a process
// that dies in between imports one more than needed, which changes nothing.
func (r role) runIngest(ctx context.Context, tel *telemetry.Telemetry) error {
	directory, err := institutions.Load(r.institutions())
	if err != nil {
		return err
	}
	ring, err := ingest.LoadKeys(r.keys())
	if err != nil {
		return err
	}
	done, err := r.done()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		entries, err := os.ReadDir(r.inbox())
		if err != nil {
			return err
		}
		moved := false
		for _, e := range entries {
			if slices.Contains(done, e.Name()) || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			_, err := ingest.Import(ctx, ingest.ImportConfig{
				Kafka: kafka.Conn{Brokers: []string{r.Kafka}, ClientID: "chaos-ingest"}, Institutions: directory, Keys: ring,
				StateDir: filepath.Join(r.Dir, "ingest"), BatchMessages: 500, Log: tel.Log,
			}, []string{filepath.Join(r.inbox(), e.Name())})
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			if done = append(done, e.Name()); r.setDone(done) != nil {
				return r.setDone(done)
			}
			moved = true
		}
		if !moved {
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func (r role) done() ([]string, error) {
	text, err := os.ReadFile(r.imported())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(text)), err
}

func (r role) setDone(names []string) error {
	next := r.imported() + ".next"
	if err := os.WriteFile(next, []byte(strings.Join(names, "\n")), 0o600); err != nil {
		return err
	}
	return os.Rename(next, r.imported())
}
