package run_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/schemas/kit/run"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

var (
	quiet   = slog.New(slog.DiscardHandler)
	errDead = errors.New("the disk is full")
)

// diary notes what happens, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, ", ")
}

// part notes its life and works until its ctx ends.
func (d *diary) part(name string) run.Part {
	var up atomic.Bool
	return run.Part{
		Name: name,
		Run: func(ctx context.Context) error {
			d.note("+" + name)
			up.Store(true)
			<-ctx.Done()
			d.note("-" + name)
			return nil
		},
		Ready: func(context.Context) error {
			if !up.Load() {
				return errors.New("not yet")
			}
			return nil
		},
	}
}

// start runs the group and returns how to end its ctx and what Run returns.
func start(t *testing.T, parts ...run.Part) (stop context.CancelFunc, result func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run.New(quiet, parts...).Run(ctx) }()
	return cancel, func() error {
		t.Helper()
		defer cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			t.Fatal("the group does not end")
			return nil
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

func TestStartInOrderStopInReverse(t *testing.T) {
	var d diary
	stop, result := start(t, d.part("a"), d.part("b"), d.part("c"))
	eventually(t, "all parts run", func() bool { return d.String() == "+a, +b, +c" })
	stop()
	if err := result(); err != nil {
		t.Error(err)
	}
	if got := d.String(); got != "+a, +b, +c, -c, -b, -a" {
		t.Error(got)
	}
}

// A part that drains still has below it what it writes to.
func TestDrainFindsTheLowerPartsAlive(t *testing.T) {
	var d diary
	below := d.part("broker")
	above := run.Part{Name: "sink", Run: func(ctx context.Context) error {
		<-ctx.Done()
		if strings.Contains(d.String(), "-broker") {
			t.Error("the broker is gone before the sink has drained")
		}
		return nil
	}}
	stop, result := start(t, below, above)
	eventually(t, "the parts run", func() bool { return d.String() == "+broker" })
	stop()
	if err := result(); err != nil {
		t.Error(err)
	}
}

func TestDeathEndsTheGroup(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"an error":                {errDead, "b: the disk is full"},
		"no error, but no reason": {nil, "b: it ended by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			var d diary
			die := make(chan struct{})
			b := run.Part{Name: "b", Run: func(context.Context) error {
				<-die
				return c.err
			}}
			_, result := start(t, d.part("a"), b, d.part("c"))
			eventually(t, "the others run", func() bool { return d.String() == "+a, +c" })
			close(die)
			if err := result(); err == nil || err.Error() != c.want || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("got %v", err)
			}
			if got := d.String(); got != "+a, +c, -c, -a" {
				t.Error(got)
			}
		})
	}
}

// A death that is seen before its part counts as done is told once all the same.
func TestDeathIsToldOnce(t *testing.T) {
	for range 300_000 { // the race is rare
		err := run.New(slog.New(slog.DiscardHandler), run.Part{Name: "b", Run: func(context.Context) error { return errDead }}).Run(t.Context())
		if err == nil || err.Error() != "b: the disk is full" {
			t.Fatalf("got %v", err)
		}
	}
}

func TestDeathWhileStarting(t *testing.T) {
	var d diary
	b := d.part("b")
	b.Run = func(context.Context) error { return errDead }
	_, result := start(t, d.part("a"), b, d.part("c"))
	if err := result(); !errors.Is(err, errDead) {
		t.Errorf("got %v", err)
	}
	if got := d.String(); got != "+a, -a" {
		t.Errorf("%s: c must not be started after b's death", got)
	}
}

func TestStopWhileStarting(t *testing.T) {
	var d diary
	b := d.part("b")
	b.Ready = func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	stop, result := start(t, d.part("a"), b, d.part("c"))
	eventually(t, "b is waited for", func() bool { return d.String() == "+a, +b" })
	stop()
	if err := result(); err != nil {
		t.Error(err)
	}
	if got := d.String(); got != "+a, +b, -b, -a" {
		t.Error(got)
	}
}

func TestPartThatDoesNotDrain(t *testing.T) {
	var d diary
	release := make(chan struct{})
	defer close(release)
	stuck := run.Part{Name: "stuck", Drain: 10 * time.Millisecond, Run: func(context.Context) error {
		d.note("+stuck")
		<-release
		return nil
	}}
	stop, result := start(t, d.part("a"), stuck)
	eventually(t, "both run", func() bool { return d.String() == "+a, +stuck" })
	stop()
	if err := result(); err == nil || err.Error() != "stopping stuck: it did not drain within 10ms" {
		t.Errorf("got %v", err)
	}
	if got := d.String(); got != "+a, +stuck, -a" {
		t.Errorf("%s: the others must be stopped all the same", got)
	}
}

func TestErrorsOfTheDrain(t *testing.T) {
	var d diary
	bad := run.Part{Name: "bad", Run: func(ctx context.Context) error {
		d.note("+bad")
		<-ctx.Done()
		return errDead
	}}
	cancelled := run.Part{Name: "cancelled", Run: func(ctx context.Context) error {
		d.note("+cancelled")
		<-ctx.Done()
		return ctx.Err()
	}}
	stop, result := start(t, bad, cancelled)
	eventually(t, "both run", func() bool { return len(d.String()) == len("+bad, +cancelled") })
	stop()
	if err := result(); err == nil || err.Error() != "stopping bad: the disk is full" {
		t.Errorf("got %v", err)
	}
}

func TestMayFinish(t *testing.T) {
	var d diary
	job := run.Part{Name: "import", MayFinish: true, Run: func(context.Context) error { return nil }}
	stop, result := start(t, d.part("a"), job, d.part("c"))
	eventually(t, "the others go on", func() bool { return d.String() == "+a, +c" })
	stop()
	if err := result(); err != nil {
		t.Error(err)
	}

	_, result = start(t, job, job)
	if err := result(); err != nil {
		t.Errorf("a group of jobs: %v", err)
	}
	job.Run = func(context.Context) error { return errDead }
	_, result = start(t, d.part("b"), job)
	if err := result(); !errors.Is(err, errDead) {
		t.Errorf("a job that fails: %v", err)
	}
	_, result = start(t)
	if err := result(); err != nil {
		t.Errorf("no parts: %v", err)
	}
}

// Two deaths at once are both told of, and the last one is not mistaken for a good end.
func TestEveryDeathIsTold(t *testing.T) {
	other := errors.New("the network is gone")
	for range 200 {
		die := make(chan struct{})
		part := func(name string, err error) run.Part {
			return run.Part{Name: name, MayFinish: true, Run: func(context.Context) error {
				<-die
				return err
			}}
		}
		_, result := start(t, part("a", errDead), part("b", other))
		close(die)
		if err := result(); !errors.Is(err, errDead) || !errors.Is(err, other) {
			t.Fatalf("got %v", err)
		}
	}
}

func TestMainReturnsExitCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		fn   func(ctx context.Context) error
		want int
	}{
		{"done", func(context.Context) error { return nil }, 0},
		{"failed", func(context.Context) error { return errDead }, 1},
		{"SIGTERM", func(ctx context.Context) error { return signalled(ctx, syscall.SIGTERM) }, 0},
		{"SIGINT", func(ctx context.Context) error { return signalled(ctx, syscall.SIGINT) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := run.Main(quiet, c.fn); got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
		})
	}
}

// signalled sends this process a signal and waits for its ctx to end by it.
func signalled(ctx context.Context, s syscall.Signal) error {
	if err := syscall.Kill(syscall.Getpid(), s); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func TestSecondSignalAborts(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	got := run.Main(quiet, func(ctx context.Context) error {
		if err := signalled(ctx, syscall.SIGTERM); err != nil {
			return err
		}
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			return err
		}
		<-release // whatever it is doing
		return nil
	})
	if got != 130 {
		t.Errorf("exit code %d, want 130", got)
	}
}

func TestNilLog(t *testing.T) {
	if err := run.New(nil, run.Part{Name: "a", MayFinish: true, Run: func(context.Context) error { return nil }}).Run(context.Background()); err != nil {
		t.Error(err)
	}
}
