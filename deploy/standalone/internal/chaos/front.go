package chaos

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// codes are what ClickHouse refuses an INSERT with for a while: too many parts, no memory, a table that is read-only, a timeout, the network, no space.
var codes = []int{252, 241, 242, 159, 210, 243}

// front stands before ClickHouse, and while it is bad it refuses INSERTs, before or after it has let them in, or lets them wait.
type front struct {
	proxy  *httputil.ReverseProxy
	server http.Server
	addr   string
	bad    atomic.Bool

	mu                         sync.Mutex
	refused, mistaken, delayed int // INSERTs that ClickHouse did not get; that it got, which the answer denied; that waited
}

func newFront(upstream string) (*front, error) {
	f := &front{proxy: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: upstream})}
	// An engine that dies shows as a connection that breaks, as it does without anything in front.
	f.proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("standing before ClickHouse: %w", err)
	}
	f.addr, f.server.Handler = listener.Addr().String(), f
	go func() {
		if err := f.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return f, nil
}

// count adds what became of INSERTs to the faults that were struck.
func (f *front) count(struck map[string]int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for what, n := range map[string]int{"INSERT refused": f.refused, "INSERT done and denied": f.mistaken, "INSERT delayed": f.delayed} {
		if n > 0 {
			struck[what] = n
		}
	}
}

func (f *front) close() error { return f.server.Close() }

// turn decides what becomes of one INSERT, in turn, so that a few of them see everything.
func (f *front) turn() (code int, before bool, wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.refused + f.mistaken + f.delayed
	code = codes[n%len(codes)]
	switch n % 4 {
	case 1:
		f.mistaken++
		return code, false, 0
	case 3:
		f.delayed++
		return 0, false, 2 * time.Second
	default:
		f.refused++
		return code, true, 0
	}
}

// ServeHTTP passes on what is no INSERT as it is.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !f.bad.Load() || !strings.HasPrefix(r.URL.Query().Get("query"), "INSERT") {
		f.proxy.ServeHTTP(w, r)
		return
	}
	code, before, wait := f.turn()
	switch {
	case before:
		_, _ = io.Copy(io.Discard, r.Body) // who breaks off here learns nothing either way
	case code == 0:
		select {
		case <-r.Context().Done():
			return
		case <-time.After(wait):
		}
		f.proxy.ServeHTTP(w, r)
		return
	default:
		f.proxy.ServeHTTP(unheard{}, r)
	}
	w.Header().Set("X-ClickHouse-Exception-Code", fmt.Sprint(code))
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprintf(w, "Code: %d. DB::Exception: as the harness wants it.\n", code)
}

// unheard is where an answer goes that nobody gets.
type unheard struct{}

func (unheard) Header() http.Header         { return http.Header{} }
func (unheard) Write(b []byte) (int, error) { return len(b), nil }
func (unheard) WriteHeader(int)             {}
