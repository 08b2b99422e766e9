// Package sourcetest holds every live source to the same table: what it must make of a page, of the last one and an empty one, of what platforms do wrong, and
// of messages that are edited, deleted or hidden.
package sourcetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

// Clock is a clock that only the test moves.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock returns a clock that stands at a time.
func NewClock(at time.Time) *Clock { return &Clock{at: at} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Add moves it.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Known is source.Environment's, over what the source has emitted.
type Known func(messageID string) (source.Known, bool)

// Contract is what a platform's tests provide; Run holds the source to the table.
type Contract struct {
	// Server speaks the platform over the world, faults left out.
	Server func(w *conversation.World) http.Handler
	// Source makes the source of the world's official account before a server at base, with waits so short (web.Client's FirstWait, MaxWait) that a fault's
	// repeats take milliseconds.
	Source func(t *testing.T, base string, clock *Clock, known Known) source.Source
	// MessageID is the id that the source gives a post.
	MessageID func(base, id string) string
	// Limited answers 429 in the platform's way: calls are allowed again at reset.
	Limited func(w http.ResponseWriter, reset time.Time)
	// Smallest is the smallest page that the platform gives; 0 is one of a single post.
	Smallest int
	// Flat tells that the platform has two levels: whatever stands in a thread answers its root.
	Flat bool
	// Threads is how many threads of World.Converse fill several pages of the feeds.
	Threads int
	// Secrets must not appear in an error.
	Secrets []string
	// Skip names rows that the platform cannot show, with the reason.
	Skip map[string]string
	// Hides tells that the platform says of a protected account's message that it is hidden, and not only that it is missing.
	Hides bool
}

// bench is a source before a server.
type bench struct {
	*testing.T
	c        Contract
	world    *conversation.World
	clock    *Clock
	base     string
	source   source.Source
	cursor   json.RawMessage
	seen     map[string]*schemas.Message // the newest by id
	times    map[string]int              // how often a message came in the last poll
	total    map[string]int              // how often it came at all
	complete int                         // pages with CompleteUntil in the last poll
	until    time.Time                   // the last CompleteUntil of all
	// fault may answer a call in the server's place; n counts the calls of the poll from 1.
	fault func(w http.ResponseWriter, r *http.Request, n int) bool
	calls int
	mu    sync.Mutex
}

func (c Contract) bench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, c: c, world: conversation.NewWorld(), clock: &Clock{at: conversation.Start.Add(24 * time.Hour)}, seen: map[string]*schemas.Message{}, total: map[string]int{}}
	inner := c.Server(b.world)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.calls++
		n, fault := b.calls, b.fault
		b.mu.Unlock()
		if fault == nil || !fault(w, r, n) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	b.base = server.URL
	b.source = c.Source(t, b.base, b.clock, b.find)
	if closer, ok := b.source.(interface{ Close() }); ok {
		t.Cleanup(closer.Close)
	}
	return b
}

// find is the source's Known.
func (b *bench) find(id string) (source.Known, bool) {
	m := b.seen[id]
	if m == nil {
		return source.Known{}, false
	}
	return source.Known{Message: *m}, true
}

// set sets the fault and counts calls anew.
func (b *bench) set(fault func(http.ResponseWriter, *http.Request, int) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault, b.calls = fault, 0
}

func (b *bench) emit(_ context.Context, p source.Page) error {
	for _, i := range p.Items {
		if i.Err != nil {
			b.Errorf("a post of the world is dead: %v", i.Err)
			continue
		}
		if err := i.Message.Validate(b.clock.Now()); err != nil {
			b.Errorf("a message that is not valid: %v", err)
		}
		b.seen[i.Message.MessageID] = i.Message
		b.times[i.Message.MessageID]++
		b.total[i.Message.MessageID]++
	}
	if p.Cursor != nil {
		b.cursor = p.Cursor
	}
	if !p.CompleteUntil.IsZero() {
		b.complete++
		b.until = p.CompleteUntil
		if p.CompleteUntil.After(b.clock.Now()) || p.CompleteSince.After(p.CompleteUntil) {
			b.Errorf("complete from %s to %s at %s", p.CompleteSince, p.CompleteUntil, b.clock.Now())
		}
	}
	return nil
}

// poll polls once, a minute later.
func (b *bench) poll() error {
	b.Helper()
	b.clock.Add(time.Minute)
	b.times, b.complete = map[string]int{}, 0
	err := b.source.Poll(b.Context(), b.cursor, b.emit)
	for _, secret := range b.c.Secrets {
		if err != nil && strings.Contains(err.Error(), secret) {
			b.Errorf("a secret stands in the error %q", strings.ReplaceAll(err.Error(), secret, "SECRET"))
		}
	}
	if err == nil && b.complete == 0 {
		b.Error("a poll without an error says nothing of coverage")
	}
	if err != nil && b.complete > 0 && source.GapReason(err) != schemas.GapLimit {
		b.Errorf("coverage is claimed in spite of %v", err)
	}
	return err
}

// drain polls until a poll brings nothing new; page caps and rate budgets may need several.
func (b *bench) drain() {
	b.Helper()
	for range 50 {
		before := len(b.seen)
		err := b.poll()
		if gap := source.GapReason(err); err != nil && gap != schemas.GapLimit && gap != schemas.GapBudget {
			b.Fatal(err)
		}
		if err == nil && len(b.seen) == before {
			return
		}
	}
	b.Fatal("the source is not done after 50 polls")
}

// same checks that what came is the world's own list.
func (b *bench) same() {
	b.Helper()
	b.world.Lock()
	defer b.world.Unlock()
	want := map[string]conversation.Post{}
	parent := func(p conversation.Post) string {
		above := p.Parent
		if b.c.Flat {
			above = p.Root
		}
		if above == "" {
			return ""
		}
		return b.c.MessageID(b.base, above)
	}
	for _, p := range b.world.By(func(conversation.Post) bool { return true }) {
		want[b.c.MessageID(b.base, p.ID)] = p
	}
	for id, p := range want {
		m := b.seen[id]
		switch {
		case m == nil:
			b.Errorf("post %s of %s did not come", p.ID, p.Author)
		case !strings.Contains(m.Text, p.Text):
			b.Errorf("post %s has the text %q, want %q", p.ID, m.Text, p.Text)
		case !m.CreatedAt.Equal(p.Created):
			b.Errorf("post %s was created at %s, want %s", p.ID, m.CreatedAt, p.Created)
		case m.ParentID != parent(p):
			b.Errorf("post %s has the parent %q, want %q", p.ID, m.ParentID, parent(p))
		case p.Root != "" && m.RootID != b.c.MessageID(b.base, p.Root):
			b.Errorf("post %s has the root %q, want %q", p.ID, m.RootID, p.Root)
		}
	}
	for id := range b.seen {
		if _, ok := want[id]; !ok {
			b.Errorf("message %s is of no post", id)
		}
	}
}

// once checks that the last poll brought no message twice.
func (b *bench) once() {
	b.Helper()
	for id, n := range b.times {
		if n > 1 {
			b.Errorf("message %s came %d times in one poll", id, n)
		}
	}
}

// Run runs the table.
func (c Contract) Run(t *testing.T) {
	row := func(name string, f func(b *bench)) {
		t.Run(name, func(t *testing.T) {
			if why := c.Skip[name]; why != "" {
				t.Skip(why)
			}
			f(c.bench(t))
		})
	}
	row("page", func(b *bench) {
		b.world.Converse(2)
		if err := b.poll(); err != nil {
			b.Fatal(err)
		}
		b.once()
		b.same()
		b.world.Converse(2)
		if err := b.poll(); err != nil {
			b.Fatal(err)
		}
		b.same()
	})
	row("last page", func(b *bench) {
		b.world.Converse(c.Threads)
		b.drain()
		b.same()
	})
	row("empty page", func(b *bench) {
		for range 2 {
			if err := b.poll(); err != nil || len(b.seen) > 0 {
				b.Errorf("%d messages, %v", len(b.seen), err)
			}
		}
		b.world.Converse(1)
		b.drain()
		b.same()
	})
	row("duplicates across pages", func(b *bench) {
		b.world.Overlap = 2
		b.world.Converse(c.Threads)
		b.drain()
		b.once()
		b.same()
	})
	row("reordered pages", func(b *bench) {
		b.world.Shuffle = rand.New(rand.NewPCG(1, 2))
		b.world.Converse(c.Threads)
		b.drain()
		b.same()
	})
	row("every page size", c.pageSizes)
	row("outage", func(b *bench) {
		b.world.Converse(2)
		b.drain()
		before := b.until
		for n := range 12 {
			away := n >= 4 && n < 8
			b.set(func(w http.ResponseWriter, _ *http.Request, _ int) bool {
				if away {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				return away
			})
			b.world.Converse(1)
			b.clock.Add(17 * time.Second)
			switch err := b.poll(); {
			case away && (err == nil || !b.until.Equal(before)):
				b.Errorf("during the outage: %v, complete up to %s, want %s", err, b.until, before)
			case !away && (err != nil || !b.until.Equal(b.clock.Now())):
				b.Errorf("beside the outage: %v, complete up to %s, want %s", err, b.until, b.clock.Now())
			}
			before = b.until
		}
		b.drain()
		b.same()
	})
	c.faults(row)
	c.known(row)
	row("everything at once", c.soak)
}

// pageSizes polls a world that grows between the polls through pages of every size, as they are, and repeating one another and out of order: each post comes
// exactly once.
func (c Contract) pageSizes(b *bench) {
	for _, size := range []int{1, 2, 3, 5, 10, 100} {
		if size < c.Smallest {
			continue
		}
		b.Run(fmt.Sprint(size), func(t *testing.T) { c.bench(t).grows(size) })
		b.Run(fmt.Sprint(size, " repeating and out of order"), func(t *testing.T) {
			one := c.bench(t)
			if c.Skip["duplicates across pages"] == "" {
				one.world.Overlap = 2
			}
			one.world.Shuffle = rand.New(rand.NewPCG(uint64(size), 7))
			one.grows(size)
		})
	}
}

// grows polls a growing world with a long thread in it through pages of a size.
func (b *bench) grows(size int) {
	b.Helper()
	b.world.Most = size
	write := func(author, parent, text string) string { // two minutes apart, so that what is read twice to be sure stays a small part
		b.world.Lock()
		newest := conversation.Start
		if n := len(b.world.Posts); n > 0 {
			newest = b.world.Posts[n-1].Created.Add(2 * time.Minute)
		}
		b.world.Unlock()
		b.world.Skip(newest)
		return b.world.Write(author, parent, text)
	}
	announced := write(b.world.Official, "", "jadwal libur")
	for n := range 40 {
		citizen := fmt.Sprintf("warga%d", 1+n%9)
		asked := write(citizen, announced, fmt.Sprintf("apakah loket %d buka?", n))
		for k := range n % 4 {
			write(b.world.Official, asked, fmt.Sprintf("loket %d buka pukul %d", n, k))
		}
		if n%5 == 0 {
			write(citizen, "", fmt.Sprintf("di mana loket %d?", n))
		}
	}
	for range 2 {
		b.drain()
		b.once()
		b.same()
		b.world.Converse(3)
	}
	b.drain()
	b.same()
	for id, n := range b.total {
		if n > 1 {
			b.Errorf("message %s came %d times", id, n)
		}
	}
}

// Fault is something that a platform does wrong, and what coverage has to call it.
type Fault struct {
	Name, Gap string
	Answer    func(b *FaultContext)
}

// FaultContext is what a fault answers with.
type FaultContext struct {
	http.ResponseWriter
	Request *http.Request
	Now     time.Time
	limited func(http.ResponseWriter, time.Time)
}

func answerJSON(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprint(w, body)
}

// faults of the table.
func faults() []Fault {
	return []Fault{
		{"401", schemas.GapAuth, func(b *FaultContext) { answerJSON(b, http.StatusUnauthorized, `{}`) }},
		{"403", schemas.GapAuth, func(b *FaultContext) { answerJSON(b, http.StatusForbidden, `{}`) }},
		{"404", schemas.GapOutage, func(b *FaultContext) {
			b.Header().Set("Content-Type", "text/html")
			b.WriteHeader(http.StatusNotFound)
			fmt.Fprint(b, "<html>not here</html>")
		}},
		{"429", schemas.GapBudget, func(b *FaultContext) { b.limited(b, b.Now.Add(10*time.Minute)) }},
		{"500", schemas.GapOutage, func(b *FaultContext) { b.WriteHeader(http.StatusInternalServerError) }},
		{"503", schemas.GapOutage, func(b *FaultContext) { b.WriteHeader(http.StatusServiceUnavailable) }},
		{"no answer", schemas.GapOutage, func(b *FaultContext) { hangUp(b) }},
		{"truncated body", schemas.GapOutage, func(b *FaultContext) {
			b.Header().Set("Content-Type", "application/json")
			b.Header().Set("Content-Length", "1000")
			fmt.Fprint(b, `{"data":[{"id":`)
		}},
		{"JSON that breaks off", schemas.GapOutage, func(b *FaultContext) { answerJSON(b, http.StatusOK, `{"data":[{"id":`) }},
		{"huge body", schemas.GapOutage, func(b *FaultContext) {
			b.Header().Set("Content-Type", "application/json")
			fmt.Fprint(b, "[")
			for range web.MaxBody/1024 + 2 {
				fmt.Fprint(b, strings.Repeat(" ", 1024))
			}
			fmt.Fprint(b, "]")
		}},
		{"a page of HTML", schemas.GapOutage, func(b *FaultContext) {
			b.Header().Set("Content-Type", "text/html")
			fmt.Fprint(b, "<html>maintenance</html>")
		}},
	}
}

// hangUp ends the connection without an answer.
func hangUp(w http.ResponseWriter) {
	var under http.ResponseWriter = w
	if f, ok := w.(*FaultContext); ok {
		under = f.ResponseWriter
	}
	if h, ok := under.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			conn.Close() //nolint:errcheck // That is the point.
		}
	}
}

// maxCalls bounds at how many calls of a poll each fault is tried.
const maxCalls = 8

// faults tries each fault from each call of a poll on: that poll is a gap of the right kind, and the next ones bring everything.
func (c Contract) faults(row func(string, func(*bench))) {
	for _, f := range faults() {
		row(f.Name, func(b *bench) {
			b.world.Converse(3)
			first := c.bench(b.T)
			first.world.Converse(3)
			first.set(nil)
			if err := first.poll(); err != nil {
				b.Fatal(err)
			}
			calls := min(first.calls, maxCalls)
			if f.Name == "huge body" {
				calls = min(calls, 2)
			}
			for at := 1; at <= calls; at++ {
				one := c.bench(b.T)
				one.world.Converse(3)
				hit := false
				one.set(func(w http.ResponseWriter, r *http.Request, n int) bool {
					if n < at {
						return false
					}
					hit = true
					f.Answer(&FaultContext{ResponseWriter: w, Request: r, Now: one.clock.Now(), limited: c.Limited})
					return true
				})
				err := one.poll()
				switch {
				case !hit:
					b.Errorf("call %d was not made", at)
				case err == nil:
					b.Errorf("from call %d on: no error", at)
				case source.GapReason(err) != f.Gap:
					b.Errorf("from call %d on: the gap %s, want %s: %v", at, source.GapReason(err), f.Gap, err)
				}
				var own *source.Error
				if err != nil && !errors.As(err, &own) {
					b.Errorf("from call %d on: an error that says nothing of coverage: %v", at, err)
				}
				one.set(nil)
				one.clock.Add(15 * time.Minute) // longer than the limit asked for
				one.drain()
				one.same()
			}
		})
	}
}

// reread re-reads every message that came and returns the findings by id.
func (b *bench) reread() map[string]source.Finding {
	b.Helper()
	r, ok := b.source.(source.Rechecker)
	if !ok {
		b.Skip("the source does not re-read")
	}
	ids := make([]string, 0, len(b.seen))
	for id := range b.seen {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	out := map[string]source.Finding{}
	b.clock.Add(time.Hour)
	for batch := range slices.Chunk(ids, max(1, r.Rechecks().Batch)) {
		var known []source.Known
		for _, id := range batch {
			m := *b.seen[id]
			m.Text, m.URL = "", ""
			known = append(known, source.Known{Message: m})
		}
		findings, err := r.Recheck(b.Context(), known)
		if err == nil && len(findings) != len(known) {
			b.Fatalf("%d findings for %d messages", len(findings), len(known))
		}
		for i, f := range findings {
			out[known[i].Message.MessageID] = f
		}
		for _, k := range known[len(findings):] {
			out[k.Message.MessageID] = source.Finding{State: source.Unknown}
		}
	}
	return out
}

// known is the part of the table about messages that were read before.
func (c Contract) known(row func(string, func(*bench))) {
	prepare := func(b *bench) (first string) {
		b.world.Converse(4)
		b.drain()
		b.world.Lock()
		defer b.world.Unlock()
		return b.world.Inbound()[0].ID
	}
	others := func(b *bench, except string, findings map[string]source.Finding, allowed ...source.State) {
		for id, f := range findings {
			if id != except && !slices.Contains(allowed, f.State) {
				b.Errorf("message %s is %s", id, f.State)
			}
		}
	}
	row("deleted id", func(b *bench) {
		id := prepare(b)
		b.world.Delete(id)
		findings := b.reread()
		key := c.MessageID(b.base, id)
		if s := findings[key].State; s != source.Deleted && s != source.Missing {
			b.Errorf("the deleted message is %s", s)
		}
		others(b, key, findings, source.Present)
	})
	row("edited item", func(b *bench) {
		id := prepare(b)
		b.world.Edit(id, "kapan kantor tutup?", b.clock.Now())
		findings := b.reread()
		f := findings[c.MessageID(b.base, id)]
		if f.State != source.Present || f.Item == nil || f.Item.Message == nil || !strings.Contains(f.Item.Message.Text, "tutup") || f.Item.Message.EditedAt == nil {
			b.Errorf("the edited message: %+v", f)
		}
	})
	row("protected account", func(b *bench) {
		id := prepare(b)
		b.world.Lock()
		author := b.world.Find(id).Author
		b.world.Protected[author] = true
		b.world.Unlock()
		f := b.reread()[c.MessageID(b.base, id)]
		if f.State == source.Deleted || f.State == source.Present || c.Hides && (f.State != source.Hidden || f.Reason != schemas.HiddenProtected) {
			b.Errorf("the protected message: %+v", f)
		}
	})
	row("re-read after a restart", func(b *bench) {
		prepare(b)
		b.world.Lock()
		own := b.world.Own()[0].ID
		b.world.Unlock()
		b.world.Write("warga1", own, "terima kasih")
		b.drain()
		b.world.Write("warga2", own, "pukul berapa?") // counts move
		b.source = b.c.Source(b.T, b.base, b.clock, b.find)
		for id, f := range b.reread() {
			if f.Item == nil || f.Item.Message == nil {
				continue
			}
			was, is := b.seen[id], f.Item.Message
			if is.AuthorID != was.AuthorID || is.ParentAuthorID != was.ParentAuthorID || is.Institution != was.Institution || is.Account != was.Account {
				b.Errorf("message %s by %q answering %q for %s is read again as by %q answering %q for %s", id, was.AuthorID, was.ParentAuthorID, was.Account, is.AuthorID, is.ParentAuthorID, is.Account)
			}
		}
	})
	for _, f := range faults() {
		row("re-read and "+f.Name, func(b *bench) {
			prepare(b)
			b.set(func(w http.ResponseWriter, r *http.Request, _ int) bool {
				f.Answer(&FaultContext{ResponseWriter: w, Request: r, Now: b.clock.Now(), limited: c.Limited})
				return true
			})
			others(b, "", b.reread(), source.Unknown)
		})
	}
}

// soak polls a world that grows while a tenth of all answers is wrong.
func (c Contract) soak(b *bench) {
	random := rand.New(rand.NewPCG(3, 4))
	if c.Skip["reordered pages"] == "" {
		b.world.Shuffle = rand.New(rand.NewPCG(5, 6))
	}
	if c.Skip["duplicates across pages"] == "" {
		b.world.Overlap = 1
	}
	var mu sync.Mutex
	b.set(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		mu.Lock()
		x := random.Float64()
		mu.Unlock()
		switch {
		case x < 0.05:
			w.WriteHeader(http.StatusBadGateway)
		case x < 0.10:
			c.Limited(w, b.clock.Now().Add(30*time.Second))
		case x < 0.12:
			answerJSON(w, http.StatusOK, `{"data":[`)
		default:
			return false
		}
		return true
	})
	for range 10 {
		b.world.Converse(3)
		// What goes wrong is a gap, and the next poll goes on.
		_ = b.poll()
	}
	b.set(nil)
	b.clock.Add(time.Hour)
	b.drain()
	b.same()
}
