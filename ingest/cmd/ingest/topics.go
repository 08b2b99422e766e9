package main

import (
	"context"
	"fmt"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// topicsCommand makes the topics of a deployment.
type topicsCommand struct {
	Specs   string   `help:"File of topic specs, as deploy/kafka/topics.yaml." required:"" type:"existingfile"`
	Brokers []string `help:"Kafka's host:port (default: the configuration's)."`
}

// Run creates what is missing, and tells of a topic that is there with other partitions.
func (c topicsCommand) Run(ctx context.Context, a *app) error {
	specs, err := kafka.LoadTopics(c.Specs)
	if err != nil {
		return err
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if len(c.Brokers) > 0 {
		cfg.Kafka.Brokers = c.Brokers
	}
	conn, err := cfg.Kafka.Conn("dwiarah-topics")
	if err != nil {
		return err
	}
	if err := kafka.EnsureTopics(ctx, conn, specs); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%d topics are there\n", len(specs))
	return nil
}
