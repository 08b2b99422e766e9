// Package source is what every live platform provides. A new platform is one package with a Platform and one line in the registry of package ingest.
package source

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Config configures the source of one official account. The fields mean the same for every platform; a platform ignores those that it has no use for.
type Config struct {
	// Platform chooses the source: mastodon, bluesky and so on.
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
	// Recheck is how long a message is known, to see its edits and its deletion; 0 means 2160h, the 90 days that texts are kept.
	Recheck config.Duration `koanf:"recheck"`
	// RecheckPerPoll is how many known messages are read again after one poll at most; 0 means 20.
	RecheckPerPoll int `koanf:"recheck_per_poll"`
	// AllowPrivate allows a base_url on this machine or in a private network, and one without TLS.
	AllowPrivate bool `koanf:"allow_private"`
	// Settings are the platform's own; its Platform says which there are.
	Settings config.Group `koanf:"settings"`
}

// Defaults of Config.
const (
	DefaultSchedule       = "@every 1m"
	DefaultPageCap        = 50
	DefaultRecheck        = 90 * 24 * time.Hour
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
	// Settings is what the Platform's Settings returned, with the configuration's values in it; nil where it has none.
	Settings any
	// Purses hold what may be spent, for calls that cost money or units a day; sources that share an account of the platform share one.
	Purses *budget.Purses
	// Known finds a message of the platform that was read before, by whichever source, and is still kept for its re-read.
	Known func(messageID string) (Known, bool)
	// KnownAuthor tells whether there is one by that author.
	KnownAuthor func(authorID string) bool
}

// Platform is what a platform's package gives to the registry of package ingest.
type Platform struct {
	New Factory
	// Settings returns a pointer to a struct of the platform's own settings (koanf tags, a Validate where values can be wrong) that holds their defaults; nil
	// where there are none.
	Settings func() any
	// All names the platform all of whose accounts in the institutions file one source reads for; its configuration then names no account, and
	// Environment.Account is zero. Empty for the ordinary source of one account.
	All string
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

// Streamer is a source that the platform can also push to. Where a source is one, its stream is followed instead of polling, and polled on schedule
// whenever the stream is down.
type Streamer interface {
	// Stream follows the push until ctx ends or the stream breaks; the error says why, as that of Poll. The cursor is the one of Poll. A stream that the
	// platform does not resume by itself has to read, once it is connected, what came since the cursor, so that nothing lies between. It emits a page
	// with CompleteUntil at least once a minute while the platform is alive: that is how silence is told from a dead connection. Recheck may be called meanwhile.
	Stream(ctx context.Context, cursor json.RawMessage, emit Emit) error
}

// Rechecker is a source that can read known messages again. Package recheck decides which, and when.
type Rechecker interface {
	// Rechecks says how.
	Rechecks() Rechecks
	// Recheck reads messages again and returns a finding for each, in their order; State Unknown stands for one that could not be read. After an error the
	// findings before it count. It is never called by two at a time, but beside Poll and Stream.
	Recheck(ctx context.Context, known []Known) ([]Finding, error)
}

// Rechecks is how a source re-reads.
type Rechecks struct {
	// Batch is how many messages one call of the platform takes.
	Batch int
	// Spare tells that re-reads cost nothing but calls: then messages of the last day are read again when there is room, without being due.
	Spare bool
	// Within is how long after one re-read every message has to be read again, where the platform's terms want that; 0 where they do not.
	Within time.Duration
}

// Known is what is kept of a message in order to see it change or go: who and when, no text and no address.
type Known struct {
	Message schemas.Message
	// RepliesRead is how many replies the message had when those below it were last read.
	RepliesRead int64
}

// Moved tells that a message that was read again says more than is known: it was edited, or its counts are others. Not for platforms that tell of no edits.
func (k Known) Moved(now *schemas.Message) bool {
	other := func(a, b *int64) bool { return b != nil && (a == nil || *a != *b) }
	was := k.Message
	return now.EditedAt != nil && (was.EditedAt == nil || now.EditedAt.After(*was.EditedAt)) ||
		other(was.Likes, now.Likes) || other(was.Replies, now.Replies) || other(was.Shares, now.Shares) || other(was.Views, now.Views)
}

// State is what a re-read has found.
type State string

const (
	// Unknown: the re-read failed, or cannot tell. It changes nothing.
	Unknown State = "unknown"
	// Present: the message is there; Finding.Item holds it where it was edited or its counts have moved.
	Present State = "present"
	// Missing: the platform says that there is no such message, and cannot say whether it was deleted. Twice at least five minutes apart means deleted.
	Missing State = "missing"
	// Deleted: the platform says that the message or its author's account was deleted, for good.
	Deleted State = "deleted"
	// Hidden: suspended, protected or withheld; it may come back.
	Hidden State = "hidden"
)

// Finding is what a re-read of one message has found.
type Finding struct {
	State State
	// Item is the message as it now is; nil where nothing has changed. Earlier are its versions since the known one, where the platform tells them, the oldest first.
	Item    *Item
	Earlier []Item
	// Late are messages below it that were not known.
	Late []Item
	// RepliesRead goes into Known.
	RepliesRead int64
	// Reason of Hidden: one of the reasons in package schemas.
	Reason string
	// At is when it happened, where the platform tells; else zero.
	At time.Time
}

// Receiver is a source that takes deliveries by webhook.
type Receiver interface {
	// Verify checks a delivery's signature over its raw body, in constant time. An error refuses it.
	Verify(header http.Header, body []byte) error
	// Receive reads a verified delivery, which is on disk already and will come again until Receive returns nil. What is not of this account is left alone.
	Receive(ctx context.Context, body []byte, emit Emit) error
}

// Handshaker is a Receiver whose platform asks for a proof before it delivers.
type Handshaker interface {
	// Handshake answers the platform's question with the body to send, or refuses it.
	Handshake(query url.Values) (answer string, err error)
}

// Budgeted is a source that can say what is left of its budgets.
type Budgeted interface {
	Budget() []budget.Line
}

// Shared is a source that shares a budget with others. Of those that are due together, the one that was complete longest ago is served first, and each
// waits for the one before it.
type Shared interface {
	// SharedBudget names the budget; empty for one of its own.
	SharedBudget() string
}

// Emit takes a page.
type Emit func(ctx context.Context, page Page) error

// Page is some of what a source has read, and how far it then is.
type Page struct {
	Items []Item
	// Dropped are items that were left out on purpose.
	Dropped map[schemas.DropReason]int64
	// Visible is what may no longer be shown, or may be again.
	Visible []Visibility
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
	// RootAuthorID is who began the thread, where the platform's id of the root tells it. Only a source that reads for all accounts needs it.
	RootAuthorID string
}

// Visibility says that a message or everything by an author is hidden, shown again, or (an author only) deleted. A message's deletion is an Item with
// DeletedAt.
type Visibility struct {
	MessageID, AuthorID string // exactly one
	State, Reason       string // as in package schemas
	At                  time.Time
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
