package identitykey_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas/identitykey"
)

const (
	identityHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	oldHex      = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
	newHex      = "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
	ringText    = "# keys\n\nidentity " + identityHex + "\nauthor 2025 " + oldHex + "\n  author 2026 " + newHex + "\r\n"
)

// mac is the documented form, written down a second time.
func mac(keyHex, platform, id string) []byte {
	key, _ := hex.DecodeString(keyHex)
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "%s\x00%s", platform, id)
	return h.Sum(nil)[:16]
}

func TestKeysHaveTheDocumentedForm(t *testing.T) {
	ring, err := identitykey.Parse(ringText)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ring.MessageKey("mastodon", "110"), mac(identityHex, "mastodon", "110"); !bytes.Equal(got, want) {
		t.Errorf("MessageKey = %x, want %x", got, want)
	}
	current, past := hex.EncodeToString(mac(newHex, "x", "warga_01")), hex.EncodeToString(mac(oldHex, "x", "warga_01"))
	for _, id := range []string{"warga_01", "@warga_01", "@Warga_01"} {
		if got := ring.AuthorKey("x", id); got != current {
			t.Errorf("AuthorKey(%q) = %s, want %s", id, got, current)
		}
		if got := ring.AuthorKeys("x", id); len(got) != 2 || got[0] != current || got[1] != past {
			t.Errorf("AuthorKeys(%q) = %v, want %s and %s", id, got, current, past)
		}
	}
	if ring.Epoch() != "2026" {
		t.Errorf("Epoch = %s", ring.Epoch())
	}
	if bytes.Equal(ring.MessageKey("x", "1"), ring.MessageKey("threads", "1")) {
		t.Error("one id on two platforms has one key")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "no line: identity"},
		{"no author", "identity " + identityHex, "no line: author"},
		{"short", "identity 00\nauthor 1 " + newHex, "line 1 of the identity keys: a key of 2 characters; allowed: 64 hex digits"},
		{"no hex", "author 1 " + newHex + "\nidentity " + strings.Repeat("z", 64), "line 2 of the identity keys: a key of 64 characters"},
		{"twice", ringText + "identity " + newHex, "a second identity key"},
		{"epoch twice", ringText + "author 2026 " + identityHex, "a second author key of epoch 2026"},
		{"epoch form", "identity " + identityHex + "\nauthor 20/26 " + newHex, "the epoch's name"},
		{"other word", "key " + newHex, "line 1 of the identity keys: allowed: identity"},
	} {
		_, err := identitykey.Parse(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), newHex) || strings.Contains(err.Error(), identityHex) || strings.Contains(err.Error(), "zzzz")) {
			t.Errorf("%s: the error shows a key: %v", c.name, err)
		}
	}
}

func TestGenerateMakesDifferentRings(t *testing.T) {
	seen := map[string]bool{}
	for range 4 {
		text, err := identitykey.Generate("2026")
		if err != nil {
			t.Fatal(err)
		}
		ring, err := identitykey.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		seen[hex.EncodeToString(ring.MessageKey("x", "1"))] = true
		seen[ring.AuthorKey("x", "1")] = true
		for _, printed := range []string{fmt.Sprint(ring), fmt.Sprintf("%+v", ring), fmt.Sprintf("%#v", ring)} {
			if printed != "identity keys of epochs 2026" {
				t.Errorf("a ring prints as %s", printed)
			}
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d different keys of 8", len(seen))
	}
	if _, err := identitykey.Generate("a b"); err == nil {
		t.Error("an epoch with a blank was taken")
	}
}

func TestManyAtOnceHashAlike(t *testing.T) {
	ring, err := identitykey.Parse(ringText)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for n := range 500 {
				id := fmt.Sprint(g, "-", n)
				if !bytes.Equal(ring.MessageKey("x", id), mac(identityHex, "x", id)) {
					t.Errorf("MessageKey(%s) differs under load", id)
				}
			}
		})
	}
	group.Wait()
}

func FuzzParse(f *testing.F) {
	f.Add(ringText)
	f.Add("identity \nauthor")
	f.Fuzz(func(t *testing.T, text string) {
		ring, err := identitykey.Parse(text)
		if (err == nil) == (ring == nil) {
			t.Fatalf("ring %v, error %v", ring, err)
		}
		if ring != nil && len(ring.AuthorKey("x", "a")) != 2*identitykey.HashBytes {
			t.Fatal("an author key of another length")
		}
	})
}

func TestDifferentIdsDifferentKeys(t *testing.T) {
	ring, err := identitykey.Parse(ringText)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[!-~]{1,40}`)
		p, q := rapid.SampledFrom([]string{"x", "xx", "mastodon"}).Draw(t, "p"), rapid.SampledFrom([]string{"x", "xx", "mastodon"}).Draw(t, "q")
		a, b := id.Draw(t, "a"), id.Draw(t, "b")
		if same := p == q && a == b; same != bytes.Equal(ring.MessageKey(p, a), ring.MessageKey(q, b)) {
			t.Fatalf("(%s, %s) and (%s, %s)", p, a, q, b)
		}
	})
}

func BenchmarkAuthorKey(b *testing.B) {
	ring, err := identitykey.Parse(ringText)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		ring.AuthorKey("mastodon", "109876543210987654")
	}
}
