// Command sink writes enriched messages from Kafka to ClickHouse, and serves the people who look after them.
package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/schemas/kit/cli"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/sink"
)

// commands is the command line.
type commands struct {
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
	var c commands
	return cli.Program{Name: "sink", Description: "Dwiarah's sink: Kafka to ClickHouse.", Out: out, Err: errOut}.
		Run(args, &c, func(log *slog.Logger) any { return &app{configPath: c.Config, In: in, Out: out, Log: log} })
}
