package jetstream

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/jetstream/jetstreamtest"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// listener makes a source before a server, for one institution without keywords, that knows no message.
func listener(base string, settings *Settings) (*Source, error) {
	officials, err := institutions.Parse("institutions.yaml", []byte(`
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {bluesky: [{id: "did:plc:kota"}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`))
	if err != nil {
		return nil, err
	}
	return newSource(source.Environment{
		Config: source.Config{Platform: Name, BaseURL: base, AllowPrivate: true}.WithDefaults(), Directory: officials, Log: slog.New(slog.DiscardHandler), Now: time.Now, Settings: settings,
		Known: func(string) (source.Known, bool) { return source.Known{}, false }, KnownAuthor: func(string) bool { return false },
	})
}

// feedStream is a stream that was read already: what is measured is the source, and not the server beside it.
type feedStream struct {
	frames [][]byte
	n, at  int
	done   chan struct{}
}

func (f *feedStream) Next(ctx context.Context) (web.Frame, error) {
	if f.at == f.n {
		close(f.done)
		<-ctx.Done()
		return web.Frame{}, context.Cause(ctx)
	}
	f.at++
	// A socket gives each message a buffer of its own.
	return web.Frame{Data: append([]byte(nil), f.frames[f.at%len(f.frames)]...)}, nil
}

func (f *feedStream) Alive(context.Context) error { return nil }
func (f *feedStream) Close()                      {}

// addressed is how many posts there are for one that concerns an institution.
const addressed = 1000

// traffic is a mix as the network's: mostly new posts, some deletes, now and then one that concerns an institution. The first of them does.
func traffic(n int) []jetstreamtest.Event {
	random := rand.New(rand.NewPCG(1, 2))
	id := func() string { return fmt.Sprintf("did:plc:%024x", random.Uint64()) }
	var events []jetstreamtest.Event
	for i := range n {
		e := jetstreamtest.Event{DID: id(), Time: conversation.Start.Add(time.Duration(i) * time.Millisecond), Operation: "create", Key: fmt.Sprint("3k", i)}
		record := map[string]any{
			"$type": "app.bsky.feed.post", "createdAt": e.Time, "langs": []string{"en"}, "text": strings.Repeat("kata demi kata ", 4+random.IntN(14)),
			"reply": map[string]any{"root": map[string]string{"uri": "at://" + id() + "/app.bsky.feed.post/3kroot", "cid": "bafyreiabcdefghijklmnopqrstuvwxyz"}, "parent": map[string]string{"uri": "at://" + id() + "/app.bsky.feed.post/3kparent", "cid": "bafyreiabcdefghijklmnopqrstuvwxyz"}},
		}
		switch {
		case i%addressed == 0:
			record["facets"] = []any{map[string]any{"index": map[string]int{"byteStart": 0, "byteEnd": 4}, "features": []any{map[string]string{"$type": "app.bsky.richtext.facet#mention", "did": "did:plc:kota"}}}}
		case i%10 == 0:
			e.Operation, record = "delete", nil
		}
		if record != nil {
			e.Record = record
		}
		events = append(events, e)
	}
	return events
}

// BenchmarkStream takes the network's posts from where a socket ends: decompressed, filtered, folded. It reports how many a core takes a second, and what share of a
// core 2,000 posts a second need.
func BenchmarkStream(b *testing.B) {
	for _, compress := range []bool{false, true} {
		b.Run(fmt.Sprintf("zstd=%v", compress), func(b *testing.B) { benchmarkStream(b, compress) })
	}
}

func benchmarkStream(b *testing.B, compress bool) {
	var frames [][]byte
	for i, e := range traffic(10_000) {
		frames = append(frames, jetstreamtest.Frame("v2", int64(i+1), e))
	}
	decode := func(frame []byte) ([]byte, error) { return frame, nil }
	if compress {
		dict := jetstreamtest.New().Dictionary
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderDict(dict), zstd.WithEncoderConcurrency(1))
		if err != nil {
			b.Fatal(err)
		}
		for i := range frames {
			frames[i] = enc.EncodeAll(frames[i], nil)
		}
		if decode, err = decoder(dict); err != nil {
			b.Fatal(err)
		}
	}
	s, err := listener("http://127.0.0.1:1", defaults())
	if err != nil {
		b.Fatal(err)
	}
	r := s.reader(cursor{}, func(context.Context, source.Page) error { return nil })
	stream := &feedStream{frames: frames, n: b.N, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(b.Context())
	go func() { <-stream.done; time.Sleep(10 * time.Millisecond); cancel() }()
	began := cpu()
	b.ResetTimer()
	err = web.Follow(ctx, stream, time.Hour, func(f web.Frame) error {
		frame, err := decode(f.Data)
		if err != nil {
			return err
		}
		return r.take(ctx, frame)
	}, func(time.Duration) error { return nil })
	if ctx.Err() == nil {
		b.Fatal(err)
	}
	used := cpu() - began
	b.ReportMetric(float64(b.N)/used.Seconds(), "posts/core-s")
	b.ReportMetric(100*2000*used.Seconds()/float64(b.N), "%core@2000/s")
}

// cpu is the time that this process has used of all cores.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
