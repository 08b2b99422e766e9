package template

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/enrich/internal/lines"
)

var names = []string{"Ani", "Budi", "Citra", "Dewi", "Eko", "Fajar", "Gita", "Hadi"}

// desk is what a help desk sends: from a template to each, in free words to each, courtesy to each, and often to one.
func desk() []Reply {
	var out []Reply
	for i, name := range names {
		out = append(out,
			Reply{"x/dinas", name, fmt.Sprintf("@%s Halo Kak %s, terima kasih sudah menghubungi Dinas Air. Laporan Kakak kami catat dengan nomor AIR-%d dan akan kami proses 🙏", name, name, 100+i)},
			Reply{"x/dinas", name, "Sama-sama kak, terima kasih"},
			Reply{"x/dinas", "Ani", "Kak Ani, pipa di gang belakang dijadwalkan tim kami Kamis pagi sesudah pukul sembilan"},
		)
	}
	for i, s := range []string{"Betul Kak, loket di lantai dua buka sampai pukul tiga sore nanti", "Mohon maaf pipanya pecah lagi, tim sudah di lokasi sejak subuh tadi",
		"Untuk sambungan baru cukup bawa KTP dan foto depan rumah ya Pak", "Airnya memang keruh sehabis hujan besar, silakan dibuang dulu beberapa menit"} {
		out = append(out, Reply{"x/dinas", names[i], s})
	}
	return out
}

func TestTemplatesAreFoundAndRecognised(t *testing.T) {
	found := Find(desk(), Limits{Messages: 5, People: 5})
	if len(found) != 1 {
		t.Fatalf("found %v, want the one template", found)
	}
	if want := (Template{"x/dinas", "halo kak … terima kasih sudah menghubungi dinas air laporan kakak kami catat dengan nomor air # dan akan kami proses", 8, 8}); found[0] != want {
		t.Errorf("found %+v\nwant  %+v", found[0], want)
	}
	var file bytes.Buffer
	if err := Write(&file, found); err != nil {
		t.Fatal(err)
	}
	set, err := Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	f := func(account, s string, want bool) {
		t.Helper()
		if got := set.Made(account, s); got != want {
			t.Errorf("%s %q: made %v, want %v", account, s, got, want)
		}
	}
	f("x/dinas", "@baru Halo Kak Rini, terima kasih sudah menghubungi Dinas Air. Laporan Kakak kami catat dengan nomor AIR-977 dan akan kami proses", true)
	f("x/lain", "@baru Halo Kak Rini, terima kasih sudah menghubungi Dinas Air. Laporan Kakak kami catat dengan nomor AIR-977 dan akan kami proses", false)
	f("x/dinas", "Halo Kak Rini, terima kasih sudah menghubungi Dinas Air. Pipanya sudah kami ganti tadi pagi, silakan dicek ya", false)
	f("x/dinas", "Sama-sama kak, terima kasih", false)
	f("x/dinas", "", false)
}

func TestFewPeopleMakeNoTemplate(t *testing.T) {
	if found := Find(desk(), Limits{Messages: 5, People: 9}); len(found) != 0 {
		t.Errorf("found %v although no text went to nine people", found)
	}
}

// TestWhatWasFoundIsRecognised: whatever the fixed words and what is filled in, a template that is found holds for every reply that it was found in.
func TestWhatWasFoundIsRecognised(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-z]{2,8}`)
		fixed := rapid.SliceOfN(word, 12, 40).Draw(t, "fixed words")
		at := rapid.IntRange(0, len(fixed)).Draw(t, "place of the name")
		var replies []Reply
		for i := range rapid.IntRange(5, 12).Draw(t, "replies") {
			w := append(append(append([]string{}, fixed[:at]...), word.Draw(t, "name")), fixed[at:]...)
			replies = append(replies, Reply{"x/a", fmt.Sprint(i), strings.Join(w, " ")})
		}
		found := Find(replies, Limits{Messages: 5, People: 5})
		if len(found) != 1 {
			t.Fatalf("found %v in %v", found, replies)
		}
		var file bytes.Buffer
		if err := Write(&file, found); err != nil {
			t.Fatal(err)
		}
		set, err := Read(&file)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range replies {
			if !set.Made(r.Account, r.Text) {
				t.Fatalf("%q does not recognise %q", found[0].Text, r.Text)
			}
		}
	})
}

func TestBadTemplatesNameTheLine(t *testing.T) {
	f := func(file, want string) {
		t.Helper()
		if _, err := Read(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", file, err, want)
		}
	}
	good := `{"account":"x/a","text":"satu dua tiga empat lima enam tujuh delapan","messages":5,"people":5}` + "\n"
	f(good+"{", "line 2")
	f(good+"\n"+`{"text":"satu dua tiga empat lima enam tujuh delapan"}`, "line 3 has no account")
	f(`{"account":"x/a","text":"sama sama"}`, "line 1 has 2 words")
	f(`{"akun":"x/a"}`, "line 1")
	f(good+strings.Repeat("x", lines.Longest+1), "line 2: longer than")
}

func TestVersionIsThatOfTheContent(t *testing.T) {
	read := func(text string) string {
		s, err := Read(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return s.Version()
	}
	a := read(`{"account":"x/a","text":"satu dua tiga empat lima enam tujuh delapan","messages":5,"people":5}`)
	if b := read(`{"account":"x/a","text":"satu dua tiga empat lima enam tujuh sembilan","messages":5,"people":5}`); a == b || a == "" || read("") != "" {
		t.Errorf("versions %q and %q", a, b)
	}
}

func FuzzWords(f *testing.F) {
	f.Add("Halo @kak, nomor 12-A https://contoh.id")
	f.Fuzz(func(t *testing.T, s string) {
		w := words(s)
		if len(w) > mostWords {
			t.Fatal("more words than are compared")
		}
		if c := inCommon(w, w); len(c) != len(w) {
			t.Fatalf("%q has %d words in common with itself, of %d", s, len(c), len(w))
		}
	})
}
