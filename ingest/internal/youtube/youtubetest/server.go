// Package youtubetest is a server that speaks as much of the YouTube Data API v3 as the source reads, over a world of conversations, for tests.
package youtubetest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
)

// Key is the one that the server takes.
const Key = "key-of-the-test"

// ChannelID is the id of the world's official channel.
const ChannelID = "UCofficialofficialoffici"

// Video is an upload of the channel.
type Video struct {
	ID, Title, Privacy string
	Published          time.Time
}

// Server speaks YouTube over a world: a post that answers none is a comment, every answer a reply below it. Its fields are set before it is called, or under
// the world's lock.
type Server struct {
	World  *conversation.World
	Videos []Video
	// VideoID is the video that the comments stand below; empty for comments on the channel itself.
	VideoID string
	// Inlined is how many replies a thread holds itself.
	Inlined int

	mu    sync.Mutex
	calls map[string]int
}

// Calls is how often a path was called.
func (s *Server) Calls(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[path]
}

// ID is YouTube's id of a post of the world.
func ID(id string) string { return "Ug" + id }

func worldID(id string) string { return strings.TrimPrefix(id, "Ug") }

// AuthorID is the channel of an author.
func (s *Server) AuthorID(author string) string {
	if author == s.World.Official {
		return ChannelID
	}
	return "UC" + author
}

func (s *Server) comment(p conversation.Post) map[string]any {
	updated := p.Created
	if p.Edited != nil {
		updated = *p.Edited
	}
	snippet := map[string]any{
		"authorDisplayName": "@" + p.Author, "authorChannelId": map[string]any{"value": s.AuthorID(p.Author)}, "textDisplay": p.Text, "likeCount": 2,
		"publishedAt": p.Created.UTC().Format(time.RFC3339), "updatedAt": updated.UTC().Format(time.RFC3339), "channelId": ChannelID,
	}
	if p.Root != "" {
		snippet["parentId"] = ID(p.Root)
	}
	return map[string]any{"kind": "youtube#comment", "id": ID(p.ID), "snippet": snippet}
}

func (s *Server) replies(root string) []conversation.Post {
	return s.World.By(func(p conversation.Post) bool { return p.Root == root })
}

func (s *Server) thread(p conversation.Post) map[string]any {
	replies := s.replies(p.ID)
	snippet := map[string]any{"channelId": ChannelID, "topLevelComment": s.comment(p), "totalReplyCount": len(replies), "isPublic": true, "canReply": true}
	if s.VideoID != "" {
		snippet["videoId"] = s.VideoID
	}
	out := map[string]any{"kind": "youtube#commentThread", "id": ID(p.ID), "snippet": snippet}
	var inlined []any
	for _, r := range replies[:min(s.Inlined, len(replies))] {
		inlined = append(inlined, s.comment(r))
	}
	if inlined != nil {
		out["replies"] = map[string]any{"comments": inlined}
	}
	return out
}

// ServeHTTP answers a call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	s.mu.Lock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[path]++
	s.mu.Unlock()
	q := r.URL.Query()
	if r.Header.Get("X-Goog-Api-Key") != Key || q.Has("key") {
		Problem(w, http.StatusBadRequest, "badRequest", "API key not valid. Please pass a valid API key.")
		return
	}
	s.World.Lock()
	defer s.World.Unlock()
	ids := strings.Split(q.Get("id"), ",")
	switch {
	case len(ids) > 50:
		Problem(w, http.StatusBadRequest, "invalidFilters", "too many ids")
	case path == "channels":
		if q.Get("id") != ChannelID && q.Get("forHandle") != "@"+s.World.Official {
			answer(w, map[string]any{"kind": "youtube#channelListResponse"})
			return
		}
		answer(w, map[string]any{"items": []any{map[string]any{
			"id": ChannelID, "statistics": map[string]any{"subscriberCount": "1200", "videoCount": "7", "hiddenSubscriberCount": false},
			"contentDetails": map[string]any{"relatedPlaylists": map[string]any{"uploads": "UUofficial"}},
		}}})
	case path == "playlistItems":
		if len(s.Videos) == 0 {
			Problem(w, http.StatusNotFound, "playlistNotFound", "The playlist cannot be found.")
			return
		}
		var items []any
		for _, v := range s.Videos {
			items = append(items, map[string]any{
				"snippet":        map[string]any{"title": v.Title, "description": "Keterangan", "publishedAt": v.Published.UTC().Format(time.RFC3339)},
				"contentDetails": map[string]any{"videoId": v.ID, "videoPublishedAt": v.Published.UTC().Format(time.RFC3339)}, "status": map[string]any{"privacyStatus": v.Privacy},
			})
		}
		answer(w, map[string]any{"items": items})
	case path == "videos":
		items := []any{}
		for _, v := range s.Videos {
			for _, id := range ids {
				if id == v.ID {
					items = append(items, map[string]any{"id": id, "snippet": map[string]any{"title": v.Title}, "status": map[string]any{"privacyStatus": v.Privacy},
						"statistics": map[string]any{"viewCount": "900", "likeCount": "8", "commentCount": "3"}})
				}
			}
		}
		answer(w, map[string]any{"items": items})
	case path == "commentThreads" && q.Has("id"):
		items := []any{}
		for _, id := range ids {
			if p := s.visible(worldID(id)); p != nil {
				items = append(items, s.thread(*p))
			}
		}
		answer(w, map[string]any{"items": items})
	case path == "commentThreads":
		s.page(w, r, s.World.By(func(p conversation.Post) bool { return p.Root == "" }), s.thread)
	case path == "comments" && q.Has("parentId"):
		s.page(w, r, s.replies(worldID(q.Get("parentId"))), s.comment)
	case path == "comments":
		items := []any{}
		for _, id := range ids {
			if p := s.visible(worldID(id)); p != nil {
				items = append(items, s.comment(*p))
			}
		}
		answer(w, map[string]any{"items": items})
	default:
		Problem(w, http.StatusNotFound, "notFound", "no such thing")
	}
}

func (s *Server) visible(id string) *conversation.Post {
	p := s.World.Find(id)
	if p == nil || s.World.Protected[p.Author] || s.World.Gone[p.Author] {
		return nil
	}
	return p
}

func (s *Server) page(w http.ResponseWriter, r *http.Request, feed []conversation.Post, show func(conversation.Post) map[string]any) {
	q := r.URL.Query()
	limit, err := strconv.Atoi(q.Get("maxResults"))
	if err != nil || limit < 1 || limit > 100 {
		Problem(w, http.StatusBadRequest, "invalidParameter", "maxResults")
		return
	}
	at := 0
	if token := q.Get("pageToken"); token != "" {
		if at, err = strconv.Atoi(strings.TrimPrefix(token, "page")); err != nil {
			Problem(w, http.StatusBadRequest, "invalidPageToken", "The request specifies an invalid page token.")
			return
		}
	}
	page, next := s.World.Cut(feed, at, limit)
	items := []any{}
	for _, p := range page {
		items = append(items, show(p))
	}
	out := map[string]any{"items": items, "pageInfo": map[string]any{"totalResults": len(items), "resultsPerPage": limit}}
	if next >= 0 {
		out["nextPageToken"] = "page" + strconv.Itoa(next)
	}
	answer(w, out)
}

// Limited answers 429 as Google's interfaces do: calls are taken again at reset.
func Limited(w http.ResponseWriter, reset time.Time) {
	w.Header().Set("Retry-After", reset.UTC().Format(http.TimeFormat))
	Problem(w, http.StatusTooManyRequests, "rateLimitExceeded", "too many")
}

// Problem answers with an error as Google writes one.
func Problem(w http.ResponseWriter, code int, reason, message string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	// A client that has gone away is not the server's concern.
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": message, "errors": []any{map[string]any{"message": message, "domain": "youtube", "reason": reason}}}})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_ = json.NewEncoder(w).Encode(v)
}
