package main

import (
	"fmt"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/schemas/kit/cli"
)

type forgetCommand struct {
	Platform  string `required:"" help:"The platform, as mastodon."`
	MessageID string `help:"The id of one message, as the platform names it." xor:"subject"`
	Author    string `help:"The author's id or handle, as the source gave it. Without it, or with -, it is read from standard input, where other users of the machine do not see it." xor:"subject"`
}

// Help is what --help says beside the flags.
func (forgetCommand) Help() string {
	return `Messages that were read are known by their ids and authors, to be read again for edits and deletions. After sink erase or sink subject erase this takes the same subject
out of those files at once, whether ingest runs or not; without it the messages are forgotten when they are 90 days old (recheck). What ClickHouse and Kafka hold is not touched.`
}

func (c forgetCommand) Run(a *app) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if c.MessageID == "" && (c.Author == "" || c.Author == "-") {
		if c.Author, err = cli.Line(a.in); err != nil {
			return fmt.Errorf("reading the author from standard input: %w", err)
		}
	}
	f, err := ingest.Forget(cfg, ingest.Subject{Platform: c.Platform, MessageID: c.MessageID, Author: c.Author})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%d known messages are forgotten; in %d of others the author is named no more\n", f.Messages, f.Named)
	return err
}
