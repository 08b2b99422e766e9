// Command sink writes enriched messages from Kafka to ClickHouse, and serves the people who look after them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
	"github.com/dwiarah/dwiarah/sink"
)

// cli is the command line.
type cli struct {
	Config  string           `help:"Configuration file; its keys can be overridden by the environment (DWIARAH_CLICKHOUSE__DATABASE)." placeholder:"FILE" type:"path"`
	Version kong.VersionFlag `help:"Print the version and end."`

	Run     runCommand      `cmd:"" default:"withargs" help:"Write enriched messages and the coverage ledger to ClickHouse until stopped."`
	Migrate migrateCommand  `cmd:"" help:"Create the database, its tables and views, or bring them up to this version."`
	DLQ     dlqCommand      `cmd:"" name:"dlq" help:"Look at dead letters, and replay them."`
	Verify  verifyCommand   `cmd:"" help:"Compare what Kafka holds with what became of it, and fail where a record has no fate."`
	Report  reportCommand   `cmd:"" help:"Make a report by hand, or list them."`
	SQL     sqlCommand      `cmd:"" name:"sql" help:"Run one query that only reads, and print its result as a table."`
	Erase   eraseCommand    `cmd:"" help:"Erase a message, an author, or what is marked as deleted, from ClickHouse, and leave tombstones."`
	Subject subjectCommands `cmd:"" help:"Fulfil the request of an author: list, erase, hide, show."`
}

// app is what every command gets.
type app struct {
	configPath string
	In         io.Reader
	Out        io.Writer
	Log        *slog.Logger
}

// config loads the configuration, defaults included.
func (a *app) config() (sink.Config, error) {
	cfg := sink.DefaultConfig()
	if err := config.Load(a.configPath, &cfg); err != nil {
		return cfg, err
	}
	return cfg, nil
}

// kafka returns how the configuration reaches Kafka.
func (a *app) kafka() (kafka.Conn, error) {
	cfg, err := a.config()
	if err != nil {
		return kafka.Conn{}, err
	}
	return cfg.Kafka.Conn(sink.ClientID)
}

func main() {
	os.Exit(start(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// start returns the process's exit code.
func start(args []string, in io.Reader, out, errOut io.Writer) int {
	log := slog.New(slog.NewTextHandler(errOut, nil))
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("sink"), kong.Description("Dwiarah's sink: Kafka to ClickHouse."), kong.UsageOnError(),
		kong.Writers(out, errOut), kong.Exit(func(code int) { exited = code }), kong.Vars{"version": version()})
	if err != nil {
		fmt.Fprintln(errOut, "sink:", err)
		return 1
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help and --version
		return exited
	}
	if err != nil {
		parser.FatalIfErrorf(err)
		return 2
	}
	code := 0
	aborted := run.Main(log, func(ctx context.Context) error {
		parsed.BindTo(ctx, (*context.Context)(nil))
		err := parsed.Run(&app{configPath: c.Config, In: in, Out: out, Log: log})
		switch {
		case err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled):
			fmt.Fprintln(errOut, "sink: stopped")
			code = 1
		case err != nil:
			// An error may have many lines, one for each mistake in a file; a log would fold them into one.
			fmt.Fprintln(errOut, "sink:", err)
			code = 1
		}
		return nil
	})
	return max(code, aborted)
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value
		}
	}
	return v
}
