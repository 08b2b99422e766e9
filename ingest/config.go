package ingest

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/bluesky"
	"github.com/dwiarah/dwiarah/ingest/internal/feed"
	"github.com/dwiarah/dwiarah/ingest/internal/jetstream"
	"github.com/dwiarah/dwiarah/ingest/internal/mastodon"
	"github.com/dwiarah/dwiarah/ingest/internal/meta"
	"github.com/dwiarah/dwiarah/ingest/internal/poll"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/telegram"
	"github.com/dwiarah/dwiarah/ingest/internal/x"
	"github.com/dwiarah/dwiarah/ingest/internal/youtube"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
)

// platforms are the live sources, by platform. A new one is a line here.
func platforms() map[string]source.Platform {
	return map[string]source.Platform{
		schemas.PlatformBluesky:   bluesky.Platform(),
		schemas.PlatformFacebook:  meta.Facebook(),
		schemas.PlatformInstagram: meta.Instagram(),
		schemas.PlatformMastodon:  mastodon.Platform(),
		schemas.PlatformTelegram:  telegram.Platform(),
		schemas.PlatformThreads:   meta.Threads(),
		schemas.PlatformWeb:       feed.Platform(),
		schemas.PlatformX:         x.Platform(),
		schemas.PlatformYouTube:   youtube.Platform(),
		jetstream.Name:            jetstream.Platform(),
	}
}

// Config is the whole configuration of ingest, the file of --config.
type Config struct {
	// Kafka says where Kafka is and how to reach it.
	Kafka kafka.ConnConfig `koanf:"kafka"`
	// Institutions is the path of institutions.yaml.
	Institutions string `koanf:"institutions"`
	// Keys are the identity keys: file:PATH or env:NAME of what ingest keys init makes.
	Keys config.Secret `koanf:"keys"`
	// StateDir holds cursors and the positions of imports.
	StateDir string `koanf:"state_dir"`
	// Sources are polled, each on its schedule.
	Sources []Source `koanf:"sources"`
	// Webhook takes what platforms deliver.
	Webhook   WebhookConfig    `koanf:"webhook"`
	Telemetry telemetry.Config `koanf:"telemetry"`
}

// Source configures one account's live source.
type Source source.Config

// WebhookConfig says where deliveries are taken: /webhook/facebook, /webhook/instagram, /webhook/threads.
type WebhookConfig struct {
	// Listen is host:port, without TLS: whatever ends it stands before. Empty takes none.
	Listen string `koanf:"listen"`
}

// Validate reports every bad value.
func (c WebhookConfig) Validate(report config.Report) {
	if _, _, err := net.SplitHostPort(c.Listen); c.Listen != "" && err != nil {
		report("listen", c.Listen, "host:port, as 127.0.0.1:9180, or empty to take no deliveries")
	}
}

// DefaultConfig returns the defaults: everything on this machine, no source.
func DefaultConfig() Config {
	return Config{
		Kafka:        kafka.ConnConfig{Brokers: []string{"127.0.0.1:9092"}},
		Institutions: "institutions.yaml",
		StateDir:     "state",
		Telemetry:    telemetry.DefaultConfig(),
	}
}

// Validate reports every bad value.
func (c Config) Validate(report config.Report) {
	if c.Institutions == "" {
		report("institutions", "", "the path of institutions.yaml")
	}
	if c.StateDir == "" {
		report("state_dir", "", "a folder that survives restarts")
	}
}

// Bounds of a source's numbers.
const (
	maxPageCap   = 10_000
	maxRecheck   = 90 * 24 * time.Hour
	maxRechecked = 1_000
)

// Validate reports every bad value; what needs the institutions file is checked by New.
func (s Source) Validate(report config.Report) {
	known := platforms()
	platform, ok := known[s.Platform]
	if !ok {
		report("platform", s.Platform, "one of "+strings.Join(sorted(known), ", "))
	}
	if ok {
		decodeSettings(platform, s.Settings, report)
	}
	switch {
	case platform.All != "" && s.Account != "":
		report("account", s.Account, "nothing: the source reads for all accounts of "+platform.All)
	case platform.All == "" && s.Account == "":
		report("account", "", "the handle or id of an account of the institutions file")
	}
	if s.Schedule != "" {
		if _, err := poll.ParseSchedule(s.Schedule); err != nil {
			report("schedule", s.Schedule, "cron's five fields in UTC, or a descriptor such as @every 1m")
		}
	}
	if s.PageCap < 0 || s.PageCap > maxPageCap {
		report("page_cap", s.PageCap, fmt.Sprintf("0 for the default, %d, up to %d", source.DefaultPageCap, maxPageCap))
	}
	if s.RecheckPerPoll < 0 || s.RecheckPerPoll > maxRechecked {
		report("recheck_per_poll", s.RecheckPerPoll, fmt.Sprintf("0 for the default, %d, up to %d", source.DefaultRecheckPerPoll, maxRechecked))
	}
	if s.Recheck < 0 || s.Recheck.Std() > maxRecheck {
		report("recheck", s.Recheck.Std().String(), fmt.Sprintf("0 for the default, %s, up to %s", config.Duration(source.DefaultRecheck), config.Duration(maxRecheck)))
	}
}

// decodeSettings returns the platform's settings with the configured values over their defaults; nil where the platform has none.
func decodeSettings(platform source.Platform, written config.Group, report config.Report) any {
	if platform.Settings == nil {
		if len(written) > 0 {
			report("settings", config.Written("given"), "nothing: the platform has no settings of its own")
		}
		return nil
	}
	settings := platform.Settings()
	written.Decode(settings, func(key string, value any, allowed string) {
		report(strings.TrimSuffix("settings."+key, "."), value, allowed)
	})
	return settings
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// ClientID names ingest in the brokers' logs and quotas.
const ClientID = "dwiarah-ingest"
