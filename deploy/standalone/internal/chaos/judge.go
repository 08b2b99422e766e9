package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/fleet"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

func named(name string, value any) any { return clickhouse.Named(name, value) }

// database connects to the engine itself, not by the way that faults are on.
func (h *harness) database(name string) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{h.engine.Addr()}, Auth: clickhouse.Auth{Database: name}, ReadTimeout: 5 * time.Minute})
}

// judge holds what is there against the ledger, and against a calm sink that reads the same log into tables of its own.
func (h *harness) judge() error {
	conn, err := h.database(databaseName)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := h.judgeMessages(conn); err != nil {
		return err
	}
	if err := h.judgeLetters(); err != nil {
		return err
	}
	if err := h.judgeViews(conn); err != nil {
		return err
	}
	return nil
}

// few bounds how many examples a problem names.
const few = 5

func (h *harness) examples(what string, ids []string) {
	if len(ids) > 0 {
		h.problem("%d messages %s, such as %s", len(ids), what, strings.Join(ids[:min(few, len(ids))], ", "))
	}
}

// judgeMessages: every message is there once, in its last edit and with its text, unless it was deleted.
func (h *harness) judgeMessages(conn driver.Conn) error {
	type seen struct {
		edit  int64
		times int
	}
	got := map[string]seen{}
	rows, err := conn.Query(h.ctx, "SELECT message_id, toInt64(if(edited_at IS NULL, 0, toUnixTimestamp64Milli(assumeNotNull(edited_at)) - toUnixTimestamp64Milli(created_at))) FROM messages")
	if err != nil {
		return err
	}
	for rows.Next() {
		var id string
		var edit int64
		if err := rows.Scan(&id, &edit); err != nil {
			return err
		}
		got[id] = seen{edit, got[id].times + 1}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	texts := map[string]string{}
	rows, err = conn.Query(h.ctx, "SELECT message_id, text FROM message_texts")
	if err != nil {
		return err
	}
	for rows.Next() {
		var id, text string
		if err := rows.Scan(&id, &text); err != nil {
			return err
		}
		texts[id] = text
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	var lost, twice, stale, alive, textless, unknown []string
	for id, f := range h.load.ledger.messages {
		s, there := got[id]
		switch {
		case f.deleted && there:
			alive = append(alive, id)
		case f.deleted:
		case !there:
			lost = append(lost, id)
		case s.times > 1:
			twice = append(twice, id)
		case s.edit != int64(f.edit):
			stale = append(stale, fmt.Sprintf("%s (edit %d of %d)", id, s.edit, f.edit))
		case texts[id] != text(id, f.edit):
			textless = append(textless, fmt.Sprintf("%s (%q)", id, texts[id]))
		}
		if !f.deleted {
			h.verdict.Messages++
		}
	}
	for id := range got {
		if h.load.ledger.messages[id] == nil {
			unknown = append(unknown, id)
		}
	}
	h.verdict.Stored, h.verdict.Lines = len(got), h.load.ledger.lines
	h.examples("are lost", lost)
	h.examples("are there twice", twice)
	h.examples("are there in an older edit", stale)
	h.examples("were deleted and are visible", alive)
	h.examples("are there without their text", textless)
	h.examples("are there and were never sent", unknown)
	return nil
}

// judgeLetters: every line that is no message has a dead letter, and nothing else has.
func (h *harness) judgeLetters() error {
	letters := map[place]bool{}
	err := h.readAll("chaos-letters", schemas.TopicDead, func(r kafka.Record) error {
		l := &event.DeadLetter{}
		if err := event.Decode(event.SchemaValue(), r.Value, l); err != nil {
			return err
		}
		letters[place{l.Source, l.Offset}] = true
		return nil
	})
	if err != nil {
		return err
	}
	h.verdict.DeadLetters = len(letters)
	var missing, extra []string
	for p := range h.load.ledger.malformed {
		if !letters[p] {
			missing = append(missing, fmt.Sprintf("%s:%d", p.file, p.line))
		}
	}
	for p := range letters {
		if !h.load.ledger.malformed[p] {
			extra = append(extra, fmt.Sprintf("%s:%d", p.file, p.line))
		}
	}
	h.examples("that are none have no dead letter", missing)
	h.examples("have a dead letter though they are in order", extra)
	return nil
}

// readAll hands every record of a topic to f.
func (h *harness) readAll(group, topic string, f func(kafka.Record) error) error {
	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: h.conn, Group: group, Topics: []string{topic}, Log: slog.New(slog.DiscardHandler)},
		func(_ context.Context, batch []kafka.Record) error {
			for _, r := range batch {
				if err := f(r); err != nil {
					return err
				}
			}
			return nil
		})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(h.ctx, drainPatience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx) }()
	if err := h.untilRead(ctx, group, topic); err != nil {
		cancel()
		return errors.Join(err, <-ended)
	}
	cancel()
	return <-ended
}

func (h *harness) untilRead(ctx context.Context, group string, topics ...string) error {
	for {
		lags, err := kafka.Lag(ctx, h.conn, group, topics...)
		var behind int64
		for _, l := range lags {
			behind += l.Behind()
		}
		if err == nil && behind == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to read %v: %d behind: %w", group, topics, behind, errors.Join(err, context.Cause(ctx)))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// judgeViews: a sink that nobody disturbs reads the same log into tables of its own, and every view says the same of both.
func (h *harness) judgeViews(conn driver.Conn) error {
	r := h.sink.Role
	r.Database, r.Group, r.ClickHouse, r.Telemetry = calmName, "chaos-calm", "http://"+h.engine.Addr(), ""
	calm := fleet.New(r)
	if err := calm.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(h.ctx, drainPatience)
	defer cancel()
	err := h.untilRead(ctx, r.Group, schemas.TopicEnriched, schemas.TopicLedger)
	if err := errors.Join(err, calm.Stop(stopPatience)); err != nil {
		return fmt.Errorf("reading the log once more: %w", err)
	}
	period := fmt.Sprintf("(institution = '%s', from = '%s', to = '%s'", institution, wire(h.load.ledger.first), wire(h.load.ledger.last))
	for _, view := range []string{
		"messages", "message_texts", "requests", "coverage", "account_snapshots", "metric_reply_share" + period + ")", "metric_response_rate" + period + ", window_s = 86400)",
		"metric_wait" + period + ")", "metric_asymmetry" + period + ")", "metric_dialogue" + period + ")", "metric_sentiment" + period + ")", "metric_risk" + period + ")",
		"series_engagement" + period + ", step_s = 86400)",
	} {
		var rows, sums [2]uint64
		for n, database := range []string{databaseName, calmName} {
			query := fmt.Sprintf("SELECT count(), groupBitXor(cityHash64(tuple(*))) FROM %s.%s", database, view)
			if err := conn.QueryRow(h.ctx, query).Scan(&rows[n], &sums[n]); err != nil {
				return fmt.Errorf("%s: %w", query, err)
			}
		}
		name, _, _ := strings.Cut(view, "(")
		if rows[0] != rows[1] || sums[0] != sums[1] {
			h.problem("view %s differs from its recomputation: %d rows against %d", name, rows[0], rows[1])
		}
		if rows[0] == 0 && name != "account_snapshots" {
			h.problem("view %s is empty: nothing was compared", name)
		}
	}
	return nil
}

func wire(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

// Room to grow that is no leak: Go's collector takes what it likes within it, and merges come in waves.
const (
	roomBytes       = 32 << 20
	roomDescriptors = 8
	roomGoroutines  = 20 // connections come and go with two each
	roomParts       = 200
)

// grew tells that a process took more memory late than it had early.
func grew(early, late fleet.Footprint) bool { return late.RSS > early.RSS+early.RSS/4+roomBytes }

// judgeFlat holds that nothing has grown since the first quarter.
func (h *harness) judgeFlat() {
	for name, f := range h.verdict.Footprints {
		if f[0].RSS == 0 || f[1].RSS == 0 || f[0].Goroutines == 0 || f[1].Goroutines == 0 {
			h.problem("%s was not measured", name)
		}
		if grew(f[0], f[1]) {
			h.problem("%s grew from %d to %d MB", name, f[0].RSS>>20, f[1].RSS>>20)
		}
		if f[1].Descriptors > f[0].Descriptors+roomDescriptors {
			h.problem("%s has %d descriptors, it had %d", name, f[1].Descriptors, f[0].Descriptors)
		}
		if f[1].Goroutines > f[0].Goroutines+roomGoroutines {
			h.problem("%s has %d goroutines, it had %d", name, f[1].Goroutines, f[0].Goroutines)
		}
	}
	if h.verdict.Parts[1] > h.verdict.Parts[0]+roomParts {
		h.problem("the tables have %d parts, they had %d", h.verdict.Parts[1], h.verdict.Parts[0])
	}
}
