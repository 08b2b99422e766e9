// Package field is a simulator of the platforms, to try the live path without an account: one conversation around an invented institution, spoken by servers on
// loopback as X, Mastodon, Bluesky, YouTube, Facebook, Instagram, Threads and Telegram speak it, with what goes wrong there. It serves the demonstration and tests.
package field

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/ingest/internal/bluesky/blueskytest"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/jetstream"
	"github.com/dwiarah/dwiarah/ingest/internal/jetstream/jetstreamtest"
	"github.com/dwiarah/dwiarah/ingest/internal/mastodon/mastodontest"
	"github.com/dwiarah/dwiarah/ingest/internal/meta/metatest"
	"github.com/dwiarah/dwiarah/ingest/internal/telegram/telegramtest"
	"github.com/dwiarah/dwiarah/ingest/internal/x/xtest"
	"github.com/dwiarah/dwiarah/ingest/internal/youtube/youtubetest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Institution is the id of the institution that the field is about.
const Institution = "tirta-lengkara"

// Faults are the shares of calls, 0 to 1, that go wrong.
type Faults struct {
	// Broken calls are answered with 503, Cut ones with a body that ends too early, Limited ones in the platform's form and with a reset a second later. Where that form
	// knows minutes only (Meta) or a rule of the platform wants a minute of peace (X's stream), the sources' settings say a second.
	Broken, Cut, Limited float64
}

// Options of a Field.
type Options struct {
	// Seed chooses the conversations and what goes wrong.
	Seed uint64
	// Backlog is how many conversations were held before the field opens, over the last two hours.
	Backlog int
	// Push has every platform push that can: Mastodon by server-sent events, X by its filtered stream, Bluesky by Jetstream, Meta's three by webhooks, once Deliver says where to.
	// Without it only Mastodon does, over a WebSocket.
	Push   bool
	Faults Faults
}

// Field is running servers over one conversation.
type Field struct {
	world     *conversation.World
	platforms []*platform
	courier   *courier
	secrets   string        // the folder of the secrets that settings name
	end       chan struct{} // ends what goes on by itself
	running   sync.WaitGroup

	mu     sync.Mutex
	random *rand.Rand
	script script
	edited map[string]bool // by id in the world
	// unheard are deletions that a platform told nobody, by its name and the id in the world; gone is the deletion of the last step.
	unheard map[[2]string]bool
	gone    string
	steps   int
}

// platform is one platform's servers.
type platform struct {
	name, account string
	way           string                 // how it is read
	id            func(id string) string // the message id that its sources give a post
	sources       []ingest.Source
	limited       func(w http.ResponseWriter, reset time.Time)
	faults        Faults
	servers       []*httptest.Server
	// tellsEdits and tellsDeletes say what the platform tells of by itself, pushes which posts it pushes.
	tellsEdits, tellsDeletes bool
	pushes                   func(conversation.Post) bool
	// heard tells whether somebody listens who is told only once; nil where whoever comes later is told all the same.
	heard func() bool
	// mirror pushes what has changed, delivery is what a webhook is told of one change; nil where there is none. breaks ends the streams.
	mirror, breaks func()
	delivery       func(verb string, p conversation.Post, at time.Time) []byte

	mu     sync.Mutex
	random *rand.Rand
	out    bool
}

// Post is what a platform has to have delivered.
type Post struct {
	Platform, MessageID string
	// ID is the post's in the conversation, the same on all platforms, and so are Parent and Root, which are empty where it answers none.
	ID, Parent, Root string
	// Official tells that the institution wrote it. Text is its last version.
	Official bool
	Text     string
	Created  time.Time
	// Edited: the last version that the platform shows is not the first. Deleted: the platform shows the post no more; then only its ids are known.
	Edited, Deleted bool
	// Told: the platform tells of that by itself, and on Mastodon somebody listened when it did: that is told once. Elsewhere a re-read finds it, an hour, a day and a week after the post was written, or on Graph and Telegram never.
	Told bool
	// Pushed: the platform pushes the post; one that it does not push is found by polling.
	Pushed bool
}

// limitedFor is how long a platform takes no calls once it has said so.
const limitedFor = time.Second

// polled is the schedule of the field's sources.
const polled = "@every 2s"

// Platform is one of the field's platforms, and how its posts come.
type Platform struct {
	Name, Way string
	// Rereads tells that a re-read finds what the platform does not tell of by itself.
	Rereads bool
}

// Ways of a Platform.
const (
	byPolling  = "polled"
	bySocket   = "WebSocket"
	byEvents   = "server-sent events"
	byStream   = "filtered stream"
	byNetwork  = "Jetstream, polled"
	byWebhooks = "webhooks, polled"
)

// Open starts the servers with the backlog on them.
func Open(o Options) (*Field, error) {
	w := conversation.NewWorld()
	f := &Field{world: w, random: rand.New(rand.NewPCG(o.Seed, 1)), edited: map[string]bool{}, unheard: map[[2]string]bool{}, end: make(chan struct{})}
	var err error
	if f.script, err = read(o.Seed); err != nil {
		return nil, err
	}
	if f.secrets, err = os.MkdirTemp("", "dwiarah-field-"); err != nil {
		return nil, fmt.Errorf("making a folder for the field's secrets: %w", err)
	}
	f.hold(o.Backlog, time.Now())
	f.courier = newCourier(o.Seed)
	for _, open := range []func(Options) error{
		f.openX, f.openMastodon, f.openBluesky, f.openYouTube, f.openMeta(schemas.PlatformFacebook), f.openMeta(schemas.PlatformInstagram), f.openMeta(schemas.PlatformThreads), f.openTelegram,
	} {
		if err := open(o); err != nil {
			f.Close()
			return nil, err
		}
	}
	f.mirror()
	return f, nil
}

func (f *Field) openX(o Options) error {
	x := &xtest.Server{World: f.world, Now: time.Now}
	p := f.open(o, schemas.PlatformX, xtest.Limited, x)
	p.id, p.tellsEdits = xtest.ID, true // an edit is a new version in the feeds
	settings := config.Group{"usd_per_day": "50", "usd_per_month": "500", "stream_wait": limitedFor.String()}
	if o.Push {
		p.way = byStream
		settings["stream"], p.pushes, p.mirror, p.breaks = true, everything, x.Mirror, x.BreakStreams
	}
	p.source(f.world.Official, xtest.Token, settings)
	return nil
}

func (f *Field) openMastodon(o Options) error {
	m := mastodontest.Over(f.world)
	m.Sockets = !o.Push
	p := f.open(o, schemas.PlatformMastodon, mastodontest.Limited, http.HandlerFunc(m.Serve))
	if p.way = bySocket; o.Push {
		p.way = byEvents
	}
	p.id = func(id string) string { return strings.TrimPrefix(p.servers[0].URL, "http://") + "/" + id }
	p.tellsEdits, p.tellsDeletes, p.pushes, p.mirror, p.breaks = true, true, everything, m.Mirror, m.BreakStreams
	p.heard = func() bool { return m.Streams() > 0 }
	p.source(f.world.Official, mastodontest.Token, nil)
	return nil
}

func (f *Field) openBluesky(o Options) error {
	view := blueskytest.New(f.world)
	p := f.open(o, schemas.PlatformBluesky, blueskytest.Limited, view)
	p.id, p.account = view.URI, blueskytest.Handle
	p.source(blueskytest.Handle, blueskytest.Password, nil)
	if !o.Push {
		return nil
	}
	stream := jetstreamtest.New()
	p.serve(stream)
	p.way, p.tellsEdits, p.tellsDeletes, p.pushes = byNetwork, true, true, everything
	p.mirror, p.breaks = func() { stream.Mirror(view, time.Now()) }, stream.Break
	p.sources = append(p.sources, ingest.Source{
		Platform: jetstream.Name, BaseURL: p.servers[1].URL, AllowPrivate: true, Schedule: polled, Settings: config.Group{"appview": p.servers[0].URL},
	})
	f.running.Go(func() { f.chatter(stream) })
	return nil
}

// chatter is what the rest of Bluesky's network says meanwhile: it is never silent.
func (f *Field) chatter(stream *jetstreamtest.Server) {
	defer stream.Stop()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-f.end:
			return
		case now := <-tick.C:
			stream.Push(jetstreamtest.Event{DID: "did:plc:siapasaja", Time: now, Operation: "create", Key: fmt.Sprint("n", n), Record: map[string]any{
				"$type": "app.bsky.feed.post", "text": "selamat siang semua", "createdAt": now, "langs": []string{"id"},
			}})
		}
	}
}

func (f *Field) openYouTube(o Options) error {
	p := f.open(o, schemas.PlatformYouTube, youtubetest.Limited, &youtubetest.Server{World: f.world})
	p.id = youtubetest.ID
	p.source(f.world.Official, youtubetest.Key, config.Group{"sweep_every": "1m"})
	return nil
}

func (f *Field) openMeta(name string) func(Options) error {
	return func(o Options) error {
		m := &metatest.Server{World: f.world, Platform: name}
		p := f.open(o, name, func(w http.ResponseWriter, _ time.Time) { metatest.Limited(w, 0) }, m)
		settings := config.Group{"limit_wait": limitedFor.String()}
		if o.Push {
			facebook := name == schemas.PlatformFacebook
			p.way, p.tellsEdits, p.tellsDeletes, p.delivery = byWebhooks, facebook, facebook, m.Delivery
			p.pushes = func(post conversation.Post) bool { return facebook || post.Author != f.world.Official }
			for key, secret := range map[string]string{"app_secret": metatest.AppSecret, "verify_token": metatest.Verify} {
				path := filepath.Join(f.secrets, name+"-"+key)
				if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
					return fmt.Errorf("writing a secret of the field: %w", err)
				}
				settings[key] = "file:" + path
			}
		}
		p.source(f.world.Official, metatest.Token, settings)
		return nil
	}
}

func (f *Field) openTelegram(o Options) error {
	g := &telegramtest.Server{World: f.world}
	p := f.open(o, schemas.PlatformTelegram, func(w http.ResponseWriter, _ time.Time) { telegramtest.Problem(w, http.StatusTooManyRequests, 1) }, g)
	p.id, p.tellsEdits, p.mirror = telegramtest.ID, true, g.Mirror
	p.source(f.world.Official, telegramtest.Token, nil)
	p.sources[0].Schedule = "@every 4s" // two calls or more, and a bot is given one a second
	return nil
}

func everything(conversation.Post) bool { return true }

// open adds a platform with its first server.
func (f *Field) open(o Options, name string, limited func(http.ResponseWriter, time.Time), inner http.Handler) *platform {
	p := &platform{
		name: name, way: byPolling, account: f.world.Official, limited: limited, faults: o.Faults, random: rand.New(rand.NewPCG(o.Seed, uint64(2+len(name)))), id: func(id string) string { return id },
		pushes: func(conversation.Post) bool { return false }, mirror: func() {}, breaks: func() {},
	}
	p.serve(inner)
	f.platforms = append(f.platforms, p)
	return p
}

// serve starts a server that fails as the platform does.
func (p *platform) serve(inner http.Handler) {
	p.servers = append(p.servers, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.fails(w) {
			inner.ServeHTTP(w, r)
		}
	})))
}

// source adds the source of the official account before the platform's first server.
func (p *platform) source(account, token string, settings config.Group) {
	p.sources = append(p.sources, ingest.Source{
		Platform: p.name, Account: account, BaseURL: p.servers[0].URL, Token: config.NewSecret(token), AllowPrivate: true, Schedule: polled, Settings: settings,
	})
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
	case x < p.faults.Broken+p.faults.Cut+p.faults.Limited:
		p.limited(w, time.Now().Add(limitedFor))
	default:
		return false
	}
	return true
}

// Outage ends or restores all answers of a platform; its streams break.
func (f *Field) Outage(name string, out bool) {
	for _, p := range f.platforms {
		if p.name != name {
			continue
		}
		p.mu.Lock()
		p.out = out
		p.mu.Unlock()
		if out {
			p.breaks()
		}
	}
}

// BreakStreams ends the streams of all platforms, which may be opened again at once.
func (f *Field) BreakStreams() {
	for _, p := range f.platforms {
		p.breaks()
	}
}

// Deliver has what happens from now on delivered by webhook to where ingest takes deliveries, as http://127.0.0.1:9180.
func (f *Field) Deliver(base string) { f.courier.subscribe(base) }

// Undelivered is how many deliveries were not taken yet.
func (f *Field) Undelivered() int { return f.courier.left() }

// Sources are ingest's sources for the servers, each polled every two seconds. Bluesky has two where it pushes: one that polls, and Jetstream.
func (f *Field) Sources() []ingest.Source {
	var all []ingest.Source
	for _, p := range f.platforms {
		all = append(all, p.sources...)
	}
	return all
}

// Platforms are the field's platforms.
func (f *Field) Platforms() []Platform {
	var all []Platform
	for _, p := range f.platforms {
		all = append(all, Platform{Name: p.name, Way: p.way, Rereads: p.name != schemas.PlatformTelegram})
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
			all = append(all, Post{
				Platform: p.name, MessageID: p.id(post.ID), ID: post.ID, Parent: post.Parent, Root: cmp.Or(post.Root, post.ID), Official: post.Author == f.world.Official, Text: post.Text, Created: post.Created,
				Edited: f.edited[post.ID], Told: f.edited[post.ID] && p.tellsEdits, Pushed: p.pushes(post),
			})
		}
		for id := range f.world.Deleted {
			all = append(all, Post{Platform: p.name, MessageID: p.id(id), ID: id, Deleted: true, Told: p.tellsDeletes && !f.unheard[[2]string{p.name, id}]})
		}
	}
	return all
}

// Died says that whoever listened has died since the last step: what was told only once may be lost.
func (f *Field) Died() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.platforms {
		if p.heard != nil && f.gone != "" {
			f.unheard[[2]string{p.name, f.gone}] = true
		}
	}
}

// removed notes who is not told of a deletion.
func (f *Field) removed(id string) {
	f.gone = id
	for _, p := range f.platforms {
		if p.heard != nil && !p.heard() {
			f.unheard[[2]string{p.name, id}] = true
		}
	}
}

// mirror pushes to the streams what has changed.
func (f *Field) mirror() {
	for _, p := range f.platforms {
		p.mirror()
	}
}

// deliver has the webhooks told of what happened to a post.
func (f *Field) deliver(verb string, post conversation.Post) {
	f.world.Lock()
	defer f.world.Unlock()
	for _, p := range f.platforms {
		if p.delivery == nil {
			continue
		}
		if body := p.delivery(verb, post, time.Now()); body != nil {
			f.courier.put(parcel{platform: p.name, body: body})
		}
	}
}

// Close ends the servers.
func (f *Field) Close() {
	f.courier.close()
	close(f.end)
	f.running.Wait()
	f.BreakStreams()
	for _, p := range f.platforms {
		for _, s := range p.servers {
			s.CloseClientConnections()
			s.Close()
		}
	}
	os.RemoveAll(f.secrets) //nolint:errcheck // It is in the folder of temporary files.
}
