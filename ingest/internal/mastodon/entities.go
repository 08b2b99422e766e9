package mastodon

import (
	"encoding/json"
	"time"
)

// Entities of Mastodon's REST interface, as far as they are read. Ids are strings and belong to one server.

type account struct {
	ID        string     `json:"id"`
	Acct      string     `json:"acct"` // user, or user@host for another server's
	Bot       bool       `json:"bot"`
	Followers *int64     `json:"followers_count"`
	Following *int64     `json:"following_count"`
	Statuses  *int64     `json:"statuses_count"`
	CreatedAt *time.Time `json:"created_at"`
}

type status struct {
	ID          string       `json:"id"`
	CreatedAt   time.Time    `json:"created_at"`
	EditedAt    *time.Time   `json:"edited_at"`
	Account     account      `json:"account"`
	Content     string       `json:"content"` // HTML
	Spoiler     string       `json:"spoiler_text"`
	Visibility  string       `json:"visibility"`
	Language    string       `json:"language"`
	ReplyTo     string       `json:"in_reply_to_id"`
	ReplyToUser string       `json:"in_reply_to_account_id"`
	Mentions    []mention    `json:"mentions"`
	Media       []attachment `json:"media_attachments"`
	Favourites  *int64       `json:"favourites_count"`
	Reblogs     *int64       `json:"reblogs_count"`
	Replies     *int64       `json:"replies_count"`
	URL         string       `json:"url"`
	Reblog      *reference   `json:"reblog"`
	Quote       *reference   `json:"quote"`
}

// reference tells only that something is there.
type reference struct{}

type mention struct {
	ID   string `json:"id"`
	Acct string `json:"acct"`
	URL  string `json:"url"`
}

type attachment struct {
	Description string `json:"description"`
}

// rawStatus keeps a status as it came beside what it means, or what was wrong with it.
type rawStatus struct {
	status
	raw json.RawMessage
	err error
}

func (r *rawStatus) UnmarshalJSON(b []byte) error {
	r.raw = append([]byte(nil), b...)
	// A status that is not as expected costs itself, not its page.
	r.err = json.Unmarshal(b, &r.status)
	return nil
}

type notification struct {
	ID     string     `json:"id"`
	Type   string     `json:"type"`
	Status *rawStatus `json:"status"`
}

type statusContext struct {
	Ancestors   []rawStatus `json:"ancestors"`
	Descendants []rawStatus `json:"descendants"`
}

// version is one entry of a status's history.
type version struct {
	CreatedAt time.Time    `json:"created_at"`
	Content   string       `json:"content"`
	Spoiler   string       `json:"spoiler_text"`
	Media     []attachment `json:"media_attachments"`
}
