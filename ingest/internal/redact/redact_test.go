package redact_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/ingest/internal/redact"
)

func accounts(handle string) bool {
	return slices.Contains([]string{"layanan_kota", "layanan_kota@kota.example"}, strings.ToLower(handle))
}

func TestText(t *testing.T) {
	x := redact.New("x", accounts)
	f := func(in, want string, kinds ...string) {
		t.Helper()
		got, found := x.Text(in)
		if got != want {
			t.Errorf("Text(%q)\n got %q\nwant %q", in, got, want)
		}
		if d := cmp.Diff(kinds, found); d != "" {
			t.Errorf("Text(%q) kinds: %s", in, d)
		}
	}
	// NIK
	f("NIK saya 3174051203900001 tolong dicek", "NIK saya [NIK] tolong dicek", "nik")
	f("3174.0512.0390.0001", "[NIK]", "nik")
	f("nik: 317405-520390-0001.", "nik: [NIK].", "nik")
	f("31 74 05 12 03 90 0001", "[NIK]", "nik")
	f("NIK3174051203900001", "NIK[NIK]", "nik")
	f("ktp 317405120390001 kok tidak valid", "ktp [NIK] kok tidak valid", "nik")
	f("３１７４０５１２０３９０００01", "[NIK]", "nik")
	f("1234567890123456", "[NIK]", "nik")
	f("KK 3174051203900001, NIK 3174055203900002", "KK [NIK], NIK [NIK]", "nik")
	// phones
	f("wa saya 081234567890 ya", "wa saya [PHONE] ya", "phone")
	f("hub 0812-3456-7890 atau +62 812 3456 7890", "hub [PHONE] atau [PHONE]", "phone")
	f("(6281234567890)", "([PHONE])", "phone")
	f("WA:081234567890", "WA:[PHONE]", "phone")
	f("hp081234567890", "hp[PHONE]", "phone")
	f("telp (021) 5551234", "telp [PHONE]", "phone")
	f("kantor 0274-512345 tidak diangkat", "kantor [PHONE] tidak diangkat", "phone")
	f("call me 9870509030 please", "call me [PHONE] please", "phone")
	f("ring 555-234-5678 or (555) 234-5678", "ring [PHONE] or [PHONE]", "phone")
	f("+6568042767", "[PHONE]", "phone")
	f("00447900248601.", "[PHONE].", "phone")
	f("081234567890 2 orang", "[PHONE] 2 orang", "phone")
	// e-mail
	f("kirim ke budi.santoso+a@mail.example.co.id.", "kirim ke [EMAIL].", "email")
	f("siti(at)mail.example", "[EMAIL]", "email")
	f("wati@gmail saja", "[EMAIL] saja", "email")
	f("mailto:a@b.id?subject=x", "mailto:[EMAIL]?subject=x", "email")
	// plates
	f("plat B 1234 XYZ parkir di trotoar", "plat [PLATE] parkir di trotoar", "plate")
	f("B1234XYZ", "[PLATE]", "plate")
	f("mobil ab 12 cd ngebut", "mobil [PLATE] ngebut", "plate")
	f("b 1234 kzt", "[PLATE]", "plate")
	// accounts
	f("rek BCA 1234567890 a.n. warga", "rek BCA [ACCOUNT] a.n. warga", "account_number")
	f("no rekening 1234-01-012345-53-1", "no rekening [ACCOUNT]", "account_number")
	f("id pelanggan 532110012345 mati lampu", "id pelanggan [ACCOUNT] mati lampu", "account_number")
	f("Bank Syariah 0505802012", "Bank Syariah [ACCOUNT]", "account_number")
	f("kartu kredit 4111 1111 1111 1111", "kartu kredit [ACCOUNT]", "account_number")
	f("nomor BPJS 0001234567891", "nomor BPJS [ACCOUNT]", "account_number")
	// handles
	f("@warga_01 halo @Layanan_Kota", "[USER] halo @Layanan_Kota")
	f(".@115712 ok", ".[USER] ok")
	f("halo@warga", "halo[USER]")
	f("3@5000 jadi 15000", "3@5000 jadi 15000")
	f("@layanan_kota.tolong", "@layanan_kota.tolong")
	f("RT @warga: @layanan_kota macet", "RT [USER]: @layanan_kota macet")
	f("＠warga", "[USER]")
	f("@warga@lain.example dan @layanan_kota@kota.example", "[USER] dan @layanan_kota@kota.example")
	// addresses on the web
	f("lihat https://x.com/warga_01/status/1234567890123456789", "lihat https://x.com/[USER]")
	f("https://x.com/layanan_kota/status/12?s=20", "https://x.com/layanan_kota/status/12")
	f("https://x.com/i/web/status/12", "https://x.com/i/web/status/12")
	f("instagram.com/warga.01/ bagus", "instagram.com/[USER] bagus")
	f("https://mastodon.example/@warga/1101", "https://mastodon.example/[USER]")
	f("https://www.youtube.com/watch?v=abc", "https://www.youtube.com/watch?v=abc")
	f("https://wa.me/6281234567890?text=halo", "https://wa.me/[PHONE]", "phone")
	f("https://warga:rahasia@kota.example/a", "https://kota.example/a")
	f("https://kota.example/cek?nik=3174051203900001&email=a%40b.id", "https://kota.example/cek?nik=[NIK]&email=[EMAIL]", "email", "nik")
	f("https://t.co/GDrqU22YpT", "https://t.co/GDrqU22YpT")
	f("https://kota.example/berita/2026/03/01/081234567890", "https://kota.example/berita/2026/03/01/081234567890")
	// all at once
	f("a@b.id 081234567890 3174051203900001 B 1234 XYZ", "[EMAIL] [PHONE] [NIK] [PLATE]", "email", "nik", "phone", "plate")
}

func TestTextLeavesWhatIsNoPersonalData(t *testing.T) {
	x := redact.New("x", accounts)
	for _, in := range []string{
		"", "macet dari jam 08.30 sampai 10.00", "tanggal 2026-03-01 10:30", "03-04-2024 10 30", "12/08/2025", "rapat 17-08-2025 08:00-10:00",
		"Rp 62.812.345.678", "Rp62812345678", "anggaran 62.812.345.678 rupiah", "Rp 1.500.000,00", "harga 12.500.000", "IDR 081234567890",
		"laporan 8123456 belum ditindaklanjuti", "tiket no 0812345678901", "#0812345678", "INV-0812345678901", "TRX/0812345678", "order number 1-158871682607",
		"pesanan 111-2345678-1234567", "status 1234567890123456789", "hubungi 14045 atau 1500123", "call center 1500111", "pasal 28 ayat 3 uud 1945",
		"2017 2018 2019 2020", "12 11 10 09 08 07 06 05", "D 3 TI", "G 20 di Bali", "T 20 WC", "B 2000 rb", "A 320 NEO", "b 1234 dan saya", "sisa 5 k", "jam d 1000 an",
		"s/d 1200 WIB", "KRL KA 121 telat", "boeing B 737 MAX", "00620623", "kode pos 40111", "suhu 36.5 derajat", "koordinat -6.2088, 106.8456",
		"versi 11.1.1", "de 2016 he", "bank buka 8 sampai 15", "IP 192.168.100.200", "email belum dibalas @ kantor", "skor 3-2", "juara 1-2-3", "RT 05 RW 012", "no 12345678",
	} {
		if got, kinds := x.Text(in); got != in || len(kinds) > 0 {
			t.Errorf("Text(%q) = %q %v, want it unchanged", in, got, kinds)
		}
	}
}

func TestHandlesByPlatform(t *testing.T) {
	f := func(platform, in, want string) {
		t.Helper()
		if got, _ := redact.New(platform, accounts).Text(in); got != want {
			t.Errorf("%s: Text(%q) = %q, want %q", platform, in, got, want)
		}
	}
	f("x", "@warga.tolong", "[USER].tolong")
	f("instagram", "@warga.kota halo", "[USER] halo")
	f("instagram", "@layanan_kota.tolong", "@layanan_kota.tolong")
	f("bluesky", "halo @warga-01.bsky.social", "halo [USER]")
	f("reddit", "reddit.com/u/warga", "reddit.com/u/[USER]")
}

var (
	sixteen = regexp.MustCompile(`(?:^|[^0-9])[0-9]{16}(?:[^0-9]|$)`)
	mail    = regexp.MustCompile(`(?i)[a-z0-9_][a-z0-9._%+\-]*@([a-z0-9]([a-z0-9\-]*[a-z0-9])?\.)+[a-z]{2,}`)
)

func TestNothingSurvives(t *testing.T) {
	x := redact.New("x", accounts)
	word := rapid.SampledFrom([]string{"tolong", "pak", "antrean", "@layanan_kota", "@warga", "https://kota.example/a", "2026", "-", "NIK", "rp 5.000", "🙏", "ke", "\n", "#tag", "x.com/warga"})
	rapid.Check(t, func(t *rapid.T) {
		birth := fmt.Sprintf("%02d%02d%02d", rapid.IntRange(1, 31).Draw(t, "day")+40*rapid.IntRange(0, 1).Draw(t, "woman"), rapid.IntRange(1, 12).Draw(t, "month"), rapid.IntRange(0, 99).Draw(t, "year"))
		sep := rapid.SampledFrom([]string{"", " ", ".", "-"}).Draw(t, "sep")
		nik := fmt.Sprintf("%02d%02d%02d", rapid.IntRange(11, 96).Draw(t, "province"), rapid.IntRange(1, 79).Draw(t, "regency"), rapid.IntRange(1, 99).Draw(t, "district")) + sep + birth + sep + fmt.Sprintf("%04d", rapid.IntRange(1, 9999).Draw(t, "serial"))
		phone := rapid.SampledFrom([]string{"0", "+62", "62", "+62 "}).Draw(t, "prefix") + rapid.StringMatching(`8[1-9][0-9]{2}[0-9]{6,7}`).Draw(t, "national")
		address := rapid.StringMatching(`[a-z][a-z0-9._]{0,10}[a-z0-9]@[a-z][a-z0-9]{0,10}\.(id|com|co\.id)`).Draw(t, "address")
		var parts []string
		for _, secret := range rapid.Permutation([]string{nik, phone, address}).Draw(t, "order") {
			parts = append(parts, rapid.SliceOfN(word, 0, 4).Draw(t, "words")...)
			parts = append(parts, secret)
		}
		in := strings.Join(append(parts, "ya"), " ")
		out, kinds := x.Text(in)
		for _, secret := range []string{nik, strings.TrimLeft(phone, "+"), address} {
			if strings.Contains(out, secret) {
				t.Fatalf("%q survives in %q, from %q", secret, out, in)
			}
		}
		if sixteen.MatchString(out) || mail.MatchString(out) || strings.Contains(out, "warga") {
			t.Fatalf("personal data in %q, from %q", out, in)
		}
		// The phone may go with the words before it under another name.
		if !slices.Contains(kinds, "nik") || !slices.Contains(kinds, "email") || !slices.IsSorted(kinds) {
			t.Fatalf("kinds %v from %q", kinds, in)
		}
		if again, more := x.Text(out); again != out || len(more) > 0 {
			t.Fatalf("a second pass makes %q %v of %q", again, more, out)
		}
	})
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"NIK 3174051203900001", "+62 812 3456 7890", "a@b.id", "B 1234 XYZ", "@a@b.c", "https://u:p@h/@x?y=%40", "\xff@\xfe", "０８１２３４５６７８９０", "(((021) 1)) 2", "@", "++62"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, platform := range []string{"x", "bluesky", "mastodon"} {
			out, kinds := redact.New(platform, accounts).Text(in)
			if mail.MatchString(out) {
				t.Fatalf("%s: an e-mail address survives in %q, from %q", platform, out, in)
			}
			if sixteen.MatchString(out) {
				t.Fatalf("%s: sixteen digits survive in %q, from %q", platform, out, in)
			}
			if !slices.IsSorted(kinds) || len(slices.Compact(slices.Clone(kinds))) != len(kinds) {
				t.Fatalf("kinds %v", kinds)
			}
		}
	})
}

func BenchmarkText(b *testing.B) {
	x := redact.New("x", accounts)
	text := "@layanan_kota mohon bantuannya, air mati sejak 2 hari lalu di RT 05 RW 012, sudah lapor 8123456, wa 081234567890 https://t.co/abc @warga"
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		x.Text(text)
	}
}
