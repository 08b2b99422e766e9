package stack

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/page"
	"github.com/dwiarah/dwiarah/ingest"
)

// imports runs the archives that were named and remembers how far they are.
type imports struct {
	mu      sync.Mutex
	state   []page.Import
	summary ingest.ImportSummary
	ended   bool
}

func newImports(files []string) *imports {
	im := &imports{ended: len(files) == 0}
	for _, f := range files {
		im.state = append(im.state, page.Import{Name: filepath.Base(f)})
	}
	return im
}

func (im *imports) snapshot() []page.Import {
	im.mu.Lock()
	defer im.mu.Unlock()
	return slices.Clone(im.state)
}

func (im *imports) done() bool {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.ended
}

// run imports the files one after the other. An error leaves ended false: what was not read to its end is never called landed.
func (im *imports) run(ctx context.Context, cfg ingest.ImportConfig, files []string, log *slog.Logger) error {
	if len(files) == 0 {
		return nil
	}
	at := 0
	cfg.Progress = func(p ingest.ImportProgress) {
		im.mu.Lock()
		defer im.mu.Unlock()
		s := &im.state[at]
		// The first of the two passes finds threads and is quick; the bar shows both.
		s.Share = p.Share() / 5
		if p.Phase == ingest.PhaseProducing {
			s.Share, s.Read = .2+.8*p.Share(), p.Rows
		}
	}
	for n, f := range files {
		im.mu.Lock()
		at = n
		im.mu.Unlock()
		log.Info("importing", "file", filepath.Base(f))
		sum, err := ingest.Import(ctx, cfg, []string{f})
		im.mu.Lock()
		im.summary.Counts.Add(sum.Counts)
		im.summary.Files = append(im.summary.Files, sum.Files...)
		im.summary.Elapsed += sum.Elapsed
		if err == nil {
			im.state[n].Done, im.state[n].Share, im.state[n].Read = true, 1, sum.Read
		} else if ctx.Err() == nil {
			im.state[n].Failed = err.Error()
		}
		im.mu.Unlock()
		if err != nil {
			return fmt.Errorf("importing: %w", err)
		}
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	im.ended = true
	return nil
}
