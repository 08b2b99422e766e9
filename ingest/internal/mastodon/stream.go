package mastodon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

// streamed is a Source whose push is followed.
type streamed struct{ *Source }

// beatEvery is how often a stream is asked whether it lives.
const beatEvery = 20 * time.Second

// Stream follows the account's own stream: mentions, its own statuses, edits and deletions. The push resumes nothing, so once it is open the feeds are polled
// from the cursor: nothing lies between.
func (s *streamed) Stream(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	push, err := s.open(ctx)
	if err != nil {
		return web.AsSourceError(err)
	}
	defer push.Close()
	catchUp := func(ctx context.Context, page source.Page) error {
		if err := emit(ctx, page); err != nil {
			return err
		}
		if page.Cursor != nil {
			raw = page.Cursor
		}
		return nil
	}
	for {
		err := s.Poll(ctx, raw, catchUp)
		if err == nil {
			break
		}
		if source.GapReason(err) != schemas.GapLimit { // as long as it is only more than one poll reads, the next one goes on
			return err
		}
	}
	p, err := s.begin(ctx, emit)
	if err != nil {
		return err
	}
	if p.cursor, err = s.readCursor(raw); err != nil {
		return err
	}
	do := func(f web.Frame) error {
		p.now = s.env.Now().UTC()
		return p.pushed(ctx, f)
	}
	beat := func(ago time.Duration) error {
		until := s.env.Now().UTC().Add(-ago)
		return p.page(ctx, source.Page{CompleteSince: until, CompleteUntil: until})
	}
	err = web.Follow(ctx, push, beatEvery, do, beat)
	var call *web.Error
	if errors.As(err, &call) {
		return web.AsSourceError(err)
	}
	return err
}

// open opens the stream, by whichever way the server offers.
func (s *Source) open(ctx context.Context) (web.Stream, error) {
	var failed error
	if s.settings.Streaming != streamingEvents {
		push, err := s.push.WebSocket(ctx, web.Call{Path: "/api/v1/streaming", Query: url.Values{"stream": {"user"}}}, web.WebSocketOptions{})
		if err == nil || s.settings.Streaming == streamingSocket {
			return push, err
		}
		failed = err
	}
	push, err := s.push.Events(ctx, web.Call{Path: "/api/v1/streaming/user"})
	if err != nil {
		return nil, errors.Join(err, failed)
	}
	return push, nil
}

// socketFrame is what a WebSocket carries: the same as an event, as a text within.
type socketFrame struct {
	Event   string `json:"event"`
	Payload string `json:"payload"`
}

// pushed takes one event. One that cannot be read goes to the dead letters, and the stream goes on.
func (p *poll) pushed(ctx context.Context, f web.Frame) error {
	event, data := f.Event, f.Data
	var page source.Page
	dead := func() error {
		page.Items = append(page.Items, source.Item{
			Err: &schemas.FieldError{Reason: schemas.DeadMalformed, Key: "event", Allowed: "an event of Mastodon's stream"}, Original: f.Data,
		})
		return p.page(ctx, page)
	}
	if event == "" {
		var s socketFrame
		if err := json.Unmarshal(f.Data, &s); err != nil {
			return dead()
		}
		event, data = s.Event, []byte(s.Payload)
	}
	switch event {
	case "notification":
		var n notification
		if err := json.Unmarshal(data, &n); err != nil || n.ID == "" {
			return dead()
		}
		if n.Type != "mention" || n.Status == nil {
			return nil
		}
		if err := p.take(ctx, &page, n.Status); err != nil {
			return err
		}
		if later(n.ID, p.cursor.Mentions) {
			p.cursor.Mentions = n.ID
		}
	case "update", "status.update":
		var st rawStatus
		if err := json.Unmarshal(data, &st); err != nil || st.err != nil || st.ID == "" {
			return dead()
		}
		own := st.Account.ID == p.me.ID
		// The stream is also the account's home: what others write there concerns it only where it is known already.
		if _, known := p.env.Known(p.qualify(st.ID)); !own && !known || st.Reblog != nil {
			return nil
		}
		if err := p.take(ctx, &page, &st); err != nil {
			return err
		}
		if own && event == "update" && later(st.ID, p.cursor.Own) {
			p.cursor.Own = st.ID
		}
	case "delete":
		k, known := p.env.Known(p.qualify(string(data)))
		if !known {
			return nil
		}
		m := k.Message
		m.DeletedAt, m.ObservedAt, m.Likes, m.Replies, m.Shares = &p.now, &p.now, nil, nil, nil
		page.Items = append(page.Items, source.Item{Message: &m})
	default: // filters, announcements, conversations
		return nil
	}
	if err := p.page(ctx, page); err != nil {
		return fmt.Errorf("taking an event of %s: %w", p.connector, err)
	}
	return nil
}
