package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/enrich/codebook"
	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
	"github.com/dwiarah/dwiarah/enrich/internal/train"
)

type trainCommand struct {
	Data string `help:"The folder with the data sets that the model card lists." required:"" type:"existingdir"`
	Out  string `help:"The folder to write classifier.bin to." required:"" type:"path"`
	Seed uint64 `help:"Seed of everything that is drawn." default:"1"`
	// Seq is that of the model in the tree if left out, so that the same code and data give the same file.
	Seq uint32 `help:"Number of the release, 1 to 63; the newer model wins." default:"2"`
}

// epochs is how often training passes over the data at most; it stops earlier once nothing moves.
const epochs = 15

func (c *trainCommand) Run(s *streams) error {
	if c.Seq < 1 || c.Seq > enrich.MostReleases {
		return fmt.Errorf("--seq is %d; allowed are 1 to %d", c.Seq, enrich.MostReleases)
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
	m, err := train.Train(examples, table, train.Options{Seed: c.Seed, Seq: c.Seq, Epochs: epochs, Log: s.log})
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
