package sample

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// author is a citizen, or an account when office is set.
type author struct {
	id, handle, platform string
	office               *office
	voice                voice
	followers            *int64
	created              *time.Time
}

// message is something that was written, before it becomes rows of the archive.
type message struct {
	// id is given once everything is written, in order of time.
	id             string
	platform, kind string
	author         *author
	at             time.Time
	text           string
	// before is the text that the edit at editedAt replaced.
	before   string
	editedAt *time.Time
	// parent and root; a root without a parent has itself as root. A ghost was never read: it serves as the parent of orphans.
	parent, root *message
	ghost        bool
	mentions     []*author
	isAuto       bool
	lang         string
	truth        labels
	function     string
	deletedAt    *time.Time
	// tombstone tells that the deletion is a row of its own, without text.
	tombstone bool
	concerns  []*office
}

func (m *message) delete(at, end time.Time, tombstone bool) {
	if at.Before(end) {
		m.deletedAt, m.tombstone = &at, tombstone
	}
}

type world struct {
	rng        *rand.Rand
	start, end time.Time
	offices    []*office
	slang      slang
	messages   []*message
	// citizens by office and platform.
	citizens map[string][]*author
	handles  map[string]bool
	// talking holds who already has a conversation in a thread: one each, so that every answer belongs to one question.
	talking map[*message]map[*author]bool
	books   map[string]*book
	people  int
}

func newWorld(o Options, directory *institutions.Directory) (*world, error) {
	w := &world{
		rng: rand.New(rand.NewPCG(o.Seed, 0x6477696172616821)), start: o.End.AddDate(0, 0, -Days), end: o.End,
		citizens: map[string][]*author{}, handles: map[string]bool{}, talking: map[*message]map[*author]bool{}, books: map[string]*book{}, people: 1000,
	}
	var err error
	if w.slang, err = parseSlang(); err != nil {
		return nil, err
	}
	for _, h := range offices() {
		in := directory.Institution(h.id)
		f := &office{Institution: in, habits: h, zone: in.Location(), accounts: map[string][]*author{}}
		if f.texts, err = parseGrammar("common.txt", h.file); err != nil {
			return nil, err
		}
		for _, platform := range schemas.Platforms() {
			for _, a := range in.Accounts[platform] {
				f.accounts[platform] = append(f.accounts[platform], &author{id: a.ID, handle: a.Handle, platform: platform, office: f})
			}
		}
		w.offices = append(w.offices, f)
		w.books[h.id] = &book{}
	}
	return w, nil
}

// live lets everything happen.
func (w *world) live() {
	for _, f := range w.offices {
		w.broadcast(f)
	}
	for _, f := range w.offices {
		w.daily(f)
	}
	registry, water, transport := w.offices[0], w.offices[1], w.offices[2]
	w.incident(water, w.day(water, 52).Add(5*time.Hour+10*time.Minute))
	w.burst(transport, w.day(transport, 67).Add(20*time.Hour+14*time.Minute), w.day(transport, 68).Add(12*time.Hour+31*time.Minute))
	for n := range 14 {
		w.askBoth(registry, water, instantOf(w.rng, w.day(registry, 4+6*n), citizenHours))
	}
	slices.SortStableFunc(w.messages, func(a, b *message) int { return a.at.Compare(b.at) })
	number := map[string]int{}
	for _, m := range w.messages {
		number[m.platform]++
		m.id = fmt.Sprintf("%s%06d", m.platform[:1], number[m.platform])
	}
}

// day is local midnight of a day of the sample.
func (w *world) day(f *office, n int) time.Time {
	local := w.start.In(f.zone).AddDate(0, 0, n)
	return time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, f.zone)
}

// write adds a message and enters it in the office's book; it reports false, and adds nothing, when the sample ends before.
func (w *world) write(f *office, m *message, c class, addresses ...*author) bool {
	if !m.at.Before(w.end) || m.at.Before(w.start) {
		return false
	}
	m.at = m.at.UTC().Truncate(time.Second)
	if m.root == nil {
		m.root = m
	}
	w.messages = append(w.messages, m)
	w.enter(f, m, c, addresses...)
	return true
}

func (w *world) enter(f *office, m *message, c class, addresses ...*author) {
	m.concerns = append(m.concerns, f)
	b := w.books[f.id]
	b.entries = append(b.entries, &entry{m, c, addresses})
}

// citizen is somebody who writes to the office on a platform: somebody new, or one of those who wrote before.
func (w *world) citizen(f *office, platform string) *author {
	key := f.id + " " + platform
	if known := w.citizens[key]; len(known) > 20 && w.rng.Float64() < 0.5 {
		// The square makes the early ones the regulars.
		at := w.rng.Float64()
		return known[int(at*at*float64(len(known)))]
	}
	a := w.newcomer(f, platform)
	w.citizens[key] = append(w.citizens[key], a)
	return a
}

func (w *world) newcomer(f *office, platform string) *author {
	w.people++
	a := &author{id: fmt.Sprintf("u%d", w.people), handle: newHandle(w.rng, w.handles), platform: platform, voice: newVoice(w.rng, f.langs)}
	if w.rng.Float64() < 0.6 {
		n := int64(10 * w.rng.ExpFloat64() * 30)
		created := w.start.AddDate(0, 0, -30-w.rng.IntN(3000)).Add(time.Duration(w.rng.IntN(86400)) * time.Second)
		a.followers, a.created = &n, &created
	}
	return a
}

// stranger is a citizen who has no conversation in the thread yet.
func (w *world) stranger(f *office, platform string, root *message) *author {
	for {
		a := w.citizen(f, platform)
		if root == nil {
			return a
		}
		if w.talking[root] == nil {
			w.talking[root] = map[*author]bool{}
		}
		if !w.talking[root][a] {
			w.talking[root][a] = true
			return a
		}
		// A busy thread calls for new people, so that the search ends.
		w.citizens[f.id+" "+platform] = append(w.citizens[f.id+" "+platform], w.newcomer(f, platform))
	}
}

// topic is what one conversation is about and with whom.
type topic struct {
	*office
	account *author
	citizen *author
	slots   *slots
}

func (w *world) topic(f *office, platform string, c *author, at time.Time) *topic {
	account := f.accounts[platform][0]
	if siblings := f.accounts[platform]; len(siblings) > 1 && w.rng.Float64() < 0.2 {
		account = siblings[1]
	}
	number := fmt.Sprintf("%s%05d", f.number, w.rng.IntN(100000))
	t := &topic{office: f, account: account, citizen: c}
	greeting := func(words ...string) func() string {
		return func() string {
			hour := at.In(f.zone).Hour()
			return words[min((hour+20)%24*len(words)/24, len(words)-1)]
		}
	}
	t.slots = &slots{subject: map[string]string{}, moment: map[string]func() string{
		// From four in the morning: four parts of a day of six hours.
		"salam":   greeting("pagi", "siang", "sore", "malam"),
		"salamen": greeting("morning", "afternoon", "evening", "evening"),
		"akun":    func() string { return "@" + account.handle },
		"noreg":   func() string { return number },
		"data":    w.privateData,
		"telp":    w.phone,
	}}
	return t
}

// phone, number and address below are of ranges that nobody has.
func (w *world) phone() string { return fmt.Sprintf("0812-0000-%04d", w.rng.IntN(10000)) }

// privateData is what people should not post, and do: an identity number with the region code 99, which no region has, and the like.
func (w *world) privateData() string {
	switch w.rng.IntN(12) {
	case 0:
		return fmt.Sprintf("NIK saya 99%04d%02d%02d%02d%04d", w.rng.IntN(10000), 1+w.rng.IntN(28), 1+w.rng.IntN(12), w.rng.IntN(100), 1+w.rng.IntN(99))
	case 1:
		return "hubungi saya di " + w.phone()
	case 2:
		return fmt.Sprintf("email %s%d@example.com", handleFirst[w.rng.IntN(len(handleFirst))], w.rng.IntN(100))
	}
	return ""
}

// text writes a text of a section in the citizen's own voice.
func (w *world) text(t *topic, c *author, s *section) string {
	return c.voice.say(w.rng, w.slang, t.texts.expand(w.rng, s.name, t.slots), s.lang, s.truth.sentiment)
}

// official writes a text as an office would.
func (w *world) official(t *topic, section string) string {
	return capitalise(t.texts.expand(w.rng, section, t.slots))
}

// section draws one of a family, in the citizen's language where there is one.
func (w *world) section(f *office, prefix string, c *author) *section {
	found := f.texts.family(prefix, "id")
	if local := f.texts.family(prefix, c.voice.lang); c.voice.lang != "id" && len(local) > 0 && w.rng.Float64() < 0.75 {
		found = local
	}
	total := 0
	for _, s := range found {
		total += s.weight
	}
	at := w.rng.IntN(total)
	for _, s := range found {
		if at -= s.weight; at < 0 {
			return s
		}
	}
	return found[0]
}

// mentionsIn finds which of some authors a text names.
func mentionsIn(text string, candidates ...*author) []*author {
	var named []*author
	for _, a := range candidates {
		if slices.ContainsFunc(strings.Fields(text), func(word string) bool { return strings.Trim(word, ".,?!:;()") == "@"+a.handle }) {
			named = append(named, a)
		}
	}
	return named
}

// replyKind is what a platform calls an answer.
func replyKind(platform string) string {
	if platform == schemas.PlatformInstagram || platform == schemas.PlatformYouTube {
		return schemas.KindComment
	}
	return schemas.KindReply
}

// onlyComments tells that citizens cannot begin a thread that reaches the account: they comment on what it posts.
func onlyComments(platform string) bool { return replyKind(platform) == schemas.KindComment }

// minutes draws a time between two numbers of minutes.
func (w *world) minutes(from, to float64) time.Duration {
	return time.Duration((from + (to-from)*w.rng.Float64()) * float64(time.Minute)).Round(time.Second)
}
