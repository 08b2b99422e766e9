package recheck_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/ingest/internal/recheck"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
)

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

type shelf struct {
	*testing.T
	now  time.Time
	path string
	*recheck.Book
}

func open(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{T: t, now: start, path: filepath.Join(t.TempDir(), "known.log")}
	s.open()
	return s
}

func (s *shelf) open() {
	s.Helper()
	b, err := recheck.Open(recheck.Config{Path: s.path, Keep: 90 * 24 * time.Hour, Limit: 1000, Now: func() time.Time { return s.now }})
	if err != nil {
		s.Fatal(err)
	}
	s.Book = b
}

func message(id string, at time.Time) *schemas.Message {
	return &schemas.Message{Platform: "web", MessageID: id, AuthorID: "a" + id, Kind: "mention", CreatedAt: at, Text: "rahasia", URL: "https://kota.example/rahasia"}
}

// TestSteps: a message is read again an hour, a day and a week after it was written, and then a hundredth of all a day.
func TestSteps(t *testing.T) {
	s := open(t)
	const n = 500
	for i := range n {
		s.Add(message(fmt.Sprint(i), start))
	}
	var at []string
	sample := 0
	for hour := 1; hour <= 80*24; hour++ {
		s.now = start.Add(time.Duration(hour) * time.Hour)
		due := s.Due(n, false)
		for _, k := range due {
			s.Apply(k.Message.MessageID, source.Finding{State: source.Present})
		}
		switch {
		case len(due) == n:
			at = append(at, s.now.Sub(start).String())
		case hour <= 7*24 && len(due) > 0:
			t.Errorf("%d due after %d hours", len(due), hour)
		default:
			sample += len(due)
		}
	}
	if got := strings.Join(at, " "); got != "1h0m0s 24h0m0s 168h0m0s" {
		t.Errorf("steps %s", got)
	}
	if days := 73.0; float64(sample) < 0.7*n*days/100 || float64(sample) > 1.3*n*days/100 {
		t.Errorf("%d re-reads of the sample in %v days, want about %v", sample, days, n*days/100)
	}
}

// Where a platform's terms want it, no message stays unread for longer, whatever the sample says.
func TestWithin(t *testing.T) {
	const within = 25 * 24 * time.Hour
	now := start
	b, err := recheck.Open(recheck.Config{Keep: 90 * 24 * time.Hour, Limit: 1000, Within: within, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	const n = 50
	read := map[string]time.Time{}
	for i := range n {
		b.Add(message(fmt.Sprint(i), start))
		read[fmt.Sprint(i)] = start
	}
	for hour := 1; hour < 89*24; hour++ {
		now = start.Add(time.Duration(hour) * time.Hour)
		for _, k := range b.Due(n, false) {
			b.Apply(k.Message.MessageID, source.Finding{State: source.Present})
			read[k.Message.MessageID] = now
		}
		for id, at := range read {
			if now.Sub(at) > within {
				t.Fatalf("message %s was last read %s ago", id, now.Sub(at))
			}
		}
	}
}

func TestFindings(t *testing.T) {
	s := open(t)
	s.Add(message("1", start))
	step := func(after time.Duration, f source.Finding) string {
		t.Helper()
		s.now = s.now.Add(after)
		out := s.Apply("1", f)
		var said []string
		for _, i := range out.Items {
			m := i.Message
			if m.DeletedAt != nil {
				said = append(said, "deleted "+m.DeletedAt.Sub(start).String())
				if m.Text != "" || m.URL != "" || m.AuthorID != "a1" {
					t.Errorf("deletion %+v", m)
				}
				continue
			}
			said = append(said, "message "+m.MessageID)
		}
		for _, v := range out.Visible {
			said = append(said, v.State+" "+v.Reason)
		}
		return strings.Join(said, ", ")
	}
	f := func(after time.Duration, find source.Finding, want string) {
		t.Helper()
		if got := step(after, find); got != want {
			t.Errorf("after %s, %s: %q, want %q", after, find.State, got, want)
		}
	}
	f(time.Hour, source.Finding{State: source.Unknown}, "")
	f(time.Minute, source.Finding{State: source.Hidden, Reason: schemas.HiddenSuspended}, "hidden suspended")
	f(time.Minute, source.Finding{State: source.Hidden, Reason: schemas.HiddenSuspended}, "")
	f(time.Minute, source.Finding{State: source.Unknown}, "")
	f(time.Minute, source.Finding{State: source.Present}, "shown ")
	f(time.Minute, source.Finding{State: source.Missing}, "")
	f(time.Minute, source.Finding{State: source.Missing}, "")
	f(time.Minute, source.Finding{State: source.Present}, "")
	f(time.Minute, source.Finding{State: source.Missing}, "")
	f(4*time.Minute, source.Finding{State: source.Unknown}, "")
	f(time.Minute, source.Finding{State: source.Missing}, "deleted 1h8m0s")
	if k, found := s.Message("1"); !found || k.Message.Text != "" || k.Message.URL != "" {
		t.Errorf("kept: %+v", k)
	}
	// Once the deletion is durable it is forgotten.
	gone := message("1", start)
	gone.DeletedAt = &s.now
	s.Add(gone)
	if _, found := s.Message("1"); found || s.Author("a1") {
		t.Error("a deleted message is still known")
	}
}

// TestBusy: while something comes in below a message it is read again soon, and then more and more rarely.
func TestBusy(t *testing.T) {
	s := open(t)
	s.Add(message("1", start))
	s.now = start.Add(8 * 24 * time.Hour)
	s.Apply("1", source.Finding{State: source.Present, RepliesRead: 3})
	var waits []string
	for range 8 {
		at := s.now
		for len(s.Due(1, false)) == 0 {
			s.now = s.now.Add(time.Minute)
			if s.now.Sub(at) > 12*time.Hour {
				break
			}
		}
		waits = append(waits, s.now.Sub(at).String())
		s.Apply("1", source.Finding{State: source.Present, RepliesRead: 3})
	}
	if got := strings.Join(waits, " "); got != "10m0s 20m0s 40m0s 1h20m0s 2h40m0s 5h20m0s 10h40m0s 12h1m0s" {
		t.Errorf("waits %s", got)
	}
}

// TestReopened: whatever happens, a book that is opened again holds what was flushed, also when the file was cut in its last line.
func TestReopened(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := open(t)
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			s.now = s.now.Add(time.Duration(rapid.IntRange(0, 600).Draw(rt, "minutes")) * time.Minute)
			id := fmt.Sprint(rapid.IntRange(0, 8).Draw(rt, "id"))
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0, 1:
				s.Add(message(id, s.now))
			case 2:
				s.Apply(id, source.Finding{State: rapid.SampledFrom([]source.State{source.Present, source.Missing, source.Hidden, source.Unknown}).Draw(rt, "state")})
			case 3:
				s.ForgetAuthor("web", "a"+id)
			}
		}
		if err := s.Flush(); err != nil {
			rt.Fatal(err)
		}
		s.now = s.now.Add(100 * time.Hour)
		due := func() (ids []string) {
			for _, k := range s.Due(100, true) {
				ids = append(ids, k.Message.MessageID+" "+k.Message.CreatedAt.String())
			}
			return ids
		}
		want := fmt.Sprint(due())
		if _, err := os.Stat(s.path); err == nil && rapid.Bool().Draw(rt, "cut") {
			f, err := os.OpenFile(s.path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				rt.Fatal(err)
			}
			fmt.Fprint(f, `{"entry":{"known":{"Mess`)
			f.Close()
		}
		before, _ := s.Len()
		s.open()
		if after, _ := s.Len(); before != after {
			rt.Fatalf("%d known, before %d", after, before)
		}
		if got := fmt.Sprint(due()); got != want {
			rt.Fatalf("due\n got %s\nwant %s", got, want)
		}
		s.Add(message("new", s.now))
		if err := s.Flush(); err != nil {
			rt.Fatal(err)
		}
		s.open()
		if _, found := s.Message("new"); !found {
			rt.Fatal("a change after the cut is lost")
		}
	})
}

// TestTwoProcesses: what a backfill writes beside the running ingest is not lost, whoever writes the file anew.
func TestTwoProcesses(t *testing.T) {
	s := open(t)
	running := s.Book
	add := func(b *recheck.Book, from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			b.Add(message(fmt.Sprint(i), s.now))
		}
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	add(running, 0, 10)
	s.open()
	add(s.Book, 10, 20)
	add(running, 20, 30)
	for range 200 { // until it writes the file anew
		add(running, 0, 10)
	}
	add(s.Book, 30, 40)
	s.open()
	if n, _ := s.Len(); n != 40 {
		t.Errorf("%d known, want 40", n)
	}
}

func TestBoundsAndBrokenFile(t *testing.T) {
	s := open(t)
	for i := range 5000 {
		s.Add(message(fmt.Sprint(i), start.Add(time.Duration(i)*time.Second)))
	}
	known, dropped := s.Len()
	if known > 1000 || int64(known)+dropped != 5000 {
		t.Errorf("%d known, %d dropped", known, dropped)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "rahasia") {
		t.Error("the file holds what a person wrote")
	}
	if err := os.WriteFile(s.path, append([]byte("{}\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := recheck.Open(recheck.Config{Path: s.path, Keep: time.Hour, Limit: 10, Now: time.Now}); err == nil || !strings.Contains(err.Error(), s.path) {
		t.Errorf("a broken file: %v", err)
	}
}

// A message that was deleted, and whoever wrote it, leave the file within hours, though it is a log and little is outdated in it; a restart in between changes nothing.
func TestWhatIsForgottenLeavesTheFile(t *testing.T) {
	s := open(t)
	for i := range 100 {
		s.Add(message(fmt.Sprintf("message%03d", i), start))
	}
	flush := func(after time.Duration) string {
		t.Helper()
		s.now = start.Add(after)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	flush(0)
	gone := message("message007", start)
	gone.DeletedAt = &start
	s.Add(gone)
	if text := flush(time.Hour); !strings.Contains(text, "amessage007") {
		t.Fatal("the file was written anew for one message")
	}
	s.open()
	flush(2 * time.Hour)
	if text := flush(9 * time.Hour); strings.Contains(text, "message007") || !strings.Contains(text, "amessage008") {
		t.Error("hours after it was deleted the message is in the file, or others are not")
	}
	s.open()
	if known, _ := s.Len(); known != 99 {
		t.Errorf("%d messages are known, want 99", known)
	}
}

// A subject's request takes what an author wrote, and the author in what others answered, out of every file at once; a process that has the book open and has changed such a
// message meanwhile does not bring it back.
func TestASubjectLeavesEveryFile(t *testing.T) {
	s := open(t)
	answer := message("answer", start)
	answer.ParentAuthorID, answer.Mentions = "@Awarga", []string{"awarga", "aother"}
	elsewhere := message("elsewhere", start)
	elsewhere.Platform, elsewhere.AuthorID = "x", "awarga"
	for _, m := range []*schemas.Message{message("warga", start), message("other", start), answer, elsewhere} {
		s.Add(m)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(s.path)
	if err := os.Rename(s.path, filepath.Join(dir, "a.jsonl")); err != nil {
		t.Fatal(err)
	}
	s.path = filepath.Join(dir, "a.jsonl")
	s.open()
	running := s.Book
	running.Apply("warga", source.Finding{State: source.Present, RepliesRead: 3})
	forget := func(subject recheck.Subject, want recheck.Forgotten) string {
		t.Helper()
		got, err := recheck.Forget(dir, subject, func() time.Time { return s.now })
		if err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		text, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	gone := func(text string) bool { // but for the author of that name elsewhere
		return strings.Count(strings.ToLower(text), "awarga") == 1 && !strings.Contains(text, `"message_id":"warga"`)
	}
	if text := forget(recheck.Subject{Platform: "web", Author: "AWARGA"}, recheck.Forgotten{Messages: 1, Named: 1}); !gone(text) || !strings.Contains(text, `"mentions":["aother"]`) {
		t.Errorf("the author is still in the file: %s", text)
	}
	running.Add(message("new", start))
	if err := running.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, known := running.Message("warga"); known {
		t.Error("the running process still knows the message")
	}
	if text := forget(recheck.Subject{Platform: "web", MessageID: "other"}, recheck.Forgotten{Messages: 1}); !gone(text) || strings.Contains(text, `"message_id":"other"`) || !strings.Contains(text, `"message_id":"new"`) {
		t.Errorf("the file: %s", text)
	}
	forget(recheck.Subject{Platform: "web", Author: "nobody"}, recheck.Forgotten{})
}
