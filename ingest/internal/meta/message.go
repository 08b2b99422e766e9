package meta

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

// maxOriginal bounds what is kept of a node that cannot be read.
const maxOriginal = 64 << 10

func dead(raw json.RawMessage) source.Item {
	return source.Item{Err: &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: "node", Allowed: "a node of the Graph API with id and time"}, Original: raw[:min(len(raw), maxOriginal)]}
}

// author is under which name a node's author goes into messages. Meta does not always say who wrote: then each such node has an author of its own.
func (s *Source) author(n *node, me *accountNode) string {
	official := s.env.Account.Account.AuthorID()
	from := n.From
	if from == nil {
		from = &who{}
	}
	username := cmp.Or(from.Username, n.Username)
	switch {
	case me != nil && me.ID != "" && from.ID == me.ID, me != nil && me.Username != "" && strings.EqualFold(username, me.Username):
		return official
	case from.ID != "" || username != "":
		return identity.Name(s.env.Directory, s.platform, from.ID, username)
	}
	return "author-of-" + n.ID
}

// item makes an item of a node; post is the one that it stands below, where it was read there.
func (p *poll) item(n *node, raw json.RawMessage, as role, post string) source.Item {
	m := p.message(n, p.me, p.now)
	official := p.env.Account.Account.AuthorID()
	switch as {
	case rolePost:
		m.Kind, m.AuthorID = schemas.KindPost, official
	case roleMention:
		m.Kind, m.Mentions = schemas.KindMention, []string{official}
		if n.RepliedTo != nil { // Threads lists an answer that mentions the account, too
			p.answer(m, n, n.RootPost.id())
		}
	case roleBelow:
		p.answer(m, n, post)
	}
	return valid(m, p.now, raw)
}

// answer makes m what stands below a post.
func (p *poll) answer(m *schemas.Message, n *node, post string) {
	p.place(m, n, post)
	own := p.cursor.Followed[post]
	switch known, ok := p.find(m.ParentID); {
	case p.authors[m.ParentID] != "":
		m.ParentAuthorID = p.authors[m.ParentID]
	case m.ParentID == post && own != nil && !own.Mention:
		m.ParentAuthorID = p.env.Account.Account.AuthorID()
	case ok:
		m.ParentAuthorID = known.Message.AuthorID
	}
}

// place says what a node answers: another one of the same thread, or the post.
func (s *Source) place(m *schemas.Message, n *node, post string) {
	m.Kind, m.RootID = schemas.KindReply, cmp.Or(n.RootPost.id(), post)
	m.ParentID = cmp.Or(n.RepliedTo.id(), n.Parent.id(), n.ParentID, post)
	if m.ParentID == post && s.platform != schemas.PlatformThreads {
		m.Kind = schemas.KindComment
	}
	if m.RootID == "" {
		m.RootID = m.ParentID
	}
}

// find finds a message that was read before.
func (s *Source) find(id string) (source.Known, bool) {
	if s.env.Known == nil || id == "" {
		return source.Known{}, false
	}
	return s.env.Known(id)
}

// message makes what every node has.
func (s *Source) message(n *node, me *accountNode, now time.Time) *schemas.Message {
	m := &schemas.Message{
		Platform: s.platform, MessageID: n.ID, Institution: s.env.Account.Institution.ID, Account: s.env.Account.Account.AuthorID(), AuthorID: s.author(n, me),
		CreatedAt: n.created(), ObservedAt: &now, Text: cmp.Or(n.Message, n.Text, n.Caption, n.Story, "[media]"), Likes: n.Likes, Replies: n.below(), URL: cmp.Or(n.URL, n.Permalink),
	}
	if n.Shares != nil {
		m.Shares = n.Shares.Count
	}
	return m
}

func valid(m *schemas.Message, now time.Time, raw json.RawMessage) source.Item {
	if err := m.Validate(now); err != nil {
		item := dead(raw)
		errors.As(err, &item.Err)
		return item
	}
	return source.Item{Message: m}
}

// perRecheck is how many nodes one re-read looks up; each is a call of its own.
const perRecheck = 20

// Rechecks says that there is a call for each node.
func (s *Source) Rechecks() source.Rechecks { return source.Rechecks{Batch: perRecheck} }

// Recheck looks nodes up one by one: several in one call fail together when one of them is gone. What is gone and what may not be read look the same.
func (s *Source) Recheck(ctx context.Context, known []source.Known) ([]source.Finding, error) {
	me, _, err := s.account(ctx)
	if err != nil {
		return nil, err
	}
	var findings []source.Finding
	for _, k := range known {
		f, err := s.look(ctx, k, me)
		if err != nil {
			return findings, web.AsSourceError(err)
		}
		findings = append(findings, f)
	}
	return findings, nil
}

func (s *Source) look(ctx context.Context, k source.Known, me *accountNode) (source.Finding, error) {
	fields := s.single
	if k.Message.Kind == schemas.KindPost || k.Message.Kind == schemas.KindMention {
		fields = s.own.fields
	}
	var raw json.RawMessage
	switch err := s.get(ctx, url.PathEscape(k.Message.MessageID), url.Values{"fields": {fields}}, &raw); {
	case refused(err):
		return source.Finding{State: source.Missing}, nil
	case err != nil:
		return source.Finding{}, err
	}
	var n node
	if json.Unmarshal(raw, &n) != nil || n.ID == "" {
		return source.Finding{State: source.Unknown}, nil
	}
	if n.hidden() {
		return source.Finding{State: source.Hidden, Reason: schemas.HiddenWithheld}, nil
	}
	now := s.env.Now().UTC()
	seen := s.message(&n, me, now)
	m := k.Message
	m.Text, m.Likes, m.Replies, m.Shares, m.ObservedAt, m.URL = seen.Text, seen.Likes, seen.Replies, seen.Shares, seen.ObservedAt, seen.URL
	item := valid(&m, now, raw)
	if item.Message == nil {
		return source.Finding{State: source.Unknown}, nil
	}
	return source.Finding{State: source.Present, Item: &item}, nil
}
