// Package blueskytest speaks as much of Bluesky's interface as the sources read, over a world of posts, for tests.
package blueskytest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
)

// Password is the app password that the server takes, and Handle whose it is.
const (
	Password = "app-password-of-the-test"
	Handle   = "layanan.kota.example"
)

// DID is an author's.
func DID(author string) string { return "did:plc:" + strings.ReplaceAll(author, "_", "") }

// Server is the interface over a world.
type Server struct {
	World *conversation.World

	mu      sync.Mutex
	tokens  int // how many sessions there were; the newest one's tokens count
	expired bool
	calls   map[string]int
	authors map[string]string // by post, also of those that are gone
}

// New returns a handler.
func New(w *conversation.World) *Server {
	return &Server{World: w, calls: map[string]int{}, authors: map[string]string{}}
}

// Expire lets the access token expire.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = true
}

// Calls is how often a method was called.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// URI is a post's address. The caller holds the world's lock, or nobody else does.
func (s *Server) URI(id string) string {
	if p := s.World.Find(id); p != nil {
		s.authors[id] = p.Author
	}
	return "at://" + DID(s.authors[id]) + "/app.bsky.feed.post/" + id
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	// A client that has gone away is not the server's concern.
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, code int, word, message string) {
	answer(w, code, map[string]string{"error": word, "message": message})
}

// Limited answers 429 as a PDS does.
func Limited(w http.ResponseWriter, reset time.Time) {
	w.Header().Set("RateLimit-Limit", "3000")
	w.Header().Set("RateLimit-Remaining", "0")
	w.Header().Set("RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	fail(w, http.StatusTooManyRequests, "RateLimitExceeded", "Rate Limit Exceeded")
}

func (s *Server) session(w http.ResponseWriter) {
	s.tokens++
	s.expired = false
	n := strconv.Itoa(s.tokens)
	answer(w, http.StatusOK, map[string]string{"accessJwt": "access-" + n, "refreshJwt": "refresh-" + n, "did": DID(s.World.Official), "handle": Handle})
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.World.Lock()
	defer s.World.Unlock()
	for _, p := range s.World.Posts {
		s.authors[p.ID] = p.Author
	}
	method, _ := strings.CutPrefix(r.URL.Path, "/xrpc/")
	s.calls[method]++
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	q := r.URL.Query()
	switch method {
	case "com.atproto.server.createSession":
		var in struct{ Identifier, Password string }
		if json.NewDecoder(r.Body).Decode(&in) != nil || in.Password != Password || in.Identifier != Handle && in.Identifier != DID(s.World.Official) {
			fail(w, http.StatusUnauthorized, "AuthenticationRequired", "Invalid identifier or password")
			return
		}
		s.session(w)
		return
	case "com.atproto.server.refreshSession":
		if bearer != "refresh-"+strconv.Itoa(s.tokens) {
			fail(w, http.StatusBadRequest, "ExpiredToken", "Token has expired")
			return
		}
		s.session(w)
		return
	case "app.bsky.notification.listNotifications":
		if bearer == "" {
			fail(w, http.StatusUnauthorized, "AuthMissing", "Authentication Required")
			return
		}
	}
	if bearer != "" && (s.expired || bearer != "access-"+strconv.Itoa(s.tokens)) {
		fail(w, http.StatusBadRequest, "ExpiredToken", "Token has expired")
		return
	}
	at, _ := strconv.Atoi(q.Get("cursor"))
	limit, _ := strconv.Atoi(q.Get("limit"))
	limit = cmp.Or(limit, 50)
	page := func(feed []conversation.Post) (out []conversation.Post, cursor map[string]any) {
		out, next := s.World.Cut(feed, at, limit)
		cursor = map[string]any{}
		if next >= 0 {
			cursor["cursor"] = strconv.Itoa(next)
		}
		return out, cursor
	}
	switch method {
	case "app.bsky.actor.getProfile":
		author := s.author(q.Get("actor"))
		switch {
		case s.World.Protected[author]:
			fail(w, http.StatusBadRequest, "AccountDeactivated", "Account is deactivated")
		case author == "" || s.World.Gone[author]:
			fail(w, http.StatusBadRequest, "InvalidRequest", "Profile not found")
		default:
			answer(w, http.StatusOK, map[string]any{"did": DID(author), "handle": q.Get("actor"), "followersCount": 1000, "followsCount": 5, "postsCount": 70})
		}
	case "app.bsky.feed.getAuthorFeed":
		posts, out := page(s.World.Own())
		feed := []any{}
		for _, p := range posts {
			feed = append(feed, map[string]any{"post": s.view(p)})
		}
		out["feed"] = feed
		answer(w, http.StatusOK, out)
	case "app.bsky.notification.listNotifications":
		posts, out := page(s.World.Inbound())
		list := []any{}
		for _, p := range posts {
			v := s.view(p)
			for _, count := range []string{"likeCount", "replyCount", "repostCount", "quoteCount"} {
				delete(v, count)
			}
			v["reason"], v["isRead"] = "mention", false
			if p.Parent != "" {
				v["reason"] = "reply"
			}
			list = append(list, v)
		}
		out["notifications"] = list
		answer(w, http.StatusOK, out)
	case "app.bsky.feed.getPosts":
		posts := []any{}
		for _, p := range s.World.By(func(p conversation.Post) bool { return slices.Contains(q["uris"], s.URI(p.ID)) }) {
			posts = append(posts, s.view(p))
		}
		answer(w, http.StatusOK, map[string]any{"posts": posts})
	case "app.bsky.feed.getPostThread":
		for _, p := range s.World.By(func(p conversation.Post) bool { return s.URI(p.ID) == q.Get("uri") }) {
			answer(w, http.StatusOK, map[string]any{"thread": s.thread(p)})
			return
		}
		fail(w, http.StatusBadRequest, "NotFound", "Post not found: "+q.Get("uri"))
	default:
		fail(w, http.StatusNotImplemented, "MethodNotImplemented", "Method Not Implemented")
	}
}

// author finds who an actor is.
func (s *Server) author(actor string) string {
	if actor == Handle || actor == DID(s.World.Official) {
		return s.World.Official
	}
	for _, author := range s.authors {
		if DID(author) == actor {
			return author
		}
	}
	return ""
}

func (s *Server) thread(p conversation.Post) map[string]any {
	replies := []any{map[string]any{"$type": "app.bsky.feed.defs#notFoundPost", "uri": "at://did:plc:x/app.bsky.feed.post/x", "notFound": true}}
	for _, r := range s.World.By(func(r conversation.Post) bool { return r.Parent == p.ID }) {
		replies = append(replies, s.thread(r))
	}
	return map[string]any{"$type": "app.bsky.feed.defs#threadViewPost", "post": s.view(p), "replies": replies}
}

// Record is a post as its author's repository holds it. The caller holds the world's lock, or nobody else does.
func (s *Server) Record(p conversation.Post) map[string]any {
	record := map[string]any{"$type": "app.bsky.feed.post", "text": p.Text, "createdAt": p.Created.Format(time.RFC3339Nano), "langs": []string{"id"}}
	if p.Parent != "" {
		record["reply"] = map[string]any{"root": map[string]string{"uri": s.URI(p.Root), "cid": "c"}, "parent": map[string]string{"uri": s.URI(p.Parent), "cid": "c"}}
	}
	if p.Author != s.World.Official {
		record["facets"] = []any{map[string]any{
			"index":    map[string]int{"byteStart": 0, "byteEnd": 1},
			"features": []any{map[string]string{"$type": "app.bsky.richtext.facet#mention", "did": DID(s.World.Official)}},
		}}
	}
	return record
}

func (s *Server) view(p conversation.Post) map[string]any {
	replies := len(s.World.By(func(r conversation.Post) bool { return r.Parent == p.ID }))
	return map[string]any{
		"uri": s.URI(p.ID), "cid": "c", "indexedAt": p.Created.Add(time.Second).Format(time.RFC3339Nano), "record": s.Record(p),
		"author":    map[string]any{"did": DID(p.Author), "handle": p.Author + ".example", "createdAt": "2024-01-01T00:00:00.000Z", "displayName": "Nama Orang"},
		"likeCount": 3, "replyCount": replies, "repostCount": 1, "quoteCount": 0,
	}
}
