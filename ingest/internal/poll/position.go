package poll

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/ingest/internal/state"
)

// Position is what is kept of a source between polls.
type Position struct {
	Connector string `json:"connector"`
	Account   string `json:"account"`
	// Begun is when the source was first read for: before that nobody could miss anything.
	Begun time.Time `json:"begun,omitzero"`
	// Cursor is the source's own.
	Cursor json.RawMessage `json:"cursor,omitempty"`
	// Since and Until bound the stretch that is known complete.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// PolledAt is when the last poll ended or a stream last showed life, and Error what ended it early; empty when nothing did.
	PolledAt time.Time `json:"polled_at,omitzero"`
	Error    string    `json:"error,omitempty"`
	// Streaming tells that the push was followed then.
	Streaming bool `json:"streaming,omitempty"`
	// Budget is what was left then.
	Budget []budget.Line `json:"budget,omitempty"`
}

// incompleteSince is from when on the source has not been complete.
func (p Position) incompleteSince() time.Time {
	if p.Until.IsZero() {
		return p.Begun
	}
	return p.Until
}

// load reads a feed's position and tells the feed's life of it.
func (p *Poller) load(f Feed) (Position, error) {
	pos := Position{Connector: f.Source.Connector(), Account: f.Account}
	if _, err := stateFile(p.cfg.StateDir, pos.Connector).Load(&pos); err != nil {
		return pos, err
	}
	l := p.lives[pos.Connector]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen.IsZero() {
		l.seen = p.cfg.Now().UTC()
	}
	if pos.Begun.IsZero() {
		if l.begun.IsZero() {
			l.begun = p.cfg.Now().UTC()
		}
		pos.Begun = l.begun
	}
	l.begun, l.until = pos.Begun, pos.incompleteSince()
	return pos, nil
}

var unsafe = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// FileName is a connector's name as a file's.
func FileName(connector string) string { return unsafe.ReplaceAllString(connector, "_") }

func stateFile(dir, connector string) state.File {
	return state.File{Path: filepath.Join(dir, "source-"+FileName(connector)+".json"), Kind: "source position", Version: 1}
}

// Load returns the positions of connectors, in their order; one that was never polled has only its name.
func Load(dir string, connectors []string) ([]Position, error) {
	all := make([]Position, len(connectors))
	for i, c := range connectors {
		all[i].Connector = c
		if _, err := stateFile(dir, c).Load(&all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}
