package verify

import (
	"context"
	"log/slog"
	"time"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// ScheduleConfig says how the newest records are compared while the sink runs.
type ScheduleConfig struct {
	// Enabled starts the comparisons. One process of an installation is enough; more do no harm but work twice.
	Enabled bool            `koanf:"enabled"`
	Every   config.Duration `koanf:"every"`
	// Newest is how many records of each partition a comparison looks at.
	Newest int64 `koanf:"newest"`
	// EnrichGroup is the consumer group of enrich.
	EnrichGroup string `koanf:"enrich_group"`
}

// DefaultSchedule compares the newest thousand records of each partition every five minutes, which takes well under a second.
func DefaultSchedule() ScheduleConfig {
	return ScheduleConfig{Enabled: true, Every: config.Duration(5 * time.Minute), Newest: 1_000, EnrichGroup: "dwiarah-enrich"}
}

// Validate reports every bad value.
func (c ScheduleConfig) Validate(report config.Report) {
	if c.Every < config.Duration(100*time.Millisecond) {
		report("every", c.Every.Std().String(), "a duration of 100ms or more; minutes are usual")
	}
	if c.Newest < 1 || c.Newest > 1_000_000 {
		report("newest", c.Newest, "1 to 1,000,000 records of each partition")
	}
	if c.EnrichGroup == "" {
		report("enrich_group", "", "the name of enrich's consumer group, as dwiarah-enrich")
	}
}

// Schedule compares every now and then until ctx ends, and shows what it finds. A comparison that fails is logged and left to the next.
func Schedule(ctx context.Context, c ScheduleConfig, cfg Config, m *Metrics, log *slog.Logger) error {
	if !c.Enabled {
		<-ctx.Done()
		return nil
	}
	cfg.Newest, cfg.EnrichGroup = c.Newest, c.EnrichGroup
	ticker := time.NewTicker(c.Every.Std())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		cfg.Now = time.Now()
		found, err := Run(ctx, cfg)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			log.Warn("comparing Kafka with the tables did not succeed and is tried again at its next time", "error", err)
			continue
		}
		m.Show(found)
		for _, s := range found.Stages {
			if len(s.Violations) > 0 {
				log.Error("the law of sums is broken among the newest records; sink verify looks at all", "topic", s.Topic, "unaccounted", s.Unaccounted(), "first", s.Violations[0])
			}
		}
	}
}
