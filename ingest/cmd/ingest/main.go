// Command ingest brings public messages into Kafka: it polls platforms, imports archives, and shows how far both are.
package main

import (
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/ingest/internal/archive"
	"github.com/dwiarah/dwiarah/schemas/kit/cli"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// commands is the command line.
type commands struct {
	Config  string           `help:"Configuration file; its keys can be overridden by the environment (DWIARAH_KAFKA__BROKERS)." placeholder:"FILE" type:"path"`
	Version kong.VersionFlag `help:"Print the version and end."`

	Run      runCommand      `cmd:"" default:"withargs" help:"Poll the configured sources until stopped."`
	Import   importCommand   `cmd:"" help:"Import archives: JSON lines, CSV, posts of X, exports of X, Mastodon and Bluesky."`
	Backfill backfillCommand `cmd:"" help:"Read a range of a source again."`
	Sources  sourcesCommand  `cmd:"" help:"Show how far each source is."`
	Check    checkCommand    `cmd:"" help:"Call each source once."`
	Forget   forgetCommand   `cmd:"" help:"Take an author or a message out of the files of known messages, after sink erase."`
	Keys     keysCommand     `cmd:"" help:"Make the identity keys, under which authors become pseudonyms."`
	Mappings mappingsCommand `cmd:"" help:"List the CSV mappings that ship."`
	Topics   topicsCommand   `cmd:"" help:"Make the topics of a file of specs where they are missing."`
	Tail     tailCommand     `cmd:"" help:"Print the records of a topic as JSON, a line each."`
}

// app is what every command gets.
type app struct {
	configPath string
	in         io.Reader
	out, err   io.Writer
	log        *slog.Logger
}

// config loads the configuration, defaults included.
func (a *app) config() (ingest.Config, error) {
	cfg := ingest.DefaultConfig()
	if err := config.Load(a.configPath, &cfg); err != nil {
		return cfg, err
	}
	return cfg, nil
}

func main() {
	os.Exit(start(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// formats are the names of the archive formats.
func formats() []string {
	var names []string
	for _, f := range archive.Formats() {
		names = append(names, string(f))
	}
	return names
}

// start returns the process's exit code.
func start(args []string, in io.Reader, out, errOut io.Writer) int {
	var c commands
	return cli.Program{
		Name: "ingest", Description: "Dwiarah's ingest: platforms and archives to Kafka.",
		Vars: kong.Vars{"formats": strings.Join(formats(), ", ")}, Out: out, Err: errOut,
	}.Run(args, &c, func(log *slog.Logger) any { return &app{configPath: c.Config, in: in, out: out, err: errOut, log: log} })
}
