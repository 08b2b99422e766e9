// Package corpus reads the labelled texts: the data sets that a shipped model may be trained on, those that only measure it, and the
// texts written for this project (the code book).
package corpus

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dwiarah/dwiarah/enrich/internal/lines"
)

// Tristate is a yes, a no, or nothing known.
type Tristate int8

// The values of Tristate.
const (
	Unknown Tristate = iota
	No
	Yes
)

// Example is a text with what is known about it. An empty field is unknown: the head concerned does not learn from it.
type Example struct {
	Text string
	// Source names the file or code-book family.
	Source string
	// Group holds together what must not be parted by a fold: a family, or one sentence in its translations.
	Group string
	// Parallel says that the texts of the Group in other languages are translations of this one.
	Parallel bool
	// Weight is how much one text of the source counts in training.
	Weight float64

	Lang      string
	Sentiment string
	// NoNeutral says that the source has no neutral class, so that "negative" means no more than "not positive".
	NoNeutral bool
	// Risk holds the tags, the primary first; HasRisk tells no tag from nothing known.
	Risk     []string
	HasRisk  bool
	Reply    Tristate
	Toxic    Tristate
	Sarcasm  Tristate
	Function string
	// Escalation, Evidence and Target are the modifiers of the risk.
	Escalation, Evidence, Target string
	// Automatic says of an outbound text that nobody wrote it for its reader.
	Automatic Tristate
	// Outbound texts are the institution's own.
	Outbound bool
	// Harmless says that the text is known not to raise an alarm, whatever else it is.
	Harmless bool
	// HeldOut families measure and never train.
	HeldOut bool
}

// The three classes of sentiment.
const (
	Negative = "negative"
	Neutral  = "neutral"
	Positive = "positive"
)

// NusaXLanguages maps the file names of NusaX to codes (BCP 47, ISO 639-3 where there is no shorter one).
var NusaXLanguages = map[string]string{
	"indonesian": "id", "english": "en", "javanese": "jv", "sundanese": "su", "minangkabau": "min", "balinese": "ban", "banjarese": "bjn",
	"acehnese": "ace", "buginese": "bug", "madurese": "mad", "ngaju": "nij", "toba_batak": "bbc",
}

// NusaKalimatLanguages maps the file names of NusaKalimat to codes.
var NusaKalimatLanguages = map[string]string{"bew": "bew", "jav": "jv", "sun": "su", "min": "min", "mad": "mad"}

// Table reads a CSV file with a header, or JSON objects a line in a file that ends in .jsonl or .ndjson, into one map a row.
func Table(path string) ([]map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading labelled texts: %w", err)
	}
	defer f.Close()
	if strings.HasSuffix(path, ".jsonl") || strings.HasSuffix(path, ".ndjson") {
		return objects(path, f)
	}
	r := csv.NewReader(f)
	r.FieldsPerRecord = -1
	r.LazyQuotes = true
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the header of %s: the file is empty", path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the header of %s: %w", path, err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	var rows []map[string]string
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		row := make(map[string]string, len(header))
		for i, name := range header {
			if i < len(record) {
				row[name] = record[i]
			}
		}
		rows = append(rows, row)
	}
}

func objects(path string, in io.Reader) ([]map[string]string, error) {
	var rows []map[string]string
	err := lines.Each(in, func(number int, line []byte) error {
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil {
			return fmt.Errorf("line %d is no JSON object: %w", number, err)
		}
		row := map[string]string{}
		for k, v := range object {
			row[k] = fmt.Sprint(v)
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return rows, nil
}

// Labelled reads a file, as Table does, with a text and a label column.
func Labelled(path, textColumn, labelColumn string) ([]Example, error) {
	rows, err := Table(path)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("reading %s: it has no rows", path)
	}
	out := make([]Example, 0, len(rows))
	for i, row := range rows {
		for _, column := range []string{textColumn, labelColumn} {
			if _, ok := row[column]; !ok {
				return nil, fmt.Errorf("reading %s: row %d has no column %q; it has %s", path, i+1, column, quoted(sortedKeys(row)))
			}
		}
		out = append(out, Example{Text: row[textColumn], Sentiment: strings.ToLower(strings.TrimSpace(row[labelColumn])), Source: filepath.Base(path), Group: row["id"], Weight: 1})
	}
	return out, nil
}

// quoted lists names, each as far as a person would read it.
func quoted(names []string) string {
	const most, longest = 20, 40
	var out []string
	for _, n := range names[:min(most, len(names))] {
		out = append(out, fmt.Sprintf("%.*q", longest, n))
	}
	return strings.Join(out, ", ")
}

// Set names a labelled file of the data folder and how a row of it is read.
type Set struct {
	// Name is the path below the data folder.
	Name                string
	TextColumn, LabelCo string
	Lang                string
	NoNeutral           bool
	Parallel            bool
	Weight              float64
}

// TrainingSets are the files that a shipped model may derive from (their licences: the model card).
func TrainingSets() []Set {
	sets := []Set{{Name: "sentiment/smsa_train.csv", TextColumn: "text", LabelCo: "label", Lang: "id", Weight: 1}}
	for _, name := range sortedKeys(NusaXLanguages) {
		sets = append(sets, Set{Name: "sentiment/nusax/" + name + "_train.csv", TextColumn: "text", LabelCo: "label", Lang: NusaXLanguages[name], Parallel: true, Weight: 1})
	}
	for _, name := range sortedKeys(NusaKalimatLanguages) {
		sets = append(sets, Set{Name: "sentiment/nusa_kalimat/" + name + "_train.csv", TextColumn: "text", LabelCo: "label", Lang: NusaKalimatLanguages[name], NoNeutral: true, Weight: 0.3})
	}
	return sets
}

// BackgroundSet is unlabelled everyday talk that a shipped model may derive from: it teaches the alarming tags what they are not.
const BackgroundSet = "stream/dki_2020-04-26_pseudonymised.csv"

// HateSet measures toxicity; it never trains.
const HateSet = "risk/id_hate_multilabel_train.csv"

// ValidationSets are the files that measure sentiment. None of them is read in training.
func ValidationSets() []Set {
	sets := []Set{{Name: "sentiment/smsa_valid.csv", TextColumn: "text", LabelCo: "label", Lang: "id"}}
	for _, name := range sortedKeys(NusaXLanguages) {
		sets = append(sets, Set{Name: "sentiment/nusax/" + name + "_valid.csv", TextColumn: "text", LabelCo: "label", Lang: NusaXLanguages[name]})
	}
	for _, name := range sortedKeys(NusaKalimatLanguages) {
		sets = append(sets, Set{Name: "sentiment/nusa_kalimat/" + name + "_valid.csv", TextColumn: "text", LabelCo: "label", Lang: NusaKalimatLanguages[name], NoNeutral: true})
	}
	return append(sets,
		Set{Name: "mentions/kai121_until_2021-11-14.csv", TextColumn: "text", LabelCo: "sentiment"},
		Set{Name: "mentions/sp4n_lapor_dev.csv", TextColumn: "text", LabelCo: "label"},
		Set{Name: "sentiment/idsa_train.csv", TextColumn: "text", LabelCo: "label"},
	)
}

// Read reads the set from the data folder.
func (s Set) Read(dir string) ([]Example, error) {
	examples, err := Labelled(filepath.Join(dir, filepath.FromSlash(s.Name)), s.TextColumn, s.LabelCo)
	if err != nil {
		return nil, err
	}
	for i := range examples {
		e := &examples[i]
		e.Lang, e.NoNeutral, e.Parallel, e.Weight, e.Source = s.Lang, s.NoNeutral, s.Parallel, s.Weight, s.Name
		if e.Group == "" {
			e.Group = s.Name + "/" + strconv.Itoa(i)
		}
		switch e.Sentiment {
		case Negative, Neutral, Positive:
		default:
			return nil, fmt.Errorf("reading %s: row %d has the label %q; allowed are negative, neutral, positive", s.Name, i+2, e.Sentiment)
		}
	}
	return examples, nil
}
