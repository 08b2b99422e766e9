package label

import (
	"math/rand/v2"
	"slices"
)

// Candidate is a message that could be labelled, with the classifier's answer: the label and its probability.
type Candidate struct {
	Predicted string
	P         float32
}

const (
	// AuditShare is how many of the draws are random over the whole stream: they find what the classifier is sure of and wrong about.
	AuditShare = 0.2
	// SureP is the probability from which an answer counts as sure.
	SureP = 0.75
	// Random is the stratum of an audit.
	Random = "random"
)

// Stratum is the predicted class and whether the classifier is sure of it.
func (c Candidate) Stratum() string {
	if c.P >= SureP {
		return c.Predicted + ", sure"
	}
	return c.Predicted + ", unsure"
}

// Drawn is a candidate that is to be labelled: its place, what it was drawn as, and how much it counts beside a random draw of the stream. The rarer its
// stratum in the stream, the less: rare strata are drawn as often as common ones, because errors are found where the classifier is unsure or says what is rare.
type Drawn struct {
	Place   int
	Stratum string
	Weight  float64
}

// Sampler draws candidates, each at most once.
type Sampler struct {
	random     *rand.Rand
	candidates []Candidate
	size       map[string]int
	left       map[string][]int
	names      []string
	all        []int
	taken      []bool
}

// NewSampler returns a sampler over candidates. The same candidates and seed give the same draws.
func NewSampler(candidates []Candidate, seed uint64) *Sampler {
	s := &Sampler{random: rand.New(rand.NewPCG(seed, 3)), candidates: candidates, size: map[string]int{}, left: map[string][]int{}, taken: make([]bool, len(candidates))}
	for i, c := range candidates {
		name := c.Stratum()
		if s.size[name] == 0 {
			s.names = append(s.names, name)
		}
		s.size[name]++
		s.left[name] = append(s.left[name], i)
		s.all = append(s.all, i)
	}
	slices.Sort(s.names)
	shuffle := func(places []int) {
		s.random.Shuffle(len(places), func(a, b int) { places[a], places[b] = places[b], places[a] })
	}
	shuffle(s.all)
	for _, name := range s.names {
		shuffle(s.left[name])
	}
	return s
}

// Next draws; ok is false once nothing is left.
func (s *Sampler) Next() (d Drawn, ok bool) {
	var open []string
	for _, name := range s.names {
		if s.trim(s.left[name], func(left []int) { s.left[name] = left }) {
			open = append(open, name)
		}
	}
	if len(open) == 0 {
		return Drawn{}, false
	}
	audit := s.random.Float64() < AuditShare
	from := s.left[open[s.random.IntN(len(open))]]
	if audit {
		s.trim(s.all, func(left []int) { s.all = left })
		from = s.all
	}
	place := from[0]
	s.taken[place] = true
	name := s.candidates[place].Stratum()
	n := float64(len(s.candidates))
	d = Drawn{Place: place, Stratum: name, Weight: 1 / (AuditShare + (1-AuditShare)*n/(float64(len(s.names))*float64(s.size[name])))}
	if audit {
		d.Stratum = Random
	}
	return d, true
}

// trim drops what was taken from the head of a list, and tells whether anything is left of it.
func (s *Sampler) trim(places []int, keep func([]int)) bool {
	for len(places) > 0 && s.taken[places[0]] {
		places = places[1:]
	}
	keep(places)
	return len(places) > 0
}
