package ingest_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/ingest/internal/mastodon/mastodontest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// live is ingest before a server of Mastodon's kind.
type live struct {
	*testing.T
	server *mastodontest.Server
	conn   kafka.Conn
	cfg    ingest.Config
	tel    *telemetry.Telemetry
}

func newLive(t *testing.T) *live {
	t.Helper()
	l := &live{T: t, server: mastodontest.New(), conn: start(t)}
	t.Cleanup(l.server.Close)
	l.cfg = ingest.DefaultConfig()
	l.cfg.Kafka.Brokers = l.conn.Brokers
	l.cfg.Institutions = write(t, "institutions.yaml", strings.ReplaceAll(twoCities, "mastodon: [{handle: kota_a}]", "mastodon: [{handle: layanan_kota}]"))
	l.cfg.Keys = config.NewSecret(ringText)
	l.cfg.StateDir = t.TempDir()
	l.cfg.Telemetry.Listen, l.cfg.Telemetry.Log.Level = "", "error"
	l.cfg.Sources = []ingest.Source{{
		Platform: "mastodon", Account: "layanan_kota", BaseURL: l.server.URL, Token: config.NewSecret(mastodontest.Token), AllowPrivate: true, Schedule: "@every 1s",
		Settings: config.Group{"streaming": "off"},
	}}
	return l
}

// polls runs ingest until so many polls have ended.
func (l *live) polls(n int) *ingest.Ingest {
	l.Helper()
	in := l.build()
	ctx, stop := context.WithCancel(l.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	for ended := 0.0; ended < float64(n); time.Sleep(20 * time.Millisecond) {
		ended = l.metric("dwiarah_ingest_polls_total", "")
		select {
		case err := <-done:
			l.Fatalf("ingest ended: %v", err)
		default:
		}
	}
	stop()
	if err := <-done; err != nil {
		l.Fatal(err)
	}
	return in
}

func (l *live) build() *ingest.Ingest {
	l.Helper()
	var err error
	if l.tel, err = telemetry.New("ingest", l.cfg.Telemetry); err != nil {
		l.Fatal(err)
	}
	in, err := ingest.New(l.cfg, l.tel)
	if err != nil {
		l.Fatal(err)
	}
	return in
}

// metric sums a metric over the series whose labels hold the text.
func (l *live) metric(name, label string) float64 {
	l.Helper()
	families, err := l.tel.Registry.Gather()
	if err != nil {
		l.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || strings.Contains(fmt.Sprint(m.GetLabel()), label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func (l *live) connector() string {
	return "mastodon:layanan_kota:" + strings.TrimPrefix(l.server.URL, "http://")
}

var written = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func TestRunPollsProducesAndRemembers(t *testing.T) {
	l := newLive(t)
	ask := l.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: written, Mentions: []string{mastodontest.Me}, Content: "<p>" + l.server.Mention(mastodontest.Me) + " wa saya 081234567890</p>"})
	l.server.Write(mastodontest.Status{AuthorID: mastodontest.Me, CreatedAt: written.Add(time.Minute), ReplyTo: ask, Mentions: []string{"11"}, Content: l.server.Mention("11") + " baik"})
	l.server.Write(mastodontest.Status{AuthorID: "12", CreatedAt: written, Mentions: []string{mastodontest.Me}, Visibility: "private", Content: "rahasia"})
	in := l.polls(1)

	all := readAll(t, l.conn)
	host := strings.TrimPrefix(l.server.URL, "http://")
	asked, answered := all.messages["kota-a/mastodon/"+host+"/"+ask], all.messages["kota-a/mastodon/"+host+"/102"]
	if len(all.messages) != 2 {
		for id, m := range all.messages {
			t.Log(id, m)
		}
		t.Fatalf("%d messages", len(all.messages))
	}
	for _, m := range all.messages {
		if m.Direction == schemas.Outbound {
			answered = m
		}
	}
	if asked.Text != "@layanan_kota wa saya [PHONE]" || asked.Direction != "inbound" || asked.Account != "layanan_kota" || !asked.MentionsAccount || !asked.FromAccountStream || asked.Url != "" ||
		asked.Connector != l.connector() || !cmp.Equal(asked.Redacted, []string{"phone"}) {
		t.Errorf("asked: %v", asked)
	}
	if answered.Text != "[USER] baik" || answered.Account != "layanan_kota" || answered.ParentAuthorKey != asked.AuthorKey || len(answered.MentionKeys) != 1 || answered.MentionKeys[0] != asked.AuthorKey ||
		answered.ParentIsAccount != event.Known_KNOWN_NO || answered.RootId != asked.MessageId || answered.Url == "" || answered.AuthorKey != ring(t).AuthorKey("mastodon", "layanan_kota") {
		t.Errorf("answered: %v", answered)
	}
	last := all.coverage[len(all.coverage)-1]
	if last.Connector != l.connector() || last.Institution != "kota-a" || last.SinceMs != written.UnixMilli() || last.Status != "complete" || time.Since(time.UnixMilli(last.UntilMs)) > time.Minute {
		t.Errorf("coverage: %v", all.coverage)
	}
	if len(all.sizes) == 0 || all.sizes[0].GetFollowers() != 1000 || all.sizes[0].Account != "layanan_kota" {
		t.Errorf("sizes: %v", all.sizes)
	}
	if l.metric("dwiarah_ingest_messages_read_total", "") != 3 || l.metric("dwiarah_ingest_messages_dropped_total", "not_public") != 1 || l.metric("dwiarah_ingest_messages_produced_total", "") != 2 {
		t.Error("the counters do not add up")
	}
	if n, err := testutil.GatherAndCount(l.tel.Registry, "dwiarah_ingest_messages_dead_lettered_total"); err != nil || n != len(schemas.DeadReasons()) {
		t.Errorf("%d counters of dead letters, %v", n, err)
	}
	states, err := in.Sources()
	if err != nil || len(states) != 1 || states[0].Error != "" || !states[0].Since.Equal(written) || states[0].PolledAt.IsZero() {
		t.Errorf("states %+v, %v", states, err)
	}

	// A second life goes on from the cursor: nothing twice, the same stretch.
	l.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: written.Add(time.Hour), ReplyTo: ask, Mentions: []string{mastodontest.Me}, Content: "terima kasih"})
	l.polls(1)
	again := readAll(t, l.conn)
	if again.records != 3 {
		t.Errorf("%d records after the second life", again.records)
	}
	if last := again.coverage[len(again.coverage)-1]; last.SinceMs != written.UnixMilli() {
		t.Errorf("the stretch began anew: %v", last)
	}
}

func TestAnOutageIsAGapAndNoSilence(t *testing.T) {
	l := newLive(t)
	l.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: written, Mentions: []string{mastodontest.Me}, Content: "satu"})
	l.polls(1)
	before := readAll(t, l.conn)
	complete := before.coverage[len(before.coverage)-1]

	l.server.Lock()
	l.server.Fault = func(w http.ResponseWriter, _ *http.Request) bool {
		mastodontest.Answer(w, http.StatusUnauthorized, map[string]string{"error": "x"})
		return true
	}
	l.server.Unlock()
	in := l.polls(1)
	all := readAll(t, l.conn)
	var gap *event.Coverage
	for _, c := range all.coverage {
		if c.Status == schemas.CoverageGap {
			gap = c
		}
	}
	if gap == nil || gap.Reason != schemas.GapAuth || gap.SinceMs != complete.UntilMs || gap.UntilMs < gap.SinceMs {
		t.Fatalf("coverage: %v", all.coverage)
	}
	states, err := in.Sources()
	if err != nil || !strings.Contains(states[0].Error, "status 401") || strings.Contains(states[0].Error, mastodontest.Token) || states[0].Until.UnixMilli() != complete.UntilMs {
		t.Errorf("states %+v, %v", states, err)
	}
	if l.metric("dwiarah_ingest_gaps_total", schemas.GapAuth) < 1 {
		t.Error("the gap was not counted")
	}
	results := in.Check(t.Context())
	if len(results) != 1 || results[0].Err == nil {
		t.Errorf("check: %+v", results)
	}

	l.server.Lock()
	l.server.Fault = nil
	l.server.Unlock()
	l.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: written, Mentions: []string{mastodontest.Me}, Content: "dua"})
	l.polls(1)
	all = readAll(t, l.conn)
	if last := all.coverage[len(all.coverage)-1]; len(all.messages) != 2 || last.Status != schemas.CoverageComplete || last.SinceMs != complete.SinceMs || last.UntilMs <= gap.SinceMs {
		t.Errorf("%d messages, coverage %v", len(all.messages), all.coverage)
	}
}

func TestABrokenPositionEndsLoudly(t *testing.T) {
	l := newLive(t)
	l.polls(1)
	files, err := filepath.Glob(filepath.Join(l.cfg.StateDir, "cursors", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	for name, text := range map[string]string{
		"cut":           `{"kind": "source position", "ver`,
		"of the future": `{"kind": "source position", "version": 99, "data": {}}`,
		"another kind":  `{"kind": "import position", "version": 1, "data": {}}`,
	} {
		if err := os.WriteFile(files[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		in := l.build()
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		if err := in.Run(ctx); err == nil || !strings.Contains(err.Error(), files[0]) {
			t.Errorf("%s: error %v", name, err)
		}
		stop()
	}
}

func TestBackfillOfASource(t *testing.T) {
	l := newLive(t)
	for n := range 5 {
		l.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: written.Add(time.Duration(n) * time.Hour), Mentions: []string{mastodontest.Me}, Content: "halo"})
	}
	in := l.build()
	defer in.Close()
	counts, err := in.Backfill(t.Context(), l.connector(), written.Add(time.Hour), written.Add(3*time.Hour))
	if err != nil || counts.Produced != 2 || !counts.Balanced() {
		t.Errorf("%v %v", counts, err)
	}
	all := readAll(t, l.conn)
	if len(all.messages) != 2 || len(all.coverage) != 1 || all.coverage[0].SinceMs != written.Add(time.Hour).UnixMilli() || all.coverage[0].UntilMs != written.Add(3*time.Hour).UnixMilli() {
		t.Errorf("%d messages, coverage %v", len(all.messages), all.coverage)
	}
	if left, err := os.ReadDir(l.cfg.StateDir); err != nil || len(left) != 0 {
		t.Errorf("a backfill moved the cursor: %v %v", left, err)
	}
}

func TestAPollThatRunsIsNotStartedAgain(t *testing.T) {
	l := newLive(t)
	var calls atomic.Int32
	release := make(chan struct{})
	l.server.Fault = func(http.ResponseWriter, *http.Request) bool {
		if calls.Add(1) == 1 {
			<-release
		}
		return false
	}
	in := l.build()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	time.Sleep(3 * time.Second) // three ticks of the schedule
	if n := calls.Load(); n > 1 {
		t.Errorf("%d calls while the first poll hangs", n)
	}
	close(release)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAPushIsFollowed: what is pushed reaches Kafka without a poll, the edit and the deletion too, and the source says that it streams.
func TestAPushIsFollowed(t *testing.T) {
	l := newLive(t)
	l.cfg.Sources[0].Settings = nil
	l.cfg.Sources[0].Schedule = "@every 1h"
	in := l.build()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	for l.server.Streams() == 0 || l.metric("dwiarah_ingest_complete_until_seconds", "") == 0 {
		time.Sleep(20 * time.Millisecond)
	}
	recent := time.Now().Add(-time.Hour).Truncate(time.Second)
	ask := l.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: recent, Mentions: []string{mastodontest.Me}, Content: "kapan?"})
	until := func(n float64) {
		t.Helper()
		for tries := 0; l.metric("dwiarah_ingest_messages_produced_total", "") < n; tries++ {
			if tries > 1500 {
				t.Fatalf("%v of %v messages came", l.metric("dwiarah_ingest_messages_produced_total", ""), n)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	until(1)
	l.server.Edit(ask, "kapan buka?", recent.Add(time.Minute))
	until(2)
	l.server.Delete(ask)
	until(3)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	all := readAll(t, l.conn)
	m := all.messages["kota-a/mastodon/"+strings.TrimPrefix(l.server.URL, "http://")+"/"+ask]
	if all.records != 3 || m == nil || m.DeletedAtMs == nil || m.Text != "" {
		t.Errorf("%d records, the last %v", all.records, m)
	}
	states, err := in.Sources()
	if err != nil || !states[0].Streaming || states[0].Until.IsZero() {
		t.Errorf("states %+v, %v", states, err)
	}
}
