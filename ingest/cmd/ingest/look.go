package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/ingest/internal/archive"
	"github.com/dwiarah/dwiarah/ingest/internal/topic"
	"github.com/dwiarah/dwiarah/ingest/mappings"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

type keysCommand struct {
	Init keysInit `cmd:"" help:"Make a file of random keys, unless there is one."`
}

type keysInit struct {
	Out string `required:"" help:"The file; only its owner can read it." placeholder:"FILE" type:"path"`
}

func (c keysInit) Run(a *app) error {
	created, err := ingest.InitKeys(c.Out)
	if err != nil {
		return err
	}
	what := "there are keys already; they were left alone:"
	if created {
		what = "keys made; keep a copy, without them nothing can be erased by its author:"
	}
	_, err = fmt.Fprintln(a.out, what, c.Out)
	return err
}

type mappingsCommand struct{}

func (mappingsCommand) Run(a *app) error {
	all, err := archive.Shipped(mappings.FS)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, m := range all {
		fmt.Fprintf(table, "%s\t%s\n", m.Name, m.Description)
	}
	return table.Flush()
}

type tailCommand struct {
	Topic     string   `arg:"" help:"The topic, as mentions.raw.v1."`
	Brokers   []string `help:"Kafka's host:port (default: the configuration's)."`
	FromStart bool     `help:"Print what is there before what comes."`
	Follow    bool     `short:"f" help:"Go on with what comes until stopped."`
	Max       int      `short:"n" help:"End after so many records; 0 for all." default:"0"`
}

// errEnough ends a tail that has printed as many records as were asked for.
var errEnough = errors.New("enough")

func (c tailCommand) Run(ctx context.Context, a *app) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if len(c.Brokers) > 0 {
		cfg.Kafka.Brokers = c.Brokers
	}
	conn, err := cfg.Kafka.Conn(ingest.ClientID)
	if err != nil {
		return err
	}
	printed := 0
	// Without --follow what is there is all there is to print.
	options := topic.Options{FromStart: c.FromStart || !c.Follow, Follow: c.Follow}
	err = topic.Read(ctx, conn, c.Topic, options, func(r kafka.Record) error {
		line, err := render(r)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(a.out, "%s\n", line); err != nil {
			return err
		}
		if printed++; printed == c.Max {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// render prints a record as JSON. Texts are as they travel: redacted. The original in a dead letter is what came, so only its size is shown.
func render(r kafka.Record) ([]byte, error) {
	out := struct {
		Topic     string          `json:"topic"`
		Partition int             `json:"partition"`
		Offset    int64           `json:"offset"`
		Key       string          `json:"key"`
		Time      time.Time       `json:"time"`
		Error     string          `json:"error,omitempty"`
		Original  int             `json:"original_bytes,omitempty"`
		Value     json.RawMessage `json:"value,omitempty"`
	}{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Time: r.Time.UTC()}
	var schema []byte
	for _, h := range r.Headers {
		if h.Key == event.SchemaHeader {
			schema = h.Value
		}
	}
	m := valueOf(r.Topic)
	if m == nil {
		out.Error = "a topic of another program: only its place is shown"
		return json.Marshal(out)
	}
	if err := event.Decode(schema, r.Value, m); err != nil {
		out.Error = err.Error()
		return json.Marshal(out)
	}
	if d, ok := m.(*event.DeadLetter); ok {
		out.Original = len(d.Original)
		d.Original = nil
	}
	value, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("writing offset %d of partition %d as JSON: %w", r.Offset, r.Partition, err)
	}
	out.Value = value
	return json.Marshal(out)
}

type message interface {
	proto.Message
	UnmarshalVTUnsafe([]byte) error
}

func valueOf(topic string) message {
	switch topic {
	case schemas.TopicRaw:
		return &event.Message{}
	case schemas.TopicEnriched:
		return &event.Enriched{}
	case schemas.TopicDead:
		return &event.DeadLetter{}
	case schemas.TopicLedger:
		return &event.LedgerEntry{}
	}
	return nil
}
