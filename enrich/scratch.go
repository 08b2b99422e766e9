package enrich

import (
	"runtime"

	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

// scratch is what one text after another is worked out in. Most of its size, about 25 MB, is what the words that it met give.
type scratch struct {
	doc text.Doc
	// scorer has the heads of every text, outbound that of the institution's own.
	scorer, outbound *model.Scorer
	p                []float64
	// named says of each risk tag whether the text has it.
	named []bool

	// base, signals and words are what a correction looks at.
	base, signals []float64
	words         []uint32
	// corrected is what corrections say of the risk tags.
	corrected []tagAnswer
}

// scratches lends one scratch at a time. It is no sync.Pool, which the collector empties: the words would be learnt anew every few batches, and the new
// scratch would bring the next collection nearer.
type scratches struct {
	free chan *scratch
	make func() *scratch
}

// newScratches keeps as many as can be in use at a time; one beyond that is forgotten when it comes back.
func newScratches(m, outbound *model.Model, widest int) *scratches {
	return &scratches{free: make(chan *scratch, runtime.GOMAXPROCS(0)), make: func() *scratch {
		return &scratch{scorer: model.NewScorer(m), outbound: model.NewScorer(outbound), p: make([]float64, widest), named: make([]bool, widest)}
	}}
}

func (s *scratches) get() *scratch {
	select {
	case w := <-s.free:
		return w
	default:
		return s.make()
	}
}

func (s *scratches) put(w *scratch) {
	select {
	case s.free <- w:
	default:
	}
}
