package bluesky

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// Limits of the interface: calls per address and five minutes, items per page and per question.
const (
	callsPerWindow = 3000
	window         = 5 * time.Minute
	pageSize       = 100
	postsPerCall   = 25
)

// API calls a PDS or an AppView. With an identifier and a password it opens a session at the PDS, which passes the calls on; without, it is anybody.
type API struct {
	Client     *web.Client
	identifier string
	password   string
	directory  *institutions.Directory
	now        func() time.Time

	session sync.Mutex // held while a session is opened or refreshed
	mu      sync.Mutex
	access  string
	refresh string
	names   map[string]string // of official accounts, by DID
}

// NewAPI returns an API that has called nobody.
func NewAPI(base, identifier, password string, directory *institutions.Directory, allowPrivate bool, now func() time.Time) (*API, error) {
	client, err := web.NewClient(base, "", web.NewBudget(callsPerWindow, window, now, nil), allowPrivate)
	if err != nil {
		return nil, err
	}
	a := &API{Client: client, identifier: identifier, password: password, directory: directory, now: now, names: map[string]string{}}
	client.Authorize = func(r *http.Request) {
		if token := a.token(); token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
	}
	client.Judge = judge
	for _, in := range directory.All() {
		for _, account := range in.Accounts[schemas.PlatformBluesky] {
			if account.ID != "" {
				a.names[account.ID] = account.AuthorID()
			}
		}
	}
	return a, nil
}

func (a *API) token() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.access
}

// failure is the body of an error.
type failure struct {
	Error   string `json:"error"`
	Message string `json:"message"`
}

// Words of the interface for what went wrong.
const (
	expired     = "ExpiredToken"
	takenDown   = "AccountTakedown"
	suspended   = "AccountSuspended"
	deactivated = "AccountDeactivated"
	noProfile   = "ProfileNotFound"
)

// judge reads the interface's own word: it answers 400 for nearly everything.
func judge(status int, _ http.Header, body []byte) web.Verdict {
	if status < 400 || status >= 500 {
		return web.Verdict{}
	}
	var f failure
	if json.Unmarshal(body, &f) != nil {
		return web.Verdict{}
	}
	code := web.Word(f.Error)
	switch {
	case f.Error == expired || f.Error == "InvalidToken" || f.Error == "AuthMissing" || f.Error == "AuthenticationRequired":
		return web.Verdict{Kind: web.Auth, Code: code}
	case status == http.StatusBadRequest && (f.Error == takenDown || f.Error == suspended || f.Error == deactivated || f.Error == "NotFound"):
		return web.Verdict{Kind: web.Gone, Code: code}
	case status == http.StatusBadRequest && f.Message == "Profile not found":
		return web.Verdict{Kind: web.Gone, Code: noProfile}
	}
	return web.Verdict{Code: code}
}

// session is what a PDS answers when a session is opened or refreshed.
type session struct {
	Access  string `json:"accessJwt"`
	Refresh string `json:"refreshJwt"`
}

// open opens a session, or refreshes the one that has expired: opening is limited to 300 a day.
func (a *API) open(ctx context.Context, stale string) error {
	a.session.Lock()
	defer a.session.Unlock()
	a.mu.Lock()
	access, refresh := a.access, a.refresh
	a.mu.Unlock()
	if access != stale {
		return nil // somebody else has just done it
	}
	var s session
	var err error
	if refresh != "" {
		_, err = a.Client.Do(ctx, web.Call{Method: http.MethodPost, Path: "/xrpc/com.atproto.server.refreshSession", Header: http.Header{"Authorization": {"Bearer " + refresh}}}, &s)
	}
	var call *web.Error
	if refresh == "" || errors.As(err, &call) && call.Kind == web.Auth {
		_, err = a.Client.Do(ctx, web.Call{
			Method: http.MethodPost, Path: "/xrpc/com.atproto.server.createSession", Header: http.Header{"Authorization": nil},
			Body: map[string]string{"identifier": a.identifier, "password": a.password},
		}, &s)
	}
	if err != nil {
		return err
	}
	if s.Access == "" {
		return &web.Error{Kind: web.NotJSON, Path: "/xrpc/com.atproto.server.createSession", Err: errors.New("a session without its token")}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.access, a.refresh = s.Access, s.Refresh
	return nil
}

// Get asks a question, with a session where there is a password. The error is a *source.Error unless ctx ended.
func (a *API) Get(ctx context.Context, method string, query url.Values, v any) error {
	err := a.get(ctx, method, query, v)
	if err != nil && ctx.Err() == nil {
		return web.AsSourceError(err)
	}
	return err
}

func (a *API) get(ctx context.Context, method string, query url.Values, v any) error {
	token := a.token()
	if a.password != "" && token == "" {
		if err := a.open(ctx, ""); err != nil {
			return err
		}
		token = a.token()
	}
	err := a.Client.Get(ctx, "/xrpc/"+method, query, v)
	var call *web.Error
	if a.password != "" && errors.As(err, &call) && call.Code == expired {
		if err := a.open(ctx, token); err != nil {
			return err
		}
		err = a.Client.Get(ctx, "/xrpc/"+method, query, v)
	}
	return err
}

// Author names the author of a DID.
func (a *API) Author(did string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return cmp.Or(a.names[did], did)
}

// Official tells whether a DID is an official account's.
func (a *API) Official(did string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names[did] != ""
}

// Officials are the DIDs of the official accounts that are known: those that institutions.yaml has, and those that Resolve has asked for.
func (a *API) Officials() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make(map[string]string, len(a.names))
	for did, name := range a.names {
		all[did] = name
	}
	return all
}

// Profile asks for an account, by handle or DID.
func (a *API) profile(ctx context.Context, account institutions.Account) (profile, error) {
	var p profile
	err := a.Get(ctx, "app.bsky.actor.getProfile", url.Values{"actor": {cmp.Or(account.ID, account.Handle)}}, &p)
	if err == nil && p.DID == "" {
		err = &source.Error{Gap: schemas.GapOutage, Err: errors.New("a profile without its DID")}
	}
	if err == nil {
		a.mu.Lock()
		a.names[p.DID] = account.AuthorID()
		a.mu.Unlock()
	}
	return p, err
}

// Resolve asks for the DIDs of the official accounts that institutions.yaml has by handle only.
func (a *API) Resolve(ctx context.Context) error {
	for _, in := range a.directory.All() {
		for _, account := range in.Accounts[schemas.PlatformBluesky] {
			if account.ID != "" || a.named(account.AuthorID()) {
				continue
			}
			if _, err := a.profile(ctx, account); err != nil {
				return fmt.Errorf("asking for the DID of an account of %s: %w", in.ID, err)
			}
		}
	}
	return nil
}

// identify asks for the DID of an official account, unless it is known; of all of them where the account is zero.
func (a *API) identify(ctx context.Context, account source.Account) error {
	if account.Institution == nil {
		return a.Resolve(ctx)
	}
	if account.Account.ID != "" || a.named(account.Account.AuthorID()) {
		return nil
	}
	_, err := a.profile(ctx, account.Account)
	return err
}

func (a *API) named(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.names {
		if n == name {
			return true
		}
	}
	return false
}

// threadDepth is how deep below a post a thread is asked for.
const threadDepth = 100

// below returns what stands below a post.
func (a *API) below(ctx context.Context, uri string, do func(*rawView)) error {
	var thread struct {
		Thread threadNode `json:"thread"`
	}
	err := a.Get(ctx, "app.bsky.feed.getPostThread", url.Values{"uri": {uri}, "depth": {strconv.Itoa(threadDepth)}, "parentHeight": {"0"}}, &thread)
	if err != nil && !web.IsGone(err) {
		return err
	}
	thread.Thread.below(0, do)
	return nil
}

// Threads reads an official account's posts in [since, until) and everything below them: what can be had without a session.
func (a *API) Threads(ctx context.Context, account source.Account, since, until time.Time, emit source.Emit) error {
	p, err := a.profile(ctx, account.Account)
	if err != nil {
		return err
	}
	w := walk{api: a, account: account, did: p.DID, now: a.now().UTC(), emit: emit}
	return w.down(ctx, w.ownFeed(), since, func(ctx context.Context, views []*rawView) error {
		var page source.Page
		for _, v := range views {
			if at := v.sortAt(); v.err == nil && !at.Before(until) {
				continue
			}
			page.Items = append(page.Items, a.item(v, account, w.now))
			if v.err != nil || v.Replies == nil || *v.Replies == 0 {
				continue
			}
			if err := a.below(ctx, v.URI, func(below *rawView) { page.Items = append(page.Items, a.item(below, account, w.now)) }); err != nil {
				return err
			}
		}
		return emit(ctx, page)
	})
}
