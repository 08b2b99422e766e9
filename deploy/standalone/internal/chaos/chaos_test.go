package chaos

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/fleet"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
)

func TestMain(m *testing.M) {
	engine.RunIfChild()
	fleet.RunIfRole()
	os.Exit(m.Run())
}

// TestShortSchedule is a run of a few seconds with every fault that a living process can suffer, F1 F2 F3 F4 F5 F6 F7 F10 F16 F18 F19 F20, under a load with the bad input of
// F11 F12 F13; make chaos makes long ones.
func TestShortSchedule(t *testing.T) {
	short(t, Config{Seed: 3, Faults: "all", For: 12 * time.Second, Every: time.Second, Rate: 200})
}

// TestShortScheduleOnKafka is the same on Apache Kafka, F7 above all: make test-kafka runs it.
func TestShortScheduleOnKafka(t *testing.T) {
	jars := os.Getenv(kafkatest.JarsVariable)
	if jars == "" {
		t.Skip(kafkatest.JarsVariable + " is not set: make test-kafka")
	}
	short(t, Config{Seed: 3, Faults: "all", For: 20 * time.Second, Every: 2 * time.Second, Rate: 200, Kafka: jars})
}

// TestClickHouseRefuses is F6, before an INSERT and after one that was done.
func TestClickHouseRefuses(t *testing.T) {
	v := short(t, Config{Seed: 5, Faults: refusals, For: 10 * time.Second, Every: time.Second, Rate: 200})
	if v.Struck["INSERT refused"] == 0 || v.Struck["INSERT done and denied"] == 0 {
		t.Errorf("nothing was refused: %v", v.Struck)
	}
}

// TestCrashPoints is F2, and what TestProtectionRemoved breaks.
func TestCrashPoints(t *testing.T) {
	short(t, Config{Seed: 188, Faults: points, For: 6 * time.Second, Every: 700 * time.Millisecond, Rate: 300})
}

func short(t *testing.T, cfg Config) Verdict {
	t.Helper()
	t.Parallel() // most of a run is waiting for sessions of the dead to run out
	cfg.Dir, cfg.Verbose = t.TempDir(), func(s string) { t.Log(s) }
	v, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(v)
	if !v.Held {
		t.Error("an invariant is broken")
	}
	return v
}

// TestProtectionRemoved is the negative control: with a consumer that commits before its handler has made the batch durable, the same schedule loses messages, and
// the verdict has to say so.
func TestProtectionRemoved(t *testing.T) {
	t.Parallel()
	const protected = `	err := g.c.handler(work, batch)
`
	file, err := filepath.Abs("../../../../schemas/kit/kafka/generation.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), protected) {
		t.Fatalf("%s does not call the handler as this test expects", file)
	}
	dir := t.TempDir()
	broken := filepath.Join(dir, "generation.go")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(text), protected, "\t_ = g.commit(offsets)\n"+protected, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: broken}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "test", "-overlay", filepath.Join(dir, "overlay.json"), "-vet=off", "-count=1", "-run", "^TestCrashPoints$", "-v", ".").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "BROKEN") || !strings.Contains(string(out), "are lost") {
		t.Errorf("the harness does not see that messages are lost: %v\n%s", err, out)
	}
}
