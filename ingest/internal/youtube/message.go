package youtube

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
)

// maxOriginal bounds what is kept of an item that cannot be read.
const maxOriginal = 64 << 10

func dead(raw json.RawMessage) source.Item {
	return source.Item{Err: &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: "item", Allowed: "a resource of the YouTube Data API v3"}, Original: raw[:min(len(raw), maxOriginal)]}
}

// handles are written as @name; YouTube says of no mention whom it means.
var handles = regexp.MustCompile(`(?:^|\s)@([\p{L}\p{N}._-]{3,30})`)

// item makes a message of a comment in a thread. The root is the video, as that of an answer to a post is the post; a comment on the channel itself is its own.
func (s *Source) item(c *comment, t *thread, raw json.RawMessage) source.Item {
	m := &schemas.Message{
		Platform: schemas.PlatformYouTube, MessageID: c.ID, Kind: schemas.KindComment, CreatedAt: c.Snippet.Published, Text: c.Snippet.Text, Likes: c.Snippet.Likes,
		AuthorID: s.name(c.Snippet.Channel.Value, c.Snippet.Name), ParentID: t.Snippet.VideoID, RootID: t.Snippet.VideoID,
	}
	if t.Snippet.VideoID != "" {
		m.ParentAuthorID = s.name(t.Snippet.ChannelID, "")
		m.URL = "https://www.youtube.com/watch?v=" + t.Snippet.VideoID + "&lc=" + c.ID
	}
	if c.ID == t.ID {
		m.Replies = &t.Snippet.Replies
	} else {
		top := &t.Snippet.Top
		m.Kind, m.ParentID, m.ParentAuthorID = schemas.KindReply, t.ID, s.name(top.Snippet.Channel.Value, top.Snippet.Name)
		if m.RootID == "" {
			m.RootID = t.ID
		}
	}
	return s.finish(m, c, raw)
}

// finish fills in what every comment has, and validates it.
func (s *Source) finish(m *schemas.Message, c *comment, raw json.RawMessage) source.Item {
	now := s.env.Now().UTC()
	m.Institution, m.Account, m.ObservedAt = s.env.Account.Institution.ID, s.env.Account.Account.AuthorID(), &now
	if c.Snippet.Updated.After(c.Snippet.Published) {
		m.EditedAt = &c.Snippet.Updated
	}
	for _, found := range handles.FindAllStringSubmatch(m.Text, -1) {
		if official, a := s.env.Directory.Owner(schemas.PlatformYouTube, found[1]); official != nil && !slices.Contains(m.Mentions, a.AuthorID()) {
			m.Mentions = append(m.Mentions, a.AuthorID())
		}
	}
	return valid(m, now, raw)
}

func valid(m *schemas.Message, now time.Time, raw json.RawMessage) source.Item {
	if err := m.Validate(now); err != nil {
		item := dead(raw)
		errors.As(err, &item.Err)
		return item
	}
	return source.Item{Message: m}
}

// name is under which name an author goes into messages. The official channel is recognised by its id also where the institutions file has its handle only.
func (s *Source) name(id, handle string) string {
	s.mu.Lock()
	me := s.me
	s.mu.Unlock()
	if me != nil && id == me.ID {
		return s.env.Account.Account.AuthorID()
	}
	return identity.Name(s.env.Directory, schemas.PlatformYouTube, id, strings.TrimPrefix(handle, "@"))
}

// video makes a message of an item of the uploads playlist.
func (s *Source) video(raw json.RawMessage) (source.Item, video) {
	var v video
	if err := json.Unmarshal(raw, &v); err != nil {
		return dead(raw), v
	}
	now := s.env.Now().UTC()
	official := s.env.Account.Account.AuthorID()
	return valid(&schemas.Message{
		Platform: schemas.PlatformYouTube, MessageID: v.Content.VideoID, Kind: schemas.KindPost, AuthorID: official, CreatedAt: v.Content.Published,
		Text: v.text(), Institution: s.env.Account.Institution.ID, Account: official, ObservedAt: &now, URL: "https://www.youtube.com/watch?v=" + v.Content.VideoID,
	}, now, raw), v
}

func (v *video) text() string {
	return strings.TrimSpace(v.Snippet.Title + "\n" + v.Snippet.Description)
}
