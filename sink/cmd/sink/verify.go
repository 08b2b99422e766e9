package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/sink"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/verify"
)

type verifyCommand struct {
	EnrichGroup string `help:"The consumer group of enrich." default:"dwiarah-enrich"`
	MetricsFile string `help:"Also write what was found as metrics, for the textfile collector of Prometheus's node exporter." type:"path" placeholder:"FILE"`
}

// Run fails where a record behind a committed position has no fate.
func (c verifyCommand) Run(ctx context.Context, a *app) (err error) {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	conn, err := cfg.Kafka.Conn(sink.ClientID)
	if err != nil {
		return err
	}
	directory, err := institutions.Load(cfg.Institutions)
	if err != nil {
		return err
	}
	s, err := store.Open(cfg.ClickHouse)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	found, err := verify.Run(ctx, verify.Config{Conn: conn, EnrichGroup: c.EnrichGroup, SinkGroup: cfg.Kafka.Group, Store: s, Directory: directory, Now: time.Now()})
	if err != nil {
		return err
	}
	fmt.Fprint(a.Out, found)
	if c.MetricsFile != "" {
		if err := writeMetrics(c.MetricsFile, found); err != nil {
			return err
		}
	}
	if broken := found.Broken(); broken > 0 {
		return fmt.Errorf("the law of sums is broken at %d of %d topics", broken, len(found.Stages))
	}
	return nil
}

func writeMetrics(path string, found verify.Found) error {
	registry := prometheus.NewRegistry()
	metrics, err := verify.NewMetrics(registry)
	if err != nil {
		return err
	}
	metrics.Show(found)
	if err := prometheus.WriteToTextfile(path, registry); err != nil {
		return fmt.Errorf("writing metrics: %w", err)
	}
	return nil
}
