// Package feed reads an RSS, Atom or JSON feed: what an institution publishes itself, or what a search of news finds of it. README.md says what a feed cannot tell.
package feed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/mmcdole/gofeed"

	"github.com/dwiarah/dwiarah/ingest/internal/markup"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Roles of a feed.
const (
	// RoleOwn is a feed of what the institution publishes.
	RoleOwn = "own"
	// RoleMentions is a feed of what others write of it.
	RoleMentions = "mentions"
)

// Settings of a feed.
type Settings struct {
	// Address is the feed's address, its query included.
	Address string `koanf:"address"`
	// Role is own or mentions.
	Role string `koanf:"role"`
}

// Validate reports every bad value.
func (s *Settings) Validate(report config.Report) {
	if u, err := url.Parse(s.Address); err != nil || u.Host == "" || u.User != nil {
		report("address", "", "the feed's address, as https://kota.example/feed.xml, without a password")
	}
	if s.Role != RoleOwn && s.Role != RoleMentions {
		report("role", s.Role, RoleOwn+" or "+RoleMentions)
	}
}

// Platform is feeds for the registry, on the platform web.
func Platform() source.Platform {
	return source.Platform{New: New, Settings: func() any { return &Settings{Role: RoleOwn} }}
}

const (
	callsPerHour = 60
	// maxItems bounds what one reading takes of a feed.
	maxItems = 1000
	// maxText bounds a text: a feed may hold whole articles, of which the beginning says what they are about.
	maxText = 8 << 10
	// maxID is the longest id that stands as it is; a longer one is hashed.
	maxID = 400
	// maxOriginal bounds what is kept of an item that cannot be read.
	maxOriginal = 64 << 10
)

// Source reads one feed.
type Source struct {
	env       source.Environment
	settings  *Settings
	client    *web.Client
	call      web.Call
	connector string
	log       *slog.Logger
}

// New makes a source that has called nobody yet.
func New(env source.Environment) (source.Source, error) { return newSource(env) }

func newSource(env source.Environment) (*Source, error) {
	settings, ok := env.Settings.(*Settings)
	if !ok {
		return nil, fmt.Errorf("settings: %T; allowed: those of a feed", env.Settings)
	}
	u, err := url.Parse(settings.Address)
	if err != nil {
		return nil, errors.New("settings.address: it is no address")
	}
	client, err := web.NewClient(u.Scheme+"://"+u.Host, "", web.NewBudget(callsPerHour, time.Hour, env.Now, nil), env.Config.AllowPrivate)
	if err != nil {
		return nil, err
	}
	return &Source{
		env: env, settings: settings, client: client, log: env.Log, connector: "web:" + env.Account.Account.Name() + ":" + u.Host + strings.TrimSuffix(u.Path, "/"),
		call: web.Call{Path: u.Path, Query: u.Query(), Raw: true, Header: map[string][]string{"Accept": {"application/rss+xml, application/atom+xml, application/feed+json, application/xml, text/xml"}}},
	}, nil
}

// Connector names the source: web, the account, the feed without its query.
func (s *Source) Connector() string { return s.connector }

// Close releases idle connections.
func (s *Source) Close() { s.client.Close() }

// Check reads the feed once.
func (s *Source) Check(ctx context.Context) error {
	_, err := s.fetch(ctx)
	return err
}

func (s *Source) fetch(ctx context.Context) (*gofeed.Feed, error) {
	var body []byte
	if _, err := s.client.Do(ctx, s.call, &body); err != nil {
		return nil, sourceError(err)
	}
	f, err := gofeed.NewParser().Parse(bytes.NewReader(body))
	if err != nil {
		return nil, &source.Error{Gap: schemas.GapOutage, Err: errors.New("the answer is no RSS, Atom or JSON feed")}
	}
	return f, nil
}

func sourceError(err error) error {
	var call *web.Error
	if errors.As(err, &call) {
		return web.AsSourceError(err)
	}
	return err
}

// cursor is what the feed showed last.
type cursor struct {
	// Shown are the items of the last reading, by id.
	Shown map[string]shown `json:"shown"`
	// Complete is up to when everything has been read.
	Complete time.Time `json:"complete,omitzero"`
}

// shown is when an item was written, or first seen where it does not say, and a hash of what it says.
type shown struct {
	At   time.Time `json:"at"`
	Hash string    `json:"hash"`
}

// Poll reads the feed and takes what is new or has changed.
func (s *Source) Poll(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	now := s.env.Now().UTC()
	var at cursor
	if raw != nil {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&at); err != nil {
			return fmt.Errorf("reading the cursor of %s: %w", s.connector, err)
		}
	}
	f, err := s.fetch(ctx)
	if err != nil {
		return err
	}
	next := cursor{Shown: map[string]shown{}, Complete: now}
	page := source.Page{}
	known := 0
	for _, i := range f.Items[:min(len(f.Items), maxItems)] {
		id := itemID(i)
		if _, twice := next.Shown[id]; twice || id == "" {
			continue
		}
		before, again := at.Shown[id]
		if again {
			known++
		}
		item, is := s.item(i, id, before, now)
		next.Shown[id] = is
		if !again || is.Hash != before.Hash {
			page.Items = append(page.Items, item)
		}
	}
	raw, err = json.Marshal(next)
	if err != nil {
		return fmt.Errorf("writing the cursor of %s: %w", s.connector, err)
	}
	page.Cursor = raw
	if len(at.Shown) > 0 && known == 0 && len(next.Shown) > 0 {
		// A feed shows its last items only: where none of them was there before, some may have come and gone.
		if err := emit(ctx, page); err != nil {
			return err
		}
		return &source.Error{Gap: schemas.GapClamp, Err: errors.New("the feed shows nothing of what it showed before")}
	}
	page.CompleteSince, page.CompleteUntil = at.Complete, now
	if at.Complete.IsZero() {
		page.CompleteSince = now
	}
	return emit(ctx, page)
}

// Backfill takes what the feed still shows of a range.
func (s *Source) Backfill(ctx context.Context, since, until time.Time, emit source.Emit) error {
	now := s.env.Now().UTC()
	f, err := s.fetch(ctx)
	if err != nil {
		return err
	}
	page := source.Page{}
	oldest := now
	for _, i := range f.Items[:min(len(f.Items), maxItems)] {
		item, is := s.item(i, itemID(i), shown{}, now)
		if is.At.Before(oldest) {
			oldest = is.At
		}
		if !is.At.Before(since) && is.At.Before(until) {
			page.Items = append(page.Items, item)
		}
	}
	if oldest.After(since) {
		if err := emit(ctx, page); err != nil {
			return err
		}
		return &source.Error{Gap: schemas.GapClamp, Err: fmt.Errorf("the feed reaches back to %s only", oldest.Format(time.RFC3339))}
	}
	page.CompleteSince, page.CompleteUntil = since, until
	return emit(ctx, page)
}

// itemID is the item's own id, or its address.
func itemID(i *gofeed.Item) string {
	id := strings.TrimSpace(i.GUID)
	if id == "" {
		id = strings.TrimSpace(i.Link)
	}
	if len(id) > maxID || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:])
	}
	return id
}

// item makes an item. An item without a date was written when it was first seen.
func (s *Source) item(i *gofeed.Item, id string, before shown, now time.Time) (source.Item, shown) {
	official := s.env.Account.Account.AuthorID()
	m := &schemas.Message{
		Platform: schemas.PlatformWeb, MessageID: id, Institution: s.env.Account.Institution.ID, Account: official, AuthorID: official, Kind: schemas.KindPost, ObservedAt: &now,
		CreatedAt: now, Text: text(i), URL: i.Link,
	}
	for _, at := range []*time.Time{i.UpdatedParsed, i.PublishedParsed} { // published counts before updated
		if at != nil && at.After(schemas.EarliestCreated) {
			m.CreatedAt = at.UTC()
		}
	}
	if !before.At.IsZero() {
		m.CreatedAt = before.At
	}
	if len(m.URL) > 2000 {
		m.URL = ""
	}
	if s.settings.Role == RoleMentions {
		m.Kind, m.AuthorID, m.Mentions = schemas.KindMention, publisher(i, id), []string{official}
	}
	sum := sha256.Sum256([]byte(m.Text))
	is := shown{At: m.CreatedAt, Hash: hex.EncodeToString(sum[:8])}
	if before.Hash != "" && before.Hash != is.Hash {
		m.EditedAt = &now
		if i.UpdatedParsed != nil && i.UpdatedParsed.After(m.CreatedAt) && i.UpdatedParsed.Before(now) {
			at := i.UpdatedParsed.UTC()
			m.EditedAt = &at
		}
	}
	if err := m.Validate(now); err != nil {
		out := source.Item{Err: &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: "item", Allowed: "an item of a feed"}}
		errors.As(err, &out.Err)
		original, err := json.Marshal(i)
		if err == nil {
			out.Original = original[:min(len(original), maxOriginal)]
		}
		return out, is
	}
	return source.Item{Message: m}, is
}

// publisher is whose site an item stands on: a newspaper, and no person.
func publisher(i *gofeed.Item, id string) string {
	if u, err := url.Parse(i.Link); err == nil && u.Host != "" && len(u.Host) < maxID {
		return strings.ToLower(u.Hostname())
	}
	return "author-of-" + id
}

func text(i *gofeed.Item) string {
	var parts []string
	body := i.Description
	if strings.TrimSpace(body) == "" {
		body = i.Content
	}
	for _, part := range []string{i.Title, body} {
		if plain := markup.Text(part, nil); plain != "" && (len(parts) == 0 || plain != parts[0]) {
			parts = append(parts, plain)
		}
	}
	return strings.ToValidUTF8(clip(strings.ToValidUTF8(strings.Join(parts, "\n"), "")), "")
}

func clip(text string) string { return text[:min(len(text), maxText)] }
