// Package youtube reads the comments below an official channel's videos over the YouTube Data API v3, within its units a day. README.md says which calls and why.
package youtube

import (
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
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Settings of a YouTube source.
type Settings struct {
	// Budget names the purse; sources of one API project name the same.
	Budget string `koanf:"budget"`
	// UnitsPerDay is the project's quota; a day begins at midnight Pacific.
	UnitsPerDay int64 `koanf:"units_per_day"`
	// SweepEvery is how often known threads are asked for new replies, SweepFor up to which age.
	SweepEvery config.Duration `koanf:"sweep_every"`
	SweepFor   config.Duration `koanf:"sweep_for"`
	// VideosEvery is how often the channel's own videos are looked for.
	VideosEvery config.Duration `koanf:"videos_every"`
	// Lookback is how far the first poll reads.
	Lookback config.Duration `koanf:"lookback"`
}

// DefaultSettings are those of a project with the quota that everybody gets.
func DefaultSettings() *Settings {
	return &Settings{
		Budget: "youtube", UnitsPerDay: 10_000, SweepEvery: config.Duration(time.Hour), SweepFor: config.Duration(7 * 24 * time.Hour), VideosEvery: config.Duration(time.Hour),
		Lookback: config.Duration(7 * 24 * time.Hour),
	}
}

// Validate reports every bad value.
func (s *Settings) Validate(report config.Report) {
	if s.Budget == "" {
		report("budget", s.Budget, "a name")
	}
	if s.UnitsPerDay <= 0 {
		report("units_per_day", s.UnitsPerDay, "more than 0")
	}
	for _, d := range []struct {
		key   string
		value config.Duration
	}{{"sweep_every", s.SweepEvery}, {"sweep_for", s.SweepFor}, {"videos_every", s.VideosEvery}, {"lookback", s.Lookback}} {
		if d.value.Std() < time.Minute {
			report(d.key, d.value.Std().String(), "1m or more")
		}
	}
}

// Platform is YouTube for the registry.
func Platform() source.Platform {
	return source.Platform{New: New, Settings: func() any { return DefaultSettings() }}
}

const (
	defaultBase = "https://youtube.googleapis.com/youtube/v3"
	// callsPerMinute spreads the calls; the quota that counts is a day's.
	callsPerMinute = 600
	perPage        = 100
	perIDs         = 50
	// refreshDays is within how long YouTube's terms want kept data refreshed or deleted; refreshDue is when it is.
	refreshDays, refreshDue = 30, 25 * 24 * time.Hour
)

// Source reads for one channel.
type Source struct {
	env       source.Environment
	settings  *Settings
	client    *web.Client
	purse     *budget.Purse
	pacific   *time.Location
	connector string
	log       *slog.Logger

	mu     sync.Mutex
	me     *channel
	meRead time.Time
}

// New makes a source that has called nobody yet.
func New(env source.Environment) (source.Source, error) { return newSource(env) }

func newSource(env source.Environment) (*Source, error) {
	if env.Config.Token.IsZero() {
		return nil, errors.New(`token: missing; allowed: "file:PATH" or "env:NAME" of an API key`)
	}
	settings, ok := env.Settings.(*Settings)
	if !ok {
		return nil, fmt.Errorf("settings: %T; allowed: those of YouTube", env.Settings)
	}
	if env.Config.Recheck.Std() < refreshDue {
		return nil, fmt.Errorf("recheck: %q; allowed: %dh or more, as long as texts are kept: YouTube wants what is kept refreshed within %d days", env.Config.Recheck.Std(), int(refreshDue.Hours()), refreshDays)
	}
	s := &Source{env: env, settings: settings, log: env.Log, connector: "youtube:" + env.Account.Account.Name()}
	var err error
	if s.pacific, err = time.LoadLocation("America/Los_Angeles"); err != nil {
		return nil, fmt.Errorf("loading YouTube's zone: %w", err)
	}
	if s.client, err = web.NewClient(cmp.Or(env.Config.BaseURL, defaultBase), "", web.NewBudget(callsPerMinute, time.Minute, env.Now, nil), env.Config.AllowPrivate); err != nil {
		return nil, err
	}
	key := env.Config.Token
	// The key in the header, and not in the address, which is logged on the way.
	s.client.Authorize = func(r *http.Request) { r.Header.Set("X-Goog-Api-Key", key.Reveal()) }
	s.client.Judge = s.judge
	if s.purse, err = env.Purses.Open(settings.Budget, budget.Units, budget.Cap{Period: budget.Day, Limit: settings.UnitsPerDay, Zone: s.pacific}); err != nil {
		return nil, fmt.Errorf("settings.budget: %w", err)
	}
	return s, nil
}

// judge reads the reason that Google states: a 403 may be a matter of units, of the minute, or of the key.
func (s *Source) judge(status int, _ http.Header, body []byte) web.Verdict {
	if status < 300 {
		return web.Verdict{}
	}
	var answer struct {
		Error struct {
			Message string `json:"message"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Error.Errors) == 0 {
		return web.Verdict{}
	}
	reason := answer.Error.Errors[0].Reason
	v := web.Verdict{Code: reason[:min(len(reason), 80)]}
	switch {
	case reason == "quotaExceeded" || reason == "dailyLimitExceeded":
		now := s.env.Now().In(s.pacific)
		v.Kind, v.RetryAfter = web.Limited, time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, s.pacific).Sub(now)
	case reason == "rateLimitExceeded" || reason == "userRateLimitExceeded":
		v.Kind = web.Limited
	case reason == "keyInvalid" || reason == "badRequest" && strings.Contains(answer.Error.Message, "API key"):
		v.Kind, v.Code = web.Auth, "keyInvalid"
	}
	return v
}

// Connector names the source: youtube and the channel.
func (s *Source) Connector() string { return s.connector }

// Close releases idle connections.
func (s *Source) Close() { s.client.Close() }

// SharedBudget names the purse, for which several channels wait in line.
func (s *Source) SharedBudget() string { return s.settings.Budget }

// Budget is what is left of the units.
func (s *Source) Budget() []budget.Line { return append(s.purse.Lines(), s.client.Budget.Line()) }

// Check asks for the channel.
func (s *Source) Check(ctx context.Context) error {
	_, _, err := s.channel(ctx)
	return err
}

// get makes a call, which costs a unit whatever comes of it.
func (s *Source) get(ctx context.Context, path string, q url.Values, v any) error {
	if _, err := s.purse.Reserve(1); err != nil {
		var exhausted *budget.ExhaustedError
		if errors.As(err, &exhausted) {
			return web.AsSourceError(err)
		}
		return err
	}
	if err := s.client.Get(ctx, path, q, v); err != nil {
		return web.AsSourceError(err)
	}
	return nil
}

// channel returns the official channel, asked for once in a UTC day.
func (s *Source) channel(ctx context.Context) (me *channel, fresh bool, err error) {
	now := s.env.Now().UTC()
	s.mu.Lock()
	me, read := s.me, s.meRead
	s.mu.Unlock()
	if me != nil && read.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return me, false, nil
	}
	official := s.env.Account.Account
	q := url.Values{"part": {"statistics,contentDetails"}}
	if official.ID != "" {
		q.Set("id", official.ID)
	} else {
		q.Set("forHandle", "@"+strings.TrimPrefix(official.Handle, "@"))
	}
	var answer struct {
		Items []channel `json:"items"`
	}
	if err := s.get(ctx, "channels", q, &answer); err != nil {
		return nil, false, err
	}
	if len(answer.Items) == 0 || answer.Items[0].ID == "" {
		return nil, false, &source.Error{Gap: schemas.GapAuth, Err: fmt.Errorf("YouTube has no channel %s", official.Name())}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.me, s.meRead = &answer.Items[0], now
	return s.me, true, nil
}

func count(text string) *int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return nil
	}
	return &n
}
