package corpus_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/dwiarah/dwiarah/enrich/codebook"
	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

func tags(t testing.TB) []string {
	t.Helper()
	a, err := text.NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	table, err := risk.Read(codebook.Files, a)
	if err != nil {
		t.Fatal(err)
	}
	return append(table.Names(), risk.None)
}

func book(t testing.TB) *corpus.CodeBook {
	t.Helper()
	b, err := corpus.ReadCodeBook(codebook.Files, tags(t))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCodeBookIsVariedEnough counts messages as they are written, before slots and spellings multiply them.
func TestCodeBookIsVariedEnough(t *testing.T) {
	n := book(t).Templates()
	f := func(tag, kind string, got, least int) {
		t.Helper()
		if got < least {
			t.Errorf("tag %s has %d messages %s, want %d or more", tag, got, kind, least)
		}
	}
	for _, tag := range tags(t) {
		c := n[tag]
		f(tag, "in all", c.All, 60)
		f(tag, "in Indonesian", c.Lang["id"], 60)
		f(tag, "in English", c.Lang["en"], 15)
		f(tag, "mixed or local", c.Lang["mixed"], 15)
		f(tag, "that measure", c.HeldOut, 20)
		if tag != risk.None {
			f(tag, "of sarcasm", c.Sarcasm, 10)
		}
	}
	f("none", "that are near-misses", n["none"].NearMiss, 60)
}

func TestNoFamilyIsOnBothSides(t *testing.T) {
	b := book(t)
	trained := map[string]bool{}
	for _, e := range b.Training(1) {
		trained[e.Group] = true
	}
	held := map[string]map[string]bool{}
	for _, e := range b.HeldOut(1) {
		if trained[e.Group] {
			t.Errorf("family %s trains and measures", e.Group)
		}
		tag := risk.None
		if len(e.Risk) > 0 {
			tag = e.Risk[0]
		}
		if held[tag] == nil {
			held[tag] = map[string]bool{}
		}
		held[tag][e.Group] = true
	}
	for _, tag := range tags(t) {
		if len(held[tag]) < 2 {
			t.Errorf("tag %s has %d held-out families, want 2 or more", tag, len(held[tag]))
		}
	}
}

func TestTemplatesAreNotCopiedAcross(t *testing.T) {
	b := book(t)
	near := corpus.NewNearCopies(b.Lines(false))
	for _, line := range b.Lines(true) {
		if near.Copied(line) {
			t.Errorf("a held-out template is a near-copy of a training template: %q", line)
		}
	}
}

func TestExpansionIsSeeded(t *testing.T) {
	b := book(t)
	once, again := fmt.Sprint(b.Training(1)), fmt.Sprint(b.Training(1))
	if once != again {
		t.Error("one seed gives two expansions")
	}
	if once == fmt.Sprint(b.Training(2)) {
		t.Error("two seeds give one expansion")
	}
}

func TestNoRealPersonalDataInTheCodeBook(t *testing.T) {
	for _, e := range append(book(t).Training(1), book(t).HeldOut(1)...) {
		digits := 0
		for _, r := range e.Text {
			if r >= '0' && r <= '9' {
				digits++
			} else if r != '-' {
				digits = 0
			}
			if digits >= 9 {
				t.Errorf("a number as long as a phone's in %q", e.Text)
				break
			}
		}
	}
}

func TestUnstatedSentimentIsNone(t *testing.T) {
	b, err := corpus.ReadCodeBook(fstest.MapFS{
		"slots.yaml": {Data: []byte("a: [x]\n")},
		"families/x.yaml": {Data: []byte(`sentiment: unstated
reply: no
families:
  - {family: left_open, tag: none, texts: "oh begitu min"}
  - {family: stated, tag: none, sentiment: neutral, texts: "baik min"}
`)},
	}, []string{"none"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Training(1) {
		want := ""
		if e.Group == "stated" {
			want = corpus.Neutral
		}
		if e.Sentiment != want || e.Reply != corpus.No {
			t.Errorf("%s: sentiment %q, reply %d; want %q and no", e.Group, e.Sentiment, e.Reply, want)
		}
	}
}

func TestBadCodeBookNamesEveryFault(t *testing.T) {
	files := fstest.MapFS{
		"slots.yaml": {Data: []byte("a: [x]\n")},
		"families/x.yaml": {Data: []byte(`families:
  - {family: one, tag: nonsense, sentiment: sad, texts: "{b}"}
  - {family: one, tag: none, sentiment: neutral, function: funny, texts: ""}
`)},
	}
	_, err := corpus.ReadCodeBook(files, []string{"none"})
	if err == nil {
		t.Fatal("want an error")
	}
	for _, part := range []string{`tag is "nonsense"`, `sentiment is "sad"`, "slot {b}", "not unique", `function is "funny"`, "has no texts"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q: %v", part, err)
		}
	}
}

func TestNearCopies(t *testing.T) {
	n := corpus.NewNearCopies([]string{"Pelayanan bus DAMRI sangat baik dan tepat waktu", "terima kasih min"})
	f := func(s string, want bool) {
		t.Helper()
		if got := n.Copied(s); got != want {
			t.Errorf("%q: copied %v, want %v", s, got, want)
		}
	}
	f("pelayanan bus damri sangat baik , dan tepat waktu !", true)
	f("@user Pelayanan bus damri SANGAT baik dan tepat wkt https://contoh.id", true)
	f("pelayanan nya bus damri sangat baik dan tepat waktu sekali menurut saya", true)
	f("Pelayanan kereta kemarin kurang memuaskan penumpang", false)
	f("terima kasih min", false)
	f("", false)
}

// SharedData returns the folder of the data sets, which are not part of the project.
func sharedData(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("DWIARAH_SHARED_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "sentiment")); err != nil {
		t.Skipf("the data sets are not at hand: set DWIARAH_SHARED_DATA to their folder (%v)", err)
	}
	return dir
}

func TestSetsAreRead(t *testing.T) {
	dir := sharedData(t)
	for _, s := range append(corpus.TrainingSets(), corpus.ValidationSets()...) {
		examples, err := s.Read(dir)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(examples) < 90 {
			t.Errorf("%s has %d rows", s.Name, len(examples))
		}
	}
}
