package sink_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/sink"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// childVariable names the configuration file of the sink that this test binary is to be, in a process of its own that can be killed.
const childVariable = "DWIARAH_SINK_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		return
	}
	storetest.Main(m)
}

func child(path string) error {
	cfg := sink.DefaultConfig()
	if err := config.Load(path, &cfg); err != nil {
		return err
	}
	tel, err := telemetry.New("sink", cfg.Telemetry)
	if err != nil {
		return err
	}
	s, err := sink.New(cfg, tel)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return s.Run(ctx)
}

// spawn starts a sink in a process of its own, to die at a crash point where one is named.
func (w *world) spawn(point string) *exec.Cmd {
	w.t.Helper()
	cfg := w.cfg
	cfg.Telemetry.Listen, cfg.Telemetry.Log.Level = "", "warn"
	text, err := config.Dump(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(w.t.TempDir(), "sink.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	c := exec.CommandContext(w.t.Context(), os.Args[0])
	c.Env = append(os.Environ(), childVariable+"="+path, crashpoint.Variable+"="+point)
	c.Stderr, c.Stdout = w.t.Output(), w.t.Output()
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) messages(from, to int) {
	w.t.Helper()
	var records []kafka.Record
	for n := from; n < to; n++ {
		records = append(records, record(w.t, storetest.Enriched(n)))
	}
	// One bad record in each call: it must be dead-lettered at least once, however often the sink dies.
	records = append(records, kafka.Record{Topic: schemas.TopicEnriched, Key: []byte("k"), Value: fmt.Appendf(nil, "poison %d", from), Headers: schemaHeader()})
	w.produce(records...)
}

// F2, of the sink.
func TestKilledAtEveryPointNothingIsLost(t *testing.T) {
	for _, point := range []string{"sink.before_insert:2", "sink.after_insert:2", "producer.after_ack:1", "consumer.before_commit:2", "consumer.after_commit:2"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel() // the group waits for a dead member for as long as a session lasts
			w := newWorld(t)
			w.cfg.Batch.Records = 100
			w.messages(0, 150)
			w.messages(150, 300)
			c := w.spawn(point)
			err := c.Wait()
			if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("the process ended with %v, want a death by SIGKILL", err)
			}
			w.drain()
			w.settled(300, 2)
		})
	}
}

// F1, of the sink.
func TestKilledAtRandomNothingIsLost(t *testing.T) {
	for n := range 3 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cfg.Batch.Records = 100
			c := w.spawn("")
			w.messages(0, 300)
			time.Sleep(time.Duration(400*n) * time.Millisecond) // from before it has joined the group to after it has read everything
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			c.Wait()
			w.messages(300, 600)
			w.drain()
			w.settled(600, 2)
		})
	}
}

// settled checks that every message is stored and every poison dead-lettered.
func (w *world) settled(messages, poison int) {
	w.t.Helper()
	if got := w.count("SELECT count() FROM messages"); got != uint64(messages) {
		w.t.Errorf("%d messages, want %d", got, messages)
	}
	originals := map[string]bool{}
	for _, letters := range w.letters() {
		for _, l := range letters {
			originals[string(l.GetOriginal())] = true
		}
	}
	if len(originals) != poison {
		w.t.Errorf("%d different dead letters, want %d", len(originals), poison)
	}
}

// F3, of the sink.
func TestTermDrains(t *testing.T) {
	w := newWorld(t)
	w.messages(0, 500)
	c := w.spawn("")
	for w.behind() > 0 {
		time.Sleep(20 * time.Millisecond)
	}
	w.messages(500, 600) // under way when the end is asked for, or not even read
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	w.drain()
	w.settled(600, 2)
}
