package bluesky

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
)

// Collection is that of posts.
const Collection = "app.bsky.feed.post"

// Post is a post's record (app.bsky.feed.post), as far as it is read. Who is meant stands in it by DID, never by name.
type Post struct {
	Text      string   `json:"text"`
	CreatedAt string   `json:"createdAt"` // the author's clock
	Langs     []string `json:"langs"`
	Reply     *struct {
		Root   Reference `json:"root"`
		Parent Reference `json:"parent"`
	} `json:"reply"`
	Facets []struct {
		Features []struct {
			Type string `json:"$type"`
			DID  string `json:"did"`
		} `json:"features"`
	} `json:"facets"`
	Embed *Embed `json:"embed"`
}

// Reference names another record.
type Reference struct {
	URI string `json:"uri"`
}

// Embed is what stands below the text; a quote is a record, alone or with pictures.
type Embed struct {
	Type   string `json:"$type"`
	Images []struct {
		Alt string `json:"alt"`
	} `json:"images"`
	Record json.RawMessage `json:"record"`
	Media  *Embed          `json:"media"`
}

// quoted is the address of the post that is quoted, or empty.
func (e *Embed) quoted() string {
	if e == nil {
		return ""
	}
	var one Reference
	var nested struct {
		Record Reference `json:"record"`
	}
	switch e.Type {
	case "app.bsky.embed.record":
		_ = json.Unmarshal(e.Record, &one) // another form quotes nothing
	case "app.bsky.embed.recordWithMedia":
		_ = json.Unmarshal(e.Record, &nested)
		one = nested.Record
	}
	if _, collection, _ := SplitURI(one.URI); collection != Collection {
		return ""
	}
	return one.URI
}

// ParsePost reads a record.
func ParsePost(record []byte) (*Post, error) {
	var p Post
	if err := json.Unmarshal(record, &p); err != nil {
		return nil, errors.New("it is no record of a post")
	}
	return &p, nil
}

// SplitURI parts at://DID/collection/key.
func SplitURI(uri string) (did, collection, key string) {
	rest, ok := strings.CutPrefix(uri, "at://")
	if !ok {
		return "", "", ""
	}
	did, rest, _ = strings.Cut(rest, "/")
	collection, key, _ = strings.Cut(rest, "/")
	return did, collection, key
}

// URI is a post's address.
func URI(did, key string) string { return "at://" + did + "/" + Collection + "/" + key }

// believed is when a post counts as created: the author's clock is believed unless it runs ahead or says what cannot be.
func (p *Post) believed(indexed time.Time) time.Time {
	at, err := time.Parse(time.RFC3339, p.CreatedAt)
	if err != nil || at.After(indexed) || at.Before(schemas.EarliestCreated) {
		return indexed.UTC()
	}
	return at.UTC()
}

// text is the post's text, or what its pictures are described as.
func (p *Post) text() string {
	if strings.TrimSpace(p.Text) != "" {
		return p.Text
	}
	if p.Embed == nil {
		return "[media]"
	}
	images := p.Embed.Images
	if p.Embed.Media != nil {
		images = append(images, p.Embed.Media.Images...)
	}
	parts := []string{"[media]"}
	for _, i := range images {
		if alt := strings.TrimSpace(i.Alt); alt != "" {
			parts = append(parts, alt)
		}
	}
	return strings.Join(parts, " ")
}

// Seen is where and when a post was seen.
type Seen struct {
	URI string
	// Indexed is when the network first saw the post, Now when it was read.
	Indexed, Now time.Time
	// Author names the author of a DID: an official account as institutions.yaml has it, anybody else by the DID.
	Author func(did string) string
}

// Message turns a post into a message, without institution and account, and tells who began its thread.
func (p *Post) Message(at Seen) (m *schemas.Message, rootAuthor string) {
	did, _, _ := SplitURI(at.URI)
	now := at.Now
	m = &schemas.Message{
		Platform: schemas.PlatformBluesky, MessageID: at.URI, Kind: schemas.KindMention, AuthorID: at.Author(did), CreatedAt: p.believed(at.Indexed), ObservedAt: &now, Text: p.text(),
	}
	if len(p.Langs) > 0 {
		m.Lang = p.Langs[0]
	}
	mention := func(did string) {
		if name := at.Author(did); did != "" && !slices.Contains(m.Mentions, name) {
			m.Mentions = append(m.Mentions, name)
		}
	}
	for _, f := range p.Facets {
		for _, feature := range f.Features {
			if feature.Type == "app.bsky.richtext.facet#mention" {
				mention(feature.DID)
			}
		}
	}
	if quoted := p.Embed.quoted(); quoted != "" {
		m.Kind = schemas.KindQuote
		author, _, _ := SplitURI(quoted)
		mention(author) // a quote is shown to the author of what it quotes
	}
	if p.Reply != nil {
		m.Kind = schemas.KindReply
		m.ParentID, m.RootID = p.Reply.Parent.URI, p.Reply.Root.URI
		parent, _, _ := SplitURI(m.ParentID)
		root, _, _ := SplitURI(m.RootID)
		if parent != "" {
			m.ParentAuthorID = at.Author(parent)
		}
		if root != "" {
			rootAuthor = at.Author(root)
		}
	}
	return m, rootAuthor
}
