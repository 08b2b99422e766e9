package identitykey

import (
	"strings"
	"testing"
)

func TestContentHashes(t *testing.T) {
	text, err := Generate("2026")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	hash := func(text string) uint64 { h, _ := r.ContentHashes(text); return h }
	link := func(text string) uint64 {
		_, links := r.ContentHashes(text)
		if len(links) != 1 {
			t.Fatalf("%q has %d links, want 1", text, len(links))
		}
		return links[0]
	}
	original := hash("Jalan di depan pasar rusak parah, tolong diperbaiki")
	for _, copied := range []string{
		"@dinas [USER] JALAN di depan pasar rusak parah!!! tolong diperbaiki",
		"Jalan di depan pasar rusak parah,\ntolong diperbaiki https://x.example/a?s=1",
	} {
		if hash(copied) != original {
			t.Errorf("%q has another hash than its original", copied)
		}
	}
	if hash("Jalan di depan pasar rusak parah, tolong dibenahi") == original || original == 0 {
		t.Error("another text has the same hash, or none has one")
	}
	if h := hash("terima kasih min @dinas"); h != 0 {
		t.Errorf("a short text has hash %d, want none", h)
	}
	if hash("12345678901234567890") == 0 || hash("1234567890123456789") != 0 {
		t.Error("20 letters and digits make a hash, 19 do not")
	}
	page := link("lihat https://www.Berita.example/banjir/")
	for _, same := range []string{"http://berita.example/banjir", "https://berita.example/banjir?utm=abc#top", "(https://berita.example/banjir)"} {
		if link(same) != page {
			t.Errorf("%q leads to another page than its like", same)
		}
	}
	if _, links := r.ContentHashes(strings.Repeat("https://a.example/1 ", 5)); len(links) != 1 {
		t.Errorf("one address five times gives %d hashes", len(links))
	}
	other, err := Generate("2026")
	if err != nil {
		t.Fatal(err)
	}
	r2, err := Parse(other)
	if err != nil {
		t.Fatal(err)
	}
	if h, _ := r2.ContentHashes("Jalan di depan pasar rusak parah, tolong diperbaiki"); h == original {
		t.Error("another key gives the same hash")
	}
}
