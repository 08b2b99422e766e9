package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/sink"
)

type runCommand struct {
	Check bool `help:"Build everything that the configuration asks for, print it, and start nothing."`
}

func (c runCommand) Run(ctx context.Context, a *app) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	tel, err := telemetry.New("sink", cfg.Telemetry)
	if err != nil {
		return err
	}
	s, err := sink.New(cfg, tel)
	if err != nil {
		return err
	}
	if c.Check {
		dump, err := config.Dump(cfg)
		if err := errors.Join(err, s.Close()); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Out, "%s# everything could be built; nothing was started\n", dump)
		return err
	}
	return run.New(tel.Log,
		run.Part{Name: "telemetry", Run: tel.Run},
		run.Part{Name: "sink", Run: s.Run, Drain: cfg.DrainTime()},
	).Run(ctx)
}

type migrateCommand struct {
	Cluster string `help:"The name of a ClickHouse cluster. With --print." placeholder:"NAME"`
	Print   bool   `help:"Print the statements for the cluster, for clickhouse-client, and run nothing."`
}

func (c migrateCommand) Run(ctx context.Context, a *app) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	switch {
	case (c.Cluster != "") != c.Print:
		return errors.New("--cluster and --print go together: a cluster's tables are made by its administrator, with the statements that are printed")
	case c.Print:
		statements, err := clickhouse.Cluster(c.Cluster, cfg.ClickHouse.Database)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Out, "%s;\n", strings.Join(statements, ";\n\n"))
		return err
	}
	did, err := sink.Migrate(ctx, cfg, a.Log)
	for _, name := range slices.Concat(did.Migrations, did.Views, did.Calendars) {
		fmt.Fprintln(a.Out, "applied", name)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "database %s is up to date\n", cfg.ClickHouse.Database)
	return err
}
