package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/markup"
	"github.com/dwiarah/dwiarah/schemas"
)

// outbox decodes the activities of outbox.json, which a Mastodon account exports: ActivityStreams 2.0.
type outbox struct {
	// names has the handle with its host of the exporting account's address, where the address itself does not show it.
	names map[string]string
}

type activity struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Actor     string          `json:"actor"`
	Published time.Time       `json:"published"`
	To        list            `json:"to"`
	Cc        list            `json:"cc"`
	Object    json.RawMessage `json:"object"`
}

type activityNote struct {
	ID           string               `json:"id"`
	Type         string               `json:"type"`
	Summary      string               `json:"summary"`
	InReplyTo    string               `json:"inReplyTo"`
	Published    time.Time            `json:"published"`
	Updated      *time.Time           `json:"updated"`
	URL          string               `json:"url"`
	AttributedTo string               `json:"attributedTo"`
	To           list                 `json:"to"`
	Cc           list                 `json:"cc"`
	Content      string               `json:"content"`
	ContentMap   map[string]string    `json:"contentMap"`
	Quote        string               `json:"quote"`
	Tag          []activityTag        `json:"tag"`
	Attachment   []activityAttachment `json:"attachment"`
}

type activityTag struct {
	Type string `json:"type"`
	Href string `json:"href"`
	Name string `json:"name"`
}

type activityAttachment struct {
	Name string `json:"name"`
}

// list is one value or several.
type list []string

func (l *list) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = list{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// public is how ActivityStreams writes that something is for everybody.
func public(audience ...list) bool {
	for _, l := range audience {
		for _, who := range l {
			if who == "https://www.w3.org/ns/activitystreams#Public" || who == "as:Public" || who == "Public" {
				return true
			}
		}
	}
	return false
}

func (o outbox) decode(raw []byte) []item {
	var a activity
	if err := json.Unmarshal(raw, &a); err != nil {
		return bad(jsonError(err))
	}
	if !public(a.To, a.Cc) {
		return []item{{drop: schemas.DropNotPublic}}
	}
	switch a.Type {
	case "Announce":
		return []item{o.boost(&a)}
	case "Create":
		return []item{o.note(&a)}
	}
	return malformed("an activity of the type Create or Announce")
}

// boost has no text of its own: the address of what is boosted stands for it.
func (o outbox) boost(a *activity) item {
	var object string
	if err := json.Unmarshal(a.Object, &object); err != nil {
		return item{err: jsonError(err)}
	}
	return item{message: &schemas.Message{
		Platform: schemas.PlatformMastodon, MessageID: statusID(strings.TrimSuffix(a.ID, "/activity")), Kind: schemas.KindRepost, AuthorID: o.handle(a.Actor),
		CreatedAt: a.Published, Text: object,
	}}
}

func (o outbox) note(a *activity) item {
	var n activityNote
	if err := json.Unmarshal(a.Object, &n); err != nil {
		return item{err: jsonError(err)}
	}
	m := &schemas.Message{
		Platform: schemas.PlatformMastodon, MessageID: statusID(n.ID), Kind: schemas.KindPost, AuthorID: o.handle(n.AttributedTo), CreatedAt: n.Published,
		EditedAt: n.Updated, URL: n.URL,
	}
	handles := map[string]string{}
	for _, t := range n.Tag {
		if t.Type != "Mention" {
			continue
		}
		handle := strings.TrimPrefix(t.Name, "@")
		if profile, err := url.Parse(t.Href); err == nil && !strings.Contains(handle, "@") {
			handle += "@" + profile.Host
		}
		handles[t.Href] = handle
		if !slices.Contains(m.Mentions, handle) {
			m.Mentions = append(m.Mentions, handle)
		}
	}
	m.Text = o.text(&n, handles)
	if len(n.ContentMap) == 1 {
		for lang := range n.ContentMap {
			m.Lang = lang
		}
	}
	switch {
	case n.InReplyTo != "":
		m.Kind, m.ParentID, m.ParentAuthorID = schemas.KindReply, statusID(n.InReplyTo), o.handle(ownerOf(n.InReplyTo))
	case n.Quote != "":
		m.Kind = schemas.KindQuote
	}
	return item{message: m}
}

// text is written as the live source writes it: the warning, the content, of a status that is only pictures what they are described as.
func (o outbox) text(n *activityNote, handles map[string]string) string {
	var parts []string
	for _, part := range []string{strings.TrimSpace(n.Summary), markup.Text(n.Content, handles)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		for _, a := range n.Attachment {
			parts = append(parts, strings.TrimSpace("[media] "+a.Name))
		}
	}
	return strings.Join(parts, "\n")
}

// statusID makes host/id, as the live source does, of a status's address; an address of another form stands for itself.
func statusID(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	id := parts[len(parts)-1]
	if len(parts) < 2 || id == "" || strings.ContainsFunc(id, func(r rune) bool { return r < '0' || r > '9' }) {
		return address
	}
	return u.Host + "/" + id
}

// ownerOf is the address of the account that a status's address lies under.
func ownerOf(status string) string {
	if at := strings.LastIndex(status, "/statuses/"); at >= 0 {
		return status[:at]
	}
	if at := strings.LastIndex(status, "/"); at >= 0 && strings.Contains(status, "/@") {
		return status[:at]
	}
	return ""
}

// handle returns user@host for an account's address: https://host/users/user or https://host/@user. An address of another form stands for itself.
func (o outbox) handle(account string) string {
	if name := o.names[account]; name != "" {
		return name
	}
	u, err := url.Parse(account)
	if err != nil || u.Host == "" {
		return account
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	switch {
	case len(parts) == 2 && parts[0] == "users":
		return parts[1] + "@" + u.Host
	case len(parts) == 1 && strings.HasPrefix(parts[0], "@"):
		return strings.TrimPrefix(parts[0], "@") + "@" + u.Host
	}
	return account
}

// newOutbox reads the exporting account's name from actor.json where it lies beside the file.
func newOutbox(path string) (outbox, error) {
	o := outbox{names: map[string]string{}}
	beside := filepath.Join(filepath.Dir(path), "actor.json")
	b, err := os.ReadFile(beside)
	if errors.Is(err, os.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return o, fmt.Errorf("reading whose export it is: %w", err)
	}
	var actor struct {
		ID   string `json:"id"`
		Name string `json:"preferredUsername"`
	}
	if err := json.Unmarshal(b, &actor); err != nil {
		return o, fmt.Errorf("reading %s: %w", beside, err)
	}
	if u, err := url.Parse(actor.ID); err == nil && actor.Name != "" {
		o.names[actor.ID] = actor.Name + "@" + u.Host
	}
	return o, nil
}
