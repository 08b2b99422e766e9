package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/meta/metatest"
	"github.com/dwiarah/dwiarah/ingest/internal/telegram/telegramtest"
	"github.com/dwiarah/dwiarah/ingest/internal/x/xtest"
	"github.com/dwiarah/dwiarah/ingest/internal/youtube/youtubetest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
)

// logged keeps what was logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// worlds is ingest before a server of each platform, all over the same conversation.
type worlds struct {
	*live
	logs *logged
	want map[string]conversation.Post // by platform and message id
}

// secrets are those of all platforms.
func secrets() []string {
	return []string{xtest.Token, youtubetest.Key, metatest.Token, metatest.AppSecret, metatest.Verify, telegramtest.Token, "404142434445464748494a4b"}
}

func newWorlds(t *testing.T) *worlds {
	t.Helper()
	ws := &worlds{logs: &logged{}, want: map[string]conversation.Post{}}
	ws.live = &live{T: t, conn: start(t), cfg: ingest.DefaultConfig()}
	platforms := []struct {
		name, token string
		serve       func(w *conversation.World) http.Handler
		id          func(id string) string
		settings    config.Group
	}{
		{"x", xtest.Token, func(w *conversation.World) http.Handler { return &xtest.Server{World: w, Now: time.Now} }, xtest.ID, config.Group{"usd_per_day": "5"}},
		{"youtube", youtubetest.Key, func(w *conversation.World) http.Handler { return &youtubetest.Server{World: w} }, youtubetest.ID, nil},
		{"facebook", metatest.Token, func(w *conversation.World) http.Handler { return &metatest.Server{World: w, Platform: "facebook"} }, nil,
			config.Group{"app_secret": "file:" + write(t, "secret", metatest.AppSecret), "verify_token": "file:" + write(t, "verify", metatest.Verify)}},
		{"instagram", metatest.Token, func(w *conversation.World) http.Handler { return &metatest.Server{World: w, Platform: "instagram"} }, nil, nil},
		{"threads", metatest.Token, func(w *conversation.World) http.Handler { return &metatest.Server{World: w, Platform: "threads"} }, nil, nil},
		{"telegram", telegramtest.Token, func(w *conversation.World) http.Handler { return &telegramtest.Server{World: w} }, telegramtest.ID, nil},
	}
	var accounts []string
	for _, p := range platforms {
		world := conversation.NewWorld()
		world.Skip(time.Now().Add(-30 * time.Minute)) // too young for a re-read
		world.Converse(6)
		server := httptest.NewServer(p.serve(world))
		t.Cleanup(server.Close)
		for _, post := range world.Posts {
			id := post.ID
			if p.id != nil {
				id = p.id(id)
			}
			ws.want[p.name+"/"+id] = post
		}
		accounts = append(accounts, p.name+": [{handle: layanan_kota}]")
		ws.cfg.Sources = append(ws.cfg.Sources, ingest.Source{
			Platform: p.name, Account: "layanan_kota", BaseURL: server.URL, Token: config.NewSecret(p.token), AllowPrivate: true, Schedule: "@every 1s", Settings: p.settings,
		})
	}
	ws.cfg.Kafka.Brokers = ws.conn.Brokers
	ws.cfg.Institutions = write(t, "institutions.yaml", "institutions:\n  - {id: kota, name: Kota, zone: Asia/Jakarta, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}, accounts: {"+strings.Join(accounts, ", ")+"}}\n")
	ws.cfg.Keys = config.NewSecret(ringText)
	ws.cfg.StateDir = t.TempDir()
	ws.cfg.Telemetry.Listen = ""
	return ws
}

// build builds ingest, whose log is kept.
func (ws *worlds) build() *ingest.Ingest {
	ws.Helper()
	var err error
	if ws.tel, err = telemetry.New("ingest", ws.cfg.Telemetry); err != nil {
		ws.Fatal(err)
	}
	ws.tel.Log = slog.New(slog.NewTextHandler(ws.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	in, err := ingest.New(ws.cfg, ws.tel)
	if err != nil {
		ws.Fatal(err)
	}
	return in
}

// run runs ingest until done says so.
func (ws *worlds) run(what string, done func() bool) {
	ws.Helper()
	in := ws.build()
	ctx, stop := context.WithCancel(ws.Context())
	end := make(chan error, 1)
	go func() { end <- in.Run(ctx) }()
	for n := 0; !done(); n++ {
		select {
		case err := <-end:
			ws.Fatalf("ingest ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if n > 2400 {
			stop()
			<-end
			ws.Fatalf("no %s; the log:\n%s", what, ws.logs)
		}
	}
	stop()
	if err := <-end; err != nil {
		ws.Fatal(err)
	}
}

// hides checks that no secret stands in the log or in the state folder.
func (ws *worlds) hides() {
	ws.Helper()
	places := map[string]string{"the log": ws.logs.String()}
	err := filepath.WalkDir(ws.cfg.StateDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		places[path] = string(b)
		return err
	})
	if err != nil {
		ws.Fatal(err)
	}
	for place, content := range places {
		for _, secret := range secrets() {
			if strings.Contains(content, secret) {
				ws.Errorf("a secret stands in %s", place)
			}
		}
	}
}

// The same conversation through each platform's interface arrives in Kafka as the same messages, each once, and the ledger is complete.
func TestTheSameConversationThroughEveryPlatform(t *testing.T) {
	ws := newWorlds(t)
	ws.run("polls", func() bool { return ws.polled(2) })
	all := readAll(t, ws.conn)
	if len(all.dead) > 0 || all.records != len(ws.want) {
		t.Errorf("%d records of %d posts, %d dead letters", all.records, len(ws.want), len(all.dead))
	}
	shape := map[string][]string{}
	for id, post := range ws.want {
		m := all.messages["kota/"+id]
		platform, _, _ := strings.Cut(id, "/")
		if m == nil {
			t.Errorf("%s did not come", id)
			continue
		}
		if m.CreatedAtMs != post.Created.UnixMilli() || !strings.Contains(m.Text, post.Text) {
			t.Errorf("%s: %s at %d, want %q at %d", id, m.Text, m.CreatedAtMs, post.Text, post.Created.UnixMilli())
		}
		shape[platform] = append(shape[platform], fmt.Sprint(post.Text, " ", m.Direction, " parent: ", m.ParentId != "", " account: ", m.Account))
	}
	for _, lines := range shape {
		slices.Sort(lines)
	}
	for platform := range shape {
		if d := cmp.Diff(shape["x"], shape[platform]); d != "" {
			t.Errorf("%s and X differ: %s", platform, d)
		}
	}
	complete := map[string]bool{}
	for _, c := range all.coverage {
		if c.Status == schemas.CoverageComplete {
			complete[c.Connector] = true
		}
	}
	if len(complete) != len(ws.cfg.Sources) {
		t.Errorf("complete: %v", complete)
	}
	ws.hides()
}

// polled tells that every source has been polled so often.
func (ws *worlds) polled(times float64) bool {
	ws.Helper()
	families, err := ws.tel.Registry.Gather()
	if err != nil {
		ws.Fatal(err)
	}
	polls := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "dwiarah_ingest_polls_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "source" {
					polls[label.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	for _, s := range ws.cfg.Sources {
		if polls[s.Platform+":"+s.Account] < times {
			return false
		}
	}
	return true
}

var listening = regexp.MustCompile(`taking webhooks" address=(\S+)`)

// A delivery that was answered is in Kafka, once, and its removal too.
func TestDeliveriesReachKafka(t *testing.T) {
	ws := newWorlds(t)
	ws.cfg.Sources = slices.DeleteFunc(ws.cfg.Sources, func(s ingest.Source) bool { return s.Platform != "facebook" })
	ws.cfg.Sources[0].Schedule = "@every 12h"
	ws.cfg.Webhook.Listen = "127.0.0.1:0"
	now := time.Now().Unix()
	body := func(verb string) string {
		return fmt.Sprintf(`{"object":"page","entry":[{"id":"100","time":%d,"changes":[{"field":"feed","value":{"item":"comment","verb":%q,"comment_id":"100_1_7","post_id":"100_1","parent_id":"100_1","created_time":%d,"from":{"id":"901"},"message":"jalan rusak, hubungi 081234567890"}}]}]}`, now, verb, now-60)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	post := func(body, sign string, want int) {
		req, err := http.NewRequest(http.MethodPost, "http://"+listening.FindStringSubmatch(ws.logs.String())[1]+"/webhook/facebook", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Hub-Signature-256", sign)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("status %d, want %d", res.StatusCode, want)
		}
	}
	sent := false
	ws.run("deliveries", func() bool {
		if listening.FindString(ws.logs.String()) == "" {
			return false
		}
		if !sent {
			sent = true
			post(body("add"), metatest.Sign([]byte(body("add"))), http.StatusOK)
			post(body("add"), metatest.Sign([]byte(body("add"))), http.StatusOK)
			post(body("remove"), metatest.Sign([]byte(body("remove"))), http.StatusOK)
			post(body("add")+" ", metatest.Sign([]byte(body("add"))), http.StatusForbidden)
		}
		files, err := filepath.Glob(filepath.Join(ws.cfg.StateDir, "deliveries", "facebook", "*.json"))
		return err == nil && len(files) == 0 && ws.metric("dwiarah_ingest_webhook_deliveries_total", "refused") == 1
	})
	var came []*event.Message
	all := readAll(t, ws.conn)
	if m := all.messages["kota/facebook/100_1_7"]; m != nil {
		came = append(came, m)
	}
	others := 0 // the first poll may come before the end
	for id := range all.messages {
		if id != "kota/facebook/100_1_7" {
			others++
		}
	}
	if all.records != 2+others || len(came) != 1 || came[0].DeletedAtMs == nil || came[0].Connector != "facebook:layanan_kota" {
		t.Errorf("%d records, %v", all.records, came)
	}
	ws.hides()
}
