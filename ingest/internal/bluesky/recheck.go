package bluesky

import (
	"context"
	"errors"
	"net/url"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

// Recheck reads posts again. The interface leaves out what is missing and does not say why; the author's profile tells a deleted post from an account that is gone,
// suspended or deactivated. The account is zero for a source of all accounts.
func (a *API) Recheck(ctx context.Context, account source.Account, known []source.Known, isKnown func(string) (source.Known, bool)) ([]source.Finding, error) {
	// Before the first poll after a restart nobody has asked yet which DIDs are official accounts'.
	if err := a.identify(ctx, account); err != nil {
		return nil, err
	}
	query := url.Values{}
	for _, k := range known {
		query.Add("uris", k.Message.MessageID)
	}
	var answer postsAnswer
	if err := a.Get(ctx, "app.bsky.feed.getPosts", query, &answer); err != nil {
		return nil, err
	}
	there := map[string]*rawView{}
	for i := range answer.Posts {
		there[answer.Posts[i].URI] = &answer.Posts[i]
	}
	findings := make([]source.Finding, 0, len(known))
	authors := map[string]source.Finding{}
	for _, k := range known {
		v := there[k.Message.MessageID]
		var f source.Finding
		var err error
		switch {
		case v == nil:
			f, err = a.absent(ctx, k, authors)
		case v.err != nil:
			f = source.Finding{State: source.Unknown}
		default:
			f, err = a.present(ctx, account, k, v, isKnown)
		}
		if err != nil {
			return findings, err
		}
		findings = append(findings, f)
	}
	return findings, nil
}

func (a *API) present(ctx context.Context, account source.Account, k source.Known, v *rawView, isKnown func(string) (source.Known, bool)) (source.Finding, error) {
	now := a.now().UTC()
	f := source.Finding{State: source.Present}
	item := a.item(v, account, now)
	switch {
	case item.Message == nil:
		return source.Finding{State: source.Unknown}, nil
	case k.Moved(item.Message):
		item.Message.EditedAt = k.Message.EditedAt
		f.Item = &item
	}
	if v.Replies == nil || *v.Replies <= k.RepliesRead || !a.Official(v.Author.DID) {
		return f, nil
	}
	f.RepliesRead = *v.Replies
	err := a.below(ctx, v.URI, func(below *rawView) {
		if _, already := isKnown(below.URI); !already {
			f.Late = append(f.Late, a.item(below, account, now))
		}
	})
	return f, err
}

// absent asks for the author of a post that is not there.
func (a *API) absent(ctx context.Context, k source.Known, authors map[string]source.Finding) (source.Finding, error) {
	did, _, _ := SplitURI(k.Message.MessageID)
	if f, asked := authors[did]; asked {
		return f, nil
	}
	var p profile
	err := a.Get(ctx, "app.bsky.actor.getProfile", url.Values{"actor": {did}}, &p)
	f := source.Finding{State: source.Missing}
	var call *web.Error
	switch {
	case err == nil:
	case !web.IsGone(err) || !errors.As(err, &call):
		return f, err
	case call.Code == takenDown || call.Code == suspended:
		f = source.Finding{State: source.Hidden, Reason: schemas.HiddenSuspended}
	case call.Code == deactivated:
		f = source.Finding{State: source.Hidden, Reason: schemas.HiddenProtected}
	}
	// A profile that is not found may be an account that was deleted, or a server that lags: the post counts as missing, twice.
	authors[did] = f
	return f, nil
}
