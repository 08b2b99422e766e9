package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/page"
	"github.com/dwiarah/dwiarah/deploy/standalone/internal/stack"
)

// follow prints how far the pipeline is until all has landed, and then calls landed. A terminal sees one line that changes, anything else a line every few
// seconds.
func follow(ctx context.Context, s *stack.Stack, landed func() error) error {
	terminal := false
	if info, err := os.Stdout.Stat(); err == nil {
		terminal = info.Mode()&os.ModeCharDevice != 0
	}
	every := 3 * time.Second
	if terminal {
		every = 300 * time.Millisecond
	}
	done := make(chan error, 1)
	go func() { done <- s.Landed(ctx) }()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if errors.Is(err, context.Canceled) {
				return nil
			}
			if err != nil {
				return err
			}
			if terminal {
				fmt.Println()
			}
			return landed()
		case <-tick.C:
			p, err := s.Progress(ctx)
			if err != nil {
				continue // Landed reports what does not pass
			}
			line := progressLine(p)
			if terminal {
				fmt.Printf("\r\033[K%s", line)
			} else {
				fmt.Println(line)
			}
		}
	}
}

func progressLine(p page.Progress) string {
	var b strings.Builder
	for _, im := range p.Imports {
		if !im.Done {
			fmt.Fprintf(&b, "%s %.0f %% · ", im.Name, 100*im.Share)
		}
	}
	fmt.Fprintf(&b, "produced %d · enriched %d · stored %d · dead letters %d", p.Raw, p.Enriched, p.Stored, p.Dead)
	return b.String()
}

// printSummary prints what became of every message, and the headline of each institution.
func printSummary(ctx context.Context, w io.Writer, s *stack.Stack) error {
	sum := s.Imported()
	if len(sum.Files) > 0 {
		fmt.Fprintf(w, "\nread %d = produced %d + dropped %d + dead-lettered %d, in %s\n", sum.Read, sum.Produced, sum.DroppedTotal(), sum.DeadTotal(), sum.Elapsed.Round(10*time.Millisecond))
		for _, reason := range slices.Sorted(maps.Keys(sum.Dropped)) {
			fmt.Fprintf(w, "  dropped, %s: %d\n", reason, sum.Dropped[reason])
		}
		for _, reason := range slices.Sorted(maps.Keys(sum.Dead)) {
			fmt.Fprintf(w, "  dead-lettered, %s: %d\n", reason, sum.Dead[reason])
		}
	}
	p, err := s.Progress(ctx)
	if err != nil {
		return err
	}
	var rows, messages uint64
	if err := s.Conn.QueryRow(ctx, `SELECT count(), uniqExact(platform, message_id) FROM messages`).Scan(&rows, &messages); err != nil {
		return fmt.Errorf("counting what is stored: %w", err)
	}
	fmt.Fprintf(w, "stored %d messages in %d rows (one for each institution that a message concerns; deleted ones absent) · dead letters %d\n\n", messages, rows, p.Dead)
	list, err := page.Summaries(ctx, s.Conn)
	if err != nil {
		return err
	}
	const most = 12
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "institution\tmessages\trequests\tanswered in 24 h\tmean wait, 7 d\tmedian wait\tmedian of the answered\tpeople answered")
	for _, in := range list[:min(most, len(list))] {
		fmt.Fprintln(t, strings.Join([]string{
			in.ID, fmt.Sprint(in.Messages), fmt.Sprint(in.Wait.N), page.Percent(in.Rate.Rate), page.Duration(in.Wait.Restricted),
			page.MedianWait(in.Wait), page.Duration(in.Wait.AnsweredP50), page.Percent(in.Asymmetry.Coverage),
		}, "\t"))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing the summary: %w", err)
	}
	if len(list) > most {
		fmt.Fprintf(w, "... and %d more; the page has them all\n", len(list)-most)
	}
	fmt.Fprintln(w, "The mean and the median wait count the unanswered; the shortest mean wait stands first.")
	return nil
}
