package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// Version is the version of the npm packages @chdb/lib-* that hold the engine library; `make engine` installs it.
const Version = "26.7.3-stable.1"

// LibraryEnv names the engine library's file; it goes before a clickhouse binary on PATH and before the user's cache directory.
const LibraryEnv = "DWIARAH_LIBCHDB"

// LibraryPath is where `make engine` puts the engine library: dwiarah/engine/<Version>/libchdb.so in $XDG_CACHE_HOME, or else in $HOME/.cache, on every platform.
func LibraryPath() (string, error) {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("looking for the user's cache directory: %w", err)
		}
		cache = filepath.Join(home, ".cache")
	}
	return filepath.Join(cache, "dwiarah", "engine", Version, "libchdb.so"), nil
}

// Installed tells whether an engine can be started with a Config that names neither library nor server binary: nil, or an error that says how to get one.
func Installed() error {
	_, err := Config{}.program()
	return err
}

// program is what the child runs: exactly one field is set.
type program struct {
	Server  string // the path of a clickhouse binary
	Library string // the path of libchdb
}

// program finds the engine: what the configuration names, else the library that the environment names, else a clickhouse binary on PATH, else the library in the
// user's cache directory.
func (c Config) program() (program, error) {
	switch {
	case c.ServerBinary != "" && c.Library != "":
		return program{}, errors.New("the engine's configuration names both a server binary and a library: name one")
	case c.ServerBinary != "":
		path, err := lookPath(c.ServerBinary)
		if err != nil {
			return program{}, fmt.Errorf("looking for the ClickHouse server binary: %w", err)
		}
		return program{Server: path}, nil
	case c.Library != "":
		return existing(c.Library, "the engine's configuration")
	}
	if path := os.Getenv(LibraryEnv); path != "" {
		return existing(path, "environment variable "+LibraryEnv)
	}
	if path, err := lookPath("clickhouse"); err == nil {
		return program{Server: path}, nil
	}
	path, err := LibraryPath()
	if err != nil {
		return program{}, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return program{}, fmt.Errorf("no ClickHouse engine: no clickhouse binary on PATH and no library %s; run `make engine` to install the library, or name one in %s", path, LibraryEnv)
	} else if err != nil {
		return program{}, fmt.Errorf("looking for the engine library: %w", err)
	}
	return program{Library: path}, nil
}

// lookPath gives an absolute path: the child runs in another directory.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

func existing(path, from string) (program, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return program{}, fmt.Errorf("looking for the engine library %q, named by %s: %w", path, from, err)
	}
	if _, err := os.Stat(absolute); err != nil {
		return program{}, fmt.Errorf("looking for the engine library, named by %s: %w; `make engine` installs one", from, err)
	}
	return program{Library: absolute}, nil
}
