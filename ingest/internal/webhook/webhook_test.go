package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver takes what is signed "right".
type receiver struct{}

func (receiver) Verify(h http.Header, _ []byte) error {
	if h.Get("X-Signature") != "right" {
		return errors.New("wrong")
	}
	return nil
}

func (receiver) Receive(context.Context, []byte, source.Emit) error { return nil }

func (receiver) Handshake(q url.Values) (string, error) {
	if q.Get("token") != "right" {
		return "", errors.New("wrong")
	}
	return q.Get("challenge"), nil
}

// bench is a service and what it has delivered.
type bench struct {
	*testing.T
	service *Service
	dir     string

	mu   sync.Mutex
	got  []string
	fail error // what a delivery ends with
}

func newBench(t *testing.T, dir string) *bench {
	t.Helper()
	b := &bench{T: t, dir: dir}
	var err error
	b.service, err = New(Config{
		Listen: "127.0.0.1:0", Dir: dir, Log: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: prometheus.NewRegistry(),
		Targets: []Target{{Connector: "facebook:kota", Platform: "facebook", Receiver: receiver{}, Deliver: func(_ context.Context, body []byte) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.fail != nil {
				return b.fail
			}
			b.got = append(b.got, string(body))
			return nil
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) delivered() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.got...)
}

func (b *bench) call(method, target, sign, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("X-Signature", sign)
	w := httptest.NewRecorder()
	b.service.ServeHTTP(w, r)
	return w
}

func (b *bench) onDisk() int {
	files, err := b.service.files("facebook")
	if err != nil {
		b.Fatal(err)
	}
	return len(files)
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 1000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no %s", what)
}

// run runs the service and returns its address and how to stop it.
func (b *bench) run() (address string, stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- b.service.serve(ctx, listener) }()
	return listener.Addr().String(), func() error {
		cancel()
		return <-end
	}
}

func TestAnswers(t *testing.T) {
	b := newBench(t, t.TempDir())
	f := func(method, target, sign, body string, code int, answer string) {
		t.Helper()
		if w := b.call(method, target, sign, body); w.Code != code || w.Body.String() != answer && code == http.StatusOK {
			t.Errorf("%s %s: %d %q", method, target, w.Code, w.Body)
		}
	}
	f("GET", "/webhook/facebook?token=right&challenge=123", "", "", 200, "123")
	f("GET", "/webhook/facebook?token=guess&challenge=123", "", "", 403, "")
	f("GET", "/webhook/facebook?token=right&challenge="+strings.Repeat("a", 300), "", "", 403, "")
	f("GET", "/webhook/friendster?token=right&challenge=123", "", "", 404, "")
	f("GET", "/", "", "", 404, "")
	f("PUT", "/webhook/facebook", "right", "a", 405, "")
	f("POST", "/webhook/facebook", "wrong", "a", 403, "")
	f("POST", "/webhook/facebook", "", "a", 403, "")
	f("POST", "/webhook/facebook", "right", strings.Repeat("a", maxBody+1), 413, "")
	if b.onDisk() != 0 {
		t.Error("something refused is on disk")
	}
	f("POST", "/webhook/facebook", "right", "a", 200, "")
	f("POST", "/webhook/facebook", "right", "b", 200, "")
	f("POST", "/webhook/facebook", "right", "a", 200, "") // again
	if b.onDisk() != 2 {
		t.Errorf("%d on disk", b.onDisk())
	}
	if w := b.call("GET", "/webhook/facebook?token=right&challenge=%3Cscript%3E", "", ""); w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("headers %v", w.Header())
	}
}

// The answer says that the delivery is on disk, and a restart reads it.
func TestWhatWasAnsweredIsRead(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, dir)
	for n := range 5 {
		if w := b.call("POST", "/webhook/facebook", "right", fmt.Sprint(n)); w.Code != 200 {
			t.Fatal(w.Code)
		}
	}
	if len(b.delivered()) != 0 || b.onDisk() != 5 {
		t.Errorf("%v delivered, %d on disk", b.delivered(), b.onDisk())
	}
	// The process dies here.
	b = newBench(t, dir)
	address, stop := b.run()
	wait(t, "deliveries", func() bool { return len(b.delivered()) == 5 && b.onDisk() == 0 })
	res, err := http.Post("http://"+address+"/webhook/facebook", "application/json", strings.NewReader("unsigned"))
	if err != nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("%v, %v", res, err)
	} else {
		io.Copy(io.Discard, res.Body) //nolint:errcheck // Nothing is in it.
		res.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	b.call("POST", "/webhook/facebook", "right", "5")
	wait(t, "deliveries", func() bool { return len(b.delivered()) == 6 })
	if d := cmp.Diff([]string{"0", "1", "2", "3", "4", "5"}, b.delivered()); d != "" {
		t.Error(d)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestADeliveryThatThePlatformDoesNotLetUsReadWaits(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.fail = &source.Error{Gap: schemas.GapOutage, Err: errors.New("no answer")}
	b.call("POST", "/webhook/facebook", "right", "a")
	_, stop := b.run()
	time.Sleep(50 * time.Millisecond)
	if b.onDisk() != 1 {
		t.Error("it was given up")
	}
	b.mu.Lock()
	b.fail = nil
	b.mu.Unlock()
	wait(t, "delivery", func() bool { return len(b.delivered()) == 1 && b.onDisk() == 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestOurOwnErrorEndsTheService(t *testing.T) {
	b := newBench(t, t.TempDir())
	b.fail = errors.New("kafka is away")
	b.call("POST", "/webhook/facebook", "right", "a")
	if err := b.service.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "reading a delivery for facebook:kota: kafka is away") {
		t.Errorf("error %v", err)
	}
	if b.onDisk() != 1 {
		t.Error("it was given up")
	}
}

func TestAFileThatIsBroken(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "facebook"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "facebook", "1.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, dir)
	if err := b.service.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "1.json") {
		t.Errorf("error %v", err)
	}
}

// F10, of what platforms deliver.
func TestADiskThatIsFullIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	b := newBench(t, dir)
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // in the folder's place
		t.Fatal(err)
	}
	if w := b.call("POST", "/webhook/facebook", "right", "a"); w.Code != http.StatusInternalServerError {
		t.Errorf("%d", w.Code)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	// The platform tries again, and it is no replay.
	if w := b.call("POST", "/webhook/facebook", "right", "a"); w.Code != http.StatusOK || b.onDisk() != 1 {
		t.Errorf("%d, %d on disk", w.Code, b.onDisk())
	}
}

func TestTheReplayCacheIsBounded(t *testing.T) {
	b := newBench(t, t.TempDir())
	for n := range maxSeen + 10 {
		if _, fresh, room := b.service.reserve("facebook", [32]byte{byte(n), byte(n >> 8)}); !fresh || !room {
			t.Fatal("not taken")
		}
	}
	if len(b.service.seen) != maxSeen || len(b.service.order) != maxSeen {
		t.Errorf("%d seen", len(b.service.seen))
	}
	b.service.pending["facebook"] = maxPending
	if w := b.call("POST", "/webhook/facebook", "right", "a"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d", w.Code)
	}
}
