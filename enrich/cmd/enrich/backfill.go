package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/enrich/internal/backfill"
	"github.com/dwiarah/dwiarah/enrich/internal/stream"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

type backfillCommand struct {
	databaseFlags
	Institution string    `help:"Whose messages to label anew." required:""`
	Folder      string    `help:"The folder of adaptations; by default the configuration's classify.adaptations." type:"path"`
	From        time.Time `help:"Only messages created at this day or later." format:"2006-01-02"`
	To          time.Time `help:"Only messages created before this day." format:"2006-01-02"`
	Rate        int       `help:"Most messages a second, so that new ones do not wait behind old ones; 0 for no bound." default:"5000"`
	State       string    `help:"Where to keep how far it got; run again with the same file, it goes on there." default:"backfill.json" type:"path"`
}

// pageMessages is how many messages are read and produced at a time.
const pageMessages = 2_000

// backfillState is the file that a backfill goes on from. It counts for one institution and one model version; another begins anew.
type backfillState struct {
	Institution  string            `json:"institution"`
	ModelVersion string            `json:"model_version"`
	Position     backfill.Position `json:"position"`
}

func (c *backfillCommand) Run(ctx context.Context, s *streams) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if c.Rate < 0 {
		return fmt.Errorf("--rate is %d; allowed are 0 (no bound) and above", c.Rate)
	}
	if c.Folder == "" {
		c.Folder = cfg.Classify.Adaptations
	}
	model, err := loadClassifier("", string(cfg.Classify.Tier))
	if err != nil {
		return err
	}
	classifiers, err := enrich.LoadAdaptations(model, c.Folder, s.log)
	if err != nil {
		return err
	}
	if err := classifiers.LoadTemplates(cfg.Classify.Templates); err != nil {
		return err
	}
	classifier := classifiers.For(c.Institution)
	state := backfillState{Institution: c.Institution, ModelVersion: classifier.ModelVersion()}
	if err := c.load(&state); err != nil {
		return err
	}
	reached, err := cfg.Kafka.Conn("dwiarah-enrich-backfill")
	if err != nil {
		return err
	}
	producer, err := kafka.NewProducer(kafka.ProducerConfig{Conn: reached, MaxRecordBytes: stream.MaxRecordBytes, Log: s.log})
	if err != nil {
		return err
	}
	var done backfill.Summary
	err = connected(cfg, func(_ context.Context, conn driver.Conn) error {
		var err error
		shown := time.Now()
		done, err = backfill.Run(ctx, backfill.Config{
			Conn: conn, Producer: producer, Institution: c.Institution, Label: classifiers.Enrich, Seq: classifier.EnrichmentSeq(), From: c.From, To: c.To,
			Page: pageMessages, Rate: c.Rate, Position: state.Position,
			Save: func(p backfill.Position) error {
				state.Position = p
				return c.save(&state)
			},
			Progress: func(sum backfill.Summary) {
				if time.Since(shown) >= time.Second {
					shown = time.Now()
					fmt.Fprintf(s.err, "%d of %d messages labelled anew, up to %s\n", sum.Enriched, sum.Messages, time.UnixMilli(state.Position.CreatedAtMs).UTC().Format(time.RFC3339))
				}
			},
		})
		return err
	})
	if err = errors.Join(err, producer.Close()); err != nil {
		return fmt.Errorf("backfilling %s: %d messages are done, run again to go on: %w", c.Institution, done.Enriched, err)
	}
	fmt.Fprintf(s.out, "labelled %d messages of %s anew with model %s; %d keep older labels, because their texts are no longer stored or may not be shown\n", done.Enriched, c.Institution, classifier.ModelVersion(), done.WithoutText)
	// What is done is known by the rows themselves from here on.
	if err := os.Remove(c.State); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the state of a backfill that is done: %w", err)
	}
	return nil
}

func (c *backfillCommand) load(state *backfillState) error {
	b, err := os.ReadFile(c.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading how far the backfill got: %w", err)
	}
	var had backfillState
	if err := json.Unmarshal(b, &had); err != nil {
		return fmt.Errorf("reading how far the backfill got: %s: %w", c.State, err)
	}
	if had.Institution != state.Institution || had.ModelVersion != state.ModelVersion {
		return fmt.Errorf("%s is of a backfill of %s with model %s; give another --state, or remove it", c.State, strconv.Quote(had.Institution), strconv.Quote(had.ModelVersion))
	}
	*state = had
	return nil
}

func (c *backfillCommand) save(state *backfillState) error {
	b, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("keeping how far the backfill got: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(c.State), ".backfill-*")
	if err != nil {
		return fmt.Errorf("keeping how far the backfill got: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("keeping how far the backfill got: %w", err)
	}
	if err := os.Rename(f.Name(), c.State); err != nil {
		return fmt.Errorf("keeping how far the backfill got: %w", err)
	}
	return nil
}
