package ingest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dwiarah/dwiarah/schemas/identitykey"
)

// InitKeys makes a file of identity keys, readable by its owner only, unless there is one; its author key is of the current year's epoch.
// A file that is there has to be one of keys. What is in it is never shown.
func InitKeys(path string) (created bool, err error) {
	if _, err := os.Lstat(path); err == nil {
		_, err := LoadKeys(path)
		return false, err
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("looking for the identity keys: %w", err)
	}
	text, err := identitykey.Generate(time.Now().UTC().Format("2006"))
	if err != nil {
		return false, err
	}
	created, err = createWhole(path, text)
	if err != nil {
		return false, fmt.Errorf("making the identity keys %s: %w", path, err)
	}
	if !created { // somebody else was faster
		_, err = LoadKeys(path)
	}
	return created, err
}

// createWhole makes a file with its whole content or not at all, and leaves alone one that is there.
func createWhole(path, text string) (created bool, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return false, err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return false, nil
		}
		return false, err
	}
	return true, nil
}

// LoadKeys reads a file of identity keys.
func LoadKeys(path string) (*identitykey.Ring, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the identity keys: %w; ingest keys init --out %s makes some", err, path)
	}
	ring, err := identitykey.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("reading the identity keys %s: %w", path, err)
	}
	return ring, nil
}
