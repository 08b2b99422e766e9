// Package fleet runs the pipeline's processes, each started anew from the binary that runs it, so that they can be killed, stopped and measured one by one.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest/apache"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/sink"
)

// roleVariable holds what a process is to be, as JSON: a fleet starts its own binary anew for each.
const roleVariable = "DWIARAH_FLEET_ROLE"

// Names of the processes.
const (
	Broker = "broker"
	Ingest = "ingest"
	Enrich = "enrich"
	Sink   = "sink"
)

// Role is what a process is told.
type Role struct {
	Name       string
	Kafka      string // address that clients dial
	Listen     string // of the broker: where it listens
	ClickHouse string // URL
	Database   string
	Group      string // of the sink; empty for the usual one
	Dir        string // everything that survives
	Telemetry  string // host:port of its metrics and health; empty for none
	Profiles   string // folder that the process leaves its profiles in when it ends in good order; empty for none
	// Of the broker: the folder of Apache Kafka's jars, to run that in place of the embedded one, and the host:port of its controller.
	KafkaJars, Control string
}

// Paths within Dir that whoever starts a fleet fills.
func (r Role) Institutions() string { return filepath.Join(r.Dir, "institutions.yaml") }
func (r Role) Keys() string         { return filepath.Join(r.Dir, "identity.keys") }
func (r Role) Inbox() string        { return filepath.Join(r.Dir, "inbox") }
func (r Role) imported() string     { return filepath.Join(r.Dir, "imported") }

// RunIfRole makes this process what its starter asks for, and does not return then. A command and a TestMain call it first.
func RunIfRole() {
	text := os.Getenv(roleVariable)
	if text == "" {
		return
	}
	go func() { // its starter holds the other end: whatever becomes of it, its processes do not outlive it
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	var r Role
	err := json.Unmarshal([]byte(text), &r)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err = r.profiled(func() error { return r.run(ctx) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, r.Name+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (r Role) run(ctx context.Context) error {
	tel, err := telemetry.New(r.Name, telemetry.Config{Listen: r.Telemetry, Log: telemetry.LogConfig{Level: "warn", Format: "text"}})
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	var server sync.WaitGroup
	server.Go(func() {
		if err := tel.Run(serving); err != nil {
			tel.Log.Error("nobody can look at this process", "error", err)
		}
	})
	defer server.Wait()
	defer stop()
	switch r.Name {
	case Broker:
		return r.runBroker(ctx, tel.Log)
	case Ingest:
		return r.runIngest(ctx, tel)
	case Enrich:
		cfg := enrich.DefaultConfig()
		cfg.Kafka.Brokers = []string{r.Kafka}
		s, err := enrich.New(cfg, tel)
		if err != nil {
			return err
		}
		return run.New(tel.Log, run.Part{Name: r.Name, Run: s.Run}).Run(ctx)
	case Sink:
		s, err := sink.New(r.sink(), tel)
		if err != nil {
			return err
		}
		return run.New(tel.Log, run.Part{Name: r.Name, Run: s.Run, Drain: 20 * time.Second}).Run(ctx)
	}
	return fmt.Errorf("role %q is not known", r.Name)
}

func (r Role) sink() sink.Config {
	cfg := sink.DefaultConfig()
	cfg.Kafka.Brokers = []string{r.Kafka}
	if r.Group != "" {
		cfg.Kafka.Group = r.Group
	}
	cfg.ClickHouse.Addresses, cfg.ClickHouse.Database = []string{r.ClickHouse}, r.Database
	// An INSERT over a network that swallows answers is given up after this.
	cfg.ClickHouse.AttemptTimeout, cfg.ClickHouse.RetryMost = config.Duration(10*time.Second), config.Duration(2*time.Second)
	cfg.Institutions, cfg.Migrate = r.Institutions(), true
	cfg.Reports.Enabled, cfg.Reports.Dir = false, filepath.Join(r.Dir, "reports")
	return cfg
}

// Partitions of each topic.
const Partitions = 4

// Topics are those of the pipeline.
func Topics() []kafka.TopicSpec {
	var all []kafka.TopicSpec
	for _, name := range []string{schemas.TopicRaw, schemas.TopicEnriched, schemas.TopicDead, schemas.TopicLedger} {
		all = append(all, kafka.TopicSpec{Name: name, Partitions: Partitions})
	}
	return all
}

func (r Role) kafkaDir() string { return filepath.Join(r.Dir, "kafka") }

// command is what the process of the role is: this binary once more, or Apache Kafka.
func (r Role) command() (*exec.Cmd, error) {
	if r.KafkaJars != "" && r.Name == Broker {
		return apache.Node{Jars: r.KafkaJars, Dir: r.kafkaDir(), Addr: r.Listen, Advertise: r.Kafka, Control: r.Control}.Command()
	}
	told, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+string(told))
	return cmd, nil
}

func (r Role) runBroker(ctx context.Context, log *slog.Logger) error {
	b, err := broker.Start(broker.Config{Addr: r.Listen, Advertise: r.Kafka, DataDir: r.kafkaDir(), Topics: Topics(), Log: log})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return b.Close()
}

// runIngest imports the archives of the inbox in their order, and goes on with what comes. Which of them are done is written down after each: a process
// that dies in between imports one more than needed, which changes nothing.
func (r Role) runIngest(ctx context.Context, tel *telemetry.Telemetry) error {
	directory, err := institutions.Load(r.Institutions())
	if err != nil {
		return err
	}
	ring, err := ingest.LoadKeys(r.Keys())
	if err != nil {
		return err
	}
	done, err := r.Imported()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		entries, err := os.ReadDir(r.Inbox())
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
			}, []string{filepath.Join(r.Inbox(), e.Name())})
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			done = append(done, e.Name())
			if err := r.setDone(done); err != nil {
				return err
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

// Imported are the archives of the inbox that ingest has done with.
func (r Role) Imported() ([]string, error) {
	text, err := os.ReadFile(r.imported())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(text)), err
}

func (r Role) setDone(names []string) error {
	next := r.imported() + ".next"
	if err := os.WriteFile(next, []byte(strings.Join(names, "\n")), 0o600); err != nil {
		return err
	}
	return os.Rename(next, r.imported())
}
