package meta

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

// signature is the header that signs a delivery.
const signature = "X-Hub-Signature-256"

// Verify checks the signature, HMAC-SHA256 by the app's secret over the raw body, in constant time.
func (s *Source) Verify(header http.Header, body []byte) error {
	if s.settings.AppSecret.IsZero() {
		return errors.New("checking a delivery: no app_secret is configured")
	}
	given, ok := strings.CutPrefix(header.Get(signature), "sha256=")
	sum, err := hex.DecodeString(given)
	if !ok || err != nil {
		return errors.New("checking a delivery: no signature as sha256=HEX in " + signature)
	}
	mac := hmac.New(sha256.New, []byte(s.settings.AppSecret.Reveal()))
	mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), sum) {
		return errors.New("checking a delivery: the signature is another one")
	}
	return nil
}

// Handshake answers Meta's question whether deliveries are wanted here.
func (s *Source) Handshake(query url.Values) (answer string, err error) {
	if s.settings.VerifyToken.IsZero() {
		return "", errors.New("answering the handshake: no verify_token is configured")
	}
	right := subtle.ConstantTimeCompare([]byte(query.Get("hub.verify_token")), []byte(s.settings.VerifyToken.Reveal())) == 1
	if query.Get("hub.mode") != "subscribe" || !right {
		return "", errors.New("answering the handshake: the verify token is another one")
	}
	return query.Get("hub.challenge"), nil
}

// delivery is what Meta delivers: of pages and Instagram accounts by entries, of Threads one by one.
type delivery struct {
	Object string  `json:"object"`
	Entry  []entry `json:"entry"`
	// Of Threads.
	Target string `json:"target_id"`
	Time   int64  `json:"time"`
	Values change `json:"values"`
}

type entry struct {
	ID      string   `json:"id"`
	Time    int64    `json:"time"`
	Changes []change `json:"changes"`
}

type change struct {
	Field string          `json:"field"`
	Value json.RawMessage `json:"value"`
}

// feedValue is a change of a page's feed.
type feedValue struct {
	Item      string `json:"item"`
	Verb      string `json:"verb"`
	CommentID string `json:"comment_id"`
	PostID    string `json:"post_id"`
	ParentID  string `json:"parent_id"`
	From      *who   `json:"from"`
	Message   string `json:"message"`
	Created   int64  `json:"created_time"`
	Permalink string `json:"permalink_url"`
}

// named are the ids that Instagram delivers; the rest is asked for, because Meta keeps nothing of a mention and the time decides which message it is.
type named struct {
	ID        string `json:"id"`
	MediaID   string `json:"media_id"`
	CommentID string `json:"comment_id"`
	Media     *ref   `json:"media"`
	ParentID  string `json:"parent_id"`
}

// Receive reads a delivery that was verified. What is of another account is left alone; what cannot be read is dead.
func (s *Source) Receive(ctx context.Context, body []byte, emit source.Emit) error {
	var d delivery
	if err := json.Unmarshal(body, &d); err != nil {
		return emit(ctx, source.Page{Items: []source.Item{dead(body)}})
	}
	me, _, err := s.account(ctx)
	if err != nil {
		return err
	}
	if d.Target != "" {
		d.Object, d.Entry = "threads", []entry{{ID: d.Target, Time: d.Time, Changes: []change{d.Values}}}
	}
	if d.Object != s.object {
		return nil
	}
	p := &poll{Source: s, me: me, now: s.env.Now().UTC(), cursor: cursor{Followed: map[string]*followed{}}, authors: map[string]string{}}
	page := source.Page{}
	for _, e := range d.Entry {
		if e.ID != me.ID {
			continue
		}
		for _, c := range e.Changes {
			if err := p.change(ctx, c, time.Unix(e.Time, 0).UTC(), &page); err != nil {
				return err
			}
		}
	}
	if len(page.Items) == 0 && len(page.Visible) == 0 {
		return nil
	}
	return emit(ctx, page)
}

func (p *poll) change(ctx context.Context, c change, at time.Time, page *source.Page) error {
	switch {
	case p.platform == schemas.PlatformFacebook && c.Field == "feed":
		p.feed(c.Value, at, page)
	case p.platform == schemas.PlatformInstagram && (c.Field == "comments" || c.Field == "mentions"):
		return p.fetch(ctx, c, page)
	case p.platform == schemas.PlatformThreads && (c.Field == "replies" || c.Field == "mentions"):
		var n node
		if json.Unmarshal(c.Value, &n) != nil || n.ID == "" || n.created().IsZero() {
			page.Items = append(page.Items, dead(c.Value))
			return nil
		}
		as := roleBelow
		if c.Field == "mentions" && n.RepliedTo == nil {
			as = roleMention
		}
		if p.known(n.ID) {
			return nil // it came twice, or was polled
		}
		page.Items = append(page.Items, p.item(&n, c.Value, as, ""))
	}
	return nil
}

// feed is a change below or on a page: something came, was edited, went, or was hidden.
func (p *poll) feed(raw json.RawMessage, at time.Time, page *source.Page) {
	var v feedValue
	if json.Unmarshal(raw, &v) != nil {
		page.Items = append(page.Items, dead(raw))
		return
	}
	n := node{ID: v.PostID, Message: v.Message, From: v.From, URL: v.Permalink}
	if v.Created > 0 {
		n.CreatedTime = time.Unix(v.Created, 0).UTC().Format(time.RFC3339)
	}
	as, post := roleMention, ""
	switch v.Item {
	case "comment":
		n.ID, as, post = v.CommentID, roleBelow, v.PostID
		if v.ParentID != v.PostID {
			n.ParentID = v.ParentID
		}
		owner, _, _ := strings.Cut(v.PostID, "_") // a post's id begins with that of whom it is
		p.cursor.Followed[post] = &followed{Mention: owner != p.me.ID}
	case "status", "post", "photo", "video", "share", "link", "album":
		if v.From != nil && v.From.ID == p.me.ID {
			as = rolePost
		}
	default: // reactions and the like
		return
	}
	switch v.Verb {
	case "hide", "unhide":
		state := schemas.VisibilityHidden
		if v.Verb == "unhide" {
			state = schemas.VisibilityShown
		}
		page.Visible = append(page.Visible, source.Visibility{MessageID: n.ID, State: state, Reason: schemas.HiddenWithheld, At: at})
		return
	}
	known, isKnown := p.find(n.ID)
	edit := v.Verb == "edited" || v.Verb == "edit"
	removal := v.Verb == "remove" || v.Verb == "delete"
	if last := known.Message.EditedAt; isKnown && !removal && (!edit || last != nil && !at.After(*last)) {
		return // an older state than the one that is known: it came twice, or late
	}
	item := p.item(&n, raw, as, post)
	if item.Message == nil && isKnown && removal {
		m := known.Message // a removal does not say again who wrote, and when
		item = source.Item{Message: &m}
	}
	if m := item.Message; m != nil {
		if isKnown {
			m.CreatedAt = known.Message.CreatedAt
		}
		switch {
		case edit:
			m.EditedAt = &at
		case removal:
			m.DeletedAt, m.Text = &at, ""
		}
	}
	page.Items = append(page.Items, item)
}

// fetch asks for what Instagram has named by its id.
func (p *poll) fetch(ctx context.Context, c change, page *source.Page) error {
	var v named
	if json.Unmarshal(c.Value, &v) != nil || v.ID == "" && v.MediaID == "" {
		page.Items = append(page.Items, dead(c.Value))
		return nil
	}
	if p.known(cmp.Or(v.ID, v.CommentID, v.MediaID)) {
		return nil // it came twice, or was polled
	}
	var raw json.RawMessage
	var err error
	as, post := roleBelow, v.Media.id()
	switch {
	case c.Field == "comments":
		err = p.get(ctx, url.PathEscape(v.ID), url.Values{"fields": {p.single}}, &raw)
		p.cursor.Followed[post] = &followed{}
	case v.CommentID != "":
		post = v.MediaID
		raw, err = p.mentioned(ctx, "mentioned_comment", "comment_id", v.CommentID, "id,text,timestamp,username,from,like_count")
		p.cursor.Followed[post] = &followed{Mention: true}
	default:
		as = roleMention
		raw, err = p.mentioned(ctx, "mentioned_media", "media_id", v.MediaID, instagramMedia)
	}
	if refused(err) {
		return nil // gone since, or an account that is private
	}
	if err != nil {
		return web.AsSourceError(err)
	}
	var n node
	if json.Unmarshal(raw, &n) != nil || n.ID == "" || n.created().IsZero() {
		page.Items = append(page.Items, dead(raw))
		return nil
	}
	item := p.item(&n, raw, as, post)
	if item.Message != nil && v.CommentID != "" {
		item.Message.Mentions = []string{p.env.Account.Account.AuthorID()}
	}
	page.Items = append(page.Items, item)
	return nil
}

func (p *poll) mentioned(ctx context.Context, field, key, id, fields string) (json.RawMessage, error) {
	var answer map[string]json.RawMessage
	err := p.get(ctx, url.PathEscape(p.me.ID), url.Values{"fields": {field + "." + key + "(" + id + "){" + fields + "}"}}, &answer)
	if raw := answer[field]; err != nil || raw != nil {
		return raw, err
	}
	return json.RawMessage("{}"), nil
}
