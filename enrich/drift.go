package enrich

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/enrich/codebook"
	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/drift"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
)

// watch returns Enrich with an eye on whether streams still look like what the model learnt from, which it registers as metrics.
func (c *Classifiers) watch(registry prometheus.Registerer) (func(*event.Message) *event.Enrichment, error) {
	book, err := corpus.ReadCodeBook(codebook.Files, append(c.model.table.Names(), risk.None))
	if err != nil {
		return nil, fmt.Errorf("reading what streams are compared with: %w", err)
	}
	var texts []string
	for _, e := range book.Training(c.model.model.Seed) {
		if !e.Outbound {
			texts = append(texts, e.Text)
		}
	}
	// The references are made before any message comes: a message has a time limit. An institution's own classifier answers for its reference, so that adapting moves both.
	reference := referenceOf(c.model, texts)
	adapted := map[string]*drift.Reference{}
	for institution, classifier := range c.of {
		adapted[institution] = referenceOf(classifier, texts)
	}
	monitor := drift.NewMonitor(func(institution string) *drift.Reference {
		if r := adapted[institution]; r != nil {
			return r
		}
		return reference
	})
	if err := registry.Register(monitor); err != nil {
		return nil, fmt.Errorf("registering the drift of streams: %w", err)
	}
	return func(m *event.Message) *event.Enrichment {
		e := c.Enrich(m)
		if m.Direction == schemas.Inbound {
			monitor.Add(m.Institution, drift.Observe(m, e))
		}
		return e
	}, nil
}

// mostReference is how many texts a reference is made of.
const mostReference = 4_000

func referenceOf(c *Classifier, texts []string) *drift.Reference {
	every := len(texts)/mostReference + 1
	var observations []drift.Observation
	for i := 0; i < len(texts); i += every {
		m := &event.Message{Text: texts[i], Direction: schemas.Inbound}
		observations = append(observations, drift.Observe(m, c.Enrich(m)))
	}
	return drift.NewReference(observations)
}
