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

	"github.com/dwiarah/dwiarah/ingest/field"
	"github.com/dwiarah/dwiarah/ingest/internal/topic"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// fieldFaults are what the platforms do wrong meanwhile.
var fieldFaults = field.Faults{Broken: 0.05, Limited: 0.05, Cut: 0.02}

// newField is a world whose sources are the field's.
func newField(t *testing.T) (world, *field.Field) {
	t.Helper()
	f, err := field.Open(field.Options{Seed: 1, Backlog: 12, Faults: fieldFaults})
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
	sources := "sources:\n"
	for _, s := range f.Sources() {
		sources += fmt.Sprintf("  - {platform: %s, account: %s, base_url: %s, allow_private: true, schedule: %q, token: \"file:%s\", settings: {", s.Platform, s.Account, s.BaseURL, s.Schedule,
			w.write("token-"+s.Platform, s.Token.Reveal()))
		for key, value := range s.Settings {
			sources += fmt.Sprintf("%s: %v", key, value)
		}
		sources += "}}\n"
	}
	w.write("ingest.yaml", string(text)+sources)
	return w, f
}

// known is the newest of each message in the raw topic, by platform and id.
func (w world) known() map[string]*event.Message {
	w.Helper()
	known := map[string]*event.Message{}
	err := topic.Read(w.Context(), w.conn, schemas.TopicRaw, topic.Options{FromStart: true}, func(r kafka.Record) error {
		m := &event.Message{}
		known[string(r.Key)] = m
		return event.Decode(r.Headers[0].Value, r.Value, m)
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
		case p.Edited && p.Told && !strings.Contains(m.Text, "(diralat)"):
			all = append(all, key+" is there in an older version")
		}
	}
	return all
}

// One conversation through every platform's interface, pushed and polled, with a tenth of the calls going wrong, posts edited and deleted, a platform away for a while, and
// ingest killed at every crash point of its live path: every post arrives, none that there is not, and the outage is said.
func TestKilledBeforeTheFieldLosesNothing(t *testing.T) {
	t.Parallel()
	w, f := newField(t)
	const away = schemas.PlatformBluesky
	step := func() {
		f.Step()
		time.Sleep(time.Second) // posts of the field are a second apart
	}
	run := func(point string) (child *exec.Cmd, log *bytes.Buffer) {
		t.Helper()
		child, log = w.child(point, "--config", w.path("ingest.yaml"), "run"), &bytes.Buffer{}
		child.Stderr = log
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		return child, log
	}
	for _, point := range []string{"ingest.poll.after_ack:2", "ingest.poll.after_position:5", "producer.after_ack:4", "ingest.poll.after_ack:9"} {
		child, log := run(point)
		ended := make(chan error, 1)
		go func() { ended <- child.Wait() }()
		var err error
		for running := true; running; {
			select {
			case err = <-ended:
				running = false
			default:
				step()
			}
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("it was not killed at %s: %v\n%s", point, err, log)
		}
	}
	child, log := run("")
	f.Outage(away, true)
	from := time.Now()
	for time.Since(from) < 6*time.Second {
		step()
	}
	until := time.Now()
	f.Outage(away, false)
	for range 5 {
		step()
	}
	var missing []string
	for tries := 0; ; tries++ {
		if missing = absent(w.known(), f.Posts()); len(missing) == 0 {
			break
		}
		if tries > 240 {
			t.Errorf("%d of %d posts:\n%s\n%s", len(missing), len(f.Posts()), strings.Join(missing[:min(20, len(missing))], "\n"), log)
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, log)
	}
	there := map[string]bool{}
	for _, p := range f.Posts() {
		there[p.Platform+":"+p.MessageID] = true
	}
	for key := range w.known() {
		if !there[key] {
			t.Errorf("%s is no post of the field", key)
		}
	}
	if _, dead := w.messages(); len(dead) > 0 {
		t.Errorf("%d dead letters", len(dead))
	}
	w.said(f, away, from, until)
}

// said checks the ledger: every connector is complete up to the end, and the outage is a gap.
func (w world) said(f *field.Field, away string, from, until time.Time) {
	w.Helper()
	complete, gap := map[string]int64{}, false
	const period = 4 * time.Second // a poll and its repeats
	err := topic.Read(w.Context(), w.conn, schemas.TopicLedger, topic.Options{FromStart: true}, func(r kafka.Record) error {
		var l event.LedgerEntry
		if err := event.Decode(r.Headers[0].Value, r.Value, &l); err != nil {
			return err
		}
		c := l.GetCoverage()
		if c == nil {
			return nil
		}
		platform, _, _ := strings.Cut(c.Connector, ":")
		if c.Status == schemas.CoverageComplete {
			complete[platform] = max(complete[platform], c.UntilMs)
		} else if platform == away && c.Reason == schemas.GapOutage && c.SinceMs <= from.Add(period).UnixMilli() && c.UntilMs >= from.UnixMilli() && c.UntilMs <= until.Add(period).UnixMilli() {
			gap = true
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	if !gap {
		w.Errorf("the outage of %s is no gap", away)
	}
	if len(complete) != len(f.Sources()) {
		w.Errorf("complete: %v", slices.Sorted(maps.Keys(complete)))
	}
	for platform, end := range complete {
		if end < until.UnixMilli() {
			w.Errorf("%s is complete only up to %s, though everything came after %s", platform, time.UnixMilli(end), until)
		}
	}
}
