// Package crashpoint names the places where a process can be made to die, so that a test can kill it exactly there.
// Nothing happens in production: a point does something only when the environment names it.
package crashpoint

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Variable is the environment variable that names the point to die at: "sink.after_insert", or "sink.after_insert:3" for its third passing.
const Variable = "DWIARAH_CRASHPOINT"

// armed reads the environment once: a point costs a comparison of strings afterwards.
var armed = sync.OnceValue(func() *point { return parse(os.Getenv(Variable)) })

type point struct {
	name string
	left atomic.Int64 // passings until death
}

func parse(text string) *point {
	p := &point{}
	name, nth, counted := strings.Cut(text, ":")
	p.name = name
	p.left.Store(1)
	if n, err := strconv.ParseInt(nth, 10, 64); counted && err == nil && n > 0 {
		p.left.Store(n)
	}
	return p
}

// hit reports whether the process has to die now.
func (p *point) hit(name string) bool { return p.name != "" && p.name == name && p.left.Add(-1) == 0 }

// Hit kills the process, as kill -9 does, when the environment names this point. Nothing is flushed, no defer runs.
func Hit(name string) {
	if !armed().hit(name) {
		return
	}
	// An error would mean that a process may not signal itself; the loop below never ends then, and a test sees that.
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {} // the signal is delivered to some thread, soon
}
