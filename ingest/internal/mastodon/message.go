package mastodon

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/markup"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

// message turns a status into a message of the account's conversation. The error is the platform's.
func (p *poll) message(ctx context.Context, st *status) (*schemas.Message, error) {
	m := &schemas.Message{
		Platform:        schemas.PlatformMastodon,
		MessageID:       p.qualify(st.ID),
		Institution:     p.env.Account.Institution.ID,
		Account:         p.env.Account.Account.AuthorID(),
		Kind:            kind(st, p.me.ID),
		AuthorID:        p.author(st.Account.ID, st.Account.Acct),
		AuthorFollowers: count(st.Account.Followers),
		AuthorCreatedAt: believable(st.Account.CreatedAt),
		CreatedAt:       st.CreatedAt,
		ObservedAt:      &p.now,
		EditedAt:        st.EditedAt,
		Text:            text(st),
		Lang:            st.Language,
		Likes:           count(st.Favourites),
		Replies:         count(st.Replies),
		Shares:          count(st.Reblogs),
		IsAuto:          st.Account.Bot,
		URL:             st.URL,
	}
	for _, who := range st.Mentions {
		if name := p.author(who.ID, who.Acct); name != "" {
			m.Mentions = append(m.Mentions, name)
		}
	}
	if st.ReplyTo == "" {
		return m, nil
	}
	m.ParentID = p.qualify(st.ReplyTo)
	var err error
	if m.ParentAuthorID, err = p.parentAuthor(ctx, st); err != nil {
		return nil, err
	}
	m.RootID, err = p.root(ctx, st)
	return m, err
}

func kind(st *status, me string) string {
	switch {
	case st.Reblog != nil:
		return schemas.KindRepost
	case st.ReplyTo != "":
		return schemas.KindReply
	case st.Quote != nil:
		return schemas.KindQuote
	case st.Account.ID == me:
		return schemas.KindPost
	}
	return schemas.KindMention
}

// text is the warning, if there is one, and the content; of a status that is only pictures what they are described as.
func text(st *status) string {
	handles := make(map[string]string, len(st.Mentions))
	for _, m := range st.Mentions {
		handles[m.URL] = m.Acct
	}
	parts := make([]string, 0, 2)
	for _, part := range []string{strings.TrimSpace(st.Spoiler), markup.Text(st.Content, handles)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		for _, a := range st.Media {
			parts = append(parts, strings.TrimSpace("[media] "+a.Description))
		}
	}
	return strings.Join(parts, "\n")
}

// qualify makes an id that no other server's equals.
func (s *Source) qualify(id string) string { return s.client.Base.Host + "/" + id }

// author is the id under which an author is keyed: an official account's as institutions.yaml has it, a citizen's handle with the host. That is the name by
// which a person asks to be erased; a user's name never changes on Mastodon, and is the same on every server. An official account other than the
// source's own is known by its handle with the host too: a handle alone may be anybody's on another server.
func (p *poll) author(id, acct string) string {
	if id == p.me.ID {
		return p.env.Account.Account.AuthorID()
	}
	if acct == "" {
		return ""
	}
	if !strings.Contains(acct, "@") {
		acct += "@" + p.client.Base.Host
	}
	if in, a := p.env.Directory.Owner(schemas.PlatformMastodon, acct); in != nil {
		return a.AuthorID()
	}
	return acct
}

// parentAuthor is who wrote what st answers. The status names only the id; the handle is with its mentions, or with the parent, or else asked for.
func (p *poll) parentAuthor(ctx context.Context, st *status) (string, error) {
	id := st.ReplyToUser
	switch {
	case id == "":
		return "", nil
	case id == st.Account.ID:
		return p.author(id, st.Account.Acct), nil
	case id == p.me.ID:
		return p.author(id, ""), nil
	}
	for _, who := range st.Mentions {
		if who.ID == id {
			return p.author(id, who.Acct), nil
		}
	}
	if k, known := p.env.Known(p.qualify(st.ReplyTo)); known {
		return k.Message.AuthorID, nil
	}
	if acct, asked := p.accts[id]; asked {
		return p.author(id, acct), nil
	}
	var who account
	if err := p.client.Get(ctx, "/api/v1/accounts/"+url.PathEscape(id), nil, &who); err != nil && !web.IsGone(err) {
		return "", web.AsSourceError(err)
	}
	p.accts[id] = who.Acct
	return p.author(id, who.Acct), nil
}

// root finds the first message of a reply's thread: from what is known of the parent, else from the server. Where the server has the thread no
// longer, it is the oldest message that is still named.
func (p *poll) root(ctx context.Context, st *status) (string, error) {
	if k, known := p.env.Known(p.qualify(st.ReplyTo)); known {
		if k.Message.RootID != "" {
			return k.Message.RootID, nil
		}
		return k.Message.MessageID, nil
	}
	if root := p.roots[st.ReplyTo]; root != "" {
		return root, nil
	}
	var above statusContext
	err := p.client.Get(ctx, "/api/v1/statuses/"+url.PathEscape(st.ID)+"/context", nil, &above)
	if err != nil && !web.IsGone(err) {
		return "", web.AsSourceError(err)
	}
	root := st.ReplyTo
	if len(above.Ancestors) > 0 && above.Ancestors[0].err == nil {
		root = above.Ancestors[0].ID
		if top := above.Ancestors[0].ReplyTo; top != "" {
			root = top
		}
	}
	p.roots[st.ReplyTo] = p.qualify(root)
	return p.roots[st.ReplyTo], nil
}

// count leaves out what servers write for a number that they hide.
func count(n *int64) *int64 {
	if n == nil || *n < 0 {
		return nil
	}
	return n
}

// believable leaves out the year 1970, which servers write for an account of which they know no better.
func believable(at *time.Time) *time.Time {
	if at == nil || at.Before(schemas.EarliestCreated) {
		return nil
	}
	return at
}
