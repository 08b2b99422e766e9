package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/ingest/field"
	"github.com/dwiarah/dwiarah/ingest/internal/topic"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/freeport"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// fieldFaults are what the platforms do wrong meanwhile.
var fieldFaults = field.Faults{Broken: 0.05, Limited: 0.05, Cut: 0.02}

// fieldWorld is a world whose sources are the field's.
type fieldWorld struct {
	world
	field *field.Field
}

// newField opens a field and configures ingest for those of its sources that keep says, and for webhooks at an address; empty for none.
func newField(t *testing.T, o field.Options, webhook string, keep func(*ingest.Source) bool) fieldWorld {
	t.Helper()
	f, err := field.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	w := newWorld(t)
	w.must("keys", "init", "--out", w.path("identity.keys"))
	w.write("institutions.yaml", string(f.Institutions()))
	text, err := os.ReadFile(w.path("ingest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kept []ingest.Source
	for _, s := range f.Sources() {
		if keep(&s) { // which may change it
			kept = append(kept, s)
		}
	}
	sources, err := field.SourcesFile(kept, w.path("."))
	if err != nil {
		t.Fatal(err)
	}
	w.write("ingest.yaml", fmt.Sprintf("%swebhook: {listen: %q}\n%s", text, webhook, sources))
	return fieldWorld{w, f}
}

// run starts ingest, which is killed at a point; empty for none.
func (w fieldWorld) run(point string) (child *exec.Cmd, log *bytes.Buffer) {
	w.Helper()
	child, log = w.child(point, "--config", w.path("ingest.yaml"), "run"), &bytes.Buffer{}
	child.Stderr = log
	if err := child.Start(); err != nil {
		w.Fatal(err)
	}
	return child, log
}

// step lets something happen. Posts of the field are a second apart.
func (w fieldWorld) step() {
	w.field.Step()
	time.Sleep(time.Second)
}

// killed runs ingest with something happening every second, until it dies at a point.
func (w fieldWorld) killed(point string, meanwhile func()) {
	w.Helper()
	child, log := w.run(point)
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case err := <-ended:
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				w.Fatalf("it was not killed at %s: %v\n%s", point, err, log)
			}
			w.field.Died()
			return
		default:
			w.step()
			meanwhile()
		}
	}
}

// stop ends ingest as an operator does.
func (w fieldWorld) stop(child *exec.Cmd, log *bytes.Buffer) {
	w.Helper()
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		w.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		w.Errorf("after SIGTERM: %v\n%s", err, log)
	}
}

// await waits until nothing is missing.
func (w fieldWorld) await(log *bytes.Buffer, missing func() []string) {
	w.Helper()
	for tries := 0; ; tries++ {
		left := missing()
		if len(left) == 0 {
			return
		}
		if tries > 240 {
			w.Errorf("%d missing:\n%s\n%s", len(left), strings.Join(left[:min(20, len(left))], "\n"), log)
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// changed is when the message last changed, by which the sink takes the newest of its copies.
func changed(m *event.Message) int64 {
	return max(m.GetCreatedAtMs(), m.GetEditedAtMs(), m.GetObservedAtMs())
}

// known is the newest of each message in the raw topic, by platform and id; one that was deleted stays so.
func (w world) known() map[string]*event.Message {
	w.Helper()
	known := map[string]*event.Message{}
	err := topic.Read(w.Context(), w.conn, schemas.TopicRaw, topic.Options{FromStart: true}, func(r kafka.Record) error {
		m := &event.Message{}
		if err := event.Decode(r.Headers[0].Value, r.Value, m); err != nil {
			return err
		}
		old := known[string(r.Key)]
		if old == nil || m.DeletedAtMs != nil || old.DeletedAtMs == nil && changed(m) >= changed(old) {
			known[string(r.Key)] = m
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return known
}

// absent are the posts of the field that are not known as their platform tells of them, a sentence each.
func absent(known map[string]*event.Message, posts []field.Post) []string {
	var all []string
	for _, p := range posts {
		key := p.Platform + ":" + p.MessageID
		switch m := known[key]; {
		case m == nil && p.Deleted: // it went before anybody read it
		case m == nil:
			all = append(all, key+" did not come")
		case p.Deleted && p.Told && m.DeletedAtMs == nil:
			all = append(all, key+" is gone from its platform and not deleted")
		case !p.Deleted && m.DeletedAtMs != nil:
			all = append(all, key+" is deleted though it stands")
		case p.Edited && p.Told && (!strings.HasSuffix(m.Text, edition) || m.EditedAtMs == nil):
			all = append(all, key+" is there in an older version")
		}
	}
	return all
}

// said is a message without what is its platform's own: its ids are those of the conversation.
type said struct {
	Text, Parent, Root, Direction, Institution string
	Answers, Account, AnswersAccount           bool
	Created                                    time.Time
	Edited, Deleted                            bool
}

// edition is how the field marks a text that was edited.
const edition = " (diralat)"

// alike checks that every platform says the same of every post, and that it is what was said.
func (w fieldWorld) alike() {
	w.Helper()
	known, posts := w.known(), w.field.Posts()
	ids, official := map[string]string{}, map[string]bool{}
	for _, p := range posts {
		ids[p.Platform+":"+p.MessageID] = p.ID
		official[p.ID] = p.Official
	}
	compared := 0
	for _, p := range posts {
		m := known[p.Platform+":"+p.MessageID]
		if m == nil || p.Deleted {
			continue // absent looks at those
		}
		got := said{
			Text: strings.TrimPrefix(m.Text, "@layanan_kota "), Parent: ids[p.Platform+":"+m.ParentId], Root: ids[p.Platform+":"+m.RootId], Direction: m.Direction, Institution: m.Institution,
			Answers: m.Kind == schemas.KindReply || m.Kind == schemas.KindComment && m.ParentId != "", Account: m.Account != "", AnswersAccount: m.ParentIsAccount == event.Known_KNOWN_YES,
			Created: time.UnixMilli(m.CreatedAtMs).UTC(), Edited: m.EditedAtMs != nil, Deleted: m.DeletedAtMs != nil,
		}
		if parent := known[p.Platform+":"+m.ParentId]; m.ParentIsAccount == event.Known_KNOWN_UNSPECIFIED && parent != nil { // as METRICS.md has it
			got.AnswersAccount = parent.Direction == schemas.Outbound
		}
		want := said{
			Text: p.Text, Parent: p.Parent, Root: p.Root, Direction: schemas.Inbound, Institution: field.Institution, Answers: p.Parent != "", Account: true,
			AnswersAccount: official[p.Parent], Created: p.Created.UTC(), Edited: p.Edited,
		}
		if p.Official {
			want.Direction = schemas.Outbound
		}
		if p.Platform == schemas.PlatformYouTube && p.Parent != "" { // it has two levels
			want.Parent, want.AnswersAccount = p.Root, official[p.Root]
		}
		if !p.Told { // whether it was read before its edit or after it
			want.Text, want.Edited = strings.TrimSuffix(want.Text, edition), false
			got.Text, got.Edited = strings.TrimSuffix(got.Text, edition), false
		}
		if strings.Contains(got.Text, "[") { // what is redacted
			want.Text = got.Text
		}
		compared++
		if d := cmp.Diff(want, got); d != "" {
			w.Errorf("%s %s, post %s: %s", p.Platform, p.MessageID, p.ID, d)
		}
	}
	if compared < len(posts)/2 {
		w.Errorf("only %d of %d posts were compared", compared, len(posts))
	}
}

// only checks that nothing has come that is no post of the field, and no dead letter.
func (w fieldWorld) only() {
	w.Helper()
	there := map[string]bool{}
	for _, p := range w.field.Posts() {
		there[p.Platform+":"+p.MessageID] = true
	}
	for key := range w.known() {
		if !there[key] {
			w.Errorf("%s is no post of the field", key)
		}
	}
	if _, dead := w.messages(); len(dead) > 0 {
		w.Errorf("dead letters: %v", dead)
	}
}

// One conversation through every platform's interface, polled, and on Mastodon pushed, with a tenth of the calls going wrong, posts edited and deleted, all platforms away for
// a while, and ingest killed at every crash point of polling: every post arrives, none that there is not, the platforms say the same, and coverage is true to the outage. F2 and F15.
func TestKilledBeforeTheFieldLosesNothing(t *testing.T) {
	t.Parallel()
	w := newField(t, field.Options{Seed: 1, Backlog: 12, Faults: fieldFaults}, "", func(*ingest.Source) bool { return true })
	for _, point := range polledPoints() {
		w.killed(point, func() {})
	}
	all := len(w.field.Sources())
	begun := time.Now()
	child, log := w.run("")
	w.await(log, func() []string { return w.incomplete(all, begun) })
	from, until := w.outage(log, all)
	w.await(log, func() []string { return absent(w.known(), w.field.Posts()) })
	w.await(log, func() []string { return w.incomplete(all, until) })
	w.stop(child, log)
	w.only()
	w.alike()
	w.covered(from, until)
}

// One conversation that every platform pushes which can (a WebSocket's other way, server-sent events; X's filtered stream; Jetstream; Meta's webhooks, some of them twice and out
// of order), with a tenth of the calls going wrong, streams that break, and ingest killed at every crash point of webhooks and streams. What is pushed arrives without a poll,
// and the rest with the next one. F2 and F14.
func TestKilledBehindWebhooksAndStreamsLosesNothing(t *testing.T) {
	t.Parallel()
	listen, err := freeport.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	w := newField(t, field.Options{Seed: 2, Push: true, Faults: fieldFaults}, listen, func(s *ingest.Source) bool {
		switch s.Platform {
		case schemas.PlatformYouTube, schemas.PlatformTelegram: // they push nothing
		case schemas.PlatformMastodon: // edits in a broken stream are found by its re-reads
		case schemas.PlatformBluesky: // Jetstream stands for it
			return false
		default:
			s.Schedule = "@every 12h"
		}
		all++
		return true
	})
	w.field.Deliver("http://" + listen)
	child, log := w.run("")
	w.await(log, func() []string { return w.incomplete(all, time.Time{}) }) // from here on nobody begins to listen only afterwards
	w.stop(child, log)
	for _, point := range pushedPoints() {
		breaks := 0
		w.killed(point, func() {
			if breaks++; breaks%4 == 0 {
				w.field.BreakStreams()
			}
		})
	}
	begun := time.Now()
	child, log = w.run("")
	w.await(log, func() []string { return w.incomplete(all, begun) })
	from, until := w.outage(log, all-3) // Meta's are not polled meanwhile
	w.await(log, func() []string {
		posts := slices.DeleteFunc(w.field.Posts(), func(p field.Post) bool { return !p.Pushed && !(p.Deleted && p.Told) })
		left := absent(w.known(), posts)
		if n := w.field.Undelivered(); n > 0 {
			left = append(left, fmt.Sprintf("%d deliveries were not taken", n))
		}
		return left
	})
	w.stop(child, log)
	child, log = w.run("") // which polls each source once
	w.await(log, func() []string { return append(absent(w.known(), w.field.Posts()), w.incomplete(all, until)...) })
	w.stop(child, log)
	w.only()
	w.alike()
	w.covered(from, until)
}

// coverage hands the ledger's rows of coverage to do.
func (w world) coverage(do func(*event.Coverage)) {
	w.Helper()
	err := topic.Read(w.Context(), w.conn, schemas.TopicLedger, topic.Options{FromStart: true}, func(r kafka.Record) error {
		var l event.LedgerEntry
		if err := event.Decode(r.Headers[0].Value, r.Value, &l); err != nil {
			return err
		}
		if c := l.GetCoverage(); c != nil {
			do(c)
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

// incomplete says so where fewer connectors than want were complete up to a moment.
func (w world) incomplete(want int, upTo time.Time) []string {
	w.Helper()
	complete := map[string]bool{}
	w.coverage(func(c *event.Coverage) {
		if c.Status == schemas.CoverageComplete && c.UntilMs > upTo.UnixMilli() {
			complete[c.Connector] = true
		}
	})
	if len(complete) < want {
		return []string{fmt.Sprintf("only %v were complete up to %s", slices.Sorted(maps.Keys(complete)), upTo)}
	}
	return nil
}

// outage lets all platforms be away for some steps, until so many connectors have noticed; the conversation goes on.
func (w fieldWorld) outage(log *bytes.Buffer, notice int) (from, until time.Time) {
	w.Helper()
	w.away(true)
	from = time.Now()
	for range 4 {
		w.step()
	}
	w.await(log, func() []string {
		noticed := map[string]bool{}
		w.coverage(func(c *event.Coverage) {
			if c.Status == schemas.CoverageGap && c.RecordedAtMs > from.UnixMilli() {
				noticed[c.Connector] = true
			}
		})
		if len(noticed) < notice {
			return []string{fmt.Sprintf("only %v have noticed the outage", slices.Sorted(maps.Keys(noticed)))}
		}
		return nil
	})
	until = time.Now()
	w.away(false)
	for range 5 {
		w.step()
	}
	return from, until
}

func (w fieldWorld) away(out bool) {
	for _, s := range w.field.Sources() {
		w.field.Outage(s.Platform, out)
	}
}

// covered checks the ledger against an outage of all platforms that ingest, once it had been complete, lived through: while it lasted nobody was complete beyond its
// begin, each gap began exactly where its connector had been complete before, and afterwards everybody was complete beyond its end.
func (w world) covered(from, until time.Time) {
	w.Helper()
	rows := map[string][]*event.Coverage{}
	w.coverage(func(c *event.Coverage) { rows[c.Connector] = append(rows[c.Connector], c) })
	for connector, all := range rows {
		slices.SortStableFunc(all, func(a, b *event.Coverage) int { return int(a.RecordedAtMs - b.RecordedAtMs) })
		complete := int64(0)
		for _, c := range all {
			within := c.RecordedAtMs > from.UnixMilli() && c.RecordedAtMs < until.UnixMilli()
			switch {
			case c.UntilMs > c.RecordedAtMs || c.SinceMs > c.UntilMs:
				w.Errorf("%s: a row from the future, or backwards: %v", connector, c)
			case c.Status == schemas.CoverageComplete:
				if within && c.UntilMs > from.UnixMilli() {
					w.Errorf("%s says at %s that it is complete up to %s, though everybody was away from %s to %s", connector, time.UnixMilli(c.RecordedAtMs), time.UnixMilli(c.UntilMs), from, until)
				}
				complete = max(complete, c.UntilMs)
			case within && c.SinceMs != complete:
				w.Errorf("%s: a gap from %s, though it was complete up to %s", connector, time.UnixMilli(c.SinceMs), time.UnixMilli(complete))
			case within && c.Reason != schemas.GapOutage:
				w.Errorf("%s: the outage is called %s", connector, c.Reason)
			}
		}
		if complete < until.UnixMilli() {
			w.Errorf("%s is complete only up to %s, though everything came after %s", connector, time.UnixMilli(complete), until)
		}
	}
}
