// Package field is a simulator of the platforms, to try the live path without an account: one conversation around an invented institution, spoken by servers on
// loopback as X, Mastodon, Bluesky, YouTube, Facebook, Instagram and Threads speak it, with what goes wrong there. It serves the demonstration and tests.
package field

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/ingest/internal/bluesky/blueskytest"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/mastodon/mastodontest"
	"github.com/dwiarah/dwiarah/ingest/internal/meta/metatest"
	"github.com/dwiarah/dwiarah/ingest/internal/x/xtest"
	"github.com/dwiarah/dwiarah/ingest/internal/youtube/youtubetest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Institution is the id of the institution that the field is about.
const Institution = "tirta-lengkara"

// Faults are the shares of calls, 0 to 1, that go wrong.
type Faults struct {
	// Broken calls are answered with 503, Cut ones with a body that ends too early, Limited ones with 429 and a reset a second later in the platform's form.
	// Meta tells whole minutes; its platforms are not limited.
	Broken, Cut, Limited float64
}

// Options of a Field.
type Options struct {
	// Seed chooses the conversations and what goes wrong.
	Seed uint64
	// Backlog is how many conversations were held before the field opens, over the last two hours.
	Backlog int
	Faults  Faults
}

// Field is running servers over one conversation.
type Field struct {
	world     *conversation.World
	platforms []*platform
	mastodon  *mastodontest.Server

	mu     sync.Mutex
	random *rand.Rand
	script script
	edited map[string]bool // by id in the world
	steps  int
}

// platform is one server.
type platform struct {
	name, account, token string
	settings             config.Group
	server               *httptest.Server
	id                   func(id string) string // the message id that its source gives a post
	limited              func(w http.ResponseWriter, reset time.Time)
	faults               Faults
	tellsEdits           bool
	tellsDeletes         bool

	mu     sync.Mutex
	random *rand.Rand
	out    bool
}

// Post is what a platform has to have delivered.
type Post struct {
	Platform, MessageID string
	// Edited: the last version that the platform shows is not the first. Deleted: the platform shows the post no more.
	Edited, Deleted bool
	// Told: the platform tells of that by itself. Elsewhere a re-read finds it, an hour, a day and a week after the post was written, or on Graph never.
	Told bool
}

// Open starts the servers with the backlog on them.
func Open(o Options) (*Field, error) {
	w := conversation.NewWorld()
	f := &Field{world: w, random: rand.New(rand.NewPCG(o.Seed, 1)), edited: map[string]bool{}}
	var err error
	if f.script, err = read(o.Seed); err != nil {
		return nil, err
	}
	f.hold(o.Backlog, time.Now())
	f.mastodon = mastodontest.Over(w)
	bluesky := blueskytest.New(w)
	meta := func(name string) *platform {
		return f.open(o, name, w.Official, metatest.Token, &metatest.Server{World: w, Platform: name}, nil)
	}
	x := f.open(o, schemas.PlatformX, w.Official, xtest.Token, &xtest.Server{World: w, Now: time.Now}, xtest.Limited)
	x.settings, x.id, x.tellsEdits = config.Group{"usd_per_day": "5"}, xtest.ID, true // an edit is a new version in the feeds
	mastodon := f.open(o, schemas.PlatformMastodon, w.Official, mastodontest.Token, http.HandlerFunc(f.mastodon.Serve), mastodontest.Limited)
	mastodon.tellsEdits, mastodon.tellsDeletes = true, true
	mastodon.id = func(id string) string { return strings.TrimPrefix(mastodon.server.URL, "http://") + "/" + id }
	sky := f.open(o, schemas.PlatformBluesky, blueskytest.Handle, blueskytest.Password, bluesky, blueskytest.Limited)
	sky.id = bluesky.URI
	youtube := f.open(o, schemas.PlatformYouTube, w.Official, youtubetest.Key, &youtubetest.Server{World: w}, youtubetest.Limited)
	youtube.settings, youtube.id = config.Group{"sweep_every": "1m"}, youtubetest.ID
	f.platforms = []*platform{x, mastodon, sky, youtube, meta(schemas.PlatformFacebook), meta(schemas.PlatformInstagram), meta(schemas.PlatformThreads)}
	return f, nil
}

func (f *Field) open(o Options, name, account, token string, inner http.Handler, limited func(http.ResponseWriter, time.Time)) *platform {
	p := &platform{name: name, account: account, token: token, limited: limited, faults: o.Faults, random: rand.New(rand.NewPCG(o.Seed, uint64(2+len(name)))), id: func(id string) string { return id }}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.fails(w) {
			inner.ServeHTTP(w, r)
		}
	}))
	return p
}

// fails answers in the server's place where something goes wrong.
func (p *platform) fails(w http.ResponseWriter) bool {
	p.mu.Lock()
	out, x := p.out, p.random.Float64()
	p.mu.Unlock()
	switch {
	case out || x < p.faults.Broken:
		w.WriteHeader(http.StatusServiceUnavailable)
	case x < p.faults.Broken+p.faults.Cut:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"data":[{"id":`)
	case p.limited != nil && x < p.faults.Broken+p.faults.Cut+p.faults.Limited:
		p.limited(w, time.Now().Add(time.Second))
	default:
		return false
	}
	return true
}

// Outage ends or restores all answers of a platform.
func (f *Field) Outage(name string, out bool) {
	for _, p := range f.platforms {
		if p.name == name {
			p.mu.Lock()
			p.out = out
			p.mu.Unlock()
			if out && name == schemas.PlatformMastodon {
				f.mastodon.BreakStreams()
			}
		}
	}
}

// Sources are ingest's sources for the servers, each polled every two seconds; Mastodon pushes.
func (f *Field) Sources() []ingest.Source {
	var all []ingest.Source
	for _, p := range f.platforms {
		all = append(all, ingest.Source{
			Platform: p.name, Account: p.account, BaseURL: p.server.URL, Token: config.NewSecret(p.token), AllowPrivate: true, Schedule: "@every 2s", Settings: p.settings,
		})
	}
	return all
}

// Institutions is the text of an institutions.yaml for the servers.
func (f *Field) Institutions() []byte {
	var accounts []string
	for _, p := range f.platforms {
		accounts = append(accounts, fmt.Sprintf("%s: [{handle: %s}]", p.name, p.account))
	}
	return fmt.Appendf(nil, `institutions:
  - id: %s
    name: Perumda Air Minum Tirta Lengkara, Kabupaten Lengkara
    zone: Asia/Jakarta
    calendar: id-government
    accounts: {%s}
    purpose: Demonstration of the live path on invented messages
    legal_basis: None needed; the field holds no personal data
    retention: {text_days: 90, facts_days: 395}
`, Institution, strings.Join(accounts, ", "))
}

// Posts are all posts on all platforms.
func (f *Field) Posts() []Post {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.world.Lock()
	defer f.world.Unlock()
	var all []Post
	for _, p := range f.platforms {
		for _, post := range f.world.Posts {
			all = append(all, Post{Platform: p.name, MessageID: p.id(post.ID), Edited: f.edited[post.ID], Told: f.edited[post.ID] && p.tellsEdits})
		}
		for id := range f.world.Deleted {
			all = append(all, Post{Platform: p.name, MessageID: p.id(id), Deleted: true, Told: p.tellsDeletes})
		}
	}
	return all
}

// Close ends the servers.
func (f *Field) Close() {
	f.mastodon.BreakStreams()
	for _, p := range f.platforms {
		p.server.CloseClientConnections()
		p.server.Close()
	}
}
