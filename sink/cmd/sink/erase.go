package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/cli"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/sink"
	"github.com/dwiarah/dwiarah/sink/internal/erase"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

type eraseCommand struct {
	Platform  string `help:"The platform, as mastodon."`
	MessageID string `help:"The id of one message, as the platform names it." xor:"subject"`
	Author    string `help:"The id or handle of an author, as the source gave it: everything, also what arrives later. - reads it from standard input, where other users of the machine do not see it." xor:"subject"`
	Pending   bool   `help:"Erase what is already marked as deleted, and what has expired; what the schedule does." xor:"subject"`
}

func (c eraseCommand) Run(ctx context.Context, a *app) error {
	if !c.Pending {
		return subjectCommand{Platform: c.Platform, MessageID: c.MessageID, Author: c.Author}.run(ctx, a, erase.ActionSubjectErase)
	}
	if c.Platform != "" {
		return errors.New("--platform goes with --author or --message-id; --pending erases for all")
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	s, err := store.Open(cfg.ClickHouse.Patient())
	if err != nil {
		return err
	}
	if _, err = a.erase(ctx, s); err == nil {
		err = a.tellReach(ctx, cfg)
	}
	return errors.Join(err, s.Close())
}

// erase runs the job and tells what it found.
func (a *app) erase(ctx context.Context, s *store.Store) (erase.Proof, error) {
	proof, err := erase.Run(ctx, s, a.Log, erase.Wait)
	fmt.Fprintf(a.Out, "deleted messages:   %d, of which the timing of %d requests was kept\nmessage_bodies:     %d rows before, %d after\nmessage_facts:      %d rows before, %d after\nmessage_labels:     %d rows before, %d after\n"+
		"pointers to authors: %d\nexpired rows:        %d\nreplaced data parts still on the disk: %d\n",
		proof.Messages, proof.Settled, proof.TextsBefore, proof.TextsAfter, proof.FactsBefore, proof.FactsAfter, proof.LabelsBefore, proof.LabelsAfter, proof.Pointers, proof.Expired, proof.OldParts)
	return proof, err
}

// tellReach says what an erasure has not reached. It fails where Kafka keeps what people wrote for longer than it may.
func (a *app) tellReach(ctx context.Context, cfg sink.Config) error {
	fmt.Fprintln(a.Out, "erased from ClickHouse. What is not reached from here:\n- archives kept by whoever imported them; backups of ClickHouse\n- ingest's files of known messages: ingest forget, where ingest runs, with the same subject")
	return a.tellCopies(ctx, cfg)
}

const (
	// mostKafka is how long topics may keep what people wrote.
	mostKafka = 72 * time.Hour
	// kafkaTime bounds the question how long they do.
	kafkaTime = 15 * time.Second
)

// tellCopies asks Kafka how long it keeps its copies, and fails where that is longer than it may be. A Kafka that does not answer is told of and no failure: what could be erased
// is erased.
func (a *app) tellCopies(ctx context.Context, cfg sink.Config) error {
	conn, err := cfg.Kafka.Conn(sink.ClientID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, kafkaTime)
	defer cancel()
	lives, err := kafka.Lives(ctx, conn, schemas.TopicRaw, schemas.TopicEnriched, schemas.TopicDead)
	if err != nil {
		fmt.Fprintf(a.Out, "- Kafka's copies, for as long as its topics keep them: %v are allowed; it did not say (%v)\n", mostKafka, err)
		return nil
	}
	var over []string
	for _, topic := range slices.Sorted(maps.Keys(lives)) {
		kept := lives[topic].String()
		if lives[topic] == kafka.Forever {
			kept = "ever"
		}
		fmt.Fprintf(a.Out, "- Kafka's copies in %s, which keeps records for %s at most; a replay of them stays hidden, and the next run erases it\n", topic, kept)
		if lives[topic] > mostKafka {
			over = append(over, topic+" for "+kept)
		}
	}
	if len(over) > 0 {
		return fmt.Errorf("Kafka keeps what people wrote for too long, %s: %v are allowed, by retention.ms, segment.ms and an hour for the deletion; deploy/kafka/topics.yaml has what to set", strings.Join(over, ", "), mostKafka)
	}
	return nil
}

type subjectCommands struct {
	List  subjectList  `cmd:"" help:"Show what is held by an author."`
	Erase subjectErase `cmd:"" help:"Erase everything by an author, and keep out what arrives later."`
	Hide  subjectHide  `cmd:"" help:"Take everything by an author out of every view, until show."`
	Show  subjectShow  `cmd:"" help:"Undo hide."`
}

type (
	subjectList  struct{ subjectCommand }
	subjectErase struct{ subjectCommand }
	subjectHide  struct{ subjectCommand }
	subjectShow  struct{ subjectCommand }
)

func (c subjectList) Run(ctx context.Context, a *app) error {
	return c.run(ctx, a, erase.ActionSubjectList)
}

func (c subjectErase) Run(ctx context.Context, a *app) error {
	return c.run(ctx, a, erase.ActionSubjectErase)
}

func (c subjectHide) Run(ctx context.Context, a *app) error {
	return c.run(ctx, a, erase.ActionSubjectHide)
}

func (c subjectShow) Run(ctx context.Context, a *app) error {
	return c.run(ctx, a, erase.ActionSubjectShow)
}

type subjectCommand struct {
	Platform  string `required:"" help:"The platform, as mastodon."`
	Author    string `default:"-" help:"The author's id or handle, as the source gave it. Without it, or with -, it is read from standard input, where other users of the machine do not see it."`
	MessageID string `kong:"-"` // sink erase has it
}

// run fulfils a subject's request and leaves a record of it in privacy_log.
func (c subjectCommand) run(ctx context.Context, a *app, action string) (err error) {
	if c.Author == "-" {
		if c.Author, err = cli.Line(a.In); err != nil {
			return fmt.Errorf("reading the author from standard input: %w", err)
		}
	}
	subject := erase.Subject{Platform: c.Platform, MessageID: c.MessageID, Author: c.Author}
	cfg, err := a.config()
	if err := errors.Join(err, subject.Check()); err != nil {
		return err
	}
	office, err := openOffice(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, office.Store.Close()) }()
	record := erase.Record{Action: action, Platform: c.Platform, Started: time.Now()}
	switch action {
	case erase.ActionSubjectErase:
		return c.erase(ctx, a, cfg, office, subject, record)
	case erase.ActionSubjectHide, erase.ActionSubjectShow:
		mark, done := office.Hide, "hidden from every view; sink subject show undoes it"
		if action == erase.ActionSubjectShow {
			mark, done = office.Show, "shown again, unless deleted"
		}
		if err := mark(ctx, subject, record.Started); err != nil {
			return err
		}
		fmt.Fprintln(a.Out, done)
	}
	held, err := office.List(ctx, subject)
	if err != nil {
		return err
	}
	record.Messages = uint64(len(held))
	if action == erase.ActionSubjectList {
		for _, h := range held {
			fmt.Fprintf(a.Out, "%s  %s  %s %s  %s\n    %q\n", h.CreatedAt.UTC().Format(time.DateTime), h.Institution, h.Direction, h.Kind, h.MessageID, h.Text)
		}
	}
	fmt.Fprintf(a.Out, "%d messages are held\n", len(held))
	return record.Write(ctx, office.Store)
}

// erase runs the job with the subject among what is deleted. The job's figures are of everything that waited for it; what was held of the subject stands beside them.
func (c subjectCommand) erase(ctx context.Context, a *app, cfg sink.Config, office erase.Office, subject erase.Subject, record erase.Record) error {
	held, err := office.List(ctx, subject)
	if err != nil {
		return err
	}
	record.Messages = uint64(len(held))
	if err := office.Bury(ctx, subject, record.Started); err != nil {
		return err
	}
	if record.Proof, err = a.erase(ctx, office.Store); err != nil {
		return err
	}
	left, err := office.List(ctx, subject)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "%d messages were held of the subject, %d are\n", len(held), len(left))
	if err := record.Write(ctx, office.Store); err != nil {
		return err
	}
	return a.tellReach(ctx, cfg)
}

func openOffice(cfg sink.Config) (o erase.Office, err error) {
	if cfg.IdentityKeys.IsZero() {
		return o, errors.New("identity_keys is missing; allowed: file:PATH or env:NAME of the keys that ingest uses, because only they tell whose messages are whose")
	}
	if o.Ring, err = identitykey.Parse(cfg.IdentityKeys.Reveal()); err != nil {
		return o, err
	}
	if o.Directory, err = institutions.Load(cfg.Institutions); err != nil {
		return o, err
	}
	o.Store, err = store.Open(cfg.ClickHouse.Patient())
	return o, err
}
