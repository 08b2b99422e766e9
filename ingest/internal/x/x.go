// Package x reads an official account's public conversation over X's API v2: its mentions, its own posts, searches, and what has become of posts that it has
// read, within a budget in money. README.md says which calls and why.
package x

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
)

// Limits of X's API v2.
const (
	callsPerWindow = 300 // of the strictest call that is made, per app
	window         = 15 * time.Minute
	mostPerPage    = 100
	searchReach    = 7 * 24 * time.Hour
	// leastPerPage and leastPerSearch are the smallest pages that X gives.
	leastPerPage   = 5
	leastPerSearch = 10
)

const defaultBase = "https://api.x.com"

// Source reads for one account.
type Source struct {
	env       source.Environment
	settings  *Settings
	client    *web.Client
	streams   *web.Client // the stream's limit is its own
	purse     *budget.Purse
	connector string
	log       *slog.Logger

	jobEvery, jobLimit time.Duration

	mu      sync.Mutex
	me      *User
	meRead  time.Time
	charged charged
}

// charged are the posts and accounts that were paid for in a UTC day: X charges for each once.
type charged struct {
	day   string
	items map[string]bool
}

// New makes a source that has called nobody yet.
func New(env source.Environment) (source.Source, error) {
	s, err := newSource(env)
	if err == nil && s.settings.Stream {
		return &streaming{Source: s, stall: stallAfter, wait: reconnect{limited: s.settings.StreamWait.Std()}}, nil
	}
	return s, err
}

func newSource(env source.Environment) (*Source, error) {
	if env.Config.Token.IsZero() {
		return nil, errors.New(`token: missing; allowed: "file:PATH" or "env:NAME" of an app's bearer token`)
	}
	settings, ok := env.Settings.(*Settings)
	if !ok {
		return nil, fmt.Errorf("settings: %T; allowed: those of X", env.Settings)
	}
	s := &Source{env: env, settings: settings, log: env.Log, connector: "x:" + env.Account.Account.Name(), jobEvery: jobEvery, jobLimit: jobLimit}
	for _, c := range []**web.Client{&s.client, &s.streams} {
		client, err := web.NewClient(cmp.Or(env.Config.BaseURL, defaultBase), env.Config.Token.Reveal(), web.NewBudget(callsPerWindow, window, env.Now, rateLimits), env.Config.AllowPrivate)
		if err != nil {
			return nil, err
		}
		client.Judge = judge
		*c = client
	}
	var err error
	s.purse, err = env.Purses.Open(settings.Budget, budget.MicroUSD,
		budget.Cap{Period: budget.Day, Limit: int64(settings.DayLimit)}, budget.Cap{Period: budget.Month, Limit: int64(settings.MonthLimit)})
	if err != nil {
		return nil, fmt.Errorf("settings.budget: %w", err)
	}
	return s, nil
}

// rateLimits reads X's headers, whose reset is in Unix seconds.
func rateLimits(h http.Header, _ time.Time) (web.Limit, bool) {
	left, err := strconv.ParseInt(h.Get("X-Rate-Limit-Remaining"), 10, 64)
	reset, resetErr := strconv.ParseInt(h.Get("X-Rate-Limit-Reset"), 10, 64)
	if err != nil || resetErr != nil || left < 0 || reset < 0 || reset > 1e11 {
		return web.Limit{}, false
	}
	total, err := strconv.ParseInt(h.Get("X-Rate-Limit-Limit"), 10, 64)
	if err != nil || total < 0 {
		total = 0
	}
	return web.Limit{Remaining: left, Total: total, Reset: time.Unix(reset, 0)}, true
}

// judge reads the problem that X states: a used-up plan is a matter of money and not of the minute.
func judge(status int, _ http.Header, body []byte) web.Verdict {
	if status < 300 {
		return web.Verdict{}
	}
	var p struct {
		Title string `json:"title"`
		Type  string `json:"type"`
	}
	if json.Unmarshal(body, &p) != nil {
		return web.Verdict{}
	}
	v := web.Verdict{Code: p.Title}
	if len(v.Code) > 80 {
		v.Code = v.Code[:80]
	}
	if status == http.StatusPaymentRequired || strings.HasSuffix(p.Type, "/usage-capped") || p.Title == "UsageCapExceeded" {
		v.Kind = web.Budget
	}
	return v
}

// Connector names the source: x and the account.
func (s *Source) Connector() string { return s.connector }

// Close releases idle connections.
func (s *Source) Close() {
	s.client.Close()
	s.streams.Close()
}

// SharedBudget names the purse, for which several accounts wait in line.
func (s *Source) SharedBudget() string { return s.settings.Budget }

// Budget is what is left of the money and of the calls.
func (s *Source) Budget() []budget.Line { return append(s.purse.Lines(), s.client.Budget.Line()) }

// Check asks X for the account.
func (s *Source) Check(ctx context.Context) error {
	_, _, err := s.account(ctx)
	return err
}

// sourceError says what a failed call means for coverage; an error of our own state stays one.
func sourceError(err error) error {
	var exhausted *budget.ExhaustedError
	var call *web.Error
	if errors.As(err, &exhausted) || errors.As(err, &call) {
		return web.AsSourceError(err)
	}
	return err
}

// account returns the official account as X has it, asked for once in a UTC day; fresh tells that it was asked for now.
func (s *Source) account(ctx context.Context) (me *User, fresh bool, err error) {
	now := s.env.Now().UTC()
	s.mu.Lock()
	me, read := s.me, s.meRead
	s.mu.Unlock()
	if me != nil && read.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return me, false, nil
	}
	official := s.env.Account.Account
	path := "/2/users/" + url.PathEscape(official.ID)
	if official.ID == "" {
		path = "/2/users/by/username/" + url.PathEscape(strings.TrimPrefix(official.Handle, "@"))
	}
	var answer struct {
		Data   *User     `json:"data"`
		Errors []Problem `json:"errors"`
	}
	err = s.paid(int64(s.settings.UserPrice), func() (int64, error) {
		err := s.client.Get(ctx, path, url.Values{"user.fields": {"public_metrics,created_at,protected"}}, &answer)
		if err != nil || answer.Data == nil {
			return 0, err
		}
		return s.charge(nil, []string{answer.Data.ID}), nil
	})
	if err != nil {
		return nil, false, sourceError(err)
	}
	if answer.Data == nil || answer.Data.ID == "" {
		return nil, false, &source.Error{Gap: schemas.GapAuth, Err: fmt.Errorf("X has no account %s: %s", official.Name(), problems(answer.Errors))}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.me, s.meRead = answer.Data, now
	return answer.Data, true, nil
}

func problems(all []Problem) string {
	if len(all) == 0 {
		return "it does not say why"
	}
	return all[0].Title
}

// paid makes a call that may cost at most so much and settles what it has cost. An answer that cannot be read was charged for all the same, and counts in
// full; without an answer there is no charge.
func (s *Source) paid(most int64, call func() (cost int64, err error)) error {
	hold, err := s.purse.Reserve(most)
	if err != nil {
		return err
	}
	cost, err := call()
	var failed *web.Error
	if errors.As(err, &failed) && failed.Status == http.StatusOK {
		cost = most
	}
	return errors.Join(err, hold.Settle(cost))
}

// charge returns what posts and accounts cost that were not paid for today, and remembers them.
func (s *Source) charge(posts, users []string) (cost int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if day := s.env.Now().UTC().Format(time.DateOnly); s.charged.day != day {
		s.charged = charged{day: day, items: map[string]bool{}}
	}
	for _, list := range []struct {
		kind  string
		ids   []string
		price Dollars
	}{{"p", posts, s.settings.PostPrice}, {"u", users, s.settings.UserPrice}} {
		for _, id := range list.ids {
			if key := list.kind + id; !s.charged.items[key] {
				s.charged.items[key] = true
				cost += int64(list.price)
			}
		}
	}
	return cost
}

// perPost is the most that one post of a page can cost.
func (s *Source) perPost() int64 {
	cost := int64(s.settings.PostPrice)
	if s.settings.Authors {
		cost += int64(s.settings.UserPrice)
	}
	return cost
}

// affordable is how many posts the next page may hold, at least least even where that is too much: then the purse refuses.
func (s *Source) affordable(least int) int {
	n := int64(mostPerPage)
	for _, l := range s.purse.Lines() {
		if price := s.perPost(); price > 0 {
			n = min(n, l.Left/price)
		}
	}
	return int(max(n, int64(least)))
}

// fields are asked for with every post. The spelling is the older one, which both releases of the API take.
func (s *Source) fields(q url.Values) {
	q.Set("tweet.fields", "created_at,author_id,conversation_id,in_reply_to_user_id,referenced_tweets,lang,public_metrics,edit_controls,entities,note_tweet,withheld")
	if s.settings.Authors {
		q.Set("expansions", "author_id")
		q.Set("user.fields", "public_metrics,created_at,protected")
	}
}

// read makes one paid call for posts, of which at most most come.
func (s *Source) read(ctx context.Context, path string, q url.Values, most int) (*Answer, error) {
	var a Answer
	s.fields(q)
	err := s.paid(int64(most)*s.perPost(), func() (int64, error) {
		if err := s.client.Get(ctx, path, q, &a); err != nil {
			return 0, err
		}
		return s.charge(a.ids()), nil
	})
	if err != nil {
		return nil, sourceError(err)
	}
	return &a, nil
}

// postIDs are the ids of the posts themselves, without those that are expanded beside them.
func (a *Answer) postIDs() (ids []string) {
	for _, raw := range a.Data {
		var p struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(raw, &p) == nil && p.ID != "" {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// ids are what X charges for in an answer.
func (a *Answer) ids() (posts, users []string) {
	posts = a.postIDs()
	for id := range a.Includes.Posts {
		posts = append(posts, id)
	}
	for id := range a.Includes.Users {
		users = append(users, id)
	}
	return posts, users
}

// maxOriginal bounds what is kept of a post that cannot be read.
const maxOriginal = 64 << 10

// item makes an item of a post; dropped tells that it is left out because its author is protected.
func (s *Source) item(raw json.RawMessage, in *Includes, me *User, now time.Time) (i source.Item, p Post, dropped bool) {
	if err := json.Unmarshal(raw, &p); err != nil {
		return source.Item{Err: &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: "post", Allowed: "a post of API v2"}, Original: raw[:min(len(raw), maxOriginal)]}, p, false
	}
	if author := in.Users[p.AuthorID]; author != nil && author.Protected {
		return source.Item{}, p, true
	}
	known := Includes{Posts: in.Posts, Users: map[string]*User{me.ID: me}}
	for id, u := range in.Users {
		known.Users[id] = u
	}
	m := p.Message(&known, s.env.Directory, now)
	m.Institution, m.Account = s.env.Account.Institution.ID, s.env.Account.Account.AuthorID()
	if err := m.Validate(now); err != nil {
		var field *schemas.FieldError
		if !errors.As(err, &field) {
			field = &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: "post", Allowed: err.Error()}
		}
		return source.Item{Err: field, Original: raw[:min(len(raw), maxOriginal)]}, p, false
	}
	return source.Item{Message: m}, p, false
}

// withheldHere tells that X withholds a post in Indonesia or everywhere.
func (p *Post) withheldHere() bool {
	for _, country := range p.Withheld {
		if country == "ID" || country == "XX" || country == "XY" {
			return true
		}
	}
	return false
}
