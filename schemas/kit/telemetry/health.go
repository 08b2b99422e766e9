package telemetry

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// readyTimeout bounds each check of /readyz.
const readyTimeout = 2 * time.Second

// Health collects the checks of /healthz and /readyz.
//
// /healthz tells of progress, not of mere life: 503 when a part with work to do has not advanced within its limit, or when
// something of it stands still beside the rest. It is what a supervisor restarts on. /readyz tells whether the service can do its work now: 503 while a check fails or the
// service drains. A database that is away makes a service not ready; restarting the service would not bring it back.
type Health struct {
	now func() time.Time

	mu       sync.Mutex
	parts    []*Progress
	checks   []readyCheck
	draining bool
}

type readyCheck struct {
	name  string
	check func(ctx context.Context) error
}

// Progress registers a part of the service that must advance within limit unless it is idle. Its clock starts now.
func (h *Health) Progress(name string, limit time.Duration) *Progress {
	p := &Progress{name: name, limit: limit, now: h.now, since: h.now()}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parts = append(h.parts, p)
	return p
}

// Ready registers a check of /readyz: nil means ready. Checks run side by side, each with two seconds.
func (h *Health) Ready(name string, check func(ctx context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, readyCheck{name, check})
}

// Drain makes /readyz fail from now on: the service finishes what it has and takes no more.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// Progress is the sign of life of one part. Its methods are safe for concurrent use.
type Progress struct {
	name  string
	limit time.Duration
	now   func() time.Time

	mu    sync.Mutex
	since time.Time // of the last advance
	idle  bool
	stuck []string
}

// Advance says that work was done, or that there is work from now on: the clock starts anew.
func (p *Progress) Advance() { p.set(false) }

// Idle says that there is no work: the clock stands until the next Advance.
func (p *Progress) Idle() { p.set(true) }

// Stuck names what of the part stands still, however well the rest gets on; the part is stalled until it is called with none.
func (p *Progress) Stuck(names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stuck = names
}

func (p *Progress) set(idle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since, p.idle = p.now(), idle
}

// check returns the part's line of /healthz.
func (p *Progress) check() Check {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := p.now().Sub(p.since)
	c := Check{Name: p.name, State: "advancing", SinceS: since.Seconds(), LimitS: p.limit.Seconds(), Stuck: p.stuck}
	switch {
	case len(p.stuck) > 0:
		c.State = "stalled"
	case p.idle:
		c.State = "idle"
	case since > p.limit:
		c.State = "stalled"
	}
	return c
}

// Status is the answer of /healthz and /readyz.
type Status struct {
	Status string  `json:"status"` // ok, failing
	Checks []Check `json:"checks"`
}

// Check is one line of a Status.
type Check struct {
	Name   string   `json:"name"`
	State  string   `json:"state"`             // of /healthz: advancing, idle, stalled; of /readyz: ready, failing
	SinceS float64  `json:"since_s,omitempty"` // seconds since the last sign of life
	LimitS float64  `json:"limit_s,omitempty"` // seconds that a part may take to advance
	Stuck  []string `json:"stuck,omitempty"`   // what of the part stands still, whatever the rest does
	Error  string   `json:"error,omitempty"`
}

// Healthy returns what /healthz answers.
func (h *Health) Healthy() Status {
	h.mu.Lock()
	parts := h.parts[:len(h.parts):len(h.parts)]
	h.mu.Unlock()
	s := Status{Status: "ok", Checks: []Check{}}
	for _, p := range parts {
		c := p.check()
		if c.State == "stalled" {
			s.Status = "failing"
		}
		s.Checks = append(s.Checks, c)
	}
	return s
}

// IsReady returns what /readyz answers.
func (h *Health) IsReady(ctx context.Context) Status {
	h.mu.Lock()
	checks, draining := h.checks[:len(h.checks):len(h.checks)], h.draining
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	s := Status{Status: "ok", Checks: make([]Check, len(checks))}
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			s.Checks[i] = Check{Name: c.name, State: "ready"}
			if err := c.check(ctx); err != nil {
				s.Checks[i] = Check{Name: c.name, State: "failing", Error: err.Error()}
			}
		})
	}
	wg.Wait()
	if draining {
		s.Checks = append(s.Checks, Check{Name: "drain", State: "failing", Error: "the service is stopping"})
	}
	for _, c := range s.Checks {
		if c.State != "ready" {
			s.Status = "failing"
		}
	}
	return s
}

func (h *Health) serveHealth(w http.ResponseWriter, _ *http.Request) { serveStatus(w, h.Healthy()) }

func (h *Health) serveReady(w http.ResponseWriter, r *http.Request) {
	serveStatus(w, h.IsReady(r.Context()))
}

func serveStatus(w http.ResponseWriter, s Status) {
	w.Header().Set("Content-Type", "application/json")
	if s.Status != "ok" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(s) // the peer is gone; there is nobody to tell
}

var stalledDesc = prometheus.NewDesc("dwiarah_progress_since_seconds", "Time since the last sign of life of a part that has work to do; 0 while it is idle.", []string{"part"}, nil)

// Describe is of prometheus.Collector.
func (h *Health) Describe(c chan<- *prometheus.Desc) { c <- stalledDesc }

// Collect is of prometheus.Collector.
func (h *Health) Collect(c chan<- prometheus.Metric) {
	for _, check := range h.Healthy().Checks {
		since := check.SinceS
		if check.State == "idle" {
			since = 0
		}
		c <- prometheus.MustNewConstMetric(stalledDesc, prometheus.GaugeValue, since, check.Name)
	}
}
