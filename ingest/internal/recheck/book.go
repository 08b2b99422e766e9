// Package recheck keeps which messages of a connector are read again, and when: an hour, a day and a week after they were written, then a hundredth of them
// a day, and more often while answers still come in below them. What a re-read has found becomes an edit, a deletion, or something hidden or shown again.
package recheck

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
)

const (
	// confirmAfter is how long a message has to be missing before that counts as deleted.
	confirmAfter = 5 * time.Minute
	// retryAfter is when a re-read that failed is tried again.
	retryAfter = 15 * time.Minute
	// hiddenEvery is how often a hidden message is looked at, to see it come back.
	hiddenEvery = 24 * time.Hour
	// sampleShare is one in how many old messages is read again a day.
	sampleShare = 100
	// busyFirst is when a message below which something new stood is read again; each time nothing new stands there it takes twice as long, until busyLast.
	busyFirst, busyLast = 10 * time.Minute, 6 * time.Hour
	// spareAge is up to what age a message is read again when there is room.
	spareAge = 24 * time.Hour
	// forgottenWithin is how long the file may go on holding a message that was forgotten, as a deleted one is.
	forgottenWithin = 6 * time.Hour
)

// steps are how long after it was written a message is read again.
func steps() []time.Duration { return []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} }

// Config configures a Book.
type Config struct {
	// Path of the file; empty keeps nothing on disk.
	Path string
	// Keep is how old a message becomes before it is forgotten, Limit how many are kept: beyond it the oldest are forgotten.
	Keep  time.Duration
	Limit int
	// Within is how long after one re-read every message is read again at the latest; 0 leaves it to the steps and the sample.
	Within time.Duration
	Now    func() time.Time
}

// Book holds a connector's known messages. Its file is a log of changes that is written anew when most of it is outdated, and soon after
// something in it was forgotten: a crash leaves at worst a last line
// that is cut, and that one belongs to a page that comes again. Safe for concurrent use.
type Book struct {
	cfg Config

	mu      sync.Mutex
	entries map[string]*entry
	authors map[string]int
	changed map[string]struct{} // since the last flush
	lines   int                 // in the file
	stamp   fs.FileInfo         // of the file as it was last read or written
	torn    bool                // its last line is cut
	stale   time.Time           // since when it holds lines of forgotten messages; zero for none
	dropped int64
}

// entry is one known message.
type entry struct {
	Known source.Known `json:"known"`
	Due   time.Time    `json:"due"`
	Read  time.Time    `json:"read,omitzero"` // last
	// MissingSince is when a re-read first found it gone.
	MissingSince time.Time `json:"missing_since,omitzero"`
	// Hidden tells that it was last seen hidden.
	Hidden bool `json:"hidden,omitempty"`
	// Busy is how soon it is read again because of what comes in below it; 0 for the ordinary steps.
	Busy time.Duration `json:"busy,omitempty"`
	kept bool          // the file has it, in this version or an older one
}

// line is one change in the file.
type line struct {
	Entry *entry `json:"entry,omitempty"`
	Gone  string `json:"gone,omitempty"`
}

// header begins the file.
type header struct {
	Kind    string `json:"kind"`
	Version int    `json:"version"`
}

const (
	fileKind    = "known messages"
	fileVersion = 1
)

// Open reads the book's file, or begins one.
func Open(cfg Config) (*Book, error) {
	b := &Book{cfg: cfg, entries: map[string]*entry{}, authors: map[string]int{}, changed: map[string]struct{}{}}
	if cfg.Path == "" {
		return b, nil
	}
	if err := b.load(); err != nil {
		return nil, err
	}
	return b, nil
}

// load reads the file into an empty book.
func (b *Book) load() error {
	text, err := os.ReadFile(b.cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		b.stamp, err = os.Stat(b.cfg.Path)
	}
	if err == nil {
		err = b.read(text)
	}
	if err != nil {
		return fmt.Errorf("reading the known messages %s: %w; restore the file, or remove it to see later changes of new messages only", b.cfg.Path, err)
	}
	return nil
}

func (b *Book) read(text []byte) error {
	whole := bytes.LastIndexByte(text, '\n') + 1
	b.torn = whole < len(text)
	lines := bytes.Split(text[:whole], []byte("\n"))
	for n, l := range lines[:len(lines)-1] {
		if n == 0 {
			var h header
			if err := json.Unmarshal(l, &h); err != nil || h != (header{fileKind, fileVersion}) {
				return fmt.Errorf("it does not begin as %s of version %d", fileKind, fileVersion)
			}
			continue
		}
		var change line
		if err := json.Unmarshal(l, &change); err != nil {
			return fmt.Errorf("line %d: %w", n+1, err)
		}
		b.lines++
		if change.Entry == nil {
			b.remove(change.Gone)
			b.outdate()
			continue
		}
		change.Entry.kept = true
		b.put(change.Entry)
	}
	clear(b.changed)
	return nil
}

// outdate notes that the file holds lines of a message that was forgotten.
func (b *Book) outdate() {
	if b.stale.IsZero() {
		b.stale = b.cfg.Now()
	}
}

// overdue tells that the file holds such lines for too long.
func (b *Book) overdue() bool {
	return !b.stale.IsZero() && b.cfg.Now().Sub(b.stale) >= forgottenWithin
}

func (b *Book) put(e *entry) {
	id := e.Known.Message.MessageID
	if old := b.entries[id]; old != nil {
		b.forgetAuthor(old.Known.Message.AuthorID)
		e.kept = e.kept || old.kept
	}
	b.entries[id] = e
	b.authors[e.Known.Message.AuthorID]++
	b.changed[id] = struct{}{}
}

func (b *Book) remove(id string) {
	e := b.entries[id]
	if e == nil {
		return
	}
	delete(b.entries, id)
	b.forgetAuthor(e.Known.Message.AuthorID)
	b.changed[id] = struct{}{}
}

func (b *Book) forgetAuthor(id string) {
	if b.authors[id]--; b.authors[id] <= 0 {
		delete(b.authors, id)
	}
}

// Message finds a known message.
func (b *Book) Message(id string) (source.Known, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entries[id]; e != nil {
		return e.Known, true
	}
	return source.Known{}, false
}

// Author tells whether a message of the author is known.
func (b *Book) Author(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.authors[id] > 0
}

// Len is how many messages are known, and Dropped how many were forgotten because there were too many.
func (b *Book) Len() (known int, dropped int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries), b.dropped
}

// Add takes a message that was read, for the first time or again; one that is deleted is forgotten.
func (b *Book) Add(m *schemas.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Now()
	if m.DeletedAt != nil {
		b.remove(m.MessageID)
		return
	}
	if now.Sub(m.CreatedAt) >= b.cfg.Keep {
		return
	}
	// Kept is what its deletion will have to say, and nothing that a person wrote.
	kept := *m
	kept.Text, kept.URL, kept.AuthorFollowers = "", "", nil
	e := &entry{Known: source.Known{Message: kept}, Read: now}
	if old := b.entries[m.MessageID]; old != nil {
		e.Known.RepliesRead, e.Busy, e.Hidden = old.Known.RepliesRead, old.Busy, old.Hidden
	}
	e.Due = b.next(e, now)
	b.put(e)
	b.trim(now)
}

// trim forgets what is too old, and the oldest where there are too many.
func (b *Book) trim(now time.Time) {
	if len(b.entries) <= b.cfg.Limit {
		return
	}
	all := slices.SortedFunc(maps.Values(b.entries), func(x, y *entry) int {
		return cmp.Or(x.Known.Message.CreatedAt.Compare(y.Known.Message.CreatedAt), byID(x, y))
	})
	over := len(all) - b.cfg.Limit*9/10 // a tenth at once, so that this is rare
	for n, e := range all {
		old := now.Sub(e.Known.Message.CreatedAt) >= b.cfg.Keep
		if !old && n >= over {
			break
		}
		if !old {
			b.dropped++
		}
		b.remove(e.Known.Message.MessageID)
	}
}

func byID(x, y *entry) int { return cmp.Compare(x.Known.Message.MessageID, y.Known.Message.MessageID) }

// ForgetAuthor forgets everything by an author of a platform, whose account is gone, and that author in the messages of others.
func (b *Book) ForgetAuthor(platform, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(Subject{Platform: platform, Author: id})
}

// next is when an entry is read again after now.
func (b *Book) next(e *entry, now time.Time) time.Time {
	due := scheduled(e.Known.Message.MessageID, e.Known.Message.CreatedAt, now)
	sooner := func(after time.Duration) {
		if at := now.Add(after); at.Before(due) {
			due = at
		}
	}
	if e.Busy > 0 {
		sooner(e.Busy)
	}
	if e.Hidden {
		sooner(hiddenEvery)
	}
	if b.cfg.Within > 0 {
		sooner(b.cfg.Within)
	}
	return due
}

// scheduled is the ordinary time of the next re-read: the next step after it was written, or the next day on which the message is of the sample.
func scheduled(id string, created, now time.Time) time.Time {
	for _, step := range steps() {
		if at := created.Add(step); at.After(now) {
			return at
		}
	}
	day := int64(now.Sub(created) / (24 * time.Hour))
	for n := int64(1); n < 10*sampleShare; n++ {
		if sampled(id, day+n) {
			return created.Add(time.Duration(day+n) * 24 * time.Hour)
		}
	}
	return created.Add(time.Duration(day+10*sampleShare) * 24 * time.Hour)
}

// sampled tells whether a message is of the sample on the day of its life. It is a function of both, so that a restart changes nothing.
func sampled(id string, day int64) bool {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", id, day)
	x := h.Sum64()
	x ^= x >> 32 // the low bits of FNV alone are no good sample
	return x%sampleShare == 0
}

// Due returns at most so many messages that are to be read again now, the most overdue first. With spare the rest is filled with messages of the last day, those
// first that were read longest ago.
func (b *Book) Due(most int, spare bool) []source.Known {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Now()
	var due []*entry
	for id, e := range b.entries {
		switch {
		case now.Sub(e.Known.Message.CreatedAt) >= b.cfg.Keep:
			b.remove(id)
		case !e.Due.After(now):
			due = append(due, e)
		}
	}
	slices.SortFunc(due, func(x, y *entry) int { return cmp.Or(x.Due.Compare(y.Due), byID(x, y)) })
	if spare && len(due) < most {
		var young []*entry
		for _, e := range b.entries {
			if e.Due.After(now) && now.Sub(e.Known.Message.CreatedAt) < spareAge && e.Read.Before(now) && e.MissingSince.IsZero() {
				young = append(young, e)
			}
		}
		slices.SortFunc(young, func(x, y *entry) int { return cmp.Or(x.Read.Compare(y.Read), byID(x, y)) })
		due = append(due, young...)
	}
	out := make([]source.Known, 0, min(most, len(due)))
	for _, e := range due[:min(most, len(due))] {
		out = append(out, e.Known)
	}
	return out
}

// Outcome is what a finding says to the rest of the world.
type Outcome struct {
	Items   []source.Item
	Visible []source.Visibility
}

// Apply notes a finding. The items are taken by Add once they are durable.
func (b *Book) Apply(id string, f source.Finding) Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Now()
	e := b.entries[id]
	if e == nil {
		return Outcome{}
	}
	b.changed[id] = struct{}{}
	if f.State == source.Unknown || f.State == "" {
		e.Due = now.Add(retryAfter)
		return Outcome{}
	}
	e.Read = now
	var out Outcome
	switch f.State {
	case source.Present:
		e.MissingSince = time.Time{}
		if e.Hidden {
			e.Hidden = false
			out.Visible = append(out.Visible, source.Visibility{MessageID: id, State: schemas.VisibilityShown, At: orNow(f.At, now)})
		}
		out.Items = append(out.Items, f.Earlier...)
		if f.Item != nil {
			out.Items = append(out.Items, *f.Item)
		}
		out.Items = append(out.Items, f.Late...)
		e.busy(len(f.Late) > 0 || f.RepliesRead > e.Known.RepliesRead)
		e.Known.RepliesRead = max(e.Known.RepliesRead, f.RepliesRead)
	case source.Hidden:
		e.MissingSince = time.Time{}
		if !e.Hidden {
			e.Hidden = true
			out.Visible = append(out.Visible, source.Visibility{MessageID: id, State: schemas.VisibilityHidden, Reason: f.Reason, At: orNow(f.At, now)})
		}
	case source.Missing:
		if e.MissingSince.IsZero() {
			e.MissingSince = now
		}
		if now.Sub(e.MissingSince) < confirmAfter {
			e.Due = e.MissingSince.Add(confirmAfter)
			return out
		}
		out.Items = append(out.Items, e.deletion(orNow(f.At, e.MissingSince), now))
	case source.Deleted:
		out.Items = append(out.Items, e.deletion(orNow(f.At, now), now))
	}
	e.Due = b.next(e, now)
	return out
}

// busy sets how soon the entry is read again.
func (e *entry) busy(news bool) {
	switch {
	case news:
		e.Busy = busyFirst
	case e.Busy > 0 && e.Busy < busyLast:
		e.Busy *= 2
	default:
		e.Busy = 0
	}
}

func (e *entry) deletion(at, now time.Time) source.Item {
	m := e.Known.Message
	m.Likes, m.Replies, m.Shares, m.Views = nil, nil, nil, nil
	m.DeletedAt, m.ObservedAt = &at, &now
	return source.Item{Message: &m}
}

func orNow(at, now time.Time) time.Time {
	if at.IsZero() {
		return now
	}
	return at
}

// Flush makes the changes durable.
func (b *Book) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cfg.Path == "" || len(b.changed) == 0 && !b.overdue() {
		return nil
	}
	return b.write(b.flush)
}

// written notes that the file is as the book.
func (b *Book) written() (err error) {
	for id := range b.changed {
		if e := b.entries[id]; e != nil {
			e.kept = true
		}
	}
	clear(b.changed)
	b.stamp, err = os.Stat(b.cfg.Path)
	return err
}

// merge takes in what another process, as a backfill, has written since: what that one has forgotten is forgotten here.
func (b *Book) merge() error {
	now, err := os.Stat(b.cfg.Path)
	if err != nil || b.stamp != nil && os.SameFile(now, b.stamp) && now.Size() == b.stamp.Size() {
		return nil // there is none, or it is as it was
	}
	mine := map[string]*entry{}
	for id := range b.changed {
		mine[id] = b.entries[id]
	}
	b.entries, b.authors, b.lines = map[string]*entry{}, map[string]int{}, 0
	if err := b.load(); err != nil {
		return err
	}
	for id, e := range mine {
		if e != nil && !(e.kept && b.entries[id] == nil) {
			b.put(e)
		} else {
			b.remove(id)
			b.changed[id] = struct{}{}
		}
	}
	return nil
}

func (b *Book) flush() error {
	if _, err := os.Stat(b.cfg.Path); errors.Is(err, fs.ErrNotExist) || b.torn || b.lines+len(b.changed) > 2*len(b.entries)+1000 || b.overdue() {
		return b.rewrite()
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	for id := range b.changed {
		change := line{Entry: b.entries[id]}
		if change.Entry == nil {
			change.Gone = id
			b.outdate()
		}
		if err := enc.Encode(change); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(b.cfg.Path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = f.Write(text.Bytes())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		// A line that is half there must not be followed by others.
		return errors.Join(err, os.Truncate(b.cfg.Path, info.Size()))
	}
	b.lines += len(b.changed)
	return nil
}

// rewrite writes the whole book to a file beside and renames it over the old one.
func (b *Book) rewrite() error {
	dir := filepath.Dir(b.cfg.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(b.cfg.Path)+".*") // mode 0600
	if err != nil {
		return err
	}
	w := bufio.NewWriter(tmp)
	enc := json.NewEncoder(w)
	err = enc.Encode(header{fileKind, fileVersion})
	for _, e := range b.entries {
		err = errors.Join(err, enc.Encode(line{Entry: e}))
	}
	err = errors.Join(err, w.Flush(), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), b.cfg.Path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	b.lines, b.torn, b.stale = len(b.entries), false, time.Time{}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
