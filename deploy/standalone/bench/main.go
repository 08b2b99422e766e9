// Command bench measures the whole way, from an archive to a row that can be queried, and writes what it found as a page.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/bench"
	"github.com/dwiarah/dwiarah/deploy/standalone/internal/fleet"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
)

type command struct {
	Messages int           `help:"Lines of the archive." default:"200000"`
	Paced    time.Duration `help:"How long the half load lasts." default:"15s"`
	Away     time.Duration `help:"How long the sink is away before it recovers." default:"5m"`
	Profiles string        `help:"Folder for a CPU and a heap profile of each process, for go tool pprof; nothing for none." type:"existingdir"`
	Peer     string        `help:"Binary of bench/peer, to be measured beside the sink; nothing for none." type:"existingfile"`
	Out      string        `help:"File for the page; nothing for none." type:"path"`
}

func main() {
	engine.RunIfChild()
	fleet.RunIfRole()
	var c command
	kong.Parse(&c, kong.Name("bench"), kong.Description("Measures the whole way, with the limit beside it."))
	os.Exit(run.Main(slog.New(slog.NewTextHandler(os.Stderr, nil)), c.run))
}

func (c command) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "dwiarah-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	loaded := load()
	page, err := bench.Run(ctx, bench.Config{Messages: c.Messages, Paced: c.Paced, Away: c.Away, Dir: dir, Profiles: c.Profiles, Peer: c.Peer, Tell: func(s string) { fmt.Println(s) }})
	if err != nil || c.Out == "" {
		return err
	}
	head := fmt.Sprintf("# Throughput, %s\n\n%d cores, load before %s, after %s; `make bench` measures again.\n\n", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), loaded, load())
	return os.WriteFile(c.Out, []byte(head+page), 0o644)
}

// load is the machine's load average: times mean little on a machine that others use.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
