package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/stack"
	"github.com/dwiarah/dwiarah/ingest/field"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/freeport"
	"github.com/dwiarah/dwiarah/schemas/sample"
)

// show is how the live demonstration goes: what happens when, and between which steps a platform does not answer.
type show struct {
	steps       int
	every       time.Duration
	away        string
	from, until int
}

func liveShow() show {
	return show{steps: 40, every: 1500 * time.Millisecond, away: schemas.PlatformBluesky, from: 10, until: 18}
}

const (
	liveBacklog  = 30 // conversations that are there before
	livePatience = 3 * time.Minute
)

// live shows the live path: the platforms' simulator, ingest polling and following it, and what arrives.
func (c demoCommand) live(ctx context.Context, log *slog.Logger, how show) error {
	fmt.Println("opening eight simulated platforms over one conversation with a fictitious institution; three calls in a hundred fail")
	f, err := field.Open(field.Options{Seed: sample.DefaultSeed, Backlog: liveBacklog, Push: true, Faults: field.Faults{Broken: 0.02, Cut: 0.01}})
	if err != nil {
		return err
	}
	defer f.Close()
	dir := filepath.Join(c.Data, "live") // a life of its own: its messages are not the sample's
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the live demonstration before this one: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the demonstration's folder: %w", err)
	}
	list := filepath.Join(dir, sample.InstitutionsFile)
	if err := os.WriteFile(list, f.Institutions(), 0o600); err != nil {
		return fmt.Errorf("writing the institutions: %w", err)
	}
	cfg := c.config(dir, list)
	cfg.Sources = f.Sources()
	if cfg.Webhook.Listen, err = freeport.Loopback(); err != nil {
		return err
	}
	f.Deliver("http://" + cfg.Webhook.Listen)
	if c.LogLevel == defaultLogLevel { // what goes wrong on purpose is told in the summary
		cfg.Log.Level = "error"
	}
	return serve(ctx, cfg, log, func(ctx context.Context, s *stack.Stack) (bool, error) {
		if err := play(ctx, f, how); err != nil {
			return false, err
		}
		fmt.Println("\nwaiting for the rest to be read (YouTube's threads are asked for new replies once a minute)")
		if err := awaitArrival(ctx, s.Conn, f); err != nil {
			return false, err
		}
		if err := printOutages(ctx, s.Conn); err != nil {
			return false, err
		}
		return c.Exit, printSummary(ctx, os.Stdout, s)
	})
}

// play lets things happen and tells each.
func play(ctx context.Context, f *field.Field, how show) error {
	tick := time.NewTicker(how.every)
	defer tick.Stop()
	for step := range how.steps {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		switch step {
		case how.from:
			f.Outage(how.away, true)
			fmt.Printf("%s  %s stops answering\n", time.Now().Format(time.TimeOnly), how.away)
		case how.until:
			f.Outage(how.away, false)
			fmt.Printf("%s  %s answers again\n", time.Now().Format(time.TimeOnly), how.away)
		}
		e := f.Step()
		who := "a citizen"
		if e.Official {
			who = "the institution"
		}
		fmt.Printf("%s  %s %s: %s\n", time.Now().Format(time.TimeOnly), who, e.Kind, shortened(e.Text))
	}
	return nil
}

// shortened is the beginning of a text, on one line.
func shortened(text string) string {
	const most = 80
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}

// arrival is what became of a platform's posts. Edits and deletions are counted where the platform tells of them by itself.
type arrival struct {
	posts, arrived, edits, edited, deletes, deleted, strange int
}

func (a arrival) whole() bool {
	return a.arrived == a.posts && a.edited == a.edits && a.deleted == a.deletes && a.strange == 0
}

// arrivals holds what is stored against the field's own list.
func arrivals(ctx context.Context, conn driver.Conn, posts []field.Post) (map[string]*arrival, error) {
	type key struct{ platform, id string }
	stored := map[key]bool{} // whether it is there in a later version
	rows, err := conn.Query(ctx, "SELECT platform, message_id, edited_at IS NOT NULL FROM messages WHERE institution = {institution:String}", clickhouse.Named("institution", field.Institution))
	if err != nil {
		return nil, fmt.Errorf("reading what has arrived: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k key
		var edited bool
		if err := rows.Scan(&k.platform, &k.id, &edited); err != nil {
			return nil, fmt.Errorf("reading what has arrived: %w", err)
		}
		stored[k] = edited
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading what has arrived: %w", err)
	}
	all := map[string]*arrival{}
	for _, p := range posts {
		a := all[p.Platform]
		if a == nil {
			a = &arrival{}
			all[p.Platform] = a
		}
		k := key{p.Platform, p.MessageID}
		edited, there := stored[k]
		delete(stored, k)
		switch {
		case p.Deleted && p.Told:
			a.deletes++
			if !there {
				a.deleted++
			}
			continue
		case p.Deleted:
			continue
		}
		a.posts++
		if there {
			a.arrived++
		}
		if p.Told {
			a.edits++
			if edited {
				a.edited++
			}
		}
	}
	for k := range stored {
		all[k.platform].strange++
	}
	return all, nil
}

// awaitArrival waits until everything has arrived that the platforms tell of, and prints it.
func awaitArrival(ctx context.Context, conn driver.Conn, f *field.Field) error {
	deadline := time.Now().Add(livePatience)
	for {
		all, err := arrivals(ctx, conn, f.Posts())
		if err != nil {
			return err
		}
		late := time.Now().After(deadline)
		whole := true
		for _, a := range all {
			whole = whole && a.whole()
		}
		if whole || late {
			printArrivals(f, all)
			if !whole {
				return fmt.Errorf("after %v not everything has arrived that is on the platforms", livePatience)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func printArrivals(f *field.Field, all map[string]*arrival) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "platform\tread by\tposts on it\tarrived\tedits\tdeletions")
	told := func(p field.Platform, done, of int) string {
		switch {
		case of == 0 && p.Rereads:
			return "by re-reads"
		case of == 0:
			return "not told"
		}
		return fmt.Sprintf("%d of %d", done, of)
	}
	for _, p := range f.Platforms() {
		a := all[p.Name]
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\n", p.Name, p.Way, a.posts, a.arrived, told(p, a.edited, a.edits), told(p, a.deleted, a.deletes))
	}
	t.Flush() //nolint:errcheck // A terminal that has gone away is noticed elsewhere.
	fmt.Println("A re-read comes an hour, a day and a week after a post was written; what is missing twice, five minutes apart, is deleted.")
}

// printOutages says which stretches were said to be unread while they lasted.
func printOutages(ctx context.Context, conn driver.Conn) error {
	rows, err := conn.Query(ctx, `SELECT splitByChar(':', connector)[1] AS platform, reason, min(since), max(coverage_ledger.until), count()
FROM coverage_ledger WHERE institution = {institution:String} AND status = 'gap' GROUP BY platform, reason ORDER BY platform, reason`, clickhouse.Named("institution", field.Institution))
	if err != nil {
		return fmt.Errorf("reading the gaps: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var platform, reason string
		var since, until time.Time
		var n uint64
		if err := rows.Scan(&platform, &reason, &since, &until, &n); err != nil {
			return fmt.Errorf("reading the gaps: %w", err)
		}
		fmt.Printf("gap (%s) on %s: from %s to %s, %d times said\n", reason, platform, since.Local().Format(time.TimeOnly), until.Local().Format(time.TimeOnly), n)
	}
	return rows.Err()
}
