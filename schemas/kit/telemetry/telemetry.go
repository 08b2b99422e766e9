// Package telemetry is what a service shows of itself: logs, metrics and health.
package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config configures logs and the HTTP server of metrics and health.
type Config struct {
	Listen string    `koanf:"listen"` // host:port of /metrics, /healthz and /readyz; empty means no server
	Log    LogConfig `koanf:"log"`
}

// LogConfig configures the logger.
type LogConfig struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // json, text
}

// DefaultConfig returns the defaults: info, JSON, 127.0.0.1:9100.
func DefaultConfig() Config {
	return Config{Listen: "127.0.0.1:9100", Log: LogConfig{Level: "info", Format: "json"}}
}

// Telemetry is a service's logger, metrics and health.
type Telemetry struct {
	Log      *slog.Logger
	Registry *prometheus.Registry
	Health   *Health
}

// New builds the telemetry of the named service.
func New(service string, cfg Config) (*Telemetry, error) { return nil, nil }

// Handler serves /metrics, /healthz and /readyz; mount it in a larger mux or let Run serve it.
func (t *Telemetry) Handler() *http.ServeMux { return nil }

// Run serves Handler on the configured address until ctx ends.
func (t *Telemetry) Run(ctx context.Context) error { return nil }

// Health collects the checks of /healthz and /readyz.
type Health struct{}

// Progress registers a part of the service that must advance within limit unless it is idle.
func (h *Health) Progress(name string, limit time.Duration) *Progress { return &Progress{} }

// Ready registers a check of /readyz: nil means ready.
func (h *Health) Ready(name string, check func(ctx context.Context) error) {}

// Progress is the sign of life of one part.
type Progress struct{}

// Advance says that work was done.
func (p *Progress) Advance() {}

// Idle says that there is no work.
func (p *Progress) Idle() {}
