package meta

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

// cursor is how far the account has been read.
type cursor struct {
	Own      source.Newest `json:"own"`
	Mentions source.Newest `json:"mentions"`
	Replies  source.Newest `json:"replies"`
	// Followed are posts below which comments may still come, by id.
	Followed map[string]*followed `json:"followed,omitempty"`
	// Complete is up to when everything has been read; at first where reading begins.
	Complete time.Time `json:"complete"`
}

// followed is a post below which is looked.
type followed struct {
	At time.Time `json:"at"`
	// Mention tells that it is somebody else's.
	Mention bool `json:"mention,omitempty"`
	// Refused tells that what stands below it is not this account's to read.
	Refused bool `json:"refused,omitempty"`
	// Count is how much stood below it when it was last read, Looked when that was.
	Count  int64         `json:"count"`
	Looked time.Time     `json:"looked,omitzero"`
	Read   source.Newest `json:"read"`
}

const (
	// overlap is how far a list is read again behind its newest entry.
	overlap = 10 * time.Minute
	// maxFollowed bounds the posts that are looked below; the oldest go.
	maxFollowed = 500
)

type poll struct {
	*Source
	me       *accountNode
	now      time.Time
	cursor   cursor
	emit     source.Emit
	capped   string
	backfill bool
	// since and until bound a backfill.
	since, until time.Time
	// grown are followed posts below which more stands than was read, authors those of the nodes that this run has read.
	grown   map[string]int64
	authors map[string]string
	came    map[string]bool // ids that this run has emitted
}

// Poll reads the account's own posts, its mentions, its own answers, and what is new below the posts.
func (s *Source) Poll(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	p := &poll{Source: s, now: s.env.Now().UTC(), emit: emit, grown: map[string]int64{}, authors: map[string]string{}, came: map[string]bool{}}
	from := p.now.Add(-s.settings.Lookback.Std())
	begin := source.Newest{Since: from.Add(overlap)}
	p.cursor = cursor{Own: begin, Mentions: begin, Replies: begin, Complete: from}
	if raw != nil {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p.cursor); err != nil {
			return fmt.Errorf("reading the cursor of %s: %w", s.connector, err)
		}
	}
	if p.cursor.Followed == nil {
		p.cursor.Followed = map[string]*followed{}
	}
	var fresh bool
	var err error
	if p.me, fresh, err = s.account(ctx); err != nil {
		return err
	}
	if size := s.size(*p.me); fresh && size != (source.Size{}) {
		size.ObservedAt = p.now
		if err := p.page(ctx, source.Page{Size: &size}); err != nil {
			return err
		}
	}
	if err := p.all(ctx); err != nil {
		return err
	}
	if p.capped != "" {
		return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("the list %s has more than %d new pages; the next poll goes on with them", p.capped, s.env.Config.PageCap)}
	}
	since := p.cursor.Complete
	p.cursor.Complete = p.now
	return p.page(ctx, source.Page{CompleteSince: since, CompleteUntil: p.now})
}

func (p *poll) all(ctx context.Context) error {
	if err := p.walk(ctx, p.me.ID, p.own, &p.cursor.Own, rolePost, ""); err != nil {
		return err
	}
	if err := p.walk(ctx, p.me.ID, p.mentions, &p.cursor.Mentions, roleMention, ""); err != nil {
		return err
	}
	if err := p.followUp(ctx); err != nil || p.surface.replies.name == "" {
		return err
	}
	// Last, because what they answer is known by then.
	return p.walk(ctx, p.me.ID, p.surface.replies, &p.cursor.Replies, roleBelow, "")
}

// page emits a page with the cursor as it is.
func (p *poll) page(ctx context.Context, page source.Page) error {
	if p.backfill {
		return p.emit(ctx, page)
	}
	raw, err := json.Marshal(p.cursor)
	if err != nil {
		return fmt.Errorf("writing the cursor of %s: %w", p.connector, err)
	}
	page.Cursor = raw
	return p.emit(ctx, page)
}

// role is what the entries of a list are to the account.
type role int

const (
	rolePost    role = iota // its own posts
	roleMention             // posts of others that mention it
	roleBelow               // answers
)

// walk reads a list that hangs on a node; post is that node where the list is of answers below a post.
func (p *poll) walk(ctx context.Context, id string, e edge, at *source.Newest, as role, post string) error {
	var nodes []node
	var raws []json.RawMessage
	var broken []source.Item
	reading := source.Reading{
		Cap: p.env.Config.PageCap, Overlap: overlap, From: p.since, Until: p.until, Expired: expired,
		Read: func(ctx context.Context, token string) ([]source.Entry, string, error) {
			q := url.Values{"fields": {e.fields}, "limit": {e.limit}}
			maps.Copy(q, e.extra)
			if token != "" {
				q.Set("after", token)
			}
			var l list
			if err := p.get(ctx, url.PathEscape(id)+"/"+e.name, q, &l); err != nil {
				return nil, "", err
			}
			nodes, raws, broken = nil, nil, nil
			var entries []source.Entry
			all, err := p.flat(ctx, l.Data)
			if err != nil {
				return nil, "", err
			}
			for _, raw := range all {
				var n node
				if err := json.Unmarshal(raw, &n); err != nil || n.ID == "" || n.created().IsZero() {
					broken = append(broken, dead(raw))
					continue
				}
				nodes, raws = append(nodes, n), append(raws, raw)
				entries = append(entries, source.Entry{ID: n.ID, At: n.created()})
				if as != roleBelow {
					p.notice(&n, as)
				}
			}
			next := l.Paging.Cursors.After
			if len(l.Data) == 0 || l.Paging.Next == "" && !p.nextless { // the cursor stands below the last page too
				next = ""
			}
			return entries, next, nil
		},
		Take: func(ctx context.Context, fresh []int) error {
			page := source.Page{Items: broken}
			for i := range nodes { // the newest first: an answer stands before what it answers
				p.authors[nodes[i].ID] = p.author(&nodes[i], p.me)
			}
			for _, i := range fresh {
				if nodes[i].hidden() {
					page.Dropped = map[schemas.DropReason]int64{schemas.DropNotPublic: page.Dropped[schemas.DropNotPublic] + 1}
					continue
				}
				if p.came[nodes[i].ID] || p.backfill && nodes[i].created().Before(p.since) {
					continue // through another list, or only there for what stands below it
				}
				p.came[nodes[i].ID] = true
				if !p.backfill && p.known(nodes[i].ID) {
					continue // through another list of an earlier poll, or by webhook
				}
				page.Items = append(page.Items, p.item(&nodes[i], raws[i], as, post))
			}
			return p.page(ctx, page)
		},
	}
	if p.backfill && as != roleBelow {
		// A post of before the range may have answers in it.
		reading.From = p.since.Add(-p.settings.Follow.Std())
	}
	capped, err := at.Walk(ctx, reading)
	if capped {
		p.capped = e.name
	}
	var call *web.Error
	if errors.As(err, &call) {
		if post != "" && refused(err) {
			return errRefused
		}
		return web.AsSourceError(err)
	}
	return err
}

// errRefused tells that below this post nothing can be read.
var errRefused = errors.New("not this account's to read")

// flat returns comments and, behind each, the answers that stand inside it.
func (p *poll) flat(ctx context.Context, data []json.RawMessage) ([]json.RawMessage, error) {
	if p.inside.name == "" {
		return data, nil
	}
	var out []json.RawMessage
	for _, raw := range data {
		out = append(out, raw)
		var n node
		if json.Unmarshal(raw, &n) != nil {
			continue
		}
		answers, err := p.answers(ctx, n.ID, n.Replies)
		if err != nil {
			return nil, err
		}
		out = append(out, answers...)
	}
	return out, nil
}

// answers returns all answers inside a comment, which holds the first page of them itself.
func (p *poll) answers(ctx context.Context, id string, l list) ([]json.RawMessage, error) {
	all := l.Data
	for n := 0; l.Paging.Next != "" && l.Paging.Cursors.After != "" && len(l.Data) > 0; n++ {
		if n == p.env.Config.PageCap {
			p.capped = p.inside.name
			break
		}
		q := url.Values{"fields": {p.inside.fields}, "limit": {p.inside.limit}, "after": {l.Paging.Cursors.After}}
		l = list{}
		if err := p.get(ctx, url.PathEscape(id)+"/"+p.inside.name, q, &l); refused(err) {
			break // gone since
		} else if err != nil {
			return nil, err
		}
		all = append(all, l.Data...)
	}
	return all, nil
}

// known tells that a message was read before.
func (p *poll) known(messageID string) bool {
	_, known := p.find(messageID)
	return known
}

// notice follows a post, and sees whether more stands below it than was read.
func (p *poll) notice(n *node, as role) {
	at := n.created()
	if p.now.Sub(at) > p.settings.Follow.Std() && !p.backfill {
		return
	}
	f := p.cursor.Followed[n.ID]
	if f == nil {
		f = &followed{At: at, Mention: as == roleMention}
		p.cursor.Followed[n.ID] = f
	}
	switch count := n.below(); {
	case f.Refused:
	case count != nil && *count != f.Count:
		p.grown[n.ID] = *count
	case count == nil && n.HasReplies && p.now.Sub(f.Looked) >= again(p.now.Sub(at)):
		p.grown[n.ID] = 0 // Threads does not say how many
	}
}

// again is how long a post of an age is left alone where its number of answers is not told: a fresh one is busy, an old one is quiet.
func again(age time.Duration) time.Duration {
	return min(max(age/10, time.Minute), 6*time.Hour)
}

// followUp reads what is new below the followed posts. The first page of a list shows the numbers of its newest posts, also of those that are known.
func (p *poll) followUp(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(p.grown)) {
		f := p.cursor.Followed[id]
		at := &f.Read
		if p.inside.name != "" || p.backfill {
			at = &source.Newest{Token: f.Read.Token}
		}
		err := p.walk(ctx, id, p.surface.below, at, roleBelow, id)
		switch {
		case errors.Is(err, errRefused):
			f.Refused = true
			continue
		case err != nil:
			return err
		case p.capped != "":
			f.Read.Token = at.Token
			return nil
		}
		f.Count, f.Looked, f.Read.Token = p.grown[id], p.now, ""
		// The number is known only now to have been read.
		if err := p.page(ctx, source.Page{}); err != nil {
			return err
		}
	}
	p.forget()
	return nil
}

// forget drops posts that are too old to be looked below.
func (p *poll) forget() {
	maps.DeleteFunc(p.cursor.Followed, func(_ string, f *followed) bool { return p.now.Sub(f.At) > p.settings.Follow.Std() })
	for len(p.cursor.Followed) > maxFollowed {
		oldest := ""
		for id, f := range p.cursor.Followed {
			if oldest == "" || f.At.Before(p.cursor.Followed[oldest].At) {
				oldest = id
			}
		}
		delete(p.cursor.Followed, oldest)
	}
}

// Backfill reads posts, mentions and answers of a range.
func (s *Source) Backfill(ctx context.Context, since, until time.Time, emit source.Emit) error {
	p := &poll{Source: s, now: s.env.Now().UTC(), emit: emit, backfill: true, since: since, until: until, grown: map[string]int64{}, authors: map[string]string{}, came: map[string]bool{}, cursor: cursor{Followed: map[string]*followed{}}}
	var err error
	if p.me, _, err = s.account(ctx); err != nil {
		return err
	}
	if err := p.all(ctx); err != nil {
		return err
	}
	if p.capped != "" {
		return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("the list %s has more than %d pages", p.capped, s.env.Config.PageCap)}
	}
	return p.page(ctx, source.Page{CompleteSince: since, CompleteUntil: until})
}
