package x

import (
	"bytes"
	"cmp"
	"encoding/json"
	"html"
	"slices"
	"strconv"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// Post is a post of X's API v2 as far as it is read. X renamed fields from tweet to post between two releases of its specification: both spellings are read.
// What twarc and 4CAT put into a post when they flatten an answer (author, author_user, in_reply_to_user) is read too.
type Post struct {
	ID             string
	AuthorID       string
	ConversationID string
	ReplyToUserID  string
	Text           string
	Lang           string
	CreatedAt      time.Time
	// EditHistory holds the ids of all versions, the first one first, this one included.
	EditHistory []string
	References  []Reference
	Mentions    []User
	Metrics     Metrics
	// Withheld are the countries in which X withholds the post: ISO codes, XX and XY for all.
	Withheld []string
	// Author and ReplyToUser are there where the post was flattened.
	Author, ReplyToUser *User
}

// Reference is a post that a post answers, quotes or repeats.
type Reference struct {
	Type string `json:"type"` // replied_to, quoted, retweeted or reposted
	ID   string `json:"id"`
	// AuthorID and EditHistory are there where the post was flattened.
	AuthorID    string   `json:"author_id"`
	EditHistory []string `json:"edit_history_tweet_ids"`
}

// Metrics are a post's public counts.
type Metrics struct {
	Likes   *int64
	Replies *int64
	Reposts *int64
	Quotes  *int64
	Views   *int64
}

// User is an account.
type User struct {
	ID        string     `json:"id"`
	Username  string     `json:"username"`
	CreatedAt *time.Time `json:"created_at"`
	Protected bool       `json:"protected"`
	Metrics   struct {
		Followers *int64 `json:"followers_count"`
		Following *int64 `json:"following_count"`
		Posts     *int64 `json:"tweet_count"`
		PostsNew  *int64 `json:"post_count"`
	} `json:"public_metrics"`
}

// wirePost has every spelling.
type wirePost struct {
	ID             string      `json:"id"`
	AuthorID       string      `json:"author_id"`
	ConversationID string      `json:"conversation_id"`
	ReplyToUserID  string      `json:"in_reply_to_user_id"`
	Text           string      `json:"text"`
	Lang           string      `json:"lang"`
	CreatedAt      time.Time   `json:"created_at"`
	EditTweets     []string    `json:"edit_history_tweet_ids"`
	EditPosts      []string    `json:"edit_history_post_ids"`
	RefTweets      []Reference `json:"referenced_tweets"`
	RefPosts       []Reference `json:"referenced_posts"`
	NoteTweet      *note       `json:"note_tweet"`
	NotePost       *note       `json:"note_post"`
	Entities       entities    `json:"entities"`
	Metrics        wireMetrics `json:"public_metrics"`
	Withheld       withholding `json:"withheld"`
	Author         *User       `json:"author"`
	AuthorUser     *User       `json:"author_user"`
	ReplyToUser    *User       `json:"in_reply_to_user"`
}

type note struct {
	Text     string   `json:"text"`
	Entities entities `json:"entities"`
}

type entities struct {
	Mentions []User `json:"mentions"`
}

type withholding struct {
	CountryCodes []string `json:"country_codes"`
}

type wireMetrics struct {
	Likes    *int64 `json:"like_count"`
	Replies  *int64 `json:"reply_count"`
	Retweets *int64 `json:"retweet_count"`
	Reposts  *int64 `json:"repost_count"`
	Quotes   *int64 `json:"quote_count"`
	Views    *int64 `json:"impression_count"`
}

// UnmarshalJSON reads either spelling.
func (p *Post) UnmarshalJSON(b []byte) error {
	var w wirePost
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*p = Post{
		ID: w.ID, AuthorID: w.AuthorID, ConversationID: w.ConversationID, ReplyToUserID: w.ReplyToUserID, Text: w.Text, Lang: w.Lang, CreatedAt: w.CreatedAt,
		EditHistory: append(w.EditTweets, w.EditPosts...), References: append(w.RefTweets, w.RefPosts...), Mentions: w.Entities.Mentions,
		Metrics: Metrics{
			Likes: w.Metrics.Likes, Replies: w.Metrics.Replies, Reposts: cmp.Or(w.Metrics.Retweets, w.Metrics.Reposts), Quotes: w.Metrics.Quotes, Views: w.Metrics.Views,
		},
		Withheld: w.Withheld.CountryCodes,
		Author:   cmp.Or(w.Author, w.AuthorUser), ReplyToUser: w.ReplyToUser,
	}
	// text ends after 280 characters with a link to the rest; the note has the whole.
	if n := cmp.Or(w.NoteTweet, w.NotePost); n != nil && n.Text != "" {
		p.Text = n.Text
		p.Mentions = append(slices.Clip(p.Mentions), n.Entities.Mentions...)
	}
	return nil
}

// Includes are the accounts and posts that an answer expands, by id.
type Includes struct {
	Users map[string]*User
	Posts map[string]*Post
}

type wireIncludes struct {
	Users  []User `json:"users"`
	Tweets []Post `json:"tweets"`
	Posts  []Post `json:"posts"`
}

// UnmarshalJSON reads either spelling.
func (in *Includes) UnmarshalJSON(b []byte) error {
	var w wireIncludes
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*in = Includes{Users: map[string]*User{}, Posts: map[string]*Post{}}
	for i := range w.Users {
		in.Users[w.Users[i].ID] = &w.Users[i]
	}
	for _, posts := range [][]Post{w.Tweets, w.Posts} {
		for i := range posts {
			in.Posts[posts[i].ID] = &posts[i]
		}
	}
	return nil
}

// Answer is what a call for posts returns: a page, a look-up, one event of the stream, or a page as twarc writes it.
type Answer struct {
	Data     []json.RawMessage
	Includes Includes
	Meta     Meta
	Errors   []Problem
	// Rules are the tags of the rules that an event of the stream matches.
	Rules []string
}

// Meta is how a page lies among the others.
type Meta struct {
	NewestID  string `json:"newest_id"`
	OldestID  string `json:"oldest_id"`
	NextToken string `json:"next_token"`
	Count     int    `json:"result_count"`
}

// Problem is one thing that an answer lacks, or why the stream ends.
type Problem struct {
	Title        string `json:"title"`
	Type         string `json:"type"`
	ResourceType string `json:"resource_type"`
	ResourceID   string `json:"resource_id"`
	Value        string `json:"value"`
}

// UnmarshalJSON reads an answer whose data are one post or many.
func (a *Answer) UnmarshalJSON(b []byte) error {
	var w struct {
		Data     json.RawMessage `json:"data"`
		Includes Includes        `json:"includes"`
		Meta     Meta            `json:"meta"`
		Errors   []Problem       `json:"errors"`
		Rules    []streamRule    `json:"matching_rules"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*a = Answer{Includes: w.Includes, Meta: w.Meta, Errors: w.Errors}
	for _, r := range w.Rules {
		a.Rules = append(a.Rules, r.Tag)
	}
	switch data := bytes.TrimSpace(w.Data); {
	case len(data) == 0 || bytes.Equal(data, []byte("null")):
		return nil
	case data[0] == '{':
		a.Data = []json.RawMessage{w.Data}
		return nil
	}
	return json.Unmarshal(w.Data, &a.Data)
}

// maxEdits bounds the chain of a post's versions; X allows five.
const maxEdits = 100

// Message turns a post into a message, which is not validated. An edit has an id of its own on X: here all versions are one message under the first id, created
// when that one was.
func (p *Post) Message(in *Includes, d *institutions.Directory, observed time.Time) *schemas.Message {
	m := &schemas.Message{
		Platform: schemas.PlatformX, MessageID: p.ID, CreatedAt: p.CreatedAt, Text: html.UnescapeString(p.Text), Lang: p.Lang,
		Likes: p.Metrics.Likes, Replies: p.Metrics.Replies, Shares: p.Metrics.Reposts, Views: p.Metrics.Views,
	}
	if !observed.IsZero() {
		m.ObservedAt = &observed
	}
	if first, at, edited := FirstVersion(p.ID, p.EditHistory); edited {
		m.MessageID, m.CreatedAt = first, at
		if p.CreatedAt.After(at) {
			m.EditedAt = &p.CreatedAt
		}
	}
	author := p.Author
	if author == nil {
		author = in.Users[p.AuthorID]
	}
	m.AuthorID = in.name(d, p.AuthorID, author)
	if author != nil {
		m.AuthorFollowers, m.AuthorCreatedAt = author.Metrics.Followers, author.CreatedAt
		if author.Username != "" && p.ID != "" {
			m.URL = "https://x.com/" + author.Username + "/status/" + p.ID
		}
	}
	for i := range p.Mentions {
		if who := in.name(d, p.Mentions[i].ID, &p.Mentions[i]); who != "" && !slices.Contains(m.Mentions, who) {
			m.Mentions = append(m.Mentions, who)
		}
	}
	m.RootID = p.ConversationID
	p.refer(m, in, d)
	if m.RootID == p.ID {
		m.RootID = m.MessageID
	}
	if m.Kind == "" {
		m.Kind = schemas.KindPost
		if official, _ := d.Owner(schemas.PlatformX, m.AuthorID); official == nil && len(m.Mentions) > 0 {
			m.Kind = schemas.KindMention
		}
	}
	return m
}

// refer fills in what the message answers or repeats. A post that answers one and quotes another is a reply.
func (p *Post) refer(m *schemas.Message, in *Includes, d *institutions.Directory) {
	for _, r := range p.References {
		switch r.Type {
		case "replied_to":
			m.Kind, m.ParentID = schemas.KindReply, r.ID
			user, history := p.ReplyToUserID, r.EditHistory
			if parent := in.Posts[r.ID]; parent != nil {
				user, history = cmp.Or(user, parent.AuthorID), parent.EditHistory
			}
			m.ParentAuthorID = in.name(d, cmp.Or(user, r.AuthorID), p.ReplyToUser)
			if first, _, edited := FirstVersion(r.ID, history); edited {
				m.ParentID = first
			}
		case "quoted":
			m.Kind = cmp.Or(m.Kind, schemas.KindQuote)
		case "retweeted", "reposted":
			m.Kind = cmp.Or(m.Kind, schemas.KindRepost)
		}
	}
}

// name returns an account's name in messages; who may be nil.
func (in *Includes) name(d *institutions.Directory, id string, who *User) string {
	if who == nil || who.ID != "" && who.ID != id {
		who = in.Users[id]
	}
	if who == nil {
		return id
	}
	return identity.Name(d, schemas.PlatformX, id, who.Username)
}

// FirstVersion returns the first id of a chain of edits and when it was written, which the id tells.
func FirstVersion(id string, history []string) (first string, at time.Time, edited bool) {
	if len(history) < 2 || len(history) > maxEdits || history[0] == id || !slices.Contains(history, id) {
		return "", time.Time{}, false
	}
	at, ok := TimeOf(history[0])
	return history[0], at, ok
}

// epochMs is when the ids of X begin to count (Snowflake).
const epochMs = 1288834974657

// TimeOf returns when a post was written, to the millisecond, from its id. Ids of before November 2010 do not tell.
func TimeOf(id string) (time.Time, bool) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 1<<32 {
		return time.Time{}, false
	}
	return time.UnixMilli(n>>22 + epochMs).UTC(), true
}
