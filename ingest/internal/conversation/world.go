// Package conversation is what is said around an official account, in no platform's form: servers that stand for platforms speak it in theirs.
package conversation

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Post is one public message of the world, in nobody's form.
type Post struct {
	// ID grows with the time of writing and is a number.
	ID string
	// Author is World.Official or a citizen, warga1 and so on.
	Author string
	// Parent and Root are ids; empty where the post answers none.
	Parent, Root string
	Text         string
	Created      time.Time
	Edited       *time.Time
}

// World is a conversation around one official account. A platform's fake server reads it under Lock and speaks it in the platform's form.
type World struct {
	sync.Mutex
	// Official is the handle of the official account.
	Official string
	// Posts are there, in the order of their ids; Deleted were, by id.
	Posts   []Post
	Deleted map[string]bool
	// Protected are authors who show their posts to their followers only, Gone those who deleted their account.
	Protected, Gone map[string]bool
	// Most is how many posts a page holds at most, however many are asked for; 0 gives all that are asked for.
	Most int
	// Overlap is by how many posts a page repeats the page before it.
	Overlap int
	// Shuffle, when set, reorders the posts within a page.
	Shuffle *rand.Rand

	next int
}

// Start is when the world begins.
var Start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// NewWorld returns an empty world.
func NewWorld() *World {
	return &World{Official: "layanan_kota", Deleted: map[string]bool{}, Protected: map[string]bool{}, Gone: map[string]bool{}, next: 1000}
}

// Write adds a post and returns its id. A citizen's post that answers none mentions the official account, and so does one that answers it.
func (w *World) Write(author, parent, text string) string {
	w.Lock()
	defer w.Unlock()
	w.next++
	p := Post{ID: fmt.Sprint(w.next), Author: author, Parent: parent, Text: text, Created: Start.Add(time.Duration(w.next-1000) * time.Second)}
	if parent != "" {
		p.Root = parent
		if above := w.find(parent); above != nil {
			p.Root = cmp.Or(above.Root, above.ID)
		}
	}
	w.Posts = append(w.Posts, p)
	return p.ID
}

// Converse writes n threads: a citizen asks, and every second one gets an answer.
func (w *World) Converse(n int) {
	for i := range n {
		ask := w.Write(fmt.Sprintf("warga%d", 1+i%7), "", fmt.Sprintf("kapan kantor buka? %d", i))
		if i%2 == 0 {
			w.Write(w.Official, ask, fmt.Sprintf("besok pukul delapan %d", i))
		}
	}
}

// Edit changes a post's text.
func (w *World) Edit(id, text string, at time.Time) {
	w.Lock()
	defer w.Unlock()
	p := w.find(id)
	p.Text, p.Edited = text, &at
}

// Delete removes a post.
func (w *World) Delete(id string) {
	w.Lock()
	defer w.Unlock()
	w.Posts = slices.DeleteFunc(w.Posts, func(p Post) bool { return p.ID == id })
	w.Deleted[id] = true
}

// Find returns a post, or nil. The caller holds the lock.
func (w *World) Find(id string) *Post { return w.find(id) }

func (w *World) find(id string) *Post {
	at := slices.IndexFunc(w.Posts, func(p Post) bool { return p.ID == id })
	if at < 0 {
		return nil
	}
	return &w.Posts[at]
}

// By returns the posts of which keep is true, the newest first: what a feed shows. The caller holds the lock.
func (w *World) By(keep func(Post) bool) []Post {
	var out []Post
	for i := len(w.Posts) - 1; i >= 0; i-- {
		if p := w.Posts[i]; keep(p) && !w.Protected[p.Author] && !w.Gone[p.Author] {
			out = append(out, p)
		}
	}
	return out
}

// Own are the official account's posts, Inbound everybody else's, both the newest first. The caller holds the lock.
func (w *World) Own() []Post { return w.By(func(p Post) bool { return p.Author == w.Official }) }

// Inbound is everybody else's.
func (w *World) Inbound() []Post { return w.By(func(p Post) bool { return p.Author != w.Official }) }

// Fit is how many posts a page holds for which so many are asked. The caller holds the lock.
func (w *World) Fit(limit int) int {
	if w.Most > 0 {
		return min(limit, w.Most)
	}
	return limit
}

// Cut returns the page of a feed that begins at an index, with the world's overlap and order, and where the next page begins; -1 after the last one.
// The caller holds the lock.
func (w *World) Cut(feed []Post, at, limit int) (page []Post, next int) {
	limit = w.Fit(limit)
	from := min(max(0, at), len(feed))
	if from > 0 {
		from = max(0, from-min(w.Overlap, limit-1))
	}
	end := min(len(feed), from+limit)
	page = slices.Clone(feed[from:end])
	if w.Shuffle != nil {
		w.Shuffle.Shuffle(len(page), func(i, j int) { page[i], page[j] = page[j], page[i] })
	}
	if end == len(feed) {
		return page, -1
	}
	return page, end
}

// Skip moves the time of the next post ahead to at; it never goes back.
func (w *World) Skip(at time.Time) {
	w.Lock()
	defer w.Unlock()
	w.next = max(w.next, 1000+int(at.Sub(Start)/time.Second))
}
