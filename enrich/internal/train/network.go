package train

import (
	"math"
	"math/rand/v2"
	"sync"

	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

// The shape of the networks of a release, and how they are trained.
const (
	netBits    = 16
	netDims    = 32
	netFilters = 64
	// netTokens is how much of a text they learn from.
	netTokens = 64
	// networks is how many there are, alike but for their seed. A second doubles the time and bettered macro-F1 by no more than 0.002.
	networks = 1
	// netEpochs and skipEpochs are passes over the labelled texts and over all texts.
	netEpochs, skipEpochs = 5, 4
	netRate, netDrop      = 0.05, 0.4
	// netSmoothing is the part of a label that is spread over all: a network that is sure of nothing is worth more beside other columns.
	netSmoothing = 0.15
)

// sequence is a text as a network reads it: for each token the rows of the table that its vector is the mean of.
type sequence struct {
	rows  []uint32
	start []int32
}

func (s *sequence) tokens() int { return len(s.start) - 1 }

func (s *sequence) token(i int) []uint32 { return s.rows[s.start[i]:s.start[i+1]] }

func sequences(a *text.Analyzer, texts []string) []sequence {
	out := make([]sequence, len(texts))
	doc := &text.Doc{}
	for i, s := range texts {
		a.Analyze(doc, s)
		q := &out[i]
		q.start = append(q.start, 0)
		for _, t := range doc.Tokens[:min(len(doc.Tokens), netTokens)] {
			q.rows = model.NetworkRows(doc, t, netBits, q.rows)
			q.start = append(q.start, int32(len(q.rows)))
		}
	}
	return out
}

// vectors are the rows of the table, with the sum of squared gradients of each (Adagrad with one rate a row).
type vectors struct {
	rows []float32
	seen []float32
}

func newVectors(r *rand.Rand) *vectors {
	v := &vectors{rows: make([]float32, netDims<<netBits), seen: make([]float32, 1<<netBits)}
	for i := range v.rows {
		v.rows[i] = (r.Float32() - 0.5) / netDims * 4
	}
	return v
}

func (v *vectors) clone() *vectors {
	return &vectors{rows: append([]float32(nil), v.rows...), seen: make([]float32, len(v.seen))}
}

func (v *vectors) mean(rows []uint32, into []float32) {
	clear(into)
	for _, r := range rows {
		row := v.rows[int(r)*netDims : int(r)*netDims+netDims]
		for d := range into {
			into[d] += row[d]
		}
	}
	scale := 1 / float32(len(rows))
	for d := range into {
		into[d] *= scale
	}
}

// update moves the rows against the gradient of their mean.
func (v *vectors) update(rows []uint32, gradient []float32, rate float32) {
	square := float32(0)
	for _, g := range gradient {
		square += g * g
	}
	if square == 0 {
		return
	}
	square /= netDims
	for _, r := range rows {
		v.seen[r] += square
		step := rate / float32(math.Sqrt(float64(v.seen[r])+1e-6))
		row := v.rows[int(r)*netDims : int(r)*netDims+netDims]
		for d, g := range gradient {
			row[d] -= step * g
		}
	}
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

// skipGram learns vectors in which words of like surroundings are alike (Bojanowski et al. 2017). pairs are the places of parallel sentences:
// a word's surroundings are those of its translation, too, so that languages meet.
func skipGram(texts []sequence, parallel [][2]int, epochs int, seed uint64) *vectors {
	r := rand.New(rand.NewPCG(seed, 11))
	v := newVectors(r)
	context := make([]float32, netDims<<netBits)
	var center, gradient [netDims]float32
	const negatives, reach = 4, 3
	// Negative examples are drawn as words occur.
	var words []uint32
	for i := range texts {
		for t := range texts[i].tokens() {
			words = append(words, texts[i].token(t)[0])
		}
	}
	rate := float32(0.05)
	// near moves the word at the centre and the vector that target has as a surrounding towards each other, and away from strangers.
	near := func(target uint32) {
		for n := range negatives + 1 {
			label, word := float32(1), target
			if n > 0 {
				label, word = 0, words[r.IntN(len(words))]
				if word == target {
					continue
				}
			}
			c := context[int(word)*netDims : int(word)*netDims+netDims]
			g := (sigmoid(model.Dot(center[:], c)) - label) * rate
			for d := range c {
				gradient[d] += g * c[d]
				c[d] -= g * center[d]
			}
		}
	}
	apply := func(rows []uint32) {
		for _, w := range rows {
			row := v.rows[int(w)*netDims : int(w)*netDims+netDims]
			for d, g := range gradient {
				row[d] -= g
			}
		}
	}
	order := make([]int, len(texts)+len(parallel))
	for i := range order {
		order[i] = i
	}
	for range epochs {
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, k := range order {
			of, around := k, k
			if k >= len(texts) {
				of, around = parallel[k-len(texts)][0], parallel[k-len(texts)][1]
			}
			a, b := &texts[of], &texts[around]
			n, m := a.tokens(), b.tokens()
			for i := range n {
				rows := a.token(i)
				v.mean(rows, center[:])
				clear(gradient[:])
				// In a translation, the word that stands for this one is at about the same part of the sentence.
				at, w := i*m/n, 1
				if of == around {
					w += r.IntN(reach)
				}
				for j := max(0, at-w); j <= min(m-1, at+w); j++ {
					if of != around || j != i {
						near(b.token(j)[0])
					}
				}
				apply(rows)
			}
		}
		rate *= 0.6
	}
	return v
}

// network is a convolutional network in training.
type network struct {
	v                                           *vectors
	taps, tapBias                               []float32 // filters x window*dims
	out, outBias                                []float32 // labels x (filters+dims)
	tapsSeen, tapBiasSeen, outSeen, outBiasSeen []float32

	x      []float32 // tokens+2 rows of dims, the first and last empty
	dx     []float32
	hidden []float32 // filters, then the mean vector
	at     []int     // where each filter found its largest
	keep   []float32
	score  [3]float32
}

const netLabels = 3

func newNetwork(v *vectors, r *rand.Rand) *network {
	n := &network{v: v,
		taps: make([]float32, netFilters*model.NetworkWindow*netDims), tapBias: make([]float32, netFilters),
		out: make([]float32, netLabels*(netFilters+netDims)), outBias: make([]float32, netLabels),
		x: make([]float32, (netTokens+2)*netDims), dx: make([]float32, (netTokens+2)*netDims),
		hidden: make([]float32, netFilters+netDims), at: make([]int, netFilters), keep: make([]float32, netFilters)}
	n.tapsSeen, n.tapBiasSeen = make([]float32, len(n.taps)), make([]float32, netFilters)
	n.outSeen, n.outBiasSeen = make([]float32, len(n.out)), make([]float32, netLabels)
	for i := range n.taps {
		n.taps[i] = (r.Float32() - 0.5) * 0.4
	}
	for i := range n.out {
		n.out[i] = (r.Float32() - 0.5) * 0.2
	}
	return n
}

func (n *network) forward(s *sequence) {
	t := s.tokens()
	clear(n.x[:netDims])
	for i := range t {
		n.v.mean(s.token(i), n.x[(i+1)*netDims:(i+2)*netDims])
	}
	clear(n.x[(t+1)*netDims : (t+2)*netDims])
	for f := range netFilters {
		w := n.taps[f*model.NetworkWindow*netDims : (f+1)*model.NetworkWindow*netDims]
		best, at := float32(0), -1
		for i := range t {
			if y := model.Dot(w, n.x[i*netDims:(i+model.NetworkWindow)*netDims]) + n.tapBias[f]; y > best {
				best, at = y, i
			}
		}
		n.hidden[f], n.at[f] = best, at
	}
	mean := n.hidden[netFilters:]
	clear(mean)
	for i := range t {
		for d := range mean {
			mean[d] += n.x[(i+1)*netDims+d]
		}
	}
	for d := range mean {
		mean[d] /= float32(max(t, 1))
	}
}

func (n *network) scores() {
	for l := range n.score {
		n.score[l] = n.outBias[l] + model.Dot(n.out[l*(netFilters+netDims):(l+1)*(netFilters+netDims)], n.hidden)
	}
}

func adagrad(w, seen *float32, g, rate float32) {
	*seen += g * g
	*w -= rate * g / float32(math.Sqrt(float64(*seen)+1e-6))
}

// learn takes one step on the text that forward read last; gradient is that of the loss at the scores.
func (n *network) learn(s *sequence, gradient [3]float32, rate float32) {
	t := s.tokens()
	var dh [netFilters + netDims]float32
	for l, g := range gradient {
		w := n.out[l*(netFilters+netDims) : (l+1)*(netFilters+netDims)]
		seen := n.outSeen[l*(netFilters+netDims) : (l+1)*(netFilters+netDims)]
		for k, h := range n.hidden {
			dh[k] += g * w[k]
			if h != 0 {
				adagrad(&w[k], &seen[k], g*h, rate)
			}
		}
		adagrad(&n.outBias[l], &n.outBiasSeen[l], g, rate)
	}
	clear(n.dx[:(t+2)*netDims])
	for f := range netFilters {
		if n.at[f] < 0 || n.keep[f] == 0 {
			continue
		}
		g := dh[f] * n.keep[f]
		at := n.at[f] * netDims
		x, dx := n.x[at:at+model.NetworkWindow*netDims], n.dx[at:at+model.NetworkWindow*netDims]
		w, seen := n.taps[f*model.NetworkWindow*netDims:(f+1)*model.NetworkWindow*netDims], n.tapsSeen[f*model.NetworkWindow*netDims:(f+1)*model.NetworkWindow*netDims]
		for k := range w {
			dx[k] += g * w[k]
			adagrad(&w[k], &seen[k], g*x[k], rate)
		}
		adagrad(&n.tapBias[f], &n.tapBiasSeen[f], g, rate)
	}
	scale := 1 / float32(max(t, 1))
	for i := range t {
		dx := n.dx[(i+1)*netDims : (i+2)*netDims]
		for d := range dx {
			dx[d] += dh[netFilters+d] * scale
		}
		n.v.update(s.token(i), dx, rate)
	}
}

func softmax3(s [3]float32) (p [3]float32) {
	top := max(s[0], s[1], s[2])
	sum := float32(0)
	for i := range s {
		p[i] = float32(math.Exp(float64(s[i] - top)))
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// fitNetwork trains a network on the examples whose sentiment is known, starting from vectors that know the words.
func fitNetwork(pre *vectors, examples []*corpus.Example, texts []sequence, epochs int, seed uint64) *network {
	rate := float32(netRate)
	r := rand.New(rand.NewPCG(seed, 13))
	n := newNetwork(pre.clone(), r)
	order := make([]int, len(examples))
	for i := range order {
		order[i] = i
	}
	for range epochs {
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			e, s := examples[i], &texts[i]
			if s.tokens() == 0 {
				continue
			}
			n.forward(s)
			for f := range netFilters {
				n.keep[f] = 0
				if r.Float32() >= netDrop {
					n.keep[f] = 1 / (1 - netDrop)
				}
				n.hidden[f] *= n.keep[f]
			}
			n.scores()
			p := softmax3(n.score)
			var g [3]float32
			for l, name := range sentimentLabels {
				if !e.NoNeutral {
					g[l] = p[l] - netSmoothing/netLabels
					if e.Sentiment == name {
						g[l] -= 1 - netSmoothing
					}
				}
			}
			if e.NoNeutral {
				// -log(1 - p[other]): the gradient at the score of o is p[o], at the others -p[o]*p[l]/(1-p[o]).
				o := 0
				if e.Sentiment == corpus.Negative {
					o = 2
				}
				rest := max(1-p[o], 1e-3)
				for l := range g {
					g[l] = -p[o] * p[l] / rest
				}
				g[o] = p[o]
			}
			for l := range g {
				g[l] *= float32(e.Weight * streamWeight(e))
			}
			n.learn(s, g, rate)
		}
		rate *= 0.85
	}
	return n
}

// trainedNetworks are the networks of a release, and twins of them that have not seen one fold, for the scores of texts that are unseen.
type trainedNetworks struct {
	examples      []*corpus.Example
	texts         []sequence
	release, twin []*network
}

// unseenFold is the fold that the twins have not seen.
const unseenFold = 0

// trainNetworks learns vectors from every text and networks from those whose sentiment is known. Every step has a seed of its own, so the order in
// which they end changes nothing.
func trainNetworks(a *text.Analyzer, all []corpus.Example, o Options) *trainedNetworks {
	texts := make([]string, len(all))
	for i := range all {
		texts[i] = all[i].Text
	}
	read := sequences(a, texts)
	pre := skipGram(read, parallel(all), min(o.Epochs, skipEpochs), o.Seed)
	t := &trainedNetworks{release: make([]*network, networks), twin: make([]*network, networks)}
	var without []*corpus.Example
	var withoutTexts []sequence
	for i := range all {
		e := &all[i]
		if e.Sentiment == "" {
			continue
		}
		t.examples, t.texts = append(t.examples, e), append(t.texts, read[i])
		if fold(e.Group) != unseenFold {
			without, withoutTexts = append(without, e), append(withoutTexts, read[i])
		}
	}
	var wait sync.WaitGroup
	for n := range networks {
		wait.Go(func() {
			t.release[n] = fitNetwork(pre, t.examples, t.texts, min(o.Epochs, netEpochs), o.Seed+uint64(n))
		})
		wait.Go(func() { t.twin[n] = fitNetwork(pre, without, withoutTexts, min(o.Epochs, netEpochs), o.Seed+uint64(n)) })
	}
	wait.Wait()
	return t
}

// parallel lists the pairs of a sentence in another language and the same in Indonesian, both ways.
func parallel(all []corpus.Example) [][2]int {
	indonesian := map[string]int{}
	for i := range all {
		if e := &all[i]; e.Parallel && e.Lang == "id" {
			indonesian[e.Group] = i
		}
	}
	var out [][2]int
	for i := range all {
		e := &all[i]
		if id, ok := indonesian[e.Group]; ok && e.Parallel && e.Lang != "id" {
			out = append(out, [2]int{i, id}, [2]int{id, i})
		}
	}
	return out
}

// largestAnswer is the largest that a filter gives for one token of the texts, at any place of its window; some of the texts tell it well enough.
func (n *network) largestAnswer(texts []sequence) float32 {
	const every = 16
	top := float32(0)
	var x [netDims]float32
	for i := 0; i < len(texts); i += every {
		for t := range texts[i].tokens() {
			n.v.mean(texts[i].token(t), x[:])
			for at := 0; at < len(n.taps); at += netDims {
				v := model.Dot(x[:], n.taps[at:at+netDims])
				top = max(top, v, -v)
			}
		}
	}
	return max(top, 1e-6)
}

// released turns a network in training into one of a release: rows in 8 bits. A few large entries would coarsen all the others and are cut. texts are
// those that it learnt from.
func (n *network) released(texts []sequence) *model.Network {
	out := model.NewNetwork(model.NetworkHeader{Bits: netBits, Dims: netDims, Filters: netFilters, Labels: netLabels, Top: n.largestAnswer(texts)})
	copy(out.Taps, n.taps)
	copy(out.TapBias, n.tapBias)
	copy(out.Out, n.out)
	copy(out.OutBias, n.outBias)
	// The scale is that of the rows which training moved; the others are noise.
	square, moved := 0.0, 0
	for r, seen := range n.v.seen {
		if seen == 0 {
			continue
		}
		moved++
		for _, v := range n.v.rows[r*netDims : (r+1)*netDims] {
			square += float64(v) * float64(v)
		}
	}
	const widest = 8
	top := widest * math.Sqrt(square/float64(max(moved, 1)*netDims))
	out.RowScale = float32(max(top, 1e-6) / math.MaxInt8)
	for i, v := range n.v.rows {
		out.Rows[i] = byte(int8(math.Round(min(max(float64(v), -top), top) / float64(out.RowScale))))
	}
	return out
}

// addNetworks puts the networks into the model, with the head that adds their mean score to that of the sentiment columns. How much they count is
// the share that makes the likelihood of unseen texts the largest.
func addNetworks(m *model.Model, spec headSpec, columns *unseenScores, t *trainedNetworks, o Options) error {
	var examples []*corpus.Example
	var linear, deep [netLabels][]float64
	read := map[*corpus.Example]*sequence{}
	for i, e := range t.examples {
		read[e] = &t.texts[i]
	}
	for i, e := range columns.examples {
		if fold(e.Group) != unseenFold || e.NoNeutral {
			continue
		}
		examples = append(examples, e)
		var mean [netLabels]float64
		for _, n := range t.twin {
			n.forward(read[e])
			n.scores()
			for l, v := range n.score {
				mean[l] += (float64(v) - float64(n.score[0]+n.score[1]+n.score[2])/netLabels) / networks
			}
		}
		for l := range mean {
			linear[l], deep[l] = append(linear[l], columns.columns[l][i]), append(deep[l], mean[l])
		}
	}
	base, err := m.Head(HeadSentiment)
	if err != nil {
		return err
	}
	best := math.Inf(1)
	var chosen model.Head
	for _, share := range []float64{0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7} {
		head := model.Head{Name: HeadBest, Kind: base.Kind, Space: base.Space, First: base.First, Labels: base.Labels, Networks: share}
		scores := make([][]float64, netLabels)
		for l := range scores {
			scores[l] = make([]float64, len(examples))
			for i := range scores[l] {
				scores[l][i] = linear[l][i] + share*deep[l][i]
			}
		}
		loss := calibrate(&head, spec, examples, scores)
		if o.Log != nil {
			o.Log.Info("calibrated the networks", "share", share, "loss", loss, "texts", len(examples))
		}
		if loss < best {
			best, chosen = loss, head
		}
	}
	for _, n := range t.release {
		r := n.released(t.texts)
		m.Nets = append(m.Nets, r)
		m.Networks = append(m.Networks, r.NetworkHeader)
	}
	m.Heads = append(m.Heads, chosen)
	return nil
}
