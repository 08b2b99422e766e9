// Package web calls the platforms' HTTP interfaces: bounded bodies, typed errors, repeats with backoff, and a budget that the answers correct.
package web

import (
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

// AsSourceError says what a failed call means for coverage.
func AsSourceError(err error) error {
	gap := schemas.GapOutage
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

// Client calls one platform.
type Client struct {
	Base   *url.URL
	Token  string
	Budget *BudgetGuard
	// MaxWait is how long a call may wait for the platform's or the budget's leave; longer than that it fails.
	MaxWait time.Duration
	// FirstWait is how long the first repeat waits; later ones wait longer.
	FirstWait time.Duration
	http      *http.Client
}

const (
	callTimeout = 30 * time.Second
	maxTries    = 4
	maxHops     = 3
	userAgent   = "dwiarah-ingest (public engagement measurement; polls its own account)"
)

// NewClient returns a client. allowPrivate lifts the rule that a platform is reached by TLS at a public address.
func NewClient(base, token string, budget *BudgetGuard, allowPrivate bool) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !allowPrivate) || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("base_url: %q; allowed: https:// and a host, as https://mastodon.example; http only with allow_private", base)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if !allowPrivate {
		dialer.Control = publicOnly
	}
	return &Client{
		Base: u, Token: token, Budget: budget, MaxWait: 20 * time.Second, FirstWait: 250 * time.Millisecond,
		http: &http.Client{
			Timeout: callTimeout,
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
		},
	}, nil
}

// publicOnly refuses, once the name is resolved, addresses inside: a platform's name must not lead to our own services.
func publicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("reading the address %q: %w", address, err)
	}
	ip := ap.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || sharedSpace.Contains(ip) {
		return fmt.Errorf("address %s is not public; allowed: public addresses, or allow_private", ip)
	}
	return nil
}

// sharedSpace is the carriers' inner network (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// Close releases idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get calls a path and decodes the JSON answer into v. What can be repeated is, a few times. The error is an *Error unless ctx ended.
func (c *Client) Get(ctx context.Context, path string, query url.Values, v any) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = c.FirstWait
	wait.MaxInterval = 5 * time.Second
	body, err := backoff.Retry(ctx, func() ([]byte, error) {
		body, err := c.once(ctx, path, query)
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
			return e
		}
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return &Error{Kind: NotJSON, Path: path, Err: err}
	}
	return nil
}

func (c *Client) once(ctx context.Context, path string, query url.Values) ([]byte, error) {
	if err := c.Budget.Wait(ctx, c.MaxWait); err != nil {
		return nil, withPath(err, path)
	}
	u := c.Base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, &Error{Kind: Refused, Path: path, Err: err}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // its text repeats the query, which may hold ids
		}
		return nil, &Error{Kind: Network, Path: path, Err: err}
	}
	defer res.Body.Close() //nolint:errcheck // It was only read.
	c.Budget.Observe(res.Header)
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
	return body, c.judge(res, body, err, path)
}

// judge turns an answer into an error, or nil.
func (c *Client) judge(res *http.Response, body []byte, readErr error, path string) error {
	fail := func(kind Kind, err error) error {
		return &Error{Kind: kind, Status: res.StatusCode, Path: path, Err: err, RetryAfter: c.Budget.retryAfter(res.Header)}
	}
	isJSON := jsonType(res.Header.Get("Content-Type")) && json.Valid(body)
	switch {
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
	case (res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone) && isJSON:
		return fail(Gone, nil)
	case res.StatusCode >= 300 && res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusGone:
		return fail(Refused, nil)
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
