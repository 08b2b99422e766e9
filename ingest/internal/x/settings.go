package x

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Settings of an X source.
type Settings struct {
	// Budget names the purse; sources of one developer account name the same, and then have to agree on the limits.
	Budget string `koanf:"budget"`
	// DayLimit and MonthLimit are what may be spent in a UTC day and month.
	DayLimit   Dollars `koanf:"usd_per_day"`
	MonthLimit Dollars `koanf:"usd_per_month"`
	// PostPrice and UserPrice are what one post and one account cost, once in a UTC day.
	PostPrice Dollars `koanf:"usd_per_post"`
	UserPrice Dollars `koanf:"usd_per_user"`
	// Feeds are what is read: own, mentions, search, conversations.
	Feeds []string `koanf:"feeds"`
	// Query of the search; by default everything to the account or with its handle.
	Query string `koanf:"query"`
	// SearchAll searches the whole archive and not seven days, for plans that have it.
	SearchAll bool `koanf:"search_all"`
	// Conversations are read again this often.
	ConversationsEvery config.Duration `koanf:"conversations_every"`
	// Authors asks for the authors too: their followers, at the price of an account for each.
	Authors bool `koanf:"authors"`
	// Lookback is how far the first poll reads.
	Lookback config.Duration `koanf:"lookback"`
	// Stream follows the filtered stream; an app has one connection.
	Stream bool `koanf:"stream"`
	// StreamWait is how long the next connection waits after one that X answered with 429; twice as long each time that it does so again.
	StreamWait config.Duration `koanf:"stream_wait"`
	// Compliance re-reads by batch compliance jobs: deletions without a price, but no edits and no counts.
	Compliance bool `koanf:"compliance_jobs"`
}

// Feeds of an X source.
const (
	feedOwn           = "own"
	feedMentions      = "mentions"
	feedSearch        = "search"
	feedConversations = "conversations"
)

func feeds() []string { return []string{feedOwn, feedMentions, feedSearch, feedConversations} }

// DefaultSettings are those of a small office: two dollars are four hundred posts.
func DefaultSettings() *Settings {
	return &Settings{
		Budget: "x", DayLimit: 2_000_000, MonthLimit: 50_000_000, PostPrice: 5_000, UserPrice: 10_000,
		Feeds: []string{feedOwn, feedMentions, feedConversations}, ConversationsEvery: config.Duration(6 * time.Hour), Lookback: config.Duration(24 * time.Hour), StreamWait: config.Duration(time.Minute),
	}
}

// maxQuery is how long a query of the recent search may be; of the whole archive's twice that.
const maxQuery = 512

// Validate reports every bad value.
func (s *Settings) Validate(report config.Report) {
	if s.Budget == "" {
		report("budget", s.Budget, "a name")
	}
	for _, d := range []struct {
		key   string
		value Dollars
	}{{"usd_per_day", s.DayLimit}, {"usd_per_month", s.MonthLimit}} {
		if d.value <= 0 {
			report(d.key, d.value.String(), "more than 0: without a limit X is not read")
		}
	}
	for _, feed := range s.Feeds {
		if !slices.Contains(feeds(), feed) {
			report("feeds", feed, "some of "+strings.Join(feeds(), ", "))
		}
	}
	if len(s.Feeds) == 0 {
		report("feeds", "", "some of "+strings.Join(feeds(), ", "))
	}
	if most := maxQuery * (1 + btoi(s.SearchAll)); len(s.Query) > most {
		report("query", fmt.Sprintf("%d characters", len(s.Query)), fmt.Sprintf("at most %d", most))
	}
	if s.Lookback < 0 || s.Lookback.Std() > searchReach-time.Hour && !s.SearchAll {
		report("lookback", s.Lookback.Std().String(), "up to 167h")
	}
	if s.StreamWait.Std() < time.Second || s.StreamWait.Std() > mostStreamWait {
		report("stream_wait", s.StreamWait.Std().String(), "1s to 15m; X asks for 1m")
	}
	if s.ConversationsEvery.Std() < time.Minute {
		report("conversations_every", s.ConversationsEvery.Std().String(), "1m or more")
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Dollars is money in millionths of a dollar, written as 1.50.
type Dollars int64

// UnmarshalText reads a number of dollars with at most six decimals, so that nothing is rounded.
func (d *Dollars) UnmarshalText(text []byte) error {
	whole, part, _ := strings.Cut(string(text), ".")
	w, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || w < 0 || w > 1e9 || len(part) > 6 || strings.ContainsAny(part, "+-") {
		return fmt.Errorf("%q; allowed: dollars, as 1.50, with at most six decimals", text)
	}
	p, err := strconv.ParseInt((part + "000000")[:6], 10, 64)
	if err != nil {
		return fmt.Errorf("%q; allowed: dollars, as 1.50, with at most six decimals", text)
	}
	*d = Dollars(w*1e6 + p)
	return nil
}

func (d Dollars) String() string { return fmt.Sprintf("%d.%06d", d/1e6, d%1e6) }

// Platform is X for the registry.
func Platform() source.Platform {
	return source.Platform{New: New, Settings: func() any { return DefaultSettings() }}
}
