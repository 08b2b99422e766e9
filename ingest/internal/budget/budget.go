// Package budget keeps what may be spent on platforms whose calls cost money or units: a limit a day and a month, asked before the call and kept on disk,
// so that neither a restart nor a second source spends it twice.
package budget

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/state"
)

// Period of a limit.
type Period string

const (
	Day   Period = "day"
	Month Period = "month"
)

// Cap is a limit of one period. Amounts are whole numbers in the purse's unit; money is in millionths of a dollar, so that nothing is rounded.
type Cap struct {
	Period Period
	Limit  int64
	// Zone is whose midnight begins the period; nil means UTC.
	Zone *time.Location
}

// key names the period that now lies in, and reset is when the next one begins.
func (c Cap) window(now time.Time) (key string, reset time.Time) {
	zone := c.Zone
	if zone == nil {
		zone = time.UTC
	}
	now = now.In(zone)
	if c.Period == Month {
		return now.Format("2006-01"), time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, zone)
	}
	return now.Format(time.DateOnly), time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, zone)
}

// Unit says what is counted.
type Unit string

const (
	// MicroUSD is a millionth of a dollar.
	MicroUSD Unit = "usd"
	// Units are a platform's own, as YouTube's quota.
	Units Unit = "units"
	// Calls are calls.
	Calls Unit = "calls"
)

// Show writes an amount for a person.
func (u Unit) Show(amount int64) string {
	if u == MicroUSD {
		return fmt.Sprintf("$%d.%06d", amount/1e6, amount%1e6)
	}
	return fmt.Sprintf("%d %s", amount, u)
}

// Line is one budget as it stands.
type Line struct {
	// Name of the budget, as day, month or calls.
	Name  string    `json:"name"`
	Unit  Unit      `json:"unit"`
	Limit int64     `json:"limit"`
	Left  int64     `json:"left"`
	Reset time.Time `json:"reset,omitzero"`
}

func (l Line) String() string {
	s := fmt.Sprintf("%s: %s of %s left", l.Name, l.Unit.Show(l.Left), l.Unit.Show(l.Limit))
	if !l.Reset.IsZero() {
		s += " until " + l.Reset.UTC().Format("01-02 15:04Z")
	}
	return s
}

// ExhaustedError says that a call would cost more than is left.
type ExhaustedError struct {
	Purse string
	Unit  Unit
	Line  Line
	Asked int64
}

func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("the budget %s a %s of %s has %s left and the call may cost %s; it begins anew at %s",
		e.Unit.Show(e.Line.Limit), e.Line.Name, e.Purse, e.Unit.Show(e.Line.Left), e.Unit.Show(e.Asked), e.Line.Reset.UTC().Format(time.RFC3339))
}

// Purse is a budget with its limits. Safe for concurrent use.
type Purse struct {
	name string
	unit Unit
	caps []Cap
	now  func() time.Time
	file state.File

	mu    sync.Mutex
	spent spending
}

// spending is what is kept on disk: what was spent, by period and its name.
type spending struct {
	Name  string           `json:"name"`
	Spent map[string]int64 `json:"spent"` // by the names of the current windows
}

// Hold is leave for one call.
type Hold struct {
	purse  *Purse
	amount int64
	keys   []string
}

// Reserve takes the most that a call may cost, before it is made, and keeps that on disk. An *ExhaustedError refuses it; any other error is of our own state.
// The hold is settled when the cost is known; one that is not settled, as after a crash, stays spent in full.
func (p *Purse) Reserve(amount int64) (hold *Hold, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	unlock, err := p.refresh()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	now := p.now()
	for _, c := range p.caps {
		if l := p.line(c, now); amount > l.Left {
			return nil, &ExhaustedError{Purse: p.name, Unit: p.unit, Line: l, Asked: amount}
		}
	}
	hold = &Hold{purse: p, amount: amount}
	kept := map[string]int64{}
	for _, c := range p.caps {
		key, _ := c.window(now)
		key = string(c.Period) + " " + key
		kept[key] = p.spent.Spent[key] + amount // windows that are over are forgotten with this
		hold.keys = append(hold.keys, key)
	}
	p.spent.Spent = kept
	return hold, p.file.Save(p.spent)
}

// refresh reads what another process, as a backfill, may have spent, and keeps it from spending more until unlock.
func (p *Purse) refresh() (unlock func() error, err error) {
	if unlock, err = state.Lock(p.file.Path); err != nil {
		return nil, err
	}
	spent := spending{Name: p.name, Spent: map[string]int64{}}
	if _, err := p.file.Load(&spent); err != nil {
		return nil, errors.Join(err, unlock())
	}
	p.spent = spent
	return unlock, nil
}

// Settle corrects a hold to what the call has really cost. A platform that charged more than the hold is believed.
func (h *Hold) Settle(actual int64) (err error) {
	p := h.purse
	p.mu.Lock()
	defer p.mu.Unlock()
	if actual == h.amount {
		return nil
	}
	unlock, err := p.refresh()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	for _, key := range h.keys {
		if _, current := p.spent.Spent[key]; current {
			p.spent.Spent[key] += actual - h.amount
		}
	}
	h.amount = actual
	return p.file.Save(p.spent)
}

func (p *Purse) line(c Cap, now time.Time) Line {
	key, reset := c.window(now)
	return Line{Name: string(c.Period), Unit: p.unit, Limit: c.Limit, Left: max(0, c.Limit-p.spent.Spent[string(c.Period)+" "+key]), Reset: reset}
}

// Lines are the purse's limits as they stand.
func (p *Purse) Lines() []Line {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	lines := make([]Line, len(p.caps))
	for i, c := range p.caps {
		lines[i] = p.line(c, now)
	}
	return lines
}

// Purses opens purses by name.
type Purses struct {
	dir string
	now func() time.Time

	mu   sync.Mutex
	open map[string]*Purse
}

// NewPurses keeps purses in a folder.
func NewPurses(dir string, now func() time.Time) *Purses {
	return &Purses{dir: dir, now: now, open: map[string]*Purse{}}
}

var unsafe = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// Open returns the purse of that name; sources that name the same share it, and then have to agree on its limits. The name goes into errors and file names: no secret.
func (ps *Purses) Open(name string, unit Unit, caps ...Cap) (*Purse, error) {
	if len(caps) == 0 {
		return nil, errors.New("opening a purse without a limit")
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.open[name]; p != nil {
		if p.unit != unit || !slices.EqualFunc(p.caps, caps, func(a, b Cap) bool { return a.Period == b.Period && a.Limit == b.Limit }) {
			return nil, fmt.Errorf("the budget %s has other limits in another source; allowed: the same in each", name)
		}
		return p, nil
	}
	p := &Purse{
		name: name, unit: unit, caps: caps, now: ps.now,
		file: state.File{Path: filepath.Join(ps.dir, "budget-"+unsafe.ReplaceAllString(name, "_")+".json"), Kind: "budget", Version: 1},
	}
	p.spent = spending{Name: name, Spent: map[string]int64{}}
	if _, err := p.file.Load(&p.spent); err != nil {
		return nil, err
	}
	ps.open[name] = p
	return p, nil
}
