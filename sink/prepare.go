package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/clickhouse/calendar"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

// maintenanceDatabase is there in every ClickHouse: one connects to it to create another.
const maintenanceDatabase = "default"

// Migrated names what Migrate changed; nothing when the database was up to date.
type Migrated struct {
	Migrations, Views, Calendars []string
}

// Migrate creates the database where it is missing and brings its tables, views and working calendars up to this build. It may be repeated, and waits
// for a ClickHouse that does not answer yet until ctx ends.
func Migrate(ctx context.Context, whole Config, log *slog.Logger) (Migrated, error) {
	var did Migrated
	calendars, err := ownCalendars(whole.Calendars)
	if err != nil {
		return did, err
	}
	cfg := whole.ClickHouse
	admin := cfg
	admin.Database = maintenanceDatabase
	err = with(admin, func(s *store.Store) error {
		return s.Until(ctx, log, "create the database", func(ctx context.Context) error {
			return clickhouse.EnsureDatabase(ctx, s.Conn(), cfg.Database)
		})
	})
	if err != nil {
		return did, err
	}
	err = with(cfg, func(s *store.Store) error {
		return s.Until(ctx, log, "migrate", func(ctx context.Context) error {
			// A second attempt does what the first has not; both together are the result.
			result, err := clickhouse.Migrate(ctx, s.Conn())
			did.Migrations, did.Views = append(did.Migrations, result.Migrations...), append(did.Views, result.Views...)
			if err != nil {
				return err
			}
			loaded, err := clickhouse.LoadCalendars(ctx, s.Conn(), calendars...)
			did.Calendars = append(did.Calendars, loaded...)
			return err
		})
	})
	if err != nil {
		return did, fmt.Errorf("migrating database %s: %w", cfg.Database, err)
	}
	log.Info("database is up to date", "database", cfg.Database, "migrations", len(did.Migrations), "views", len(did.Views), "calendars", len(did.Calendars))
	return did, nil
}

// Connect returns connections to the tables, for whoever looks at them beside a sink. The caller closes them.
func Connect(cfg ClickHouseConfig) (driver.Conn, error) {
	s, err := store.Open(cfg)
	if err != nil {
		return nil, err
	}
	return s.Conn(), nil
}

func ownCalendars(paths []string) ([]*calendar.Calendar, error) {
	var calendars []*calendar.Calendar
	for _, path := range paths {
		c, err := calendar.ReadFile(path)
		if err != nil {
			return nil, err
		}
		calendars = append(calendars, c)
	}
	return calendars, nil
}

// checkCalendars refuses an institution whose calendar is neither the build's nor in one of the files: its business times would be NULL without a word.
func checkCalendars(directory *institutions.Directory, paths []string) error {
	own, err := ownCalendars(paths)
	if err != nil {
		return err
	}
	names := calendar.Names()
	for _, c := range own {
		names = append(names, c.Name)
	}
	for _, in := range directory.All() {
		if in.Calendar != "" && !slices.Contains(names, in.Calendar) {
			return fmt.Errorf("institution %s: calendar: %q; allowed: %s, or that of a file under calendars", in.ID, in.Calendar, strings.Join(names, ", "))
		}
	}
	return nil
}

func with(cfg ClickHouseConfig, f func(*store.Store) error) error {
	s, err := store.Open(cfg)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

// prepare waits for the store and brings into it what the views need beside messages.
func (s *Sink) prepare(ctx context.Context) error {
	if s.cfg.Migrate {
		if _, err := Migrate(ctx, s.cfg, s.log); err != nil {
			return err
		}
	}
	err := s.store.Until(ctx, s.log, "write the institutions' settings", func(ctx context.Context) error {
		s.progress.Advance()
		return s.store.Insert(ctx, settings(s.directory, time.Now()))
	})
	if err != nil && store.Classify(err) == store.Broken {
		return fmt.Errorf("%w; are the tables there? sink migrate makes them", err)
	}
	return err
}

// settings are the rows of institution_settings.
func settings(directory *institutions.Directory, loaded time.Time) rows.Table {
	var id, name, zone, calendar []string
	var offset []int32
	var at []time.Time
	for _, in := range directory.All() {
		// Zones of the file have no daylight saving, so that any moment tells the offset.
		_, seconds := loaded.In(in.Location()).Zone()
		id, name, zone, calendar = append(id, in.ID), append(name, in.Name), append(zone, in.Zone), append(calendar, in.Calendar)
		offset, at = append(offset, int32(seconds)), append(at, loaded)
	}
	return rows.Table{Name: "institution_settings", Rows: len(id), Columns: []rows.Column{
		{Name: "institution", Values: id}, {Name: "name", Values: name}, {Name: "zone", Values: zone}, {Name: "utc_offset_s", Values: offset},
		{Name: "calendar", Values: calendar}, {Name: "loaded_at", Values: at},
	}}
}
