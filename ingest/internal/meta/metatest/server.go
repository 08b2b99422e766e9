// Package metatest is a server that speaks as much of Meta's Graph API as the sources read, over a world of conversations, for tests.
package metatest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
)

// What the server takes, and whom it belongs to.
const (
	Token     = "token-of-the-test"
	AppSecret = "secret-of-the-test"
	Verify    = "verify-of-the-test"
	AccountID = "100"
)

// Server speaks one of the platforms over a world: a citizen's post that answers none mentions the account, and every answer stands below its root.
// Its fields are set before it is called, or under the world's lock.
type Server struct {
	World    *conversation.World
	Platform string // facebook, instagram or threads
	// Hidden are comments that the account has hidden.
	Hidden map[string]bool
	// Proof asks for the proof of the app's secret.
	Proof bool
	// Calls counts calls by their last part.
	Calls map[string]int
}

// AuthorID is the id of an author.
func (s *Server) AuthorID(author string) string {
	if author == s.World.Official {
		return AccountID
	}
	return "90" + strings.TrimPrefix(author, "warga")
}

func (s *Server) node(p conversation.Post) map[string]any {
	at := p.Created.UTC().Format("2006-01-02T15:04:05-0700")
	below := len(s.World.By(func(q conversation.Post) bool { return q.Root == p.ID }))
	out := map[string]any{"id": p.ID}
	switch s.Platform {
	case "facebook":
		out["message"], out["created_time"], out["from"], out["is_hidden"] = p.Text, at, map[string]any{"id": s.AuthorID(p.Author), "name": "Nama Orang"}, s.Hidden[p.ID]
		if p.Root == "" {
			out["comments"] = map[string]any{"data": []any{}, "summary": map[string]any{"total_count": below}}
			out["permalink_url"] = "https://facebook.example/" + p.ID
		} else if p.Parent != p.Root {
			out["parent"] = map[string]any{"id": p.Parent}
		}
	case "instagram":
		out["timestamp"], out["username"], out["like_count"], out["hidden"] = at, p.Author, 4, s.Hidden[p.ID]
		if p.Root == "" {
			out["caption"], out["comments_count"], out["permalink"] = p.Text, below, "https://instagram.example/p/"+p.ID
			break
		}
		out["text"], out["from"] = p.Text, map[string]any{"id": s.AuthorID(p.Author), "username": p.Author}
		if p.Parent != p.Root {
			out["parent_id"] = p.Parent
		}
		if p.Parent == p.Root {
			if inside := s.list(s.World.By(func(q conversation.Post) bool { return q.Parent == p.ID }), 0, nested); inside["paging"] != nil {
				out["replies"] = inside
			}
		}
	case "threads":
		out["text"], out["timestamp"], out["username"], out["has_replies"], out["permalink"] = p.Text, at, p.Author, below > 0, "https://threads.example/"+p.ID
		if p.Root != "" {
			out["root_post"], out["replied_to"], out["is_reply"] = map[string]any{"id": p.Root}, map[string]any{"id": p.Parent}, true
		}
	}
	return out
}

// ServeHTTP answers a call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.Header.Get("Authorization") != "Bearer "+Token || q.Has("access_token") {
		Problem(w, 190, 0)
		return
	}
	mac := hmac.New(sha256.New, []byte(AppSecret))
	mac.Write([]byte(Token))
	if s.Proof && q.Get("appsecret_proof") != hex.EncodeToString(mac.Sum(nil)) {
		Problem(w, 100, 0)
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	s.World.Lock()
	defer s.World.Unlock()
	if s.Calls == nil {
		s.Calls = map[string]int{}
	}
	id := parts[0]
	if id == AccountID || id == "me" {
		if len(parts) == 1 {
			s.account(w, q.Get("fields"))
			return
		}
		s.Calls[parts[1]]++
		official := func(p conversation.Post) bool { return p.Author == s.World.Official }
		switch parts[1] {
		case "published_posts", "media", "threads":
			s.page(w, r, s.World.By(func(p conversation.Post) bool { return official(p) && p.Root == "" }))
		case "tagged", "tags":
			s.page(w, r, s.World.By(func(p conversation.Post) bool { return !official(p) && p.Root == "" }))
		case "mentions": // an answer to the account mentions it
			s.page(w, r, s.World.By(func(p conversation.Post) bool {
				above := s.World.Find(p.Parent)
				return !official(p) && (p.Root == "" || above != nil && official(*above))
			}))
		case "replies":
			s.page(w, r, s.World.By(func(p conversation.Post) bool { return official(p) && p.Root != "" }))
		default:
			Problem(w, 100, 0)
		}
		return
	}
	p := s.World.Find(id)
	switch {
	case p == nil || s.World.Protected[p.Author] || s.World.Gone[p.Author]:
		Problem(w, 100, 33)
	case len(parts) == 1:
		s.Calls["node"]++
		answer(w, s.node(*p))
	case s.Platform == "threads" && p.Author != s.World.Official:
		Problem(w, 10, 0)
	default:
		s.Calls[parts[1]]++
		inside := s.Platform == "instagram"
		s.page(w, r, s.World.By(func(q conversation.Post) bool { return q.Parent == id || q.Root == id && !inside }))
	}
}

func (s *Server) account(w http.ResponseWriter, fields string) {
	if name, id, asked := asked(fields); asked {
		p := s.World.Find(id)
		if p == nil {
			Problem(w, 100, 33)
			return
		}
		answer(w, map[string]any{"id": AccountID, name: s.node(*p)})
		return
	}
	answer(w, map[string]any{"id": AccountID, "username": s.World.Official, "followers_count": 1000, "media_count": 70})
}

// asked reads mentioned_comment.comment_id(ID){...}.
func asked(fields string) (name, id string, ok bool) {
	name, rest, ok := strings.Cut(fields, ".")
	if !ok || !strings.HasPrefix(name, "mentioned_") {
		return "", "", false
	}
	_, rest, _ = strings.Cut(rest, "(")
	id, _, ok = strings.Cut(rest, ")")
	return name, id, ok
}

// nested is how many answers a comment of Instagram holds itself.
const nested = 50

func (s *Server) page(w http.ResponseWriter, r *http.Request, feed []conversation.Post) {
	q := r.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 || limit > 100 {
		Problem(w, 100, 0)
		return
	}
	at := 0
	if after := q.Get("after"); after != "" {
		if at, err = strconv.Atoi(strings.TrimPrefix(after, "after")); err != nil {
			Problem(w, 100, 0)
			return
		}
	}
	answer(w, s.list(feed, at, limit))
}

// list is a page of nodes.
func (s *Server) list(feed []conversation.Post, at, limit int) map[string]any {
	page, next := s.World.Cut(feed, at, limit)
	if at >= len(feed) && at > 0 {
		page, next = nil, -1
	}
	data := []any{}
	for _, p := range page {
		data = append(data, s.node(p))
	}
	out := map[string]any{"data": data}
	if len(page) > 0 {
		after := "after" + strconv.Itoa(len(feed))
		paging := map[string]any{}
		if next >= 0 {
			after = "after" + strconv.Itoa(next)
			if s.Platform != "threads" {
				paging["next"] = "https://graph.example/next"
			}
		}
		paging["cursors"] = map[string]any{"before": "b", "after": after}
		out["paging"] = paging
	}
	return out
}

// What can happen to a post, as a delivery calls it.
const (
	Added   = "add"
	Edited  = "edited"
	Removed = "remove"
)

// Delivery is what the platform delivers by webhook of what happened to a post; nil where it tells nothing of that. The caller holds the world's lock, or nobody else does.
func (s *Server) Delivery(verb string, p conversation.Post, at time.Time) []byte {
	official, root := p.Author == s.World.Official, s.World.Find(p.Root)
	var v any
	entry := func(object, field string, value map[string]any) map[string]any {
		return map[string]any{"object": object, "entry": []any{map[string]any{"id": AccountID, "time": at.Unix(), "changes": []any{map[string]any{"field": field, "value": value}}}}}
	}
	switch {
	case s.Platform == "facebook":
		value := map[string]any{"item": "status", "verb": verb, "post_id": p.ID, "created_time": p.Created.Unix(), "from": map[string]any{"id": s.AuthorID(p.Author), "name": "Nama Orang"}}
		if p.Root != "" {
			value["item"], value["comment_id"], value["post_id"], value["parent_id"] = "comment", p.ID, p.Root, p.Parent
		}
		if verb != Removed {
			value["message"] = p.Text
		}
		v = entry("page", "feed", value)
	case verb != Added || official:
		return nil
	case s.Platform == "threads":
		field := "mentions"
		if root != nil && root.Author == s.World.Official {
			field = "replies"
		}
		v = map[string]any{"app_id": "1", "topic": "moderate", "target_id": AccountID, "time": at.Unix(), "values": map[string]any{"field": field, "value": s.node(p)}}
	case p.Root == "":
		v = entry("instagram", "mentions", map[string]any{"media_id": p.ID})
	case root != nil && root.Author == s.World.Official:
		v = entry("instagram", "comments", map[string]any{"id": p.ID, "media": map[string]any{"id": p.Root}, "text": p.Text})
	default:
		v = entry("instagram", "mentions", map[string]any{"media_id": p.Root, "comment_id": p.ID})
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the server's own values
	}
	return b
}

// Sign is the signature of a body.
func Sign(body []byte) string {
	mac := hmac.New(sha256.New, []byte(AppSecret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Limited answers as Meta does when calls are no longer taken for so many minutes.
func Limited(w http.ResponseWriter, minutes int) {
	w.Header().Set("X-Business-Use-Case-Usage", fmt.Sprintf(`{"100":[{"type":"pages","call_count":100,"total_cputime":20,"total_time":20,"estimated_time_to_regain_access":%d}]}`, minutes))
	Problem(w, 80001, 0)
}

// Problem answers with an error as the Graph API writes one.
func Problem(w http.ResponseWriter, code, sub int) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	status := http.StatusBadRequest
	if code == 190 {
		status = http.StatusUnauthorized
	}
	w.WriteHeader(status)
	// A client that has gone away is not the server's concern.
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": "a message of the platform", "type": "OAuthException", "code": code, "error_subcode": sub, "fbtrace_id": "trace"}})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("X-App-Usage", `{"call_count":3,"total_time":2,"total_cputime":1}`)
	_ = json.NewEncoder(w).Encode(v)
}
