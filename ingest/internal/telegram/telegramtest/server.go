// Package telegramtest is a server that speaks as much of Telegram's Bot API as the source reads, over a world of conversations in one discussion group, for tests.
package telegramtest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
)

// What the server takes and what it shows.
const (
	Token     = "100:token-of-the-test"
	ChannelID = -1001
	GroupID   = -1002
)

// Server speaks the Bot API over a world, whose posts are messages in the group. Its fields are set before it is called.
type Server struct {
	World *conversation.World
	// Extra are updates as they are, after those of the world.
	Extra []string

	mu        sync.Mutex
	confirmed int64
	updates   []update
	texts     map[string]string // of the posts that updates have told of, as they last did
}

// update is one update as it came to be; later changes of its message make others.
type update struct {
	id      int64
	kind    string
	message map[string]any
}

// ID is the message id of a post of the world.
func ID(id string) string { return strconv.Itoa(GroupID) + "/" + id }

func (s *Server) message(p conversation.Post) map[string]any {
	n, _ := strconv.Atoi(p.ID)
	out := map[string]any{"message_id": n, "date": p.Created.Unix(), "chat": map[string]any{"id": GroupID, "type": "supergroup"}, "text": p.Text}
	if p.Author == s.World.Official {
		out["sender_chat"] = map[string]any{"id": ChannelID, "type": "channel", "username": s.World.Official}
		out["from"] = map[string]any{"id": 136817688, "is_bot": true, "username": "Channel_Bot"}
	} else {
		author, _ := strconv.Atoi(strings.TrimPrefix(p.Author, "warga"))
		out["from"] = map[string]any{"id": 900 + author, "is_bot": false, "username": p.Author, "first_name": "Nama"}
	}
	if parent := s.World.Find(p.Parent); parent != nil {
		above := s.message(*parent)
		delete(above, "reply_to_message")
		out["reply_to_message"] = above
		root, _ := strconv.Atoi(p.Root)
		out["message_thread_id"] = root
	}
	return out
}

// ServeHTTP answers a call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) != 2 || parts[0] != "bot"+Token {
		Problem(w, http.StatusNotFound, 0)
		return
	}
	q := r.URL.Query()
	s.World.Lock()
	defer s.World.Unlock()
	switch parts[1] {
	case "getChat":
		if q.Get("chat_id") != "@"+s.World.Official && q.Get("chat_id") != strconv.Itoa(ChannelID) {
			Problem(w, http.StatusBadRequest, 0)
			return
		}
		answer(w, map[string]any{"id": ChannelID, "type": "channel", "username": s.World.Official, "linked_chat_id": GroupID})
	case "getChatMemberCount":
		answer(w, 1200)
	case "getUpdates":
		s.answerUpdates(w, q.Get("offset"), q.Get("limit"))
	default:
		Problem(w, http.StatusNotFound, 0)
	}
}

// Mirror makes updates of what has changed in the world. Nobody is told of deletions.
func (s *Server) Mirror() {
	s.World.Lock()
	defer s.World.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mirror()
}

func (s *Server) mirror() {
	if s.texts == nil {
		s.texts = map[string]string{}
	}
	next := func(least int64) int64 {
		if n := len(s.updates); n > 0 {
			least = max(least, s.updates[n-1].id+1)
		}
		return least
	}
	for _, p := range s.World.Posts {
		old, told := s.texts[p.ID]
		if told && old == p.Text {
			continue
		}
		s.texts[p.ID] = p.Text
		u := update{kind: "message", message: s.message(p)}
		id, _ := strconv.ParseInt(p.ID, 10, 64)
		if u.id = next(id); told && p.Edited != nil {
			u.id, u.kind, u.message["edit_date"] = next(0), "edited_message", p.Edited.Unix()
		}
		s.updates = append(s.updates, u)
	}
}

func (s *Server) answerUpdates(w http.ResponseWriter, offset, limit string) {
	most, err := strconv.Atoi(limit)
	if err != nil || most < 1 || most > 100 {
		Problem(w, http.StatusBadRequest, 0)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if from, err := strconv.ParseInt(offset, 10, 64); err == nil {
		s.confirmed = max(s.confirmed, from)
	}
	s.mirror()
	var all []any
	last := int64(0)
	for _, u := range s.updates {
		if last = u.id; u.id >= s.confirmed {
			all = append(all, map[string]any{"update_id": u.id, u.kind: u.message})
		}
	}
	for n, extra := range s.Extra {
		if id := last + 1 + int64(n); id >= s.confirmed {
			all = append(all, json.RawMessage(`{"update_id":`+strconv.FormatInt(id, 10)+`,`+extra+`}`))
		}
	}
	all = all[:min(s.World.Fit(most), len(all))]
	if s.World.Shuffle != nil {
		s.World.Shuffle.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	if all == nil {
		all = []any{}
	}
	answer(w, all)
}

// Problem answers with an error as Telegram writes one.
func Problem(w http.ResponseWriter, code, retryAfter int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	out := map[string]any{"ok": false, "error_code": code, "description": "a description"}
	if retryAfter > 0 {
		out["parameters"] = map[string]any{"retry_after": retryAfter}
	}
	// A client that has gone away is not the server's concern.
	_ = json.NewEncoder(w).Encode(out)
}

func answer(w http.ResponseWriter, result any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "result": result})
}
