package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/topic"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
	"github.com/dwiarah/dwiarah/schemas/kit/tlstest"
)

// asCommand makes the test's own binary be the command, so that it can be killed.
const asCommand = "DWIARAH_TEST_INGEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(start(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// world is a folder with everything that a command needs.
type world struct {
	*testing.T
	dir  string
	in   string // standard input of its commands
	conn kafka.Conn
}

func newWorld(t *testing.T) world {
	t.Helper()
	var topics []kafka.TopicSpec
	for _, name := range []string{schemas.TopicRaw, schemas.TopicDead, schemas.TopicLedger} {
		topics = append(topics, kafka.TopicSpec{Name: name, Partitions: 2})
	}
	b, err := broker.Start(broker.Config{Topics: topics, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	w := world{T: t, dir: t.TempDir(), conn: kafka.Conn{Brokers: []string{b.Addr()}, ClientID: "test"}}
	w.write("institutions.yaml", `
institutions:
  - id: kota-a
    name: Kota A
    zone: Asia/Jakarta
    accounts: {x: [{handle: kota_a}], mastodon: [{handle: kota_a@kota.example}]}
    purpose: public service
    legal_basis: UU 25/2009
    retention: {text_days: 90, facts_days: 395}
`)
	w.write("ingest.yaml", fmt.Sprintf(`
kafka: {brokers: [%q]}
institutions: %s
keys: file:%s
state_dir: %s
telemetry: {listen: "", log: {level: warn, format: text}}
`, b.Addr(), w.path("institutions.yaml"), w.path("identity.keys"), w.path("state")))
	return w
}

func (w world) path(name string) string { return filepath.Join(w.dir, name) }

func (w world) write(name, text string) string {
	w.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	return w.path(name)
}

// run runs a command within this process.
func (w world) run(args ...string) (code int, out, errOut string) {
	w.Helper()
	var o, e bytes.Buffer
	code = start(args, strings.NewReader(w.in), &o, &e)
	return code, o.String(), e.String()
}

// must runs a command that has to end well, and returns what it printed.
func (w world) must(args ...string) string {
	w.Helper()
	code, out, errOut := w.run(args...)
	if code != 0 {
		w.Fatalf("ingest %s: code %d\n%s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

// messages returns what the raw topic holds, by institution and id, without the time of ingestion; and the lines of dead letters.
func (w world) messages() (messages map[string]string, dead map[int64]string) {
	w.Helper()
	messages, dead = map[string]string{}, map[int64]string{}
	for _, name := range []string{schemas.TopicRaw, schemas.TopicDead} {
		err := topic.Read(w.Context(), w.conn, name, topic.Options{FromStart: true}, func(r kafka.Record) error {
			var m event.Message
			var d event.DeadLetter
			if name == schemas.TopicDead {
				err := event.Decode(r.Headers[0].Value, r.Value, &d)
				dead[d.Offset] = d.Reason
				return err
			}
			err := event.Decode(r.Headers[0].Value, r.Value, &m)
			m.IngestedAtMs = 0
			messages[m.Institution+"/"+m.MessageId] = m.String()
			return err
		})
		if err != nil {
			w.Fatal(err)
		}
	}
	return messages, dead
}

func archiveOf(rows int) string {
	var b strings.Builder
	for n := range rows {
		author, parent := fmt.Sprint("warga", n%7), ""
		if n%3 == 1 {
			author = "kota_a"
		}
		if n%3 > 0 {
			parent = fmt.Sprintf(`"parent_id":"%d",`, n-1)
		}
		fmt.Fprintf(&b, `{"platform":"x","message_id":"%d","kind":"post",%s"author_id":%q,"mentions":["kota_a"],"created_at":"2026-03-01T08:00:00+07:00","text":"pesan %d"}`+"\n", n, parent, author, n)
		if n%100 == 50 {
			b.WriteString("rusak\n")
		}
	}
	return b.String()
}

func TestKeysImportAndTail(t *testing.T) {
	w := newWorld(t)
	out := w.must("keys", "init", "--out", w.path("identity.keys"))
	again := w.must("keys", "init", "--out", w.path("identity.keys"))
	if !strings.Contains(out, "keys made") || !strings.Contains(again, "left alone") {
		t.Errorf("keys init: %q, then %q", out, again)
	}
	info, err := os.Stat(w.path("identity.keys"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("keys: %v %v", info.Mode(), err)
	}
	keys, err := os.ReadFile(w.path("identity.keys"))
	if err != nil {
		t.Fatal(err)
	}
	file := w.write("arsip.jsonl", archiveOf(300))
	code, out, errOut := w.run("--config", w.path("ingest.yaml"), "import", file)
	if code != 0 || !strings.Contains(out, "arsip.jsonl (jsonl): read 303 = produced 300 + dropped 0 + dead-lettered 3\n  dead-lettered malformed: 3\n") {
		t.Errorf("code %d, summary:\n%s%s", code, out, errOut)
	}
	if !strings.Contains(errOut, "arsip.jsonl: scanning 100 %, 303 rows") || !strings.Contains(errOut, "arsip.jsonl: producing 100 %, 303 rows") {
		t.Errorf("progress:\n%s", errOut)
	}
	for _, secret := range strings.Fields(string(keys)) {
		if len(secret) == 64 && strings.Contains(out+errOut, secret) {
			t.Error("a key was shown")
		}
	}
	tail := w.must("--config", w.path("ingest.yaml"), "tail", "mentions.raw.v1", "-n", "5")
	if lines := strings.Split(strings.TrimSpace(tail), "\n"); len(lines) != 5 || !strings.Contains(lines[0], `"institution":"kota-a"`) || strings.Contains(tail, "warga") {
		t.Errorf("tail:\n%s", tail)
	}
	if tail := w.must("tail", "mentions.dlq.v1", "--brokers", w.conn.Brokers[0]); strings.Count(tail, `"reason":"malformed"`) != 3 || strings.Contains(tail, `"original":`) {
		t.Errorf("tail of dead letters:\n%s", tail)
	}
	if tail := w.must("tail", "mentions.ledger.v1", "--brokers", w.conn.Brokers[0]); strings.Count(tail, `"coverage":`) != 1 {
		t.Errorf("tail of the ledger:\n%s", tail)
	}
}

// TestOverTLS: every command that speaks to Kafka does it as the configuration says.
func TestOverTLS(t *testing.T) {
	_, secured := kafkatest.Secure(t, tlstest.NewIdentity(t, time.Now().Add(time.Hour)))
	w := newWorld(t)
	config := w.write("secured.yaml", fmt.Sprintf(`
kafka:
  brokers: [%q]
  tls: {enabled: true, ca: %s}
  sasl: {mechanism: %s, username: %s, password: file:%s}
institutions: %s
keys: file:%s
state_dir: %s
telemetry: {listen: "", log: {level: warn, format: text}}
`, secured.Brokers[0], secured.TLS.CA, secured.SASL.Mechanism, secured.SASL.Username, w.write("password", secured.SASL.Password.Reveal()),
		w.path("institutions.yaml"), w.path("identity.keys"), w.path("state")))
	w.must("keys", "init", "--out", w.path("identity.keys"))
	w.must("--config", config, "topics", "--specs", "../../../deploy/kafka/topics.yaml")
	w.must("--config", config, "import", w.write("arsip.jsonl", archiveOf(10)))
	if tail := w.must("--config", config, "tail", schemas.TopicRaw); strings.Count(tail, `"message_id"`) != 10 {
		t.Errorf("tail:\n%s", tail)
	}
	w.must("--config", config, "run", "--check")
	if code, _, errOut := w.run("--config", w.write("broken.yaml", "kafka: {tls: {enabled: true, ca: /nowhere.pem}}\nkeys: file:"+w.path("identity.keys")+"\ninstitutions: "+w.path("institutions.yaml")+"\n"), "run", "--check"); code == 0 || !strings.Contains(errOut, "/nowhere.pem") {
		t.Errorf("authorities that are not there: code %d, %s", code, errOut)
	}
}

func TestImportFromStandardInput(t *testing.T) {
	w := newWorld(t)
	w.must("keys", "init", "--out", w.path("identity.keys"))
	cmd := w.child("", "--config", w.path("ingest.yaml"), "import", "-")
	cmd.Stdin = strings.NewReader(archiveOf(10))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "stdin (jsonl): read 10 = produced 10") {
		t.Errorf("%v\n%s", err, out)
	}
	if left, err := filepath.Glob(filepath.Join(w.path("state"), "imports", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func (w world) child(point string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1", crashpoint.Variable+"="+point)
	return cmd
}

// F2, of an import.
func TestImportKilledAnywhereEndsAlike(t *testing.T) {
	whole := newWorld(t)
	whole.must("keys", "init", "--out", whole.path("identity.keys"))
	whole.must("--config", whole.path("ingest.yaml"), "import", "--quiet", whole.write("arsip.jsonl", archiveOf(4500)))
	want, wantDead := whole.messages()
	keys, err := os.ReadFile(whole.path("identity.keys"))
	if err != nil {
		t.Fatal(err)
	}
	for _, point := range importedPoints() {
		t.Run(point, func(t *testing.T) {
			w := newWorld(t)
			w.write("identity.keys", string(keys))
			file := w.write("arsip.jsonl", archiveOf(4500))
			out, err := w.child(point, "--config", w.path("ingest.yaml"), "import", "--quiet", file).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the import was not killed at %s: %v\n%s", point, err, out)
			}
			got := w.must("--config", w.path("ingest.yaml"), "import", "--quiet", file)
			if !strings.Contains(got, "read 4545 = produced 4500 + dropped 0 + dead-lettered 45\n") {
				t.Errorf("summary:\n%s", got)
			}
			messages, dead := w.messages()
			if d := cmp.Diff(want, messages); d != "" {
				t.Errorf("messages: %s", d)
			}
			if !maps.Equal(wantDead, dead) {
				t.Errorf("dead letters: %d, want %d", len(dead), len(wantDead))
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	f := func(want []string, args ...string) {
		t.Helper()
		code, out, errOut := w.run(args...)
		if code == 0 {
			t.Errorf("ingest %s ended well:\n%s", strings.Join(args, " "), out)
		}
		for _, part := range want {
			if !strings.Contains(errOut, part) {
				t.Errorf("ingest %s: no %q in\n%s", strings.Join(args, " "), part, errOut)
			}
		}
	}
	file := w.write("arsip.jsonl", archiveOf(1))
	f([]string{"identity.keys"}, "--config", w.path("ingest.yaml"), "import", file)
	f([]string{"keys: missing", "ingest keys init"}, "import", "--institutions", w.path("institutions.yaml"), file)
	f([]string{"no such file", "ingest keys init"}, "import", "--institutions", w.path("institutions.yaml"), "--keys", w.path("tidak-ada"), file)
	f([]string{"reading the institutions file"}, "import", "--institutions", w.path("tidak-ada.yaml"), file)
	f([]string{"identity <64 hex digits>"}, "keys", "init", "--out", w.write("bukan.keys", "rahasia"))
	w.must("keys", "init", "--out", w.path("identity.keys"))

	text, err := os.ReadFile(w.path("ingest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("tiga.yaml", string(text)+"statedir: x\nsources:\n  - {platform: friendster, account: kota_a, schedule: sometimes}\n")
	f([]string{"statedir", `"friendster"`, "one of bluesky", `"sometimes"`, "cron's five fields"}, "--config", w.path("tiga.yaml"), "run", "--check")
	w.write("sumber.yaml", string(text)+"sources:\n  - {platform: mastodon, account: orang_lain, base_url: https://kota.example, token: file:"+file+"}\n  - {platform: mastodon, account: kota_a@kota.example, base_url: http://kota.example, token: file:"+file+"}\n  - {platform: mastodon, account: kota_a@kota.example, base_url: https://kota.example}\n")
	f([]string{`sources[0].account: "orang_lain"`, "legal basis", `sources[1].base_url: "http://kota.example"`, "sources[2].token: missing"}, "--config", w.path("sumber.yaml"), "--check")
	w.write("baik.yaml", string(text)+"sources:\n  - {platform: mastodon, account: kota_a@kota.example, base_url: https://kota.example, token: file:"+file+"}\n")
	if out := w.must("--config", w.path("baik.yaml"), "--check"); !strings.Contains(out, "in order; sources: 1") {
		t.Errorf("--check: %s", out)
	}
	if out := w.must("--config", w.path("baik.yaml"), "sources"); !strings.Contains(out, "mastodon:kota_a@kota.example:kota.example") || !strings.Contains(out, "never polled") {
		t.Errorf("sources: %s", out)
	}
	f([]string{`source: "x"; allowed: one of mastodon:kota_a@kota.example:kota.example`}, "--config", w.path("baik.yaml"), "backfill", "--source", "x", "--since", "2026-03-01T00:00:00Z")
	if out := w.must("mappings"); !strings.Contains(out, "twcs") || !strings.Contains(out, "mentions") {
		t.Errorf("mappings: %s", out)
	}
}

func TestTheExampleConfiguration(t *testing.T) {
	w := newWorld(t)
	w.must("keys", "init", "--out", w.path("identity.keys"))
	keys, err := os.ReadFile(w.path("identity.keys"))
	if err != nil {
		t.Fatal(err)
	}
	example := filepath.Join("..", "..", "example.yaml")
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var accounts []string
	for _, p := range schemas.Platforms() {
		accounts = append(accounts, p+": [{handle: layanan_kota}]")
	}
	w.write("institutions.yaml", "institutions:\n  - {id: kota, name: Kota, zone: Asia/Jakarta, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}, accounts: {"+strings.Join(accounts, ", ")+"}}\n")
	for _, secret := range regexp.MustCompile(`env:(\w+)`).FindAllStringSubmatch(string(text), -1) {
		t.Setenv(secret[1], "token")
	}
	t.Setenv("DWIARAH_IDENTITY_KEYS", string(keys))
	t.Setenv("DWIARAH_INSTITUTIONS", w.path("institutions.yaml"))
	t.Setenv("DWIARAH_STATE_DIR", w.path("state"))
	want := fmt.Sprintf("sources: %d", strings.Count(string(text), "- platform:"))
	if out := w.must("--config", example, "--check"); !strings.Contains(out, want) {
		t.Errorf("--check: %s, want %s", out, want)
	}
}
