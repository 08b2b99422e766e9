package youtube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
)

// cursor is how far the channel has been read.
type cursor struct {
	// Threads and Videos are how far those lists have been read, threads with everything below them.
	Threads source.Newest `json:"threads"`
	Videos  source.Newest `json:"videos"`
	// Tracked are threads below which replies may still come, by id.
	Tracked    map[string]tracked `json:"tracked,omitempty"`
	Swept      time.Time          `json:"swept,omitzero"`
	VideosRead time.Time          `json:"videos_read,omitzero"`
	// Complete is up to when everything has been read; at first where reading begins.
	Complete time.Time `json:"complete"`
}

// tracked is a thread: when it began, and how many replies it had when all of them were last read; unread where they never were. Token is where the reading of its
// replies goes on.
type tracked struct {
	At      time.Time `json:"at"`
	Replies int64     `json:"replies"`
	Token   string    `json:"token,omitempty"`
}

// unread stands for the number of a thread's replies before they were read.
const unread = -1

// pending tells that the reading of the replies has begun, or has to, and is not done.
func (k tracked) pending() bool { return k.Replies == unread || k.Token != "" }

const (
	// overlap is how far a poll reads again: a comment can appear after one that is newer.
	overlap = 10 * time.Minute
	// maxTracked bounds the threads that are asked for new replies; the oldest go.
	maxTracked = 2000
)

type poll struct {
	*Source
	me     *channel
	now    time.Time
	cursor cursor
	emit   source.Emit
	fresh  map[string]bool // threads that this poll has read
	capped bool
	// since and until bound a backfill's threads; zero in a poll.
	since, until time.Time
}

// Poll reads new videos, new threads with their replies, and replies below known threads.
func (s *Source) Poll(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	p := &poll{Source: s, now: s.env.Now().UTC(), emit: emit, fresh: map[string]bool{}}
	from := p.now.Add(-s.settings.Lookback.Std())
	begin := source.Newest{Since: from.Add(overlap)}
	p.cursor = cursor{Threads: begin, Videos: begin, Complete: from}
	if raw != nil {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p.cursor); err != nil {
			return fmt.Errorf("reading the cursor of %s: %w", s.connector, err)
		}
	}
	if p.cursor.Tracked == nil {
		p.cursor.Tracked = map[string]tracked{}
	}
	var fresh bool
	var err error
	if p.me, fresh, err = s.channel(ctx); err != nil {
		return err
	}
	if fresh {
		size := &source.Size{Posts: count(p.me.Statistics.Videos), ObservedAt: p.now}
		if !p.me.Statistics.Hidden {
			size.Followers = count(p.me.Statistics.Subscribers)
		}
		if err := p.page(ctx, source.Page{Size: size}); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context) error{p.videos, p.threads, p.sweep} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if p.capped {
		return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("there are more than %d new pages; the next poll goes on with them", s.env.Config.PageCap)}
	}
	since := p.cursor.Complete
	p.cursor.Complete = p.now
	return p.page(ctx, source.Page{CompleteSince: since, CompleteUntil: p.now})
}

func (p *poll) page(ctx context.Context, page source.Page) error {
	if !p.until.IsZero() {
		return p.emit(ctx, page)
	}
	raw, err := json.Marshal(p.cursor)
	if err != nil {
		return fmt.Errorf("writing the cursor of %s: %w", p.connector, err)
	}
	page.Cursor = raw
	return p.emit(ctx, page)
}

// reading is how both lists are walked.
func (p *poll) reading(path string, q url.Values, entries func(items []json.RawMessage) []source.Entry, take func(ctx context.Context, fresh []int) error) source.Reading {
	return source.Reading{
		Cap: p.env.Config.PageCap, Overlap: overlap, From: p.since, Until: p.until, Take: take, Expired: expired,
		Read: func(ctx context.Context, token string) ([]source.Entry, string, error) {
			q.Del("pageToken")
			if token != "" {
				q.Set("pageToken", token)
			}
			var l list
			if err := p.get(ctx, path, q, &l); err != nil {
				return nil, "", err
			}
			return entries(l.Items), l.NextPage, nil
		},
	}
}

// expired tells that a page token is no longer good.
func expired(err error) bool {
	var call *web.Error
	return errors.As(err, &call) && call.Status == http.StatusBadRequest && call.Kind == web.Refused
}

// videos reads the uploads playlist.
func (p *poll) videos(ctx context.Context) error {
	if p.me.Content.Related.Uploads == "" || p.until.IsZero() && p.now.Sub(p.cursor.VideosRead) < p.settings.VideosEvery.Std() {
		return nil
	}
	var items, broken []source.Item
	var public []bool
	q := url.Values{"part": {"snippet,contentDetails,status"}, "playlistId": {p.me.Content.Related.Uploads}, "maxResults": {strconv.Itoa(perIDs)}}
	capped, err := p.cursor.Videos.Walk(ctx, p.reading("playlistItems", q, func(raws []json.RawMessage) []source.Entry {
		items, broken, public = nil, nil, nil
		var entries []source.Entry
		for _, raw := range raws {
			item, v := p.video(raw)
			if item.Message == nil {
				broken = append(broken, item)
				continue
			}
			items, public = append(items, item), append(public, v.Status.Privacy == "" || v.Status.Privacy == "public")
			entries = append(entries, source.Entry{ID: v.Content.VideoID, At: v.Content.Published})
		}
		return entries
	}, func(ctx context.Context, fresh []int) error {
		page := source.Page{Items: broken}
		for _, i := range fresh {
			if public[i] {
				page.Items = append(page.Items, items[i])
			}
		}
		return p.page(ctx, page)
	}))
	if err != nil && !web.IsGone(err) { // a channel without a video has no playlist
		return err
	}
	p.capped = p.capped || capped
	p.cursor.VideosRead = p.now
	return nil
}

// threads walks from the newest thread down to the known time.
func (p *poll) threads(ctx context.Context) error {
	var found []thread
	var raws []json.RawMessage
	var broken []source.Item
	q := url.Values{
		"part": {"snippet,replies"}, "allThreadsRelatedToChannelId": {p.me.ID}, "order": {"time"}, "textFormat": {"plainText"}, "maxResults": {strconv.Itoa(perPage)},
	}
	capped, err := p.cursor.Threads.Walk(ctx, p.reading("commentThreads", q, func(items []json.RawMessage) []source.Entry {
		found, raws, broken = nil, nil, nil
		var entries []source.Entry
		for _, raw := range items {
			var t thread
			if err := json.Unmarshal(raw, &t); err != nil || t.ID == "" {
				broken = append(broken, dead(raw))
				continue
			}
			found, raws = append(found, t), append(raws, raw)
			entries = append(entries, source.Entry{ID: t.ID, At: t.Snippet.Top.Snippet.Published})
		}
		return entries
	}, func(ctx context.Context, fresh []int) error {
		page := source.Page{Items: broken}
		var long []*thread
		for _, i := range fresh {
			t := &found[i]
			page.Items = append(page.Items, p.item(&t.Snippet.Top, t, raws[i]))
			p.fresh[t.ID] = true
			k := tracked{At: t.Snippet.Top.Snippet.Published, Replies: t.Snippet.Replies}
			if k.Replies > int64(len(t.Replies.Comments)) { // the thread does not hold them all itself
				k.Replies = unread
				long = append(long, t)
			} else {
				page.Items = append(page.Items, p.items(t, t.Replies.Comments)...)
			}
			p.track(t.ID, k)
		}
		if err := p.page(ctx, page); err != nil {
			return err
		}
		for _, t := range long {
			if err := p.below(ctx, t, p.cursor.Tracked[t.ID]); err != nil {
				return err
			}
		}
		return nil
	}))
	p.capped = p.capped || capped
	return err
}

// items makes the items of a thread's replies, without those that are known already; a backfill takes them all.
func (p *poll) items(t *thread, replies []json.RawMessage) (all []source.Item) {
	for _, raw := range replies {
		item := p.reply(raw, t)
		if p.until.IsZero() && item.Message != nil && p.env.Known != nil {
			if _, known := p.env.Known(item.Message.MessageID); known {
				continue
			}
		}
		all = append(all, item)
	}
	return all
}

func (p *poll) reply(raw json.RawMessage, t *thread) source.Item {
	var c comment
	if err := json.Unmarshal(raw, &c); err != nil {
		return dead(raw)
	}
	return p.item(&c, t, raw)
}

// below reads a thread's replies page by page, from where that was broken off the last time.
func (p *poll) below(ctx context.Context, t *thread, k tracked) error {
	walk := source.Walk{Cap: p.env.Config.PageCap}
	for {
		q := url.Values{"part": {"snippet"}, "parentId": {t.ID}, "textFormat": {"plainText"}, "maxResults": {strconv.Itoa(perPage)}}
		if k.Token != "" {
			q.Set("pageToken", k.Token)
		}
		var l list
		switch err := p.get(ctx, "comments", q, &l); {
		case web.IsGone(err): // deleted in between
			l = list{}
		case err != nil && k.Token != "" && expired(err):
			k.Token = ""
			continue
		case err != nil:
			return err
		}
		ids := make([]string, len(l.Items))
		for i, raw := range l.Items {
			var c struct {
				ID string `json:"id"`
			}
			if json.Unmarshal(raw, &c) == nil {
				ids[i] = c.ID
			}
		}
		fresh, more := walk.Page(ids)
		var news []json.RawMessage
		for i, raw := range l.Items {
			if fresh[i] || ids[i] == "" {
				news = append(news, raw)
			}
		}
		k.Token = l.NextPage
		done := k.Token == "" || !more && !walk.Capped()
		if done {
			k.Token, k.Replies = "", t.Snippet.Replies
		}
		p.track(t.ID, k)
		if err := p.page(ctx, source.Page{Items: p.items(t, news)}); err != nil || done {
			return err
		}
		if walk.Capped() {
			p.capped = true
			return nil
		}
	}
}

// track remembers a thread for its later replies.
func (p *poll) track(id string, k tracked) {
	p.cursor.Tracked[id] = k
	maps.DeleteFunc(p.cursor.Tracked, func(_ string, k tracked) bool {
		return p.now.Sub(k.At) > p.settings.SweepFor.Std() && !k.pending()
	})
	for len(p.cursor.Tracked) > maxTracked {
		oldest := ""
		for id, k := range p.cursor.Tracked {
			if oldest == "" || k.At.Before(p.cursor.Tracked[oldest].At) {
				oldest = id
			}
		}
		delete(p.cursor.Tracked, oldest)
	}
}

// sweep asks known threads how many replies they have: a new reply does not move its thread up. Where there are more than before they are read; where a reading was broken off it goes on.
func (p *poll) sweep(ctx context.Context) error {
	due := p.now.Sub(p.cursor.Swept) >= p.settings.SweepEvery.Std()
	var ids []string
	for id, k := range p.cursor.Tracked {
		if !p.fresh[id] && (due || k.pending()) { // the fresh ones have just been read
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for batch := range slices.Chunk(ids, perIDs) {
		q := url.Values{"part": {"snippet,replies"}, "id": {strings.Join(batch, ",")}, "textFormat": {"plainText"}, "maxResults": {strconv.Itoa(perPage)}}
		var l list
		if err := p.get(ctx, "commentThreads", q, &l); err != nil {
			return err
		}
		there := map[string]bool{}
		for _, raw := range l.Items {
			var t thread
			if json.Unmarshal(raw, &t) != nil {
				continue
			}
			there[t.ID] = true
			k, known := p.cursor.Tracked[t.ID]
			switch {
			case !known || t.Snippet.Replies == k.Replies && !k.pending():
				continue
			case t.Snippet.Replies <= int64(len(t.Replies.Comments)):
				p.track(t.ID, tracked{At: k.At, Replies: t.Snippet.Replies})
				if err := p.page(ctx, source.Page{Items: p.items(&t, t.Replies.Comments)}); err != nil {
					return err
				}
				continue
			}
			if err := p.below(ctx, &t, k); err != nil {
				return err
			}
		}
		for _, id := range batch {
			if k := p.cursor.Tracked[id]; !there[id] && k.pending() {
				delete(p.cursor.Tracked, id) // deleted in between
			}
		}
	}
	if due {
		p.cursor.Swept = p.now
	}
	return nil
}

// Backfill reads the threads that began in a range, with their replies, and the videos of that range.
func (s *Source) Backfill(ctx context.Context, since, until time.Time, emit source.Emit) error {
	p := &poll{Source: s, now: s.env.Now().UTC(), emit: emit, fresh: map[string]bool{}, since: since, until: until, cursor: cursor{Tracked: map[string]tracked{}}}
	var err error
	if p.me, _, err = s.channel(ctx); err != nil {
		return err
	}
	if err := p.videos(ctx); err != nil {
		return err
	}
	if err := p.threads(ctx); err != nil {
		return err
	}
	if p.capped {
		return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("there are more than %d pages since %s", s.env.Config.PageCap, since.Format(time.RFC3339))}
	}
	return p.page(ctx, source.Page{CompleteSince: since, CompleteUntil: until})
}
