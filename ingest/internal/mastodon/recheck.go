package mastodon

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

// recheckBatch is how many messages are read again before what was found is made durable; each takes a call of its own.
const recheckBatch = 10

// Rechecks says that a re-read costs a call and nothing else.
func (s *Source) Rechecks() source.Rechecks {
	return source.Rechecks{Batch: recheckBatch, Spare: true}
}

// Recheck reads statuses again, and below the account's own those that are not known.
func (s *Source) Recheck(ctx context.Context, known []source.Known) ([]source.Finding, error) {
	p, err := s.begin(ctx, nil)
	if err != nil {
		return nil, err
	}
	findings := make([]source.Finding, 0, len(known))
	for _, k := range known {
		f, err := p.reread(ctx, k)
		if err != nil {
			return findings, err
		}
		findings = append(findings, f)
	}
	return findings, nil
}

// reread looks at one known status again. Only the server's own word that there is no such status says anything; a status that was hidden from the account
// looks the same as one that was deleted.
func (p *poll) reread(ctx context.Context, k source.Known) (source.Finding, error) {
	id := strings.TrimPrefix(k.Message.MessageID, p.qualify(""))
	var st rawStatus
	err := p.client.Get(ctx, "/api/v1/statuses/"+url.PathEscape(id), nil, &st)
	switch {
	case web.IsGone(err):
		return source.Finding{State: source.Missing}, nil
	case err != nil:
		return source.Finding{}, web.AsSourceError(err)
	case st.err != nil || st.ID != id:
		return source.Finding{State: source.Unknown}, nil // it was taken once; what it is now is nobody's message
	case st.Visibility != "public" && st.Visibility != "unlisted":
		return source.Finding{State: source.Hidden, Reason: schemas.HiddenProtected}, nil
	}
	f := source.Finding{State: source.Present}
	var page source.Page
	edited := st.EditedAt != nil && (k.Message.EditedAt == nil || st.EditedAt.After(*k.Message.EditedAt))
	if edited {
		if err := p.versions(ctx, &page, &st, k.Message.EditedAt); err != nil {
			return source.Finding{}, err
		}
	}
	if k.Moved(&schemas.Message{EditedAt: st.EditedAt, Likes: count(st.Favourites), Replies: count(st.Replies), Shares: count(st.Reblogs)}) {
		if err := p.take(ctx, &page, &st); err != nil {
			return source.Finding{}, err
		}
	}
	if n := len(page.Items); n > 0 {
		f.Item, f.Earlier = &page.Items[n-1], page.Items[:n-1]
	}
	if st.Replies == nil || *st.Replies <= k.RepliesRead || st.Account.ID != p.me.ID {
		return f, nil
	}
	below, err := p.below(ctx, id)
	if err != nil {
		return source.Finding{}, err
	}
	f.Late, f.RepliesRead = below, *st.Replies
	return f, nil
}

// versions takes the versions of an edited status between the one that is known and the newest, the oldest first. A server without histories has none.
func (p *poll) versions(ctx context.Context, page *source.Page, st *rawStatus, known *time.Time) error {
	var history []version
	err := p.client.Get(ctx, "/api/v1/statuses/"+url.PathEscape(st.ID)+"/history", nil, &history)
	if err != nil && !web.IsGone(err) {
		return web.AsSourceError(err)
	}
	for _, v := range history {
		if !v.CreatedAt.After(st.CreatedAt) || known != nil && !v.CreatedAt.After(*known) || !v.CreatedAt.Before(*st.EditedAt) {
			continue
		}
		old := *st
		old.Content, old.Spoiler, old.Media, old.EditedAt = v.Content, v.Spoiler, v.Media, &v.CreatedAt
		if err := p.take(ctx, page, &old); err != nil {
			return err
		}
	}
	return nil
}

// below returns the replies below a status that are not known.
func (p *poll) below(ctx context.Context, id string) ([]source.Item, error) {
	var context statusContext
	if err := p.client.Get(ctx, "/api/v1/statuses/"+url.PathEscape(id)+"/context", nil, &context); err != nil && !web.IsGone(err) {
		return nil, web.AsSourceError(err)
	}
	var page source.Page
	for i := range context.Descendants {
		reply := &context.Descendants[i]
		if _, known := p.env.Known(p.qualify(reply.ID)); known && reply.ID != "" {
			continue
		}
		if err := p.take(ctx, &page, reply); err != nil {
			return nil, err
		}
	}
	return page.Items, nil
}
