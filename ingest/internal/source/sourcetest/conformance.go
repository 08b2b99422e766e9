package sourcetest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Conformance is what every source promises, tried before a server of which nothing is known: the real one, its maker's simulator, or ours. It only reads. What a
// source makes of a known conversation, and of what platforms do wrong, is Contract's.
type Conformance struct {
	// Source makes the source, with its token or with another one.
	Source func(t *testing.T, token config.Secret) source.Source
	// Token is the right one; zero where the platform takes none.
	Token config.Secret
	// Cursor is where the first poll begins; nil for the beginning.
	Cursor json.RawMessage
	// Least is how many messages the server is known to hold at least.
	Least int
	// Skip names steps that cannot be tried, with the reason.
	Skip map[string]string
}

// trial is a source on trial.
type trial struct {
	Conformance
	source source.Source
	// seen are the messages that came first, by id.
	seen   map[string]*schemas.Message
	cursor json.RawMessage
}

// pushedWithin is how long a push may say nothing of coverage, with time to connect.
const pushedWithin = 90 * time.Second

// Run tries the steps, each on what those before it have read.
func (c Conformance) Run(t *testing.T) {
	r := &trial{Conformance: c, source: c.open(t, c.Token), seen: map[string]*schemas.Message{}, cursor: c.Cursor}
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"check", r.check}, {"wrong token", r.wrongToken}, {"interrupted poll", r.interrupted}, {"poll from the beginning", r.again},
		{"push", r.push}, {"re-read", r.reread}, {"backfill", r.backfill},
	} {
		t.Run(step.name, func(t *testing.T) {
			if why := c.Skip[step.name]; why != "" {
				t.Skip(why)
			}
			step.do(t)
		})
	}
}

func (c Conformance) open(t *testing.T, token config.Secret) source.Source {
	t.Helper()
	s := c.Source(t, token)
	if closer, ok := s.(interface{ Close() }); ok {
		t.Cleanup(closer.Close)
	}
	return s
}

func (r *trial) check(t *testing.T) {
	if err := r.source.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// wrongToken: another token is a matter of auth, for a check as for a poll, and neither token is told.
func (r *trial) wrongToken(t *testing.T) {
	if r.Token.IsZero() {
		t.Skip("the platform takes no token")
	}
	wrong := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'y' {
			return c + 1
		}
		return c
	}, r.Token.Reveal())
	s := r.open(t, config.NewSecret(wrong))
	for what, err := range map[string]error{"check": s.Check(t.Context()), "poll": s.Poll(t.Context(), nil, func(context.Context, source.Page) error { return nil })} {
		if err == nil || source.GapReason(err) != schemas.GapAuth {
			t.Errorf("%s: %v, want a gap of the reason %s", what, err, schemas.GapAuth)
		}
		if err != nil && (strings.Contains(err.Error(), wrong) || strings.Contains(err.Error(), r.Token.Reveal())) {
			t.Errorf("%s: a token stands in the error", what)
		}
	}
}

// errInterrupted is what emit answers where a page could not be made durable.
var errInterrupted = errors.New("interrupted")

const (
	// polls is how many polls a reading takes at most; a page cap cuts it into several.
	polls = 20
	// interruptions is how many of them are interrupted, at every other page with messages.
	interruptions = 4
)

// drain polls from r.cursor until everything is read. With interrupt, pages are refused, as if the process had died there. do gets each message.
func (r *trial) drain(t *testing.T, interrupt bool, do func(*schemas.Message)) {
	t.Helper()
	pages, complete := 0, false
	emit := func(_ context.Context, p source.Page) error {
		if len(p.Items) > 0 {
			if pages++; interrupt && pages%2 == 1 && pages < 2*interruptions {
				return errInterrupted
			}
		}
		r.take(t, p, do)
		if p.Cursor != nil {
			r.cursor = p.Cursor
		}
		complete = complete || !p.CompleteUntil.IsZero()
		return nil
	}
	for range polls {
		before := pages
		err := r.source.Poll(t.Context(), r.cursor, emit)
		switch gap := source.GapReason(err); {
		case interrupt && pages != before && errors.Is(err, errInterrupted):
		case err == nil && !complete:
			t.Fatal("a poll without an error says nothing of coverage")
		case err == nil:
			return
		case gap == schemas.GapBudget:
			t.Logf("not read to its end: %v", err)
			return
		case gap != schemas.GapLimit:
			t.Fatal(err)
		}
	}
	t.Logf("not read to its end in %d polls", polls)
}

// take holds what a page has to be.
func (r *trial) take(t *testing.T, p source.Page, do func(*schemas.Message)) {
	t.Helper()
	now := time.Now()
	if p.CompleteUntil.After(now) || p.CompleteSince.After(p.CompleteUntil) {
		t.Errorf("complete from %s to %s at %s", p.CompleteSince, p.CompleteUntil, now)
	}
	for _, i := range p.Items {
		switch {
		case (i.Message == nil) == (i.Err == nil):
			t.Errorf("an item that is both or neither: %+v", i)
		case i.Err != nil:
			t.Errorf("an item that cannot be read: %v: %.300s", i.Err, i.Original)
		default:
			if err := i.Message.Validate(now); err != nil {
				t.Errorf("a message that is not valid: %v", err)
			}
			r.steady(t, i.Message)
			do(i.Message)
		}
	}
}

// steady: a message that comes again is by the same author, of the same time, and answers the same. Where an edit brings another time, the poller keeps the first.
func (r *trial) steady(t *testing.T, m *schemas.Message) {
	t.Helper()
	was := r.seen[m.MessageID]
	if was == nil {
		return
	}
	sameTime := was.CreatedAt.Equal(m.CreatedAt) || was.EditedAt != nil || m.EditedAt != nil
	if was.Platform != m.Platform || was.AuthorID != m.AuthorID || !sameTime || was.ParentID != m.ParentID {
		t.Errorf("message %s came as %s %s %s %q and comes as %s %s %s %q", m.MessageID, was.Platform, was.AuthorID, was.CreatedAt, was.ParentID, m.Platform, m.AuthorID, m.CreatedAt, m.ParentID)
	}
}

// interrupted: a poll that cannot make a page durable ends with that error, and the next one brings the page.
func (r *trial) interrupted(t *testing.T) {
	r.drain(t, true, func(m *schemas.Message) { r.seen[m.MessageID] = m })
	t.Logf("%d messages", len(r.seen))
	if len(r.seen) < r.Least {
		t.Errorf("%d messages, want %d or more", len(r.seen), r.Least)
	}
}

// again: a reading from the beginning brings nothing that the interrupted one left out.
func (r *trial) again(t *testing.T) {
	begun, end := time.Now(), r.cursor
	r.cursor = r.Cursor
	n := 0
	r.drain(t, false, func(m *schemas.Message) {
		n++
		if r.seen[m.MessageID] == nil && m.CreatedAt.Before(begun.Add(-time.Minute)) && m.EditedAt == nil {
			t.Errorf("message %s of %s did not come before", m.MessageID, m.CreatedAt)
		}
	})
	r.cursor = end
	t.Logf("%d messages", n)
}

// push: the stream stays open, and says how far it is.
func (r *trial) push(t *testing.T) {
	s, ok := r.source.(source.Streamer)
	if !ok {
		t.Skip("the source is only polled")
	}
	ctx, cancel := context.WithTimeout(t.Context(), pushedWithin)
	defer cancel()
	complete := false
	err := s.Stream(ctx, r.cursor, func(_ context.Context, p source.Page) error {
		r.take(t, p, func(*schemas.Message) {})
		if complete = !p.CompleteUntil.IsZero(); complete {
			cancel()
		}
		return nil
	})
	if !complete {
		t.Errorf("the stream said nothing of coverage: %v", err)
	}
}

// reread: what was just read is there, or at most hidden.
func (r *trial) reread(t *testing.T) {
	s, ok := r.source.(source.Rechecker)
	if !ok {
		t.Skip("the source does not re-read")
	}
	var known []source.Known
	for _, m := range r.seen {
		if m.DeletedAt == nil {
			k := source.Known{Message: *m}
			k.Message.Text, k.Message.URL = "", ""
			known = append(known, k)
		}
	}
	slices.SortFunc(known, func(a, b source.Known) int { return strings.Compare(a.Message.MessageID, b.Message.MessageID) })
	known = known[:min(len(known), max(1, s.Rechecks().Batch))]
	if len(known) == 0 {
		t.Skip("nothing was read that could be read again")
	}
	findings, err := s.Recheck(t.Context(), known)
	switch {
	case err != nil && source.GapReason(err) == schemas.GapBudget:
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	if len(findings) != len(known) {
		t.Fatalf("%d findings for %d messages", len(findings), len(known))
	}
	for n, f := range findings {
		if f.State != source.Present && f.State != source.Hidden && f.State != source.Unknown {
			t.Errorf("message %s is %s", known[n].Message.MessageID, f.State)
		}
		if f.Item != nil {
			r.take(t, source.Page{Items: []source.Item{*f.Item}}, func(*schemas.Message) {})
		}
		r.take(t, source.Page{Items: f.Late}, func(*schemas.Message) {})
	}
}

// backfill reads the range of what was read once more. A platform that cannot look back says so.
func (r *trial) backfill(t *testing.T) {
	until := time.Now()
	since := until.Add(-time.Hour)
	for _, m := range r.seen {
		if m.CreatedAt.Before(since) {
			since = m.CreatedAt
		}
	}
	again := map[string]bool{}
	err := r.source.Backfill(t.Context(), since, until, func(_ context.Context, p source.Page) error {
		if p.Cursor != nil {
			t.Error("a backfill moves the cursor")
		}
		r.take(t, p, func(m *schemas.Message) { again[m.MessageID] = true })
		return nil
	})
	var own *source.Error
	switch {
	case errors.As(err, &own) && (own.Gap == schemas.GapClamp || own.Gap == schemas.GapLimit || own.Gap == schemas.GapBudget):
		t.Logf("not all of it: %v", err)
		return
	case err != nil:
		t.Fatal(err)
	}
	for id := range r.seen {
		if !again[id] {
			t.Errorf("message %s does not come again", id)
		}
	}
}
