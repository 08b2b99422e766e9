package text

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func analyze(t testing.TB, s string) *Doc {
	t.Helper()
	a, err := NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	d := &Doc{}
	a.Analyze(d, s)
	return d
}

func tokens(d *Doc) string {
	var b []string
	for _, t := range d.Tokens {
		b = append(b, string(d.Text(t)))
	}
	return strings.Join(b, " ")
}

func TestTokens(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := tokens(analyze(t, in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	f("", "")
	f("Halo Min!", "halo min !")
	f("lamaaaa bangettt??", "lama banget ??")
	f("cek https://contoh.go.id/x?y=1 ya", "cek <url> ya")
	f("WWW.contoh.id", "<url>")
	f("@dinas_kota.id tolong", "<user> tolong")
	f("hub <PHONE> atau [email]", "hub <phone> atau <email>")
	f("NIK <NIK> saya", "nik <nik> saya")
	f("#LaporPak jalan rusak", "laporpak jalan rusak")
	f("Rp50.000 3 bulan 12345", "rp <n5> 3 bulan <n5>")
	f("50rb 3x 76-an", "50 rb 3 x 76-an")
	f("Jum'at sore-sore", "jum'at sore-sore")
	f("Jum’at", "jum'at")
	f("ﬁle ＡＢＣ", "file abc")
	f("halo\nmin\tapa\r\nkabar\vbaik\u0085é\nè 5\n6", "halo min apa kabar baik é è 5 6")
	f("mantap 👍🏽👍🏽 bro", "mantap 👍 👍 bro")
	f("a\u200db", "ab")
	f("'kata'", "' kata '")
	f("<bukan placeholder> x", "< bukan placeholder > x")
}

// TestPlainWordsAreReadAsAnyOther compares the short way with the long one.
func TestPlainWordsAreReadAsAnyOther(t *testing.T) {
	a, err := NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	short, long, plain := &Doc{}, &Doc{}, 0
	rapid.Check(t, func(t *rapid.T) {
		s := []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "B", "gak", "TIDAK", "oo", "rp", "5", "_", "-", "'", "`", ".", ",", "?", " ", "\n", "\x00", "\x7f", "é", "’", "👍",
			strings.Repeat("ab", 19), rapid.String().Draw(t, "any")}), 0, 6).Draw(t, "parts"), ""))
		r, _ := utf8.DecodeRune(s)
		if len(s) == 0 || !isWordRune(r) {
			return
		}
		for _, d := range []*Doc{short, long} {
			d.Tokens, d.buf, d.Shape = d.Tokens[:0], d.buf[:0], Shape{}
		}
		n := a.plainWord(short, s)
		if n == 0 {
			if len(short.Tokens)+len(short.buf) > 0 || short.Shape != (Shape{}) {
				t.Fatalf("%q: no plain word, but something was read: %v", s, short.Tokens)
			}
			return
		}
		plain++
		if want := a.word(long, s, Word); n != want || string(short.buf) != string(long.buf) || !slices.Equal(short.Tokens, long.Tokens) || short.Shape != long.Shape {
			t.Fatalf("%q: %d bytes, %v %+v; the long way %d, %v %+v", s, n, short.Tokens, short.Shape, want, long.Tokens, long.Shape)
		}
	})
	if plain == 0 {
		t.Error("no word was plain")
	}
}

func TestCanonicalFormsMeet(t *testing.T) {
	f := func(a, b string) {
		t.Helper()
		x, y := analyze(t, a), analyze(t, b)
		if x.Tokens[0].Hash != y.Tokens[0].Hash {
			t.Errorf("%q and %q have different canonical forms", a, b)
		}
	}
	f("gak", "tidak")
	f("GAKKK", "tidak")
	f("makasih", "terima_kasih")
	f("komplen", "keluhan")
}

func TestNegation(t *testing.T) {
	d := analyze(t, "tidak bagus sama sekali, tapi cepat")
	var negated []string
	for _, tok := range d.Tokens {
		if tok.Negated {
			negated = append(negated, string(d.Text(tok)))
		}
	}
	if got, want := strings.Join(negated, " "), "bagus sama sekali"; got != want {
		t.Errorf("negated words: got %q, want %q", got, want)
	}
}

func TestBounds(t *testing.T) {
	for _, s := range []string{
		strings.Repeat("a", 1<<20), strings.Repeat("kata ", 1<<18), strings.Repeat("\xff", 1<<20), strings.Repeat("ﷺ", 1<<18),
		strings.Repeat("👍", 1<<18), strings.Repeat("e\u0301\u0302", 1<<18), strings.Repeat("@a ", 1<<18), strings.Repeat("<", 1<<20),
		strings.Repeat("\x00", 1<<20),
	} {
		d := analyze(t, s)
		if len(d.Tokens) > maxTokens || len(d.Words) > maxFeatures {
			t.Errorf("%.8q repeated: %d tokens, %d words pass the caps", s, len(d.Tokens), len(d.Words))
		}
		for _, tok := range d.Tokens {
			if n := len(d.Grams(tok, nil)); n > MaxGrams {
				t.Fatalf("%.8q repeated: a token has %d grams", s, n)
			}
		}
	}
}

func TestReuseForgets(t *testing.T) {
	a, err := NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	d, e := &Doc{}, &Doc{}
	a.Analyze(d, "pelayanan buruk sekali, antri lama")
	a.Analyze(d, "terima kasih min")
	a.Analyze(e, "terima kasih min")
	if len(d.Words) != len(e.Words) || d.Shape != e.Shape {
		t.Error("a reused document remembers the text before")
	}
}

func TestNoAllocationInSteadyState(t *testing.T) {
	a, err := NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	d := &Doc{}
	s := "Min, KTP saya udah 2 minggu blm jadi 😭 tolong dicek https://contoh.id @dinas"
	a.Analyze(d, s)
	if n := testing.AllocsPerRun(100, func() { a.Analyze(d, s) }); n > 0 {
		t.Errorf("analysing allocates %v times", n)
	}
}

func FuzzAnalyze(f *testing.F) {
	for _, s := range []string{"", "Halo min, ktp saya gmn?", "\xff\xfe", "<NIK>[phone]", "e\u0301’a-b-1.5,3", "#a#b@c", "ﷺ👨‍👩‍👧"} {
		f.Add(s)
	}
	a, err := NewAnalyzer()
	if err != nil {
		f.Fatal(err)
	}
	d := &Doc{}
	f.Fuzz(func(t *testing.T, s string) {
		a.Analyze(d, s)
		for _, tok := range d.Tokens {
			if b := d.Text(tok); len(b) == 0 || !utf8.Valid(b) {
				t.Fatalf("token %q of %q is empty or not UTF-8", b, s)
			}
			if n := len(d.Grams(tok, nil)); n != tok.CountGrams() {
				t.Fatalf("token %q of %q has %d n-grams, counted as %d", d.Text(tok), s, n, tok.CountGrams())
			}
		}
		if len(d.Words) == 0 {
			t.Fatal("even an empty text has the features of its shape")
		}
	})
}

func BenchmarkAnalyze(b *testing.B) {
	a, err := NewAnalyzer()
	if err != nil {
		b.Fatal(err)
	}
	d := &Doc{}
	s := "Selamat pagi min, mau tanya KTP saya udah 2 minggu belum jadi juga, tolong dicek ya, syaratnya sudah lengkap semua 🙏 @dinas"
	for b.Loop() {
		a.Analyze(d, s)
	}
}

func TestConceptsCarryOver(t *testing.T) {
	shared := func(a, b string) int {
		seen := map[uint32]bool{}
		for _, h := range analyze(t, a).Concepts {
			seen[h] = true
		}
		n := 0
		for _, h := range analyze(t, b).Concepts {
			if seen[h] {
				n++
			}
		}
		return n
	}
	f := func(a, b string, want bool) {
		t.Helper()
		if got := shared(a, b) > 0; got != want {
			t.Errorf("%q and %q share a concept: %v", a, b, got)
		}
	}
	f("dibentak", "galaknya", true)
	f("memukuli", "ditendang", true)
	f("orang dalam", "keponakan", true)
	f("dalam", "keponakan", false)
	f("jam pukul 8", "ditendang", false)
	f("", "", false)
}
