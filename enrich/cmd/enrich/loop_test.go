package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas/clickhouse/clickhousetest"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
)

func TestMain(m *testing.M) {
	engine.RunIfChild()
	os.Exit(m.Run())
}

// streamText is the text of message i of a stream that says "mantul" where it is displeased, and what a person says of it.
func streamText(i int) (text, sentiment string) {
	switch i % 5 {
	case 0:
		return fmt.Sprintf("mantul ya loket %d", i), "negative"
	case 1:
		return fmt.Sprintf("terima kasih petugas loket %d ramah sekali", i), "positive"
	}
	return fmt.Sprintf("loket %d buka jam berapa min", i), "neutral"
}

// stored puts n messages of the stream, as the model alone labels them, into an engine of the test's own; it returns a configuration for it.
func stored(t *testing.T, n int) (conn driver.Conn, configuration string) {
	t.Helper()
	e, conn := clickhousetest.Migrated(t)
	facts, err := conn.PrepareBatch(t.Context(), `INSERT INTO message_facts (institution, created_at, platform, message_id, message_key, author_key, kind, direction, mentions_account, sentiment, model_version, version, expires_at)`)
	if err != nil {
		t.Fatal(err)
	}
	bodies, err := conn.PrepareBatch(t.Context(), `INSERT INTO message_bodies (institution, created_at, platform, message_id, message_key, text, version, expires_at)`)
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Now().AddDate(1, 0, 0)
	var in strings.Builder
	for i := range n {
		text, _ := streamText(i)
		fmt.Fprintf(&in, `{"id":%d,"text":%q}`+"\n", i, text)
	}
	_, out, _ := command(in.String(), "classify")
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		text, _ := streamText(i)
		sentiment := between(line, `"sentiment":"`, `"`)
		key, at := fmt.Sprintf("%016d", i), time.Date(2026, 3, 1, 8, 0, i, 0, time.UTC)
		version := uint64(at.UnixMilli()) << 22
		if err := errors.Join(
			facts.Append("kota-contoh", at, "x", fmt.Sprint("m", i), key, "u", "mention", "inbound", true, sentiment, between(line, `"model_version":"`, `"`), version, expires),
			bodies.Append("kota-contoh", at, "x", fmt.Sprint("m", i), key, text, version, expires)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(facts.Send(), bodies.Send()); err != nil {
		t.Fatal(err)
	}
	configuration = filepath.Join(t.TempDir(), "enrich.yaml")
	if err := os.WriteFile(configuration, []byte("clickhouse:\n  url: http://"+e.Addr()+"/default\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return conn, configuration
}

// streamTag is what a person says is at stake in message i.
func streamTag(i int) string {
	if i%5 == 0 {
		return "service_failure"
	}
	return "none"
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// TestLabelsMeasureAndAdapt walks the whole loop: labels come in, agree, measure the model, adapt it, and correct its shares.
func TestLabelsMeasureAndAdapt(t *testing.T) {
	const n = 260
	conn, configuration := stored(t, n)
	dir := t.TempDir()
	var csv strings.Builder
	csv.WriteString("platform,message_id,head,label,annotator\n")
	for i := range n {
		_, label := streamText(i)
		fmt.Fprintf(&csv, "x,m%d,sentiment,%s,a1\nx,m%d,risk_tag,%s,a1\n", i, label, i, streamTag(i))
		if i < 60 {
			fmt.Fprintf(&csv, "x,m%d,sentiment,%s,a2\n", i, label)
		}
	}
	csv.WriteString("x,nowhere,sentiment,neutral,a1\nx,m1,sentiment,angry,a1\n")
	file, rejected := filepath.Join(dir, "labels.csv"), filepath.Join(dir, "rejected.csv")
	if err := os.WriteFile(file, []byte(csv.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(want int, args ...string) string {
		t.Helper()
		code, out, errOut := command("", append(args, "--config", configuration)...)
		if code != want {
			t.Fatalf("%v: exit %d, want %d\n%s%s", args, code, want, out, errOut)
		}
		return out + errOut
	}
	says := do(1, "label", "import", file, "--institution", "kota-contoh", "--rejected", rejected)
	for _, part := range []string{"stored 580 labels, refused 2 rows", `line 582: message_id "nowhere"`, `line 583: label "angry" is not allowed; allowed: for sentiment: negative, neutral, positive`} {
		if !strings.Contains(says, part) {
			t.Errorf("importing says nothing of %q:\n%s", part, says)
		}
	}
	if b, err := os.ReadFile(rejected); err != nil || strings.Count(string(b), "\n") != 3 {
		t.Errorf("rejected rows: %s, %v", b, err)
	}
	if out := do(0, "label", "export", "--annotator", "a2"); strings.Count(out, "\n") != 61 {
		t.Errorf("exported: %s", out)
	}
	if out := do(0, "label", "agreement"); !strings.Contains(out, "1.000  1.000 to 1.000") {
		t.Errorf("agreement: %s", out)
	}

	folder := filepath.Join(dir, "adaptations")
	if out := do(0, "adapt", "--institution", "kota-contoh", "--folder", folder); !strings.Contains(out, "sentiment, 260 labels") || !strings.Contains(out, "accepted") || !strings.Contains(out, "needs_reply, 0 labels: not adapted") ||
		strings.Count(out, "risk_tag/") != 1 || !strings.Contains(out, "risk_tag/service_failure, 260 labels") {
		t.Errorf("adapting: %s", out)
	}
	out := do(0, "label", "measure", "--institution", "kota-contoh", "--folder", folder)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 || strings.Count(out, "+kota-contoh.r1") != 2 || strings.Count(out, "260 labels") != 4 || right(t, lines[0]) >= right(t, lines[1]) || right(t, lines[2]) >= right(t, lines[3]) {
		t.Errorf("measuring: %s", out)
	}
	var people, cells uint64
	if err := conn.QueryRow(t.Context(), "SELECT sum(labels), count() FROM stream_confusions FINAL WHERE head = 'sentiment'").Scan(&people, &cells); err != nil || people != 2*n || cells != 24 {
		t.Errorf("%d labels in %d cells, %v; want %d in 24", people, cells, err, 2*n)
	}
	// The model calls nothing here negative that is: its matrix does not suffice, and the shares stay raw. As the adaptation would have labelled them, they are corrected.
	var calibrated bool
	const sentiment = "SELECT calibrated FROM metric_sentiment(institution='kota-contoh', from='2026-03-01', to='2026-03-02')"
	if err := conn.QueryRow(t.Context(), sentiment).Scan(&calibrated); err != nil || calibrated {
		t.Errorf("shares of a model that knows nothing were corrected; %v", err)
	}
	if err := conn.Exec(t.Context(), `INSERT INTO message_facts (institution, created_at, platform, message_id, message_key, author_key, kind, direction, mentions_account, sentiment, risk_tags, model_version, version, expires_at)
		SELECT institution, created_at, platform, message_id, message_key, author_key, kind, direction, mentions_account, sentiment, if(toUInt32(message_key) % 5 = 0, ['service_failure'], []), model_version || '+kota-contoh.r1', version + 1, expires_at FROM message_facts`); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(t.Context(), sentiment).Scan(&calibrated); err != nil || !calibrated {
		t.Errorf("shares of the adapted model were not corrected; %v", err)
	}
	var share, lo, hi float64
	const risk = "SELECT calibrated, assumeNotNull(share), assumeNotNull(share_lo), assumeNotNull(share_hi) FROM metric_risk(institution='kota-contoh', from='2026-03-01', to='2026-03-02') WHERE risk_tag = 'service_failure'"
	if err := conn.QueryRow(t.Context(), risk).Scan(&calibrated, &share, &lo, &hi); err != nil || !calibrated || lo > 0.2 || hi < 0.2 || hi-lo > 0.2 {
		t.Errorf("the share of a tag is %v (%v to %v), corrected %v, %v; a fifth has it", share, lo, hi, calibrated, err)
	}
}

// right is how much a line of label measure says to be right.
func right(t *testing.T, line string) float64 {
	t.Helper()
	f := strings.Fields(line)
	v, err := strconv.ParseFloat(f[len(f)-2], 64)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return v
}
