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
	// Threads is when the newest thread began that has been read with everything below it, Videos the same of the videos.
	Threads time.Time `json:"threads"`
	Videos  time.Time `json:"videos"`
	// Newest and Token are those of a walk over the threads that was broken off: YouTube gives the newest first.
	Newest time.Time `json:"newest,omitzero"`
	Token  string    `json:"token,omitempty"`
	// Recent are threads and videos of the last minutes, which are read twice.
	Recent []string `json:"recent,omitempty"`
	// Tracked are threads below which replies may still come, by id.
	Tracked    map[string]tracked `json:"tracked,omitempty"`
	Swept      time.Time          `json:"swept,omitzero"`
	VideosRead time.Time          `json:"videos_read,omitzero"`
	// Complete is up to when everything has been read; at first where reading begins.
	Complete time.Time `json:"complete"`
}

// tracked is a thread: when it began, how many replies it had, and what a reply's message needs of it.
type tracked struct {
	At      time.Time `json:"at"`
	Replies int64     `json:"replies"`
}

const (
	// overlap is how far a poll reads again: a comment can appear after one that is newer.
	overlap = 10 * time.Minute
	// maxRecent and maxTracked bound the cursor.
	maxRecent, maxTracked = 2000, 2000
)

type poll struct {
	*Source
	me     *channel
	now    time.Time
	cursor cursor
	emit   source.Emit
	seen   map[string]bool
	capped bool
	// since and until bound a backfill's threads; zero in a poll.
	since, until time.Time
}

// Poll reads new videos, new threads with their replies, and replies below known threads.
func (s *Source) Poll(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	p := &poll{Source: s, now: s.env.Now().UTC(), emit: emit, seen: map[string]bool{}}
	from := p.now.Add(-s.settings.Lookback.Std())
	p.cursor = cursor{Threads: from, Videos: from, Complete: from}
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
		return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("there are more than %d pages of new threads; the next poll goes on with them", s.env.Config.PageCap)}
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

// videos reads the uploads playlist, the newest first, down to a known time.
func (p *poll) videos(ctx context.Context) error {
	if p.me.Content.Related.Uploads == "" || p.until.IsZero() && p.now.Sub(p.cursor.VideosRead) < p.settings.VideosEvery.Std() {
		return nil
	}
	down, newest := p.cursor.Videos.Add(-overlap), p.cursor.Videos
	if !p.until.IsZero() {
		down = p.since
	}
	walk := source.Walk{Cap: p.env.Config.PageCap}
	for token := ""; ; {
		q := url.Values{"part": {"snippet,contentDetails,status"}, "playlistId": {p.me.Content.Related.Uploads}, "maxResults": {strconv.Itoa(perIDs)}}
		if token != "" {
			q.Set("pageToken", token)
		}
		var l list
		if err := p.get(ctx, "playlistItems", q, &l); err != nil {
			if web.IsGone(err) { // a channel without a video has no playlist
				break
			}
			return err
		}
		page, older := source.Page{}, false
		var ids []string
		for _, raw := range l.Items {
			item, v := p.video(raw)
			ids = append(ids, v.Content.VideoID)
			at := v.Content.Published
			older = older || item.Message != nil && at.Before(down)
			if item.Message != nil && (at.Before(down) || !p.until.IsZero() && !at.Before(p.until) || v.Status.Privacy != "" && v.Status.Privacy != "public" || !p.first(v.Content.VideoID)) {
				continue
			}
			if at.After(newest) {
				newest = at
			}
			page.Items = append(page.Items, item)
		}
		_, more := walk.Page(ids)
		if token = l.NextPage; token == "" || older || !more {
			p.cursor.Videos, p.cursor.VideosRead = newest, p.now
			if err := p.page(ctx, page); err != nil {
				return err
			}
			break
		}
		if err := p.page(ctx, page); err != nil {
			return err
		}
	}
	return nil
}

// first tells that an id has not come in this poll, nor in the last minutes of those before, and remembers it.
func (p *poll) first(id string) bool {
	if p.seen[id] || slices.Contains(p.cursor.Recent, id) {
		return false
	}
	p.seen[id] = true
	return true
}

// threads walks from the newest thread down to the known time.
func (p *poll) threads(ctx context.Context) error {
	resumed := p.cursor.Token != ""
	if err := p.down(ctx); err != nil {
		var call *web.Error
		if !resumed || !errors.As(err, &call) || call.Status != http.StatusBadRequest {
			return err
		}
		// The token has expired: from the top.
		p.cursor.Token = ""
		return p.down(ctx)
	}
	if resumed && !p.capped {
		return p.down(ctx) // what came since the walk was broken off
	}
	return nil
}

func (p *poll) down(ctx context.Context) error {
	walk := source.Walk{Cap: p.env.Config.PageCap}
	down := p.cursor.Threads.Add(-overlap)
	if !p.until.IsZero() {
		down = p.since
	}
	recent := map[string]time.Time{}
	for {
		q := url.Values{
			"part": {"snippet,replies"}, "allThreadsRelatedToChannelId": {p.me.ID}, "order": {"time"}, "textFormat": {"plainText"}, "maxResults": {strconv.Itoa(perPage)},
		}
		if p.cursor.Token != "" {
			q.Set("pageToken", p.cursor.Token)
		}
		var l list
		if err := p.get(ctx, "commentThreads", q, &l); err != nil {
			return err
		}
		page, older := source.Page{}, false
		var ids []string
		newest := p.cursor.Newest
		for _, raw := range l.Items {
			var t thread
			if err := json.Unmarshal(raw, &t); err != nil {
				page.Items = append(page.Items, dead(raw))
				continue
			}
			ids = append(ids, t.ID)
			at := t.Snippet.Top.Snippet.Published
			older = older || at.Before(down)
			if at.Before(down) || !p.until.IsZero() && !at.Before(p.until) || !p.first(t.ID) {
				continue
			}
			if at.After(newest) {
				newest = at
			}
			recent[t.ID] = at
			items, err := p.thread(ctx, raw, &t)
			if err != nil {
				return err
			}
			page.Items = append(page.Items, items...)
		}
		_, more := walk.Page(ids)
		p.cursor.Newest, p.cursor.Token = newest, l.NextPage
		last := l.NextPage == "" || older || !more && !walk.Capped()
		if last {
			p.arrive(recent)
		}
		if err := p.page(ctx, page); err != nil {
			return err
		}
		if last {
			return nil
		}
		if !more {
			p.capped = true
			return nil
		}
	}
}

// arrive ends a walk.
func (p *poll) arrive(recent map[string]time.Time) {
	if p.cursor.Newest.After(p.cursor.Threads) {
		p.cursor.Threads = p.cursor.Newest
	}
	p.cursor.Newest, p.cursor.Token = time.Time{}, ""
	for id, at := range recent {
		if !at.Before(p.cursor.Threads.Add(-overlap)) && !slices.Contains(p.cursor.Recent, id) {
			p.cursor.Recent = append(p.cursor.Recent, id)
		}
	}
	slices.Sort(p.cursor.Recent)
	if extra := len(p.cursor.Recent) - maxRecent; extra > 0 {
		p.cursor.Recent = p.cursor.Recent[extra:]
	}
}

// thread makes the items of a thread: the comment, and the replies, which are asked for where the thread does not hold all.
func (p *poll) thread(ctx context.Context, raw json.RawMessage, t *thread) ([]source.Item, error) {
	items := []source.Item{p.item(&t.Snippet.Top, t, raw)}
	replies, err := p.replies(ctx, t)
	if err != nil {
		return nil, err
	}
	p.track(t)
	for _, r := range replies {
		items = append(items, p.reply(r, t))
	}
	return items, nil
}

func (p *poll) reply(raw json.RawMessage, t *thread) source.Item {
	var c comment
	if err := json.Unmarshal(raw, &c); err != nil {
		return dead(raw)
	}
	return p.item(&c, t, raw)
}

// replies returns all replies of a thread.
func (p *poll) replies(ctx context.Context, t *thread) ([]json.RawMessage, error) {
	if t.Snippet.Replies <= int64(len(t.Replies.Comments)) {
		return t.Replies.Comments, nil
	}
	var all []json.RawMessage
	walk := source.Walk{Cap: p.env.Config.PageCap}
	for token := ""; ; {
		q := url.Values{"part": {"snippet"}, "parentId": {t.ID}, "textFormat": {"plainText"}, "maxResults": {strconv.Itoa(perPage)}}
		if token != "" {
			q.Set("pageToken", token)
		}
		var l list
		if err := p.get(ctx, "comments", q, &l); err != nil {
			if web.IsGone(err) {
				return all, nil // deleted in between
			}
			return nil, err
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
		for i, raw := range l.Items {
			if fresh[i] || ids[i] == "" {
				all = append(all, raw)
			}
		}
		if token = l.NextPage; token == "" || !more {
			return all, nil
		}
	}
}

// track remembers a thread for its later replies.
func (p *poll) track(t *thread) {
	if !p.until.IsZero() {
		return
	}
	p.cursor.Tracked[t.ID] = tracked{At: t.Snippet.Top.Snippet.Published, Replies: t.Snippet.Replies}
	maps.DeleteFunc(p.cursor.Tracked, func(_ string, k tracked) bool { return p.now.Sub(k.At) > p.settings.SweepFor.Std() })
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

// sweep asks known threads how many replies they have: a new reply does not move its thread up. Where there are more than before they are read.
func (p *poll) sweep(ctx context.Context) error {
	if p.now.Sub(p.cursor.Swept) < p.settings.SweepEvery.Std() {
		return nil
	}
	var ids []string
	for id := range p.cursor.Tracked {
		if !p.seen[id] { // those have just been read
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
		page := source.Page{}
		for _, raw := range l.Items {
			var t thread
			if json.Unmarshal(raw, &t) != nil || t.Snippet.Replies == p.cursor.Tracked[t.ID].Replies {
				continue
			}
			replies, err := p.replies(ctx, &t)
			if err != nil {
				return err
			}
			p.track(&t)
			for _, r := range replies {
				item := p.reply(r, &t)
				if item.Message != nil && p.env.Known != nil {
					if _, known := p.env.Known(item.Message.MessageID); known {
						continue
					}
				}
				page.Items = append(page.Items, item)
			}
		}
		if err := p.page(ctx, page); err != nil {
			return err
		}
	}
	p.cursor.Swept = p.now
	return nil
}

// Backfill reads the threads that began in a range, with their replies, and the videos of that range.
func (s *Source) Backfill(ctx context.Context, since, until time.Time, emit source.Emit) error {
	p := &poll{Source: s, now: s.env.Now().UTC(), emit: emit, seen: map[string]bool{}, since: since, until: until, cursor: cursor{Tracked: map[string]tracked{}}}
	var err error
	if p.me, _, err = s.channel(ctx); err != nil {
		return err
	}
	if err := p.videos(ctx); err != nil {
		return err
	}
	if err := p.down(ctx); err != nil {
		return err
	}
	if p.capped {
		return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("there are more than %d pages of threads since %s", s.env.Config.PageCap, since.Format(time.RFC3339))}
	}
	return p.page(ctx, source.Page{CompleteSince: since, CompleteUntil: until})
}
