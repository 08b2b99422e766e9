package train_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/dwiarah/dwiarah/enrich/codebook"
	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
	"github.com/dwiarah/dwiarah/enrich/internal/train"
)

// tiny returns a twentieth of the code book, which every head learns something from.
func tiny(t testing.TB) ([]corpus.Example, *risk.Table) {
	t.Helper()
	a, err := text.NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	table, err := risk.Read(codebook.Files, a)
	if err != nil {
		t.Fatal(err)
	}
	book, err := corpus.ReadCodeBook(codebook.Files, append(table.Names(), risk.None))
	if err != nil {
		t.Fatal(err)
	}
	var out []corpus.Example
	for i, e := range book.Training(1) {
		if i%20 == 0 {
			out = append(out, e)
		}
	}
	return out, table
}

func artefact(t testing.TB, seed uint64) []byte {
	t.Helper()
	examples, table := tiny(t)
	m, err := train.Train(examples, table, train.Options{Seed: seed, Seq: 1, Epochs: 2, Bits: 10})
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTrainingRepeatsByteForByte(t *testing.T) {
	a := artefact(t, 1)
	if !bytes.Equal(a, artefact(t, 1)) {
		t.Error("one seed gives two artefacts")
	}
	if bytes.Equal(a, artefact(t, 2)) {
		t.Error("two seeds give one artefact")
	}
}

func TestNothingToLearnFrom(t *testing.T) {
	_, table := tiny(t)
	if _, err := train.Train(nil, table, train.Options{}); err == nil {
		t.Error("training on nothing has to fail")
	}
	if _, err := train.Train([]corpus.Example{{Text: "x", Lang: "id", Weight: 1}}, table, train.Options{Epochs: 1, Bits: 4}); err == nil {
		t.Error("training without any sentiment has to fail")
	}
}

// dataFolder returns the folder of the data sets, which are not part of the project.
func dataFolder(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("DWIARAH_SHARED_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "sentiment")); err != nil {
		t.Skipf("the data sets are not at hand: set DWIARAH_SHARED_DATA to their folder (%v)", err)
	}
	return dir
}

// copies returns the evaluation texts that are near-copies of a training text.
func copies(trained, evaluation []string) []string {
	near := corpus.NewNearCopies(trained)
	var out []string
	for _, s := range evaluation {
		if near.Copied(s) {
			out = append(out, s)
		}
	}
	return out
}

func TestAPlantedCopyIsFound(t *testing.T) {
	trained := []string{"Antrean di loket tiga lama sekali, dua jam menunggu tanpa kabar"}
	for _, s := range []string{trained[0], "@min antrean di loket tiga LAMA sekali!! dua jam nunggu tanpa kabar https://contoh.id"} {
		if len(copies(trained, []string{"Jam buka layanan hari Sabtu pukul berapa ya, mohon informasinya", s})) != 1 {
			t.Errorf("a copy was not found: %q", s)
		}
	}
}

// TestEveryLabelledFileTrainsOrMeasures keeps a file that is added to the data folder from being neither, or both.
func TestEveryLabelledFileTrainsOrMeasures(t *testing.T) {
	dir := dataFolder(t)
	uses := map[string]int{corpus.HateSet: 1}
	for _, s := range append(corpus.TrainingSets(), corpus.ValidationSets()...) {
		uses[s.Name]++
	}
	found := 0
	for _, pattern := range []string{"sentiment/*.csv", "sentiment/*/*.csv", "mentions/*.csv", "risk/*.csv"} {
		paths, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			found++
			name, err := filepath.Rel(dir, path)
			if err != nil {
				t.Fatal(err)
			}
			if n := uses[filepath.ToSlash(name)]; n != 1 {
				t.Errorf("%s is used %d times, want once: to train or to measure", name, n)
			}
		}
	}
	if found != len(uses) {
		t.Errorf("%d files found, %d are named", found, len(uses))
	}
}

// TestNoTrainingTextIsInAnEvaluationFile holds that no number comes from data which its model saw.
func TestNoTrainingTextIsInAnEvaluationFile(t *testing.T) {
	dir := dataFolder(t)
	if testing.Short() {
		t.Skip("comparing all training texts with all evaluation texts takes some seconds")
	}
	_, table := tiny(t)
	book, err := corpus.ReadCodeBook(codebook.Files, append(table.Names(), risk.None))
	if err != nil {
		t.Fatal(err)
	}
	examples, err := train.ReadExamples(dir, book, 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var trained []string
	for i := range examples {
		trained = append(trained, examples[i].Text)
	}
	evaluation, err := train.EvaluationTexts(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range book.HeldOut(1) {
		evaluation = append(evaluation, e.Text)
	}
	for _, s := range copies(trained, evaluation) {
		t.Errorf("an evaluation text is a near-copy of a training text: %.80q", s)
	}
}
