package web

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestParseReset(t *testing.T) {
	f := func(value string, want time.Duration, known bool) {
		t.Helper()
		got, ok := parseReset(value, noon)
		if ok != known || ok && got.Sub(noon) != want {
			t.Errorf("parseReset(%q) = %s %v, want %s %v", value, got, ok, want, known)
		}
	}
	f("2026-03-01T12:05:00.123456Z", 5*time.Minute+123456*time.Microsecond, true)
	f("2026-03-01T19:05:00+07:00", 5*time.Minute, true)
	f("1772366700", 5*time.Minute, true)
	f("300", 5*time.Minute, true)
	f("0.5", 500*time.Millisecond, true)
	f("", 0, false)
	f("soon", 0, false)
	f("-1", 0, false)
	f("1e300", 0, false)
}

func TestParseRetryAfter(t *testing.T) {
	f := func(value string, want time.Duration) {
		t.Helper()
		if got := parseRetryAfter(value, noon); got != want {
			t.Errorf("parseRetryAfter(%q) = %s, want %s", value, got, want)
		}
	}
	f("120", 2*time.Minute)
	f("Sun, 01 Mar 2026 12:02:00 GMT", 2*time.Minute)
	f("Sun, 01 Mar 2026 11:00:00 GMT", 0)
	f("-5", 0)
	f("soon", 0)
}

func TestBudgetBelievesTheAnswers(t *testing.T) {
	now := noon
	b := NewBudget(300, 5*time.Minute, func() time.Time { return now }, nil)
	for n := range 60 { // the burst
		if err := b.Wait(t.Context(), 0); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
	}
	if err := b.Wait(t.Context(), 0); err == nil {
		t.Error("the burst has no end")
	}
	now = now.Add(time.Second)
	if err := b.Wait(t.Context(), 0); err != nil {
		t.Errorf("a second later: %v", err)
	}
	h := http.Header{}
	h.Set("X-RateLimit-Remaining", "0")
	h.Set("X-RateLimit-Reset", now.Add(time.Minute).Format(time.RFC3339))
	b.Observe(h)
	now = now.Add(30 * time.Second)
	var e *Error
	if err := b.Wait(t.Context(), time.Second); !errors.As(err, &e) || e.Kind != Budget || e.RetryAfter != 30*time.Second {
		t.Errorf("before the reset: %v", err)
	}
	now = now.Add(30 * time.Second)
	if err := b.Wait(t.Context(), 0); err != nil {
		t.Errorf("after the reset: %v", err)
	}
	h.Set("X-RateLimit-Remaining", "2")
	h.Set("X-RateLimit-Reset", now.Add(time.Minute).Format(time.RFC3339))
	b.Observe(h)
	if err := b.Wait(t.Context(), 0); err != nil {
		t.Errorf("of the last two: %v", err)
	}
	if err := b.Wait(t.Context(), 0); err == nil || b.Line().Left != 2 {
		t.Errorf("two calls a minute were one after the other; %d left", b.Line().Left)
	}
}

func TestNewClientRefuses(t *testing.T) {
	f := func(base string, private, good bool) {
		t.Helper()
		c, err := NewClient(base, "", NewBudget(1, time.Second, time.Now, nil), private)
		if (err == nil) != good {
			t.Errorf("%s, private %v: %v", base, private, err)
		}
		if c != nil {
			c.Close()
		}
	}
	f("https://mastodon.example", false, true)
	f("http://mastodon.example", false, false)
	f("http://127.0.0.1:3000", true, true)
	f("ftp://mastodon.example", true, false)
	f("mastodon.example", false, false)
	f("https://user:pass@mastodon.example", false, false)
	f("https://mastodon.example?x=1", false, false)
	f("", true, false)
}

func TestPrivateAddressesAreRefusedAfterResolving(t *testing.T) {
	called := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer server.Close()
	c, err := NewClient(strings.Replace(server.URL, "127.0.0.1", "localhost", 1), "secret", NewBudget(100, time.Second, time.Now, nil), false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.FirstWait = time.Millisecond
	var e *Error
	if err := c.Get(t.Context(), "/", nil, &struct{}{}); !errors.As(err, &e) || e.Kind != Network || !strings.Contains(err.Error(), "is not public") || called {
		t.Errorf("%v, called %v", err, called)
	}
	f := func(address string, good bool) {
		t.Helper()
		if err := publicOnly("tcp", address, nil); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
	}
	f("203.0.113.5:443", true)
	f("10.0.0.1:443", false)
	f("192.168.1.1:443", false)
	f("169.254.169.254:80", false)
	f("100.64.1.1:443", false)
	f("[::1]:443", false)
	f("[fd00::1]:443", false)
	f("[::ffff:10.0.0.1]:443", false)
	f("[2001:db8::1]:443", true)
	f("0.0.0.0:80", false)
	f("mastodon.example:443", false)
}

func TestWord(t *testing.T) {
	for text, want := range map[string]string{"CursorTooOld": "CursorTooOld", "": "", "abcd-efgh-ijkl-mnop": "", "a b": "", strings.Repeat("a", 41): ""} {
		if got := Word(text); got != want {
			t.Errorf("Word(%q) = %q", text, got)
		}
	}
}

// F15, slow-loris: an answer that never ends, a byte at a time, is given up.
func TestAnAnswerThatTricklesIsGivenUp(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(" ")); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	}))
	defer server.Close()
	client, err := NewClient(server.URL, "", NewBudget(300, time.Minute, time.Now, nil), true)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if client.http.Timeout != callTimeout {
		t.Errorf("a call may take %v", client.http.Timeout)
	}
	client.http.Timeout, client.FirstWait = 50*time.Millisecond, time.Millisecond
	var call *Error
	if err := client.Get(t.Context(), "/", nil, new(any)); !errors.As(err, &call) || call.Kind != Truncated {
		t.Errorf("error %v", err)
	}
}

// F15, a compression bomb: a body is bounded as it is unpacked.
func TestABombIsBounded(t *testing.T) {
	var bomb bytes.Buffer
	zipped := gzip.NewWriter(&bomb)
	for range 8 * MaxBody >> 10 {
		if _, err := zipped.Write(bytes.Repeat([]byte(" "), 1<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	}))
	defer server.Close()
	client, err := NewClient(server.URL, "", NewBudget(300, time.Minute, time.Now, nil), true)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var call *Error
	if err := client.Get(t.Context(), "/", nil, new(any)); !errors.As(err, &call) || call.Kind != TooLarge {
		t.Errorf("error %v of %d bytes", err, bomb.Len())
	}
}
