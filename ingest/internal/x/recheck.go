package x

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
)

// Rechecks says that a look-up takes a hundred posts and costs money.
func (s *Source) Rechecks() source.Rechecks {
	if s.settings.Compliance {
		return source.Rechecks{Batch: mostPerJob}
	}
	return source.Rechecks{Batch: mostPerPage}
}

// Recheck looks messages up. X answers for the missing in errors: not found is missing, since a deleted post and one of a suspended account look the same; not
// authorized is hidden. An old version of an edited post is still found, and names the newest, which is looked up then.
func (s *Source) Recheck(ctx context.Context, known []source.Known) ([]source.Finding, error) {
	if s.settings.Compliance {
		return s.comply(ctx, known)
	}
	ids := make([]string, len(known))
	for i, k := range known {
		ids[i] = k.Message.MessageID
	}
	a, err := s.lookup(ctx, ids)
	if err != nil {
		return nil, err
	}
	posts := a.byID()
	latest := map[string]string{} // of edited posts, by their first version
	for _, id := range ids {
		if p := posts[id]; p != nil && len(p.EditHistory) > 1 {
			if last := p.EditHistory[len(p.EditHistory)-1]; last != id {
				latest[id] = last
			}
		}
	}
	newer := &Answer{}
	if len(latest) > 0 {
		var more []string
		for _, id := range ids {
			if last := latest[id]; last != "" {
				more = append(more, last)
			}
		}
		if newer, err = s.lookup(ctx, more); err != nil {
			return nil, err
		}
	}
	missing := a.missing()
	raws := newer.raw()
	for id, raw := range a.raw() {
		if _, there := raws[id]; !there {
			raws[id] = raw
		}
	}
	findings := make([]source.Finding, len(known))
	for i, k := range known {
		id := k.Message.MessageID
		if last := latest[id]; last != "" && raws[last] != nil {
			findings[i] = s.found(raws[last], a, k)
			continue
		}
		switch raw := raws[id]; {
		case raw != nil:
			findings[i] = s.found(raw, a, k)
		case missing[id] != "":
			findings[i] = source.Finding{State: missing[id]}
			if missing[id] == source.Hidden {
				findings[i].Reason = schemas.HiddenProtected
			}
		default:
			findings[i] = source.Finding{State: source.Unknown}
		}
	}
	return findings, nil
}

func (s *Source) lookup(ctx context.Context, ids []string) (*Answer, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	return s.read(ctx, "/2/tweets", url.Values{"ids": {strings.Join(ids, ",")}}, len(ids))
}

// found is a post that is there.
func (s *Source) found(raw json.RawMessage, a *Answer, k source.Known) source.Finding {
	now := s.env.Now().UTC()
	s.mu.Lock()
	me := s.me
	s.mu.Unlock()
	if me == nil {
		me = &User{}
	}
	item, post, protected := s.item(raw, &a.Includes, me, now)
	switch {
	case protected:
		return source.Finding{State: source.Hidden, Reason: schemas.HiddenProtected}
	case item.Message == nil:
		return source.Finding{State: source.Unknown}
	case post.withheldHere():
		return source.Finding{State: source.Hidden, Reason: schemas.HiddenWithheld}
	}
	if !k.Moved(item.Message) {
		return source.Finding{State: source.Present}
	}
	return source.Finding{State: source.Present, Item: &item}
}

func (a *Answer) raw() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, raw := range a.Data {
		var p struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(raw, &p) == nil {
			out[p.ID] = raw
		}
	}
	return out
}

func (a *Answer) byID() map[string]*Post {
	out := map[string]*Post{}
	for _, raw := range a.Data {
		var p Post
		if json.Unmarshal(raw, &p) == nil {
			out[p.ID] = &p
		}
	}
	return out
}

// missing says of which posts X states that they are not to be had.
func (a *Answer) missing() map[string]source.State {
	out := map[string]source.State{}
	for _, e := range a.Errors {
		id := e.ResourceID
		if id == "" {
			id = e.Value
		}
		switch {
		case strings.HasSuffix(e.Type, "/resource-not-found"):
			out[id] = source.Missing
		case strings.HasSuffix(e.Type, "/not-authorized-for-resource"):
			out[id] = source.Hidden
		}
	}
	return out
}
