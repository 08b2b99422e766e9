package ingest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/ingest/internal/topic"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

const ringText = "identity 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\nauthor 2026 404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f\n"

const twoCities = `
institutions:
  - id: kota-a
    name: Kota A
    zone: Asia/Jakarta
    accounts: {x: [{id: "100", handle: kota_a}], mastodon: [{handle: kota_a}]}
    keywords: ["pemkot a"]
    purpose: public service
    legal_basis: "UU 25/2009"
    retention: {text_days: 90, facts_days: 395}
  - id: kota-b
    name: Kota B
    zone: Asia/Jakarta
    accounts: {x: [{handle: kota_b}]}
    purpose: public service
    legal_basis: "UU 25/2009"
    retention: {text_days: 90, facts_days: 395}
`

func ring(t *testing.T) *identitykey.Ring {
	t.Helper()
	r, err := identitykey.Parse(ringText)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func directory(t *testing.T, text string) *institutions.Directory {
	t.Helper()
	d, err := institutions.Parse("institutions.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// start starts a broker with ingest's topics.
func start(t *testing.T) kafka.Conn {
	t.Helper()
	var topics []kafka.TopicSpec
	for _, name := range []string{schemas.TopicRaw, schemas.TopicDead, schemas.TopicLedger} {
		topics = append(topics, kafka.TopicSpec{Name: name, Partitions: 2})
	}
	b, err := broker.Start(broker.Config{Topics: topics, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return kafka.Conn{Brokers: []string{b.Addr()}, ClientID: "test"}
}

// produced is everything that the topics hold.
type produced struct {
	messages map[string]*event.Message // by institution, platform and id: the last one
	records  int
	dead     []*event.DeadLetter
	coverage []*event.Coverage
	sizes    []*event.AccountSnapshot
}

func readAll(t *testing.T, conn kafka.Conn) produced {
	t.Helper()
	all := produced{messages: map[string]*event.Message{}}
	for _, name := range []string{schemas.TopicRaw, schemas.TopicDead, schemas.TopicLedger} {
		err := topic.Read(t.Context(), conn, name, topic.Options{FromStart: true}, func(r kafka.Record) error {
			if len(r.Headers) != 1 || r.Headers[0].Key != event.SchemaHeader {
				t.Errorf("%s: headers %v", name, r.Headers)
			}
			schema := r.Headers[0].Value
			switch name {
			case schemas.TopicRaw:
				var m event.Message
				if err := event.Decode(schema, r.Value, &m); err != nil {
					return err
				}
				if string(r.Key) != m.Platform+":"+m.MessageId {
					t.Errorf("key %q of message %s", r.Key, m.MessageId)
				}
				all.records++
				all.messages[m.Institution+"/"+m.Platform+"/"+m.MessageId] = &m
			case schemas.TopicDead:
				var d event.DeadLetter
				if err := event.Decode(schema, r.Value, &d); err != nil {
					return err
				}
				all.dead = append(all.dead, &d)
			case schemas.TopicLedger:
				var l event.LedgerEntry
				if err := event.Decode(schema, r.Value, &l); err != nil {
					return err
				}
				if c := l.GetCoverage(); c != nil {
					all.coverage = append(all.coverage, c)
				}
				if s := l.GetSnapshot(); s != nil {
					all.sizes = append(all.sizes, s)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(all.dead, func(a, b *event.DeadLetter) int { return int(a.Offset - b.Offset) })
	slices.SortStableFunc(all.coverage, func(a, b *event.Coverage) int {
		return strings.Compare(a.Institution+a.Connector, b.Institution+b.Connector)
	})
	return all
}

func importConfig(t *testing.T, conn kafka.Conn) ingest.ImportConfig {
	t.Helper()
	return ingest.ImportConfig{
		Kafka: conn, Institutions: directory(t, twoCities), Keys: ring(t), StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// line is one line of the archive form.
func line(fields map[string]any) string {
	row := map[string]any{"platform": "x", "kind": "post", "created_at": "2026-03-01T08:00:00+07:00", "text": "halo"}
	for k, v := range fields {
		row[k] = v
	}
	b, err := json.Marshal(row)
	if err != nil {
		panic(err)
	}
	return string(b)
}

const bigText = 5 << 20

// badLines are rows that are wrong, each in its way, and the reason that has to come out.
func badLines() []struct{ line, reason string } {
	return []struct{ line, reason string }{
		{`{"platform":"x","message_id":`, "malformed"},
		{`[]`, "invalid_field"},
		{line(map[string]any{"message_id": 7, "author_id": "u"}), "invalid_field"},
		{line(map[string]any{"message_id": "b1", "author_id": "u", "text": strings.Repeat("a", bigText)}), "too_large"},
		{line(map[string]any{"message_id": "b2", "author_id": "u", "text": strings.Repeat("a", 9<<20)}), "too_large"},
		{strings.Replace(line(map[string]any{"message_id": "b3", "author_id": "u"}), "halo", "\xff\xfe", 1), "invalid_utf8"},
		{line(map[string]any{"message_id": "b4", "author_id": "u", "created_at": "1970-01-01T00:00:00Z"}), "invalid_field"},
		{line(map[string]any{"message_id": "b5", "author_id": "u", "created_at": "2970-01-01T00:00:00Z"}), "invalid_field"},
		{line(map[string]any{"message_id": "b6", "author_id": "u", "platform": "friendster"}), "unknown_platform"},
		{line(map[string]any{"message_id": "b7"}), "missing_field"},
		{line(map[string]any{"message_id": "b8", "author_id": "kota_a", "url": "https://x.com/" + strings.Repeat("a", 2<<20)}), "too_large"},
	}
}

// An export of another program needs no flag, its bad rows are dead-lettered, and what was not public stays out.
func TestImportFindsTheFormat(t *testing.T) {
	conn := start(t)
	folder := filepath.Join("internal", "archive", "testdata")
	f := func(file, format string, read, produced, dropped, dead int64) {
		t.Helper()
		sum, err := ingest.Import(t.Context(), importConfig(t, conn), []string{filepath.Join(folder, file)})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(sum.Files[0].Format + " " + sum.Files[0].Mapping); got != format {
			t.Errorf("%s: read as %q, want %q", file, got, format)
		}
		if sum.Read != read || sum.Produced != produced || sum.DroppedTotal() != dropped || sum.DeadTotal() != dead {
			t.Errorf("%s: %v", file, sum.Counts)
		}
	}
	f("twarc-v1.jsonl", "tweets", 9, 5, 1, 3)
	f("x-archive/tweets.js", "x-archive", 5, 4, 0, 1)
	f("tweet-harvest.csv", "csv tweet-harvest", 3, 2, 0, 1)
	if all := readAll(t, conn); len(all.dead) != 5 {
		t.Errorf("%d dead letters", len(all.dead))
	}
	cfg := importConfig(t, conn)
	cfg.Format = "friendster"
	if _, err := ingest.Import(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), `format: "friendster"; allowed: one of jsonl`) {
		t.Errorf("error %v", err)
	}
}

// F11, ingest's part, F12 and F13.
func TestImportBadLinesCostNothingElse(t *testing.T) {
	conn := start(t)
	var text strings.Builder
	good := 0
	for n, bad := range badLines() {
		fmt.Fprintf(&text, "%s\n\n%s\n", bad.line, line(map[string]any{"message_id": fmt.Sprint("g", n), "author_id": "warga", "mentions": []string{"KOTA_A"}}))
		good++
	}
	text.WriteString(line(map[string]any{"message_id": "nobody", "author_id": "warga"}))
	sum, err := ingest.Import(t.Context(), importConfig(t, conn), []string{write(t, "campur.jsonl", text.String())})
	if err != nil {
		t.Fatal(err)
	}
	if !sum.Balanced() || sum.Read != int64(2*good+1) || sum.Produced != int64(good) || sum.DroppedTotal() != 1 || sum.Dropped[schemas.DropNoInstitution] != 1 {
		t.Errorf("summary: %v", sum.Counts)
	}
	all := readAll(t, conn)
	if len(all.messages) != good || len(all.dead) != good {
		t.Fatalf("%d messages and %d dead letters, want %d of each", len(all.messages), len(all.dead), good)
	}
	for n, bad := range badLines() {
		d := all.dead[n]
		if d.Reason != bad.reason || d.Offset != int64(1+3*n) || d.Source != "campur.jsonl" || d.Stage != "ingest" {
			t.Errorf("bad line %d: reason %s, source %s, line %d, stage %s; want %s at %d", n, d.Reason, d.Source, d.Offset, d.Stage, bad.reason, 1+3*n)
		}
		if len(bad.line) <= 256<<10 && string(d.Original) != bad.line {
			t.Errorf("bad line %d: original %q", n, d.Original)
		}
		if len(bad.line) > 256<<10 && (len(d.Original) != 256<<10 || !strings.Contains(d.Detail, "cut to")) {
			t.Errorf("bad line %d: %d bytes of the original, detail %q", n, len(d.Original), d.Detail)
		}
	}
}

func TestImportAttributesAndPseudonymises(t *testing.T) {
	conn := start(t)
	keys := ring(t)
	file := write(t, "a.jsonl", strings.Join([]string{
		line(map[string]any{"message_id": "4", "author_id": "@Kota_A", "parent_id": "3", "mentions": []string{"warga1", "kota_a", "Kota_B"}, "url": "https://x.com/kota_a/status/4", "author_followers": 10, "observed_at": "2026-03-02T00:00:00Z"}),
		line(map[string]any{"message_id": "2", "author_id": "warga2", "parent_id": "1", "kind": "reply", "text": "sama, saya juga", "url": "https://x.com/warga2/status/2"}),
		line(map[string]any{"message_id": "3", "author_id": "Warga1", "parent_id": "2", "kind": "reply", "mentions": []string{"kota_a", "warga2"}, "text": "@kota_a @warga2 NIK 3174051203900001"}),
		line(map[string]any{"message_id": "1", "author_id": "100", "text": "pengumuman"}),
		line(map[string]any{"message_id": "5", "author_id": "warga3", "parent_id": "0", "kind": "reply", "text": "Pemkot A, tolong"}),
		line(map[string]any{"message_id": "6", "author_id": "warga3", "account": "kota_b", "kind": "mention"}),
		line(map[string]any{"message_id": "7", "author_id": "petugas", "institution": "kota-b", "account": "kota_b", "direction": "outbound"}),
		line(map[string]any{"message_id": "8", "author_id": "warga3", "institution": "lain"}),
	}, "\n"))
	sum, err := ingest.Import(t.Context(), importConfig(t, conn), []string{file})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Read != 8 || sum.Produced != 7 || sum.Events != 8 || sum.Orphans != 1 || !sum.Balanced() {
		t.Errorf("summary: %v", sum.Counts)
	}
	all := readAll(t, conn)
	author := func(id string) string { return keys.AuthorKey("x", id) }
	type facts struct {
		Direction, Account, Kind, Author, ParentAuthor, Root, Text, URL string
		Parent                                                          event.Known
		Mentioned, Stream                                               bool
		Mentions                                                        []string
	}
	want := map[string]facts{
		"kota-a/x/1": {Direction: "outbound", Account: "kota_a", Kind: "post", Author: author("100"), Root: "1", Text: "pengumuman"},
		"kota-a/x/2": {Direction: "inbound", Account: "kota_a", Kind: "reply", Author: author("warga2"), ParentAuthor: author("100"), Root: "1", Text: "sama, saya juga", Parent: event.Known_KNOWN_YES},
		"kota-a/x/3": {Direction: "inbound", Account: "kota_a", Kind: "reply", Author: author("warga1"), ParentAuthor: author("warga2"), Root: "1", Text: "@kota_a [USER] NIK [NIK]",
			Parent: event.Known_KNOWN_NO, Mentioned: true, Mentions: []string{author("warga2")}},
		"kota-a/x/4": {Direction: "outbound", Account: "kota_a", Kind: "reply", Author: author("100"), ParentAuthor: author("warga1"), Root: "1", Text: "halo", URL: "https://x.com/kota_a/status/4",
			Parent: event.Known_KNOWN_NO, Mentioned: true, Mentions: []string{author("warga1"), author("kota_b")}},
		"kota-b/x/4": {Direction: "inbound", Account: "kota_b", Kind: "reply", Author: author("100"), ParentAuthor: author("warga1"), Root: "1", Text: "halo",
			Parent: event.Known_KNOWN_NO, Mentioned: true, Mentions: []string{author("warga1"), author("100")}},
		"kota-a/x/5": {Direction: "inbound", Kind: "reply", Author: author("warga3"), Root: "0", Text: "Pemkot A, tolong"},
		"kota-b/x/6": {Direction: "inbound", Account: "kota_b", Kind: "mention", Author: author("warga3"), Root: "6", Text: "halo", Stream: true},
		"kota-b/x/7": {Direction: "outbound", Account: "kota_b", Kind: "post", Author: author("petugas"), Root: "7", Text: "halo"},
	}
	got := map[string]facts{}
	for key, m := range all.messages {
		got[key] = facts{m.Direction, m.Account, m.Kind, m.AuthorKey, m.ParentAuthorKey, m.RootId, m.Text, m.Url, m.ParentIsAccount, m.MentionsAccount, m.FromAccountStream, m.MentionKeys}
		if !bytes.Equal(m.MessageKey, keys.MessageKey("x", m.MessageId)) || m.Connector != "archive:x" || m.IngestedAtMs == 0 {
			t.Errorf("%s: message key %x, connector %s, ingested %d", key, m.MessageKey, m.Connector, m.IngestedAtMs)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	from, until := time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC).UnixMilli(), time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixMilli()
	for n, in := range []string{"kota-a", "kota-b"} {
		if len(all.coverage) != 2 {
			t.Fatalf("coverage: %v", all.coverage)
		}
		if c := all.coverage[n]; c.Institution != in || c.Connector != "archive:x" || c.SinceMs != from || c.UntilMs != until || c.Status != "complete" || c.Reason != "" {
			t.Errorf("coverage: %v", c)
		}
	}
	if len(all.sizes) != 1 || all.sizes[0].GetFollowers() != 10 || all.sizes[0].Account != "kota_a" || all.sizes[0].ObservedAtMs != until {
		t.Errorf("sizes: %v", all.sizes)
	}
}

// normal takes out of messages what may differ between two imports of one file.
func normal(all produced) map[string]string {
	out := map[string]string{}
	for key, m := range all.messages {
		m.IngestedAtMs = 0
		b, _ := m.MarshalVT()
		out[key] = fmt.Sprintf("%x", b)
	}
	return out
}

func TestImportDoesNotDependOnOrderBatchOrCompression(t *testing.T) {
	var lines []string
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		fields := map[string]any{"message_id": fmt.Sprint(n), "author_id": fmt.Sprint("warga", rng.IntN(40)), "text": fmt.Sprint("pesan ", n)}
		if n > 0 && rng.IntN(4) > 0 {
			fields["parent_id"] = fmt.Sprint(rng.IntN(n))
			fields["kind"] = "reply"
		}
		switch rng.IntN(6) {
		case 0:
			fields["author_id"] = "kota_a"
		case 1:
			fields["mentions"] = []string{"kota_b"}
		case 2:
			fields["text"] = "pemkot a bagaimana?"
		}
		lines = append(lines, line(fields))
		if rng.IntN(20) == 0 { // an edit
			fields["text"], fields["edited_at"] = "diubah", "2026-03-01T09:00:00Z"
		}
	}
	lines = append(lines, line(map[string]any{"message_id": "c1", "parent_id": "c2", "author_id": "kota_a"}), line(map[string]any{"message_id": "c2", "parent_id": "c1", "author_id": "warga1"}))
	var want map[string]string
	for n, batch := range []int{0, 11, 7, 50} {
		conn := start(t)
		cfg := importConfig(t, conn)
		cfg.BatchMessages = batch
		text := strings.Join(lines, "\n")
		name := "a.jsonl"
		var packed bytes.Buffer
		switch n {
		case 1:
			name = "a.jsonl.gz"
			w := gzip.NewWriter(&packed)
			io.WriteString(w, text)
			w.Close()
			text = packed.String()
		case 2:
			name = "a.jsonl.zst"
			w, err := zstd.NewWriter(&packed)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(w, text)
			w.Close()
			text = packed.String()
		}
		sum, err := ingest.Import(t.Context(), cfg, []string{write(t, name, text)})
		if err != nil {
			t.Fatal(err)
		}
		if !sum.Balanced() || sum.Read != int64(len(lines)) {
			t.Errorf("summary: %v", sum.Counts)
		}
		got := normal(readAll(t, conn))
		if want == nil {
			want = got
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("batch %d, %s: %s", batch, name, d)
		}
		rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	}
}

func TestImportGoesOnWhereItWasStopped(t *testing.T) {
	conn := start(t)
	cfg := importConfig(t, conn)
	cfg.BatchMessages = 10
	var text strings.Builder
	for n := range 1000 {
		fmt.Fprintln(&text, line(map[string]any{"message_id": fmt.Sprint(n), "author_id": "warga", "mentions": []string{"kota_a"}}))
	}
	text.WriteString("rusak\n")
	file := write(t, "a.jsonl", text.String())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg.Progress = func(p ingest.ImportProgress) {
		if p.Phase == ingest.PhaseProducing && p.Rows >= 256 {
			cancel()
		}
	}
	first, err := ingest.Import(ctx, cfg, []string{file})
	if err == nil {
		t.Fatal("the import was not stopped")
	}
	cfg.Progress = nil
	second, err := ingest.Import(t.Context(), cfg, []string{file})
	if err != nil {
		t.Fatal(err)
	}
	if second.Files[0].Resumed != first.Read || first.Read == 0 || first.Read == 1001 {
		t.Errorf("stopped after %d rows, went on after %d", first.Read, second.Files[0].Resumed)
	}
	if !second.Balanced() || second.Read != 1001 || second.Produced != 1000 || second.Dead[schemas.DeadMalformed] != 1 {
		t.Errorf("summary: %v", second.Counts)
	}
	all := readAll(t, conn)
	if len(all.messages) != 1000 || all.records != 1000 || len(all.dead) != 1 || len(all.coverage) != 1 {
		t.Errorf("%d messages in %d records, %d dead, %d stretches", len(all.messages), all.records, len(all.dead), len(all.coverage))
	}
	if left, err := filepath.Glob(filepath.Join(cfg.StateDir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left in the state folder: %v %v", left, err)
	}
}

func TestImportOfATruncatedFile(t *testing.T) {
	conn := start(t)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for n := range 2000 {
		fmt.Fprintln(w, line(map[string]any{"message_id": fmt.Sprint(n), "author_id": "warga", "mentions": []string{"kota_a"}, "text": fmt.Sprint(rand.Uint64())}))
	}
	w.Close()
	sum, err := ingest.Import(t.Context(), importConfig(t, conn), []string{write(t, "a.jsonl.gz", packed.String()[:packed.Len()/2])})
	if err == nil || !strings.Contains(err.Error(), "the rest of the file cannot be read") {
		t.Errorf("error: %v", err)
	}
	all := readAll(t, conn)
	if sum.Read < 100 || !sum.Balanced() || len(all.messages) != int(sum.Produced) || len(all.coverage) != 0 {
		t.Errorf("summary %v, %d messages, coverage %v", sum.Counts, len(all.messages), all.coverage)
	}
}

func TestImportRefuses(t *testing.T) {
	conn := start(t)
	f := func(name, want string, change func(*ingest.ImportConfig), files ...string) {
		t.Helper()
		cfg := importConfig(t, conn)
		change(&cfg)
		_, err := ingest.Import(t.Context(), cfg, files)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
	none := func(*ingest.ImportConfig) {}
	f("no file", "no such file", none, filepath.Join(t.TempDir(), "tidak-ada.jsonl"))
	f("a folder", "no regular file", none, t.TempDir())
	f("platform", `platform: "friendster"; allowed: one of`, func(c *ingest.ImportConfig) { c.Platform = "friendster" })
	f("institution", `institution: "lain"; allowed: an id of the institutions file`, func(c *ingest.ImportConfig) { c.Institution = "lain" })
	f("keys", "keys", func(c *ingest.ImportConfig) { c.Keys = nil })
	f("mapping", "allowed: a file, or one of 4cat-x, mentions, twcs, tweet-harvest", func(c *ingest.ImportConfig) { c.Mapping = "tidak-ada" }, write(t, "a.csv", "date,text\n"))
	f("columns", "lacks the columns tweet_id (for message_id)", func(c *ingest.ImportConfig) { c.Mapping = "twcs" }, write(t, "a.csv", "author_id,created_at,text,in_reply_to_tweet_id\n"))
	f("no mapping fits", "no shipped mapping (4cat-x, mentions, twcs, tweet-harvest) fits: it has the columns a, b;", none, write(t, "a.csv", "a,b\n1,2\n"))
	f("no header", "it has a first line of 3 fields that are not all names of columns (a header is missing?)", none, write(t, "b.csv", "Budi,2026-03-01,min kapan buka\n"))
	f("until", "allowed: a time after the first message", func(c *ingest.ImportConfig) { c.Until = schemas.EarliestCreated }, write(t, "a.jsonl", line(map[string]any{"message_id": "1", "author_id": "kota_a"})))
	f("not gzip", "as gzip", none, write(t, "a.jsonl.gz", "bukan gzip"))
}

func TestImportOfAPlainMentionExport(t *testing.T) {
	conn := start(t)
	cfg := importConfig(t, conn)
	cfg.Institution, cfg.Account, cfg.Platform = "kota-a", "kota_a", "instagram"
	cfg.Institutions = directory(t, strings.Replace(twoCities, "x: [{id: \"100\"", "instagram: [{handle: kota_a}], x: [{id: \"100\"", 1))
	file := write(t, "sebutan.csv", "date,text,label\n2026-03-01,min kapan buka,tanya\n2026-03-01,min kapan buka,tanya\n2026-03-02,\"makasih,\nmin\",puji\nbukan tanggal,halo,x\n2026-03-03,halo\n")
	sum, err := ingest.Import(t.Context(), cfg, []string{file})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Files[0].Mapping != "mentions" || sum.Read != 5 || sum.Produced != 3 || sum.Dead[schemas.DeadInvalidField] != 1 || sum.Dead[schemas.DeadMalformed] != 1 {
		t.Errorf("summary of %s: %v", sum.Files[0].Mapping, sum.Counts)
	}
	authors := map[string]bool{}
	all := readAll(t, conn)
	for key, m := range all.messages {
		authors[m.AuthorKey] = true
		if m.Institution != "kota-a" || m.Platform != "instagram" || m.Account != "kota_a" || m.Kind != "mention" || m.Direction != "inbound" || !m.FromAccountStream {
			t.Errorf("%s: %v", key, m)
		}
		if at := time.UnixMilli(m.CreatedAtMs).In(time.FixedZone("WIB", 7*3600)); at.Hour() != 0 {
			t.Errorf("%s: created at %s", key, at)
		}
	}
	if len(all.messages) != 3 || len(authors) != 3 {
		t.Errorf("%d messages by %d authors, want 3 by 3", len(all.messages), len(authors))
	}
}

// sharedFile is one of the real files, which are no part of the project.
func sharedFile(t *testing.T, parts ...string) string {
	t.Helper()
	root := os.Getenv("DWIARAH_SHARED_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	path := filepath.Join(append([]string{root}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no %s: set DWIARAH_SHARED_DATA to the folder of the shared data", path)
	}
	return path
}

// brands makes an institution of every author that the file marks as outbound.
func brands(t *testing.T, rows [][]string, author, inbound int) *institutions.Directory {
	t.Helper()
	var b strings.Builder
	b.WriteString("institutions:\n")
	seen := map[string]bool{}
	for _, row := range rows[1:] {
		if row[inbound] == "false" && !seen[row[author]] {
			seen[row[author]] = true
			fmt.Fprintf(&b, "  - {id: %q, name: %q, zone: UTC, accounts: {x: [{handle: %q}]}, purpose: test, legal_basis: test, retention: {text_days: 90, facts_days: 395}}\n",
				strings.ToLower(row[author]), row[author], row[author])
		}
	}
	return directory(t, b.String())
}

func TestImportOfRealConversations(t *testing.T) {
	for _, c := range []struct {
		file  string
		rows  int64
		whole bool
	}{{"twcs_threads_a.csv", 2901, true}, {"twcs_random5000_orphans.csv", 4990, false}} {
		t.Run(c.file, func(t *testing.T) {
			file := sharedFile(t, "threads", c.file)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			column := func(name string) int { return slices.Index(rows[0], name) }
			conn := start(t)
			cfg := importConfig(t, conn)
			cfg.Institutions = brands(t, rows, column("author_id"), column("inbound"))
			var mu sync.Mutex
			phases := map[string]int64{}
			cfg.Progress = func(p ingest.ImportProgress) {
				mu.Lock()
				defer mu.Unlock()
				phases[p.Phase] = p.Rows
			}
			sum, err := ingest.Import(t.Context(), cfg, []string{file})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %v in %s", c.file, sum.Counts, sum.Elapsed.Round(time.Millisecond))
			if sum.Files[0].Mapping != "twcs" || sum.Read != c.rows || !sum.Balanced() || sum.DeadTotal() != 0 || phases[ingest.PhaseScanning] != c.rows || phases[ingest.PhaseProducing] != c.rows {
				t.Errorf("mapping %s, phases %v, summary: %v", sum.Files[0].Mapping, phases, sum.Counts)
			}
			all := readAll(t, conn)
			if int64(all.records) != sum.Events || int64(len(all.messages)) != sum.Events {
				t.Errorf("%d records, %d different, %d counted", all.records, len(all.messages), sum.Events)
			}
			if !c.whole {
				if sum.Orphans == 0 {
					t.Error("no orphan was counted")
				}
				return
			}
			if sum.Produced != c.rows {
				t.Errorf("summary: %v", sum.Counts)
			}
			// Every row reached the institution of its author, at least, under the root that the file itself names.
			for _, row := range rows[1:] {
				id, author := row[column("tweet_id")], strings.ToLower(row[column("author_id")])
				found := 0
				for _, in := range cfg.Institutions.All() {
					m := all.messages[in.ID+"/x/"+id]
					if m == nil {
						continue
					}
					found++
					if m.RootId != row[column("thread_root_id")] || (m.Direction == schemas.Outbound) != (in.ID == author) || (m.Kind == "reply") != (row[column("in_reply_to_tweet_id")] != "") {
						t.Errorf("tweet %s for %s: root %s, %s, %s", id, in.ID, m.RootId, m.Direction, m.Kind)
					}
				}
				if found == 0 || row[column("inbound")] == "false" && all.messages[author+"/x/"+id] == nil {
					t.Errorf("tweet %s is with %d institutions", id, found)
				}
			}
		})
	}
}
