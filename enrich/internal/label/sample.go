package label

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
)

// Candidate is a message of the stream, with the classifier's answer: the label and its probability.
type Candidate struct {
	Predicted string
	P         float32
	// Labelled ones are not drawn; they are part of what their stratum is.
	Labelled bool
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
		if !c.Labelled {
			s.left[name] = append(s.left[name], i)
			s.all = append(s.all, i)
		}
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
	d = Drawn{Place: place, Stratum: name, Weight: weightOf(float64(s.size[name]) / float64(len(s.candidates)) * float64(len(s.names)))}
	if audit {
		d.Stratum = Random
	}
	return d, true
}

// weightOf returns what a draw counts beside a random one, relative being how large its stratum is beside the mean one.
func weightOf(relative float64) float64 { return 1 / (AuditShare + (1-AuditShare)/relative) }

// relativeOf undoes weightOf; ok is false for what is no weight of a draw.
func relativeOf(weight float64) (relative float64, ok bool) {
	relative = (1 - AuditShare) / (1/weight - AuditShare)
	return relative, relative > 0 && !math.IsInf(relative, 0)
}

// Weigh sets what each text counts, such that the strata have the shares among them that they have in the stream. The weights of the draws alone do not lead there: a rare
// stratum is soon labelled to its end, and what is drawn after that goes to the others. Texts of one model version count as many as they are; ones from elsewhere keep their weight.
func Weigh(texts []Text) {
	type strata struct {
		labels, relative map[string]float64
		drawn            float64
	}
	versions := map[string]*strata{}
	stratified := func(do func(t *Text, relative float64)) {
		for i := range texts {
			if relative, ok := relativeOf(texts[i].Weight); ok && texts[i].Stratum != "" {
				do(&texts[i], relative)
			}
		}
	}
	stratified(func(t *Text, relative float64) {
		v := versions[t.ModelVersion]
		if v == nil {
			v = &strata{labels: map[string]float64{}, relative: map[string]float64{}}
			versions[t.ModelVersion] = v
		}
		v.drawn++
		v.labels[t.Stratum]++
		v.relative[t.Stratum] += (relative - v.relative[t.Stratum]) / v.labels[t.Stratum] // the mean: a stream changes between draws
	})
	totals := map[string]float64{}
	for version, v := range versions {
		for _, name := range slices.Sorted(maps.Keys(v.relative)) {
			totals[version] += v.relative[name]
		}
	}
	stratified(func(t *Text, _ float64) {
		v := versions[t.ModelVersion]
		t.Weight = v.drawn * v.relative[t.Stratum] / totals[t.ModelVersion] / v.labels[t.Stratum]
	})
}

// trim drops what was taken from the head of a list, and tells whether anything is left of it.
func (s *Sampler) trim(places []int, keep func([]int)) bool {
	for len(places) > 0 && s.taken[places[0]] {
		places = places[1:]
	}
	keep(places)
	return len(places) > 0
}
