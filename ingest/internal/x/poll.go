package x

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
)

// cursor is how far the feeds have been read.
type cursor struct {
	Own      place `json:"own"`
	Mentions place `json:"mentions"`
	Search   place `json:"search"`
	// Conversations are those that the account took part in, and when it last did; Swept is when they were last read, Sweep the reading that is not done.
	Conversations map[string]time.Time `json:"conversations,omitempty"`
	Swept         time.Time            `json:"swept,omitzero"`
	Sweep         *sweep               `json:"sweep,omitempty"`
	// Complete is up to when everything has been read; at first where reading begins.
	Complete time.Time `json:"complete,omitzero"`
}

// sweep is a reading of all conversations that has begun: those that are left, and how far the query of the first of them has been read.
type sweep struct {
	Begun time.Time `json:"begun"`
	Left  []string  `json:"left,omitempty"`
	At    place     `json:"at"`
}

// place is how far one feed has been read. X gives the newest first, so a walk that is broken off has read the newest part: Since moves only when the last page
// is done, and Below says where to go on.
type place struct {
	Since string `json:"since,omitempty"`
	// Newest and Below are the newest id of a walk in progress and the oldest one that it has read, Read how many it has read.
	Newest string `json:"newest,omitempty"`
	Below  string `json:"below,omitempty"`
	Read   int    `json:"read,omitempty"`
	// Recent are the ids of the last seconds, which are read twice because ids are not strictly in the order in which they appear.
	Recent []string `json:"recent,omitempty"`
}

// overlap is how far a poll reads again behind the newest id.
const overlap = 5 * time.Second

// maxRecent bounds place.Recent.
const maxRecent = 2000

// maxConversations bounds the conversations that are read again; the oldest ones go.
const maxConversations = 500

type poll struct {
	*Source
	me     *User
	now    time.Time
	cursor cursor
	emit   source.Emit
	seen   map[string]bool // ids that this poll has emitted
	clamp  time.Time       // messages before that are out of reach
	capped string
}

// Poll reads the account's own posts, then its mentions, then the searches.
func (s *Source) Poll(ctx context.Context, raw json.RawMessage, emit source.Emit) error {
	p := &poll{Source: s, now: s.env.Now().UTC(), emit: emit, seen: map[string]bool{}}
	if err := p.load(raw); err != nil {
		return err
	}
	var fresh bool
	var err error
	if p.me, fresh, err = s.account(ctx); err != nil {
		return err
	}
	if fresh {
		if err := p.size(ctx); err != nil {
			return err
		}
	}
	if p.cursor.Complete.IsZero() {
		p.cursor.Complete = p.now.Add(-s.settings.Lookback.Std())
	}
	from := p.cursor.Complete
	for _, feed := range s.settings.Feeds {
		if err := p.feed(ctx, feed); err != nil {
			return err
		}
	}
	if p.capped != "" {
		return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("the %s have more than %d new pages; the next poll goes on with them", p.capped, s.env.Config.PageCap)}
	}
	var clamped error
	if p.clamp.After(from) {
		clamped = &source.Error{Gap: schemas.GapClamp, Err: fmt.Errorf("messages from %s to %s are out of X's reach", from.Format(time.RFC3339), p.clamp.Format(time.RFC3339))}
		from = p.clamp
	}
	p.cursor.Complete = p.now
	if clamped != nil {
		// The gap is told now; the stretch after it begins with the next poll.
		return errors.Join(p.page(ctx, source.Page{}), clamped)
	}
	return p.page(ctx, source.Page{CompleteSince: from, CompleteUntil: p.now})
}

func (p *poll) load(raw json.RawMessage) error {
	p.cursor = cursor{Conversations: map[string]time.Time{}}
	if raw == nil {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p.cursor); err != nil {
		return fmt.Errorf("reading the cursor of %s: %w", p.connector, err)
	}
	if p.cursor.Conversations == nil {
		p.cursor.Conversations = map[string]time.Time{}
	}
	return nil
}

// page emits a page with the cursor as it is.
func (p *poll) page(ctx context.Context, page source.Page) error {
	raw, err := json.Marshal(p.cursor)
	if err != nil {
		return fmt.Errorf("writing the cursor of %s: %w", p.connector, err)
	}
	page.Cursor = raw
	return p.emit(ctx, page)
}

func (p *poll) size(ctx context.Context) error {
	m := p.me.Metrics
	if m.Posts == nil {
		m.Posts = m.PostsNew
	}
	return p.page(ctx, source.Page{Size: &source.Size{Followers: m.Followers, Following: m.Following, Posts: m.Posts, ObservedAt: p.now}})
}

func (p *poll) feed(ctx context.Context, name string) error {
	if name == feedConversations {
		return p.conversations(ctx)
	}
	l := p.list(name)
	resumed := l.at.Below != ""
	if err := p.down(ctx, l); err != nil || p.capped != "" || !resumed {
		return err
	}
	// What came while the walk before was under way.
	return p.down(ctx, l)
}

// list is one list of posts that X pages, the newest first.
type list struct {
	name, path string
	at         *place
	page       string   // the parameter of the next page
	query      string   // of a search
	least      int      // posts of a page
	reach      int      // how many posts the list shows at most; 0 where time bounds it
	recentOnly bool     // it reaches searchReach back
	skipKnown  bool     // most of it comes from other lists
	recent     []string // place.Recent as the walk began
}

func (p *poll) list(feed string) list {
	timeline := func(name, kind string, reach int, at *place) list {
		return list{name: name, path: "/2/users/" + url.PathEscape(p.me.ID) + "/" + kind, page: "pagination_token", least: leastPerPage, reach: reach, at: at}
	}
	switch feed {
	case feedOwn:
		return timeline("own posts", "tweets", 3200, &p.cursor.Own)
	case feedMentions:
		return timeline("mentions", "mentions", 800, &p.cursor.Mentions)
	}
	query := p.settings.Query
	if query == "" {
		query = "to:" + p.handle() + " OR @" + p.handle()
	}
	return p.search(query, &p.cursor.Search)
}

func (p *poll) handle() string {
	if p.me.Username != "" {
		return p.me.Username
	}
	return strings.TrimPrefix(p.env.Account.Account.Handle, "@")
}

func (p *poll) search(query string, at *place) list {
	path := "/2/tweets/search/recent"
	if p.settings.SearchAll {
		path = "/2/tweets/search/all"
	}
	return list{name: "posts of the search", path: path, page: "next_token", least: leastPerSearch, query: query, recentOnly: !p.settings.SearchAll, at: at}
}

// down reads a list from the newest post, or from where the walk before was broken off, down to the place, which it moves.
func (p *poll) down(ctx context.Context, l list) error {
	walk, at := source.Walk{Cap: p.env.Config.PageCap}, l.at
	token := ""
	since, below := p.bounds(l), at.Below
	l.recent = slices.Clone(at.Recent)
	for {
		n := p.affordable(l.least)
		q := url.Values{"max_results": {strconv.Itoa(n)}, "since_id": {since}}
		for key, value := range map[string]string{"query": l.query, "until_id": below, l.page: token} {
			if value != "" {
				q.Set(key, value)
			}
		}
		a, err := p.read(ctx, l.path, q, n)
		if err != nil {
			return err
		}
		if len(a.Data) == 0 && a.Meta == (Meta{}) && len(a.Errors) > 0 {
			return &source.Error{Gap: schemas.GapOutage, Err: fmt.Errorf("reading the %s: %s", l.name, problems(a.Errors))}
		}
		ids := a.postIDs()
		fresh, more := walk.Page(ids)
		at.Read += len(ids)
		for _, id := range ids {
			if at.Newest == "" || less(at.Newest, id) {
				at.Newest = id
			}
			if at.Below == "" || less(id, at.Below) {
				at.Below = id
			}
		}
		token = a.Meta.NextToken
		// A page without a new id is the end, whatever the token says.
		last := token == "" || len(ids) > 0 && !slices.Contains(fresh, true)
		if last {
			if oldest, ok := TimeOf(at.Below); ok && l.reach > 0 && at.Read >= l.reach {
				p.clamp = later(p.clamp, oldest) // X shows no more, whatever there was
			}
			p.arrive(at)
		}
		if err := p.posts(ctx, a, l); err != nil {
			return err
		}
		if last {
			return nil
		}
		if !more && walk.Capped() {
			p.capped = l.name
			return nil
		}
	}
}

// bounds is the id down to which a list is read, a little below the place. The first time that is as far as Lookback reaches; ids tell times.
func (p *poll) bounds(l list) (since string) {
	if l.at.Since == "" {
		l.at.Since = idAt(p.now.Add(overlap - p.settings.Lookback.Std()))
	}
	written, known := TimeOf(l.at.Since)
	if !known {
		return l.at.Since
	}
	if reach := p.now.Add(5*time.Minute - searchReach); l.recentOnly && written.Add(-overlap).Before(reach) {
		p.clamp = later(p.clamp, reach)
		return idAt(reach)
	}
	return idAt(written.Add(-overlap))
}

// arrive ends a walk: what was its newest post is where the next one ends.
func (p *poll) arrive(at *place) {
	if at.Newest != "" {
		at.Since = at.Newest
	}
	at.Newest, at.Below, at.Read = "", "", 0
	edge, known := TimeOf(at.Since)
	at.Recent = slices.DeleteFunc(at.Recent, func(id string) bool {
		written, ok := TimeOf(id)
		return !known || !ok || written.Before(edge.Add(-overlap))
	})
}

// posts emits a page of posts.
func (p *poll) posts(ctx context.Context, a *Answer, l list) error {
	page, at := source.Page{}, l.at
	edge, _ := TimeOf(cmp.Or(at.Newest, at.Since))
	for _, raw := range a.Data {
		item, post, dropped := p.item(raw, &a.Includes, p.me, p.now)
		if dropped {
			page.Dropped = map[schemas.DropReason]int64{schemas.DropNotPublic: page.Dropped[schemas.DropNotPublic] + 1}
			continue
		}
		if post.ID != "" {
			if p.seen[post.ID] || slices.Contains(l.recent, post.ID) || slices.Contains(at.Recent, post.ID) {
				continue
			}
			p.seen[post.ID] = true
			if written, _ := TimeOf(post.ID); len(at.Recent) < maxRecent && !written.Before(edge.Add(-overlap)) {
				at.Recent = append(at.Recent, post.ID)
			}
		}
		if l.skipKnown && item.Message != nil && p.known(item.Message.MessageID) {
			continue
		}
		if post.AuthorID == p.me.ID && post.ConversationID != "" {
			p.cursor.Conversations[post.ConversationID] = p.now
		}
		page.Items = append(page.Items, item)
		if post.withheldHere() && item.Message != nil {
			page.Visible = append(page.Visible, source.Visibility{MessageID: item.Message.MessageID, State: schemas.VisibilityHidden, Reason: schemas.HiddenWithheld, At: p.now})
		}
	}
	p.forget()
	return p.page(ctx, page)
}

// forget drops conversations that nobody can still be read in.
func (p *poll) forget() {
	maps.DeleteFunc(p.cursor.Conversations, func(_ string, at time.Time) bool { return p.now.Sub(at) > searchReach })
	for len(p.cursor.Conversations) > maxConversations {
		oldest := ""
		for id, at := range p.cursor.Conversations {
			if oldest == "" || at.Before(p.cursor.Conversations[oldest]) {
				oldest = id
			}
		}
		delete(p.cursor.Conversations, oldest)
	}
}

// conversations reads, every now and then, the threads that the account took part in: replies there need not mention it. Several threads go into one query. A reading
// that is broken off goes on with the next poll.
func (p *poll) conversations(ctx context.Context) error {
	if p.cursor.Sweep == nil {
		if p.now.Sub(p.cursor.Swept) < p.settings.ConversationsEvery.Std() {
			return nil
		}
		p.cursor.Sweep = &sweep{Begun: p.now, Left: slices.Sorted(maps.Keys(p.cursor.Conversations))}
	}
	now := p.cursor.Sweep
	for len(now.Left) > 0 {
		query, rest := conversationQuery(now.Left, maxQuery)
		if now.At.Since == "" && !p.cursor.Swept.IsZero() {
			now.At.Since = idAt(p.cursor.Swept)
		}
		l := p.search(query, &now.At)
		l.skipKnown = true
		if err := p.down(ctx, l); err != nil || p.capped != "" {
			return err
		}
		now.Left, now.At = rest, place{}
	}
	p.cursor.Swept, p.cursor.Sweep = now.Begun, nil
	return nil
}

// known tells that a message was read before.
func (p *poll) known(messageID string) bool {
	if p.env.Known == nil {
		return false
	}
	_, known := p.env.Known(messageID)
	return known
}

// conversationQuery makes a query of as many threads as fit, and returns those that are left.
func conversationQuery(ids []string, most int) (query string, rest []string) {
	for n, id := range ids {
		next := "conversation_id:" + id
		if query != "" {
			next = query + " OR " + next
		}
		if len(next) > most && n > 0 {
			return query, ids[n:]
		}
		query = next
	}
	return query, nil
}

// Backfill reads a range again, without a cursor.
func (s *Source) Backfill(ctx context.Context, since, until time.Time, emit source.Emit) error {
	p := &poll{Source: s, now: s.env.Now().UTC(), seen: map[string]bool{}, cursor: cursor{Conversations: map[string]time.Time{}}}
	p.emit = func(ctx context.Context, page source.Page) error {
		page.Cursor = nil
		return emit(ctx, page)
	}
	var err error
	if p.me, _, err = s.account(ctx); err != nil {
		return err
	}
	for _, feed := range s.settings.Feeds {
		if feed == feedConversations {
			continue
		}
		if err := p.between(ctx, feed, since, until); err != nil {
			return err
		}
	}
	return p.page(ctx, source.Page{CompleteSince: since, CompleteUntil: until})
}

// between reads a feed from until down to since, by ids, which tell times.
func (p *poll) between(ctx context.Context, feed string, since, until time.Time) error {
	l := p.list(feed)
	*l.at = place{Since: idAt(since.Add(overlap)), Below: idAt(until)}
	p.clamp = time.Time{}
	if err := p.down(ctx, l); err != nil {
		return err
	}
	switch {
	case p.capped != "":
		return &source.Error{Gap: schemas.GapLimit, Err: fmt.Errorf("the %s have more than %d pages", p.capped, p.env.Config.PageCap)}
	case p.clamp.After(since):
		return &source.Error{Gap: schemas.GapClamp, Err: fmt.Errorf("the %s reach back to %s only", l.name, p.clamp.Format(time.RFC3339))}
	}
	return nil
}

// less orders ids, which are numbers.
func less(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

// idAt is the smallest id of a moment.
func idAt(t time.Time) string { return strconv.FormatInt(max(0, t.UnixMilli()-epochMs)<<22, 10) }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
