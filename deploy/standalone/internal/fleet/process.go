package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
)

// restartPause is how long a supervisor waits before it starts a dead process again.
const restartPause = 300 * time.Millisecond

// Process is one of the pipeline's processes, started again whenever it has died.
type Process struct {
	Role Role
	Log  string // file of its standard error

	mu       sync.Mutex
	cmd      *exec.Cmd
	exited   chan struct{}
	held     bool     // not to be started again
	point    string   // to die at, next time
	killed   bool     // the present one was killed on purpose
	troubles []string // ends of its own accord, with the last words
}

// New returns a process that is not running.
func New(r Role) *Process {
	return &Process{Role: r, Log: filepath.Join(r.Dir, r.Name+r.Group+".log")}
}

// Start starts the process and keeps it running until Stop.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = false
	return p.spawn()
}

// spawn starts one life. The caller holds mu.
func (p *Process) spawn() error {
	cmd, err := p.Role.command()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Env = append(cmd.Env, crashpoint.Variable+"="+p.point)
	cmd.Stdout, cmd.Stderr = out, out
	if _, err := cmd.StdinPipe(); err != nil { // the leash: it closes when the harness ends, however it ends
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.Role.Name, err)
	}
	p.cmd, p.exited, p.killed = cmd, make(chan struct{}), p.point != ""
	p.point = ""
	go p.watch(cmd, p.exited)
	return nil
}

func (p *Process) watch(cmd *exec.Cmd, exited chan struct{}) {
	err := cmd.Wait()
	close(exited)
	p.mu.Lock()
	if p.held {
		p.mu.Unlock()
		return
	}
	if err != nil && !p.killed {
		p.troubles = append(p.troubles, fmt.Sprintf("%s ended by itself (%v): %s", p.Role.Name, err, p.lastWords()))
	}
	p.mu.Unlock()
	time.Sleep(restartPause)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.held && p.cmd == cmd {
		if err := p.spawn(); err != nil {
			p.troubles = append(p.troubles, err.Error())
		}
	}
}

// Troubles are the ends of the process that nobody had asked for, with its last words.
func (p *Process) Troubles() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.troubles)
}

func (p *Process) lastWords() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(lines[len(lines)-1])
}

// Signal sends a signal to the present life. After one that ends it, another follows.
func (p *Process) Signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.held {
		return
	}
	if s == syscall.SIGKILL || s == syscall.SIGTERM {
		p.killed = true
	}
	_ = p.cmd.Process.Signal(s) // it may have died by itself just now
}

// DieAt makes the process die now, and its next life at a crash point.
func (p *Process) DieAt(point string) {
	p.mu.Lock()
	p.point = point
	p.mu.Unlock()
	p.Signal(syscall.SIGKILL)
}

// Stop ends the process in good order; nothing follows.
func (p *Process) Stop(patience time.Duration) error {
	p.mu.Lock()
	p.held = true
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(syscall.SIGCONT)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-exited:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-exited
		return fmt.Errorf("%s did not stop within %v", p.Role.Name, patience)
	}
	return nil
}

// PID is the process id of the present or the last life; 0 before the first.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Footprint is what a process takes.
type Footprint struct {
	RSS, Peak   int64 // bytes
	Descriptors int
	CPU         time.Duration // user and system, of this life
	Goroutines  int           // 0 where the process serves no telemetry
}

// clockTick is USER_HZ, which Linux fixes at 100 for everything that it shows to programs.
const clockTick = time.Second / 100

// Footprint is what the present life takes.
func (p *Process) Footprint() (Footprint, error) {
	pid := p.PID()
	if pid == 0 {
		return Footprint{}, errors.New("not running")
	}
	f, err := FootprintOf(pid)
	if err != nil || p.Role.Telemetry == "" {
		return f, err
	}
	n, err := p.metric("go_goroutines")
	f.Goroutines = int(n)
	return f, err
}

// metric is one number without labels from the process's /metrics.
func (p *Process) metric(name string) (float64, error) {
	client := http.Client{Timeout: time.Second}
	response, err := client.Get("http://" + p.Role.Telemetry + "/metrics")
	if err != nil {
		return 0, fmt.Errorf("asking %s for its metrics: %w", p.Role.Name, err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return 0, fmt.Errorf("reading the metrics of %s: %w", p.Role.Name, err)
	}
	metrics := families[name].GetMetric()
	if len(metrics) != 1 || metrics[0].Gauge == nil {
		return 0, fmt.Errorf("reading the metrics of %s: there is no single gauge %s", p.Role.Name, name)
	}
	return metrics[0].Gauge.GetValue(), nil
}

// FootprintOf is the footprint of any process.
func FootprintOf(pid int) (Footprint, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return Footprint{}, err
	}
	var f Footprint
	for line := range strings.Lines(string(status)) {
		for field, into := range map[string]*int64{"VmRSS:": &f.RSS, "VmHWM:": &f.Peak} {
			if rest, ok := strings.CutPrefix(line, field); ok {
				kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				*into = kb << 10
			}
		}
	}
	open, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return Footprint{}, err
	}
	f.Descriptors = len(open)
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Footprint{}, err
	}
	// The command's name, in brackets, may hold spaces: what follows it begins with field 3.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, at := range []int{11, 12} { // utime, stime
		ticks, _ := strconv.ParseInt(fields[at], 10, 64)
		f.CPU += time.Duration(ticks) * clockTick
	}
	return f, nil
}
