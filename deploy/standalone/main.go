// Command dwiarah is all of Dwiarah in one process, for a laptop, a demonstration, or a small office: an embedded Kafka-protocol broker, the ClickHouse
// engine, the three services and a page.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/stack"
	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/schemas/kit/cli"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/schemas/sample"
)

type commands struct {
	Up      upCommand        `cmd:"" help:"Start everything on a data folder, import archives, serve the page."`
	Demo    demoCommand      `cmd:"" help:"The main job on the bundled sample: import it, print a summary, write the report, serve the page."`
	Status  statusCommand    `cmd:"" help:"Show lag, rates, dead letters, coverage, tables and disk on one screen, refreshed until stopped."`
	Sample  sampleCommand    `cmd:"" help:"Write the bundled sample: an archive, its institutions file and its answer key."`
	Version kong.VersionFlag `help:"Print the version and end."`
}

// listen is where the parts listen; port 0 takes a free one.
type listen struct {
	ClickHouse string `name:"clickhouse" help:"Address of ClickHouse's HTTP interface." default:"127.0.0.1:8123" placeholder:"HOST:PORT"`
	Kafka      string `help:"Address of the Kafka broker." default:"127.0.0.1:9092" placeholder:"HOST:PORT"`
	Page       string `help:"Address of the page." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	LogLevel   string `help:"debug, info, warn or error." default:"${log_level}" enum:"debug,info,warn,error"`
}

const defaultLogLevel = "warn"

type upCommand struct {
	listen       `embed:""`
	Data         string    `help:"Folder that holds the log, the tables, the keys and the reports; made where it is missing." required:"" type:"path"`
	Institutions string    `help:"institutions.yaml: whose accounts are listened to. By default the one in the data folder." type:"path" placeholder:"FILE"`
	Import       []string  `help:"Archive to import, of any format of ingest import; .gz and .zst are read as they are. May be repeated." type:"path" placeholder:"FILE" sep:"none"`
	Mapping      string    `help:"Mapping of CSV archives: the name of a shipped one or a file. By default the one whose columns the file has." placeholder:"NAME|FILE"`
	Until        time.Time `help:"Up to when the archives are known to be complete; by default their last message." placeholder:"TIME"`
	Sources      string    `help:"Live sources to read meanwhile: the keys sources and webhook of ingest's configuration in a file of their own." type:"path" placeholder:"FILE" xor:"end"`
	ExitWhenIdle bool      `help:"End once every archive has landed." xor:"end"`
	Check        bool      `help:"Read institutions.yaml and the sources, look for the archives, start nothing."`
}

type demoCommand struct {
	listen `embed:""`
	Data   string `help:"Folder for the demonstration; made where it is missing." default:".build/demo" type:"path"`
	Exit   bool   `help:"End after the report instead of serving the page."`
	Live   bool   `help:"The live path instead: simulated platforms, polled and pushed, on which people write, edit and delete meanwhile; with --exit until all of it has arrived."`
}

type sampleCommand struct {
	Out  string `help:"Folder to write to; made where it is missing." required:"" type:"path"`
	Seed uint64 `help:"Another seed gives another sample of the same kind." default:"1"`
}

func main() {
	engine.RunIfChild()
	var c commands
	k := kong.Parse(&c, cli.Times(), kong.Name("dwiarah"), kong.UsageOnError(), kong.Vars{"version": version(), "log_level": defaultLogLevel},
		kong.Description("Dwiarah measures whether an institution listens back: who got an answer, how long people waited, what hurts its name."))
	level := c.Up.LogLevel
	var up stack.Config
	switch k.Command() {
	case "sample":
		k.FatalIfErrorf(c.Sample.run())
		return
	case "demo":
		level = c.Demo.LogLevel
	case "up":
		// What is wrong with the inputs is told before anything starts, a line a mistake, and not in a log line.
		var err error
		up, err = c.Up.config()
		k.FatalIfErrorf(err)
		k.FatalIfErrorf(stack.Check(up))
		if c.Up.Check {
			return
		}
	}
	tel, err := telemetry.New("dwiarah", telemetry.Config{Log: telemetry.LogConfig{Level: level, Format: "text"}})
	k.FatalIfErrorf(err)
	os.Exit(run.Main(tel.Log, func(ctx context.Context) error {
		switch {
		case k.Command() == "status":
			return c.Status.run(ctx, os.Stdout)
		case k.Command() == "demo" && c.Demo.Live:
			return c.Demo.live(ctx, tel.Log, liveShow())
		case k.Command() == "demo":
			return c.Demo.run(ctx, tel.Log)
		}
		return c.Up.run(ctx, up, tel.Log)
	}))
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}

func (l listen) config(data, institutions string) stack.Config {
	return stack.Config{
		DataDir: data, Institutions: institutions, ClickHouse: l.ClickHouse, Kafka: l.Kafka, Page: l.Page,
		Log: telemetry.LogConfig{Level: l.LogLevel, Format: "text"},
	}
}

// config reads the sources, where there are some.
func (c upCommand) config() (stack.Config, error) {
	if c.Institutions == "" {
		c.Institutions = filepath.Join(c.Data, "institutions.yaml")
	}
	cfg := c.listen.config(c.Data, c.Institutions)
	cfg.Archives, cfg.Mapping, cfg.Until, cfg.Reports = c.Import, c.Mapping, c.Until, true
	if c.Sources == "" {
		return cfg, nil
	}
	var live sources
	if err := config.Load(c.Sources, &live, config.WithPrefix(sourcesPrefix)); err != nil {
		return cfg, err
	}
	cfg.Sources, cfg.Webhook = live.Sources, live.Webhook
	return cfg, nil
}

// sources is the file of --sources: the part of ingest's configuration that is about platforms.
type sources struct {
	Sources []ingest.Source      `koanf:"sources"`
	Webhook ingest.WebhookConfig `koanf:"webhook"`
}

// sourcesPrefix begins the environment variables that override the file's keys: DWIARAH_INGEST_WEBHOOK__LISTEN.
const sourcesPrefix = "DWIARAH_INGEST_"

// Validate reports every bad value.
func (s sources) Validate(report config.Report) {
	if len(s.Sources) == 0 {
		report("sources", config.Written("none"), "the sources to read, as ingest/example.yaml has them")
	}
}

func (c upCommand) run(ctx context.Context, cfg stack.Config, log *slog.Logger) error {
	return serve(ctx, cfg, log, func(ctx context.Context, s *stack.Stack) (bool, error) {
		if err := printSummary(ctx, os.Stdout, s); err != nil {
			return false, err
		}
		return c.ExitWhenIdle, nil
	})
}

func (c sampleCommand) run() error {
	s, err := sample.Generate(sample.Options{Seed: c.Seed})
	if err != nil {
		return err
	}
	if err := s.Write(c.Out); err != nil {
		return err
	}
	fmt.Printf("%d messages in %s\n", len(s.Messages), c.Out)
	return nil
}

func (c demoCommand) run(ctx context.Context, log *slog.Logger) error {
	fmt.Println("writing the bundled sample: two-way conversations of fictitious institutions")
	dir := filepath.Join(c.Data, "sample")
	if err := (sampleCommand{Out: dir, Seed: 1}).run(); err != nil {
		return err
	}
	cfg := c.config(c.Data, filepath.Join(dir, sample.InstitutionsFile))
	cfg.Archives = []string{filepath.Join(dir, sample.ArchiveFile)}
	return serve(ctx, cfg, log, func(ctx context.Context, s *stack.Stack) (bool, error) {
		if err := printSummary(ctx, os.Stdout, s); err != nil {
			return false, err
		}
		files, err := s.WeeklyReport(ctx)
		if err != nil {
			return false, err
		}
		for _, f := range files {
			if filepath.Ext(f) == ".html" {
				fmt.Println("report:", f)
			}
		}
		return c.Exit, nil
	})
}

// serve starts the stack, tells how it goes, calls landed once every archive has landed, and works on until landed said that it is enough.
func serve(ctx context.Context, cfg stack.Config, log *slog.Logger, landed func(context.Context, *stack.Stack) (enough bool, err error)) (err error) {
	fmt.Println("starting the embedded Kafka and ClickHouse on", cfg.DataDir)
	s, err := stack.Start(ctx, cfg, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fmt.Printf("page        http://%s\nClickHouse  http://%s\nKafka       %s\n", s.Page, s.ClickHouse, s.Kafka)
	followed := make(chan error, 1)
	go func() {
		followed <- follow(ctx, s, func() error {
			enough, err := landed(ctx, s)
			if err == nil && !enough {
				fmt.Printf("serving http://%s until Ctrl-C\n", s.Page)
				return nil
			}
			cancel(err)
			return err
		})
	}()
	err = s.Run(ctx)
	cancel(nil)
	if followErr := <-followed; err == nil && followErr != nil && context.Cause(ctx) == followErr {
		err = followErr
	}
	if closeErr := s.Close(); err == nil {
		err = closeErr
	}
	return err
}
