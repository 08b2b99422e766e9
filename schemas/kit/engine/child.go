package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dwiarah/dwiarah/schemas/kit/engine/internal/chdb"
	"github.com/dwiarah/dwiarah/schemas/kit/engine/internal/chhttp"
)

// childEnv marks a process as the engine's child.
const childEnv = "DWIARAH_ENGINE_CHILD"

// orders is what a child is told, as one JSON value on file descriptor 4. That then stays open as long as the parent wants the child to live.
type orders struct {
	Program        program
	DataDir        string
	Addr           string
	User, Password string
	MaxMemoryBytes int64
	LibraryConfig  string
}

// report is what a child answers, once, on file descriptor 3: the address on which it listens, or why it cannot.
type report struct {
	Addr  string
	Error string
}

const (
	reportsFD = 3
	ordersFD  = 4
	// lockWait is how long a child waits for the data directory: a parent that was killed leaves a child behind that still finishes its statements.
	lockWait = stopTimeout + 5*time.Second
	// maxBodyBytes bounds a request's body, unpacked.
	maxBodyBytes = 4 << 30
	// statements is how many the library runs at the same time, each on a connection and a thread of its own; further ones wait.
	statements = 8
)

// RunIfChild becomes the engine, and does not return, if this process was started as the child of Start; it does nothing otherwise.
// It belongs at the very beginning of main and of TestMain.
func RunIfChild() {
	if os.Getenv(childEnv) != "1" {
		return
	}
	// A server that this process starts must not keep the pipes open.
	syscall.CloseOnExec(reportsFD)
	syscall.CloseOnExec(ordersFD)
	err := runChild(os.NewFile(ordersFD, "orders"), os.NewFile(reportsFD, "reports"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		chdb.Exit(1)
	}
	chdb.Exit(0)
}

func runChild(input io.Reader, reports io.WriteCloser) error {
	defer reports.Close()
	tell := func(r report) error {
		if err := json.NewEncoder(reports).Encode(r); err != nil {
			return fmt.Errorf("reporting to the parent: %w", err)
		}
		return nil
	}
	// A decoder would read ahead and hide the end of the input.
	line := bufio.NewReader(input)
	text, err := line.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading the orders: %w", err)
	}
	var o orders
	if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("reading the orders: %w", err)
	}
	leash := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, line) // Any end of the input means that the parent has let go.
		close(leash)
	}()
	serve := o.serveLibrary
	if o.Program.Server != "" {
		serve = o.serveServer
	}
	err = o.lock(leash)
	if err == nil {
		err = serve(leash, tell)
	}
	if err != nil {
		return errors.Join(err, tell(report{Error: err.Error()}))
	}
	return nil
}

// lock takes the data directory for this process, and for the kind of engine that it runs: the library and a server lay out their metadata differently.
// The lock is held until the process ends.
func (o orders) lock(leash <-chan struct{}) error {
	path := filepath.Join(o.DataDir, "engine.lock")
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("locking the data directory: opening %s: %w", path, err)
	}
	for deadline := time.Now().Add(lockWait); ; {
		err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("locking the data directory: %s: %w", path, err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the data directory %s is in use by another engine", o.DataDir)
		}
		select {
		case <-leash:
			return errors.New("locking the data directory: the parent has gone")
		case <-time.After(50 * time.Millisecond):
		}
	}
	kind := "library"
	if o.Program.Server != "" {
		kind = "server"
	}
	path = filepath.Join(o.DataDir, "engine.kind")
	found, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.WriteFile(path, []byte(kind+"\n"), 0o600); err != nil {
			return fmt.Errorf("marking the data directory: %w", err)
		}
	case err != nil:
		return fmt.Errorf("reading the mark of the data directory: %w", err)
	case strings.TrimSpace(string(found)) != kind:
		return fmt.Errorf("the data directory %s was made by a ClickHouse %s and cannot be used by a ClickHouse %s: take another directory, or the same engine", o.DataDir, strings.TrimSpace(string(found)), kind)
	}
	return nil
}

// serveLibrary runs libchdb in this process and speaks HTTP for it until the leash ends.
func (o orders) serveLibrary(leash <-chan struct{}, tell func(report) error) error {
	library, err := chdb.Open(o.Program.Library)
	if err != nil {
		return err
	}
	dataDir, spoolDir := filepath.Join(o.DataDir, "clickhouse"), filepath.Join(o.DataDir, "spool")
	for _, directory := range []string{dataDir, spoolDir} {
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return fmt.Errorf("making the data directory: %w", err)
		}
	}
	// The address is taken first: that it is in use must not cost a boot.
	listener, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	settings := serverSettings(o.MaxMemoryBytes)
	if o.LibraryConfig != "" {
		settings = append(settings, chdb.Setting{Name: "config-file", Value: o.LibraryConfig})
	}
	handler, err := chhttp.New(chhttp.Config{
		Library: library, DataDir: dataDir, SpoolDir: spoolDir, User: o.User, Password: o.Password, MaxBodyBytes: maxBodyBytes, Statements: statements,
		// The library takes a lone expression for a SELECT, which a server does not.
		Settings: append(profile(o.MaxMemoryBytes), chdb.Setting{Name: "implicit_select", Value: "0"}),
	}, settings...)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if err := tell(report{Addr: listener.Addr().String()}); err != nil {
		return err
	}
	select {
	case err := <-served:
		return fmt.Errorf("serving HTTP: %w", err)
	case <-leash:
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	return handler.Quiesce(ctx)
}

// profile holds the query settings that every statement starts with, in either kind of engine; a client may change them for its own request.
func profile(memoryBytes int64) []chdb.Setting {
	query := memoryBytes / 10 * 9
	spill := strconv.FormatInt(query/2, 10)
	return []chdb.Setting{
		{Name: "max_memory_usage", Value: strconv.FormatInt(query, 10)},
		{Name: "max_bytes_before_external_group_by", Value: spill},
		{Name: "max_bytes_before_external_sort", Value: spill},
		// The default moves between versions; an insert that has returned must be readable.
		{Name: "async_insert", Value: "0"},
		// A question is asked of thousands of rows, not of billions. Compiling its expressions to machine code, which the engine does when it meets them for the
		// fourth time, takes half as long as the answer of a metric, and is never earned back.
		{Name: "compile_expressions", Value: "0"},
		{Name: "compile_aggregate_expressions", Value: "0"},
		{Name: "compile_sort_description", Value: "0"},
		// What is joined to the messages is small: a table of it for each thread costs more to make than it saves.
		{Name: "join_algorithm", Value: "hash"},
	}
}

func serverSettings(memoryBytes int64) []chdb.Setting {
	cache := strconv.FormatInt(min(memoryBytes/8, 512<<20), 10)
	return []chdb.Setting{
		{Name: "max_server_memory_usage", Value: strconv.FormatInt(memoryBytes, 10)},
		{Name: "mark_cache_size", Value: cache},
		{Name: "primary_index_cache_size", Value: cache},
		{Name: "display_name", Value: "dwiarah"},
		{Name: "timezone", Value: "UTC"},
	}
}
