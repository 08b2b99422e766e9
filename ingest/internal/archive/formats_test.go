package archive_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/ingest/internal/archive"
	"github.com/dwiarah/dwiarah/ingest/mappings"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

var update = flag.Bool("update", false, "write the golden files anew")

const offices = `
institutions:
  - id: kota-a
    name: Kota A
    zone: Asia/Jakarta
    accounts: {x: [{id: "100", handle: kota_a}], mastodon: [{handle: layanan_kota@mastodon.example}]}
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

// openAs opens a file as a format, with the mapping that fits a CSV.
func openAs(t testing.TB, path string, format archive.Format) (*archive.Reader, error) {
	t.Helper()
	d, err := institutions.Parse("institutions.yaml", []byte(offices))
	if err != nil {
		t.Fatal(err)
	}
	s := archive.Settings{Format: format, Accounts: d, Now: now}
	if format == archive.FormatCSV {
		if s.Mapping, err = archive.DetectMapping(path, mappings.FS); err != nil {
			t.Fatal(err)
		}
	}
	return archive.Open(path, s)
}

// goldenRow is a row in the golden files.
type goldenRow struct {
	Line    int64              `json:"line"`
	Message *schemas.Message   `json:"message,omitempty"`
	Drop    schemas.DropReason `json:"drop,omitempty"`
	Reason  schemas.DeadReason `json:"reason,omitempty"`
	Detail  string             `json:"detail,omitempty"`
	Raw     int                `json:"raw_bytes,omitempty"`
}

// readGolden reads a file to its end; rest is the error that stops it.
func readGolden(t testing.TB, path string, format archive.Format) (lines string, rest error) {
	t.Helper()
	r, err := openAs(t, path, format)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return out.String(), err
		}
		g := goldenRow{Line: row.Line, Message: row.Message, Drop: row.Drop}
		if row.Err != nil {
			g.Reason, g.Detail, g.Raw = row.Err.Reason, row.Err.Error(), len(row.Raw)
		}
		if err := enc.Encode(g); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFormatsThatPeopleHave(t *testing.T) {
	f := func(file string, want archive.Format) {
		t.Helper()
		path := filepath.Join("testdata", file)
		got, err := archive.Detect(path)
		if err != nil || got != want {
			t.Errorf("%s: found as %s, %v; want %s", file, got, err, want)
		}
		lines, err := readGolden(t, path, want)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		golden := filepath.Join("testdata", "golden", strings.ReplaceAll(file, "/", "-")+".jsonl")
		if *update {
			if err := os.WriteFile(golden, []byte(lines), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(strings.Split(string(b), "\n"), strings.Split(lines, "\n")); d != "" {
			t.Errorf("%s: %s", file, d)
		}
	}
	f("x-archive/tweets.js", archive.FormatXArchive)
	f("twarc-v1.jsonl", archive.FormatTweets)
	f("hydrator.json", archive.FormatTweets)
	f("twarc2-answers.jsonl", archive.FormatTweets)
	f("twarc2-flat.jsonl", archive.FormatTweets)
	f("4cat.ndjson", archive.FormatTweets)
	f("zeeschuimer.ndjson", archive.FormatTweets)
	f("4cat.csv", archive.FormatCSV)
	f("tweet-harvest.csv", archive.FormatCSV)
	f("mastodon/outbox.json", archive.FormatMastodon)
	f("bluesky.json", archive.FormatBluesky)
}

// tempFile writes a file into a folder of its own.
func tempFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDetectBySmallSigns(t *testing.T) {
	f := func(name, content string, want archive.Format) {
		t.Helper()
		if got, err := archive.Detect(tempFile(t, name, []byte(content))); err != nil || got != want {
			t.Errorf("%s %.40q: %s, %v; want %s", name, content, got, err, want)
		}
	}
	f("a.jsonl", `{"platform":"x","message_id":"1"}`, archive.FormatLines)
	f("a.txt", "\xef\xbb\xbf \n"+`{"message_id":"1"}`, archive.FormatLines)
	f("a.txt", "bukan apa-apa", archive.FormatLines)
	f("a.txt", "", archive.FormatLines)
	f("a.txt", "date,text\n2026-03-01,halo", archive.FormatCSV)
	f("a.csv", `{"weird header"}`, archive.FormatCSV)
	f("tweet.js", "window.YTD.tweet.part0 = [ {", archive.FormatXArchive)
	f("tweets.json", `[{"tweet":{"id_str":"1"}}]`, archive.FormatXArchive)
	f("a.json", `[{"id_str":"1"}]`, archive.FormatTweets)
	f("a.json", `{"data":[{"id":"1","author_id":"2","text":"`+strings.Repeat("a", 300<<10), archive.FormatTweets)
	f("a.json", `{"records":[`, archive.FormatBluesky)
	f("a.json", `{"uri":"at://did:plc:a/app.bsky.feed.post/1","value":{}}`, archive.FormatBluesky)
}

// What begins with a bracket may be an array, the header of a CSV, or a bad line before good ones; the name decides nothing there.
func TestDetectBehindABracket(t *testing.T) {
	f := func(name, content string, want archive.Format) {
		t.Helper()
		if got, err := archive.Detect(tempFile(t, name, []byte(content))); err != nil || got != want {
			t.Errorf("%s %.40q: %s, %v; want %s", name, content, got, err, want)
		}
	}
	f("a.txt", "[id],[text],[created_at]\n1,halo,2026-03-01", archive.FormatCSV)
	f("a.txt", "[\"id\"];[\"text\"]\n1;halo", archive.FormatCSV)
	f("a.csv", "[teks]\nhalo", archive.FormatCSV)
	f("a.txt", "[teks]\nhalo", archive.FormatLines)
	f("a.csv", `[{"id_str":"1"}]`, archive.FormatTweets)
	f("a.json", " [\n]\n", archive.FormatTweets)
	f("a.json", "[{\"id_str\":\"1\"},\n{\"id_str\":\"2\"}\n]", archive.FormatTweets)
	f("a.json", "[\n{\"id_str\":\"1\"}\n]", archive.FormatTweets)
	f("a.json", "[{\"id_str\":\"1\"}]\n[{\"id_str\":\"2\"}]", archive.FormatTweets)
	for _, bad := range []string{"[1,2]", strings.Repeat("[", 20_000), `[{"id_str":"1"}]`} {
		f("a.jsonl", bad+"\n\n"+`{"platform":"x","message_id":"1"}`+"\n", archive.FormatLines)
		f("a.jsonl", bad+"\n"+`{"id_str":"1"}`, archive.FormatTweets)
	}
	refused := func(content, want string) {
		t.Helper()
		_, err := archive.Detect(tempFile(t, "a.json", []byte(content)))
		if err == nil || !strings.Contains(err.Error(), "a.json") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "halo") {
			t.Errorf("%.40q: %v; want %s", content, err, want)
		}
	}
	refused(`[{"platform":"x","message_id":"1","text":"halo"}]`, "one a line, as jq -c '.[]' writes them")
	refused(`[{"id":"1","uri":"https://a.example/1","account":{},"content":"halo","visibility":"public"}]`, "outbox.json")
	refused(`[{"type":"Create","actor":"https://a.example/1","object":{"content":"halo"}}]`, "outbox.json")
	refused(`[{"uri":"at://did:plc:a/app.bsky.feed.post/1","value":{"text":"halo"}}]`, "one a line, as jq -c '.[]' writes them")
	refused(`["halo","dunia"]`, "an array of posts")
	refused("[[\"id\",\"text\"],\n[\"1\",\"halo\"]]", "an array of posts")
}

// A bad line that is an array costs the lines behind it nothing.
func TestALineThatIsAnArrayCostsItself(t *testing.T) {
	good, err := os.ReadFile(filepath.Join("testdata", "twarc-v1.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := readGolden(t, tempFile(t, "a.jsonl", good), archive.FormatTweets)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readGolden(t, tempFile(t, "a.jsonl", append([]byte("[1,2]\n"), good...)), archive.FormatTweets)
	if err != nil || strings.Count(got, "\n") != strings.Count(want, "\n")+1 {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestAnArchiveWithoutItsOwner(t *testing.T) {
	path := tempFile(t, "tweets.js", []byte("window.YTD.tweets.part0 = []"))
	if _, err := openAs(t, path, archive.FormatXArchive); err == nil || !strings.Contains(err.Error(), "account.js beside tweets.js, or an account named") {
		t.Errorf("error %v", err)
	}
	r, err := archive.Open(path, archive.Settings{Format: archive.FormatXArchive, Now: now, Defaults: archive.Defaults{Account: "kota_a"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("error %v", err)
	}
}

func TestAnArrayThatBreaksOffIsReadUpToThere(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join("testdata", "hydrator.json"))
	if err != nil {
		t.Fatal(err)
	}
	second := bytes.LastIndex(whole, []byte("\n {"))
	for _, cut := range []int{second + 20, len(whole) - 3, len(whole) - 1, second + 1} {
		lines, rest := readGolden(t, tempFile(t, "a.json", whole[:cut]), archive.FormatTweets)
		if rest == nil || !strings.Contains(rest.Error(), "breaks off") || !strings.Contains(lines, "kapan diperbaiki") {
			t.Errorf("cut at %d: %v, rows %s", cut, rest, lines)
		}
	}
}

func TestNotWhatItWasCalled(t *testing.T) {
	f := func(content string, format archive.Format, want string) {
		t.Helper()
		r, err := openAs(t, tempFile(t, "a.json", []byte(content)), format)
		if err == nil {
			defer r.Close()
			_, err = r.Next()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q as %s: %v", content, format, err)
		}
	}
	f("bukan", archive.FormatMastodon, `line 1: no JSON object with "orderedItems" begins here`)
	f("[1]", archive.FormatMastodon, `line 1: no JSON object with "orderedItems" begins here`)
	f("\n{\"a\" 1}", archive.FormatMastodon, "line 2: no colon after a key")
	f("{\"a\"", archive.FormatMastodon, "line 1: the JSON breaks off")
	f("bukan", archive.FormatBlueskyCAR, "no header")
	f("", archive.FormatBlueskyCAR, "no header")
	f("{}", "friendster", `format: "friendster"; allowed: one of jsonl, csv, tweets`)
}

// An array of any size is read element by element, and an element over the limit costs itself.
func TestArraysAreReadInBoundedMemory(t *testing.T) {
	status := `{"id_str":"177235200000","created_at":"Sun Mar 01 08:00:00 +0000 2026","full_text":"` + strings.Repeat("a", 8000) + `","user":{"id_str":"5"}}`
	huge := `{"id_str":"5","full_text":"` + strings.Repeat("b", 20<<20) + `"}`
	content := "[" + strings.Repeat(status+",\n", 4000) + huge + ",\n" + status + "]"
	path := tempFile(t, "a.json", []byte(content))
	content = ""
	r, err := openAs(t, path, archive.FormatTweets)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	good, large := 0, 0
	var before, at runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for n := 0; ; n++ {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case row.Message != nil:
			good++
		case row.Err.Reason == schemas.DeadTooLarge:
			large++
		}
		if n%500 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&at)
			if held := int64(at.HeapAlloc) - int64(before.HeapAlloc); held > 4<<20 {
				t.Fatalf("%d bytes are held after %d rows", held, n)
			}
		}
	}
	if good != 4001 || large != 1 {
		t.Errorf("%d good, %d too large", good, large)
	}
}

// carOf writes a repository as atproto does: a commit, a tree of two nodes, records. It returns the file and where its blocks begin.
func carOf(t testing.TB, did string, posts map[string]any, order []string) (file []byte, starts []int) {
	t.Helper()
	encode := func(v any) []byte {
		mode, err := cbor.CanonicalEncOptions().EncMode()
		if err != nil {
			t.Fatal(err)
		}
		b, err := mode.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	number := byte(0)
	var out bytes.Buffer
	block := func(cid, body []byte) {
		starts = append(starts, out.Len())
		var size [10]byte
		out.Write(size[:binary.PutUvarint(size[:], uint64(len(cid)+len(body)))])
		out.Write(cid)
		out.Write(body)
	}
	newCID := func() []byte {
		number++
		return append([]byte{1, 0x71, 0x12, 0x20}, bytes.Repeat([]byte{number}, 32)...)
	}
	link := func(cid []byte) cbor.Tag { return cbor.Tag{Number: 42, Content: append([]byte{0}, cid...)} }
	root, tree, left := newCID(), newCID(), newCID()
	block(nil, encode(map[string]any{"roots": []any{link(root)}, "version": 1}))
	block(root, encode(map[string]any{"did": did, "rev": "3lj", "prev": nil, "data": link(tree), "version": 3, "sig": []byte("sig")}))
	cids := map[string][]byte{}
	entries := func(keys []string) []any {
		var all []any
		previous := ""
		for _, key := range keys {
			cids[key] = newCID()
			shared := 0
			for shared < len(previous) && shared < len(key) && previous[shared] == key[shared] {
				shared++
			}
			all = append(all, map[string]any{"p": shared, "k": []byte(key[shared:]), "v": link(cids[key]), "t": nil})
			previous = key
		}
		return all
	}
	half := len(order) / 2
	first := entries(order[:half])
	block(tree, encode(map[string]any{"l": link(left), "e": entries(order[half:])}))
	block(left, encode(map[string]any{"l": nil, "e": first}))
	for _, key := range order {
		block(cids[key], encode(posts[key]))
	}
	return out.Bytes(), starts
}

func TestABlueskyRepository(t *testing.T) {
	const did, other = "did:plc:kotakotakotakotakotakota", "did:plc:wargawargawargawargawarg"
	post := func(text string, more map[string]any) map[string]any {
		p := map[string]any{"$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-03-01T08:00:00.000Z", "langs": []string{"id"}}
		for k, v := range more {
			p[k] = v
		}
		return p
	}
	blob := map[string]any{"$type": "blob", "ref": cbor.Tag{Number: 42, Content: make([]byte, 37)}, "mimeType": "image/jpeg", "size": 9}
	file, starts := carOf(t, did, map[string]any{
		"app.bsky.actor.profile/self": map[string]any{"$type": "app.bsky.actor.profile", "displayName": "Kota", "avatar": blob},
		"app.bsky.feed.like/3lk1":     map[string]any{"$type": "app.bsky.feed.like", "createdAt": "2026-03-01T08:00:00.000Z"},
		"app.bsky.feed.post/3lj1":     post("Jadwal", map[string]any{"embed": map[string]any{"$type": "app.bsky.embed.images", "images": []any{map[string]any{"alt": "peta", "image": blob}}}}),
		"app.bsky.feed.post/3lj2": post("sudah", map[string]any{"reply": map[string]any{
			"root": map[string]any{"uri": "at://" + other + "/app.bsky.feed.post/3aa1"}, "parent": map[string]any{"uri": "at://" + other + "/app.bsky.feed.post/3aa2"}}}),
		"app.bsky.feed.post/3lj3": map[string]any{"$type": "app.bsky.feed.post", "text": 7},
	}, []string{"app.bsky.actor.profile/self", "app.bsky.feed.like/3lk1", "app.bsky.feed.post/3lj1", "app.bsky.feed.post/3lj2", "app.bsky.feed.post/3lj3"})
	path := tempFile(t, "repo.car", file)
	if got, err := archive.Detect(path); err != nil || got != archive.FormatBlueskyCAR {
		t.Errorf("found as %s, %v", got, err)
	}
	lines, err := readGolden(t, path, archive.FormatBlueskyCAR)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(lines), "\n")
	if len(rows) != 3 {
		t.Fatalf("rows %s", lines)
	}
	for n, want := range []string{
		`"message_id":"at://` + did + `/app.bsky.feed.post/3lj1","kind":"post","author_id":"` + did + `"`,
		`"parent_id":"at://` + other + `/app.bsky.feed.post/3aa2","parent_author_id":"` + other + `","root_id":"at://` + other + `/app.bsky.feed.post/3aa1"`,
		`{"line":8,"reason":"malformed"`,
	} {
		if !strings.Contains(rows[n], want) {
			t.Errorf("row %d: no %s in %s", n, want, rows[n])
		}
	}
	lines, err = readGolden(t, tempFile(t, "repo.car", file[:starts[len(starts)-1]+3]), archive.FormatBlueskyCAR)
	if err == nil || !strings.Contains(err.Error(), "breaks off") || strings.Count(lines, "\n") != 2 {
		t.Errorf("a file that breaks off: %v, %s", err, lines)
	}
}

// Whatever JSON an array holds, the elements come out as they went in.
func TestElementsAreCutWhereTheyEnd(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) any {
		text := rapid.StringOfN(rapid.SampledFrom([]rune(`ab"\[]{},:é `+"\n")), 0, 8, -1)
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return rapid.MapOfN(text, text, 0, 3).Draw(t, "map")
		case 1:
			return rapid.SliceOfN(text, 0, 3).Draw(t, "list")
		case 2:
			return text.Draw(t, "text")
		}
		return rapid.IntRange(-5, 500).Draw(t, "number")
	})
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(value, 0, 6).Draw(t, "values")
		var b []byte
		var err error
		if rapid.Bool().Draw(t, "indented") {
			b, err = json.MarshalIndent(values, "", "\t")
		} else {
			b, err = json.Marshal(values)
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "a.json")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := archive.Open(path, archive.Settings{Format: archive.FormatTweets, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for n, v := range values {
			row, err := r.Next()
			if err != nil {
				t.Fatalf("element %d of %s: %v", n, b, err)
			}
			var got any
			want, _ := json.Marshal(v)
			if err := json.Unmarshal(row.Raw, &got); err != nil {
				t.Fatalf("element %d of %s came as %s", n, b, row.Raw)
			}
			if again, _ := json.Marshal(got); !bytes.Equal(again, want) {
				t.Fatalf("element %d of %s came as %s", n, b, row.Raw)
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last element of %s: %v", b, err)
		}
	})
}

// FuzzFormats reads foreign bytes as each format: no panic, and every row is one of the three things that it can be.
func FuzzFormats(f *testing.F) {
	formats := archive.Formats()
	for n, file := range []string{"twarc-v1.jsonl", "tweet-harvest.csv", "twarc2-answers.jsonl", "x-archive/tweets.js", "mastodon/outbox.json", "bluesky.json", "zeeschuimer.ndjson", "4cat.csv", "hydrator.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(n), b)
	}
	car, _ := carOf(f, "did:plc:a", map[string]any{"app.bsky.feed.post/1": map[string]any{"text": "a"}, "app.bsky.feed.post/2": 1}, []string{"app.bsky.feed.post/1", "app.bsky.feed.post/2"})
	f.Add(byte(6), car)
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "account.js"), []byte(`window.YTD.account.part0 = [{"account":{"accountId":"1"}}]`), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, which byte, content []byte) {
		format := formats[int(which)%len(formats)]
		path := filepath.Join(dir, fmt.Sprintf("a-%d", os.Getpid()))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		// An array of something else is refused, by the file's name.
		switch found, err := archive.Detect(path); {
		case err == nil && !slices.Contains(formats, found):
			t.Fatalf("found %q, which is no format", found)
		case err != nil && !strings.Contains(err.Error(), filepath.Base(path)):
			t.Fatal(err)
		}
		s := archive.Settings{Format: format, Now: now}
		if format == archive.FormatCSV {
			var err error
			if s.Mapping, err = archive.DetectMapping(path, mappings.FS); err != nil {
				return
			}
		}
		r, err := archive.Open(path, s)
		if err != nil {
			return
		}
		defer r.Close()
		for {
			row, err := r.Next()
			if err != nil {
				return
			}
			is := 0
			for _, one := range []bool{row.Message != nil, row.Drop != "", row.Err != nil} {
				if one {
					is++
				}
			}
			if is != 1 || row.Line < 0 {
				t.Fatalf("a row that is %d things: %+v", is, row)
			}
		}
	})
}
