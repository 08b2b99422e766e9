// Package mastodon reads an official account's public conversation over Mastodon's REST interface and its push: its mentions, its own statuses, the replies below
// them, and the edits and deletions of what it has read. README.md says which calls and why.
package mastodon

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Limits of Mastodon's interface: calls per account and five minutes, items per page.
const (
	callsPerWindow = 300
	window         = 5 * time.Minute
	mentionsPage   = 80
	statusesPage   = 40
)

// Source reads for one account. It is used by one poll or stream at a time, and one re-read beside.
type Source struct {
	env       source.Environment
	settings  Settings
	client    *web.Client
	push      *web.Client
	connector string
}

// Platform is what the registry of package ingest takes.
func Platform() source.Platform {
	return source.Platform{
		New: func(env source.Environment) (source.Source, error) {
			s, err := newSource(env)
			if err != nil || s.settings.Streaming == streamingOff {
				return s, err
			}
			return &streamed{s}, nil
		},
		Settings: func() any { return defaults() },
	}
}

// Settings are Mastodon's own.
type Settings struct {
	// Streaming is how the push is followed: auto tries WebSocket, then server-sent events.
	Streaming string `koanf:"streaming"`
	// StreamingURL is where the push is, for a server that has it elsewhere than its interface; the token goes there too.
	StreamingURL string `koanf:"streaming_url"`
}

const (
	streamingAuto   = "auto"
	streamingSocket = "websocket"
	streamingEvents = "sse"
	streamingOff    = "off"
)

func defaults() *Settings { return &Settings{Streaming: streamingAuto} }

// Validate reports every bad value.
func (s *Settings) Validate(report config.Report) {
	if all := []string{streamingAuto, streamingSocket, streamingEvents, streamingOff}; !slices.Contains(all, s.Streaming) {
		report("streaming", s.Streaming, "one of "+strings.Join(all, ", "))
	}
}

func newSource(env source.Environment) (*Source, error) {
	if env.Config.Token.IsZero() {
		return nil, errors.New(`token: missing; allowed: "file:PATH" or "env:NAME" of an access token of the account with the scope read`)
	}
	guard := web.NewBudget(callsPerWindow, window, env.Now, nil)
	client, err := web.NewClient(env.Config.BaseURL, env.Config.Token.Reveal(), guard, env.Config.AllowPrivate)
	if err != nil {
		return nil, err
	}
	s := &Source{env: env, settings: *defaults(), client: client, push: client, connector: "mastodon:" + env.Account.Account.Name() + ":" + client.Base.Host}
	if own, ok := env.Settings.(*Settings); ok {
		s.settings = *own
	}
	if s.settings.StreamingURL != "" {
		if s.push, err = web.NewClient(s.settings.StreamingURL, env.Config.Token.Reveal(), guard, env.Config.AllowPrivate); err != nil {
			return nil, fmt.Errorf("settings.streaming_url: %w", err)
		}
	}
	return s, nil
}

// Budget is what is left of the server's limit.
func (s *Source) Budget() []budget.Line { return []budget.Line{s.client.Budget.Line()} }

// Connector names the source: mastodon, the account, the server.
func (s *Source) Connector() string { return s.connector }

// Close releases idle connections.
func (s *Source) Close() {
	s.client.Close()
	s.push.Close()
}

// Check asks the server whom the token belongs to.
func (s *Source) Check(ctx context.Context) error {
	_, err := s.whoAmI(ctx)
	return err
}

// whoAmI returns the account of the token, which has to be the configured one.
func (s *Source) whoAmI(ctx context.Context) (account, error) {
	var me account
	if err := s.client.Get(ctx, "/api/v1/accounts/verify_credentials", nil, &me); err != nil {
		return me, web.AsSourceError(err)
	}
	if !s.isConfigured(me) {
		return me, &source.Error{Gap: schemas.GapAuth, Err: fmt.Errorf("the token belongs to another account than %s of %s", s.env.Account.Account.Name(), s.env.Account.Institution.ID)}
	}
	return me, nil
}

// isConfigured tells that an account of this server is the one that the configuration names, by id or by handle, with the host or without.
func (s *Source) isConfigured(me account) bool {
	official := s.env.Account.Account
	for _, name := range []string{me.ID, s.qualify(me.ID)} {
		if official.ID != "" && institutions.Fold(official.ID) == institutions.Fold(name) {
			return true
		}
	}
	for _, name := range []string{me.Acct, me.Acct + "@" + s.client.Base.Host} {
		if official.Handle != "" && institutions.Fold(official.Handle) == institutions.Fold(name) {
			return true
		}
	}
	return false
}

// cursor is how far the feeds have been read: the ids of the newest notification and the newest own status.
type cursor struct {
	Mentions string `json:"mentions"`
	Own      string `json:"own"`
}

// firstID is below every id; min_id walks forward from it.
const firstID = "0"

// poll is one run of Poll or Backfill.
type poll struct {
	*Source
	me     account
	now    time.Time
	cursor cursor
	roots  map[string]string // of parents that this run has asked for
	accts  map[string]string // handles of ids that this run has asked for
	emit   source.Emit
	oldest time.Time // created_at of the oldest message of the feeds
	until  time.Time // up to when all feeds have been read
	capped string    // the feed that has more than a poll reads
}

func (s *Source) begin(ctx context.Context, emit source.Emit) (*poll, error) {
	now := s.env.Now().UTC()
	p := &poll{Source: s, now: now, until: now, emit: emit, roots: map[string]string{}, accts: map[string]string{}}
	var err error
	p.me, err = s.whoAmI(ctx)
	return p, err
}

// Poll reads what is new in the account's own statuses and in its mentions.
func (s *Source) Poll(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	at, err := s.readCursor(raw)
	if err != nil {
		return err
	}
	p, err := s.begin(ctx, emit)
	if err != nil {
		return err
	}
	p.cursor = at
	for _, step := range []func(context.Context) error{p.size, p.own, p.mentions} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	since := p.oldest
	if since.IsZero() || since.After(p.until) {
		since = p.until
	}
	if err := p.page(ctx, source.Page{CompleteSince: since, CompleteUntil: p.until}); err != nil {
		return err
	}
	if p.capped != "" {
		return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("the %s have more than %d new pages; the next poll goes on with them", p.capped, p.env.Config.PageCap)}
	}
	return nil
}

func (s *Source) readCursor(raw json.RawMessage) (cursor, error) {
	at := cursor{Mentions: firstID, Own: firstID}
	if raw == nil {
		return at, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&at); err != nil {
		return at, fmt.Errorf("reading the cursor of %s: %w", s.connector, err)
	}
	return at, nil
}

// page emits a page with the cursor as it is.
func (p *poll) page(ctx context.Context, page source.Page) error {
	raw, err := json.Marshal(p.cursor)
	if err != nil {
		return fmt.Errorf("writing the cursor of %s: %w", p.connector, err)
	}
	page.Cursor = raw
	return p.emit(ctx, page)
}

func (p *poll) size(ctx context.Context) error {
	return p.page(ctx, source.Page{Size: &source.Size{Followers: p.me.Followers, Following: p.me.Following, Posts: p.me.Statuses, ObservedAt: p.now}})
}

// feed is a list of messages that the server pages, the newest first.
type feed struct {
	name  string
	limit int
	// read returns the page that the parameters choose.
	read func(ctx context.Context, query url.Values) ([]item, error)
}

// item is one entry of a feed.
type item struct {
	id     string
	status *rawStatus
}

func (p *poll) ownFeed() feed {
	return feed{name: "own statuses", limit: statusesPage, read: func(ctx context.Context, query url.Values) ([]item, error) {
		var statuses []rawStatus
		query.Set("exclude_reblogs", "true")
		err := p.client.Get(ctx, "/api/v1/accounts/"+url.PathEscape(p.me.ID)+"/statuses", query, &statuses)
		items := make([]item, len(statuses))
		for i := range statuses {
			items[i] = item{id: statuses[i].ID, status: &statuses[i]}
		}
		return items, err
	}}
}

func (p *poll) mentionFeed() feed {
	return feed{name: "mentions", limit: mentionsPage, read: func(ctx context.Context, query url.Values) ([]item, error) {
		var notifications []notification
		query.Set("types[]", "mention")
		err := p.client.Get(ctx, "/api/v1/notifications", query, &notifications)
		items := make([]item, len(notifications))
		for i, n := range notifications {
			items[i] = item{id: n.ID}
			switch {
			case n.Type != "mention": // a server that does not know types[] sends others, which are no messages
			case n.Status == nil:
				items[i].status = &rawStatus{err: errors.New("a mention without its status")}
			default:
				items[i].status = n.Status
			}
		}
		return items, err
	}}
}

func (p *poll) own(ctx context.Context) error { return p.forward(ctx, p.ownFeed(), &p.cursor.Own) }

func (p *poll) mentions(ctx context.Context) error {
	return p.forward(ctx, p.mentionFeed(), &p.cursor.Mentions)
}

// forward reads the pages above the cursor, the oldest first: min_id walks up without leaving a gap, as since_id would.
func (p *poll) forward(ctx context.Context, f feed, at *string) error {
	begun := *at
	fullOfNews := false // the first page was full and did not reach down to the cursor
	for n := range p.env.Config.PageCap {
		items, err := f.read(ctx, url.Values{"limit": {strconv.Itoa(f.limit)}, "min_id": {*at}})
		if err != nil {
			return web.AsSourceError(err)
		}
		var news []item
		for _, it := range items {
			if later(it.id, *at) {
				news = append(news, it)
			}
		}
		if n == 0 {
			fullOfNews = len(news) >= f.limit
		}
		if len(news) < len(items) && fullOfNews && begun != firstID {
			// Only a server that does not know min_id answers with what is not above it: so its first page was the newest one, and news older than
			// that page were never shown.
			return &source.Error{Gap: schemas.GapClamp, Err: fmt.Errorf("the server pages the %s from the newest only: some before %s are out of reach", f.name, p.until.Format(time.RFC3339))}
		}
		if len(news) == 0 {
			return nil // also where a server repeats its last page for ever
		}
		slices.SortFunc(news, func(a, b item) int { return compareIDs(a.id, b.id) })
		page := source.Page{}
		if err := p.add(ctx, &page, news); err != nil {
			return err
		}
		*at = news[len(news)-1].id
		if err := p.page(ctx, page); err != nil {
			return err
		}
		if n == p.env.Config.PageCap-1 {
			p.capped = f.name
			if last := news[len(news)-1].status; last != nil && last.CreatedAt.Before(p.until) {
				p.until = last.CreatedAt
			}
		}
	}
	return nil
}

// Backfill walks both feeds down from the newest to since.
func (s *Source) Backfill(ctx context.Context, since, until time.Time, emit source.Emit) error {
	p, err := s.begin(ctx, emit)
	if err != nil {
		return err
	}
	for _, f := range []feed{p.ownFeed(), p.mentionFeed()} {
		if err := p.backward(ctx, f, since, until); err != nil {
			return err
		}
	}
	return emit(ctx, source.Page{CompleteSince: since, CompleteUntil: until})
}

// backwardPages bounds a backfill: about 160,000 mentions.
const backwardPages = 2000

func (p *poll) backward(ctx context.Context, f feed, since, until time.Time) error {
	before := ""
	for range backwardPages {
		query := url.Values{"limit": {strconv.Itoa(f.limit)}}
		if before != "" {
			query.Set("max_id", before)
		}
		items, err := f.read(ctx, query)
		if err != nil {
			return web.AsSourceError(err)
		}
		lowest, past := before, false
		var wanted []item
		for _, it := range items {
			if before != "" && compareIDs(it.id, before) >= 0 {
				continue
			}
			if lowest == "" || compareIDs(it.id, lowest) < 0 {
				lowest = it.id
			}
			switch {
			case it.status != nil && it.status.err == nil && it.status.CreatedAt.Before(since):
				past = true
			case it.status != nil && it.status.err == nil && !it.status.CreatedAt.Before(until):
			default:
				wanted = append(wanted, it)
			}
		}
		if lowest == before {
			return nil // the end, or a server that repeats itself
		}
		page := source.Page{}
		if err := p.add(ctx, &page, wanted); err != nil {
			return err
		}
		if err := p.emit(ctx, page); err != nil {
			return err
		}
		if past {
			return nil
		}
		before = lowest
	}
	return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("the %s have more than %d pages since %s", f.name, backwardPages, since.Format(time.RFC3339))}
}

// add turns items of a feed into a page's items.
func (p *poll) add(ctx context.Context, page *source.Page, items []item) error {
	for _, it := range items {
		if it.status == nil {
			continue
		}
		if err := p.take(ctx, page, it.status); err != nil {
			return err
		}
		if at := it.status.CreatedAt; it.status.err == nil && !at.IsZero() && (p.oldest.IsZero() || at.Before(p.oldest)) {
			p.oldest = at
		}
	}
	return nil
}

// take turns one status into an item of the page. The error is the platform's.
func (p *poll) take(ctx context.Context, page *source.Page, st *rawStatus) error {
	dead := func(reason schemas.DeadReason, allowed string) {
		page.Items = append(page.Items, source.Item{Err: &schemas.FieldError{Reason: reason, Key: "status", Allowed: allowed}, Original: st.raw})
	}
	switch {
	case st.err != nil && len(st.raw) == 0:
		dead(schemas.DeadMissingField, st.err.Error())
		return nil
	case st.err != nil:
		dead(schemas.DeadInvalidField, "a status of Mastodon's REST interface")
		return nil
	case st.Visibility != "public" && st.Visibility != "unlisted":
		if page.Dropped == nil {
			page.Dropped = map[schemas.DropReason]int64{}
		}
		page.Dropped[schemas.DropNotPublic]++
		return nil
	}
	m, err := p.message(ctx, &st.status)
	if err != nil {
		return err
	}
	if err := m.Validate(p.now); err != nil {
		var field *schemas.FieldError
		if !errors.As(err, &field) {
			return err
		}
		page.Items = append(page.Items, source.Item{Err: field, Original: st.raw})
		return nil
	}
	page.Items = append(page.Items, source.Item{Message: m, Original: st.raw})
	return nil
}

// compareIDs orders ids of one server: numbers by their value, and ULIDs, which are all of one length, by their letters.
func compareIDs(a, b string) int {
	if len(a) != len(b) {
		return cmp.Compare(len(a), len(b))
	}
	return strings.Compare(a, b)
}

func later(a, b string) bool { return compareIDs(a, b) > 0 }
