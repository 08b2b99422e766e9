// Package identity decides, in one place for all platforms, whom a message concerns and what names its people: it turns a schemas.Message, which
// still holds handles and raw text, into the event.Message of each institution concerned, pseudonymised and redacted.
package identity

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/dwiarah/dwiarah/ingest/internal/redact"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// Converter converts messages. It is safe for concurrent use.
type Converter struct {
	ring      *identitykey.Ring
	directory *institutions.Directory
	redactors map[string]*redact.Redactor
	keywords  []keyword
}

type keyword struct {
	text        string // in lower case
	institution *institutions.Institution
}

// New returns a converter that keys with the ring and attributes by the directory.
func New(ring *identitykey.Ring, directory *institutions.Directory) *Converter {
	c := &Converter{ring: ring, directory: directory, redactors: map[string]*redact.Redactor{}}
	for _, platform := range schemas.Platforms() {
		c.redactors[platform] = redact.New(platform, func(handle string) bool {
			owner, _ := directory.Owner(platform, handle)
			return owner != nil
		})
	}
	for i := range directory.All() {
		in := &directory.All()[i]
		for _, k := range in.Keywords {
			if k = strings.ToLower(strings.TrimSpace(k)); k != "" {
				c.keywords = append(c.keywords, keyword{text: k, institution: in})
			}
		}
	}
	return c
}

// Concern is what a message by itself says of the institutions it concerns.
type Concern struct {
	// Author owns the account that wrote the message; nil for a citizen's.
	Author *institutions.Institution
	// Addressed own the parent's author, an account that is mentioned, or the account or institution that the row names.
	Addressed []*institutions.Institution
	// Keyword have a keyword in the text. A keyword makes the message theirs, but not the thread.
	Keyword []*institutions.Institution
	// Named tells that the row names its institution: then nothing else counts, and Addressed holds it, or nothing where the directory lacks it.
	Named bool
}

// Concern reads what m says by itself. The parent's author counts only where m names it.
func (c *Converter) Concern(m *schemas.Message) Concern {
	if m.Institution != "" {
		named := Concern{Named: true}
		if in := c.directory.Institution(m.Institution); in != nil {
			named.Addressed = []*institutions.Institution{in}
		}
		return named
	}
	var out Concern
	out.Author = c.Owner(m.Platform, m.AuthorID)
	address := func(id string) {
		if in := c.Owner(m.Platform, id); in != nil && !slices.Contains(out.Addressed, in) {
			out.Addressed = append(out.Addressed, in)
		}
	}
	address(m.Account)
	address(m.ParentAuthorID)
	for _, id := range m.Mentions {
		address(id)
	}
	out.Keyword = c.keyworded(m.Text)
	return out
}

// Concerned are the institutions that a message concerns which stands for itself: whose account wrote it, whom it addresses, whose keyword is in it, and else
// whose account began the thread.
func (c *Converter) Concerned(m *schemas.Message, rootAuthor string) []*institutions.Institution {
	concern := c.Concern(m)
	if concern.Named {
		return concern.Addressed
	}
	all := concern.Addressed
	add := func(in *institutions.Institution) {
		if in != nil && !slices.Contains(all, in) {
			all = append(all, in)
		}
	}
	add(concern.Author)
	if len(all) == 0 {
		add(c.Owner(m.Platform, rootAuthor))
	}
	for _, in := range concern.Keyword {
		add(in)
	}
	return all
}

// Visibility returns what is said of a message or an author, without the institution: of an author once for each epoch whose key is held, because what was
// written before stands under an older key.
func (c *Converter) Visibility(platform string, v source.Visibility) []*event.Visibility {
	if v.MessageID != "" {
		return []*event.Visibility{{Platform: platform, MessageKey: c.ring.MessageKey(platform, v.MessageID), State: v.State, Reason: v.Reason, AtMs: v.At.UnixMilli()}}
	}
	var all []*event.Visibility
	for _, key := range c.ring.AuthorKeys(platform, v.AuthorID) {
		all = append(all, &event.Visibility{Platform: platform, AuthorKey: key, State: v.State, Reason: v.Reason, AtMs: v.At.UnixMilli()})
	}
	return all
}

func (c *Converter) keyworded(text string) []*institutions.Institution {
	if len(c.keywords) == 0 {
		return nil
	}
	var found []*institutions.Institution
	text = strings.ToLower(text)
	for _, k := range c.keywords {
		if !slices.Contains(found, k.institution) && containsWord(text, k.text) {
			found = append(found, k.institution)
		}
	}
	return found
}

// containsWord finds word where no letter or digit stands beside it.
func containsWord(text, word string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return false
		}
		start, end := at+i, at+i+len(word)
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, size := utf8.DecodeRuneInString(text[end:])
		if (start == 0 || !letterOrDigit(before)) && (size == 0 || !letterOrDigit(after)) {
			return true
		}
		at = end
	}
}

func letterOrDigit(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }

// Owner returns the institution that owns the account with that id or handle, or nil.
func (c *Converter) Owner(platform, author string) *institutions.Institution {
	if author == "" {
		return nil
	}
	in, _ := c.directory.Owner(platform, author)
	return in
}

// Place is what is known of a message beyond itself.
type Place struct {
	// Institutions that the message concerns; each gets an event.
	Institutions []*institutions.Institution
	// ParentAuthorID is the author of the parent, empty while unknown.
	ParentAuthorID string
	// RootID of the thread; empty means the message's own id.
	RootID string
	// Connector that delivered the message, as the coverage ledger names it.
	Connector string
	// Now is when ingest produces the record.
	Now time.Time
}

// Events returns one event for each institution of the place.
//
// A message is outbound for the institution whose account wrote it and inbound for the others, unless the row names institution or account and a
// direction: then the row's direction holds for that institution. A post that has a parent is a reply.
func (c *Converter) Events(m *schemas.Message, place Place) []*event.Message {
	base := &event.Message{
		Platform:          m.Platform,
		MessageId:         m.MessageID,
		MessageKey:        c.ring.MessageKey(m.Platform, m.MessageID),
		Kind:              m.Kind,
		IsAuto:            m.IsAuto,
		AuthorKey:         c.authorKey(m.Platform, m.AuthorID),
		AuthorFollowers:   m.AuthorFollowers,
		AuthorCreatedAtMs: millis(m.AuthorCreatedAt),
		CreatedAtMs:       m.CreatedAt.UnixMilli(),
		ObservedAtMs:      millis(m.ObservedAt),
		EditedAtMs:        millis(m.EditedAt),
		DeletedAtMs:       millis(m.DeletedAt),
		IngestedAtMs:      place.Now.UnixMilli(),
		Lang:              m.Lang,
		ParentId:          m.ParentID,
		RootId:            place.RootID,
		Likes:             m.Likes,
		Replies:           m.Replies,
		Shares:            m.Shares,
		Views:             m.Views,
		Connector:         place.Connector,
	}
	if m.Kind == schemas.KindPost && m.ParentID != "" {
		base.Kind = schemas.KindReply
	}
	if base.RootId == "" {
		base.RootId = m.MessageID
	}
	if place.ParentAuthorID != "" {
		base.ParentAuthorKey = c.authorKey(m.Platform, place.ParentAuthorID)
	}
	base.Text, base.Redacted = c.redactors[m.Platform].Text(m.Text)
	base.TextHash, base.LinkHashes = c.ring.ContentHashes(base.Text)

	events := make([]*event.Message, 0, len(place.Institutions))
	for n, in := range place.Institutions {
		e := base
		if n < len(place.Institutions)-1 {
			e = proto.Clone(base).(*event.Message)
		}
		c.see(e, m, place, in)
		events = append(events, e)
	}
	return events
}

// see fills in what depends on the institution that looks at the message.
func (c *Converter) see(e *event.Message, m *schemas.Message, place Place, in *institutions.Institution) {
	e.Institution = in.ID
	account := func(id string) string {
		if id == "" {
			return ""
		}
		if owner, a := c.directory.Owner(m.Platform, id); owner == in {
			return a.Name()
		}
		return ""
	}
	named := account(m.Account)
	wrote := account(m.AuthorID)

	e.Direction = schemas.Inbound
	if wrote != "" {
		e.Direction = schemas.Outbound
	}
	if m.Direction != "" && (m.Institution == in.ID || named != "") {
		e.Direction = m.Direction
	}

	e.ParentIsAccount = event.Known_KNOWN_UNSPECIFIED
	parent := account(place.ParentAuthorID)
	if place.ParentAuthorID != "" {
		e.ParentIsAccount = event.Known_KNOWN_NO
		if parent != "" {
			e.ParentIsAccount = event.Known_KNOWN_YES
		}
	}

	mentioned := ""
	e.MentionKeys = nil
	for _, id := range m.Mentions {
		if name := account(id); name != "" {
			e.MentionsAccount = true
			if mentioned == "" {
				mentioned = name
			}
			continue
		}
		if id == "" {
			continue
		}
		if key := c.authorKey(m.Platform, id); !slices.Contains(e.MentionKeys, key) {
			e.MentionKeys = append(e.MentionKeys, key)
		}
	}

	if e.Direction == schemas.Outbound {
		e.Account = firstOf(wrote, named)
		e.Url = m.URL
		return
	}
	e.Account = firstOf(named, parent, mentioned)
	e.FromAccountStream = named != ""
}

// authorKey keys an author; an account's key is the same whichever of its id and its handle was written.
func (c *Converter) authorKey(platform, author string) string {
	if owner, a := c.directory.Owner(platform, author); owner != nil {
		author = a.AuthorID()
	}
	return c.ring.AuthorKey(platform, author)
}

func firstOf(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return ""
}

func millis(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}
