package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/sink"
	"github.com/dwiarah/dwiarah/sink/internal/deadletter"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

type dlqCommand struct {
	List   dlqList   `cmd:"" help:"List dead letters, a line each, then how many there are by stage and reason."`
	Show   dlqShow   `cmd:"" help:"Show one dead letter with the record it keeps."`
	Replay dlqReplay `cmd:"" help:"Put the records of dead letters back on the topics they came from."`
	Purge  dlqPurge  `cmd:"" help:"Delete dead letters for good, from the front of each partition as far as the filters take them all."`
}

// filter chooses letters.
type filter struct {
	Stage  string    `help:"Only letters of this stage: ingest, enrich or sink." enum:",ingest,enrich,sink" default:""`
	Reason string    `help:"Only letters with this reason, as malformed." default:""`
	Source string    `help:"Only letters from this topic or file." default:""`
	Since  time.Time `help:"Only letters written at this time or later, as 2026-03-01T00:00:00+07:00." placeholder:"TIME"`
	Until  time.Time `help:"Only letters written before this time." placeholder:"TIME"`
	// Undecodable ones have neither stage nor source; the time is Kafka's.
	Undecodable bool `help:"Only what stands on the topic and is no letter that this version reads: another program's, or a newer version's."`
}

func (f filter) check() error {
	if f.Undecodable && (f.Stage != "" || f.Reason != "" || f.Source != "") {
		return errors.New("--undecodable is not allowed with --stage, --reason or --source: what cannot be decoded names none")
	}
	if f.Reason == "" {
		return nil
	}
	var allowed []string
	for _, r := range schemas.DeadReasons() {
		if allowed = append(allowed, string(r)); string(r) == f.Reason {
			return nil
		}
	}
	return fmt.Errorf("--reason %q is not allowed: one of %s", f.Reason, strings.Join(allowed, ", "))
}

func (f filter) takes(l deadletter.Letter) bool {
	at := time.UnixMilli(l.GetAtMs())
	if !f.Since.IsZero() && at.Before(f.Since) || !f.Until.IsZero() && !at.Before(f.Until) {
		return false
	}
	if l.Undecodable != nil || f.Undecodable {
		return l.Undecodable != nil && f.Stage == "" && f.Reason == "" && f.Source == ""
	}
	return (f.Stage == "" || f.Stage == l.GetStage()) && (f.Reason == "" || f.Reason == l.GetReason()) && (f.Source == "" || f.Source == l.GetSource())
}

type dlqList struct {
	filter
}

func (c dlqList) Run(ctx context.Context, a *app) error {
	conn, err := a.kafka()
	if err := errors.Join(err, c.check()); err != nil {
		return err
	}
	table := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LETTER\tAT\tSTAGE\tREASON\tATTEMPT\tSOURCE\tBYTES\tDETAIL")
	counts := map[string]int{}
	var order []string
	err = deadletter.Scan(ctx, conn, func(l deadletter.Letter) error {
		if !c.takes(l) {
			return nil
		}
		kind := kindOf(l)
		if counts[kind]++; counts[kind] == 1 {
			order = append(order, kind)
		}
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s\n", l.ID(), stamp(l.GetAtMs()), oneLine(cmp.Or(l.GetStage(), "-")), oneLine(l.GetReason()), l.GetAttempt(), place(l),
			len(l.GetOriginal()), oneLine(l.GetDetail()))
		return err
	})
	if err := errors.Join(err, table.Flush()); err != nil {
		return err
	}
	fmt.Fprintln(a.Out)
	for _, kind := range order {
		fmt.Fprintf(a.Out, "%6d %s\n", counts[kind], kind)
	}
	if len(order) == 0 {
		fmt.Fprintln(a.Out, "no dead letters")
	}
	return nil
}

type dlqShow struct {
	Letter string `arg:"" help:"The letter, as dlq list names it: partition:offset."`
}

func (c dlqShow) Run(ctx context.Context, a *app) error {
	conn, err := a.kafka()
	if err != nil {
		return err
	}
	l, err := find(ctx, conn, c.Letter)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "letter:  %s\nat:      %s\nstage:   %s\nreason:  %s\ndetail:  %s\nattempt: %d\nsource:  %s\nkey:     %q\n",
		l.ID(), stamp(l.GetAtMs()), oneLine(cmp.Or(l.GetStage(), "-")), oneLine(l.GetReason()), oneLine(l.GetDetail()), l.GetAttempt(), place(l), l.GetKey())
	for _, h := range l.GetHeaders() {
		fmt.Fprintf(a.Out, "header:  %s: %q\n", h.GetKey(), h.GetValue())
	}
	_, err = fmt.Fprintf(a.Out, "record (%d bytes):\n%s\n", len(l.GetOriginal()), deadletter.Render(l.DeadLetter))
	return err
}

type dlqReplay struct {
	filter
	Letters []string `arg:"" optional:"" name:"letter" help:"The letters to replay, as dlq list names them; none for all that the filters take."`
	DryRun  bool     `help:"Say what would be replayed, and do nothing."`
}

func (c dlqReplay) Run(ctx context.Context, a *app) error {
	conn, err := a.kafka()
	if err := errors.Join(err, c.check()); err != nil {
		return err
	}
	if len(c.Letters) == 0 && c.filter == (filter{}) {
		return errors.New("replaying every dead letter there is wants to be said: name letters, or a filter such as --stage sink")
	}
	var chosen []deadletter.Letter
	for _, id := range c.Letters {
		l, err := find(ctx, conn, id)
		if err != nil {
			return err
		}
		chosen = append(chosen, l)
	}
	if len(c.Letters) == 0 {
		if err := deadletter.Scan(ctx, conn, func(l deadletter.Letter) error {
			if c.takes(l) {
				chosen = append(chosen, l)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	replayed, left, err := deadletter.Replay(ctx, conn, chosen, c.DryRun, a.Log)
	for _, l := range left {
		fmt.Fprintln(a.Out, "left:", l)
	}
	verb := "replayed"
	if c.DryRun {
		verb = "would replay"
	}
	fmt.Fprintf(a.Out, "%s %d of %d letters\n", verb, replayed, len(chosen))
	return err
}

type dlqPurge struct {
	filter
	Yes bool `help:"Do it. Without this it is only said what would be purged."`
}

func (c dlqPurge) Run(ctx context.Context, a *app) (err error) {
	cfg, err := a.config()
	if err := errors.Join(err, c.check()); err != nil {
		return err
	}
	if c.filter == (filter{}) {
		return errors.New("purging every dead letter there is wants to be said: a filter such as --until with a time")
	}
	conn, err := cfg.Kafka.Conn(sink.ClientID)
	if err != nil {
		return err
	}
	cuts, err := deadletter.Cuts(ctx, conn, c.takes)
	if err != nil {
		return err
	}
	verb := "would purge"
	if c.Yes {
		verb = "purged"
		s, err := store.Open(cfg.ClickHouse)
		if err != nil {
			return err
		}
		if err := errors.Join(deadletter.Purge(ctx, conn, s, cuts, time.Now()), s.Close()); err != nil {
			return err
		}
	}
	chosen, purged := 0, 0
	for _, cut := range cuts {
		chosen += len(cut.Letters) + cut.Behind
		purged += len(cut.Letters)
		if l := cut.InTheWay; l != nil {
			fmt.Fprintf(a.Out, "left: %d letters of partition %d behind %s (%s of %s), which the filters leave: Kafka deletes from the front of a partition only\n"+
				"  next: look at that one (sink dlq show %s), replay it if it is still wanted, then purge with filters that take it too:\n"+
				"  sink dlq purge --until %s takes every letter up to here, of all stages and partitions; what nobody purges goes when the topic's retention ends\n",
				cut.Behind, cut.Partition, l.ID(), kindOf(*l), stamp(l.GetAtMs()), l.ID(), cut.Until.UTC().Format(time.RFC3339Nano))
		}
	}
	fmt.Fprintf(a.Out, "%s %d of %d letters\n", verb, purged, chosen)
	if !c.Yes && purged > 0 {
		fmt.Fprintln(a.Out, "nothing was done: --yes purges them, and what was not replayed is lost with them")
	}
	return nil
}

// Help is what --help says beside the flags.
func (dlqPurge) Help() string {
	return `Kafka can delete records from the front of a partition only. So each partition loses its oldest letters, up to the first one that the filters leave; that one keeps
all behind it, and the command says which it is and how to go on: look at it (sink dlq show), replay it if it is still wanted (sink dlq replay puts its record back on its topic,
the letter stays), then purge with filters that take it too, such as --until with a time after it. Of letters that are purged the place, stage and reason stay on record in the table purged_letters.`
}

func find(ctx context.Context, conn kafka.Conn, id string) (deadletter.Letter, error) {
	p, o, ok := strings.Cut(id, ":")
	partition, err := strconv.Atoi(p)
	offset, err2 := strconv.ParseInt(o, 10, 64)
	if !ok || err != nil || err2 != nil {
		return deadletter.Letter{}, fmt.Errorf("letter %q is not allowed: partition:offset, as dlq list prints it", id)
	}
	return deadletter.Find(ctx, conn, partition, offset)
}

// kindOf is what letters are counted by: stage and reason.
func kindOf(l deadletter.Letter) string {
	return oneLine(strings.TrimSpace(l.GetStage() + " " + l.GetReason()))
}

// place is where a letter's record came from: a topic's partition and offset, or a file's line; "-" where that cannot be read.
func place(l deadletter.Letter) string {
	if l.Undecodable != nil {
		return "-"
	}
	switch l.GetSource() {
	case schemas.TopicRaw, schemas.TopicEnriched, schemas.TopicLedger:
		return fmt.Sprintf("%s/%d@%d", l.GetSource(), l.GetPartition(), l.GetOffset())
	default:
		return fmt.Sprintf("%s:%d", oneLine(l.GetSource()), l.GetOffset())
	}
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// oneLine keeps foreign words from breaking a terminal: no line breaks, no control characters.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError || r >= 0x80 && r < 0xa0 {
			return '·'
		}
		return r
	}, s)
}
