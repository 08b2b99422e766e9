// Package engine runs an embedded ClickHouse as a child process, for tests and for the standalone binary. Production talks to a real server.
//
// The child is either `clickhouse server`, where that binary is at hand, or this very executable again, serving ClickHouse's HTTP interface in front of libchdb,
// the engine as a library. RunIfChild must therefore be the first thing that main and TestMain call. See README.md for what the library's front speaks.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config says which engine to run, where its data are and where it listens.
type Config struct {
	// DataDir keeps the tables, and survives the engine. It is made where it is missing. One engine at a time uses it.
	DataDir string
	// Addr is the HTTP address, "host:port"; port 0 takes a free one. Empty means 127.0.0.1:0.
	Addr string
	// Library is the path of libchdb and ServerBinary the name or path of a clickhouse binary. At most one is set; with neither, the engine is looked for (see Installed).
	Library, ServerBinary string
	// User and Password are required of every client where User is set. An address that other machines can reach needs both.
	User, Password string
	// MaxMemoryBytes bounds what the engine allocates for statements; 0 means 4 GiB.
	MaxMemoryBytes int64
	// LibraryConfig is the path of a configuration file of ClickHouse for the library, as one whose users_config says what the engine's one user may do. A server
	// binary does not read it.
	LibraryConfig string
	// Supervise starts a new child on the same address and data when one has died, with a growing pause between attempts, until Close.
	Supervise bool
	// Logger tells of starts and deaths. Nil is silent.
	Logger *slog.Logger
}

const (
	defaultMemoryBytes = 4 << 30
	// startAttempts: the library is known to abort now and then while it boots; a second attempt succeeds.
	startAttempts = 4
	startTimeout  = 2 * time.Minute
	// stopTimeout is how long a child may take to finish running statements before it is killed.
	stopTimeout = 15 * time.Second
	probeEvery  = 50 * time.Millisecond
)

// Engine is a running ClickHouse. Its methods are safe for concurrent use.
type Engine struct {
	config  Config
	program program
	log     *slog.Logger
	cancel  context.CancelFunc // ends supervision

	life sync.Mutex // held while a child is started or stopped

	mu     sync.Mutex // guards what follows
	addr   string
	child  *child
	closed bool
	done   chan struct{}
	err    error
}

// Start runs an engine and returns when it answers statements. ctx bounds the start only; Close ends the engine.
func Start(ctx context.Context, config Config) (*Engine, error) {
	if config.DataDir == "" {
		return nil, errors.New("the engine's configuration names no data directory")
	}
	dataDir, err := filepath.Abs(config.DataDir)
	if err != nil {
		return nil, fmt.Errorf("looking for the engine's data directory: %w", err)
	}
	config.DataDir = dataDir
	if config.Addr == "" {
		config.Addr = "127.0.0.1:0"
	}
	if config.MaxMemoryBytes == 0 {
		config.MaxMemoryBytes = defaultMemoryBytes
	}
	if err := config.check(); err != nil {
		return nil, err
	}
	found, err := config.program()
	if err != nil {
		return nil, err
	}
	log := config.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the engine's data directory: %w", err)
	}
	supervision, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e := &Engine{config: config, program: found, log: log, cancel: cancel, addr: config.Addr, done: make(chan struct{})}
	e.life.Lock()
	defer e.life.Unlock()
	if err := e.start(ctx, supervision); err != nil {
		cancel()
		return nil, err
	}
	return e, nil
}

// userName is what a user may be called, in a server's configuration too.
var userName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func (c Config) check() error {
	if c.User == "" && c.Password != "" {
		return errors.New("the engine's configuration has a password and no user")
	}
	if c.User != "" && !userName.MatchString(c.User) {
		return fmt.Errorf("the engine's user %q: a name has letters, digits, _ and -, and starts with a letter or _", c.User)
	}
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return fmt.Errorf("the engine's address %q: %w; it is host:port, port 0 for a free one", c.Addr, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	if c.User == "" || c.Password == "" {
		return fmt.Errorf("the engine's address %q can be reached from other machines: give a user and a password, or listen on 127.0.0.1", c.Addr)
	}
	return nil
}

// Addr is the host:port of the HTTP interface. It stays the same over restarts.
func (e *Engine) Addr() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.addr
}

// PID is the process id of the present child.
func (e *Engine) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.child.command.Process.Pid
}

// Done is closed when the child has ended and no other will follow: after Close, a death without supervision, or a Restart that failed.
// Supervision never gives up. A later Restart makes a new channel.
func (e *Engine) Done() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.done
}

// Err says why Done was closed; nil before that and after Close.
func (e *Engine) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// Kill ends the child at once, as kill -9 does, and returns when it is gone. Under supervision another one follows.
func (e *Engine) Kill() error {
	e.mu.Lock()
	c := e.child
	e.mu.Unlock()
	return c.kill()
}

// Restart ends the child in good order, if there is one, and starts another on the same address and data.
func (e *Engine) Restart(ctx context.Context) error {
	e.life.Lock()
	defer e.life.Unlock()
	e.mu.Lock()
	c, closed := e.child, e.closed
	e.mu.Unlock()
	if closed {
		return errors.New("restarting the engine: it is closed")
	}
	if err := c.stop(); err != nil {
		return err
	}
	supervision, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e.mu.Lock()
	e.cancel()
	e.cancel = cancel
	select {
	case <-e.done:
		e.done, e.err = make(chan struct{}), nil
	default:
	}
	e.mu.Unlock()
	if err := e.start(ctx, supervision); err != nil {
		e.finish(err)
		return err
	}
	return nil
}

// Close ends the child in good order: running statements are waited for, no new ones are taken. Closing twice is no error.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	e.cancel()
	e.mu.Unlock()
	e.life.Lock()
	defer e.life.Unlock()
	e.mu.Lock()
	c := e.child
	e.mu.Unlock()
	err := c.stop()
	e.finish(nil)
	return err
}

// finish closes done, once.
func (e *Engine) finish(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.done:
	default:
		e.err = err
		close(e.done)
	}
}

// start runs a child and waits till it answers. The caller holds life. supervision is the life of the watch over the child.
func (e *Engine) start(ctx, supervision context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var died error
	for attempt := range startAttempts {
		if attempt > 0 {
			e.log.Warn("engine died while starting, starting it again", "error", died)
		}
		c, err := spawn(e.config, e.program, e.Addr())
		if err != nil {
			return err
		}
		err = c.ready(ctx, e.config.User, e.config.Password)
		if err == nil {
			e.mu.Lock()
			e.child, e.addr = c, c.addr
			e.mu.Unlock()
			e.log.Info("engine is ready", "addr", c.addr, "pid", c.command.Process.Pid, "data_dir", e.config.DataDir)
			go e.watch(supervision, c)
			return nil
		}
		killed := c.kill()
		if !errors.As(err, new(*deathError)) {
			return errors.Join(err, killed)
		}
		died = err
	}
	return died
}

// watch waits for a child's death and, under supervision, starts its successor, which is watched in turn.
func (e *Engine) watch(ctx context.Context, c *child) {
	<-c.exited
	if c.stopping() {
		return
	}
	died := c.death()
	e.log.Warn("engine has died", "error", died)
	if !e.config.Supervise {
		e.finish(died)
		return
	}
	pause := 100 * time.Millisecond
	for {
		select {
		case <-ctx.Done(): // Close or Restart has taken over.
			return
		case <-time.After(pause):
		}
		restarted, err := e.succeed(ctx, c)
		if restarted {
			return
		}
		e.log.Error("engine does not start again", "error", err, "pause", pause)
		pause = min(2*pause, 10*time.Second)
	}
}

// succeed starts the successor of the dead child c, unless somebody else has.
func (e *Engine) succeed(ctx context.Context, c *child) (done bool, err error) {
	e.life.Lock()
	defer e.life.Unlock()
	e.mu.Lock()
	current := e.child == c
	e.mu.Unlock()
	if !current || ctx.Err() != nil {
		return true, nil
	}
	if err := e.start(ctx, ctx); err != nil {
		return false, err
	}
	return true, nil
}

// child is one process.
type child struct {
	command *exec.Cmd
	leash   io.Closer // the write end of a pipe: the process ends when this is closed, by us or by our death
	reports io.ReadCloser
	logPath string
	logFrom int64 // where the child's own output begins in the log
	addr    string
	exited  chan struct{}

	mu     sync.Mutex
	wanted bool // its end is wanted
}

// spawn starts a process and hands it its orders; it is not ready yet.
func spawn(config Config, found program, addr string) (_ *child, err error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for the executable to run the engine in: %w", err)
	}
	logPath := filepath.Join(config.DataDir, "engine.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the engine's log: %w", err)
	}
	defer log.Close()
	logFrom, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("opening the engine's log: %w", err)
	}
	reports, reportEnd, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe to the engine: %w", err)
	}
	defer reportEnd.Close()
	orderEnd, leash, err := os.Pipe()
	if err != nil {
		reports.Close()
		return nil, fmt.Errorf("making a pipe to the engine: %w", err)
	}
	defer orderEnd.Close()
	command := exec.Command(executable)
	command.Dir = config.DataDir
	command.Env = childEnvironment()
	command.Stdout, command.Stderr = log, log
	// Standard input stays empty: the library reads it where a statement lacks its rows.
	command.ExtraFiles = []*os.File{reportEnd, orderEnd}
	// A group of its own: an interrupt at the terminal is for the parent, which ends the engine after its clients.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		reports.Close()
		leash.Close()
		return nil, fmt.Errorf("starting the engine's process: %w", err)
	}
	c := &child{command: command, leash: leash, reports: reports, logPath: logPath, logFrom: logFrom, exited: make(chan struct{})}
	go func() {
		_ = command.Wait() // Its error is in the process's state, which death tells.
		_ = leash.Close()  // Nobody is at its other end.
		close(c.exited)
	}()
	// Secrets go this way, and not by arguments or environment.
	if err := json.NewEncoder(leash).Encode(orders{
		Program: found, DataDir: config.DataDir, Addr: addr, User: config.User, Password: config.Password, MaxMemoryBytes: config.MaxMemoryBytes, LibraryConfig: config.LibraryConfig,
	}); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, os.ErrClosed) { // A broken pipe is a death, which ready tells.
		return nil, errors.Join(fmt.Errorf("giving the engine its orders: %w", err), c.kill())
	}
	return c, nil
}

// childEnvironment holds what a process needs of ours. The rest, where secrets may be, stays here.
func childEnvironment() []string {
	environment := []string{childEnv + "=1", "TZ=UTC"}
	for _, name := range []string{"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}

// deathError is the end of a child that nobody wanted.
type deathError struct {
	state  string
	output string
}

func (d *deathError) Error() string {
	if d.output == "" {
		return "the engine's process has ended: " + d.state
	}
	return "the engine's process has ended: " + d.state + ": " + d.output
}

// death describes the end of an exited child with the last words of its log.
func (c *child) death() error {
	const tailBytes = 2048
	output := ""
	if log, err := os.Open(c.logPath); err == nil {
		defer log.Close()
		if size, err := log.Seek(0, io.SeekEnd); err == nil {
			from := max(c.logFrom, size-tailBytes)
			tail := make([]byte, max(0, size-from))
			n, _ := log.ReadAt(tail, from) // What can be read is enough: this is a hint for people.
			output = strings.TrimSpace(string(tail[:n]))
		}
	}
	return &deathError{state: c.command.ProcessState.String(), output: output}
}

// ready waits till the child answers a statement. The error is a deathError if the process ended by itself and did not say why.
func (c *child) ready(ctx context.Context, user, password string) error {
	reported := make(chan report, 1)
	go func() {
		defer c.reports.Close()
		defer close(reported)
		var r report
		if json.NewDecoder(c.reports).Decode(&r) == nil {
			reported <- r
		}
	}()
	select {
	case r, ok := <-reported:
		if !ok { // It died without a word, or says no more.
			<-c.exited
			return c.death()
		}
		if r.Error != "" {
			return fmt.Errorf("starting the engine: %s", r.Error)
		}
		c.addr = r.Addr
	case <-ctx.Done():
		return fmt.Errorf("waiting for the engine to start: %w", ctx.Err())
	}
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport}
	for {
		err := probe(ctx, client, c.addr, user, password)
		if err == nil {
			return nil
		}
		select {
		case <-c.exited:
			return c.death()
		case <-ctx.Done():
			return fmt.Errorf("waiting for the engine to answer on %s: %w (last: %w)", c.addr, ctx.Err(), err)
		case <-time.After(probeEvery):
		}
	}
}

// probe asks for a sign of life and runs a statement.
func probe(ctx context.Context, client *http.Client, addr, user, password string) error {
	for _, ask := range []struct{ method, path, body, answer string }{
		{http.MethodGet, "/ping", "", "Ok.\n"},
		{http.MethodPost, "/", "SELECT 1", "1\n"},
	} {
		request, err := http.NewRequestWithContext(ctx, ask.method, "http://"+addr+ask.path, strings.NewReader(ask.body))
		if err != nil {
			return fmt.Errorf("asking the engine: %w", err)
		}
		if user != "" {
			request.SetBasicAuth(user, password)
		}
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("asking the engine: %w", err)
		}
		answer, err := io.ReadAll(io.LimitReader(response.Body, 4096))
		response.Body.Close()
		if err != nil {
			return fmt.Errorf("asking the engine: %w", err)
		}
		if string(answer) != ask.answer {
			return fmt.Errorf("asking the engine for %s: it answered %s %q", ask.path, response.Status, answer)
		}
	}
	return nil
}

func (c *child) stopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wanted
}

// stop ends the process in good order and kills it if that takes too long.
func (c *child) stop() error {
	c.mu.Lock()
	c.wanted = true
	c.mu.Unlock()
	if err := c.leash.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return errors.Join(fmt.Errorf("stopping the engine: %w", err), c.kill())
	}
	select {
	case <-c.exited:
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("stopping the engine: a statement still ran after %s", stopTimeout), c.kill())
	}
}

// kill ends the process, and all that it started, at once.
func (c *child) kill() error {
	select {
	case <-c.exited:
	default:
		if err := syscall.Kill(-c.command.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("killing the engine: %w", err)
		}
	}
	<-c.exited
	return nil
}
