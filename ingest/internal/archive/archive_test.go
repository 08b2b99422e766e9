package archive_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/ingest/internal/archive"
	"github.com/dwiarah/dwiarah/ingest/mappings"
	"github.com/dwiarah/dwiarah/schemas"
)

var now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

const simple = `
name: simple
columns: {message_id: id, author_id: author, created_at: at, text: text, parent_id: parent}
constants: {platform: x}
kind: {with_parent: reply, without_parent: post}
`

func mapping(t testing.TB, text string) *archive.Mapping {
	t.Helper()
	m, err := archive.ParseMapping("mapping.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func settings(m *archive.Mapping) archive.Settings {
	s := archive.Settings{Mapping: m, Now: now}
	if m != nil {
		s.Format = archive.FormatCSV
	}
	return s
}

// rows reads a file and writes each row as line:id, or line!reason.
func rows(t testing.TB, name, content string, m *archive.Mapping) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := archive.Open(path, settings(m))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []string
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.Err != nil {
			out = append(out, fmt.Sprintf("%d!%s", row.Line, row.Err.Reason))
			continue
		}
		out = append(out, fmt.Sprintf("%d:%s", row.Line, row.Message.MessageID))
	}
}

const at = "2026-03-01T08:00:00Z"

func TestCSVDamageIsBounded(t *testing.T) {
	m := mapping(t, simple)
	good := func(id int) string { return fmt.Sprintf("%d,u%d,%s,halo,\n", id, id, at) }
	quoted := func(id int) string { return fmt.Sprintf("%d,u%d,%s,\"halo, \"\"pak\"\"\nbaris dua\",\n", id, id, at) }
	f := func(name, body string, want ...string) {
		t.Helper()
		if d := cmp.Diff(want, rows(t, "a.csv", "id,author,at,text,parent\n"+body, m)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	f("good", good(1)+quoted(2)+good(3), "2:1", "3:2", "5:3")
	f("CRLF", strings.ReplaceAll(good(1)+quoted(2)+good(3), "\n", "\r\n"), "2:1", "3:2", "5:3")
	f("no last line end", good(1)+strings.TrimSpace(good(2)), "2:1", "3:2")
	f("blank lines", "\n"+good(1)+"\r\n\n"+good(2), "3:1", "6:2")
	f("too few fields", "9,u\n"+good(1), "2!malformed", "3:1")
	f("too many fields", "9,u,"+at+",halo,,x\n"+good(1), "2!malformed", "3:1")
	f("a bare CR", "9,u,"+at+",ha\rlo,\n"+good(1), "2!malformed", "3:1")
	f("a bare CR within quotes", "9,u,"+at+",\"ha\rlo\",\n"+good(1), "2:9", "3:1")
	f("a stray quote that opens", "9,u,"+at+",\"halo,\n"+good(1)+quoted(2)+good(3), "2!malformed", "3:1", "4:2", "6:3")
	f("a stray quote and only plain rows behind it", "9,u,"+at+",\"halo,\n"+good(1)+good(2), "2!malformed", "3:1", "4:2")
	f("a stray quote inside", "9,u,"+at+",ha\"lo,\n"+good(1), "2!malformed", "3:1")
	f("text after a closing quote", "9,u,"+at+",\"ha\"lo,\n"+good(1), "2!malformed", "3:1")
	f("a stray quote on the last line", good(1)+"9,u,"+at+",\"halo,\n", "2:1", "3!malformed")
	f("two stray quotes", "8,u,"+at+",\"halo,\n"+good(1)+"9,u,"+at+",\"halo,\n"+quoted(2), "2!malformed", "3:1", "4!malformed", "5:2")
	f("invalid UTF-8", "9,u,"+at+",\xff,\n"+good(1), "2!invalid_utf8", "3:1")
	f("a date", "9,u,1970-01-01T00:00:00Z,halo,\n8,u,2970-01-01T00:00:00Z,halo,\n7,u,kemarin,halo,\n"+good(1), "2!invalid_field", "3!invalid_field", "4!invalid_field", "5:1")
	f("no author", "9,,"+at+",halo,\n"+good(1), "2!missing_field", "3:1")
	f("a large text", "9,u,"+at+","+strings.Repeat("a", 5<<20)+",\n"+good(1), "2!too_large", "3:1")
	f("a large line", "9,u,"+at+","+strings.Repeat("a", 9<<20)+",\n"+good(1), "2!too_large", "3:1")

	var many strings.Builder
	want := []string{"2!malformed"}
	many.WriteString("9,u," + at + ",\"halo,\n")
	for n := range 1000 {
		many.WriteString(good(n + 10))
		want = append(want, fmt.Sprintf("%d:%d", n+3, n+10))
	}
	f("a stray quote before very many rows", many.String(), want...)
}

// What encoding/csv reads without an error, this reader reads alike.
func TestCSVReadsWhatTheStandardReads(t *testing.T) {
	m := mapping(t, simple)
	field := rapid.StringOfN(rapid.SampledFrom([]rune("ab,\"\n\r ;é")), 0, 12, -1)
	rapid.Check(t, func(t *rapid.T) {
		var content bytes.Buffer
		w := csv.NewWriter(&content)
		w.UseCRLF = rapid.Bool().Draw(t, "crlf")
		texts := rapid.SliceOfN(field, 1, 20).Draw(t, "texts")
		records := [][]string{{"id", "author", "at", "text", "parent"}}
		for n, text := range texts {
			records = append(records, []string{fmt.Sprint(n), "u", at, "x" + text, ""})
		}
		if err := w.WriteAll(records); err != nil {
			t.Fatal(err)
		}
		standard, err := csv.NewReader(bytes.NewReader(content.Bytes())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(os.TempDir(), fmt.Sprintf("dwiarah-%d.csv", os.Getpid()))
		defer os.Remove(path)
		if err := os.WriteFile(path, content.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := archive.Open(path, settings(m))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for n, want := range standard[1:] {
			row, err := r.Next()
			if err != nil || row.Err != nil {
				t.Fatalf("row %d: %v %v, of %q", n, err, row.Err, content.String())
			}
			if row.Message.Text != want[3] {
				t.Fatalf("row %d: text %q, the standard reads %q", n, row.Message.Text, want[3])
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last row: %v", err)
		}
	})
}

func TestJSONLines(t *testing.T) {
	good := `{"platform":"x","message_id":"1","kind":"post","created_at":"` + at + `","author_id":"u","text":"halo"}`
	got := rows(t, "a.jsonl", "\xef\xbb\xbf"+good+"\r\n\n  \n"+strings.Replace(good, `"1"`, `"2"`, 1)+" {}\n"+strings.Replace(good, `"1"`, `"3"`, 1), nil)
	if d := cmp.Diff([]string{"1:1", "4!malformed", "5:3"}, got); d != "" {
		t.Error(d)
	}
}

func TestMappingErrorsComeAllAtOnce(t *testing.T) {
	_, err := archive.ParseMapping("salah.yaml", []byte(`
delimiter: ";;"
columns: {text: isi, pengarang: x}
optional: [lang]
constants: {kind: tweet, platform: friendster, text: x}
kind: {with_parent: jawaban}
times: {zone: Mars/Olympus, layouts: ["hari ini"]}
mentions: {pattern: "@(", column: x}
missing: {message_id: guess, author_id: guess}
`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`delimiter: ";;"`, `columns.pengarang: "pengarang"; allowed: one of`, `optional: "lang"; allowed: a field of columns`, `constants.kind: "tweet"`, `constants.platform: "friendster"`,
		`constants.text: "x"`, `kind.with_parent: "jawaban"`, `times.zone: "Mars/Olympus"`, `times.layouts[0]: "hari ini"`, `mentions.pattern: "@("`, `mentions.column: "x"`, `missing.message_id: "guess"`,
		`missing.author_id: "guess"`, `columns.created_at: ""`,
	} {
		if !strings.Contains(err.Error(), "salah.yaml: "+want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	if _, err := archive.ParseMapping("salah.yaml", []byte("columnz: {}")); err == nil || !strings.Contains(err.Error(), "columnz") {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestMappingOfEveryField(t *testing.T) {
	m := mapping(t, `
delimiter: ";"
columns:
  {platform: p, message_id: id, institution: in, account: acc, kind: kind, author_id: author, author_followers: f, author_created_at: joined, created_at: at, observed_at: seen, edited_at: edited,
   deleted_at: deleted, text: [teks, text], lang: lang, parent_id: parent, parent_author_id: pauthor, root_id: root, likes: likes, replies: replies, shares: shares, views: views, is_auto: auto, url: url}
inbound: {column: masuk}
mentions: {column: sebut, separator: "|"}
times: {layouts: ["02/01/2006 15:04", unix], zone: Asia/Makassar}
`)
	path := filepath.Join(t.TempDir(), "a.csv")
	content := "p;id;in;acc;kind;author;f;joined;at;seen;edited;deleted;text;lang;parent;pauthor;root;likes;replies;shares;views;auto;url;masuk;sebut\n" +
		"x;1;kota;kota_a;reply;u;5;01/02/2020 00:00;01/03/2026 08:00;1772352000;01/03/2026 09:00;01/03/2026 10:00; halo ;id;0;v;0;1;2;3;4;true;https://x.com/1;ya;a| b |\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := archive.Open(path, settings(m))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	row, err := r.Next()
	if err != nil || row.Err != nil {
		t.Fatal(err, row.Err)
	}
	n := func(v int64) *int64 { return &v }
	day := func(month time.Month, d, hour int, year int) *time.Time {
		v := time.Date(year, month, d, hour, 0, 0, 0, time.UTC)
		return &v
	}
	want := &schemas.Message{
		Platform: "x", MessageID: "1", Institution: "kota", Account: "kota_a", Kind: "reply", Direction: "inbound", AuthorID: "u", AuthorFollowers: n(5), AuthorCreatedAt: day(1, 31, 16, 2020),
		CreatedAt: *day(3, 1, 0, 2026), ObservedAt: day(3, 1, 8, 2026), EditedAt: day(3, 1, 1, 2026), DeletedAt: day(3, 1, 2, 2026), Text: " halo ", Lang: "id", ParentID: "0", ParentAuthorID: "v", RootID: "0",
		Mentions: []string{"a", "b"}, Likes: n(1), Replies: n(2), Shares: n(3), Views: n(4), IsAuto: true, URL: "https://x.com/1",
	}
	if d := cmp.Diff(want, row.Message); d != "" {
		t.Error(d)
	}
}

func TestShippedMappings(t *testing.T) {
	all, err := archive.Shipped(mappings.FS)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Description == "" {
			t.Errorf("%s has no description", m.Name)
		}
	}
	f := func(header, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "a.csv")
		if err := os.WriteFile(path, []byte(header+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := archive.DetectMapping(path, mappings.FS)
		if err != nil || m.Name != want {
			t.Errorf("%s: %v %v, want %s", header, m, err, want)
		}
	}
	f("tweet_id,thread_root_id,in_reply_to_tweet_id,author_id,inbound,created_at,text,response_tweet_ids", "twcs")
	f("tweet_id,in_reply_to_tweet_id,author_id,inbound,created_at,text,response_tweet_ids", "twcs")
	f("date,text,sentiment,topic", "mentions")
	f("id,tanggal,isi,akun", "mentions")
}

func TestTheMappingOfTheReadme(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(b), "```yaml\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatal("the README shows no mapping")
	}
	got := rows(t, "a.csv", "id;waktu;isi;akun;masuk\n1;01/03/2026 08:00;halo @kota;u;ya\n;1772352000;halo;;tidak\n", mapping(t, block))
	if len(got) != 2 || got[0] != "2:1" || !strings.HasPrefix(got[1], "3:row-") {
		t.Errorf("rows %v", got)
	}
}

func FuzzRows(f *testing.F) {
	f.Add("1,u,"+at+",halo,\n", true)
	f.Add("\"\"\",\r\n,", true)
	f.Add(`{"platform":"x"}`, false)
	f.Fuzz(func(t *testing.T, body string, asCSV bool) {
		var m *archive.Mapping
		name := "a.jsonl"
		if asCSV {
			m, name, body = mapping(t, simple), "a.csv", "id,author,at,text,parent\n"+body
		}
		for _, row := range rows(t, name, body, m) {
			if row == "" {
				t.Fatal("a row that is neither")
			}
		}
	})
}
