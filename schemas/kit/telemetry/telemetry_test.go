package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that only a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func build(t *testing.T, cfg Config) (*Telemetry, *bytes.Buffer, *clock) {
	t.Helper()
	var out bytes.Buffer
	c := &clock{t: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	tel, err := newTelemetry("sink", cfg, &out, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return tel, &out, c
}

// serve runs the server and returns its address.
func serve(t *testing.T, tel *Telemetry) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tel.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	waiting, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	addr, err := tel.Addr(waiting)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + addr
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestMetricsPage(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	tel, _, _ := build(t, cfg)
	url := serve(t, tel)
	code, body := get(t, url+"/metrics")
	for _, want := range []string{`go_goroutines{service="sink"} `, `process_resident_memory_bytes{service="sink"} `, `dwiarah_build_info{go="go1`, `service="sink"`, `dwiarah_log_records_total{level="ERROR",service="sink"} 0`} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("status %d, %q is missing", code, want)
		}
	}
	if code, _ := get(t, url+"/debug/pprof/"); code != 404 {
		t.Errorf("what nobody mounted answers %d", code)
	}
}

// Services that share a process share a page, though each has the same metrics.
func TestTwoServicesOnOnePage(t *testing.T) {
	a, err := New("enrich", DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	b, err := New("sink", DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	families, err := prometheus.Gatherers{a.Gatherer(), b.Gatherer()}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "dwiarah_build_info" && len(f.GetMetric()) != 2 {
			t.Errorf("%d services are shown", len(f.GetMetric()))
		}
	}
}

func TestHealthIsProgress(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	tel, _, clock := build(t, cfg)
	url := serve(t, tel)
	consumer, reports := tel.Health.Progress("consumer", 30*time.Second), tel.Health.Progress("reports", time.Hour)
	reports.Idle()
	expect := func(code int, status string, states ...string) {
		t.Helper()
		gotCode, body := get(t, url+"/healthz")
		var got Status
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		var gotStates []string
		for _, c := range got.Checks {
			gotStates = append(gotStates, c.State)
		}
		if gotCode != code || got.Status != status || !cmp.Equal(gotStates, states) {
			t.Errorf("got %d %s", gotCode, body)
		}
	}
	expect(200, "ok", "advancing", "idle")
	clock.pass(30 * time.Second)
	expect(200, "ok", "advancing", "idle")
	clock.pass(time.Second)
	expect(503, "failing", "stalled", "idle")
	consumer.Advance()
	expect(200, "ok", "advancing", "idle")
	consumer.Idle()
	clock.pass(24 * time.Hour)
	expect(200, "ok", "idle", "idle")
	consumer.Advance() // work arrived
	expect(200, "ok", "advancing", "idle")
	clock.pass(time.Minute)
	expect(503, "failing", "stalled", "idle")
	want := "# HELP dwiarah_progress_since_seconds Time since the last sign of life of a part that has work to do; 0 while it is idle.\n" +
		"# TYPE dwiarah_progress_since_seconds gauge\ndwiarah_progress_since_seconds{part=\"consumer\"} 60\ndwiarah_progress_since_seconds{part=\"reports\"} 0\n"
	if err := testutil.GatherAndCompare(tel.Registry, strings.NewReader(want), "dwiarah_progress_since_seconds"); err != nil {
		t.Error(err)
	}
}

func TestReady(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	tel, _, _ := build(t, cfg)
	url := serve(t, tel)
	if code, body := get(t, url+"/readyz"); code != 200 || body != "{\"status\":\"ok\",\"checks\":[]}\n" {
		t.Errorf("got %d %s", code, body)
	}
	var away error = errors.New("connection refused")
	tel.Health.Ready("kafka", func(context.Context) error { return nil })
	tel.Health.Ready("clickhouse", func(context.Context) error { return away })
	if code, body := get(t, url+"/readyz"); code != 503 || !strings.Contains(body, `{"name":"clickhouse","state":"failing","error":"connection refused"}`) {
		t.Errorf("got %d %s", code, body)
	}
	away = nil
	if code, body := get(t, url+"/readyz"); code != 200 {
		t.Errorf("got %d %s", code, body)
	}
	tel.Health.Drain()
	if code, body := get(t, url+"/readyz"); code != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("got %d %s", code, body)
	}
	if code, body := get(t, url+"/healthz"); code != 200 {
		t.Errorf("draining is no illness: %d %s", code, body)
	}
}

func TestNoServer(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = ""
	tel, _, _ := build(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := tel.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestAddressInUse(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	first, _, _ := build(t, cfg)
	cfg.Listen = strings.TrimPrefix(serve(t, first), "http://")
	second, _, _ := build(t, cfg)
	if err := second.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}

func TestLogForms(t *testing.T) {
	for _, c := range []struct{ level, format, want string }{
		{"info", "json", `"level":"INFO","msg":"started","service":"sink","n":1}` + "\n"},
		{"debug", "text", `level=INFO msg=started service=sink n=1` + "\n"},
		{"warn", "text", ""},
	} {
		cfg := DefaultConfig()
		cfg.Log = LogConfig{Level: c.level, Format: c.format}
		tel, out, _ := build(t, cfg)
		tel.Log.Info("started", "n", 1)
		if got := out.String(); !strings.HasSuffix(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s %s: got %q", c.level, c.format, got)
		}
	}
}

func TestBadConfig(t *testing.T) {
	_, err := New("sink", Config{Listen: "9100", Log: LogConfig{Level: "loud", Format: "xml"}})
	want := `building the telemetry of sink: listen is "9100": want host:port, or nothing for no server
level is "loud": want debug, info, warn or error
format is "xml": want json or text`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestRepeatedErrorsAreSampled(t *testing.T) {
	var out bytes.Buffer
	s := newSampler(slog.NewJSONHandler(&out, nil), prometheus.NewRegistry())
	log := slog.New(s)
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	say := func(level slog.Level, message string, at time.Duration) {
		r := slog.NewRecord(start.Add(at), level, message, 0)
		r.Add("n", 1)
		// Attributes and groups share the count: the message is what repeats.
		if err := log.With("a", at).WithGroup("g").Handler().Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		say(slog.LevelError, "insert failed", time.Duration(i)*time.Millisecond)
		say(slog.LevelInfo, "committed", time.Duration(i)*time.Millisecond)
	}
	say(slog.LevelError, "another", time.Second)
	say(slog.LevelWarn, "insert failed", time.Second) // another level is another message
	say(slog.LevelError, "insert failed", time.Minute)
	got := map[string]int{}
	for line := range strings.Lines(out.String()) {
		var r struct {
			Level, Msg string
			G          struct {
				RepeatsWithheld int `json:"repeats_withheld"`
			}
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		got[fmt.Sprintf("%s %s %d", r.Level, r.Msg, r.G.RepeatsWithheld)]++
	}
	want := map[string]int{"ERROR insert failed 0": 5, "ERROR insert failed 95": 1, "INFO committed 0": 100, "ERROR another 0": 1, "WARN insert failed 0": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := testutil.ToFloat64(s.state.suppressed); n != 95 {
		t.Errorf("%v are counted as suppressed, want 95", n)
	}
	if n := testutil.ToFloat64(s.state.records.WithLabelValues("ERROR")); n != 102 {
		t.Errorf("%v errors are counted, want 102", n)
	}
}
