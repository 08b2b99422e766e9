// Package state keeps ingest's own positions in small files. A write is whole or absent, whenever the process or the machine dies; a file that cannot
// be read stops the program, because a guessed position loses messages without a trace.
package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// envelope says what a file is and in which form, so that an old build refuses what it would misread.
type envelope struct {
	Kind    string          `json:"kind"`
	Version int             `json:"version"`
	Data    json.RawMessage `json:"data"`
}

// File is one position of one kind at one path.
type File struct {
	Path    string
	Kind    string
	Version int
}

// Load reads the file into v; found is false where there is none yet.
func (f File) Load(v any) (found bool, err error) {
	b, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the %s: %w", f.Kind, err)
	}
	var e envelope
	if err := strictly(b, &e); err != nil {
		return false, fmt.Errorf("reading the %s %s: %w; restore the file, or remove it to begin again", f.Kind, f.Path, err)
	}
	if e.Kind != f.Kind || e.Version != f.Version {
		return false, fmt.Errorf("reading the %s %s: it is a %q of version %d; this build reads a %q of version %d", f.Kind, f.Path, e.Kind, e.Version, f.Kind, f.Version)
	}
	if err := strictly(e.Data, v); err != nil {
		return false, fmt.Errorf("reading the %s %s: %w; restore the file, or remove it to begin again", f.Kind, f.Path, err)
	}
	return true, nil
}

func strictly(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// Save writes v: to a file beside, synced, then renamed over the old one, and the folder synced.
func (f File) Save(v any) error {
	if err := f.save(v); err != nil {
		return fmt.Errorf("writing the %s %s: %w", f.Kind, f.Path, err)
	}
	return nil
}

func (f File) save(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(envelope{Kind: f.Kind, Version: f.Version, Data: data}, "", " ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(f.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(f.Path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), f.Path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return syncDir(dir)
}

// Lock keeps other processes, as a backfill beside the running ingest, from changing what is at path at the same time; they wait. It uses a file beside.
func Lock(path string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return f.Close, nil // which unlocks
}

// Remove removes the file; one that is not there is no error.
func (f File) Remove() error {
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the %s: %w", f.Kind, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
