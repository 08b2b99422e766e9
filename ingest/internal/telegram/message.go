package telegram

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
)

// Objects of the Bot API, as far as they are read.

type chat struct {
	ID       int64  `json:"id"`
	Type     string `json:"type"`
	Username string `json:"username"`
	// Linked is the channel's discussion group, or the group's channel.
	Linked int64 `json:"linked_chat_id"`
}

type update struct {
	ID            int64           `json:"update_id"`
	Message       json.RawMessage `json:"message"`
	Edited        json.RawMessage `json:"edited_message"`
	Channel       json.RawMessage `json:"channel_post"`
	EditedChannel json.RawMessage `json:"edited_channel_post"`
}

type message struct {
	ID      int64    `json:"message_id"`
	Thread  int64    `json:"message_thread_id"`
	From    *user    `json:"from"`
	Sender  *chat    `json:"sender_chat"`
	Chat    chat     `json:"chat"`
	Date    int64    `json:"date"`
	Edited  int64    `json:"edit_date"`
	Text    string   `json:"text"`
	Caption string   `json:"caption"`
	Reply   *message `json:"reply_to_message"`
	// Automatic marks the copy of a channel's post in its discussion group.
	Automatic bool `json:"is_automatic_forward"`
	Origin    *struct {
		ID int64 `json:"message_id"`
	} `json:"forward_origin"`
	ForwardedID     int64    `json:"forward_from_message_id"`
	Entities        []entity `json:"entities"`
	CaptionEntities []entity `json:"caption_entities"`

	Photo     json.RawMessage `json:"photo"`
	Video     json.RawMessage `json:"video"`
	Document  json.RawMessage `json:"document"`
	Sticker   json.RawMessage `json:"sticker"`
	Voice     json.RawMessage `json:"voice"`
	Audio     json.RawMessage `json:"audio"`
	VideoNote json.RawMessage `json:"video_note"`
	Poll      json.RawMessage `json:"poll"`
	Location  json.RawMessage `json:"location"`
}

type user struct {
	ID       int64  `json:"id"`
	Bot      bool   `json:"is_bot"`
	Username string `json:"username"`
}

// entity marks a part of a text, in units of UTF-16.
type entity struct {
	Type   string `json:"type"`
	Offset int    `json:"offset"`
	Length int    `json:"length"`
	User   *user  `json:"user"`
}

// reader turns updates into a page.
type reader struct {
	*Source
	channel *chat
	cursor  *cursor
	now     time.Time
}

// read makes a page of updates and moves the cursor behind them.
func (r *reader) read(updates []json.RawMessage) source.Page {
	page := source.Page{}
	drop := func(reason schemas.DropReason) {
		if page.Dropped == nil {
			page.Dropped = map[schemas.DropReason]int64{}
		}
		page.Dropped[reason]++
	}
	for _, raw := range updates {
		var u update
		if err := json.Unmarshal(raw, &u); err != nil {
			page.Items = append(page.Items, dead(raw))
			continue
		}
		r.cursor.Offset, r.cursor.Last = max(r.cursor.Offset, u.ID+1), r.now
		body := cmp.Or(string(u.Message), string(u.Edited), string(u.Channel), string(u.EditedChannel))
		if body == "" {
			continue // not one of those that were asked for
		}
		var m message
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			page.Items = append(page.Items, dead(raw))
			continue
		}
		switch {
		case m.Chat.Type == "private":
			drop(schemas.DropNotPublic)
		case m.Chat.ID != r.channel.ID && (m.Chat.ID != r.channel.Linked || r.channel.Linked == 0):
			drop(schemas.DropNoInstitution)
		case m.Automatic:
			r.copied(&m)
		case m.text() == "": // someone came, a title changed
		default:
			page.Items = append(page.Items, r.item(&m, raw))
		}
	}
	return page
}

// copied remembers which post of the channel a message of the group is the copy of.
func (r *reader) copied(m *message) {
	id := m.ForwardedID
	if m.Origin != nil {
		id = cmp.Or(m.Origin.ID, id)
	}
	if id == 0 {
		return
	}
	r.cursor.Threads[m.ID] = id
	for len(r.cursor.Threads) > maxThreads {
		oldest := int64(0)
		for n := range r.cursor.Threads {
			if oldest == 0 || n < oldest {
				oldest = n
			}
		}
		delete(r.cursor.Threads, oldest)
	}
}

func (m *message) text() string {
	if text := cmp.Or(m.Text, m.Caption); text != "" {
		return text
	}
	for _, media := range []json.RawMessage{m.Photo, m.Video, m.Document, m.Sticker, m.Voice, m.Audio, m.VideoNote, m.Poll, m.Location} {
		if len(media) > 0 {
			return "[media]"
		}
	}
	return ""
}

func dead(raw json.RawMessage) source.Item {
	return source.Item{Err: &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: "update", Allowed: "an update of the Bot API"}, Original: raw[:min(len(raw), maxOriginal)]}
}

// id is a message's id: messages are numbered in each chat anew. The copy of a channel's post in the group is the post.
func (r *reader) id(in, number int64) string {
	if post := r.cursor.Threads[number]; post != 0 && in == r.channel.Linked {
		in, number = r.channel.ID, post
	}
	return strconv.FormatInt(in, 10) + "/" + strconv.FormatInt(number, 10)
}

// author is who wrote: the channel where it speaks as itself or as its group.
func (r *reader) author(m *message) string {
	official := r.env.Account.Account.AuthorID()
	switch {
	case m.Sender != nil && (m.Sender.ID == r.channel.ID || m.Sender.ID == r.channel.Linked), m.Chat.ID == r.channel.ID:
		return official
	case m.Sender != nil:
		return identity.Name(r.env.Directory, schemas.PlatformTelegram, strconv.FormatInt(m.Sender.ID, 10), m.Sender.Username)
	case m.From != nil:
		return identity.Name(r.env.Directory, schemas.PlatformTelegram, strconv.FormatInt(m.From.ID, 10), m.From.Username)
	}
	return ""
}

func (r *reader) item(in *message, raw json.RawMessage) source.Item {
	official := r.env.Account.Account.AuthorID()
	m := &schemas.Message{
		Platform: schemas.PlatformTelegram, MessageID: r.id(in.Chat.ID, in.ID), Institution: r.env.Account.Institution.ID, Account: official, Kind: schemas.KindMention,
		AuthorID: r.author(in), CreatedAt: time.Unix(in.Date, 0).UTC(), ObservedAt: &r.now, Text: in.text(), IsAuto: in.From != nil && in.From.Bot && in.Sender == nil,
	}
	if m.AuthorID == official {
		m.Kind = schemas.KindPost
	}
	if in.Edited > 0 {
		at := time.Unix(in.Edited, 0).UTC()
		m.EditedAt = &at
	}
	if in.Chat.ID == r.channel.ID && r.channel.Username != "" {
		m.URL = "https://t.me/" + r.channel.Username + "/" + strconv.FormatInt(in.ID, 10)
	}
	r.place(m, in)
	for _, e := range append(in.Entities, in.CaptionEntities...) {
		name := ""
		switch {
		case e.Type == "mention":
			name = strings.TrimPrefix(e.of(m.Text), "@")
		case e.Type == "text_mention" && e.User != nil:
			name = identity.Name(r.env.Directory, schemas.PlatformTelegram, strconv.FormatInt(e.User.ID, 10), e.User.Username)
		}
		if name != "" && !slices.Contains(m.Mentions, name) {
			m.Mentions = append(m.Mentions, name)
		}
	}
	if err := m.Validate(r.now); err != nil {
		item := dead(raw)
		errors.As(err, &item.Err)
		return item
	}
	return source.Item{Message: m}
}

// place says what a message answers.
func (r *reader) place(m *schemas.Message, in *message) {
	top := in.Thread
	if in.Reply != nil && in.Reply.Chat.ID == in.Chat.ID {
		if in.Reply.Automatic {
			r.copied(in.Reply)
		}
		m.Kind, m.ParentID, m.ParentAuthorID = schemas.KindReply, r.id(in.Chat.ID, in.Reply.ID), r.author(in.Reply)
		top = cmp.Or(top, in.Reply.Thread, in.Reply.ID)
		if in.Reply.Automatic {
			m.Kind, m.ParentAuthorID = schemas.KindComment, r.env.Account.Account.AuthorID()
		}
	}
	if top != 0 && top != in.ID {
		m.RootID = r.id(in.Chat.ID, top)
	}
}

// of cuts the part out of a text.
func (e entity) of(text string) string {
	units := utf16.Encode([]rune(text))
	if e.Offset < 0 || e.Length < 0 || e.Offset > len(units) || e.Length > len(units)-e.Offset {
		return ""
	}
	return string(utf16.Decode(units[e.Offset : e.Offset+e.Length]))
}
