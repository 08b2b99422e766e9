package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/enrich/codebook"
	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
	"github.com/dwiarah/dwiarah/enrich/internal/train"
	"github.com/dwiarah/dwiarah/enrich/models"
)

type trainCommand struct {
	Data string `help:"The folder with the data sets that the model card lists." required:"" type:"existingdir"`
	Out  string `help:"The folder to write classifier.bin to." required:"" type:"path"`
	Seed uint64 `help:"Seed of everything that is drawn." default:"1"`
	Seq  uint32 `help:"Number of the release, 1 to 63; the newer model wins. Left out, it is that of the released model, so that the same code and data give the same file."`
}

// epochs is how often training passes over the data at most; it stops earlier once nothing moves.
const epochs = 15

// release is the number that the model to be trained has.
func (c *trainCommand) release() (uint32, error) {
	if c.Seq > enrich.MostReleases {
		return 0, fmt.Errorf("--seq is %d; allowed are 1 to %d", c.Seq, enrich.MostReleases)
	}
	if c.Seq > 0 {
		return c.Seq, nil
	}
	released, err := model.Decode(models.Classifier)
	if err != nil {
		return 0, fmt.Errorf("reading the released model's number: %w", err)
	}
	return released.Seq, nil
}

func (c *trainCommand) Run(s *streams) error {
	seq, err := c.release()
	if err != nil {
		return err
	}
	analyzer, err := text.NewAnalyzer()
	if err != nil {
		return err
	}
	table, err := risk.Read(codebook.Files, analyzer)
	if err != nil {
		return err
	}
	book, err := corpus.ReadCodeBook(codebook.Files, append(table.Names(), risk.None))
	if err != nil {
		return err
	}
	examples, err := train.ReadExamples(c.Data, book, c.Seed, s.log)
	if err != nil {
		return err
	}
	m, err := train.Train(examples, table, train.Options{Seed: c.Seed, Seq: seq, Epochs: epochs, Log: s.log})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("creating the output folder: %w", err)
	}
	path := filepath.Join(c.Out, "classifier.bin")
	if err := train.WriteFile(path, m); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "wrote %s, model %s, from %d texts\n", path, m.Version, len(examples))
	return nil
}
