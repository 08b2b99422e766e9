package erase

import (
	"context"
	"log/slog"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

// Config says when the job runs.
type Config struct {
	// Enabled starts the schedule. One process of an installation is enough; more do no harm but work twice.
	Enabled bool `koanf:"enabled"`
	// Schedule is five fields of cron, in UTC. What is deleted is hidden at once whatever it says; it bounds how long the data stay, which may be a day.
	Schedule string `koanf:"schedule"`
}

// DefaultConfig runs the job every six hours.
func DefaultConfig() Config { return Config{Enabled: true, Schedule: "17 */6 * * *"} }

// Validate reports every bad value.
func (c Config) Validate(report config.Report) {
	if _, err := cron.ParseStandard("CRON_TZ=UTC " + c.Schedule); err != nil {
		report("schedule", c.Schedule, "five fields of cron: minute hour day-of-month month day-of-week, as 17 */6 * * *")
	}
}

// Wait is how long a run waits for replaced data parts to leave the disk: their minute, and what ClickHouse takes to notice.
const Wait = 3 * time.Minute

// Schedule runs the job until ctx ends; a run that fails is logged and left to the next.
func Schedule(ctx context.Context, c Config, s *store.Store, log *slog.Logger) error {
	if !c.Enabled {
		<-ctx.Done()
		return nil
	}
	schedule := cron.New(cron.WithLocation(time.UTC), cron.WithLogger(cron.DiscardLogger), cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger)))
	_, err := schedule.AddFunc(c.Schedule, func() {
		if _, err := Run(ctx, s, log, Wait); err != nil && ctx.Err() == nil {
			log.Error("erasing did not succeed and is tried again at its next time", "error", err)
		}
	})
	if err != nil {
		return err
	}
	schedule.Start()
	<-ctx.Done()
	<-schedule.Stop().Done()
	return nil
}
