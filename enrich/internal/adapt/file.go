package adapt

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Adaptation is one revision of an institution's corrections. A revision is never changed; undoing one is another revision.
type Adaptation struct {
	Institution string `json:"institution"`
	// Revision counts from 1 for each model. The newest counts.
	Revision int `json:"revision"`
	// Base is the model version that it corrects; of any other it says nothing.
	Base   string    `json:"base"`
	MadeAt time.Time `json:"made_at"`
	// RevertedTo is the revision that this one goes back to, 0 for the model itself; nil where it was learnt.
	RevertedTo *int   `json:"reverted_to,omitempty"`
	Heads      []Head `json:"heads"`
}

// Head is the correction of one head with the proof for it.
type Head struct {
	Head       string      `json:"head"`
	Labels     []string    `json:"labels"`
	Examples   int         `json:"examples"`
	Correction *Correction `json:"correction"`
	Boost      []float64   `json:"boost"`
	Before     Figures     `json:"before"`
	After      Figures     `json:"after"`
	GainLow    float64     `json:"gain_low"`
	GainHigh   float64     `json:"gain_high"`
	// OutOfFold holds, by hash of the message's identity, the label that a correction gave which had not seen it: what measuring has to use for the messages learnt from.
	OutOfFold map[uint64]int `json:"out_of_fold"`
}

// MostRevisions is how many revisions one model can have: their number shares the model's sequence number.
const MostRevisions = 15

// largest bounds the numbers of a correction, so that no sum of them leaves what can be computed with.
const largest = 1e6

// Check returns what is wrong with a, or nil.
func (a *Adaptation) Check() error {
	if a.Revision < 1 || a.Revision > MostRevisions {
		return fmt.Errorf("revision is %d; allowed are 1 to %d", a.Revision, MostRevisions)
	}
	if a.Base == "" || a.Institution == "" {
		return errors.New("institution and base are required")
	}
	for _, h := range a.Heads {
		k := len(h.Labels)
		if k < 2 || h.Correction == nil || len(h.Correction.Bias) != k || len(h.Boost) != k {
			return fmt.Errorf("head %q: correction and boost do not fit its %d labels", h.Head, k)
		}
		numbers := append(slices.Concat(h.Correction.Bias, h.Boost), h.Correction.Slope)
		if h.Correction.Signals != nil {
			if len(h.Correction.Signals) != k {
				return fmt.Errorf("head %q: signals do not fit its %d labels", h.Head, k)
			}
			for _, row := range h.Correction.Signals {
				if len(row) != len(h.Correction.Signals[0]) {
					return fmt.Errorf("head %q: signals are of several lengths", h.Head)
				}
				numbers = append(numbers, row...)
			}
		}
		for b, row := range h.Correction.Words {
			if b >= wordRows || len(row) != k {
				return fmt.Errorf("head %q: the words' bucket %d does not fit", h.Head, b)
			}
			for _, x := range row {
				numbers = append(numbers, float64(x))
			}
		}
		for _, x := range numbers {
			if !(math.Abs(x) <= largest) {
				return fmt.Errorf("head %q holds a number that no fit gives", h.Head)
			}
		}
		for _, b := range h.Boost {
			if b <= 0 {
				return fmt.Errorf("head %q: a boost of %v; it has to be above 0", h.Head, b)
			}
		}
	}
	return nil
}

// Folder holds the adaptations: a folder for each institution, in it a file for each model and revision. Nothing in it is overwritten.
type Folder string

var (
	fileName = regexp.MustCompile(`^(.+)\.r([0-9]+)\.json$`)
	unsafe   = regexp.MustCompile(`[^A-Za-z0-9._-]`)
)

func (f Folder) dir(institution string) string { return filepath.Join(string(f), institution) }

func safe(base string) string { return unsafe.ReplaceAllString(base, "_") }

// Revisions returns an institution's revisions of one model, the oldest first.
func (f Folder) Revisions(institution, base string) ([]*Adaptation, error) {
	if institution == "" || institution != filepath.Base(institution) || strings.HasPrefix(institution, ".") {
		return nil, fmt.Errorf("reading adaptations: the institution %q cannot be a folder's name", institution)
	}
	entries, err := os.ReadDir(f.dir(institution))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading adaptations: %w", err)
	}
	var out []*Adaptation
	for _, e := range entries {
		m := fileName.FindStringSubmatch(e.Name())
		if m == nil || m[1] != safe(base) {
			continue
		}
		path := filepath.Join(f.dir(institution), e.Name())
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading an adaptation: %w", err)
		}
		a := &Adaptation{}
		if err := json.Unmarshal(b, a); err != nil {
			return nil, fmt.Errorf("reading the adaptation %s: %w", path, err)
		}
		if err := a.Check(); err != nil {
			return nil, fmt.Errorf("reading the adaptation %s: %w", path, err)
		}
		if n, _ := strconv.Atoi(m[2]); a.Institution != institution || a.Base != base || a.Revision != n {
			return nil, fmt.Errorf("reading the adaptation %s: it is of institution %q, model %q, revision %d", path, a.Institution, a.Base, a.Revision)
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *Adaptation) int { return a.Revision - b.Revision })
	return out, nil
}

// Institutions returns whom the folder has adaptations for, of whatever model.
func (f Folder) Institutions() ([]string, error) {
	entries, err := os.ReadDir(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading adaptations: %w", err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// Add writes a new revision. It refuses to replace one that exists.
func (f Folder) Add(a *Adaptation) (path string, err error) {
	if err := a.Check(); err != nil {
		return "", fmt.Errorf("writing an adaptation: %w", err)
	}
	b, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("writing an adaptation: %w", err)
	}
	if err := os.MkdirAll(f.dir(a.Institution), 0o755); err != nil {
		return "", fmt.Errorf("writing an adaptation: %w", err)
	}
	path = filepath.Join(f.dir(a.Institution), fmt.Sprintf("%s.r%d.json", safe(a.Base), a.Revision))
	temporary, err := os.CreateTemp(f.dir(a.Institution), ".new-*")
	if err != nil {
		return "", fmt.Errorf("writing an adaptation: %w", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(b)
	if err := errors.Join(err, temporary.Chmod(0o644), temporary.Sync(), temporary.Close()); err != nil {
		return "", fmt.Errorf("writing an adaptation: %w", err)
	}
	// A link, because it fails where the file is there already.
	if err := os.Link(temporary.Name(), path); err != nil {
		return "", fmt.Errorf("writing an adaptation: %w", err)
	}
	return path, nil
}
