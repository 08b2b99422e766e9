package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
)

// drainRoom is what the end of the service takes beside the batch under way: leaving the group, closing connections.
const drainRoom = 5 * time.Second

type runCommand struct {
	Config string `help:"Configuration file; its keys can be overridden by the environment (DWIARAH_KAFKA__GROUP)." placeholder:"FILE" type:"path"`
	Check  bool   `help:"Build everything that the configuration asks for, print it, and start nothing."`
}

func (c *runCommand) Run(ctx context.Context, s *streams) error {
	cfg := enrich.DefaultConfig()
	if err := config.Load(c.Config, &cfg, config.WithEnviron(os.Environ())); err != nil {
		return err
	}
	tel, err := telemetry.New("enrich", cfg.Telemetry)
	if err != nil {
		return err
	}
	service, err := enrich.New(cfg, tel)
	if err != nil {
		return err
	}
	if c.Check {
		dump, err := config.Dump(cfg)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "%s# everything could be built; nothing was started\n", dump)
		return err
	}
	return run.New(tel.Log,
		run.Part{Name: "telemetry", Run: tel.Run},
		run.Part{Name: "enrich", Run: service.Run, Drain: cfg.Kafka.Drain.Std() + drainRoom},
	).Run(ctx)
}
