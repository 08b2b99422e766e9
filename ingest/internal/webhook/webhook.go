// Package webhook takes what platforms deliver: it checks the signature, puts the delivery on disk, answers, and only then has it read. What was answered with
// 200 is read, however often the process dies in between.
package webhook

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/state"
	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
)

// Prefix is the path below which each platform has its own: /webhook/facebook.
const Prefix = "/webhook/"

const (
	// maxBody is the largest delivery; Meta's are a few kilobytes.
	maxBody = 1 << 20
	// maxPending bounds the deliveries on disk that were not read yet. Beyond it they are refused, and the platform tries again for a day.
	maxPending = 100_000
	// maxSeen is how many deliveries are remembered, to answer one that comes again without reading it again.
	maxSeen = 10_000
	// maxChallenge bounds what a handshake is answered with.
	maxChallenge = 200
	// firstRetry and lastRetry are how long a delivery that could not be read waits.
	firstRetry, lastRetry = time.Second, 5 * time.Minute
)

// Target is a source that takes deliveries.
type Target struct {
	Connector, Platform string
	Receiver            source.Receiver
	// Deliver has a delivery read: after nil it is durable, or not this target's.
	Deliver func(ctx context.Context, body []byte) error
}

// Config configures a Service. All but Metrics are required.
type Config struct {
	// Listen is host:port; port 0 takes a free one. TLS is for who stands before it.
	Listen string
	// Dir keeps deliveries that were not read yet.
	Dir     string
	Targets []Target
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil means none
	Now     func() time.Time
}

// Service takes deliveries.
type Service struct {
	cfg       Config
	platforms []string
	results   *prometheus.CounterVec

	mu      sync.Mutex
	seen    map[[32]byte]bool
	order   [][32]byte // of seen, the oldest first
	pending map[string]int
	last    int64 // names files in the order in which they came

	wake map[string]chan struct{} // by platform
}

// results of a delivery.
const (
	accepted = "accepted"
	replayed = "replayed"
	refused  = "refused"
	tooLarge = "too_large"
	full     = "full"
	failed   = "failed"
)

// New looks for deliveries that an earlier run has left. It does not listen yet.
func New(cfg Config) (*Service, error) {
	s := &Service{
		cfg: cfg, seen: map[[32]byte]bool{}, pending: map[string]int{}, wake: map[string]chan struct{}{},
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dwiarah_ingest_webhook_deliveries_total", Help: "Deliveries by platform and by what became of them.",
		}, []string{"platform", "result"}),
	}
	for _, t := range cfg.Targets {
		if slices.Contains(s.platforms, t.Platform) {
			continue
		}
		s.platforms = append(s.platforms, t.Platform)
		s.wake[t.Platform] = make(chan struct{}, 1)
		for _, result := range []string{accepted, replayed, refused, tooLarge, full, failed} {
			s.results.WithLabelValues(t.Platform, result)
		}
		files, err := s.files(t.Platform)
		if err != nil {
			return nil, err
		}
		s.pending[t.Platform] = len(files)
	}
	if cfg.Metrics != nil {
		waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dwiarah_ingest_webhook_pending", Help: "Deliveries on disk that were not read yet.",
		}, func() float64 { return float64(s.waiting()) })
		for _, c := range []prometheus.Collector{s.results, waiting} {
			if err := cfg.Metrics.Register(c); err != nil {
				return nil, fmt.Errorf("registering the webhook's metrics: %w", err)
			}
		}
	}
	return s, nil
}

// Platforms are those of the targets, each with a path of its own.
func (s *Service) Platforms() []string { return s.platforms }

func (s *Service) waiting() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, count := range s.pending {
		n += count
	}
	return n
}

// Run takes deliveries and has them read until ctx ends. The error is of our own state.
func (s *Service) Run(ctx context.Context) error {
	listener, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening for webhooks: %w", err)
	}
	s.cfg.Log.Info("taking webhooks", "address", listener.Addr().String(), "platforms", s.platforms)
	return s.serve(ctx, listener)
}

func (s *Service) serve(ctx context.Context, listener net.Listener) error {
	stopped := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	var all sync.WaitGroup
	for _, platform := range s.platforms {
		all.Go(func() {
			if err := s.read(ctx, platform); err != nil {
				cancel(err)
			}
		})
	}
	all.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("serving webhooks: %w", err))
		}
	})
	<-ctx.Done()
	why := context.Cause(ctx)
	limit, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	err := server.Shutdown(limit)
	all.Wait()
	if stopped.Err() != nil {
		return err
	}
	return errors.Join(why, err)
}

// ServeHTTP answers a platform.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	platform, below := strings.CutPrefix(r.URL.Path, Prefix)
	if !below || !slices.Contains(s.platforms, platform) {
		http.NotFound(w, r)
		return
	}
	switch r.Method {
	case http.MethodGet:
		s.handshake(w, r, platform)
	case http.MethodPost:
		code, result := s.take(r, w, platform)
		s.results.WithLabelValues(platform, result).Inc()
		w.WriteHeader(code)
	default:
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (s *Service) handshake(w http.ResponseWriter, r *http.Request, platform string) {
	for _, t := range s.cfg.Targets {
		h, can := t.Receiver.(source.Handshaker)
		if t.Platform != platform || !can {
			continue
		}
		if answer, err := h.Handshake(r.URL.Query()); err == nil && len(answer) <= maxChallenge {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			fmt.Fprint(w, answer)
			return
		}
	}
	w.WriteHeader(http.StatusForbidden)
}

// take puts a delivery on disk and says how to answer.
func (s *Service) take(r *http.Request, w http.ResponseWriter, platform string) (code int, result string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge, tooLarge
	case err != nil:
		return http.StatusBadRequest, refused
	case !s.verified(r.Header, body, platform):
		return http.StatusForbidden, refused
	}
	sum := sha256.Sum256(append([]byte(platform+"\x00"), body...))
	path, fresh, room := s.reserve(platform, sum)
	switch {
	case !fresh:
		return http.StatusOK, replayed
	case !room:
		return http.StatusServiceUnavailable, full
	}
	if err := s.file(path).Save(delivery{Received: s.cfg.Now().UTC(), Body: body}); err != nil {
		s.release(platform, sum)
		s.cfg.Log.Error("keeping a delivery", "platform", platform, "error", err)
		return http.StatusInternalServerError, failed
	}
	crashpoint.Hit("ingest.webhook.after_save")
	select {
	case s.wake[platform] <- struct{}{}:
	default:
	}
	return http.StatusOK, accepted
}

func (s *Service) verified(h http.Header, body []byte, platform string) bool {
	for _, t := range s.cfg.Targets {
		if t.Platform == platform && t.Receiver.Verify(h, body) == nil {
			return true
		}
	}
	return false
}

// reserve notes a delivery before it is on disk, so that the same one beside it is not kept twice.
func (s *Service) reserve(platform string, sum [32]byte) (path string, fresh, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[sum] {
		return "", false, true
	}
	if s.pending[platform] >= maxPending {
		return "", true, false
	}
	s.seen[sum] = true
	if s.order = append(s.order, sum); len(s.order) > maxSeen {
		delete(s.seen, s.order[0])
		s.order = s.order[1:]
	}
	s.pending[platform]++
	s.last = max(s.last+1, s.cfg.Now().UnixNano())
	return filepath.Join(s.cfg.Dir, platform, fmt.Sprintf("%020d.json", s.last)), true, true
}

func (s *Service) release(platform string, sum [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, sum)
	s.order = slices.DeleteFunc(s.order, func(other [32]byte) bool { return other == sum })
	s.pending[platform]--
}

// delivery is what is on disk: as it came, and so with the names of people. It is removed once it is read.
type delivery struct {
	Received time.Time `json:"received"`
	Body     []byte    `json:"body"`
}

func (s *Service) file(path string) state.File {
	return state.File{Path: path, Kind: "delivery", Version: 1}
}

// files are a platform's deliveries in the order in which they came.
func (s *Service) files(platform string) ([]string, error) {
	dir := filepath.Join(s.cfg.Dir, platform)
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the deliveries: %w", err)
	}
	var paths []string
	for _, f := range list { // sorted by name
		if strings.HasSuffix(f.Name(), ".json") && !strings.HasPrefix(f.Name(), ".") {
			paths = append(paths, filepath.Join(dir, f.Name()))
		}
	}
	return paths, nil
}

// read has a platform's deliveries read, one after the other: what a platform says of a message comes in an order.
func (s *Service) read(ctx context.Context, platform string) error {
	wait := firstRetry
	for {
		err := s.readAll(ctx, platform)
		var theirs *source.Error
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			wait = firstRetry
			select {
			case <-s.wake[platform]:
			case <-ctx.Done():
			}
			continue
		case !errors.As(err, &theirs):
			return err
		}
		s.cfg.Log.Warn("a delivery waits", "platform", platform, "for", wait, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		wait = min(2*wait, lastRetry)
	}
}

func (s *Service) readAll(ctx context.Context, platform string) error {
	paths, err := s.files(platform)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if ctx.Err() != nil {
			return nil
		}
		var d delivery
		if _, err := s.file(path).Load(&d); err != nil {
			return err
		}
		for _, t := range s.cfg.Targets {
			if t.Platform != platform {
				continue
			}
			if err := t.Deliver(ctx, d.Body); err != nil {
				return fmt.Errorf("reading a delivery for %s: %w", t.Connector, err)
			}
		}
		crashpoint.Hit("ingest.webhook.after_read")
		if err := s.file(path).Remove(); err != nil {
			return err
		}
		s.mu.Lock()
		s.pending[platform]--
		s.mu.Unlock()
	}
	return nil
}
