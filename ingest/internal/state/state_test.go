package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dwiarah/dwiarah/ingest/internal/state"
)

// F10: on a disk that takes no more the position stays as it was, whole, the error says which file it is about, and once there is room it goes on.
func TestAFullDiskLeavesThePositionAsItWas(t *testing.T) {
	dir := t.TempDir()
	f := state.File{Path: filepath.Join(dir, "a.json"), Kind: "position", Version: 1}
	if err := f.Save(position{1}); err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	full := before
	full.Cur = 10 // bytes: the write breaks off in the middle
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	err := f.Save(position{2})
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), f.Path) {
		t.Errorf("writing to a full disk: %v", err)
	}
	var p position
	if found, err := f.Load(&p); !found || err != nil || p.N != 1 {
		t.Errorf("loaded %+v %v %v, want the position before", p, found, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if err := f.Save(position{3}); err != nil {
		t.Error(err)
	}
}

type position struct {
	N int `json:"n"`
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	f := state.File{Path: filepath.Join(dir, "sub", "a.json"), Kind: "position", Version: 2}
	var p position
	if found, err := f.Load(&p); found || err != nil {
		t.Fatalf("before the first save: %v %v", found, err)
	}
	for n := range 3 {
		if err := f.Save(position{n}); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := f.Load(&p); !found || err != nil || p.N != 2 {
		t.Errorf("loaded %+v %v %v", p, found, err)
	}
	info, err := os.Stat(f.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(f.Path)); err != nil || len(left) != 1 {
		t.Errorf("beside the file: %v %v", left, err)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
	if err := f.Remove(); err != nil {
		t.Errorf("a second removal: %v", err)
	}
}

func TestFileRefusesWhatItDoesNotKnow(t *testing.T) {
	f := state.File{Path: filepath.Join(t.TempDir(), "a.json"), Kind: "position", Version: 2}
	for name, text := range map[string]string{
		"empty": "", "cut": `{"kind":"position"`, "version": `{"kind":"position","version":3,"data":{}}`, "kind": `{"kind":"other","version":2,"data":{}}`,
		"a field of the future": `{"kind":"position","version":2,"data":{"n":1,"m":2}}`, "a type": `{"kind":"position","version":2,"data":{"n":"1"}}`,
	} {
		if err := os.WriteFile(f.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if found, err := f.Load(&position{}); found || err == nil || !strings.Contains(err.Error(), f.Path) {
			t.Errorf("%s: %v %v", name, found, err)
		}
	}
	if err := (state.File{Path: f.Path + "/x", Kind: "position", Version: 2}).Save(position{}); err == nil {
		t.Error("a file as a folder was taken")
	}
}
