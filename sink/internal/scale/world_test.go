package scale

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

const (
	offices = 50
	// ownMessages is what the institution that is asked has, however many messages there are in all: the question stays the same while the store grows.
	ownMessages = 200_000
	threadSize  = 10
)

var (
	begin = time.Date(2024, 10, 1, 0, 0, 0, 0, time.UTC)
	end   = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
)

func office(n int) string { return fmt.Sprintf("office-%02d", n) }

// stream makes the nth batch of threads of an endless sequence; the same n gives the same messages. Batches of the asked institution lie over the whole two
// years, those of the others too, so that every batch touches every month as an archive's import does.
func batch(own bool, n, threads int) []store.Entry {
	random := rand.New(rand.NewPCG(uint64(n), map[bool]uint64{true: 1, false: 2}[own]))
	list := make([]store.Entry, 0, threads*threadSize)
	for t := range threads {
		in := 0
		if !own {
			in = 1 + random.IntN(offices-1)
		}
		list = append(list, thread(random, in, fmt.Sprintf("%d-%v-%d", n, own, t))...)
	}
	return list
}

// thread is a post of the office, eight messages of citizens under it, most of them asking, and one reply to one of them.
func thread(random *rand.Rand, in int, name string) []store.Entry {
	at := begin.Add(time.Duration(random.Int64N(int64(end.Sub(begin)))))
	post := id(random, at)
	account := person(in, -1)
	var list []store.Entry
	add := func(change func(*event.Enriched)) *event.Message {
		observed := at.UnixMilli() + random.Int64N(time.Minute.Milliseconds())
		e := &event.Enriched{
			Message: &event.Message{
				Institution: office(in), Platform: schemas.PlatformMastodon, MessageId: id(random, at), MessageKey: random16(random), Account: "kantor", Kind: schemas.KindReply,
				Direction: schemas.Inbound, CreatedAtMs: at.UnixMilli(), ObservedAtMs: &observed, IngestedAtMs: forever, Connector: "archive", Lang: "id",
				ParentId: post, RootId: post, ParentAuthorKey: account, ParentIsAccount: event.Known_KNOWN_YES, FromAccountStream: true, TextHash: random.Uint64(),
			},
			Enrichment: enrichment(random),
		}
		change(e)
		list = append(list, store.Entry{Enriched: e})
		return e.Message
	}
	add(func(e *event.Enriched) {
		m := e.Message
		m.MessageId, m.Kind, m.Direction, m.AuthorKey, m.ParentId, m.ParentAuthorKey, m.FromAccountStream = post, schemas.KindPost, schemas.Outbound, account, "", "", false
		m.ParentIsAccount, e.Enrichment.NeedsReply, e.Enrichment.ContentFunction = event.Known_KNOWN_UNSPECIFIED, false, "informative"
		m.Likes, m.Replies, m.Shares = count(random, 500), count(random, 50), count(random, 80)
		m.Text = "Informasi layanan " + name
	})
	for n := range threadSize - 2 {
		at = at.Add(time.Duration(random.ExpFloat64() * float64(2*time.Hour)))
		m := add(func(e *event.Enriched) {
			// Few people write often, many once.
			n := int(1 + 20_000*random.Float64()*random.Float64()*random.Float64())
			e.Message.AuthorKey, e.Message.AuthorCreatedAtMs = person(in, n), joined(n)
			e.Message.AuthorFollowers, e.Message.Likes = count(random, 5000), count(random, 20)
			e.Message.MentionKeys, e.Message.MentionsAccount = []string{account}, true
			e.Message.Text = fmt.Sprintf("MARK%032x mohon dicek pak, air di tempat kami %s keruh sejak kemarin dan belum ada kabar", random.Uint64(), name)
		})
		if n == 3 {
			asked := at
			at = at.Add(time.Duration(random.ExpFloat64() * float64(9*time.Hour)))
			add(func(e *event.Enriched) {
				r := e.Message
				r.Direction, r.AuthorKey, r.ParentId, r.ParentAuthorKey, r.ParentIsAccount = schemas.Outbound, account, m.MessageId, m.AuthorKey, event.Known_KNOWN_NO
				e.Enrichment.NeedsReply, r.MentionKeys, r.FromAccountStream, r.Text = false, []string{m.AuthorKey}, false, "Terima kasih, kami cek "+name
			})
			at = asked
		}
	}
	return list
}

var forever = time.Date(2095, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

func enrichment(random *rand.Rand) *event.Enrichment {
	p := random.Float32()
	e := &event.Enrichment{
		Lang: "id", Sentiment: []string{schemas.Negative, schemas.Neutral, schemas.Positive}[random.IntN(3)], PNegative: p, PNeutral: (1 - p) / 2, PPositive: (1 - p) / 2,
		Toxicity: random.Float32(), NeedsReply: random.IntN(10) < 6, PNeedsReply: random.Float32(), ModelVersion: "2026.3", ModelSeq: 3, RiskTag: "none",
	}
	if random.IntN(4) == 0 {
		tag := []string{"service_failure", "non_response", "wrong_information"}[random.IntN(3)]
		e.RiskTag, e.RiskTags, e.RiskSeverity, e.RiskP = tag, []string{tag}, uint32(1+random.IntN(5)), []*event.TagProbability{{Tag: tag, P: random.Float32()}}
	}
	return e
}

// id is as a platform makes them: the time, and some bits of the moment.
func id(random *rand.Rand, at time.Time) string {
	return fmt.Sprint(at.UnixMilli()<<16 | int64(random.IntN(1<<16)))
}

func random16(random *rand.Rand) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, random.Uint64()), random.Uint64())
}

// person is the key of an office's account (-1) or of one of its citizens.
func person(in, n int) string {
	return hex.EncodeToString(random16(rand.New(rand.NewPCG(uint64(in), uint64(n+1)))))
}

// joined is when a citizen opened the account: before any message.
func joined(n int) *int64 {
	at := begin.AddDate(0, 0, -1-n%3000).UnixMilli()
	return &at
}

func count(random *rand.Rand, most int64) *int64 {
	n := random.Int64N(most)
	return &n
}
