package youtube

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
)

// Rechecks says that a look-up takes fifty, and that everything is refreshed in time.
func (s *Source) Rechecks() source.Rechecks {
	return source.Rechecks{Batch: perIDs, Within: refreshDue}
}

// Recheck looks comments and videos up by their ids; what YouTube leaves out is missing.
func (s *Source) Recheck(ctx context.Context, known []source.Known) ([]source.Finding, error) {
	if _, _, err := s.channel(ctx); err != nil {
		return nil, err
	}
	var comments, videos []string
	for _, k := range known {
		if k.Message.Kind == schemas.KindPost {
			videos = append(videos, k.Message.MessageID)
		} else {
			comments = append(comments, k.Message.MessageID)
		}
	}
	found := map[string]json.RawMessage{}
	for _, call := range []struct {
		path, part string
		ids        []string
	}{{"comments", "snippet", comments}, {"videos", "snippet,status,statistics", videos}} {
		if len(call.ids) == 0 {
			continue
		}
		var l list
		if err := s.get(ctx, call.path, url.Values{"part": {call.part}, "id": {strings.Join(call.ids, ",")}, "textFormat": {"plainText"}}, &l); err != nil {
			return nil, err
		}
		for _, raw := range l.Items {
			var r struct {
				ID string `json:"id"`
			}
			if json.Unmarshal(raw, &r) == nil {
				found[r.ID] = raw
			}
		}
	}
	findings := make([]source.Finding, len(known))
	for i, k := range known {
		raw := found[k.Message.MessageID]
		switch {
		case raw == nil:
			findings[i] = source.Finding{State: source.Missing}
		case k.Message.Kind == schemas.KindPost:
			findings[i] = s.foundVideo(raw, k)
		default:
			findings[i] = s.foundComment(raw, k)
		}
	}
	return findings, nil
}

func (s *Source) foundComment(raw json.RawMessage, k source.Known) source.Finding {
	var c comment
	if json.Unmarshal(raw, &c) != nil {
		return source.Finding{State: source.Unknown}
	}
	m := k.Message
	m.Text, m.Likes, m.Mentions = c.Snippet.Text, c.Snippet.Likes, nil
	return present(s.finish(&m, &c, raw), k)
}

func (s *Source) foundVideo(raw json.RawMessage, k source.Known) source.Finding {
	var v video
	if json.Unmarshal(raw, &v) != nil {
		return source.Finding{State: source.Unknown}
	}
	if v.Status.Privacy != "" && v.Status.Privacy != "public" {
		return source.Finding{State: source.Hidden, Reason: schemas.HiddenWithheld}
	}
	now := s.env.Now().UTC()
	m := k.Message
	m.Text, m.ObservedAt = v.text(), &now
	m.Views, m.Likes, m.Replies = count(v.Statistics.Views), count(v.Statistics.Likes), count(v.Statistics.Comments)
	return present(valid(&m, now, raw), k)
}

func present(item source.Item, k source.Known) source.Finding {
	switch {
	case item.Message == nil:
		return source.Finding{State: source.Unknown}
	case !k.Moved(item.Message):
		return source.Finding{State: source.Present}
	}
	return source.Finding{State: source.Present, Item: &item}
}
