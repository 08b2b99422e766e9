// Command chaos runs the pipeline under faults that a seed decides, and says in one line whether everything that was sent is there, once.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/chaos"
	"github.com/dwiarah/dwiarah/deploy/standalone/internal/fleet"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
)

type command struct {
	Seed    uint64        `help:"Decides load and faults; the same seed plans the same ones again." default:"1"`
	Faults  string        `help:"all, none, or a list of F1 (kill services), F2 (crash points), F3 (SIGTERM), F4 (kill ClickHouse), F5 (ClickHouse away), F6 (ClickHouse refusing and slow), F7 (kill the broker), F10 (full disks), F16 (rebalances), F18 (views dropped), F19 (zombies), F20 (network)." default:"all"`
	Seconds int           `help:"How long the load and the faults last." default:"60"`
	Every   time.Duration `help:"Between two faults, on average." default:"2s"`
	Away    time.Duration `help:"How long ClickHouse is away when it is (F5), on average." default:"8s"`
	Rate    int           `help:"Lines of archives a second." default:"500"`
	Dir     string        `help:"Folder for data and logs, kept; by default one that is removed when all held." type:"path"`
	Kafka   string        `help:"Folder of Apache Kafka's jars (make kafka-jars): run on that in place of the embedded broker." type:"existingdir" placeholder:"DIR"`
	Flat    bool          `help:"Also demand that memory, descriptors, goroutines and parts do not grow after the first quarter."`
	Quiet   bool          `help:"Tell the verdict alone."`
}

func main() {
	engine.RunIfChild()
	fleet.RunIfRole()
	var c command
	kong.Parse(&c, kong.Name("chaos"), kong.Description("Runs the pipeline under faults, and says whether everything that was sent is there, once."))
	held := true
	code := run.Main(slog.New(slog.NewTextHandler(os.Stderr, nil)), func(ctx context.Context) (err error) {
		held, err = c.run(ctx)
		return err
	})
	if code == 0 && !held {
		code = 1
	}
	os.Exit(code)
}

// run reports whether everything held.
func (c command) run(ctx context.Context) (held bool, err error) {
	dir := c.Dir
	if dir == "" {
		made, err := os.MkdirTemp("", "dwiarah-chaos-")
		if err != nil {
			return false, err
		}
		dir = made
	}
	cfg := chaos.Config{Seed: c.Seed, Faults: c.Faults, For: time.Duration(c.Seconds) * time.Second, Every: c.Every, Away: c.Away, Rate: c.Rate, Dir: dir, Kafka: c.Kafka, Flat: c.Flat}
	if !c.Quiet {
		cfg.Verbose = func(s string) { fmt.Println(s) }
	}
	v, err := chaos.Run(ctx, cfg)
	if err != nil {
		return false, fmt.Errorf("running seed %d (data and logs in %s): %w", c.Seed, dir, err)
	}
	fmt.Println(v)
	if !v.Held {
		fmt.Println("data and logs:", dir)
		return false, nil
	}
	if c.Dir == "" {
		return true, os.RemoveAll(dir)
	}
	return true, nil
}
