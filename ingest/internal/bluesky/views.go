package bluesky

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
)

// What the AppView answers, as far as it is read.

type profile struct {
	DID       string `json:"did"`
	Handle    string `json:"handle"`
	Followers *int64 `json:"followersCount"`
	Follows   *int64 `json:"followsCount"`
	Posts     *int64 `json:"postsCount"`
}

// view is a post with its counts; a notification has no counts.
type view struct {
	URI       string          `json:"uri"`
	Record    json.RawMessage `json:"record"`
	IndexedAt time.Time       `json:"indexedAt"`
	Author    struct {
		DID       string     `json:"did"`
		CreatedAt *time.Time `json:"createdAt"`
	} `json:"author"`
	Likes   *int64 `json:"likeCount"`
	Replies *int64 `json:"replyCount"`
	Reposts *int64 `json:"repostCount"`
	Quotes  *int64 `json:"quoteCount"`
	Reason  string `json:"reason"` // of a notification
}

// rawView keeps a view as it came beside what it means, or what was wrong with it.
type rawView struct {
	view
	raw json.RawMessage
	err error
}

func (v *rawView) UnmarshalJSON(b []byte) error {
	v.raw = append([]byte(nil), b...)
	// A view that is not as expected costs itself, not its page.
	v.err = json.Unmarshal(b, &v.view)
	return nil
}

type feedPage struct {
	Cursor string `json:"cursor"`
	Feed   []struct {
		Post   rawView         `json:"post"`
		Reason json.RawMessage `json:"reason"`
	} `json:"feed"`
}

type notificationPage struct {
	Cursor        string    `json:"cursor"`
	Notifications []rawView `json:"notifications"`
}

type postsAnswer struct {
	Posts []rawView `json:"posts"`
}

// threadNode is a post in its thread; of one that is not found or blocked only the type stands there.
type threadNode struct {
	Post    *rawView     `json:"post"`
	Replies []threadNode `json:"replies"`
}

// maxDepth bounds how deep a thread is walked, whatever an answer holds.
const maxDepth = 1000

// below walks a thread.
func (n *threadNode) below(depth int, do func(*rawView)) {
	if depth > maxDepth {
		return
	}
	for i := range n.Replies {
		if post := n.Replies[i].Post; post != nil {
			do(post)
		}
		n.Replies[i].below(depth+1, do)
	}
}

// item turns a view into an item.
func (a *API) item(v *rawView, account source.Account, now time.Time) source.Item {
	dead := func(reason schemas.DeadReason, allowed string) source.Item {
		return source.Item{Err: &schemas.FieldError{Reason: reason, Key: "post", Allowed: allowed}, Original: v.raw}
	}
	did, collection, _ := SplitURI(v.URI)
	if v.err != nil || did == "" || collection != Collection {
		return dead(schemas.DeadInvalidField, "a post as Bluesky's AppView gives it")
	}
	post, err := ParsePost(v.Record)
	if err != nil {
		return dead(schemas.DeadInvalidField, err.Error())
	}
	m, root := post.Message(Seen{URI: v.URI, Indexed: v.IndexedAt, Now: now, Author: a.Author})
	m.AuthorCreatedAt = v.Author.CreatedAt
	m.Likes, m.Replies, m.Shares = v.Likes, v.Replies, v.Reposts
	own := a.Official(did)
	if account.Institution != nil {
		m.Institution, m.Account = account.Institution.ID, account.Account.AuthorID()
		own = m.AuthorID == m.Account
	}
	if m.Kind == schemas.KindMention && own {
		m.Kind = schemas.KindPost
	}
	m.URL = webURL(v.URI)
	return checked(m, root, v.raw, now)
}

// checked is an item of a message that is valid, or a dead one.
func checked(m *schemas.Message, root string, raw []byte, now time.Time) source.Item {
	var field *schemas.FieldError
	if err := m.Validate(now); errors.As(err, &field) {
		return source.Item{Err: field, Original: raw}
	}
	return source.Item{Message: m, Original: raw, RootAuthorID: root}
}

// webURL is where a person reads the post.
func webURL(uri string) string {
	did, _, key := SplitURI(uri)
	return "https://bsky.app/profile/" + did + "/post/" + key
}

// Item turns a record that came without its counts into an item of a source that reads for all accounts.
func (a *API) Item(uri string, record []byte, indexed time.Time, original []byte) source.Item {
	did, _, _ := SplitURI(uri)
	post, err := ParsePost(record)
	if err != nil {
		return source.Item{Err: &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: "post", Allowed: err.Error()}, Original: append([]byte(nil), original...)}
	}
	now := a.now().UTC()
	m, root := post.Message(Seen{URI: uri, Indexed: indexed, Now: now, Author: a.Author})
	if m.Kind == schemas.KindMention && a.Official(did) {
		m.Kind = schemas.KindPost
	}
	m.URL = webURL(uri)
	return checked(m, root, append([]byte(nil), original...), now)
}
