package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
)

// restartPause is how long a supervisor waits before it starts a dead process again.
const restartPause = 300 * time.Millisecond

// process is one of the pipeline's processes, started again whenever it has died.
type process struct {
	role role
	log  string // file of its standard error

	mu       sync.Mutex
	cmd      *exec.Cmd
	exited   chan struct{}
	held     bool   // not to be started again
	point    string // to die at, next time
	killed   bool   // the present one was killed on purpose
	starts   int
	troubles []string // ends of its own accord, with the last words
}

func newProcess(r role) *process {
	return &process{role: r, log: filepath.Join(r.Dir, r.Name+r.Group+".log")}
}

// start starts the process and keeps it running until stop.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = false
	return p.spawn()
}

// spawn starts one life. The caller holds mu.
func (p *process) spawn() error {
	told, err := json.Marshal(p.role)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+string(told), crashpoint.Variable+"="+p.point)
	cmd.Stdout, cmd.Stderr = out, out
	if _, err := cmd.StdinPipe(); err != nil { // the leash: it closes when the harness ends, however it ends
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.role.Name, err)
	}
	p.starts++
	p.cmd, p.exited, p.killed = cmd, make(chan struct{}), p.point != ""
	p.point = ""
	go p.watch(cmd, p.exited)
	return nil
}

func (p *process) watch(cmd *exec.Cmd, exited chan struct{}) {
	err := cmd.Wait()
	close(exited)
	p.mu.Lock()
	if p.held {
		p.mu.Unlock()
		return
	}
	if err != nil && !p.killed {
		p.troubles = append(p.troubles, fmt.Sprintf("%s ended by itself (%v): %s", p.role.Name, err, p.lastWords()))
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

func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(lines[len(lines)-1])
}

// signal sends a signal to the present life. After one that ends it, another follows.
func (p *process) signal(s syscall.Signal) {
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

// dieAt makes the process die now, and its next life at a crash point.
func (p *process) dieAt(point string) {
	p.mu.Lock()
	p.point = point
	p.mu.Unlock()
	p.signal(syscall.SIGKILL)
}

// stop ends the process in good order; nothing follows.
func (p *process) stop(patience time.Duration) error {
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
		return fmt.Errorf("%s did not stop within %v", p.role.Name, patience)
	}
	return nil
}

// footprint is what a process takes.
type footprint struct {
	rss         int64 // bytes
	descriptors int
	cpu         time.Duration // user and system, of this life
}

// clockTick is USER_HZ, which Linux fixes at 100 for everything that it shows to programs.
const clockTick = time.Second / 100

func (p *process) footprint() (footprint, error) {
	p.mu.Lock()
	cmd := p.cmd
	p.mu.Unlock()
	if cmd == nil {
		return footprint{}, errors.New("not running")
	}
	return footprintOf(cmd.Process.Pid)
}

func footprintOf(pid int) (footprint, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return footprint{}, err
	}
	var f footprint
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			f.rss = kb << 10
		}
	}
	open, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return footprint{}, err
	}
	f.descriptors = len(open)
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return footprint{}, err
	}
	// The command's name, in brackets, may hold spaces: what follows it begins with field 3.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, at := range []int{11, 12} { // utime, stime
		ticks, _ := strconv.ParseInt(fields[at], 10, 64)
		f.cpu += time.Duration(ticks) * clockTick
	}
	return f, nil
}
