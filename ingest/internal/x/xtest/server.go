// Package xtest is a server that speaks as much of X's API v2 as the source reads, over a world of conversations, for tests: with its paging, its ids, its
// problems, and its bill.
package xtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
)

// Token is the one that the server takes.
const Token = "bearer-of-the-test"

// OfficialID is the id of the world's official account.
const OfficialID = "100"

// Prices in millionths of a dollar.
const (
	PostPrice = 5_000
	UserPrice = 10_000
)

// Bill is what X charges: each resource once in a UTC day.
type Bill struct {
	mu    sync.Mutex
	Days  map[string]int64 // millionths of a dollar by day
	Posts map[string]bool  // every post that was read
	paid  map[string]bool
}

// NewBill returns an empty bill.
func NewBill() *Bill {
	return &Bill{Days: map[string]int64{}, Posts: map[string]bool{}, paid: map[string]bool{}}
}

func (b *Bill) charge(now time.Time, kind, id string, price int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if kind == "post" {
		b.Posts[id] = true
	}
	day := now.UTC().Format(time.DateOnly)
	if key := day + kind + id; !b.paid[key] {
		b.paid[key] = true
		b.Days[day] += price
	}
}

// Server speaks X over one world. Its fields are set before it is called, or under the world's lock.
type Server struct {
	World *conversation.World
	Now   func() time.Time
	Bill  *Bill // nil for none; servers of several worlds may share one
	// Renamed uses the newer spelling: referenced_posts and so on.
	Renamed bool
	// Withheld are posts that are withheld in Indonesia.
	Withheld map[string]bool
	// Suspended are authors whose accounts are suspended, as a compliance job says.
	Suspended map[string]bool
	// Calls counts calls by path, ids replaced by :id.
	Calls map[string]int

	mu       sync.Mutex
	rules    []map[string]string
	job      []string
	streams  map[chan string]struct{}
	mirrored map[string]string // by post, the version that was pushed last
}

const (
	// waiting is how many lines a stream that is not read may hold back before it is ended.
	waiting = 1000
	// keepAlive is how often a silent stream gets an empty line.
	keepAlive = 10 * time.Second
)

// epochMs is when the ids of X begin to count.
const epochMs = 1288834974657

// ID is X's id of a post of the world: it tells when the post was written.
func ID(id string) string {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return id
	}
	return snowflake(conversation.Start.Add(time.Duration(n-1000)*time.Second), n)
}

func snowflake(at time.Time, n int64) string {
	return strconv.FormatInt((at.UnixMilli()-epochMs)<<22|n&seqBits, 10)
}

// find returns the post that X knows by that id, or nil: its last bits are those of the id in the world. The caller holds the world's lock.
func (s *Server) find(id string) *conversation.Post {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil
	}
	for _, p := range s.World.Posts {
		if own, err := strconv.ParseInt(p.ID, 10, 64); err == nil && own&seqBits == n&seqBits {
			return s.World.Find(p.ID)
		}
	}
	return nil
}

// seqBits are those of an id that are left beside its time.
const seqBits = 0x3fffff

// charge puts a resource on the bill. Worlds count their ids alike, so the account's name tells them apart.
func (s *Server) charge(kind, id string, price int64) {
	s.Bill.charge(s.Now(), kind, s.World.Official+" "+id, price)
}

func (s *Server) versions(p conversation.Post) []string {
	ids := []string{ID(p.ID)}
	if p.Edited != nil {
		n, _ := strconv.ParseInt(p.ID, 10, 64)
		ids = append(ids, snowflake(*p.Edited, n))
	}
	return ids
}

// UserID is X's id of an author.
func (s *Server) UserID(author string) string {
	if author == s.World.Official {
		return OfficialID
	}
	return "90" + strings.TrimPrefix(author, "warga")
}

func (s *Server) user(author string) map[string]any {
	return map[string]any{
		"id": s.UserID(author), "username": author, "name": "Nama Orang", "created_at": "2020-01-01T00:00:00.000Z", "protected": false,
		"public_metrics": map[string]any{"followers_count": 1000, "following_count": 5, "tweet_count": 70},
	}
}

func (s *Server) post(p conversation.Post, id string) map[string]any {
	history := s.versions(p)
	at := p.Created
	if id != history[0] {
		at = *p.Edited
	}
	mention := s.World.Official
	conversation := p.ID
	if p.Root != "" {
		conversation = p.Root
	}
	out := map[string]any{
		"id": id, "text": "@" + mention + " " + p.Text, "author_id": s.UserID(p.Author), "conversation_id": ID(conversation), "created_at": at.UTC().Format("2006-01-02T15:04:05.000Z"),
		"lang": "in", "public_metrics": map[string]any{"like_count": 3, "reply_count": 1, "retweet_count": 2, "quote_count": 0, "impression_count": 40, "bookmark_count": 0},
	}
	if p.Author != s.World.Official {
		out["entities"] = map[string]any{"mentions": []any{map[string]any{"id": OfficialID, "username": mention}}}
	}
	spell := func(tweets, posts string) string {
		if s.Renamed {
			return posts
		}
		return tweets
	}
	out[spell("edit_history_tweet_ids", "edit_history_post_ids")] = history
	if len(p.Text) > 200 {
		out["text"] = out["text"].(string)[:200] + "…"
		out[spell("note_tweet", "note_post")] = map[string]any{"text": p.Text}
	}
	if p.Parent != "" {
		out[spell("referenced_tweets", "referenced_posts")] = []any{map[string]any{"type": "replied_to", "id": ID(p.Parent)}}
		if parent := s.World.Find(p.Parent); parent != nil {
			out["in_reply_to_user_id"] = s.UserID(parent.Author)
		}
	}
	if s.Withheld[p.ID] {
		out["withheld"] = map[string]any{"country_codes": []string{"ID"}, "copyright": false}
	}
	return out
}

// Event is one event of the stream that matches the account's rule.
func (s *Server) Event(p conversation.Post, tag string) string {
	s.World.Lock()
	defer s.World.Unlock()
	return s.event(p, []any{map[string]any{"id": "1", "tag": tag}})
}

// event is one of the newest version. The caller holds the world's lock.
func (s *Server) event(p conversation.Post, rules any) string {
	ids := s.versions(p)
	id := ids[len(ids)-1]
	s.charge("post", id, PostPrice)
	b, _ := json.Marshal(map[string]any{"data": s.post(p, id), "matching_rules": rules})
	return string(b)
}

// Push sends a line to all streams.
func (s *Server) Push(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.streams {
		select {
		case l <- line:
		default: // X ends the stream of who does not keep up
			close(l)
			delete(s.streams, l)
		}
	}
}

// Mirror pushes what the world has that it had not the last time: new posts, and new versions of edited ones. Every rule matches each of them.
func (s *Server) Mirror() {
	rules := s.Rules()
	s.World.Lock()
	defer s.World.Unlock()
	if s.mirrored == nil {
		s.mirrored = map[string]string{}
	}
	for _, p := range s.World.By(func(conversation.Post) bool { return true }) {
		ids := s.versions(p)
		if newest := ids[len(ids)-1]; s.mirrored[p.ID] != newest {
			s.mirrored[p.ID] = newest
			s.Push(s.event(p, rules))
		}
	}
}

// Streams is how many streams are open.
func (s *Server) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// BreakStreams ends all streams.
func (s *Server) BreakStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.streams {
		close(l)
	}
	clear(s.streams)
}

// ServeHTTP answers a call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	s.mu.Lock()
	if s.Calls == nil {
		s.Calls = map[string]int{}
	}
	shown := slices.Clone(parts)
	if len(shown) > 3 && shown[1] == "users" && shown[2] != "by" {
		shown[2] = ":id"
	}
	s.Calls["/"+strings.Join(shown, "/")]++
	s.mu.Unlock()
	if parts[0] == "storage" {
		s.storage(w, r, parts)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+Token {
		Problem(w, http.StatusUnauthorized, "Unauthorized", "about:blank")
		return
	}
	path := strings.Join(parts[1:], "/")
	switch {
	case path == "tweets/search/stream":
		s.stream(w, r)
	case path == "tweets/search/stream/rules":
		s.serveRules(w, r)
	case strings.HasPrefix(path, "compliance/jobs"):
		s.serveJob(w, r)
	case path == "tweets/search/recent" || path == "tweets/search/all":
		s.page(w, r, "next_token", 10, s.matches(r.URL.Query().Get("query")))
	case path == "tweets":
		s.lookup(w, strings.Split(r.URL.Query().Get("ids"), ","))
	case len(parts) == 5 && parts[2] == "by" && parts[4] == s.World.Official || len(parts) == 3 && parts[2] == OfficialID:
		s.charge("user", OfficialID, UserPrice)
		Answer(w, http.StatusOK, map[string]any{"data": s.user(s.World.Official)})
	case len(parts) == 4 && parts[2] == OfficialID && parts[3] == "tweets":
		s.page(w, r, "pagination_token", 5, func(p conversation.Post) bool { return p.Author == s.World.Official })
	case len(parts) == 4 && parts[2] == OfficialID && parts[3] == "mentions":
		s.page(w, r, "pagination_token", 5, func(p conversation.Post) bool { return p.Author != s.World.Official })
	case parts[1] == "users":
		Answer(w, http.StatusOK, map[string]any{"errors": []any{map[string]any{"title": "Not Found Error", "type": "https://api.twitter.com/2/problems/resource-not-found"}}})
	default:
		Problem(w, http.StatusNotFound, "Not Found", "about:blank")
	}
}

// matches reads a query of terms joined by OR.
func (s *Server) matches(query string) func(conversation.Post) bool {
	terms := strings.Split(query, " OR ")
	return func(p conversation.Post) bool {
		conversation := p.ID
		if p.Root != "" {
			conversation = p.Root
		}
		for _, term := range terms {
			official := p.Author == s.World.Official
			switch key, value, _ := strings.Cut(term, ":"); key {
			case "conversation_id":
				if ID(conversation) == value {
					return true
				}
			case "from":
				if official {
					return true
				}
			default:
				if !official {
					return true
				}
			}
		}
		return false
	}
}

func (s *Server) page(w http.ResponseWriter, r *http.Request, tokenName string, least int, keep func(conversation.Post) bool) {
	q := r.URL.Query()
	limit, err := strconv.Atoi(q.Get("max_results"))
	if err != nil || limit < least || limit > 100 {
		Problem(w, http.StatusBadRequest, "Invalid Request", "https://api.twitter.com/2/problems/invalid-request")
		return
	}
	s.World.Lock()
	defer s.World.Unlock()
	feed := s.World.By(func(p conversation.Post) bool {
		ids := s.versions(p)
		id := ids[len(ids)-1]
		return keep(p) && (q.Get("since_id") == "" || less(q.Get("since_id"), id)) && (q.Get("until_id") == "" || less(id, q.Get("until_id")))
	})
	at, _ := strconv.Atoi(q.Get(tokenName))
	page, next := s.World.Cut(feed, at, limit)
	meta := map[string]any{"result_count": len(page)}
	if next >= 0 {
		meta["next_token"] = strconv.Itoa(next)
	}
	var data []any
	for _, p := range page {
		ids := s.versions(p)
		id := ids[len(ids)-1]
		s.charge("post", id, PostPrice)
		data = append(data, s.post(p, id))
		if meta["newest_id"] == nil || less(meta["newest_id"].(string), id) {
			meta["newest_id"] = id
		}
		if meta["oldest_id"] == nil || less(id, meta["oldest_id"].(string)) {
			meta["oldest_id"] = id
		}
	}
	out := map[string]any{"meta": meta}
	if data != nil {
		out["data"] = data
	}
	Answer(w, http.StatusOK, out)
}

func (s *Server) lookup(w http.ResponseWriter, ids []string) {
	if len(ids) > 100 {
		Problem(w, http.StatusBadRequest, "Invalid Request", "https://api.twitter.com/2/problems/invalid-request")
		return
	}
	s.World.Lock()
	defer s.World.Unlock()
	var data, problems []any
	for _, id := range ids {
		p := s.find(id)
		kind := "resource-not-found"
		if p != nil && s.World.Protected[p.Author] {
			p, kind = nil, "not-authorized-for-resource"
		}
		if p == nil || s.World.Gone[p.Author] {
			problems = append(problems, map[string]any{"value": id, "resource_id": id, "resource_type": "tweet", "parameter": "ids", "title": "Not Found Error", "type": "https://api.twitter.com/2/problems/" + kind})
			continue
		}
		s.charge("post", id, PostPrice)
		data = append(data, s.post(*p, id))
	}
	out := map[string]any{}
	if data != nil {
		out["data"] = data
	}
	if problems != nil {
		out["errors"] = problems
	}
	Answer(w, http.StatusOK, out)
}

// Rules are the rules of the stream.
func (s *Server) Rules() []map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rules)
}

// AddRule adds a rule, as somebody else's program does.
func (s *Server) AddRule(value, tag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, map[string]string{"id": fmt.Sprint(len(s.rules) + 1), "value": value, "tag": tag})
}

func (s *Server) serveRules(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		var change struct {
			Add    []struct{ Value, Tag string }
			Delete struct{ IDs []string }
		}
		if json.NewDecoder(r.Body).Decode(&change) != nil {
			Problem(w, http.StatusBadRequest, "Invalid Request", "about:blank")
			return
		}
		s.mu.Lock()
		s.rules = slices.DeleteFunc(s.rules, func(rule map[string]string) bool { return slices.Contains(change.Delete.IDs, rule["id"]) })
		s.mu.Unlock()
		for _, a := range change.Add {
			s.AddRule(a.Value, a.Tag)
		}
	}
	Answer(w, http.StatusOK, map[string]any{"data": s.Rules(), "meta": map[string]any{}})
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	flush := http.NewResponseController(w)
	lines := make(chan string, waiting)
	s.mu.Lock()
	if s.streams == nil {
		s.streams = map[chan string]struct{}{}
	}
	s.streams[lines] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.streams, lines)
		s.mu.Unlock()
	}()
	_ = flush.Flush()
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		line, open := "", true
		select {
		case line, open = <-lines:
		case <-alive.C:
		case <-r.Context().Done():
			return
		}
		if !open {
			return
		}
		if _, err := io.WriteString(w, line+"\r\n"); err != nil {
			return
		}
		_ = flush.Flush()
	}
}

func (s *Server) serveJob(w http.ResponseWriter, r *http.Request) {
	base := "http://" + r.Host + "/storage/"
	job := map[string]any{"id": "7", "status": "created", "upload_url": base + "up?signature=s", "download_url": base + "down?signature=s"}
	s.mu.Lock()
	if s.job != nil && r.Method == http.MethodGet {
		job["status"] = "complete"
	}
	s.mu.Unlock()
	Answer(w, http.StatusOK, map[string]any{"data": job})
}

// storage stands for the other host that takes a job's ids and gives its result.
func (s *Server) storage(w http.ResponseWriter, r *http.Request, parts []string) {
	if r.Header.Get("Authorization") != "" {
		w.WriteHeader(http.StatusBadRequest) // the token is not for this host
		return
	}
	if parts[1] == "up" {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPut {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.job = strings.Fields(string(b))
		s.mu.Unlock()
		return
	}
	s.mu.Lock()
	ids := s.job
	s.mu.Unlock()
	s.World.Lock()
	defer s.World.Unlock()
	w.Header().Set("Content-Type", "application/octet-stream")
	for _, id := range ids {
		p := s.find(id)
		reason := ""
		switch {
		case p == nil:
			reason = "deleted"
		case s.World.Protected[p.Author]:
			reason = "protected"
		case s.Suspended[p.Author]:
			reason = "suspended"
		}
		if reason != "" {
			fmt.Fprintf(w, `{"id":%q,"action":"delete","created_at":"2026-03-01T08:00:00.000Z","redacted_at":"2026-03-01T12:00:00.000Z","reason":%q}`+"\n", id, reason)
		}
	}
}

// Limited answers 429 as X does, with the reset in Unix seconds.
func Limited(w http.ResponseWriter, reset time.Time) {
	w.Header().Set("x-rate-limit-limit", "300")
	w.Header().Set("x-rate-limit-remaining", "0")
	w.Header().Set("x-rate-limit-reset", strconv.FormatInt(reset.Unix(), 10))
	Problem(w, http.StatusTooManyRequests, "Too Many Requests", "about:blank")
}

// Problem answers with a problem as X writes one.
func Problem(w http.ResponseWriter, code int, title, kind string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	// A client that has gone away is not the server's concern.
	_ = json.NewEncoder(w).Encode(map[string]any{"title": title, "type": kind, "status": code, "detail": title})
}

// Answer writes a JSON answer.
func Answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func less(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}
