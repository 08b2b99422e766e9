// Package crashpoint names the places where a process can be made to die, so that a test can kill it exactly there.
// Nothing happens in production: a point does something only when the environment names it.
package crashpoint

// Hit kills the process with SIGKILL when DWIARAH_CRASHPOINT names this point ("sink.after_insert"), at its nth passing
// when the name is followed by a colon and n ("sink.after_insert:3").
func Hit(name string) {}
