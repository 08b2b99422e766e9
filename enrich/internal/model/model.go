// Package model holds the classifier's weights: one versioned artefact with hashed linear heads, and its scoring.
//
// The artefact is a header in JSON, then for each space its scales, biases and weights, then the networks, then a checksum. A space is a table
// of 2^bits rows of 16-bit weights, one column an output; heads are runs of columns in a space, with their calibration. Sums are made in
// integers, so a score depends neither on the order of the features nor on whether a word's share came out of a cache. A head may add the
// mean score of the networks to that of its columns.
package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

const (
	magic       = "DWIENRCH"
	formatV4    = 4
	maxBits     = 24
	maxColumns  = 64
	maxHeaderSz = 1 << 20
)

// Kinds of head: outputs that exclude each other, and outputs that do not.
const (
	Softmax = "softmax"
	Sigmoid = "sigmoid"
)

// Header describes an artefact.
type Header struct {
	// Version names the release, for people and for the rows that it wrote.
	Version string `json:"version"`
	// Seq grows by one with every released model; the newer of two enrichments of a message is the one with the larger Seq.
	Seq uint32 `json:"seq"`
	// Features is text.Version at training.
	Features int             `json:"features"`
	Seed     uint64          `json:"seed"`
	Spaces   []SpaceHeader   `json:"spaces"`
	Heads    []Head          `json:"heads"`
	Networks []NetworkHeader `json:"networks,omitempty"`
}

// Head is a run of columns with its labels and calibration: p = softmax or sigmoid of (Slope[i]*score[i] + Offset[i]).
type Head struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind"`
	Space  int      `json:"space"`
	First  int      `json:"first"`
	Labels []string `json:"labels"`
	// Networks is how much the mean score of the networks counts beside the columns'; 0 leaves the networks out, and they are not run.
	Networks float64   `json:"networks,omitempty"`
	Slope    []float64 `json:"slope"`
	Offset   []float64 `json:"offset"`
	// Threshold is the probability from which a label is reported; for a softmax head the probability under which it abstains.
	Threshold []float64 `json:"threshold"`
	// Reported, if there, is the slope and the offset of a second calibration, of log-odds: of what has happened to a probability since the first one. See Report.
	Reported []float64 `json:"reported,omitempty"`
}

// Model is a loaded artefact. It is read-only and safe for concurrent use.
type Model struct {
	Header
	Tables []Space
	Nets   []*Network
}

// Errors of decoding that callers tell apart.
var (
	ErrNotAModel = errors.New("not a model artefact")
	ErrDamaged   = errors.New("damaged model artefact")
	ErrVersion   = errors.New("model of another version")
)

// Encode writes the artefact. The same model always gives the same bytes.
func (m *Model) Encode() ([]byte, error) {
	header, err := json.Marshal(m.Header)
	if err != nil {
		return nil, fmt.Errorf("encoding the model's header: %w", err)
	}
	var b bytes.Buffer
	b.WriteString(magic)
	le := binary.LittleEndian
	b.Write(le.AppendUint32(nil, formatV4))
	b.Write(le.AppendUint32(nil, uint32(len(header))))
	b.Write(header)
	for i := range m.Tables {
		t := &m.Tables[i]
		for _, v := range t.Scale {
			b.Write(le.AppendUint32(nil, math.Float32bits(v)))
		}
		for _, v := range t.Bias {
			b.Write(le.AppendUint32(nil, math.Float32bits(v)))
		}
		b.Write(t.appendRows(nil))
	}
	for _, n := range m.Nets {
		b.Write(n.append(nil))
	}
	sum := sha256.Sum256(b.Bytes())
	b.Write(sum[:])
	return b.Bytes(), nil
}

// Decode reads an artefact and refuses one that is damaged or was trained on other features.
func Decode(b []byte) (*Model, error) {
	le := binary.LittleEndian
	const fixed = len(magic) + 8
	if len(b) < fixed+sha256.Size || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("decoding a model: %w", ErrNotAModel)
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, fmt.Errorf("decoding a model: checksum differs: %w", ErrDamaged)
	}
	if v := le.Uint32(b[len(magic):]); v != formatV4 {
		return nil, fmt.Errorf("decoding a model: format %d, this program reads %d: %w", v, formatV4, ErrVersion)
	}
	n := int(le.Uint32(b[len(magic)+4:]))
	body = body[fixed:]
	if n > maxHeaderSz || n > len(body) {
		return nil, fmt.Errorf("decoding a model: header of %d bytes: %w", n, ErrDamaged)
	}
	m := &Model{}
	if err := json.Unmarshal(body[:n], &m.Header); err != nil {
		return nil, fmt.Errorf("decoding a model's header: %w: %w", err, ErrDamaged)
	}
	body = body[n:]
	if m.Features != text.Version {
		return nil, fmt.Errorf("decoding model %s: trained on features %d, this program makes %d: %w", m.Version, m.Features, text.Version, ErrVersion)
	}
	for _, h := range m.Spaces {
		if h.Bits < 1 || h.Bits > maxBits || h.Columns < 1 || h.Columns > maxColumns {
			return nil, fmt.Errorf("decoding a model: space %q has %d bits and %d columns: %w", h.Name, h.Bits, h.Columns, ErrDamaged)
		}
		if len(body) < 8*h.Columns+presentBytes(h.Bits) {
			return nil, fmt.Errorf("decoding a model: space %q is cut short: %w", h.Name, ErrDamaged)
		}
		t := NewSpace(h)
		for i := range t.Scale {
			t.Scale[i] = math.Float32frombits(le.Uint32(body[4*i:]))
			t.Bias[i] = math.Float32frombits(le.Uint32(body[4*(h.Columns+i):]))
		}
		var err error
		if body, err = t.decodeRows(body[8*h.Columns:]); err != nil {
			return nil, fmt.Errorf("decoding a model: %w", err)
		}
		m.Tables = append(m.Tables, t)
	}
	for _, h := range m.Networks {
		n, rest, err := decodeNetwork(h, body)
		if err != nil {
			return nil, fmt.Errorf("decoding a model: %w", err)
		}
		m.Nets, body = append(m.Nets, n), rest
	}
	if len(body) != 0 {
		return nil, fmt.Errorf("decoding a model: %d bytes too many: %w", len(body), ErrDamaged)
	}
	for _, h := range m.Heads {
		n := len(h.Labels)
		if h.Space < 0 || h.Space >= len(m.Spaces) || h.First < 0 || n == 0 || h.First+n > m.Spaces[h.Space].Columns ||
			len(h.Slope) != n || len(h.Offset) != n || len(h.Threshold) != n || (h.Kind != Softmax && h.Kind != Sigmoid) ||
			h.Reported != nil && (len(h.Reported) != 2 || !(h.Reported[0] > 0)) {
			return nil, fmt.Errorf("decoding a model: head %q does not fit its space: %w", h.Name, ErrDamaged)
		}
		if h.Networks != 0 && (len(m.Nets) == 0 || slices.ContainsFunc(m.Nets, func(net *Network) bool { return net.Labels != n })) {
			return nil, fmt.Errorf("decoding a model: head %q does not fit the networks: %w", h.Name, ErrDamaged)
		}
	}
	return m, nil
}

// Head returns the head of that name.
func (m *Model) Head(name string) (*Head, error) {
	for i := range m.Heads {
		if m.Heads[i].Name == name {
			return &m.Heads[i], nil
		}
	}
	return nil, fmt.Errorf("model %s has no head %q", m.Version, name)
}

// metBits is the binary logarithm of how many words a scorer keeps the sums of.
const metBits = 16

// Scorer scores documents. It keeps the sums of words that it met, which changes no result; it is not safe for concurrent use.
type Scorer struct {
	m *Model
	// Scores has one row a space.
	scores [][]float64
	// words, concepts and chars are the sums of one view, the columns of all spaces following each other. A text has too few features for the sums by word
	// or concept to pass 32 bits; n-grams repeat.
	words, concepts, part []int32
	chars                 []int64
	// packed is room for the sums of some rows of every space.
	packed []uint64

	// met are the words whose n-grams were added up before: the sums of all columns, two to a machine word, each raised by weightBias for each n-gram.
	hasher wordHasher
	met    metWords
	sums   []uint64
	// found are the slots of the words of a text that are not yet in total, the sums of the text.
	found []int
	total []uint64
	grams []uint32

	// doc is the document scored last, hashes are those of its tokens; the networks read both only when a head asks for them.
	doc      *text.Doc
	hashes   []uint64
	networks []*networkScorer
	read     bool
}

// NewScorer returns a scorer of m. The model is scored fastest if it has no more heads than are asked for (Only).
func NewScorer(m *Model) *Scorer {
	s := &Scorer{m: m, grams: make([]uint32, 0, text.MaxGrams), hasher: newWordHasher(), met: newMetWords(metBits)}
	columns, packed := 0, 0
	for _, t := range m.Tables {
		s.scores = append(s.scores, make([]float64, t.Columns))
		columns += t.Columns
		packed += t.sumSize()
	}
	s.words, s.concepts, s.part, s.chars = make([]int32, columns), make([]int32, columns), make([]int32, columns), make([]int64, columns)
	s.packed, s.total = make([]uint64, packed), make([]uint64, (columns+sumColumns-1)/sumColumns*sumWords)
	s.sums = table(len(s.total) << metBits)
	for _, n := range m.Nets {
		s.networks = append(s.networks, newNetworkScorer(n))
	}
	return s
}

// Score computes the scores of every column for d. D must not change until the last call of Probabilities.
func (s *Scorer) Score(d *text.Doc) {
	s.doc, s.read = d, false
	s.touchRows(d)
	grams := s.scoreChars(d)
	s.sum(d.Words, s.words, func(t *Space) bool { return t.WordScale != 0 })
	s.sum(d.Concepts, s.concepts, func(t *Space) bool { return t.ConceptScale != 0 })
	wordScale, conceptScale, charScale := ViewScale(len(d.Words)), ViewScale(len(d.Concepts)), ViewScale(grams)
	at := 0
	for i := range s.m.Tables {
		t := &s.m.Tables[i]
		words, concepts, chars := s.words[at:at+t.Columns], s.concepts[at:at+t.Columns], s.chars[at:at+t.Columns]
		at += t.Columns
		for c := range s.scores[i] {
			s.scores[i][c] = float64(t.Bias[c]) + float64(t.Scale[c])*(t.WordScale*wordScale*float64(words[c])+
				t.ConceptScale*conceptScale*float64(concepts[c])+charScale*float64(chars[c]))
		}
	}
}

// touchRows has the rows of the words and concepts fetched while something else is worked out. Those of all spaces lie side by side.
func (s *Scorer) touchRows(d *text.Doc) {
	for i := range s.m.Tables {
		if t := &s.m.Tables[i]; t.readsWords() {
			touchRows(t.rows, &t.place, d.Words)
			touchRows(t.rows, &t.place, d.Concepts)
			return
		}
	}
}

// featuresAtOnce is how many features are added up in one space before the next: their lines of memory are still near then.
const featuresAtOnce = 64

// sum writes the sums over some features into out, of the columns of the spaces that read them; the other columns stay as they are.
func (s *Scorer) sum(features []uint32, out []int32, reads func(*Space) bool) {
	clear(s.packed)
	for some := range slices.Chunk(features, featuresAtOnce) {
		packed := s.packed
		for i := range s.m.Tables {
			t := &s.m.Tables[i]
			if reads(t) {
				t.add(packed, some)
			}
			packed = packed[t.sumSize():]
		}
	}
	packed := s.packed
	for i := range s.m.Tables {
		t := &s.m.Tables[i]
		if reads(t) {
			t.unpack(packed, len(features), out)
		}
		packed, out = packed[t.sumSize():], out[t.Columns:]
	}
}

// tokensAtOnce is how many tokens can be added up in packed sums, whatever they are.
const tokensAtOnce = mostRows / text.MaxGrams

// scoreChars sums up the view by characters, and returns how many n-grams it has. The words are looked up first and added up then, so that the
// processor waits for their memory together.
func (s *Scorer) scoreChars(d *text.Doc) int {
	clear(s.chars)
	s.hashes = s.hashes[:0]
	for _, t := range d.Tokens {
		s.hashes = append(s.hashes, s.hasher.of(d.Text(t)))
	}
	s.met.touch(s.hashes)
	all := 0
	for first := 0; first < len(d.Tokens); first += tokensAtOnce {
		clear(s.total)
		grams := 0
		for i := first; i < min(first+tokensAtOnce, len(d.Tokens)); i++ {
			t, hash := d.Tokens[i], s.hashes[i]
			n := t.CountGrams()
			if n == 0 {
				continue
			}
			grams += n
			slot, met := s.met.find(hash)
			if !met {
				// The slot may be one of those found.
				s.addFound()
				s.sumGrams(d, t, s.sumsIn(slot))
				s.met.keep(slot, hash)
			}
			s.found = append(s.found, slot)
		}
		s.addFound()
		s.unpackChars(grams)
		all += grams
	}
	return all
}

// sumsIn are the sums that a slot keeps.
func (s *Scorer) sumsIn(slot int) []uint64 {
	return s.sums[slot*len(s.total):][:len(s.total)]
}

// addFound adds the words found to the total.
func (s *Scorer) addFound() {
	addSums(s.total, s.sums, s.found)
	s.found = s.found[:0]
}

// unpackChars adds the sums of some n-grams to chars.
func (s *Scorer) unpackChars(grams int) {
	for c := range s.chars {
		s.chars[c] += int64(int32(uint32(s.total[c/2]>>(c%2*32)) - uint32(grams)*weightBias))
	}
}

// sumGrams writes the sums over the n-grams of one word.
func (s *Scorer) sumGrams(d *text.Doc, t text.Token, out []uint64) {
	s.grams = d.Grams(t, s.grams[:0])
	s.sum(s.grams, s.part, func(*Space) bool { return true })
	clear(out)
	for c, v := range s.part {
		out[c/2] |= uint64(uint32(v)+uint32(len(s.grams))*weightBias) << (c % 2 * 32)
	}
}

// ViewScale is the value of each of n features of one view, so that a long text does not shout.
func ViewScale(n int) float64 {
	if n == 0 {
		return 0
	}
	return 1 / math.Sqrt(float64(n))
}

// Raw returns the scores of a head in the document scored last, before calibration. The slice is valid until the next Score.
func (s *Scorer) Raw(h *Head) []float64 { return s.scores[h.Space][h.First : h.First+len(h.Labels)] }

// Probabilities writes the calibrated probabilities of a head in the document scored last into p.
func (s *Scorer) Probabilities(h *Head, p []float64) {
	copy(p, s.Raw(h))
	if h.Networks != 0 {
		s.addNetworks(h.Networks, p)
	}
	h.Calibrate(p, p)
}

// Reportable is Probabilities of a head whose labels do not exclude each other, but that what is surely under LeastReported is 0: most of it is, and that takes no exponential to see.
func (s *Scorer) Reportable(h *Head, p []float64) {
	if h.Kind != Sigmoid || h.Networks != 0 {
		s.Probabilities(h, p)
		return
	}
	for i, v := range s.Raw(h) {
		v = h.Slope[i]*v + h.Offset[i]
		if p[i] = 0; v > surelyUnreported {
			p[i] = logistic(v)
		}
	}
}

// Likeliest returns the likeliest label of a softmax head in the document scored last, and whether its probability is at least least. P is room for the
// probabilities, which need not be worked out where all the other labels together cannot reach the first.
func (s *Scorer) Likeliest(h *Head, least float64, p []float64) (int, bool) {
	if h.Networks == 0 {
		best, top, second := 0, math.Inf(-1), math.Inf(-1)
		for i, v := range s.Raw(h) {
			v = h.Slope[i]*v + h.Offset[i]
			if v > top {
				best, top, second = i, v, top
			} else {
				second = max(second, v)
			}
		}
		const rounding = 1e-6
		if top-second > math.Log(float64(len(h.Labels)-1)*least/(1-least))+rounding {
			return best, true
		}
	}
	s.Probabilities(h, p)
	best := 0
	for i := range p {
		if p[i] > p[best] {
			best = i
		}
	}
	return best, p[best] >= least
}

func (s *Scorer) addNetworks(share float64, p []float64) {
	for _, n := range s.networks {
		if !s.read {
			n.score(s.doc, s.hashes)
		}
		for l, v := range n.scores {
			p[l] += share * v / float64(len(s.networks))
		}
	}
	s.read = true
}

const (
	// LeastReported is the least probability that is worth reporting, and that a second calibration is fitted for.
	LeastReported = 0.01
	// leastOdds bounds probabilities before their log-odds are taken.
	leastOdds = 1e-4
)

// LogOdds are those of p, which is kept from 0 and 1.
func LogOdds(p float64) float64 {
	p = min(max(p, leastOdds), 1-leastOdds)
	return math.Log(p / (1 - p))
}

// surelyUnreported is the log-odds up to which a probability is under LeastReported, however it is rounded.
var surelyUnreported = LogOdds(LeastReported) - 1e-6

// logistic is the probability with those log-odds.
func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Report returns what a probability is reported as: itself, unless the head has a second calibration. It grows with p.
func (h *Head) Report(p float64) float64 {
	if h.Reported == nil {
		return p
	}
	return logistic(h.Reported[0]*LogOdds(p) + h.Reported[1])
}

// Unreport returns the probability that is reported as p.
func (h *Head) Unreport(p float64) float64 {
	if h.Reported == nil {
		return p
	}
	return logistic((LogOdds(p) - h.Reported[1]) / h.Reported[0])
}

// Calibrate turns scores into probabilities; p and scores may be the same slice.
func (h *Head) Calibrate(scores, p []float64) {
	if h.Kind == Sigmoid {
		for i, s := range scores {
			p[i] = logistic(h.Slope[i]*s + h.Offset[i])
		}
		return
	}
	top := math.Inf(-1)
	for i, s := range scores {
		p[i] = h.Slope[i]*s + h.Offset[i]
		top = max(top, p[i])
	}
	total := 0.0
	for i := range scores {
		p[i] = math.Exp(p[i] - top)
		total += p[i]
	}
	for i := range scores {
		p[i] /= total
	}
}
