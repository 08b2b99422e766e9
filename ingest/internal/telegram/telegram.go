// Package telegram reads a channel's discussion group as a bot that is a member of it. README.md says what a bot does not get to see.
package telegram

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

const (
	defaultBase    = "https://api.telegram.org"
	callsPerMinute = 60
	perPage        = 100
	// kept is how long Telegram keeps updates, and restarts after how long without any their numbers begin anew.
	kept     = 24 * time.Hour
	restarts = 6 * 24 * time.Hour
	// maxThreads bounds the posts of the channel whose copies in the group are remembered.
	maxThreads = 2000
	// maxOriginal bounds what is kept of an update that cannot be read.
	maxOriginal = 64 << 10
)

// Platform is Telegram for the registry.
func Platform() source.Platform { return source.Platform{New: New} }

// Source reads for one channel.
type Source struct {
	env       source.Environment
	client    *web.Client
	connector string
	log       *slog.Logger

	mu     sync.Mutex
	chat   *chat
	size   *int64
	asked  time.Time
	change bool // the size was asked for since it was last told
}

// New makes a source that has called nobody yet.
func New(env source.Environment) (source.Source, error) { return newSource(env) }

func newSource(env source.Environment) (*Source, error) {
	if env.Config.Token.IsZero() {
		return nil, errors.New(`token: missing; allowed: "file:PATH" or "env:NAME" of a bot's token`)
	}
	client, err := web.NewClient(cmp.Or(env.Config.BaseURL, defaultBase), "", web.NewBudget(callsPerMinute, time.Minute, env.Now, nil), env.Config.AllowPrivate)
	if err != nil {
		return nil, err
	}
	client.Judge = judge
	return &Source{env: env, client: client, log: env.Log, connector: "telegram:" + env.Account.Account.Name()}, nil
}

// judge reads Telegram's own verdict, which stands in the body, the seconds to wait included.
func judge(_ int, _ http.Header, body []byte) web.Verdict {
	var a struct {
		OK         bool `json:"ok"`
		Code       int  `json:"error_code"`
		Parameters struct {
			RetryAfter int64 `json:"retry_after"`
		} `json:"parameters"`
	}
	if json.Unmarshal(body, &a) != nil || a.OK || a.Code == 0 {
		return web.Verdict{}
	}
	v := web.Verdict{Code: strconv.Itoa(a.Code)}
	switch {
	case a.Code == http.StatusTooManyRequests:
		v.Kind, v.RetryAfter = web.Limited, time.Duration(min(max(a.Parameters.RetryAfter, 1), 86_400))*time.Second
	case a.Code == http.StatusUnauthorized || a.Code == http.StatusForbidden || a.Code == http.StatusNotFound: // not found is the path, and so the token
		v.Kind = web.Auth
	case a.Code == http.StatusConflict:
		v.Kind, v.Code = web.Refused, "409: another program takes the bot's updates, or a webhook is set"
	case a.Code >= 500:
		v.Kind = web.Server
	default:
		v.Kind = web.Refused
	}
	return v
}

// Connector names the source: telegram and the channel.
func (s *Source) Connector() string { return s.connector }

// Close releases idle connections.
func (s *Source) Close() { s.client.Close() }

// Budget is what is left of our own rate.
func (s *Source) Budget() []budget.Line { return []budget.Line{s.client.Budget.Line()} }

// Check asks for the channel.
func (s *Source) Check(ctx context.Context) error {
	_, err := s.channel(ctx)
	return err
}

// call calls a method. Telegram wants the token in the path, so errors show the method alone.
func (s *Source) call(ctx context.Context, method string, q url.Values, result any) error {
	answer := struct {
		Result any `json:"result"`
	}{Result: result}
	_, err := s.client.Do(ctx, web.Call{Path: "/bot" + s.env.Config.Token.Reveal() + "/" + method, Shown: method, Query: q}, &answer)
	var failed *web.Error
	if errors.As(err, &failed) {
		return web.AsSourceError(err)
	}
	return err
}

// channel returns the official channel with its discussion group, asked for once in a UTC day.
func (s *Source) channel(ctx context.Context) (*chat, error) {
	now := s.env.Now().UTC()
	s.mu.Lock()
	known, asked := s.chat, s.asked
	s.mu.Unlock()
	if known != nil && asked.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return known, nil
	}
	official := s.env.Account.Account
	id := cmp.Or(official.ID, "@"+strings.TrimPrefix(official.Handle, "@"))
	var c chat
	if err := s.call(ctx, "getChat", url.Values{"chat_id": {id}}, &c); err != nil {
		return nil, err
	}
	if c.ID == 0 || official.ID == "" && !strings.EqualFold(c.Username, strings.TrimPrefix(official.Handle, "@")) {
		return nil, &source.Error{Gap: schemas.GapAuth, Err: fmt.Errorf("the bot does not see the channel %s", official.Name())}
	}
	var members int64
	if err := s.call(ctx, "getChatMemberCount", url.Values{"chat_id": {strconv.FormatInt(c.ID, 10)}}, &members); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chat, s.size, s.asked, s.change = &c, &members, now, true
	return s.chat, nil
}

// cursor is how far the bot's updates have been read.
type cursor struct {
	// Offset is the next update's number; to ask for it tells Telegram that those before are done with.
	Offset int64 `json:"offset"`
	// Last is when the last update came.
	Last time.Time `json:"last,omitzero"`
	// Threads are the channel's posts by the numbers of their copies in the group.
	Threads map[int64]int64 `json:"threads,omitempty"`
	// Complete is up to when everything has been read; at first where reading begins.
	Complete time.Time `json:"complete"`
}

// Poll takes the updates that wait, the oldest first.
func (s *Source) Poll(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	now := s.env.Now().UTC()
	at := cursor{Complete: now, Threads: map[int64]int64{}}
	if raw != nil {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&at); err != nil {
			return fmt.Errorf("reading the cursor of %s: %w", s.connector, err)
		}
	}
	if at.Threads == nil {
		at.Threads = map[int64]int64{}
	}
	page := func(p source.Page) error {
		raw, err := json.Marshal(at)
		if err != nil {
			return fmt.Errorf("writing the cursor of %s: %w", s.connector, err)
		}
		p.Cursor = raw
		return emit(ctx, p)
	}
	channel, err := s.channel(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	size, fresh := s.size, s.change
	s.mu.Unlock()
	if fresh {
		if err := page(source.Page{Size: &source.Size{Followers: size, ObservedAt: now}}); err != nil {
			return err
		}
		s.mu.Lock()
		s.change = false
		s.mu.Unlock()
	}
	if now.Sub(at.Last) > restarts {
		at.Offset = 0 // the numbers may have begun anew, below the old ones
	}
	r := reader{Source: s, channel: channel, cursor: &at, now: now}
	for n := 0; ; n++ {
		if n == s.env.Config.PageCap {
			return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("more than %d pages of updates wait; the next poll goes on with them", n)}
		}
		q := url.Values{"limit": {strconv.Itoa(perPage)}, "timeout": {"0"}, "allowed_updates": {`["message","edited_message","channel_post","edited_channel_post"]`}}
		if at.Offset != 0 {
			q.Set("offset", strconv.FormatInt(at.Offset, 10))
		}
		var updates []json.RawMessage
		if err := s.call(ctx, "getUpdates", q, &updates); err != nil {
			return err
		}
		before := at.Offset
		p := r.read(updates)
		if len(updates) == 0 || at.Offset <= before && before != 0 {
			break
		}
		if err := page(p); err != nil {
			return err
		}
	}
	since := at.Complete
	at.Complete = now
	if now.Sub(since) > kept {
		// What came more than a day ago is gone; the stretch begins anew.
		if err := page(source.Page{}); err != nil {
			return err
		}
		return &source.Error{Gap: schemas.GapClamp, Err: fmt.Errorf("Telegram keeps updates for %s, and the last poll was at %s", kept, since.Format(time.RFC3339))}
	}
	return page(source.Page{CompleteSince: since, CompleteUntil: now})
}

// Backfill is not possible: a bot cannot read what was before.
func (s *Source) Backfill(_ context.Context, since, _ time.Time, _ source.Emit) error {
	return &source.Error{Gap: schemas.GapClamp, Err: fmt.Errorf("Telegram lets no bot read back to %s", since.Format(time.RFC3339))}
}
