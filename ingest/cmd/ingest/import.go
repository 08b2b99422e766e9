package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

type importCommand struct {
	Files        []string  `arg:"" name:"file" help:"Archives, of any of the formats; .gz and .zst are decompressed, - is the standard input."`
	Institutions string    `help:"The institutions file (default: the configuration's)." placeholder:"FILE"`
	Keys         string    `help:"File of the identity keys (default: the configuration's)." placeholder:"FILE"`
	Format       string    `help:"What the files are: ${formats} (default: found by the content)." placeholder:"FORMAT"`
	Mapping      string    `help:"CSV mapping: one that ships, or a file (default: the shipped one that fits the columns)."`
	Platform     string    `help:"Platform of rows that name none."`
	Institution  string    `help:"Institution of rows that name none: they all concern it."`
	Account      string    `help:"Account of rows that name none: they are its mention stream."`
	Until        time.Time `help:"Up to when the archive is complete (default: its last message), as 2026-03-01T00:00:00+07:00." placeholder:"TIME"`
	Brokers      []string  `help:"Kafka's host:port (default: the configuration's)."`
	StateDir     string    `help:"Where positions are kept (default: the configuration's)." placeholder:"DIR"`
	Quiet        bool      `help:"Show no progress."`
}

func (c importCommand) Run(ctx context.Context, a *app) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	for _, o := range []struct {
		given string
		into  *string
	}{{c.Institutions, &cfg.Institutions}, {c.StateDir, &cfg.StateDir}} {
		if o.given != "" {
			*o.into = o.given
		}
	}
	if len(c.Brokers) > 0 {
		cfg.Kafka.Brokers = c.Brokers
	}
	directory, err := institutions.Load(cfg.Institutions)
	if err != nil {
		return err
	}
	ring, err := c.ring(cfg)
	if err != nil {
		return err
	}
	conn, err := cfg.Kafka.Conn(ingest.ClientID)
	if err != nil {
		return err
	}
	show := &progress{out: a.err, terminal: isTerminal(a.err)}
	icfg := ingest.ImportConfig{
		Kafka: conn, Institutions: directory, Keys: ring, StateDir: filepath.Join(cfg.StateDir, "imports"), Format: c.Format, Mapping: c.Mapping,
		Platform: c.Platform, Institution: c.Institution, Account: c.Account, Until: c.Until, Log: a.log,
	}
	if !c.Quiet {
		icfg.Progress = show.tell
	}
	sum, err := ingest.Import(ctx, icfg, c.Files)
	show.end()
	for _, f := range sum.Files {
		if f.Read == 0 && err != nil {
			continue
		}
		fmt.Fprintf(a.out, "%s (%s): %v\n", f.File, strings.TrimSpace(f.Format+" "+f.Mapping), f.Counts)
		if f.Resumed > 0 {
			fmt.Fprintf(a.out, "  %d rows had been produced by an earlier run\n", f.Resumed)
		}
		if f.Stretches > 0 {
			fmt.Fprintf(a.out, "  complete from %s to %s, for %d pairs of institution and platform\n", f.Since.UTC().Format(time.RFC3339), f.Until.UTC().Format(time.RFC3339), f.Stretches)
		}
	}
	if len(sum.Files) > 1 {
		fmt.Fprintf(a.out, "all files: %v\n", sum.Counts)
	}
	if err == nil {
		fmt.Fprintf(a.out, "took %s\n", sum.Elapsed.Round(10*time.Millisecond))
	}
	return err
}

func (c importCommand) ring(cfg ingest.Config) (*identitykey.Ring, error) {
	if c.Keys != "" {
		return ingest.LoadKeys(c.Keys)
	}
	if cfg.Keys.IsZero() {
		return nil, fmt.Errorf(`keys: missing; allowed: --keys FILE, or keys: "file:PATH" or "env:NAME" in the configuration; ingest keys init --out FILE makes some`)
	}
	return identitykey.Parse(cfg.Keys.Reveal())
}

// progress shows how far an import is: on a terminal on one line that is written over, elsewhere a line every few seconds.
type progress struct {
	out      io.Writer
	terminal bool
	told     time.Time
	open     bool
}

const lineEvery = 5 * time.Second

func (p *progress) tell(at ingest.ImportProgress) {
	done := at.BytesDone >= at.BytesTotal
	if !p.terminal && !done && time.Since(p.told) < lineEvery {
		return
	}
	p.told = time.Now()
	text := fmt.Sprintf("%s: %s %3.0f %%, %d rows, %.0f rows/s", at.File, at.Phase, 100*at.Share(), at.Rows, at.RowsPerSecond)
	if p.terminal {
		p.open = true
		fmt.Fprintf(p.out, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(p.out, text)
}

func (p *progress) end() {
	if p.open {
		fmt.Fprintln(p.out)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
