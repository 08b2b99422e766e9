// Package jetstreamtest speaks both of Jetstream's wires over a list of events, for tests.
package jetstreamtest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"

	"github.com/dwiarah/dwiarah/ingest/internal/bluesky/blueskytest"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
)

// Event is one event.
type Event struct {
	DID  string
	Time time.Time
	// Of a commit; empty for an account's.
	Operation, Key string
	Record         any
	// Of an account.
	Active bool
	Status string
}

// Server is a stream of events; the first one has the number 1.
type Server struct {
	// Dictionary compresses; nil where there is none.
	Dictionary []byte

	mu      sync.Mutex
	events  []Event
	floor   int64 // the first number that is remembered
	more    *sync.Cond
	opened  int
	breaks  int // how often streams were broken
	stopped bool

	mirrored map[string]conversation.Post // what the stream has told of the world, by id
}

// New returns a handler with a dictionary made of samples.
func New() *Server {
	s := &Server{floor: 1}
	s.more = sync.NewCond(&s.mu)
	var samples [][]byte
	history := []byte{}
	for n := range 200 {
		b := Frame("v2", int64(n), Event{DID: fmt.Sprintf("did:plc:%020d", n*n), Time: time.Unix(int64(n), 0), Operation: "create", Key: fmt.Sprint("3k", n*7), Record: map[string]any{"$type": "app.bsky.feed.post", "text": fmt.Sprint("halo semua ", n), "langs": []string{"id"}}})
		samples, history = append(samples, b), append(history, b...)
	}
	dict, err := zstd.BuildDict(zstd.BuildDictOptions{ID: 77, Contents: samples, History: history[:min(len(history), 16<<10)], Offsets: [3]int{1, 4, 8}})
	if err != nil {
		panic(err) // the samples are ours
	}
	s.Dictionary = dict
	return s
}

// Push appends events.
func (s *Server) Push(events ...Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
	s.more.Broadcast()
}

// Mirror pushes what the world behind a view has become since the last time.
func (s *Server) Mirror(view *blueskytest.Server, now time.Time) {
	view.World.Lock()
	defer view.World.Unlock()
	before, after := s.mirrored, map[string]conversation.Post{}
	for _, p := range view.World.Posts {
		after[p.ID] = p
		operation := "create"
		if old, had := before[p.ID]; had {
			operation = "update"
			if old.Text == p.Text {
				continue
			}
		}
		s.Push(Event{DID: blueskytest.DID(p.Author), Time: now, Operation: operation, Key: p.ID, Record: view.Record(p)})
	}
	for id, old := range before {
		if _, there := after[id]; !there {
			s.Push(Event{DID: blueskytest.DID(old.Author), Time: now, Operation: "delete", Key: id})
		}
	}
	s.mirrored = after
}

// Forget lets the server remember nothing before its next event.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floor = int64(len(s.events)) + 1
}

// Break ends all streams.
func (s *Server) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breaks++
	s.more.Broadcast()
}

// Stop ends all streams for good.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.more.Broadcast()
}

// Opened is how many streams were opened.
func (s *Server) Opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// Frame writes an event in a wire.
func Frame(wire string, seq int64, e Event) []byte {
	var v any
	at := e.Time.UTC()
	account := map[string]any{"did": e.DID, "active": e.Active, "seq": 5, "time": at}
	if e.Status != "" {
		account["status"] = e.Status
	}
	commit := map[string]any{"rev": "3krev", "operation": e.Operation, "collection": "app.bsky.feed.post", "rkey": e.Key}
	if e.Record != nil {
		commit["record"], commit["cid"] = e.Record, "bafyreicid"
	}
	switch {
	case wire == "v1" && e.Operation != "":
		v = map[string]any{"did": e.DID, "time_us": at.UnixMicro(), "kind": "commit", "commit": commit, "cursor": seq}
	case wire == "v1":
		v = map[string]any{"did": e.DID, "time_us": at.UnixMicro(), "kind": "account", "account": account, "cursor": seq}
	case e.Operation != "":
		commit["$type"], commit["seq"], commit["did"], commit["time"] = "network.bsky.jetstream.subscribeEvents#commit", seq, e.DID, at.Format("2006-01-02T15:04:05.000000Z")
		v = map[string]any{"$type": "message", "payload": commit}
	default:
		v = map[string]any{"$type": "message", "payload": map[string]any{
			"$type": "network.bsky.jetstream.subscribeEvents#account", "seq": seq, "did": e.DID, "time": at.Format("2006-01-02T15:04:05.000000Z"), "account": account,
		}}
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own values
	}
	return b
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(word, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":%q,"message":%q}`, word, message)
	}
	q := r.URL.Query()
	wire, compress := "v2", q.Has("zstdDictionary")
	switch r.URL.Path {
	case "/xrpc/network.bsky.jetstream.getZstdDictionary":
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(s.Dictionary) // a client that has gone away is not the server's concern
		return
	case "/xrpc/network.bsky.jetstream.subscribeEvents":
		if compress && q.Get("zstdDictionary") != fmt.Sprint(binary.LittleEndian.Uint32(s.Dictionary[4:])) {
			refuse("UnknownZstdDictionary", "another")
			return
		}
	case "/subscribe":
		wire, compress = "v1", q.Get("compress") == "true"
	default:
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	next := int64(len(s.events)) + 1
	if at, err := strconv.ParseInt(q.Get("cursor"), 10, 64); err == nil {
		next = at
		if at >= 1e15 {
			next = 1
			for next <= int64(len(s.events)) && s.events[next-1].Time.UnixMicro() < at {
				next++
			}
		}
	}
	floor := s.floor
	s.mu.Unlock()
	if next < floor {
		if wire == "v2" {
			refuse("CursorTooOld", fmt.Sprintf("floor=%d", floor))
			return
		}
		next = floor
	}
	options := &websocket.AcceptOptions{Subprotocols: []string{"xrpc.v1.json"}}
	if wire == "v1" && !compress && strings.Contains(r.Header.Get("Sec-WebSocket-Extensions"), "deflate") {
		options.CompressionMode = websocket.CompressionContextTakeover
	}
	conn, err := websocket.Accept(w, r, options)
	if err != nil {
		return
	}
	defer conn.CloseNow() //nolint:errcheck // The test is over.
	ctx := conn.CloseRead(r.Context())
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderDict(s.Dictionary), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return
	}
	defer enc.Close() //nolint:errcheck // It writes to nothing.
	s.mu.Lock()
	s.opened++
	breaks := s.breaks
	s.mu.Unlock()
	for {
		s.mu.Lock()
		for next > int64(len(s.events)) && s.breaks == breaks && !s.stopped {
			s.more.Wait()
		}
		if s.breaks != breaks || s.stopped {
			s.mu.Unlock()
			return
		}
		e := s.events[next-1]
		s.mu.Unlock()
		frame, kind := Frame(wire, next, e), websocket.MessageText
		if compress {
			frame, kind = enc.EncodeAll(frame, nil), websocket.MessageBinary
		}
		if conn.Write(ctx, kind, frame) != nil {
			return
		}
		next++
	}
}
