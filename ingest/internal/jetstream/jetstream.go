// Package jetstream reads the public conversation of all official Bluesky accounts from Jetstream, the network's stream of events: what addresses them as it is
// written, and the edits, deletions and accounts' ends of what was read. README.md says how.
package jetstream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/dwiarah/dwiarah/ingest/internal/bluesky"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Name chooses this source in the configuration.
const Name = "jetstream"

// Platform is what the registry of package ingest takes.
func Platform() source.Platform {
	return source.Platform{
		New:      func(env source.Environment) (source.Source, error) { return newSource(env) },
		Settings: func() any { return defaults() },
		All:      schemas.PlatformBluesky,
	}
}

// Settings are Jetstream's own.
type Settings struct {
	// Wire is v2 (network.bsky.jetstream.subscribeEvents) or v1 (/subscribe).
	Wire string `koanf:"wire"`
	// Compress asks for zstd with a dictionary: that of the server on v2; on v1 it needs Dictionary, and is permessage-deflate without.
	Compress bool `koanf:"compress"`
	// Dictionary is the path of v1's dictionary, which Jetstream's repository holds.
	Dictionary string `koanf:"dictionary"`
	// AppView answers what the stream cannot: the DIDs of handles, re-reads, what came before the server's memory.
	AppView string `koanf:"appview"`
}

const (
	wireOne = "v1"
	wireTwo = "v2"
)

func defaults() *Settings {
	return &Settings{Wire: wireTwo, Compress: true, AppView: "https://public.api.bsky.app"}
}

// Validate reports every bad value.
func (s *Settings) Validate(report config.Report) {
	if s.Wire != wireOne && s.Wire != wireTwo {
		report("wire", s.Wire, wireTwo+" or "+wireOne)
	}
	if s.Dictionary != "" && s.Wire != wireOne {
		report("dictionary", s.Dictionary, "nothing: on "+wireTwo+" the server gives its dictionary itself")
	}
}

// defaultBase is one of Bluesky's own servers.
const defaultBase = "https://jetstream2.us-east.bsky.network"

// Source reads for all official accounts. It is used by one poll or stream at a time, and one re-read beside.
type Source struct {
	env       source.Environment
	settings  Settings
	client    *web.Client
	api       *bluesky.API
	dict      []byte // of v1
	beat      time.Duration
	connector string
}

// callsPerWindow and window spread connections and questions to the stream's server.
const (
	callsPerWindow = 60
	window         = time.Minute
)

func newSource(env source.Environment) (*Source, error) {
	s := &Source{env: env, settings: *defaults(), beat: beatEvery}
	if own, ok := env.Settings.(*Settings); ok {
		s.settings = *own
	}
	base := cmp.Or(env.Config.BaseURL, defaultBase)
	if rest, ok := strings.CutPrefix(base, "ws"); ok {
		base = "http" + rest
	}
	var err error
	if s.client, err = web.NewClient(base, env.Config.Token.Reveal(), web.NewBudget(callsPerWindow, window, env.Now, nil), env.Config.AllowPrivate); err != nil {
		return nil, err
	}
	s.client.Judge = func(status int, _ http.Header, body []byte) web.Verdict {
		var f struct {
			Error string `json:"error"`
		}
		if status < 400 || json.Unmarshal(body, &f) != nil {
			return web.Verdict{}
		}
		return web.Verdict{Code: web.Word(f.Error)}
	}
	if s.api, err = bluesky.NewAPI(s.settings.AppView, "", "", env.Directory, env.Config.AllowPrivate, env.Now); err != nil {
		return nil, fmt.Errorf("settings.appview: %w", err)
	}
	if s.settings.Dictionary != "" {
		if s.dict, err = os.ReadFile(s.settings.Dictionary); err != nil {
			return nil, fmt.Errorf("settings.dictionary: %w", err)
		}
		if _, err := dictionaryID(s.dict); err != nil {
			return nil, fmt.Errorf("settings.dictionary: %q: %w", s.settings.Dictionary, err)
		}
	}
	s.connector = "bluesky:jetstream:" + s.client.Base.Host
	return s, nil
}

// Connector names the source: bluesky, jetstream, the server.
func (s *Source) Connector() string { return s.connector }

// Close releases idle connections.
func (s *Source) Close() {
	s.client.Close()
	s.api.Client.Close()
}

// Check asks for the official accounts and opens the stream.
func (s *Source) Check(ctx context.Context) error {
	if err := s.api.Resolve(ctx); err != nil {
		return err
	}
	stream, _, err := s.open(ctx, cursor{})
	if err != nil {
		return web.AsSourceError(err)
	}
	stream.Close()
	return nil
}

// cursor is where the stream goes on.
type cursor struct {
	// Host whose numbers Seq are.
	Host string `json:"host"`
	Seq  int64  `json:"seq,omitempty"`
	// TimeUS is when the last event was seen by the server, in Unix microseconds: it serves any server.
	TimeUS int64 `json:"time_us"`
}

// rewind is how much earlier a stream goes on at another server, whose clock is another.
const rewind = 5 * time.Second

// parameter is the cursor as the server takes it: a number below 1e15 is one of its own, above it is a time.
func (c cursor) parameter(host string) string {
	switch {
	case c.Seq > 0 && c.Host == host:
		return strconv.FormatInt(c.Seq, 10)
	case c.TimeUS > 0 && c.Host == host:
		return strconv.FormatInt(c.TimeUS, 10)
	case c.TimeUS > 0:
		return strconv.FormatInt(c.TimeUS-rewind.Microseconds(), 10)
	}
	return ""
}

func (c cursor) time() time.Time { return time.UnixMicro(c.TimeUS).UTC() }

// unpack turns a frame as it came into JSON.
type unpack func(frame []byte) ([]byte, error)

// open connects.
func (s *Source) open(ctx context.Context, at cursor) (web.Stream, unpack, error) {
	query := url.Values{}
	if p := at.parameter(s.client.Base.Host); p != "" {
		query.Set("cursor", p)
	}
	if s.settings.Wire == wireOne {
		query.Set("wantedCollections", bluesky.Collection)
		plain := func(frame []byte) ([]byte, error) { return frame, nil }
		if !s.settings.Compress || s.dict == nil {
			stream, err := s.client.WebSocket(ctx, web.Call{Path: "/subscribe", Query: query}, web.WebSocketOptions{Deflate: s.settings.Compress})
			return stream, plain, err
		}
		query.Set("compress", "true")
		decode, err := decoder(s.dict)
		if err != nil {
			return nil, nil, err
		}
		stream, err := s.client.WebSocket(ctx, web.Call{Path: "/subscribe", Query: query}, web.WebSocketOptions{})
		return stream, decode, err
	}
	query["kinds"] = []string{kindCommit, kindAccount}
	query.Set("collections", bluesky.Collection)
	decode := func(frame []byte) ([]byte, error) { return frame, nil }
	if s.settings.Compress {
		var dict []byte
		if _, err := s.client.Do(ctx, web.Call{Path: "/xrpc/network.bsky.jetstream.getZstdDictionary", Raw: true}, &dict); err != nil {
			return nil, nil, err
		}
		id, err := dictionaryID(dict)
		if err == nil {
			decode, err = decoder(dict)
		}
		if err != nil {
			return nil, nil, &web.Error{Kind: web.NotJSON, Path: "/xrpc/network.bsky.jetstream.getZstdDictionary", Err: err}
		}
		query.Set("zstdDictionary", strconv.FormatUint(uint64(id), 10))
	}
	stream, err := s.client.WebSocket(ctx, web.Call{Path: "/xrpc/network.bsky.jetstream.subscribeEvents", Query: query}, web.WebSocketOptions{Subprotocols: []string{"xrpc.v1.json"}})
	return stream, decode, err
}

// dictionaryMagic begins a zstd dictionary (RFC 8878, section 5); its number follows.
const dictionaryMagic = 0xEC30A437

func dictionaryID(dict []byte) (uint32, error) {
	if len(dict) < 8 || binary.LittleEndian.Uint32(dict) != dictionaryMagic {
		return 0, errors.New("it is no zstd dictionary")
	}
	return binary.LittleEndian.Uint32(dict[4:]), nil
}

// maxEvent is the largest event, decompressed.
const maxEvent = 4 << 20

func decoder(dict []byte) (unpack, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderDicts(dict), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxEvent))
	if err != nil {
		return nil, fmt.Errorf("reading the dictionary: %w", err)
	}
	var buffer []byte
	return func(frame []byte) ([]byte, error) {
		var err error
		buffer, err = d.DecodeAll(frame, buffer[:0])
		return buffer, err
	}, nil
}

// Stream follows the stream from the cursor.
func (s *Source) Stream(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	return s.follow(ctx, raw, emit, time.Time{})
}

// Poll reads the stream from the cursor until it has reached the present.
func (s *Source) Poll(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	return s.follow(ctx, raw, emit, s.env.Now())
}

func (s *Source) follow(ctx context.Context, raw json.RawMessage, emit source.Emit, end time.Time) error {
	var at cursor
	if raw != nil {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&at); err != nil {
			return fmt.Errorf("reading the cursor of %s: %w", s.connector, err)
		}
	}
	if err := s.api.Resolve(ctx); err != nil {
		return err
	}
	begun := s.env.Now().UTC()
	stream, decode, err := s.open(ctx, at)
	var call *web.Error
	switch {
	case errors.As(err, &call) && call.Code == "CursorTooOld":
		return s.catchUp(ctx, at, begun, emit)
	case err != nil && ctx.Err() == nil:
		return web.AsSourceError(err)
	case err != nil:
		return err
	}
	r := s.reader(at, emit)
	r.end, r.begun = end, begun
	err = web.Follow(ctx, stream, s.beat, func(f web.Frame) error {
		frame, err := decode(f.Data)
		if err != nil {
			return &source.Error{Gap: schemas.GapOutage, Err: errors.New("the stream's compression breaks off")}
		}
		return r.take(ctx, frame)
	}, func(time.Duration) error { return r.look(ctx) })
	switch {
	case errors.Is(err, errEnd):
		return nil
	case errors.Is(err, errClamped):
		return s.catchUp(ctx, at, begun, emit)
	case errors.As(err, &call):
		return web.AsSourceError(err)
	}
	return err
}

// catchUp reads what the server has no longer over the interface: the threads of the official accounts. Mentions outside of them need a session and stay lost, so
// there is a hole, and the stream goes on behind it.
func (s *Source) catchUp(ctx context.Context, at cursor, until time.Time, emit source.Emit) error {
	if err := s.threads(ctx, at.time(), until, emit); err != nil {
		return err
	}
	b, err := json.Marshal(cursor{Host: s.client.Base.Host, TimeUS: until.UnixMicro()})
	if err != nil {
		return err
	}
	if err := emit(ctx, source.Page{Cursor: b}); err != nil {
		return err
	}
	return &source.Error{Gap: schemas.GapClamp, Err: fmt.Errorf("the server remembers nothing as old as %s; the threads were read over the interface, mentions outside of them were not", at.time().Format(time.RFC3339))}
}

func (s *Source) threads(ctx context.Context, since, until time.Time, emit source.Emit) error {
	for i := range s.env.Directory.All() {
		in := &s.env.Directory.All()[i]
		for _, account := range in.Accounts[schemas.PlatformBluesky] {
			err := s.api.Threads(ctx, source.Account{Institution: in, Account: account}, since, until, emit)
			if web.IsGone(err) { // it has no threads, and must not keep the others from theirs
				s.env.Log.Warn("an official account is not there", "institution", in.ID, "account", account.Name(), "error", err)
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Backfill reads the threads of the official accounts over the interface.
func (s *Source) Backfill(ctx context.Context, since, until time.Time, emit source.Emit) error {
	return s.threads(ctx, since, until, emit)
}

// Rechecks says that a re-read costs a call for 25 messages; the stream itself tells of edits and deletions.
func (s *Source) Rechecks() source.Rechecks { return source.Rechecks{Batch: 25} }

// Recheck reads posts again over the interface.
func (s *Source) Recheck(ctx context.Context, known []source.Known) ([]source.Finding, error) {
	return s.api.Recheck(ctx, source.Account{}, known, s.env.Known)
}

const (
	// beatEvery is how often the stream is looked at, completeEvery how often its coverage is written at least.
	beatEvery     = 2 * time.Second
	completeEvery = 20 * time.Second
	// silentFor is how long the stream may be silent: the network never is.
	silentFor = time.Minute
	// gatherMost and gatherFor bound what is gathered before it is made durable.
	gatherMost = 100
	gatherFor  = 500 * time.Millisecond
	// clampAge and clampHole tell that /subscribe has begun later than it was asked to, which it does not say: only a cursor of such an age is cut, and the network
	// is never silent for so long.
	clampAge  = 24 * time.Hour
	clampHole = 5 * time.Minute
)

var (
	errEnd     = errors.New("the present")
	errClamped = errors.New("the server began later than the cursor")
)

// reader folds the stream into pages.
type reader struct {
	*Source
	filter filter
	emit   source.Emit
	at     cursor
	from   cursor // where it began
	begun  time.Time
	end    time.Time // where to stop; zero for never

	last     []byte    // the last frame
	lastAt   time.Time // when it came
	first    time.Time // of the first event
	frames   int64
	page     source.Page
	gathered time.Time                   // since when something is in the page
	pending  map[string]*schemas.Message // what is in the page, by id
	complete time.Time                   // when coverage was last written
	quiet    int64                       // frames at the last beat
}

func (s *Source) reader(at cursor, emit source.Emit) *reader {
	r := &reader{Source: s, emit: emit, at: at, from: at, lastAt: time.Now(), complete: time.Now(), pending: map[string]*schemas.Message{}, filter: filter{dids: s.api.Officials()}}
	for _, in := range s.env.Directory.All() {
		for _, k := range in.Keywords {
			if k = strings.ToLower(strings.TrimSpace(k)); k != "" {
				r.filter.keywords = append(r.filter.keywords, []byte(k))
			}
		}
	}
	return r
}

// take takes one frame.
func (r *reader) take(ctx context.Context, frame []byte) error {
	r.frames++
	r.last = append(r.last[:0], frame...)
	if r.frames == 1 {
		if err := r.begin(frame); err != nil {
			return err
		}
	}
	if r.filter.passes(frame) {
		if err := r.fold(frame); err != nil {
			return err
		}
	}
	if len(r.page.Items) >= gatherMost || !r.gathered.IsZero() && r.frames%64 == 0 && time.Since(r.gathered) > gatherFor {
		return r.flush(ctx, false)
	}
	return nil
}

// begin looks whether the stream begins where it was asked to.
func (r *reader) begin(frame []byte) error {
	e, err := parse(frame)
	if err != nil || e.Info != "" {
		return nil
	}
	r.first = e.Time
	asked := r.from.time()
	if r.settings.Wire == wireOne && r.from.TimeUS > 0 && r.begun.Sub(asked) > clampAge && e.Time.Sub(asked) > clampHole {
		return errClamped
	}
	return nil
}

// fold takes an event that may concern somebody. One that cannot be read goes to the dead letters.
func (r *reader) fold(frame []byte) error {
	e, err := parse(frame)
	switch {
	case err != nil:
		r.add(source.Item{Err: &schemas.FieldError{Reason: schemas.DeadMalformed, Key: "event", Allowed: "an event of Jetstream"}, Original: slices.Clone(frame)})
		return nil
	case e.Failure != "":
		return &source.Error{Gap: schemas.GapOutage, Err: fmt.Errorf("the server ends the stream: %q", web.Word(e.Failure))}
	case e.Info == "OutdatedCursor":
		return errClamped
	case e.Seq > 0 && e.Seq <= r.from.Seq && r.from.Host == r.client.Base.Host:
		return nil // a cursor is inclusive
	case e.Kind == kindAccount:
		r.account(e)
		return nil
	}
	uri := e.uri()
	if uri == "" {
		return nil
	}
	known := r.known(uri)
	switch {
	case e.Operation == "delete" && known != nil:
		m := *known
		at := e.Time
		now := r.env.Now().UTC()
		m.DeletedAt, m.ObservedAt, m.Text, m.URL, m.Likes, m.Replies, m.Shares = &at, &now, "", "", nil, nil, nil
		r.add(source.Item{Message: &m})
	case e.Operation == "create" || e.Operation == "update":
		item := r.api.Item(uri, e.Record, e.Time, frame)
		if item.Message == nil {
			if known != nil || r.filter.names(frame) {
				r.add(item)
			}
			return nil
		}
		if known == nil && !r.concerns(item) {
			return nil
		}
		if e.Operation == "update" {
			at := e.Time
			item.Message.EditedAt = &at
			if known != nil { // also where it is not emitted yet, so that the poller does not know it
				item.Message.CreatedAt = known.CreatedAt
			}
		}
		r.add(item)
	}
	return nil
}

// known finds a message that is kept, or about to be.
func (r *reader) known(uri string) *schemas.Message {
	if m := r.pending[uri]; m != nil {
		return m
	}
	if k, found := r.env.Known(uri); found {
		return &k.Message
	}
	return nil
}

// concerns tells whether a post names an official account: as its author, the parent's, the root's, in a mention or a quote. Keywords are package identity's
// matter; a post that may have one goes on to it.
func (r *reader) concerns(i source.Item) bool {
	if len(r.filter.keywords) > 0 {
		return true
	}
	official := func(name string) bool {
		in, _ := r.env.Directory.Owner(schemas.PlatformBluesky, name)
		return name != "" && in != nil
	}
	m := i.Message
	return official(m.AuthorID) || official(m.ParentAuthorID) || official(i.RootAuthorID) || slices.ContainsFunc(m.Mentions, official)
}

// account takes the change of an account of which something is known.
func (r *reader) account(e event) {
	author := r.api.Author(e.DID)
	if !r.env.KnownAuthor(author) && !slices.ContainsFunc(r.page.Items, func(i source.Item) bool { return i.Message != nil && i.Message.AuthorID == author }) {
		return
	}
	v := source.Visibility{AuthorID: author, At: e.Time}
	switch {
	case e.Active:
		v.State = schemas.VisibilityShown
	case e.Status == "deleted":
		v.State = schemas.VisibilityDeleted
	case e.Status == "takendown" || e.Status == "suspended":
		v.State, v.Reason = schemas.VisibilityHidden, schemas.HiddenSuspended
	case e.Status == "deactivated":
		v.State, v.Reason = schemas.VisibilityHidden, schemas.HiddenProtected
	default: // a server that lags says nothing of the person
		return
	}
	r.page.Visible = append(r.page.Visible, v)
	r.touch()
}

func (r *reader) add(i source.Item) {
	r.page.Items = append(r.page.Items, i)
	if i.Message != nil {
		r.pending[i.Message.MessageID] = i.Message
		if i.Message.DeletedAt != nil {
			delete(r.pending, i.Message.MessageID)
		}
	}
	r.touch()
}

func (r *reader) touch() {
	if r.gathered.IsZero() {
		r.gathered = time.Now()
	}
}

// look is called while the other side lives.
func (r *reader) look(ctx context.Context) error {
	moved := r.frames != r.quiet
	r.quiet = r.frames
	if moved {
		r.lastAt = time.Now()
	}
	if silent := time.Since(r.lastAt); silent > silentFor {
		return &source.Error{Gap: schemas.GapOutage, Err: fmt.Errorf("no event for %s", silent.Round(time.Second))}
	}
	present := !r.end.IsZero() && (!moved || !r.now().Before(r.end))
	if present || !r.gathered.IsZero() || time.Since(r.complete) > completeEvery {
		if err := r.flush(ctx, true); err != nil {
			return err
		}
	}
	if present {
		return errEnd
	}
	return nil
}

// now is the time of the last event.
func (r *reader) now() time.Time {
	if e, err := parse(r.last); len(r.last) > 0 && err == nil {
		return e.Time
	}
	return time.Time{}
}

// flush emits what is gathered, with the place of the last frame.
func (r *reader) flush(ctx context.Context, complete bool) error {
	page := r.page
	if e, err := parse(r.last); len(r.last) > 0 && err == nil && !e.Time.IsZero() && e.Kind != "" {
		r.at = cursor{Host: r.client.Base.Host, Seq: e.Seq, TimeUS: e.Time.UnixMicro()}
		b, err := json.Marshal(r.at)
		if err != nil {
			return err
		}
		page.Cursor = b
		if complete {
			page.CompleteSince, page.CompleteUntil = r.first, earlier(e.Time, r.env.Now().UTC())
			if page.CompleteSince.IsZero() || page.CompleteSince.After(page.CompleteUntil) {
				page.CompleteSince = page.CompleteUntil
			}
			r.complete = time.Now()
		}
	}
	if err := r.emit(ctx, page); err != nil {
		return err
	}
	r.page, r.gathered = source.Page{}, time.Time{}
	clear(r.pending)
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
