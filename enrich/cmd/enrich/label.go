package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/enrich/internal/agreement"
	"github.com/dwiarah/dwiarah/enrich/internal/database"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

type labelCommand struct {
	Import    labelImport    `cmd:"" help:"Store labels of a file."`
	Export    labelExport    `cmd:"" help:"Write stored labels to a file."`
	Agreement labelAgreement `cmd:"" help:"Krippendorff's alpha of the annotators, with a 95 % interval."`
	Measure   labelMeasure   `cmd:"" help:"Compare the labels of an institution with the model's answers, and store the confusion matrices that shares are corrected with."`
}

// databaseFlags are of every command that works on the store.
type databaseFlags struct {
	Config string `help:"Configuration file of enrich run; its section clickhouse is read." placeholder:"FILE" type:"path"`
}

func (f databaseFlags) config() (enrich.Config, error) {
	cfg := enrich.DefaultConfig()
	return cfg, config.Load(f.Config, &cfg, config.WithEnviron(os.Environ()))
}

// labels opens the store and calls do with the table of labels.
func (f databaseFlags) labels(do func(context.Context, *label.Store) error) error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	return connected(cfg, func(ctx context.Context, conn driver.Conn) error { return do(ctx, label.NewStore(conn)) })
}

func connected(cfg enrich.Config, do func(context.Context, driver.Conn) error) error {
	conn, err := database.Open(cfg.ClickHouse)
	if err != nil {
		return err
	}
	return errors.Join(do(context.Background(), conn), conn.Close())
}

type labelImport struct {
	databaseFlags
	File        string `arg:"" help:"A file that ends in .csv (with a header) or .jsonl; keys: institution, platform, message_id, head, label, annotator, labelled_at, model_version, predicted, p, stratum, weight." type:"existingfile"`
	Institution string `help:"The institution of rows that name none."`
	Annotator   string `help:"The annotator's alias of rows that name none."`
	Rejected    string `help:"Write the rows that could not be stored to this file, in the form of the input." type:"path"`
}

func (c *labelImport) Run(s *streams) error {
	form, err := label.FormOf(c.File)
	if err != nil {
		return err
	}
	book, err := enrich.Labels()
	if err != nil {
		return err
	}
	f, err := os.Open(c.File)
	if err != nil {
		return fmt.Errorf("opening the labels: %w", err)
	}
	defer f.Close()
	rows, bad, header, err := label.Read(f, form, book, label.Defaults{Institution: c.Institution, Annotator: c.Annotator, LabelledAt: time.Now().UTC()})
	if err != nil {
		return fmt.Errorf("reading %s: %w", c.File, err)
	}
	labels := make([]label.Label, len(rows))
	for i := range rows {
		labels[i] = rows[i].Label
	}
	err = c.labels(func(ctx context.Context, store *label.Store) error {
		unknown, err := store.Put(ctx, labels)
		for _, i := range unknown {
			bad = append(bad, label.Bad{Line: rows[i].Line, Raw: rows[i].Raw, Err: &label.ValueError{Key: "message_id", Value: labels[i].MessageID, Allowed: fmt.Sprintf("a message of %s on %s that is stored", labels[i].Institution, labels[i].Platform)}})
		}
		if err == nil {
			fmt.Fprintf(s.out, "stored %d labels, refused %d rows\n", len(labels)-len(unknown), len(bad))
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(bad, func(a, b label.Bad) int { return cmp.Compare(a.Line, b.Line) })
	for _, b := range bad {
		fmt.Fprintf(s.err, "%s, line %d: %v\n", c.File, b.Line, b.Err)
	}
	if len(bad) == 0 {
		return nil
	}
	if c.Rejected != "" {
		if err := writeFile(c.Rejected, func(w io.Writer) error { return label.WriteBad(w, form, header, bad) }); err != nil {
			return err
		}
	}
	return fmt.Errorf("importing %s: %d rows could not be stored; the others are", c.File, len(bad))
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("creating a file: %w", err)
	}
	return errors.Join(write(f), f.Close())
}

// labelSelection is what export and agreement are about.
type labelSelection struct {
	databaseFlags
	Institution string `help:"Of this institution only."`
	Head        string `help:"Of this head only: sentiment, risk_tag, needs_reply, content_function."`
}

type labelExport struct {
	labelSelection
	Annotator string `help:"Of this annotator only."`
	Output    string `help:"The file to write, .csv or .jsonl; - is CSV to the standard output." default:"-" short:"o"`
}

func (c *labelExport) Run(s *streams) error {
	form := label.CSV
	if c.Output != "-" {
		var err error
		if form, err = label.FormOf(c.Output); err != nil {
			return err
		}
	}
	return c.labels(func(ctx context.Context, store *label.Store) error {
		labels, err := store.All(ctx, label.Selection{Institution: c.Institution, Head: c.Head, Annotator: c.Annotator})
		if err != nil {
			return err
		}
		if c.Output == "-" {
			return label.Write(s.out, form, labels)
		}
		if err := writeFile(c.Output, func(w io.Writer) error { return label.Write(w, form, labels) }); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "wrote %d labels to %s\n", len(labels), c.Output)
		return err
	})
}

type labelAgreement struct {
	labelSelection
	Seed uint64 `help:"Seed of the bootstrap." default:"1"`
}

func (c *labelAgreement) Run(s *streams) error {
	return c.labels(func(ctx context.Context, store *label.Store) error {
		labels, err := store.All(ctx, label.Selection{Institution: c.Institution, Head: c.Head})
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%-20s %-18s %8s  %s\n", "institution", "head", "messages", "alpha  95 %")
		for _, g := range label.Units(labels) {
			a := agreement.Nominal(g.Units, c.Seed)
			text := "not defined: no message with two labels, or one label only"
			if a.Defined {
				text = fmt.Sprintf("%5.3f  %.3f to %.3f", a.Alpha, a.Low, a.High)
			}
			fmt.Fprintf(s.out, "%-20s %-18s %8d  %s\n", g.Institution, g.Head, a.Units, strings.TrimSpace(text))
		}
		return nil
	})
}

type labelMeasure struct {
	databaseFlags
	Institution string `help:"Whose labels." required:""`
	Folder      string `help:"The folder of adaptations; by default the configuration's classify.adaptations." type:"path"`
}

func (c *labelMeasure) Run(s *streams) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if c.Folder == "" {
		c.Folder = cfg.Classify.Adaptations
	}
	classifier, err := loadClassifier("", string(cfg.Classify.Tier))
	if err != nil {
		return err
	}
	classifiers, err := enrich.LoadAdaptations(classifier, c.Folder, s.log)
	if err != nil {
		return err
	}
	return connected(cfg, func(ctx context.Context, conn driver.Conn) error {
		measured, err := enrich.Measure(ctx, conn, classifiers, c.Institution)
		if err != nil {
			return err
		}
		if len(measured) == 0 {
			fmt.Fprintf(s.out, "%s has no labels whose texts are still stored\n", c.Institution)
		}
		for _, m := range measured {
			fmt.Fprintf(s.out, "%-18s %-36s %5d labels, %.3f right\n", m.Head, m.ModelVersion, m.Labels, float64(m.Right)/float64(m.Labels))
		}
		return nil
	})
}
