package archive

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/ingest/internal/x"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// tweets decodes posts of X in the shapes in which people have them.
type tweets struct {
	accounts *institutions.Directory
	// owner wrote everything in an account's own archive, which names no author; nil elsewhere.
	owner *tweetUser
}

// shape has the keys that tell one shape from another.
type shape struct {
	Tweet    json.RawMessage `json:"tweet"`
	Data     json.RawMessage `json:"data"`
	Meta     json.RawMessage `json:"meta"`
	Platform string          `json:"source_platform"`
	AuthorID string          `json:"author_id"`
	IDStr    string          `json:"id_str"`
	RestID   string          `json:"rest_id"`
	Legacy   json.RawMessage `json:"legacy"`
	Delete   *deleteNotice   `json:"delete"`
}

func (t tweets) decode(raw []byte) []item {
	var s shape
	if err := json.Unmarshal(raw, &s); err != nil {
		return bad(jsonError(err))
	}
	switch {
	case s.Delete != nil:
		return []item{s.Delete.item()}
	case len(s.Tweet) > 0: // an account's own archive, and what the website wraps
		return t.decode(s.Tweet)
	case s.RestID != "" || len(s.Legacy) > 0:
		return t.website(raw)
	case s.Platform != "": // Zeeschuimer's envelope
		return t.website(s.Data)
	case len(s.Data) > 0 || len(s.Meta) > 0: // an answer without posts has only meta
		return t.answer(raw)
	case s.AuthorID != "":
		return []item{t.post(raw, &x.Includes{})}
	case s.IDStr != "":
		return t.status(raw)
	}
	return malformed("a post of X: of API v1.1 (id_str), of API v2 (id and author_id) or of the website (rest_id and legacy)")
}

func (t tweets) answer(raw []byte) []item {
	var a x.Answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return bad(jsonError(err))
	}
	var items []item
	for _, one := range a.Data {
		i := t.post(one, &a.Includes)
		i.raw = one
		items = append(items, i)
	}
	return items
}

func (t tweets) post(raw []byte, in *x.Includes) item {
	var p x.Post
	if err := json.Unmarshal(raw, &p); err != nil {
		return item{err: jsonError(err)}
	}
	author := cmp.Or(p.Author, in.Users[p.AuthorID])
	if author != nil && author.Protected {
		return item{drop: schemas.DropNotPublic}
	}
	return item{message: p.Message(in, t.accounts, time.Time{})}
}

// tweetStatus is a post as API v1.1 and the website give it. Counts are text in an account's own archive.
type tweetStatus struct {
	IDStr            string        `json:"id_str"`
	CreatedAt        string        `json:"created_at"`
	FullText         string        `json:"full_text"`
	Text             string        `json:"text"`
	Lang             string        `json:"lang"`
	ReplyTo          string        `json:"in_reply_to_status_id_str"`
	ReplyToUser      string        `json:"in_reply_to_user_id_str"`
	ReplyToName      string        `json:"in_reply_to_screen_name"`
	Conversation     string        `json:"conversation_id_str"`
	UserID           string        `json:"user_id_str"`
	User             *tweetUser    `json:"user"`
	Entities         tweetEntities `json:"entities"`
	Extended         *tweetStatus  `json:"extended_tweet"`
	Likes            json.Number   `json:"favorite_count"`
	Retweets         json.Number   `json:"retweet_count"`
	Replies          json.Number   `json:"reply_count"`
	IsQuote          bool          `json:"is_quote_status"`
	Retweeted        *present      `json:"retweeted_status"`
	RetweetedWebsite *present      `json:"retweeted_status_result"`
	EditInfo         struct {
		Initial editIDs `json:"initial"`
		Edit    struct {
			Initial editIDs `json:"editControlInitial"`
		} `json:"edit"`
	} `json:"edit_info"`

	views   json.Number
	history []string
}

// present tells only that something is there.
type present struct{}

type editIDs struct {
	IDs []string `json:"editTweetIds"`
}

type tweetUser struct {
	ID         string      `json:"id_str"`
	ScreenName string      `json:"screen_name"`
	Followers  json.Number `json:"followers_count"`
	CreatedAt  string      `json:"created_at"`
	Protected  bool        `json:"protected"`
}

type tweetEntities struct {
	Mentions []tweetUser `json:"user_mentions"`
}

func (t tweets) status(raw []byte) []item {
	var s tweetStatus
	if err := json.Unmarshal(raw, &s); err != nil {
		return bad(jsonError(err))
	}
	return []item{t.item(&s)}
}

// websiteTweet is a post as the website gets it.
type websiteTweet struct {
	RestID string       `json:"rest_id"`
	Legacy *tweetStatus `json:"legacy"`
	Core   struct {
		User struct {
			Result struct {
				RestID string    `json:"rest_id"`
				Legacy tweetUser `json:"legacy"`
				Core   tweetUser `json:"core"` // holds the names since 2025
			} `json:"result"`
		} `json:"user_results"`
	} `json:"core"`
	User  *tweetUser `json:"user"` // of the website's older form
	Views struct {
		Count json.Number `json:"count"`
	} `json:"views"`
	Note struct {
		Results struct {
			Result struct {
				Text string `json:"text"`
			} `json:"result"`
		} `json:"note_tweet_results"`
	} `json:"note_tweet"`
	EditControl struct {
		IDs []string `json:"edit_tweet_ids"`
	} `json:"edit_control"`
}

func (t tweets) website(raw []byte) []item {
	var w websiteTweet
	if err := json.Unmarshal(raw, &w); err != nil {
		return bad(jsonError(err))
	}
	if w.Legacy == nil {
		return malformed("a post of X's website has legacy")
	}
	s := w.Legacy
	s.IDStr = cmp.Or(w.RestID, s.IDStr)
	s.views, s.history = w.Views.Count, w.EditControl.IDs
	s.FullText = cmp.Or(w.Note.Results.Result.Text, s.FullText)
	if s.User = w.User; s.User == nil {
		result := w.Core.User.Result
		s.User = &result.Legacy
		s.User.ID = cmp.Or(result.RestID, s.UserID)
		s.User.ScreenName = cmp.Or(s.User.ScreenName, result.Core.ScreenName)
		s.User.CreatedAt = cmp.Or(s.User.CreatedAt, result.Core.CreatedAt)
	}
	return []item{t.item(s)}
}

func (t tweets) item(s *tweetStatus) item {
	user := cmp.Or(s.User, t.owner)
	if user == nil {
		return item{err: &schemas.FieldError{Reason: schemas.DeadMissingField, Key: "user", Allowed: "required"}}
	}
	if user.Protected {
		return item{drop: schemas.DropNotPublic}
	}
	m := &schemas.Message{
		Platform: schemas.PlatformX, MessageID: s.IDStr, Lang: s.Lang, ParentID: s.ReplyTo, RootID: s.Conversation,
		AuthorID: t.name(user.ID, user.ScreenName), ParentAuthorID: t.name(s.ReplyToUser, s.ReplyToName),
		Text: html.UnescapeString(cmp.Or(s.FullText, s.Text)), Kind: schemas.KindPost,
	}
	mentions := s.Entities.Mentions
	if s.Extended != nil {
		m.Text, mentions = html.UnescapeString(s.Extended.FullText), append(mentions, s.Extended.Entities.Mentions...)
	}
	for _, u := range mentions {
		if who := t.name(u.ID, u.ScreenName); who != "" && !slices.Contains(m.Mentions, who) {
			m.Mentions = append(m.Mentions, who)
		}
	}
	if user.ScreenName != "" {
		m.URL = "https://x.com/" + user.ScreenName + "/status/" + s.IDStr
	}
	var err error
	if m.CreatedAt, err = tweetTime(s.CreatedAt); err != nil {
		return item{err: &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: "created_at", Value: clip(s.CreatedAt), Allowed: "a time as Sun Mar 01 08:00:00 +0000 2026"}}
	}
	if at, err := tweetTime(user.CreatedAt); err == nil {
		m.AuthorCreatedAt = &at
	}
	for _, n := range []struct {
		from json.Number
		into **int64
	}{{s.Likes, &m.Likes}, {s.Retweets, &m.Shares}, {s.Replies, &m.Replies}, {s.views, &m.Views}, {user.Followers, &m.AuthorFollowers}} {
		if count, err := n.from.Int64(); err == nil {
			*n.into = &count
		}
	}
	s.versions(m)
	// Of a repeated post the own archive and old exports tell only by its text.
	switch official, _ := t.accounts.Owner(schemas.PlatformX, m.AuthorID); {
	case s.Retweeted != nil || s.RetweetedWebsite != nil || strings.HasPrefix(m.Text, "RT @"):
		m.Kind = schemas.KindRepost
	case s.ReplyTo != "" || s.ReplyToUser != "":
		m.Kind = schemas.KindReply
	case s.IsQuote:
		m.Kind = schemas.KindQuote
	case official == nil && len(m.Mentions) > 0:
		m.Kind = schemas.KindMention
	}
	return item{message: m}
}

// versions makes one message of all versions of an edited post, under the first id.
func (s *tweetStatus) versions(m *schemas.Message) {
	history := s.history
	for _, ids := range []editIDs{s.EditInfo.Initial, s.EditInfo.Edit.Initial} {
		if len(history) == 0 {
			history = ids.IDs
		}
	}
	first, at, edited := x.FirstVersion(s.IDStr, history)
	if !edited {
		return
	}
	if m.RootID == m.MessageID {
		m.RootID = first
	}
	if written := m.CreatedAt; written.After(at) {
		m.EditedAt = &written
	}
	m.MessageID, m.CreatedAt = first, at
}

func (t tweets) name(id, handle string) string {
	return identity.Name(t.accounts, schemas.PlatformX, id, handle)
}

// deleteNotice is what the streams of API v1.1 say of a deleted post.
type deleteNotice struct {
	Status struct {
		ID   string `json:"id_str"`
		User string `json:"user_id_str"`
	} `json:"status"`
	TimestampMs json.Number `json:"timestamp_ms"`
}

func (d *deleteNotice) item() item {
	created, known := x.TimeOf(d.Status.ID)
	ms, err := d.TimestampMs.Int64()
	if !known || err != nil {
		return item{err: &schemas.FieldError{Reason: schemas.DeadMissingField, Key: "delete", Allowed: "status.id_str and timestamp_ms"}}
	}
	at := time.UnixMilli(ms).UTC()
	return item{message: &schemas.Message{
		Platform: schemas.PlatformX, MessageID: d.Status.ID, Kind: schemas.KindPost, AuthorID: d.Status.User, CreatedAt: created, DeletedAt: &at,
	}}
}

func tweetTime(value string) (time.Time, error) {
	at, err := time.Parse(time.RubyDate, value)
	if err != nil {
		at, err = time.Parse(time.RFC3339, value)
	}
	return at.UTC(), err
}

// xArchiveOwner finds whose archive tweets.js is: account.js lies beside it; else who is named.
func xArchiveOwner(path string, named string) (*tweetUser, error) {
	beside := filepath.Join(filepath.Dir(path), "account.js")
	f, err := os.Open(beside)
	switch {
	case errors.Is(err, os.ErrNotExist) && named != "":
		return &tweetUser{ScreenName: named}, nil
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("the archive of an account does not say whose it is; allowed: account.js beside %s, or an account named for the import", filepath.Base(path))
	case err != nil:
		return nil, fmt.Errorf("reading whose archive it is: %w", err)
	}
	defer f.Close() //nolint:errcheck // It was only read.
	l, err := newElementReader(f, "").next()
	var owner struct {
		Account struct {
			ID       string `json:"accountId"`
			Username string `json:"username"`
		} `json:"account"`
	}
	if err = errors.Join(err, json.Unmarshal(l.bytes, &owner)); err != nil || owner.Account.ID == "" {
		return nil, errors.Join(fmt.Errorf("reading %s: no accountId", beside), err)
	}
	return &tweetUser{ID: owner.Account.ID, ScreenName: owner.Account.Username}, nil
}

// jsonError says what is wrong with a JSON item without quoting it.
func jsonError(err error) *schemas.FieldError {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: cmp.Or(typ.Field, "item"), Allowed: "the type is " + typ.Type.String() + ", not " + typ.Value}
	}
	var parse *time.ParseError
	if errors.As(err, &parse) {
		return &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: "time", Value: clip(strings.Trim(parse.Value, `"`)), Allowed: "times are RFC 3339"}
	}
	return &schemas.FieldError{Reason: schemas.DeadMalformed, Key: "item", Allowed: "JSON: " + err.Error()}
}
