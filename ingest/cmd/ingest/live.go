package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
)

type runCommand struct {
	Check bool `help:"Build everything as the configuration says, start nothing, and end."`
}

func (c runCommand) Run(ctx context.Context, a *app) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	tel, err := telemetry.New("ingest", cfg.Telemetry)
	if err != nil {
		return err
	}
	in, err := ingest.New(cfg, tel)
	if err != nil {
		return err
	}
	if c.Check {
		fmt.Fprintf(a.out, "the configuration is in order; sources: %d\n", len(cfg.Sources))
		return in.Close()
	}
	return run.New(tel.Log, run.Part{Name: "telemetry", Run: tel.Run}, run.Part{Name: "ingest", Run: in.Run}).Run(ctx)
}

// build builds ingest for a command that looks or reads once; what it logs goes to the command's own log.
func (a *app) build() (*ingest.Ingest, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	cfg.Telemetry.Listen = ""
	tel, err := telemetry.New("ingest", cfg.Telemetry)
	if err != nil {
		return nil, err
	}
	tel.Log = a.log
	return ingest.New(cfg, tel)
}

type backfillCommand struct {
	Source string    `required:"" help:"The source, as ingest sources names it."`
	Since  time.Time `required:"" help:"The first instant to read, as 2026-03-01T00:00:00+07:00." placeholder:"TIME"`
	Until  time.Time `help:"The instant to end before (default: now)." placeholder:"TIME"`
}

func (c backfillCommand) Run(ctx context.Context, a *app) error {
	in, err := a.build()
	if err != nil {
		return err
	}
	if c.Until.IsZero() {
		c.Until = time.Now()
	}
	counts, err := in.Backfill(ctx, c.Source, c.Since, c.Until)
	if counts.Read > 0 || err == nil {
		fmt.Fprintln(a.out, counts)
	}
	if meaning := ingest.Explain(err); meaning != "" {
		err = fmt.Errorf("%w\n  %s", err, meaning)
	}
	return errors.Join(err, in.Close())
}

type checkCommand struct{}

func (checkCommand) Run(ctx context.Context, a *app) error {
	in, err := a.build()
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range in.Check(ctx) {
		if r.Err != nil {
			failed++
			fmt.Fprintf(a.out, "%s: %v\n", r.Connector, r.Err)
			if r.Meaning != "" {
				fmt.Fprintf(a.out, "  %s\n", r.Meaning)
			}
			continue
		}
		fmt.Fprintf(a.out, "%s: in order\n", r.Connector)
	}
	if failed > 0 {
		err = fmt.Errorf("%d sources cannot be polled", failed)
	}
	return errors.Join(err, in.Close())
}

type sourcesCommand struct{}

func (sourcesCommand) Run(a *app) error {
	in, err := a.build()
	if err != nil {
		return err
	}
	states, err := in.Sources()
	if err := errors.Join(err, in.Close()); err != nil {
		return err
	}
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SOURCE\tACCOUNT\tSTATE\tCOMPLETE SINCE\tCOMPLETE UNTIL\tLAG\tSEEN\tBUDGET\tLAST ERROR")
	now := time.Now()
	for _, s := range states {
		state := "never polled"
		switch {
		case s.Error != "":
			state = "gap"
		case s.Streaming:
			state = "streaming"
		case !s.PolledAt.IsZero():
			state = "complete"
		}
		lag := "-"
		if !s.Until.IsZero() {
			lag = now.Sub(s.Until).Round(time.Second).String()
		}
		var left []string
		for _, line := range s.Budget {
			left = append(left, line.String())
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Connector, orDash(s.Account), state, stamp(s.Since), stamp(s.Until), lag, stamp(s.PolledAt), orDash(strings.Join(left, ", ")),
			orDash(strings.ReplaceAll(s.Error, "\n", "; ")))
	}
	return table.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
