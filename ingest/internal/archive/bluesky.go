package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/dwiarah/dwiarah/schemas"
)

// Collections and types of atproto that are read.
const (
	postType    = "app.bsky.feed.post"
	mentionType = "app.bsky.richtext.facet#mention"
)

// skyPost is a record of app.bsky.feed.post, in JSON and in CBOR alike.
type skyPost struct {
	Type      string     `json:"$type"`
	Text      string     `json:"text"`
	CreatedAt string     `json:"createdAt"`
	Langs     []string   `json:"langs"`
	Reply     *skyReply  `json:"reply"`
	Facets    []skyFacet `json:"facets"`
	Embed     *skyEmbed  `json:"embed"`
}

type skyReply struct {
	Root   skyRef `json:"root"`
	Parent skyRef `json:"parent"`
}

type skyRef struct {
	URI string `json:"uri"`
}

type skyFacet struct {
	Features []struct {
		Type string `json:"$type"`
		DID  string `json:"did"`
	} `json:"features"`
}

// skyEmbed is a quote where record names a post; with media beside it the record lies one level deeper.
type skyEmbed struct {
	Type   string `json:"$type"`
	Record *struct {
		URI    string  `json:"uri"`
		Record *skyRef `json:"record"`
	} `json:"record"`
	Images []struct {
		Alt string `json:"alt"`
	} `json:"images"`
}

func (e *skyEmbed) quotes() bool {
	if e == nil || e.Record == nil {
		return false
	}
	uri := e.Record.URI
	if e.Record.Record != nil {
		uri = e.Record.Record.URI
	}
	return strings.Contains(uri, "/"+postType+"/")
}

// item makes a message of a post under its at:// address.
func (p *skyPost) item(uri string) item {
	author, ok := authority(uri)
	if !ok {
		return item{err: &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: "uri", Allowed: "at://did:.../" + postType + "/key"}}
	}
	at, err := time.Parse(time.RFC3339, p.CreatedAt)
	if err != nil {
		return item{err: &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: "createdAt", Value: clip(p.CreatedAt), Allowed: "times are RFC 3339"}}
	}
	m := &schemas.Message{Platform: schemas.PlatformBluesky, MessageID: uri, AuthorID: author, CreatedAt: at.UTC(), Text: p.Text, Kind: schemas.KindPost}
	if len(p.Langs) > 0 {
		m.Lang = p.Langs[0]
	}
	for _, f := range p.Facets {
		for _, feature := range f.Features {
			if feature.Type == mentionType && feature.DID != "" && !slices.Contains(m.Mentions, feature.DID) {
				m.Mentions = append(m.Mentions, feature.DID)
			}
		}
	}
	if m.Text == "" && p.Embed != nil {
		m.Text = "[media]"
		for _, image := range p.Embed.Images {
			m.Text += strings.TrimRight(" "+image.Alt, " ")
		}
	}
	switch {
	case p.Reply != nil:
		m.Kind, m.ParentID, m.RootID = schemas.KindReply, p.Reply.Parent.URI, p.Reply.Root.URI
		m.ParentAuthorID, _ = authority(p.Reply.Parent.URI)
	case p.Embed.quotes():
		m.Kind = schemas.KindQuote
	}
	if _, key, found := strings.Cut(uri, "/"+postType+"/"); found {
		m.URL = "https://bsky.app/profile/" + author + "/post/" + key
	}
	return item{message: m}
}

// authority is the account that an at:// address begins with.
func authority(uri string) (string, bool) {
	rest, ok := strings.CutPrefix(uri, "at://")
	did, _, found := strings.Cut(rest, "/")
	return did, ok && found && strings.HasPrefix(did, "did:")
}

// decodeSkyRecord reads one record of an answer of com.atproto.repo.listRecords. Likes, follows and the like are no messages and no rows.
func decodeSkyRecord(raw []byte) []item {
	var r struct {
		URI   string          `json:"uri"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return bad(jsonError(err))
	}
	var p skyPost
	if !strings.Contains(r.URI, "/"+postType+"/") {
		if r.URI == "" {
			return bad(&schemas.FieldError{Reason: schemas.DeadMissingField, Key: "uri", Allowed: "required"})
		}
		return nil
	}
	if err := json.Unmarshal(r.Value, &p); err != nil {
		return bad(jsonError(err))
	}
	return []item{p.item(r.URI)}
}

// A CAR file (version 1) is a header and blocks, each after its length as an unsigned varint; a block is its CID and its bytes, here DAG-CBOR. A repository's
// blocks are records, and the nodes of the tree that knows their keys.

// cidBytes is how long the CIDs of a repository are: version 1, DAG-CBOR, SHA-256.
const cidBytes = 36

var cidHead = []byte{0x01, 0x71, 0x12, 0x20}

// isCAR tells that a file begins as a CAR file of version 1 does: a short header that names roots and the version.
func isCAR(head []byte) bool {
	size, n := binary.Uvarint(head)
	return n > 0 && size > 0 && size < 1<<10 && uint64(len(head)) > size && head[n]&0xe0 == 0xa0 && bytes.Contains(head[:uint64(n)+size], []byte("eroots")) && bytes.Contains(head[:uint64(n)+size], []byte("gversion"))
}

type carReader struct {
	r     *bufio.Reader
	block int64
}

// newCARReader passes over the header.
func newCARReader(r io.Reader) (*carReader, error) {
	c := &carReader{r: bufio.NewReaderSize(r, 256<<10)}
	header, err := c.next()
	if err != nil || header.tooLong || len(header.bytes) == 0 {
		return nil, errors.Join(errors.New("reading the CAR file: no header"), err)
	}
	return c, nil
}

// next returns a block, its CID first; the number counts blocks, the header being 0.
func (c *carReader) next() (line, error) {
	out := line{number: c.block}
	size, err := binary.ReadUvarint(c.r)
	switch {
	case errors.Is(err, io.EOF):
		return line{}, io.EOF
	case err != nil:
		return line{}, fmt.Errorf("reading block %d of the CAR file: %w", c.block, err)
	}
	keep := size
	if size > MaxLineBytes {
		out.tooLong, keep = true, headBytes
	}
	// Not allocated at once: the size is what the file says.
	var b bytes.Buffer
	if _, err = io.CopyN(&b, c.r, int64(keep)); err == nil && keep < size {
		err = c.skip(size - keep)
	}
	if errors.Is(err, io.EOF) {
		return line{}, fmt.Errorf("block %d of the CAR file breaks off", c.block)
	}
	if err != nil {
		return line{}, fmt.Errorf("reading block %d of the CAR file: %w", c.block, err)
	}
	c.block++
	out.bytes = b.Bytes()
	return out, nil
}

func (c *carReader) skip(n uint64) error {
	for n > 0 {
		part := min(n, 1<<30)
		if _, err := c.r.Discard(int(part)); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// skyRepo knows what the blocks of one repository are.
type skyRepo struct {
	did  string
	keys map[[32]byte]string // keys of posts by the hash in their CID
	dec  cbor.DecMode
}

type treeNode struct {
	Entries []struct {
		Prefix int      `cbor:"p"`
		Suffix []byte   `cbor:"k"`
		Value  cbor.Tag `cbor:"v"`
	} `cbor:"e"`
}

type repoCommit struct {
	DID string `cbor:"did"`
	Rev string `cbor:"rev"`
}

// maxPostKeys bounds the memory of one repository; the most prolific account would write a post a minute for ten years.
const maxPostKeys = 5_000_000

// newSkyRepo reads a CAR file once for the keys of its posts.
func newSkyRepo(path string) (*skyRepo, error) {
	s, err := open(path)
	if err != nil {
		return nil, err
	}
	defer s.close() //nolint:errcheck // It was only read.
	mode, err := cbor.DecOptions{MaxNestedLevels: 64}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("setting up the CBOR decoder: %w", err)
	}
	repo := &skyRepo{keys: map[[32]byte]string{}, dec: mode}
	blocks, err := newCARReader(s)
	if err != nil {
		return nil, err
	}
	for {
		b, err := blocks.next()
		if err != nil {
			// What breaks off is told when the posts are read.
			break
		}
		if err := repo.learn(b.bytes); err != nil {
			return nil, err
		}
	}
	if repo.did == "" {
		return nil, errors.New("reading the CAR file: no commit names the account; allowed: the repository of an atproto account")
	}
	return repo, nil
}

func (r *skyRepo) learn(block []byte) error {
	if len(block) <= cidBytes || !bytes.Equal(block[:4], cidHead) {
		return nil
	}
	body := block[cidBytes:]
	switch {
	case bytes.Contains(body[:min(len(body), 512)], []byte("cdid")):
		var c repoCommit
		if r.dec.Unmarshal(body, &c) == nil && strings.HasPrefix(c.DID, "did:") && c.Rev != "" {
			r.did = c.DID
		}
	case body[0] == 0xa2: // a map of two: e and l
		var node treeNode
		if r.dec.Unmarshal(body, &node) != nil {
			return nil
		}
		var key []byte
		for _, e := range node.Entries {
			if e.Prefix < 0 || e.Prefix > len(key) {
				return nil
			}
			key = append(key[:e.Prefix:e.Prefix], e.Suffix...)
			link, ok := e.Value.Content.([]byte)
			name, post := strings.CutPrefix(string(key), postType+"/")
			if !ok || !post || len(link) != cidBytes+1 {
				continue
			}
			if len(r.keys) == maxPostKeys {
				return fmt.Errorf("reading the CAR file: over %d posts in one repository", maxPostKeys)
			}
			r.keys[[32]byte(link[5:])] = name
		}
	}
	return nil
}

// decode reads a block; one that is no post is no row.
func (r *skyRepo) decode(block []byte) []item {
	if len(block) <= cidBytes || !bytes.Equal(block[:4], cidHead) {
		return nil
	}
	key, post := r.keys[[32]byte(block[4:cidBytes])]
	if !post {
		return nil
	}
	var p skyPost
	if err := r.dec.Unmarshal(block[cidBytes:], &p); err != nil {
		return malformed("a post in DAG-CBOR")
	}
	return []item{p.item("at://" + r.did + "/" + postType + "/" + key)}
}
