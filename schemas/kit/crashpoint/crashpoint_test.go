package crashpoint

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("CRASHPOINT_TEST_CHILD") != "" {
		for range 3 {
			os.Stdout.WriteString("x")
			Hit("sink.after_insert")
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestHit(t *testing.T) {
	for _, c := range []struct {
		variable string
		passes   int
		killed   bool
	}{
		{"", 3, false},
		{"sink.before_insert", 3, false},
		{"sink.after_insert", 1, true},
		{"sink.after_insert:1", 1, true},
		{"sink.after_insert:3", 3, true},
		{"sink.after_insert:4", 3, false},
		{"sink.after_insert:x", 1, true},
		{"sink", 3, false},
	} {
		t.Run(c.variable, func(t *testing.T) {
			child := exec.Command(os.Args[0])
			child.Env = []string{"CRASHPOINT_TEST_CHILD=1", Variable + "=" + c.variable}
			out, err := child.Output()
			var exit *exec.ExitError
			killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
			if strings.Count(string(out), "x") != c.passes || killed != c.killed || err != nil && !killed {
				t.Errorf("passed %d times, killed %v (%v); want %d, %v", len(out), killed, err, c.passes, c.killed)
			}
		})
	}
}

func BenchmarkHit(b *testing.B) {
	for b.Loop() {
		Hit("sink.after_insert")
	}
}
