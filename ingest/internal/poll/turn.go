package poll

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/ingest/internal/record"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/tally"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// ownError is a failure of our own: of the state, or of Kafka.
type ownError struct{ error }

func (e ownError) Unwrap() error { return e.error }

// Poll polls one feed once. What the platform does wrong is logged, counted and written to the ledger as a gap; the error is of our own state.
func (p *Poller) Poll(ctx context.Context, f Feed) error {
	l := p.lives[f.Source.Connector()]
	l.turn.Lock()
	defer l.turn.Unlock()
	return p.poll(ctx, f)
}

func (p *Poller) poll(ctx context.Context, f Feed) error {
	pos, err := p.load(f)
	if err != nil {
		return err
	}
	if s, ok := f.Source.(source.Shared); ok && s.SharedBudget() != "" {
		g := p.gates[s.SharedBudget()]
		if !g.enter(ctx, pos.incompleteSince()) {
			return nil
		}
		defer g.leave()
	}
	t := &turn{Poller: p, feed: f, pos: pos, positioned: true}
	return t.end(ctx, f.Source.Poll(ctx, pos.Cursor, t.emit))
}

// Backfill reads a range of one feed again.
func (p *Poller) Backfill(ctx context.Context, f Feed, since, until time.Time) (tally.Counts, error) {
	t := &turn{Poller: p, feed: f, pos: Position{Connector: f.Source.Connector(), Account: f.Account}}
	err := f.Source.Backfill(ctx, since, until, t.emit)
	return t.counts, err
}

// Receive gives a verified delivery, which is on disk, to one feed. After nil it may be removed.
func (p *Poller) Receive(ctx context.Context, f Feed, body []byte) error {
	r, ok := f.Source.(source.Receiver)
	if !ok {
		return fmt.Errorf("delivering to %s: it takes no deliveries", f.Source.Connector())
	}
	t := &turn{Poller: p, feed: f, pos: Position{Connector: f.Source.Connector(), Account: f.Account}}
	return r.Receive(ctx, body, t.emit)
}

// recheck reads again what is due of one feed's known messages. What the platform does wrong is logged and counted; the error is of our own state.
func (p *Poller) recheck(ctx context.Context, f Feed) error {
	r, ok := f.Source.(source.Rechecker)
	if !ok || f.Book == nil {
		return nil
	}
	connector := f.Source.Connector()
	l := p.lives[connector]
	if !l.recheck.TryLock() {
		return nil
	}
	defer l.recheck.Unlock()
	how := r.Rechecks()
	due := f.Book.Due(f.RecheckPerPoll, how.Spare)
	t := &turn{Poller: p, feed: f, pos: Position{Connector: connector, Account: f.Account}}
	for len(due) > 0 && ctx.Err() == nil {
		batch := due[:min(len(due), max(1, how.Batch))]
		due = due[len(batch):]
		findings, failed := r.Recheck(ctx, batch)
		if ctx.Err() != nil {
			return nil
		}
		var page source.Page
		for i, k := range batch {
			finding := source.Finding{State: source.Unknown}
			if i < len(findings) {
				finding = findings[i]
			}
			out := f.Book.Apply(k.Message.MessageID, finding)
			page.Items = append(page.Items, out.Items...)
			page.Visible = append(page.Visible, out.Visible...)
			p.metrics.rechecks.WithLabelValues(connector, string(finding.State)).Inc()
		}
		if err := t.emit(ctx, page); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("re-reading for %s: %w", connector, err)
		}
		if failed != nil {
			p.cfg.Log.Warn("re-read ended early", "connector", connector, "left", len(due), "error", failed)
			return nil
		}
	}
	return nil
}

// turn is one poll, stream, backfill, delivery or re-read of one feed.
type turn struct {
	*Poller
	feed   Feed
	pos    Position
	counts tally.Counts
	// positioned tells that it moves the feed's position; only one such turn at a time.
	positioned, streaming bool
}

const defaultFinish = 8 * time.Second

// emit makes a page durable: first its records, acknowledged, and only then what is known of its messages and the position behind it.
func (t *turn) emit(ctx context.Context, page source.Page) error {
	ctx, done := t.finish(ctx)
	defer done()
	records, counts, err := t.records(page)
	if err != nil {
		return ownError{err}
	}
	if len(records) > 0 {
		if err := t.cfg.Producer.Produce(ctx, records...); err != nil {
			return ownError{err}
		}
	}
	crashpoint.Hit("ingest.poll.after_ack")
	t.counts.Add(counts)
	t.tally.Add(t.pos.Connector, counts)
	if err := t.know(page); err != nil {
		return ownError{err}
	}
	if !t.positioned {
		return nil
	}
	if page.Cursor != nil {
		t.pos.Cursor = page.Cursor
	}
	t.advance(page)
	if err := stateFile(t.cfg.StateDir, t.pos.Connector).Save(t.pos); err != nil {
		return ownError{err}
	}
	crashpoint.Hit("ingest.poll.after_position")
	return nil
}

// know keeps the page's messages for their re-read. That stands before the position: a crash between repeats the page, and forgets nothing.
func (t *turn) know(page source.Page) error {
	book := t.feed.Book
	if book == nil {
		return nil
	}
	for _, item := range page.Items {
		if item.Message != nil {
			book.Add(item.Message)
		}
	}
	for _, v := range page.Visible {
		if v.AuthorID != "" && v.State == schemas.VisibilityDeleted {
			book.ForgetAuthor(t.feed.Platform, v.AuthorID)
		}
	}
	n, _ := book.Len()
	t.metrics.known.WithLabelValues(t.pos.Connector).Set(float64(n))
	return book.Flush()
}

// finish gives what has begun a while after ctx ended.
func (p *Poller) finish(ctx context.Context) (context.Context, func()) {
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(p.cfg.Finish, cancel) })
	return detached, func() { stop(); cancel() }
}

// stretch is what is complete after a page. The cursor goes on from where the stretch ended, so it grows; it begins anew only after a hole.
func (t *turn) stretch(page source.Page) (since, until time.Time) {
	since, until = page.CompleteSince, page.CompleteUntil
	if !t.positioned || t.pos.Since.IsZero() {
		return since, until
	}
	if until.Before(t.pos.Until) {
		until = t.pos.Until
	}
	return t.pos.Since, until
}

func (t *turn) advance(page source.Page) {
	if page.CompleteUntil.IsZero() {
		return
	}
	t.pos.Since, t.pos.Until = t.stretch(page)
	if t.streaming {
		t.pos.PolledAt, t.pos.Error, t.pos.Streaming = t.cfg.Now().UTC(), "", true
		t.budget()
	}
	t.metrics.complete.WithLabelValues(t.pos.Connector).Set(float64(t.pos.Until.Unix()))
	l := t.lives[t.pos.Connector]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until, l.seen = t.pos.Until, t.cfg.Now().UTC()
}

// budget keeps what is left.
func (t *turn) budget() {
	b, ok := t.feed.Source.(source.Budgeted)
	if !ok {
		return
	}
	t.pos.Budget = b.Budget()
	for _, line := range t.pos.Budget {
		t.metrics.budget.WithLabelValues(t.pos.Connector, line.Name).Set(float64(line.Left))
	}
}

// records are what a page becomes.
func (t *turn) records(page source.Page) ([]kafka.Record, tally.Counts, error) {
	var records []kafka.Record
	var counts tally.Counts
	now := t.cfg.Now()
	var failed error
	add := func(r kafka.Record, err error) {
		records = append(records, r)
		failed = errors.Join(failed, err)
	}
	for reason, n := range page.Dropped {
		counts.Read += n
		counts.Drop(reason, n)
	}
	for _, item := range page.Items {
		counts.Read++
		if item.Err != nil {
			counts.Kill(item.Err.Reason, 1)
			add(record.Dead{Reason: item.Err.Reason, Detail: item.Err.Error(), Original: item.Original, Source: t.pos.Connector, Offset: itemOffset(item.Original), At: now}.Record())
			continue
		}
		m := item.Message
		t.keep(m)
		place := identity.Place{Institutions: t.feed.Institutions, ParentAuthorID: m.ParentAuthorID, RootID: m.RootID, Connector: t.pos.Connector, Now: now}
		if t.feed.Wide {
			place.Institutions = t.cfg.Converter.Concerned(m, item.RootAuthorID)
		}
		if len(place.Institutions) == 0 {
			counts.Drop(schemas.DropNoInstitution, 1)
			continue
		}
		counts.Produced++
		for _, e := range t.cfg.Converter.Events(m, place) {
			counts.Events++
			add(record.Message(e))
		}
	}
	for _, v := range page.Visible {
		for _, in := range t.feed.Institutions {
			for _, e := range t.cfg.Converter.Visibility(t.feed.Platform, v) {
				e.Institution = in.ID
				add(record.Visibility(e))
			}
		}
	}
	if s := page.Size; s != nil && len(t.feed.Institutions) == 1 {
		counts.Snapshots++
		add(record.Snapshot(&event.AccountSnapshot{
			Institution: t.feed.Institutions[0].ID, Platform: t.feed.Platform, Account: t.feed.Account, ObservedAtMs: s.ObservedAt.UnixMilli(),
			Followers: s.Followers, Following: s.Following, Posts: s.Posts,
		}))
	}
	if !page.CompleteUntil.IsZero() {
		since, until := t.stretch(page)
		all, err := t.coverage(since, until, schemas.CoverageComplete, "")
		records, failed = append(records, all...), errors.Join(failed, err)
	}
	return records, counts, failed
}

// keep keeps what is known of a message and this reading may not tell. Its time of creation is part of its identity downstream, and two ways to a platform may believe the
// author's clock to a different degree; that it was edited is told by one way and not by another.
func (t *turn) keep(m *schemas.Message) {
	if t.feed.Known == nil {
		return
	}
	k, known := t.feed.Known(m.MessageID)
	if !known {
		return
	}
	m.CreatedAt = k.Message.CreatedAt
	if m.EditedAt == nil {
		m.EditedAt = k.Message.EditedAt
	}
}

// itemOffset numbers a live item that has no place of its own by its content, so that a repeat has the same number.
func itemOffset(original []byte) int64 {
	h := fnv.New64a()
	h.Write(original)
	return int64(h.Sum64() >> 1)
}

// coverage is a row for each institution.
func (t *turn) coverage(since, until time.Time, status, reason string) ([]kafka.Record, error) {
	var all []kafka.Record
	for _, in := range t.feed.Institutions {
		r, err := record.Coverage(&event.Coverage{
			Connector: t.pos.Connector, Institution: in.ID, SinceMs: since.UnixMilli(), UntilMs: until.UnixMilli(),
			Status: status, Reason: reason, RecordedAtMs: t.cfg.Now().UnixMilli(),
		})
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// end keeps how the poll or stream ended and, where the platform failed, writes the gap since the source was last complete.
func (t *turn) end(ctx context.Context, pollErr error) error {
	connector := t.pos.Connector
	var own ownError
	switch {
	case errors.As(pollErr, &own) && ctx.Err() == nil:
		return fmt.Errorf("polling %s: %w", connector, own.error)
	case pollErr != nil && ctx.Err() != nil:
		if !t.streaming {
			t.metrics.polls.WithLabelValues(connector, "stopped").Inc()
		}
		return nil
	}
	ctx, done := t.finish(ctx)
	defer done()
	now := t.cfg.Now().UTC()
	t.pos.PolledAt, t.pos.Error, t.pos.Streaming = now, "", false
	t.budget()
	result := "complete"
	if pollErr != nil {
		result = "gap"
		reason := source.GapReason(pollErr)
		t.pos.Error = pollErr.Error()
		t.metrics.gaps.WithLabelValues(connector, reason).Inc()
		t.cfg.Log.Warn("poll ended early", "connector", connector, "streaming", t.streaming, "gap", reason, "error", pollErr)
		if err := t.gap(ctx, now, reason); err != nil {
			return err
		}
	}
	if !t.streaming {
		t.metrics.polls.WithLabelValues(connector, result).Inc()
	}
	if t.cfg.Progress != nil {
		t.cfg.Progress(connector)
	}
	return stateFile(t.cfg.StateDir, connector).Save(t.pos)
}

// gap writes that nothing is known since the source was last complete.
func (t *turn) gap(ctx context.Context, now time.Time, reason string) error {
	l := t.lives[t.pos.Connector]
	if since := t.pos.incompleteSince(); since.Before(now) {
		all, err := t.coverage(since, now, schemas.CoverageGap, reason)
		if err == nil {
			err = t.cfg.Producer.Produce(ctx, all...)
		}
		if err != nil {
			return fmt.Errorf("writing the gap of %s: %w", t.pos.Connector, err)
		}
	}
	if reason == schemas.GapClamp {
		// What is behind the hole stays lost; the next stretch begins after it.
		t.pos.Since, t.pos.Until = now, now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noted, l.until = now, t.pos.incompleteSince()
	return nil
}
