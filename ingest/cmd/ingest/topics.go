package main

import (
	"context"
	"fmt"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// topicsCommand makes the topics of a deployment.
type topicsCommand struct {
	Specs   string   `help:"File of topic specs, as deploy/kafka/topics.yaml." required:"" type:"existingfile"`
	Brokers []string `help:"host:port of one or more brokers." required:""`
}

// Run creates what is missing, and tells of a topic that is there with other partitions.
func (c topicsCommand) Run(ctx context.Context, a *app) error {
	specs, err := kafka.LoadTopics(c.Specs)
	if err != nil {
		return err
	}
	if err := kafka.EnsureTopics(ctx, kafka.Conn{Brokers: c.Brokers, ClientID: "dwiarah-topics"}, specs); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%d topics are there\n", len(specs))
	return nil
}
