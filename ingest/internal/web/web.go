// Package web calls the platforms' HTTP interfaces: bounded bodies, typed errors, repeats with backoff, and a budget that the answers correct.
package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
)

// Kind of a failed call.
type Kind string

const (
	// Auth: the token is refused (401, 403).
	Auth Kind = "auth"
	// Gone: the platform says that there is no such thing (404, 410), in its own form. It may be deleted or hidden.
	Gone Kind = "gone"
	// Limited: too many calls (429).
	Limited Kind = "limited"
	// Budget: our own budget says to wait longer than a poll may take.
	Budget Kind = "budget"
	// Refused: another 4xx.
	Refused Kind = "refused"
	// Server: 5xx.
	Server Kind = "server"
	// Network: no answer, or not in time.
	Network Kind = "network"
	// NotJSON: an answer in another form, as the HTML page of a proxy.
	NotJSON Kind = "not_json"
	// TooLarge: a body over MaxBody, decompressed.
	TooLarge Kind = "too_large"
	// Truncated: a body that breaks off.
	Truncated Kind = "truncated"
)

// Error is a failed call.
type Error struct {
	Kind   Kind
	Status int    // 0 without an answer
	Path   string // of the call, without its query
	Code   string // the platform's own word for it, where its Judge reads one
	// RetryAfter is how long the platform asks to wait; 0 when it does not say.
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "calling %s: %s", e.Path, e.Kind)
	if e.Status != 0 {
		fmt.Fprintf(&b, ", status %d", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, ", %s", e.Code)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, ", again after %s", e.RetryAfter.Round(time.Second))
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// repeatable tells that the same call may succeed in a moment.
func (e *Error) repeatable() bool {
	switch e.Kind {
	case Server, Network, Truncated, NotJSON, Limited:
		return true
	}
	return false
}

// IsGone tells that the platform itself says that the thing is not there.
func IsGone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == Gone
}

// AsSourceError says what a failed call means for coverage: also one that a purse refused.
func AsSourceError(err error) error {
	gap := schemas.GapOutage
	var exhausted *budget.ExhaustedError
	if errors.As(err, &exhausted) {
		gap = schemas.GapBudget
	}
	var e *Error
	if errors.As(err, &e) {
		switch e.Kind {
		case Auth:
			gap = schemas.GapAuth
		case Limited, Budget:
			gap = schemas.GapBudget
		}
	}
	return &source.Error{Gap: gap, Err: err}
}

// MaxBody is the largest body that is read, decompressed.
const MaxBody = 8 << 20

// Verdict is what a platform's own words say of an answer.
type Verdict struct {
	// Kind of the failure; empty leaves it to the status.
	Kind Kind
	// Code is the platform's word for it, for the error's text. It never holds what a person wrote.
	Code string
	// RetryAfter is how long the answer asks to wait; 0 leaves it to the headers.
	RetryAfter time.Duration
}

// Word is a platform's word if it is one, letters only, and else empty: what a server writes for an error may be anything, the token included.
func Word(text string) string {
	const longest = 40
	if len(text) > longest || strings.ContainsFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }) {
		return ""
	}
	return text
}

// Judge reads a whole answer in JSON, one with an error in it or not.
type Judge func(status int, h http.Header, body []byte) Verdict

// Call is one call of a platform.
type Call struct {
	// Method is GET when empty.
	Method string
	Path   string
	Query  url.Values
	// Body is sent as JSON; nil sends none.
	Body any
	// Plain is sent as it is, as text, in Body's place.
	Plain []byte
	// Header is added.
	Header http.Header
	// Shown stands for the path in errors, where the platform wants its token in the path.
	Shown string
	// Raw takes an answer in any form; the value to decode into is a *[]byte.
	Raw bool
}

func (c Call) shown() string { return cmp.Or(c.Shown, c.Path) }

// Client calls one platform.
type Client struct {
	Base   *url.URL
	Token  string
	Budget *BudgetGuard
	// Authorize puts the token into a request; nil puts it into the Authorization header.
	Authorize func(*http.Request)
	// Judge may overrule what the status says; nil leaves it to the status.
	Judge Judge
	// MaxWait is how long a call may wait for the platform's or the budget's leave; longer than that it fails.
	MaxWait time.Duration
	// FirstWait is how long the first repeat waits; later ones wait longer.
	FirstWait time.Duration
	http      *http.Client
	streams   *http.Client // the same without an end to the answer
}

const (
	callTimeout = 30 * time.Second
	maxTries    = 4
	maxHops     = 3
	userAgent   = "dwiarah-ingest (public engagement measurement; polls its own account)"
)

// NewClient returns a client. allowPrivate lifts the rule that a platform is reached by TLS at a public address.
func NewClient(base, token string, guard *BudgetGuard, allowPrivate bool) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !allowPrivate) || u.User != nil || u.RawQuery != "" {
		shown := ""
		if err == nil {
			shown = u.Scheme + "://" + u.Host + u.Path // a password or a key has no place in an error
		}
		return nil, fmt.Errorf("base_url: %q; allowed: https:// and a host, as https://mastodon.example; http only with allow_private", shown)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if !allowPrivate {
		dialer.Control = publicOnly
	}
	streams := &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 20 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, IdleConnTimeout: time.Minute, MaxConnsPerHost: 4, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(next *http.Request, past []*http.Request) error {
			// The token travels along; it is for this host only.
			if next.URL.Host != u.Host || next.URL.Scheme != u.Scheme || len(past) > maxHops {
				return fmt.Errorf("a redirect to %s; allowed: at most %d, on the same host", next.URL.Host, maxHops)
			}
			return nil
		},
	}
	calls := *streams
	calls.Timeout = callTimeout
	return &Client{Base: u, Token: token, Budget: guard, MaxWait: 20 * time.Second, FirstWait: 250 * time.Millisecond, http: &calls, streams: streams}, nil
}

var errNotPublic = errors.New("is not public")

// publicOnly refuses, once the name is resolved, addresses inside: a platform's name must not lead to our own services.
func publicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("reading the address %q: %w", address, err)
	}
	ip := ap.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || sharedSpace.Contains(ip) {
		return fmt.Errorf("address %s %w; allowed: public addresses, or allow_private", ip, errNotPublic)
	}
	return nil
}

// sharedSpace is the carriers' inner network (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// Close releases idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get calls a path and decodes the JSON answer into v.
func (c *Client) Get(ctx context.Context, path string, query url.Values, v any) error {
	_, err := c.Do(ctx, Call{Path: path, Query: query}, v)
	return err
}

// Do makes a call and decodes the JSON answer into v; nil leaves it. What can be repeated is, a few times. The error is an *Error unless ctx ended; the headers
// are those of the last answer, where there was one.
func (c *Client) Do(ctx context.Context, call Call, v any) (http.Header, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = c.FirstWait
	wait.MaxInterval = 5 * time.Second
	var headers http.Header
	body, err := backoff.Retry(ctx, func() ([]byte, error) {
		body, h, err := c.once(ctx, call)
		if h != nil {
			headers = h
		}
		var e *Error
		switch {
		case err == nil:
			return body, nil
		case !errors.As(err, &e) || !e.repeatable() || e.RetryAfter > c.MaxWait:
			return nil, backoff.Permanent(err)
		case e.RetryAfter > 0:
			return nil, errors.Join(err, backoff.RetryAfter(int(e.RetryAfter/time.Second)+1))
		}
		return nil, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(maxTries))
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			return headers, e
		}
		return headers, err
	}
	switch raw, isRaw := v.(*[]byte); {
	case call.Raw && isRaw:
		*raw = body
	case v != nil:
		if err := json.Unmarshal(body, v); err != nil {
			return headers, &Error{Kind: NotJSON, Path: call.shown(), Err: errors.New("the JSON is of another shape")}
		}
	}
	return headers, nil
}

// request builds a call's request.
func (c *Client) request(ctx context.Context, call Call) (*http.Request, error) {
	u := c.Base.JoinPath(call.Path)
	u.RawQuery = call.Query.Encode()
	var body io.Reader
	if call.Body != nil {
		b, err := json.Marshal(call.Body)
		if err != nil {
			return nil, &Error{Kind: Refused, Path: call.shown(), Err: err}
		}
		body = bytes.NewReader(b)
	}
	contentType := "application/json"
	if call.Plain != nil {
		body, contentType = bytes.NewReader(call.Plain), "text/plain"
	}
	req, err := http.NewRequestWithContext(ctx, cmp.Or(call.Method, http.MethodGet), u.String(), body)
	if err != nil {
		return nil, &Error{Kind: Refused, Path: call.shown(), Err: errors.New("it makes no address")}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	switch {
	case c.Authorize != nil:
		c.Authorize(req)
	case c.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	for name, values := range call.Header {
		req.Header[name] = values
	}
	return req, nil
}

// send sends a request. The error names neither its query nor its path, which may hold ids or a token.
func (c *Client) send(client *http.Client, req *http.Request, call Call) (*http.Response, error) {
	res, err := client.Do(req)
	if err == nil {
		return res, nil
	}
	if req.Context().Err() != nil {
		return nil, context.Cause(req.Context())
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return nil, &Error{Kind: Network, Path: call.shown(), Err: err}
}

func (c *Client) once(ctx context.Context, call Call) ([]byte, http.Header, error) {
	if err := c.Budget.Wait(ctx, c.MaxWait); err != nil {
		return nil, nil, withPath(err, call.shown())
	}
	req, err := c.request(ctx, call)
	if err != nil {
		return nil, nil, err
	}
	res, err := c.send(c.http, req, call)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close() //nolint:errcheck // It was only read.
	c.Budget.Observe(res.Header)
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
	return body, res.Header, c.judge(res, body, err, call)
}

// judge turns an answer into an error, or nil.
func (c *Client) judge(res *http.Response, body []byte, readErr error, call Call) error {
	isJSON := jsonType(res.Header.Get("Content-Type")) && json.Valid(body)
	var verdict Verdict
	if c.Judge != nil && isJSON && readErr == nil && len(body) <= MaxBody {
		verdict = c.Judge(res.StatusCode, res.Header, body)
	}
	fail := func(kind Kind, err error) error {
		e := &Error{Kind: kind, Status: res.StatusCode, Path: call.shown(), Code: verdict.Code, Err: err, RetryAfter: verdict.RetryAfter}
		if e.RetryAfter == 0 {
			e.RetryAfter = c.Budget.retryAfter(res.Header)
		}
		if kind == Limited && e.RetryAfter > 0 {
			c.Budget.Close(c.Budget.now().Add(e.RetryAfter))
		}
		return e
	}
	switch {
	case verdict.Kind != "":
		return fail(verdict.Kind, nil)
	case res.StatusCode == http.StatusTooManyRequests:
		return fail(Limited, nil)
	case res.StatusCode >= 500:
		return fail(Server, nil)
	case readErr != nil:
		return fail(Truncated, readErr)
	case len(body) > MaxBody:
		return fail(TooLarge, fmt.Errorf("over %d bytes", MaxBody))
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return fail(Auth, nil)
	case (res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone) && (isJSON || call.Raw):
		return fail(Gone, nil)
	case res.StatusCode >= 300 && res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusGone:
		return fail(Refused, nil)
	case call.Raw:
		return nil
	case !isJSON && jsonType(res.Header.Get("Content-Type")):
		return fail(Truncated, errors.New("the JSON breaks off"))
	case !isJSON:
		// Also a 404 of some proxy: only the platform's own word counts as gone.
		return fail(NotJSON, fmt.Errorf("the answer is %q", res.Header.Get("Content-Type")))
	}
	return nil
}

func jsonType(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

func withPath(err error, path string) error {
	var e *Error
	if errors.As(err, &e) {
		e.Path = path
	}
	return err
}

// parseRetryAfter reads seconds or an HTTP date.
func parseRetryAfter(value string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(value); err == nil && s >= 0 {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
