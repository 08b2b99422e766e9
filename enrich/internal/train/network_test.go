package train

import (
	"fmt"
	"math"
	"testing"

	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

func analyzer(t testing.TB) *text.Analyzer {
	t.Helper()
	a, err := text.NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ordered are texts of the same words, in which the order alone tells the label.
func ordered() []corpus.Example {
	var out []corpus.Example
	for i := range 40 {
		filler := fmt.Sprintf("kata%c isi%c", 'a'+i%7, 'a'+i%5)
		out = append(out,
			corpus.Example{Text: filler + " lama lalu cepat", Sentiment: corpus.Positive, Weight: 1},
			corpus.Example{Text: filler + " cepat lalu lama", Sentiment: corpus.Negative, Weight: 1},
			corpus.Example{Text: filler + " lalu", Sentiment: corpus.Neutral, Weight: 1})
	}
	return out
}

func fitted(t testing.TB, examples []corpus.Example, epochs int) (*network, []sequence) {
	t.Helper()
	var texts []string
	var pointers []*corpus.Example
	for i := range examples {
		texts = append(texts, examples[i].Text)
		pointers = append(pointers, &examples[i])
	}
	read := sequences(analyzer(t), texts)
	return fitNetwork(skipGram(read, nil, 1, 1), pointers, read, epochs, 1), read
}

func TestNetworkLearnsTheOrderOfWords(t *testing.T) {
	examples := ordered()
	n, read := fitted(t, examples, 8)
	for i, e := range examples {
		n.forward(&read[i])
		n.scores()
		if got := sentimentLabels[largest3(n.score)]; got != e.Sentiment {
			t.Fatalf("%q: %s (%v), want %s", e.Text, got, n.score, e.Sentiment)
		}
	}
}

func largest3(s [netLabels]float32) int {
	best := 0
	for l := range s {
		if s[l] > s[best] {
			best = l
		}
	}
	return best
}

// TestBinarySourcesTeachNoNeutral: where a source has no neutral class, its negative texts say no more than that they are not positive.
func TestBinarySourcesTeachNoNeutral(t *testing.T) {
	var examples []corpus.Example
	for range 60 {
		examples = append(examples, corpus.Example{Text: "lambat sekali", Sentiment: corpus.Negative, NoNeutral: true, Weight: 1})
	}
	n, read := fitted(t, examples, 4)
	n.forward(&read[0])
	n.scores()
	p := softmax3(n.score)
	if p[2] > 0.1 || p[1] < 0.2 {
		t.Errorf("probabilities %v: positive has to vanish, neutral has to stay", p)
	}
}

// TestReleasedNetworkAnswersAsTheTrainedOne holds what rounding to 8 bits may cost.
func TestReleasedNetworkAnswersAsTheTrainedOne(t *testing.T) {
	examples := ordered()
	n, read := fitted(t, examples, 8)
	head := model.Head{Name: "x", Kind: model.Softmax, Labels: sentimentLabels, Networks: 1, Slope: []float64{1, 1, 1}, Offset: make([]float64, 3), Threshold: make([]float64, 3)}
	m := &model.Model{Header: model.Header{Heads: []model.Head{head}}, Nets: []*model.Network{n.released(read)}, Tables: []model.Space{model.NewSpace(model.SpaceHeader{Bits: 1, Columns: 3})}}
	scorer, doc, p := model.NewScorer(m), &text.Doc{}, make([]float64, 3)
	a := analyzer(t)
	for i, e := range examples {
		a.Analyze(doc, e.Text)
		scorer.Score(doc)
		scorer.Probabilities(&head, p)
		n.forward(&read[i])
		n.scores()
		for l, want := range softmax3(n.score) {
			if math.Abs(p[l]-float64(want)) > 0.05 {
				t.Fatalf("%q: %v released, %v trained", e.Text, p, softmax3(n.score))
			}
		}
	}
}

// TestTranslationsMeet: words of two languages that never stand in one text come to be alike when their sentences are parallel.
func TestTranslationsMeet(t *testing.T) {
	id := []string{"makanan", "murah", "jalan", "rusak", "petugas", "ramah", "antre", "panjang"}
	other := []string{"ajengan", "mudah", "margi", "uwug", "pegawe", "sumeh", "ngantri", "lantang"}
	var all []corpus.Example
	for i := range 200 {
		group := fmt.Sprint(i)
		a, b := i%8, (i*3+1)%8
		all = append(all, corpus.Example{Text: id[a] + " " + id[b], Lang: "id", Group: group, Parallel: true},
			corpus.Example{Text: other[a] + " " + other[b], Lang: "ban", Group: group, Parallel: true})
	}
	var texts []string
	for i := range all {
		texts = append(texts, all[i].Text)
	}
	an := analyzer(t)
	// alike is how much nearer a word is to its translation than to other words.
	alike := func(pairs [][2]int) float64 {
		v := skipGram(sequences(an, texts), pairs, 8, 1)
		vector := func(word string) []float32 {
			out := make([]float32, netDims)
			v.mean(sequences(an, []string{word})[0].token(0), out)
			return out
		}
		difference := 0.0
		for i := range id {
			for j := range other {
				a, b := vector(id[i]), vector(other[j])
				c := float64(model.Dot(a, b)) / math.Sqrt(float64(model.Dot(a, a))*float64(model.Dot(b, b)))
				if i == j {
					difference += c / 8
				} else {
					difference -= c / 56
				}
			}
		}
		return difference
	}
	if with, without := alike(parallel(all)), alike(nil); with < without+0.1 {
		t.Errorf("translations are nearer by %.2f, without parallel sentences by %.2f", with, without)
	}
}
