// Package meta reads an official account's public conversation over Meta's Graph API: a Facebook Page, an Instagram professional account, a Threads profile; by
// polling and by webhooks. README.md says which calls and why.
package meta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Settings of a Meta source.
type Settings struct {
	// AppSecret signs webhooks and proves calls; file:PATH or env:NAME. Without one no webhook is taken.
	AppSecret config.Secret `koanf:"app_secret"`
	// VerifyToken is what Meta has to say when it asks whether deliveries are wanted; file:PATH or env:NAME.
	VerifyToken config.Secret `koanf:"verify_token"`
	// Lookback is how far the first poll reads, Follow up to which age a post's comments are looked at.
	Lookback config.Duration `koanf:"lookback"`
	Follow   config.Duration `koanf:"follow"`
	// LimitWait is how long nothing is called once a limit is nearly met, where Meta does not say longer.
	LimitWait config.Duration `koanf:"limit_wait"`
}

// DefaultSettings follow a post for a month.
func DefaultSettings() *Settings {
	return &Settings{Lookback: config.Duration(7 * 24 * time.Hour), Follow: config.Duration(30 * 24 * time.Hour), LimitWait: config.Duration(5 * time.Minute)}
}

// Validate reports every bad value.
func (s *Settings) Validate(report config.Report) {
	if s.Lookback.Std() < time.Minute {
		report("lookback", s.Lookback.Std().String(), "1m or more")
	}
	if s.Follow.Std() < time.Hour {
		report("follow", s.Follow.Std().String(), "1h or more")
	}
	if s.LimitWait.Std() < time.Second || s.LimitWait.Std() > mostWait {
		report("limit_wait", s.LimitWait.Std().String(), "1s to 24h; 5m is usual")
	}
	if s.AppSecret.IsZero() != s.VerifyToken.IsZero() {
		report("verify_token", config.Written("alone"), "together with app_secret, for webhooks, or neither")
	}
}

// surface is what one of the platforms calls things.
type surface struct {
	platform string
	base     string
	object   string // of its webhooks
	account  string // fields of the account
	size     func(who accountNode) source.Size
	own      edge
	mentions edge
	// replies are the account's own answers, where they are a list of their own.
	replies edge
	below   edge
	// inside are the answers to comments where they stand inside them and do not move them up: then all comments are read whenever their number has changed.
	inside edge
	// nextless tells that a list has no address of the next page, so that only an empty page is the last.
	nextless bool
	single   string // fields of one node that is looked up
}

// edge is a list that hangs on a node.
type edge struct {
	name   string
	fields string
	limit  string
	extra  url.Values
}

type accountNode struct {
	ID        string `json:"id"`
	Username  string `json:"username"`
	Followers *int64 `json:"followers_count"`
	Fans      *int64 `json:"fan_count"`
	Follows   *int64 `json:"follows_count"`
	Media     *int64 `json:"media_count"`
}

const (
	facebookComment  = "id,message,created_time,from,parent{id},like_count,comment_count,is_hidden"
	facebookPost     = "id,message,story,created_time,updated_time,from,permalink_url,shares,comments.summary(true).limit(0)"
	instagramComment = "id,text,timestamp,username,from,like_count,parent_id,hidden"
	instagramMedia   = "id,caption,timestamp,username,permalink,like_count,comments_count"
	threadsPost      = "id,text,username,timestamp,permalink,has_replies,root_post,replied_to,is_reply,hide_status"
)

func facebook() surface {
	return surface{
		platform: schemas.PlatformFacebook, base: "https://graph.facebook.com/v26.0", object: "page", account: "id,username,followers_count,fan_count",
		size:     func(a accountNode) source.Size { return source.Size{Followers: cmp.Or(a.Followers, a.Fans)} },
		own:      edge{name: "published_posts", fields: facebookPost, limit: "100"},
		mentions: edge{name: "tagged", fields: facebookPost, limit: "100"},
		below:    edge{name: "comments", fields: facebookComment, limit: "100", extra: url.Values{"filter": {"stream"}, "order": {"reverse_chronological"}}},
		single:   facebookComment,
	}
}

func instagram() surface {
	return surface{
		platform: schemas.PlatformInstagram, base: "https://graph.facebook.com/v26.0", object: "instagram", account: "id,username,followers_count,follows_count,media_count",
		size: func(a accountNode) source.Size {
			return source.Size{Followers: a.Followers, Following: a.Follows, Posts: a.Media}
		},
		own:      edge{name: "media", fields: instagramMedia, limit: "50"},
		mentions: edge{name: "tags", fields: instagramMedia, limit: "50"},
		below:    edge{name: "comments", fields: instagramComment + ",replies{" + instagramComment + "}", limit: "50"},
		inside:   edge{name: "replies", fields: instagramComment, limit: "50"},
		single:   instagramComment,
	}
}

func threads() surface {
	return surface{
		platform: schemas.PlatformThreads, base: "https://graph.threads.net/v1.0", object: "threads", account: "id,username",
		size:     func(accountNode) source.Size { return source.Size{} },
		own:      edge{name: "threads", fields: threadsPost, limit: "100"},
		mentions: edge{name: "mentions", fields: threadsPost, limit: "100"},
		replies:  edge{name: "replies", fields: threadsPost, limit: "100"},
		below:    edge{name: "conversation", fields: threadsPost, limit: "100", extra: url.Values{"reverse": {"true"}}},
		nextless: true, single: threadsPost,
	}
}

// Facebook, Instagram and Threads are the three for the registry.
func Facebook() source.Platform { return platform(facebook()) }

// Instagram is the professional accounts.
func Instagram() source.Platform { return platform(instagram()) }

// Threads is the profiles.
func Threads() source.Platform { return platform(threads()) }

func platform(s surface) source.Platform {
	return source.Platform{
		New:      func(env source.Environment) (source.Source, error) { return newSource(s, env) },
		Settings: func() any { return DefaultSettings() },
	}
}

// callsPerHour spreads the calls. What Meta allows depends on how many people an account reaches, and the answers say how much of it is used.
const callsPerHour = 1200

// Source reads for one account.
type Source struct {
	surface
	env       source.Environment
	settings  *Settings
	client    *web.Client
	connector string
	log       *slog.Logger

	mu     sync.Mutex
	me     *accountNode
	meRead time.Time
}

func newSource(s surface, env source.Environment) (*Source, error) {
	if env.Config.Token.IsZero() {
		return nil, errors.New(`token: missing; allowed: "file:PATH" or "env:NAME" of a long-lived token of the account`)
	}
	settings, ok := env.Settings.(*Settings)
	if !ok {
		return nil, fmt.Errorf("settings: %T; allowed: those of Meta", env.Settings)
	}
	client, err := web.NewClient(cmp.Or(env.Config.BaseURL, s.base), env.Config.Token.Reveal(), web.NewBudget(callsPerHour, time.Hour, env.Now, limits(settings.LimitWait.Std())), env.Config.AllowPrivate)
	if err != nil {
		return nil, err
	}
	client.Judge = judge
	return &Source{surface: s, env: env, settings: settings, client: client, log: env.Log, connector: s.platform + ":" + env.Account.Account.Name()}, nil
}

// Connector names the source: the platform and the account.
func (s *Source) Connector() string { return s.connector }

// Close releases idle connections.
func (s *Source) Close() { s.client.Close() }

// Budget is what Meta says is left, in percent.
func (s *Source) Budget() []budget.Line { return []budget.Line{s.client.Budget.Line()} }

// Check asks for the account.
func (s *Source) Check(ctx context.Context) error {
	_, _, err := s.account(ctx)
	return err
}

// get makes a call with the proof of the app's secret, where there is one. The error is the call's own.
func (s *Source) get(ctx context.Context, path string, q url.Values, v any) error {
	if !s.settings.AppSecret.IsZero() {
		q.Set("appsecret_proof", proof(s.env.Config.Token.Reveal(), s.settings.AppSecret.Reveal()))
	}
	return s.client.Get(ctx, path, q, v)
}

// account returns the official account, asked for once in a UTC day.
func (s *Source) account(ctx context.Context) (me *accountNode, fresh bool, err error) {
	now := s.env.Now().UTC()
	s.mu.Lock()
	me, read := s.me, s.meRead
	s.mu.Unlock()
	if me != nil && read.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return me, false, nil
	}
	official := s.env.Account.Account
	id := official.ID
	if id == "" {
		id = "me"
	}
	var a accountNode
	if err := s.get(ctx, url.PathEscape(id), url.Values{"fields": {s.surface.account}}, &a); err != nil {
		return nil, false, web.AsSourceError(err)
	}
	if a.ID == "" || official.ID != "" && a.ID != official.ID || official.ID == "" && !strings.EqualFold(a.Username, strings.TrimPrefix(official.Handle, "@")) {
		return nil, false, &source.Error{Gap: schemas.GapAuth, Err: fmt.Errorf("the token belongs to another account than %s of %s", official.Name(), s.env.Account.Institution.ID)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.me, s.meRead = &a, now
	return s.me, true, nil
}

// refused tells that a node cannot be read though the token is good: it is gone, or not this account's to read.
func refused(err error) bool {
	var call *web.Error
	return errors.As(err, &call) && (call.Kind == web.Gone && call.Code != "" || call.Kind == web.Auth && call.Code != "" && call.Code != "190" && call.Code != "102")
}

// expired tells that a page's cursor is no longer good.
func expired(err error) bool {
	var call *web.Error
	return errors.As(err, &call) && call.Status == http.StatusBadRequest && call.Kind == web.Refused
}
