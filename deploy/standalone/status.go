package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/sink"
)

type statusCommand struct {
	Config string        `help:"The sink's configuration: where Kafka and ClickHouse are. By default both are on this machine." type:"path" placeholder:"FILE"`
	Every  time.Duration `help:"Between two looks." default:"2s"`
	Once   bool          `help:"Print one look and end."`
}

func (c statusCommand) run(ctx context.Context, out io.Writer) error {
	cfg := sink.DefaultConfig()
	if err := config.Load(c.Config, &cfg); err != nil {
		return err
	}
	conn, err := cfg.Kafka.Conn("dwiarah-status")
	if err != nil {
		return err
	}
	db, err := sink.Connect(cfg.ClickHouse)
	if err != nil {
		return err
	}
	defer db.Close()
	s := status{kafka: conn, db: db, database: cfg.ClickHouse.Database, groups: []consumption{
		{"enrich", enrich.DefaultConfig().Kafka.Group, schemas.TopicRaw}, {"sink", cfg.Kafka.Group, schemas.TopicEnriched}, {"sink", cfg.Kafka.Group, schemas.TopicLedger},
	}}
	terminal := false // a screen that is written over; elsewhere one look follows the other
	if info, err := os.Stdout.Stat(); err == nil {
		terminal = info.Mode()&os.ModeCharDevice != 0
	}
	for {
		// The whole screen is made before any of it is shown; what does not answer says so in its place.
		screen := s.look(ctx, time.Now())
		if terminal && !c.Once {
			screen = "\033[H\033[2J" + screen
		}
		if _, err := io.WriteString(out, screen); err != nil || c.Once {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Every):
		}
	}
}

// consumption is a group reading a topic.
type consumption struct{ stage, group, topic string }

// status is what a screen shows, and what it showed before, for the rates.
type status struct {
	kafka    kafka.Conn
	db       driver.Conn
	database string
	groups   []consumption
	before   map[string]int64 // positions by topic
	letters  int64            // at the first look
	at       time.Time
}

// patienceOfALook bounds what one look waits for.
const patienceOfALook = 10 * time.Second

func (s *status) look(ctx context.Context, now time.Time) string {
	ctx, cancel := context.WithTimeout(ctx, patienceOfALook)
	defer cancel()
	var b strings.Builder
	fmt.Fprintf(&b, "Dwiarah, %s\n\n", now.UTC().Format(time.DateTime+" UTC"))
	for _, part := range []struct {
		name  string
		write func(context.Context, io.Writer, time.Time) error
	}{{"Kafka", s.lag}, {"dead letters", s.dead}, {"coverage", s.coverage}, {"tables", s.tables}, {"disk", s.disk}} {
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		err := part.write(ctx, table, now)
		if err := errors.Join(err, table.Flush()); err != nil {
			fmt.Fprintf(&b, "%s: no answer: %v\n", part.name, err)
		}
		b.WriteByte('\n')
	}
	s.at = now
	return b.String()
}

func (s *status) lag(ctx context.Context, w io.Writer, now time.Time) error {
	fmt.Fprintln(w, "STAGE\tTOPIC\tIN THE LOG\tBEHIND\tA SECOND")
	positions := map[string]int64{}
	for _, g := range s.groups {
		lags, err := kafka.Lag(ctx, s.kafka, g.group, g.topic)
		if err != nil {
			return err
		}
		var held, behind int64
		for _, l := range lags {
			held += l.End - l.First
			behind += l.Behind()
			positions[g.topic] += l.End - l.Behind()
		}
		rate := "-"
		if before, ok := s.before[g.topic]; ok {
			rate = fmt.Sprintf("%.0f", float64(positions[g.topic]-before)/max(now.Sub(s.at).Seconds(), 1e-3))
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", g.stage, g.topic, held, behind, rate)
	}
	s.before = positions
	return nil
}

func (s *status) dead(ctx context.Context, w io.Writer, _ time.Time) error {
	lags, err := kafka.Extents(ctx, s.kafka, schemas.TopicDead)
	if err != nil {
		return err
	}
	var held, written int64
	for _, l := range lags {
		held += l.End - l.First
		written += l.End
	}
	if s.at.IsZero() {
		s.letters = written
	}
	_, err = fmt.Fprintf(w, "dead letters\t%d kept, %d since this screen began; sink dlq list shows them\n", held, written-s.letters)
	return err
}

// coverageRows is how many connectors a screen has room for: those that are furthest behind.
const coverageRows = 12

func (s *status) coverage(ctx context.Context, w io.Writer, now time.Time) error {
	rows, err := s.db.Query(ctx, `SELECT institution, connector, max(until) FILTER (WHERE status = 'complete') AS complete, countIf(status = 'gap') AS gaps FROM coverage
		GROUP BY institution, connector ORDER BY complete, institution, connector LIMIT {n:UInt64}`, clickhouse.Named("n", uint64(coverageRows)))
	if err != nil {
		return err
	}
	defer rows.Close()
	fmt.Fprintln(w, "INSTITUTION\tCONNECTOR\tCOMPLETE UNTIL\tGAPS")
	for rows.Next() {
		var institution, connector string
		var until time.Time
		var gaps uint64
		if err := rows.Scan(&institution, &connector, &until, &gaps); err != nil {
			return err
		}
		complete := "never"
		if until.Unix() > 0 {
			complete = fmt.Sprintf("%s (%v ago)", until.UTC().Format(time.DateTime), now.Sub(until).Round(time.Second))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", institution, connector, complete, gaps)
	}
	return rows.Err()
}

func (s *status) tables(ctx context.Context, w io.Writer, _ time.Time) error {
	rows, err := s.db.Query(ctx, `SELECT table, sum(rows), count(), formatReadableSize(sum(bytes_on_disk)) FROM system.parts
		WHERE active AND database = {d:String} GROUP BY table ORDER BY sum(bytes_on_disk) DESC, table`, clickhouse.Named("d", s.database))
	if err != nil {
		return err
	}
	defer rows.Close()
	fmt.Fprintln(w, "TABLE\tROWS\tPARTS\tSIZE")
	for rows.Next() {
		var table, size string
		var n, parts uint64
		if err := rows.Scan(&table, &n, &parts, &size); err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", table, n, parts, size)
	}
	return rows.Err()
}

func (s *status) disk(ctx context.Context, w io.Writer, _ time.Time) error {
	rows, err := s.db.Query(ctx, "SELECT name, formatReadableSize(free_space), formatReadableSize(total_space) FROM system.disks ORDER BY name")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, free, total string
		if err := rows.Scan(&name, &free, &total); err != nil {
			return err
		}
		fmt.Fprintf(w, "disk %s\t%s free of %s\n", name, free, total)
	}
	return rows.Err()
}
