package broker

import (
	"syscall"
	"testing"
)

// A child process that is being started has the files of its parent for a moment; the directory is free all the same once the broker is closed.
func TestUnlockedAlthoughAChildHasTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	child, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Close(child); err != nil {
			t.Error(err)
		}
	}()
	if _, err := lock(dir); err == nil {
		t.Fatal("a directory is locked twice")
	}
	if err := unlock(f); err != nil {
		t.Fatal(err)
	}
	again, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(again); err != nil {
		t.Fatal(err)
	}
}
