package identity_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

func converter(t *testing.T) (*identity.Converter, *institutions.Directory) {
	t.Helper()
	d, err := institutions.Parse("i.yaml", []byte(`
institutions:
  - {id: kota, name: Kota, zone: UTC, accounts: {x: [{id: "100", handle: Kota_A}, {handle: kota_a2}]}, keywords: [Pemkot A, "pdam"], purpose: p, legal_basis: l, retention: {text_days: 1, facts_days: 1}}
  - {id: dinas, name: Dinas, zone: UTC, accounts: {x: [{handle: dinas_b}]}, keywords: [dinas b], purpose: p, legal_basis: l, retention: {text_days: 1, facts_days: 1}}
`))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := identitykey.Parse("identity 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\nauthor 1 404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f\n")
	if err != nil {
		t.Fatal(err)
	}
	return identity.New(ring, d), d
}

func TestConcern(t *testing.T) {
	c, _ := converter(t)
	ids := func(list ...*institutions.Institution) string {
		var out []string
		for _, in := range list {
			if in != nil {
				out = append(out, in.ID)
			}
		}
		return strings.Join(out, " ")
	}
	f := func(name string, m schemas.Message, author, addressed, keyword string) {
		t.Helper()
		m.Platform = "x"
		got := c.Concern(&m)
		if ids(got.Author) != author || ids(got.Addressed...) != addressed || ids(got.Keyword...) != keyword {
			t.Errorf("%s: author %q, addressed %q, keyword %q; want %q, %q, %q", name, ids(got.Author), ids(got.Addressed...), ids(got.Keyword...), author, addressed, keyword)
		}
	}
	f("nobody", schemas.Message{AuthorID: "warga", Text: "halo"}, "", "", "")
	f("by handle", schemas.Message{AuthorID: "@KOTA_A"}, "kota", "", "")
	f("by id", schemas.Message{AuthorID: "100"}, "kota", "", "")
	f("mentions, each institution once", schemas.Message{AuthorID: "warga", Mentions: []string{"kota_a", "KOTA_A2", "dinas_b", "x"}}, "", "kota dinas", "")
	f("a parent", schemas.Message{AuthorID: "warga", ParentAuthorID: "Dinas_B"}, "", "dinas", "")
	f("an account named", schemas.Message{AuthorID: "warga", Account: "dinas_b"}, "", "dinas", "")
	f("keywords", schemas.Message{AuthorID: "warga", Text: "PEMKOT A dan dinas b!"}, "", "", "kota dinas")
	f("within a word", schemas.Message{AuthorID: "warga", Text: "pdamping xpdam pemkot ab"}, "", "", "")
	f("a second occurrence", schemas.Message{AuthorID: "warga", Text: "pdamping #pdam"}, "", "", "kota")
	f("named institution", schemas.Message{AuthorID: "kota_a", Institution: "dinas", Mentions: []string{"kota_a"}, Text: "pdam"}, "", "dinas", "")
	f("another platform", schemas.Message{AuthorID: "warga", Mentions: []string{"kota"}}, "", "", "")
	if got := c.Concern(&schemas.Message{Platform: "x", Institution: "lain", AuthorID: "kota_a"}); !got.Named || len(got.Addressed) > 0 {
		t.Errorf("an unknown institution: %+v", got)
	}
}

// Whatever a message holds, no name of a person is in what leaves (I6).
func TestNoNameLeaves(t *testing.T) {
	c, d := converter(t)
	name := rapid.StringMatching(`zq[a-z0-9_]{4,12}`) // no word, no key and no account begins so
	rapid.Check(t, func(t *rapid.T) {
		author, parent, mention := name.Draw(t, "author"), name.Draw(t, "parent"), name.Draw(t, "mention")
		m := &schemas.Message{
			Platform: "x", MessageID: "1", Kind: "post", AuthorID: author, CreatedAt: time.Unix(1772352000, 0), ParentID: "0", ParentAuthorID: parent,
			Mentions: []string{mention, "kota_a"}, Text: "@" + mention + " @kota_a lihat https://x.com/" + author + "/status/1 kata @" + parent,
			URL: "https://x.com/" + author + "/status/1", Account: rapid.SampledFrom([]string{"", "kota_a", author}).Draw(t, "account"),
		}
		all := make([]*institutions.Institution, 0, 2)
		for i := range d.All() {
			all = append(all, &d.All()[i])
		}
		events := c.Events(m, identity.Place{Institutions: all, ParentAuthorID: parent, Now: time.Unix(1772352000, 0), Connector: "archive:x"})
		if len(events) != 2 || events[0].Institution == events[1].Institution {
			t.Fatalf("%d events", len(events))
		}
		for _, e := range events {
			b, err := e.MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(bytes.ToLower(b), []byte("zq")) {
				t.Fatalf("a name is in %v", e)
			}
			if !strings.Contains(e.Text, "@kota_a") || len(e.AuthorKey) != 32 || len(e.MessageKey) != 16 || e.Kind != schemas.KindReply {
				t.Fatalf("%v", e)
			}
			if own := slices.Contains(e.MentionKeys, c.Events(&schemas.Message{Platform: "x", AuthorID: "100"}, identity.Place{Institutions: all[:1]})[0].AuthorKey); own != (e.Institution == "dinas") {
				t.Fatalf("mention keys of %s: %v", e.Institution, e.MentionKeys)
			}
		}
	})
}
