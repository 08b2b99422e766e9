// Package telemetry is what a service shows of itself: logs, metrics and health.
package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Config configures logs and the HTTP server of metrics and health.
type Config struct {
	Listen string    `koanf:"listen"` // host:port of /metrics, /healthz and /readyz; port 0 takes a free one; empty means no server
	Log    LogConfig `koanf:"log"`
}

// LogConfig configures the logger, which writes to standard error.
type LogConfig struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // json, text
}

// DefaultConfig returns the defaults: info, JSON, 127.0.0.1:9100.
func DefaultConfig() Config {
	return Config{Listen: "127.0.0.1:9100", Log: LogConfig{Level: "info", Format: "json"}}
}

// Validate reports an address that cannot be listened on.
func (c Config) Validate(report config.Report) {
	if _, _, err := net.SplitHostPort(c.Listen); c.Listen != "" && err != nil {
		report("listen", c.Listen, "host:port, or nothing for no server")
	}
}

// Validate reports what is no level or format.
func (c LogConfig) Validate(report config.Report) {
	if _, err := c.level(); err != nil {
		report("level", c.Level, "debug, info, warn or error")
	}
	if c.Format != "json" && c.Format != "text" {
		report("format", c.Format, "json or text")
	}
}

func (c LogConfig) level() (level slog.Level, err error) {
	err = level.UnmarshalText([]byte(c.Level))
	return level, err
}

// Telemetry is a service's logger, metrics and health. It holds nothing global: a process may have several.
type Telemetry struct {
	Log      *slog.Logger
	Registry *prometheus.Registry // where the service registers its own metrics
	Health   *Health

	service string
	listen  string
	addr    chan string // holds the address once Run listens
}

// New builds the telemetry of the named service, logging to standard error.
func New(service string, cfg Config) (*Telemetry, error) {
	return newTelemetry(service, cfg, os.Stderr, time.Now)
}

func newTelemetry(service string, cfg Config, out io.Writer, now func() time.Time) (*Telemetry, error) {
	var errs []error
	report := func(key string, value any, allowed string) {
		errs = append(errs, fmt.Errorf("%s is %q: want %s", key, value, allowed))
	}
	cfg.Validate(report)
	cfg.Log.Validate(report)
	if len(errs) > 0 {
		return nil, fmt.Errorf("building the telemetry of %s: %w", service, errors.Join(errs...))
	}
	level, err := cfg.Log.level()
	if err != nil {
		return nil, fmt.Errorf("building the telemetry of %s: %w", service, err)
	}
	registry := prometheus.NewRegistry()
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewJSONHandler(out, options)
	if cfg.Log.Format == "text" {
		handler = slog.NewTextHandler(out, options)
	}
	log := slog.New(newSampler(handler, registry)).With("service", service)
	t := &Telemetry{Log: log, Registry: registry, Health: &Health{now: now}, service: service, listen: cfg.Listen, addr: make(chan string, 1)}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(service), t.Health,
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("building the telemetry of %s: %w", service, err)
		}
	}
	return t, nil
}

// buildInfo is a constant 1 with what the binary was built from.
func buildInfo(service string) prometheus.Collector {
	version, revision, golang := "unknown", "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, golang = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "dwiarah", Name: "build_info", Help: "What this process was built from.",
		ConstLabels: prometheus.Labels{"service": service, "version": version, "revision": revision, "go": golang}})
	g.Set(1)
	return g
}

// Gatherer gathers the registry's metrics with the label service beside their own, so that those of several services in one
// process can stand on one page: prometheus.Gatherers{a.Gatherer(), b.Gatherer()}.
func (t *Telemetry) Gatherer() prometheus.Gatherer {
	pair := &dto.LabelPair{Name: new("service"), Value: new(t.service)}
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := t.Registry.Gather()
		for _, family := range families {
			for _, metric := range family.Metric {
				if !slices.ContainsFunc(metric.Label, func(l *dto.LabelPair) bool { return l.GetName() == pair.GetName() }) {
					metric.Label = append(slices.Clone(metric.Label), pair) // the slice is the collector's own
					slices.SortFunc(metric.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
				}
			}
		}
		return families, err
	})
}

// Handler serves /metrics, /healthz and /readyz. The mux is the caller's own: more may be mounted on it.
func (t *Telemetry) Handler() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.Gatherer(), promhttp.HandlerOpts{Registry: t.Registry, ErrorLog: slog.NewLogLogger(t.Log.Handler(), slog.LevelError)}))
	mux.HandleFunc("GET /healthz", t.Health.serveHealth)
	mux.HandleFunc("GET /readyz", t.Health.serveReady)
	return mux
}

// Run serves Handler on the configured address until ctx ends, then lets the requests under way finish.
// Without an address it only waits for ctx.
func (t *Telemetry) Run(ctx context.Context) error {
	if t.listen == "" {
		<-ctx.Done()
		return nil
	}
	listener, err := net.Listen("tcp", t.listen)
	if err != nil {
		return fmt.Errorf("serving metrics and health: %w", err)
	}
	t.addr <- listener.Addr().String()
	defer func() { <-t.addr }()
	server := NewServer(t.Handler(), t.Log)
	var wg sync.WaitGroup
	serving, stop := context.WithCancel(ctx)
	wg.Go(func() {
		<-serving.Done()
		deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := server.Shutdown(deadline); err != nil {
			server.Close() // whoever is still asking has had its time
		}
	})
	err = server.Serve(listener)
	stop()
	wg.Wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving metrics and health: %w", err)
	}
	return nil
}

const shutdownTimeout = 2 * time.Second

// Addr returns the host:port that Run listens on, waiting until it does or ctx ends.
func (t *Telemetry) Addr(ctx context.Context) (string, error) {
	select {
	case addr := <-t.addr:
		t.addr <- addr
		return addr, nil
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for the server of metrics and health: %w", ctx.Err())
	}
}

// NewServer returns an HTTP server whose every phase has a timeout, so that a slow peer holds nothing for long.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
