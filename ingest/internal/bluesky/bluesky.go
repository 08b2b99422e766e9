// Package bluesky reads an official account's public conversation over Bluesky's interface with the account's app password: its posts, the threads below
// them, its mentions, replies and quotes, and the deletion of what it has read. README.md says which calls and why.
package bluesky

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// Platform is what the registry of package ingest takes.
func Platform() source.Platform {
	return source.Platform{New: func(env source.Environment) (source.Source, error) { return newSource(env) }}
}

// defaultBase is the PDS of accounts that Bluesky hosts.
const defaultBase = "https://bsky.social"

// Source reads for one account. It is used by one poll at a time, and one re-read beside.
type Source struct {
	env       source.Environment
	api       *API
	connector string
}

func newSource(env source.Environment) (*Source, error) {
	if env.Config.Token.IsZero() {
		return nil, errors.New(`token: missing; allowed: "file:PATH" or "env:NAME" of an app password of the account`)
	}
	official := env.Account.Account
	api, err := NewAPI(cmp.Or(env.Config.BaseURL, defaultBase), cmp.Or(official.ID, official.Handle), env.Config.Token.Reveal(), env.Directory, env.Config.AllowPrivate, env.Now)
	if err != nil {
		return nil, err
	}
	return &Source{env: env, api: api, connector: "bluesky:" + official.Name() + ":" + api.Client.Base.Host}, nil
}

// Connector names the source: bluesky, the account, the server.
func (s *Source) Connector() string { return s.connector }

// Close releases idle connections.
func (s *Source) Close() { s.api.Client.Close() }

// Budget is what is left of the server's limit.
func (s *Source) Budget() []budget.Line { return []budget.Line{s.api.Client.Budget.Line()} }

// Check opens a session and asks for the account.
func (s *Source) Check(ctx context.Context) error {
	_, err := s.me(ctx)
	return err
}

// me returns the configured account.
func (s *Source) me(ctx context.Context) (profile, error) {
	p, err := s.api.profile(ctx, s.env.Account.Account)
	if err == nil && s.env.Account.Account.ID != "" && institutions.Fold(p.DID) != institutions.Fold(s.env.Account.Account.ID) {
		err = &source.Error{Gap: schemas.GapAuth, Err: fmt.Errorf("the server knows another account as %s of %s", s.env.Account.Account.Name(), s.env.Account.Institution.ID)}
	}
	return p, err
}

// cursor is how far the feeds have been read.
type cursor struct {
	Own           reach `json:"own"`
	Notifications reach `json:"notifications"`
}

// reach is how far one feed has been read. The server shows the newest first, so a walk down has to reach Until before its top counts.
type reach struct {
	// Until is up to when everything was read.
	Until time.Time `json:"until,omitzero"`
	// Next is where a walk that was cut short goes on, and Top the newest that it began with.
	Next string    `json:"next,omitempty"`
	Top  time.Time `json:"top,omitzero"`
}

// overlap is by how much a walk goes below what was read: the network shows a post a little later than its time says. What is known there is left out.
const overlap = 10 * time.Minute

// walk reads feeds.
type walk struct {
	api     *API
	account source.Account
	did     string
	now     time.Time
	emit    source.Emit
	known   func(string) (source.Known, bool)
	oldest  time.Time
}

// feed is a list that the server pages, the newest first.
type feed struct {
	name string
	read func(ctx context.Context, next string) (views []*rawView, after string, err error)
}

// sortAt is the time by which the server orders: the earlier of the author's and its own.
func (v *rawView) sortAt() time.Time {
	if post, err := ParsePost(v.Record); err == nil {
		return post.believed(v.IndexedAt)
	}
	return v.IndexedAt
}

func (w *walk) ownFeed() feed {
	return feed{name: "own posts", read: func(ctx context.Context, next string) ([]*rawView, string, error) {
		query := url.Values{"actor": {w.did}, "filter": {"posts_with_replies"}, "limit": {strconv.Itoa(pageSize)}}
		if next != "" {
			query.Set("cursor", next)
		}
		var page feedPage
		err := w.api.Get(ctx, "app.bsky.feed.getAuthorFeed", query, &page)
		var views []*rawView
		for i := range page.Feed {
			if len(page.Feed[i].Reason) == 0 { // a repost says nothing of its own
				views = append(views, &page.Feed[i].Post)
			}
		}
		return views, page.Cursor, err
	}}
}

func (w *walk) notificationFeed() feed {
	return feed{name: "notifications", read: func(ctx context.Context, next string) ([]*rawView, string, error) {
		query := url.Values{"limit": {strconv.Itoa(pageSize)}, "reasons": {"mention", "reply", "quote"}}
		if next != "" {
			query.Set("cursor", next)
		}
		var page notificationPage
		err := w.api.Get(ctx, "app.bsky.notification.listNotifications", query, &page)
		var views []*rawView
		for i := range page.Notifications {
			switch page.Notifications[i].Reason {
			case "mention", "reply", "quote":
				views = append(views, &page.Notifications[i])
			default: // a server that does not know reasons sends others, which are no messages
				if page.Notifications[i].err != nil {
					views = append(views, &page.Notifications[i])
				}
			}
		}
		return views, page.Cursor, err
	}}
}

// errCapped tells that a walk was cut short.
var errCapped = errors.New("the page cap")

// pages walks a feed from a page on, down to since. do gets what a page holds that is new, and where the page after it begins.
func (w *walk) pages(ctx context.Context, f feed, from string, since time.Time, limit int, do func(views []*rawView, next string) error) error {
	guard := source.Walk{Cap: limit}
	for next := from; ; {
		views, after, err := f.read(ctx, next)
		if err != nil {
			return err
		}
		ids := make([]string, len(views), len(views)+1)
		for i, v := range views {
			ids[i] = v.URI
		}
		// A page may hold nothing but reposts; its place is what tells it from one that was there before.
		fresh, more := guard.Page(append(ids, "page "+after))
		reached, overlapping := false, len(views) > 0
		var news []*rawView
		for i, v := range views {
			switch {
			case v.err == nil && v.sortAt().Before(since):
				reached = true
			case fresh[i]:
				news = append(news, v)
				overlapping = overlapping && v.err == nil && w.isKnown(v.URI) && v.sortAt().Before(since.Add(overlap))
			}
		}
		reached = reached || overlapping // a page of what is known already, of a time that was read already
		end := after == "" || reached || !more && !guard.Capped()
		if end {
			after = ""
		}
		if err := do(news, after); err != nil || end {
			return err
		}
		if !more {
			return errCapped
		}
		next = after
	}
}

func (w *walk) isKnown(uri string) bool {
	if w.known == nil { // a backfill reads all again
		return false
	}
	_, known := w.known(uri)
	return known
}

// down is pages without a cap worth the name.
func (w *walk) down(ctx context.Context, f feed, since time.Time, do func(context.Context, []*rawView) error) error {
	err := w.pages(ctx, f, "", since, backfillPages, func(views []*rawView, _ string) error { return do(ctx, views) })
	if errors.Is(err, errCapped) {
		return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("the %s have more than %d pages since %s", f.name, backfillPages, since.Format(time.RFC3339))}
	}
	return err
}

// backfillPages bounds a backfill.
const backfillPages = 2000

// Poll reads what is new in the account's posts and in its notifications.
func (s *Source) Poll(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	var at cursor
	if raw != nil {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&at); err != nil {
			return fmt.Errorf("reading the cursor of %s: %w", s.connector, err)
		}
	}
	me, err := s.me(ctx)
	if err != nil {
		return err
	}
	w := &walk{api: s.api, account: s.env.Account, did: me.DID, now: s.env.Now().UTC(), emit: emit, known: s.env.Known}
	page := func(p source.Page) error {
		b, err := json.Marshal(at)
		if err != nil {
			return fmt.Errorf("writing the cursor of %s: %w", s.connector, err)
		}
		p.Cursor = b
		return emit(ctx, p)
	}
	if err := page(source.Page{Size: &source.Size{Followers: me.Followers, Following: me.Follows, Posts: me.Posts, ObservedAt: w.now}}); err != nil {
		return err
	}
	var capped []string
	for _, f := range []struct {
		feed  feed
		reach *reach
	}{{w.ownFeed(), &at.Own}, {w.notificationFeed(), &at.Notifications}} {
		short, err := w.forward(ctx, f.feed, f.reach, s.env.Config.PageCap, page)
		if err != nil {
			return err
		}
		if short {
			capped = append(capped, f.feed.name)
		}
	}
	if len(capped) > 0 {
		return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("the %v have more than %d new pages; the next poll goes on with them", capped, s.env.Config.PageCap)}
	}
	since := w.oldest
	if since.IsZero() || since.After(w.now) {
		since = w.now
	}
	return page(source.Page{CompleteSince: since, CompleteUntil: w.now})
}

// forward walks a feed down to what was read before, and then once more if the walk had been cut short the last time. It tells whether it was cut short.
func (w *walk) forward(ctx context.Context, f feed, r *reach, limit int, page func(source.Page) error) (short bool, err error) {
	resumed := r.Next != ""
	since := r.Until
	if !since.IsZero() {
		since = since.Add(-overlap)
	}
	err = w.pages(ctx, f, r.Next, since, limit, func(views []*rawView, next string) error {
		var p source.Page
		for _, v := range views {
			at := v.sortAt()
			if v.err == nil && at.After(r.Top) && !at.After(w.now) {
				r.Top = at
			}
			if v.err == nil && !at.IsZero() && (w.oldest.IsZero() || at.Before(w.oldest)) {
				w.oldest = at
			}
			if v.err == nil && w.isKnown(v.URI) {
				continue
			}
			p.Items = append(p.Items, w.api.item(v, w.account, w.now))
		}
		r.Next = next
		if next == "" {
			r.Until = r.Top
		}
		return page(p)
	})
	switch {
	case errors.Is(err, errCapped):
		return true, nil
	case err != nil || !resumed:
		return false, err
	}
	return w.forward(ctx, f, r, limit, page)
}

// Backfill walks both feeds down from the newest to since.
func (s *Source) Backfill(ctx context.Context, since, until time.Time, emit source.Emit) error {
	me, err := s.me(ctx)
	if err != nil {
		return err
	}
	w := &walk{api: s.api, account: s.env.Account, did: me.DID, now: s.env.Now().UTC(), emit: emit}
	if err := s.api.Threads(ctx, s.env.Account, since, until, emit); err != nil {
		return err
	}
	err = w.down(ctx, w.notificationFeed(), since, func(ctx context.Context, views []*rawView) error {
		var p source.Page
		for _, v := range views {
			if v.err != nil || v.sortAt().Before(until) {
				p.Items = append(p.Items, s.api.item(v, s.env.Account, w.now))
			}
		}
		return emit(ctx, p)
	})
	if err != nil {
		return err
	}
	return emit(ctx, source.Page{CompleteSince: since, CompleteUntil: until})
}

// Rechecks says that a re-read costs a call for 25 messages and nothing else.
func (s *Source) Rechecks() source.Rechecks { return source.Rechecks{Batch: postsPerCall, Spare: true} }

// Recheck reads posts again, and below the account's own those that are not known.
func (s *Source) Recheck(ctx context.Context, known []source.Known) ([]source.Finding, error) {
	return s.api.Recheck(ctx, s.env.Account, known, s.env.Known)
}
