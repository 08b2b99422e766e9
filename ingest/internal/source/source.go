// Package source is what every live platform provides. A new platform is one package with a Factory and one line in the registry of package ingest.
package source

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Config configures the source of one official account. The fields mean the same for every platform; a platform ignores those that it has no use for.
type Config struct {
	// Platform chooses the source: mastodon.
	Platform string `koanf:"platform"`
	// Account is the official account's handle or id, as institutions.yaml has it.
	Account string `koanf:"account"`
	// BaseURL is where the platform's interface is, as https://mastodon.example.
	BaseURL string `koanf:"base_url"`
	// Token gives access as that account.
	Token config.Secret `koanf:"token"`
	// Schedule says when to poll: cron's five fields, in UTC, or @every 1m.
	Schedule string `koanf:"schedule"`
	// PageCap is how many pages of one feed one poll reads at most; 0 means 50.
	PageCap int `koanf:"page_cap"`
	// Recheck is how long a message is read again now and then, to see its edits and its deletion; 0 means 168h.
	Recheck config.Duration `koanf:"recheck"`
	// RecheckPerPoll is how many known messages one poll reads again at most; 0 means 20.
	RecheckPerPoll int `koanf:"recheck_per_poll"`
	// AllowPrivate allows a base_url on this machine or in a private network, and one without TLS.
	AllowPrivate bool `koanf:"allow_private"`
}

// Defaults of Config.
const (
	DefaultSchedule       = "@every 1m"
	DefaultPageCap        = 50
	DefaultRecheck        = 7 * 24 * time.Hour
	DefaultRecheckPerPoll = 20
)

// WithDefaults returns the configuration with its zero values filled in.
func (c Config) WithDefaults() Config {
	if c.Schedule == "" {
		c.Schedule = DefaultSchedule
	}
	if c.PageCap == 0 {
		c.PageCap = DefaultPageCap
	}
	if c.Recheck == 0 {
		c.Recheck = config.Duration(DefaultRecheck)
	}
	if c.RecheckPerPoll == 0 {
		c.RecheckPerPoll = DefaultRecheckPerPoll
	}
	return c
}

// Account is the official account that a source reads for.
type Account struct {
	Institution *institutions.Institution
	Account     institutions.Account
}

// Environment is what the program gives a source.
type Environment struct {
	Config    Config
	Account   Account
	Directory *institutions.Directory
	Log       *slog.Logger
	// Now is the clock.
	Now func() time.Time
}

// Factory makes a source that has called nobody yet. The error names what is wrong with the configuration.
type Factory func(Environment) (Source, error)

// Source reads one account's public conversation on one platform.
type Source interface {
	// Connector names the source in the coverage ledger, the metrics and the state folder.
	Connector() string
	// Poll reads what is new since the cursor, which is nil the first time, in pages. A page is whole or repeated: emit returns when everything of it is
	// durable, its cursor included. After an error of emit Poll returns it.
	Poll(ctx context.Context, cursor json.RawMessage, emit Emit) error
	// Backfill reads from since to until again, however long ago, without a cursor.
	Backfill(ctx context.Context, since, until time.Time, emit Emit) error
	// Check calls the platform once and tells whether the source could poll.
	Check(ctx context.Context) error
}

// Emit takes a page.
type Emit func(ctx context.Context, page Page) error

// Page is some of what a source has read, and how far it then is.
type Page struct {
	Items []Item
	// Dropped are items that were left out on purpose.
	Dropped map[schemas.DropReason]int64
	// Size of the account, where the page tells it.
	Size *Size
	// Cursor is where to go on after this page; nil leaves it where it is.
	Cursor json.RawMessage
	// CompleteSince and CompleteUntil, when set, say that everything public between them has been read with this page and those before it.
	CompleteSince, CompleteUntil time.Time
}

// Item is one message, or what kept the platform's item from becoming one.
type Item struct {
	Message *schemas.Message
	Err     *schemas.FieldError
	// Original is the item as it came, for the dead letter.
	Original []byte
}

// Size is how large an account is.
type Size struct {
	Followers, Following, Posts *int64
	ObservedAt                  time.Time
}

// Error is a failure of a platform, with what it means for coverage.
type Error struct {
	// Gap is one of the reasons of a gap in package schemas.
	Gap string
	Err error
}

func (e *Error) Error() string { return e.Gap + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// GapReason says why there is a gap after err: what the source said, or an outage.
func GapReason(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Gap
	}
	return schemas.GapOutage
}
