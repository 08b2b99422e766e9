package x

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

// streaming is a Source that also follows the filtered stream. X gives an app one connection.
type streaming struct {
	*Source
	stall time.Duration

	waitMu sync.Mutex
	wait   reconnect
}

const (
	// stallAfter is how long the stream may be silent; X sends a keep-alive every 20 seconds.
	stallAfter = 45 * time.Second
	// tellEvery is how often a living stream says that it is complete.
	tellEvery = 20 * time.Second
	// heldPosts is for how many posts of the stream money is set aside at a time: what was pushed cannot be refused.
	heldPosts = 20
	// maxEvent bounds a line of the stream.
	maxEvent = 1 << 20
	// mostStreamWait is the longest time that a connection waits after a 429.
	mostStreamWait = 15 * time.Minute
)

// reconnect keeps the rules of X for calling again: after an HTTP error from 5 to 320 seconds, after a 429 from limited on, doubling each time. A connection
// that merely broke may be made again at once; who follows the stream waits a second or more anyway.
type reconnect struct {
	limited time.Duration
	until   time.Time
	last    time.Duration
}

func (r *reconnect) failed(err error, now time.Time) {
	var e *web.Error
	if !errors.As(err, &e) || e.Status == 0 {
		return
	}
	first, most := 5*time.Second, 320*time.Second
	if e.Kind == web.Limited {
		first, most = r.limited, mostStreamWait
	}
	r.last = min(max(first, 2*r.last), most)
	r.until = now.Add(r.last)
}

// Stream connects, reads what came since the cursor, and then takes what is pushed.
func (s *streaming) Stream(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	s.waitMu.Lock()
	until := s.wait.until
	s.waitMu.Unlock()
	if now := s.env.Now(); now.Before(until) {
		return &source.Error{Gap: schemas.GapOutage, Err: fmt.Errorf("X wants no new connection before %s", until.UTC().Format(time.RFC3339))}
	}
	err := s.follow(ctx, raw, emit)
	s.waitMu.Lock()
	defer s.waitMu.Unlock()
	s.wait.failed(err, s.env.Now())
	return err
}

func (s *streaming) follow(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	me, _, err := s.account(ctx)
	if err != nil {
		return err
	}
	f := &follower{streaming: s, money: money{source: s.Source}, taken: map[string]time.Time{}}
	f.poll = &poll{Source: s.Source, me: me, emit: emit, seen: map[string]bool{}}
	if err := s.rule(ctx, f.handle()); err != nil {
		return sourceError(err)
	}
	q := url.Values{}
	s.fields(q)
	if err := f.money.hold(); err != nil {
		return sourceError(err)
	}
	body, err := s.streams.Open(ctx, web.Call{Path: "/2/tweets/search/stream", Query: q})
	if err != nil {
		return errors.Join(sourceError(err), f.money.settle())
	}
	defer body.Close() //nolint:errcheck // It was only read.
	s.waitMu.Lock()
	s.wait = reconnect{limited: s.settings.StreamWait.Std()}
	s.waitMu.Unlock()
	// What X pushes meanwhile waits in the connection.
	last := raw
	if err := s.Poll(ctx, raw, func(ctx context.Context, page source.Page) error {
		if page.Cursor != nil {
			last = page.Cursor
		}
		f.take(page.Items)
		return emit(ctx, page)
	}); err != nil {
		return errors.Join(err, f.money.settle())
	}
	if err := f.load(last); err != nil {
		return errors.Join(err, f.money.settle())
	}
	return errors.Join(f.read(ctx, cancel, body), f.money.settle())
}

// errStalled ends a stream that no longer says anything.
var errStalled = errors.New("the stream is silent")

// follower takes the events of one connection.
type follower struct {
	*poll
	streaming *streaming
	money     money
	told      time.Time
	// taken is when the version of a message that was read last was written. What waits in the connection, or comes out of order, may be older, and would be the one that was
	// seen last.
	taken map[string]time.Time
}

// take notes the versions of messages that were read.
func (f *follower) take(items []source.Item) {
	for _, item := range items {
		if m := item.Message; m != nil && m.EditedAt != nil {
			f.taken[m.MessageID] = *m.EditedAt
		}
	}
}

// replaced tells of a pushed post that a newer version of it was read.
func (f *follower) replaced(p *Post) bool {
	first, _, edited := FirstVersion(p.ID, p.EditHistory)
	if !edited {
		first = p.ID
	}
	if p.CreatedAt.Before(f.taken[first]) {
		return true
	}
	if len(f.taken) > maxRecent {
		clear(f.taken)
	}
	if edited {
		f.taken[first] = p.CreatedAt
	}
	return false
}

func (f *follower) read(ctx context.Context, cancel context.CancelCauseFunc, body io.Reader) error {
	stall := time.AfterFunc(f.streaming.stall, func() { cancel(errStalled) })
	defer stall.Stop()
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
	for lines.Scan() {
		stall.Reset(f.streaming.stall)
		f.now = f.env.Now().UTC()
		if event := bytes.TrimSpace(lines.Bytes()); len(event) > 0 {
			if err := f.event(ctx, event); err != nil {
				return err
			}
		}
		if err := f.tell(ctx); err != nil {
			return err
		}
	}
	err := lines.Err()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errStalled) {
		return cause
	} else if cause != nil {
		err = cause
	}
	if err == nil {
		err = errors.New("X has ended the stream")
	}
	return &source.Error{Gap: schemas.GapOutage, Err: err}
}

func (f *follower) event(ctx context.Context, event []byte) error {
	var a Answer
	if err := json.Unmarshal(event, &a); err != nil {
		return f.page(ctx, source.Page{Items: []source.Item{{
			Err:      &schemas.FieldError{Reason: schemas.DeadMalformed, Key: "event", Allowed: "an event of the filtered stream"},
			Original: slices.Clone(event[:min(len(event), maxOriginal)]),
		}}})
	}
	if len(a.Data) == 0 {
		if len(a.Errors) > 0 {
			return &source.Error{Gap: schemas.GapOutage, Err: fmt.Errorf("X ends the stream: %s", problems(a.Errors))}
		}
		return nil
	}
	if err := f.money.spend(f.charge(a.ids())); err != nil {
		return sourceError(err)
	}
	if !slices.Contains(a.Rules, f.tag()) {
		return nil // another account's, over the same connection
	}
	var p Post
	if json.Unmarshal(a.Data[0], &p) != nil || p.ID == "" {
		return f.posts(ctx, &a, list{at: &place{}})
	}
	if f.replaced(&p) {
		return nil
	}
	at := &f.cursor.Mentions
	switch {
	case p.AuthorID == f.me.ID:
		at = &f.cursor.Own
	case !slices.Contains(f.settings.Feeds, feedMentions):
		at = &f.cursor.Search
	}
	if at.Since == "" || less(at.Since, p.ID) {
		at.Newest = p.ID
		f.arrive(at)
	}
	if len(f.seen) > maxRecent {
		clear(f.seen)
	}
	return f.posts(ctx, &a, list{at: at})
}

// tell says now and then that the stream is alive, and so complete.
func (f *follower) tell(ctx context.Context) error {
	if f.now.Sub(f.told) < tellEvery {
		return nil
	}
	f.told = f.now
	since := f.cursor.Complete
	f.cursor.Complete = f.now
	return f.page(ctx, source.Page{CompleteSince: since, CompleteUntil: f.now})
}

// tag marks this account's rule among those of the app.
func (s *streaming) tag() string { return "dwiarah:" + s.env.Account.Account.Name() }

func (f *follower) tag() string { return f.streaming.tag() }

// streamRule is a rule of the filtered stream.
type streamRule struct {
	ID    string `json:"id,omitempty"`
	Value string `json:"value"`
	Tag   string `json:"tag"`
}

// rule makes the account's rule as it has to be; the app's other rules are left alone.
func (s *streaming) rule(ctx context.Context, handle string) error {
	const path = "/2/tweets/search/stream/rules"
	want := streamRule{Value: "to:" + handle + " OR @" + handle + " OR from:" + handle, Tag: s.tag()}
	var have struct {
		Data []streamRule `json:"data"`
	}
	if err := s.client.Get(ctx, path, nil, &have); err != nil {
		return err
	}
	var stale []string
	there := false
	for _, r := range have.Data {
		switch {
		case r.Tag != want.Tag:
		case r.Value == want.Value && !there:
			there = true
		default:
			stale = append(stale, r.ID)
		}
	}
	if len(stale) > 0 {
		if _, err := s.client.Do(ctx, web.Call{Method: http.MethodPost, Path: path, Body: map[string]any{"delete": map[string]any{"ids": stale}}}, nil); err != nil {
			return err
		}
	}
	if there {
		return nil
	}
	_, err := s.client.Do(ctx, web.Call{Method: http.MethodPost, Path: path, Body: map[string]any{"add": []streamRule{want}}}, nil)
	return err
}

// money is set aside for posts that are pushed, some at a time.
type money struct {
	source *Source
	held   *budget.Hold
	left   int64
	spent  int64
}

func (m *money) hold() error {
	n := int64(heldPosts) * m.source.perPost()
	held, err := m.source.purse.Reserve(n)
	if err != nil {
		return err
	}
	m.held, m.left, m.spent = held, n, 0
	return nil
}

// spend takes what a post has cost from what is held, and holds anew when the next one might not be covered.
func (m *money) spend(cost int64) error {
	m.left -= cost
	m.spent += cost
	if m.left >= m.source.perPost() {
		return nil
	}
	if err := m.settle(); err != nil {
		return err
	}
	return m.hold()
}

func (m *money) settle() error {
	if m.held == nil {
		return nil
	}
	held := m.held
	m.held = nil
	return held.Settle(m.spent)
}
