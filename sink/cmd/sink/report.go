package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/sink/internal/report"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

type reportCommand struct {
	Run  reportRunCommand  `cmd:"" help:"Make a report by hand."`
	List reportListCommand `cmd:"" help:"List the configured reports, and the runs of them that changed last."`
}

type reportRunCommand struct {
	Name        string `arg:"" help:"The report's name in the configuration."`
	Period      string `required:"" help:"A week, 2026-W10, or the first and the following day, 2026-03-02/2026-03-09; in each institution's own zone." placeholder:"PERIOD"`
	Institution string `help:"Only the page of this institution; _all is the comparison of all." placeholder:"ID"`
	Out         string `help:"Only write the files into this folder: send no mail, leave the run log alone. Then the period may still be under way." placeholder:"DIR" type:"path"`
}

func (c reportRunCommand) Run(ctx context.Context, a *app) error {
	return withReports(a, func(r *report.Reports) error {
		made, err := r.RunOnce(ctx, report.Order{Report: c.Name, Period: c.Period, Institution: c.Institution, Dir: c.Out})
		for _, m := range made {
			for _, file := range m.Files {
				fmt.Fprintln(a.Out, file)
			}
		}
		return err
	})
}

type reportListCommand struct {
	Runs int `default:"20" help:"How many runs to list."`
}

func (c reportListCommand) Run(ctx context.Context, a *app) error {
	if c.Runs < 1 {
		return fmt.Errorf("--runs %d; allowed: 1 or more", c.Runs)
	}
	return withReports(a, func(r *report.Reports) error {
		reports, runs, err := r.List(ctx, c.Runs)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "REPORT\tSCHEDULE\tZONE\tNEXT")
		for _, l := range reports {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.Name, l.Schedule, l.Zone, l.Next.Format("2006-01-02 15:04 MST"))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(a.Out)
		fmt.Fprintln(w, "REPORT\tINSTITUTION\tFROM\tTO\tSTATUS\tTRIGGER\tSTARTED\tERROR")
		for _, run := range runs {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.120q\n", run.Report, run.Institution, run.Period.From.Format(time.RFC3339), run.Period.To.Format(time.RFC3339),
				run.Status, run.Trigger, run.StartedAt.UTC().Format(time.RFC3339), run.Error)
		}
		return w.Flush()
	})
}

// withReports gives f the reports of the configuration, on a connection of their own.
func withReports(a *app, f func(*report.Reports) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	s, err := store.Open(cfg.ClickHouse)
	if err != nil {
		return err
	}
	r, err := report.New(cfg.Reports, s.Conn(), a.Log, prometheus.NewRegistry(), nil)
	if err == nil {
		err = f(r)
	}
	return errors.Join(err, s.Close())
}
