// Package mastodontest is a server that speaks as much of Mastodon's REST interface as the source reads, for tests: with its paging, its rate headers
// and, on demand, its faults.
package mastodontest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
)

// thumpEvery is how often server-sent events get a comment.
const thumpEvery = 15 * time.Second

// Token is the one that the server takes.
const Token = "token-of-the-test"

// Me is the id of the account that the token belongs to.
const Me = "7"

// Status is a status; ids grow with their time of writing.
type Status struct {
	ID, AuthorID, ReplyTo string
	CreatedAt             time.Time
	EditedAt              *time.Time
	Content               string
	Visibility            string   // public when empty
	Mentions              []string // account ids
	Raw                   string   // sent as it is, instead of all this
}

// Server is a running server. Its fields are set before it is called, or under Lock.
type Server struct {
	*httptest.Server
	sync.Mutex
	Accounts  map[string]string // handle by id
	Followers int64
	// Remaining and Reset go into the rate headers when Reset is set.
	Remaining int
	Reset     time.Time
	// Fault, when set, may answer in the server's place; then it returns true.
	Fault func(w http.ResponseWriter, r *http.Request) bool
	// NewestOnly makes the server ignore min_id, as one that does not know it.
	NewestOnly bool
	// Calls counts calls by path, ids replaced by :id.
	Calls map[string]int

	// Sockets and Events say which ways of streaming the server has; New sets both.
	Sockets, Events bool

	world         *conversation.World // nil for a server whose statuses are written to it
	statuses      map[string]*Status
	history       map[string][]map[string]any
	notifications []notification
	next          int
	listeners     map[chan [2]string]struct{}
	stopped       chan struct{}
}

type notification struct{ id, status string }

// New starts a server with the account kota and two citizens, warga1 and, on another server, warga2.
func New() *Server {
	s := NewUnstarted()
	s.Server = httptest.NewServer(http.HandlerFunc(s.Serve))
	return s
}

// NewUnstarted is New for a server of somebody else's; its URL has to be set.
func NewUnstarted() *Server {
	return &Server{
		Server: &httptest.Server{}, Accounts: map[string]string{Me: "layanan_kota", "11": "warga1", "12": "warga2@lain.example"}, Followers: 1000,
		Calls: map[string]int{}, statuses: map[string]*Status{}, history: map[string][]map[string]any{}, next: 100,
		Sockets: true, Events: true, listeners: map[chan [2]string]struct{}{}, stopped: make(chan struct{}),
	}
}

// Over starts no server: it returns one that speaks the world whenever it is asked. The status and its notification have the post's id.
func Over(w *conversation.World) *Server {
	s := NewUnstarted()
	s.Accounts[Me] = w.Official
	s.world = w
	return s
}

// Mirror makes the world's posts all the statuses that there are, and pushes what has changed since.
func (s *Server) Mirror() {
	w := s.world
	w.Lock()
	defer w.Unlock()
	s.Lock()
	defer s.Unlock()
	before := s.statuses
	s.statuses, s.notifications = map[string]*Status{}, nil
	for _, p := range w.Posts {
		if w.Gone[p.Author] {
			continue
		}
		st := &Status{ID: p.ID, AuthorID: s.authorID(p.Author), ReplyTo: p.Parent, CreatedAt: p.Created, EditedAt: p.Edited, Content: "<p>" + html.EscapeString(p.Text) + "</p>", Visibility: "public"}
		if w.Protected[p.Author] {
			st.Visibility = "private"
		}
		s.statuses[p.ID] = st
		mention := notification{id: p.ID, status: p.ID}
		if st.AuthorID != Me {
			st.Mentions = []string{Me}
			s.notifications = append(s.notifications, mention)
		}
		switch old := before[p.ID]; {
		case old == nil && st.AuthorID == Me:
			s.push("update", s.status(p.ID))
		case old == nil:
			s.push("notification", s.notification(mention))
		case old.Content != st.Content:
			s.push("status.update", s.status(p.ID))
		}
	}
	for id := range before {
		if s.statuses[id] == nil {
			s.push("delete", id)
		}
	}
}

// authorID is the account of an author of the world.
func (s *Server) authorID(author string) string {
	if author == s.world.Official {
		return Me
	}
	id := "1" + strings.TrimPrefix(author, "warga")
	s.Accounts[id] = author
	return id
}

// Write adds a status and, where it mentions the account, the notification; it returns the id.
func (s *Server) Write(st Status) string {
	s.Lock()
	defer s.Unlock()
	s.next++
	if st.ID == "" {
		st.ID = strconv.Itoa(s.next)
	}
	st.Visibility = cmp.Or(st.Visibility, "public")
	s.statuses[st.ID] = &st
	if st.AuthorID == Me {
		s.push("update", s.status(st.ID))
	}
	if slices.Contains(st.Mentions, Me) && st.AuthorID != Me {
		s.next++
		s.notifications = append(s.notifications, notification{id: strconv.Itoa(s.next), status: st.ID})
		s.push("notification", s.notification(s.notifications[len(s.notifications)-1]))
	}
	return st.ID
}

func (s *Server) notification(n notification) map[string]any {
	return map[string]any{"id": n.id, "type": "mention", "created_at": s.statuses[n.status].CreatedAt, "status": s.status(n.status)}
}

// push sends an event to all streams.
func (s *Server) push(event string, payload any) {
	text, isText := payload.(string)
	if !isText {
		b, err := json.Marshal(payload)
		if err != nil {
			panic(err) // the server's own values
		}
		text = string(b)
	}
	for l := range s.listeners {
		l <- [2]string{event, text}
	}
}

// Streams is how many streams are open.
func (s *Server) Streams() int {
	s.Lock()
	defer s.Unlock()
	return len(s.listeners)
}

// BreakStreams ends all streams.
func (s *Server) BreakStreams() {
	s.Lock()
	defer s.Unlock()
	for l := range s.listeners {
		close(l)
		delete(s.listeners, l)
	}
}

// Close ends all streams and the server.
func (s *Server) Close() {
	close(s.stopped)
	s.Server.Close()
}

// stream serves the user's stream; the caller holds the lock, and has it again afterwards.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, socket bool) {
	events := make(chan [2]string, 1000)
	listen := func() {
		s.Lock()
		s.listeners[events] = struct{}{}
		s.Unlock()
	}
	s.Unlock()
	defer s.Lock()
	defer func() {
		s.Lock()
		delete(s.listeners, events)
		s.Unlock()
	}()
	ctx := r.Context()
	var send func(event, payload string) error
	thump := func() error { return nil } // a WebSocket is asked by a ping
	if socket {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow() //nolint:errcheck // The test is over.
		ctx = conn.CloseRead(ctx)
		send = func(event, payload string) error {
			b, err := json.Marshal(map[string]any{"stream": []string{"user"}, "event": event, "payload": payload})
			if err != nil {
				return err
			}
			return conn.Write(ctx, websocket.MessageText, b)
		}
	} else {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		flush := http.NewResponseController(w)
		send = func(event, payload string) error {
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, payload)
			return flush.Flush()
		}
		thump = func() error {
			fmt.Fprint(w, ":thump\n")
			return flush.Flush()
		}
		if thump() != nil {
			return
		}
	}
	listen()
	beat := time.NewTicker(thumpEvery)
	defer beat.Stop()
	for {
		select {
		case e, open := <-events:
			if !open || send(e[0], e[1]) != nil {
				return
			}
		case <-beat.C:
			if thump() != nil {
				return
			}
		case <-ctx.Done():
			return
		case <-s.stopped:
			return
		}
	}
}

// Edit changes a status's content.
func (s *Server) Edit(id, content string, at time.Time) {
	s.Lock()
	defer s.Unlock()
	st := s.statuses[id]
	if s.history[id] == nil {
		s.history[id] = []map[string]any{{"content": st.Content, "spoiler_text": "", "created_at": st.CreatedAt, "media_attachments": []any{}}}
	}
	st.Content, st.EditedAt = content, &at
	s.history[id] = append(s.history[id], map[string]any{"content": content, "spoiler_text": "", "created_at": at, "media_attachments": []any{}})
	s.push("status.update", s.status(id))
}

// Delete removes a status and its notification.
func (s *Server) Delete(id string) {
	s.Lock()
	defer s.Unlock()
	delete(s.statuses, id)
	s.push("delete", id)
	s.notifications = slices.DeleteFunc(s.notifications, func(n notification) bool { return n.status == id })
}

// Serve answers a call.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request) {
	if s.world != nil {
		s.Lock()
		s.URL = "http://" + r.Host
		s.Unlock()
		s.Mirror()
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	id := ""
	if len(parts) > 3 && parts[3] != "verify_credentials" {
		id, parts[3] = parts[3], ":id"
	}
	path := "/" + strings.Join(parts, "/")
	s.Lock()
	s.Calls[path]++
	fault := s.Fault
	s.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	s.Lock()
	defer s.Unlock()
	if !s.Reset.IsZero() {
		w.Header().Set("X-RateLimit-Limit", "300")
		w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(s.Remaining))
		w.Header().Set("X-RateLimit-Reset", s.Reset.UTC().Format("2006-01-02T15:04:05.000000Z"))
	}
	if r.Header.Get("Authorization") != "Bearer "+Token {
		Answer(w, http.StatusUnauthorized, map[string]string{"error": "The access token is invalid"})
		return
	}
	switch path {
	case "/api/v1/accounts/verify_credentials":
		Answer(w, http.StatusOK, s.account(Me))
	case "/api/v1/accounts/:id":
		if s.Accounts[id] == "" {
			notFound(w)
			return
		}
		Answer(w, http.StatusOK, s.account(id))
	case "/api/v1/accounts/:id/statuses":
		var ids []string
		for _, st := range s.statuses {
			if st.AuthorID == id {
				ids = append(ids, st.ID)
			}
		}
		var out []any
		for _, id := range s.page(ids, r.URL.Query(), 40) {
			out = append(out, s.status(id))
		}
		Answer(w, http.StatusOK, list(out))
	case "/api/v1/notifications":
		byID := map[string]string{}
		var ids []string
		for _, n := range s.notifications {
			byID[n.id] = n.status
			ids = append(ids, n.id)
		}
		var out []any
		for _, id := range s.page(ids, r.URL.Query(), 80) {
			out = append(out, s.notification(notification{id: id, status: byID[id]}))
		}
		Answer(w, http.StatusOK, list(out))
	case "/api/v1/statuses/:id":
		if s.statuses[id] == nil {
			notFound(w)
			return
		}
		Answer(w, http.StatusOK, s.status(id))
	case "/api/v1/statuses/:id/context":
		if s.statuses[id] == nil {
			notFound(w)
			return
		}
		Answer(w, http.StatusOK, s.context(id))
	case "/api/v1/statuses/:id/history":
		if s.history[id] == nil {
			notFound(w)
			return
		}
		Answer(w, http.StatusOK, s.history[id])
	case "/api/v1/streaming":
		if !s.Sockets {
			notFound(w)
			return
		}
		s.stream(w, r, true)
	case "/api/v1/streaming/:id":
		if !s.Events {
			Answer(w, http.StatusBadRequest, map[string]string{"error": "only WebSocket"})
			return
		}
		s.stream(w, r, false)
	default:
		notFound(w)
	}
}

// page is Mastodon's paging: min_id takes the page just above, max_id the page just below, both newest first.
func (s *Server) page(ids []string, q url.Values, most int) []string {
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit > most {
		limit = most
	}
	if s.world != nil {
		s.world.Lock()
		limit = s.world.Fit(limit)
		s.world.Unlock()
	}
	slices.SortFunc(ids, compare)
	if low := q.Get("min_id"); low != "" && !s.NewestOnly {
		ids = slices.DeleteFunc(ids, func(id string) bool { return compare(id, low) <= 0 })
		ids = ids[:min(limit, len(ids))]
	} else {
		if high := q.Get("max_id"); high != "" {
			ids = slices.DeleteFunc(ids, func(id string) bool { return compare(id, high) >= 0 })
		}
		ids = ids[max(0, len(ids)-limit):]
	}
	slices.Reverse(ids)
	return ids
}

func compare(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func list(items []any) []any {
	if items == nil {
		return []any{}
	}
	return items
}

func (s *Server) account(id string) map[string]any {
	return map[string]any{
		"id": id, "acct": s.Accounts[id], "username": strings.Split(s.Accounts[id], "@")[0], "display_name": "Nama Orang", "bot": false,
		"followers_count": s.Followers, "following_count": 5, "statuses_count": 70, "created_at": "2020-01-01T00:00:00.000Z",
	}
}

func (s *Server) status(id string) any {
	st := s.statuses[id]
	if st.Raw != "" {
		return json.RawMessage(st.Raw)
	}
	out := map[string]any{
		"id": st.ID, "created_at": st.CreatedAt, "edited_at": st.EditedAt, "account": s.account(st.AuthorID), "content": st.Content, "spoiler_text": "", "visibility": st.Visibility,
		"language": "id", "in_reply_to_id": nil, "in_reply_to_account_id": nil, "favourites_count": 3, "reblogs_count": 1, "replies_count": len(s.children(id)),
		"url": s.URL + "/@" + s.Accounts[st.AuthorID] + "/" + st.ID, "media_attachments": []any{}, "reblog": nil,
	}
	if st.ReplyTo != "" {
		out["in_reply_to_id"] = st.ReplyTo
		out["in_reply_to_account_id"] = "99"
		if parent := s.statuses[st.ReplyTo]; parent != nil {
			out["in_reply_to_account_id"] = parent.AuthorID
		}
	}
	mentions := []any{}
	for _, m := range st.Mentions {
		mentions = append(mentions, map[string]any{"id": m, "acct": s.Accounts[m], "username": strings.Split(s.Accounts[m], "@")[0], "url": s.profile(m)})
	}
	out["mentions"] = mentions
	return out
}

func (s *Server) profile(id string) string { return s.URL + "/@" + s.Accounts[id] }

// Mention is the HTML of a mention, as Mastodon writes it: the host is only in the address.
func (s *Server) Mention(id string) string {
	return fmt.Sprintf(`<span class="h-card"><a href="%s" class="u-url mention">@<span>%s</span></a></span>`, s.profile(id), strings.Split(s.Accounts[id], "@")[0])
}

func (s *Server) children(id string) []string {
	var ids []string
	for _, st := range s.statuses {
		if st.ReplyTo == id {
			ids = append(ids, st.ID)
		}
	}
	slices.SortFunc(ids, compare)
	return ids
}

func (s *Server) context(id string) map[string]any {
	var ancestors, descendants []any
	for at := s.statuses[id].ReplyTo; s.statuses[at] != nil; at = s.statuses[at].ReplyTo {
		ancestors = append([]any{s.status(at)}, ancestors...)
	}
	var below func(string)
	below = func(id string) {
		for _, child := range s.children(id) {
			descendants = append(descendants, s.status(child))
			below(child)
		}
	}
	below(id)
	return map[string]any{"ancestors": list(ancestors), "descendants": list(descendants)}
}

// Limited answers 429 as Mastodon does: calls are taken again at reset.
func Limited(w http.ResponseWriter, reset time.Time) {
	w.Header().Set("X-RateLimit-Limit", "300")
	w.Header().Set("X-RateLimit-Remaining", "0")
	w.Header().Set("X-RateLimit-Reset", reset.UTC().Format("2006-01-02T15:04:05.000000Z"))
	Answer(w, http.StatusTooManyRequests, map[string]string{"error": "Too many requests"})
}

func notFound(w http.ResponseWriter) {
	Answer(w, http.StatusNotFound, map[string]string{"error": "Record not found"})
}

// Answer writes a JSON answer.
func Answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	// A client that has gone away is not the server's concern.
	_ = json.NewEncoder(w).Encode(v)
}
