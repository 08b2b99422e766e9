package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/sink/internal/erase"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

type eraseCommand struct {
	Platform  string `required:"" help:"The platform, as mastodon."`
	MessageID string `help:"The id of one message, as the platform names it." xor:"subject" required:""`
	Author    string `help:"The id or handle of an author, as the source gave it: all messages there are." xor:"subject" required:""`
}

func (c eraseCommand) Run(ctx context.Context, a *app) error {
	subject := erase.Subject{Platform: c.Platform, MessageID: c.MessageID, Author: c.Author}
	cfg, err := a.config()
	if err := errors.Join(err, subject.Check()); err != nil {
		return err
	}
	if cfg.IdentityKeys.IsZero() {
		return errors.New("identity_keys is missing; allowed: file:PATH or env:NAME of the keys that ingest uses, because only they tell whose messages are whose")
	}
	ring, err := identitykey.Parse(cfg.IdentityKeys.Reveal())
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
	proof, err := erase.Run(ctx, s, directory, ring, subject)
	fmt.Fprintf(a.Out, "tombstones written: %d\nmessage_bodies:     %d rows before, %d after\nmessage_facts:      %d rows before, %d after\n",
		proof.Tombstones, proof.BodiesBefore, proof.BodiesAfter, proof.FactsBefore, proof.FactsAfter)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprint(a.Out, `erased from ClickHouse. What is not reached from here:
- replaced data parts stay on ClickHouse's disk for some minutes (old_parts_lifetime, 8 by default)
- Kafka keeps its copies until the topics' retention ends; a replay of them stays hidden behind the tombstones, and is erased by erasing again
- archives, reports and exports made before
`)
	return err
}
