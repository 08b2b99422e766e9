package enrich

import (
	"fmt"

	"github.com/dwiarah/dwiarah/enrich/codebook"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
	"github.com/dwiarah/dwiarah/enrich/internal/train"
)

// What people say of messages, for whoever shows a labelling queue.
type (
	// Label is what one person said of one message under one head.
	Label = label.Label
	// LabelBook says which labels each head has.
	LabelBook = label.Book
)

// Labels returns the labels of every head that people can label.
func Labels() (LabelBook, error) {
	analyzer, err := text.NewAnalyzer()
	if err != nil {
		return nil, fmt.Errorf("reading the code book: %w", err)
	}
	table, err := risk.Read(codebook.Files, analyzer)
	if err != nil {
		return nil, fmt.Errorf("reading the code book: %w", err)
	}
	return label.NewBook(append(table.Names(), risk.None), train.Functions), nil
}
