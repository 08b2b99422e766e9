package label

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/enrich/internal/lines"
)

// Keys are the columns of a CSV file and the keys of a JSON line, in the order in which Write writes them.
func Keys() []string {
	return []string{"institution", "platform", "message_id", "head", "label", "annotator", "labelled_at", "model_version", "predicted", "p", "stratum", "weight"}
}

// Defaults stand in for what a file leaves out.
type Defaults struct {
	Institution, Annotator string
	LabelledAt             time.Time
}

// Row is a label with the line that it stood on and the row as it came.
type Row struct {
	Label Label
	Line  int
	Raw   []string
}

// Bad is a row that could not be read: its line, why, and the row as it came.
type Bad struct {
	Line int
	Err  error
	Raw  []string
}

// Form is a file's form.
type Form string

// The forms.
const (
	CSV   Form = "csv"
	JSONL Form = "jsonl"
)

// FormOf tells a file's form by its name.
func FormOf(name string) (Form, error) {
	switch {
	case strings.HasSuffix(name, ".csv"):
		return CSV, nil
	case strings.HasSuffix(name, ".jsonl"), strings.HasSuffix(name, ".ndjson"):
		return JSONL, nil
	}
	return "", &ValueError{"file", name, "a name that ends in .csv, .jsonl or .ndjson"}
}

// Read reads labels. Rows that are not labels come back in bad, each with its line; the rest is read all the same. Header is that of a CSV file. The error is for
// a file that is none at all.
func Read(in io.Reader, form Form, book Book, d Defaults) (rows []Row, bad []Bad, header []string, err error) {
	take := func(line int, values map[string]string, raw []string) {
		l, err := parse(values, d)
		if err == nil {
			err = book.Check(&l)
		}
		if err != nil {
			bad = append(bad, Bad{line, err, raw})
			return
		}
		rows = append(rows, Row{l, line, raw})
	}
	if form == JSONL {
		err = eachObject(in, take, func(b Bad) { bad = append(bad, b) })
		return rows, bad, nil, err
	}
	content, err := io.ReadAll(in)
	if err != nil {
		return nil, nil, nil, err
	}
	r := csv.NewReader(bytes.NewReader(content))
	r.FieldsPerRecord = -1
	header, err = r.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil, nil, errors.New("the file is empty")
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("reading the header: %w", err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	for _, k := range header {
		if !slices.Contains(Keys(), k) {
			return nil, nil, nil, fmt.Errorf("reading the header: %w", &ValueError{"column", k, strings.Join(Keys(), ", ")})
		}
	}
	for {
		begin := r.InputOffset()
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, bad, header, nil
		}
		if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
			// A quote that is none. The reader goes on behind it.
			raw := strings.TrimRight(string(content[begin:r.InputOffset()]), "\r\n")
			bad = append(bad, Bad{parse.StartLine, fmt.Errorf("not a row of CSV: %w", parse.Err), []string{raw}})
			continue
		}
		line, _ := r.FieldPos(0)
		if len(record) != len(header) {
			bad = append(bad, Bad{line, fmt.Errorf("the row has %d columns; the header has %d", len(record), len(header)), record})
			continue
		}
		values := map[string]string{}
		for i, k := range header {
			values[k] = record[i]
		}
		take(line, values, record)
	}
}

func eachObject(in io.Reader, take func(int, map[string]string, []string), refuse func(Bad)) error {
	return lines.Each(in, func(line int, b []byte) error {
		raw := []string{string(b)}
		var object map[string]any
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&object); err != nil {
			refuse(Bad{line, fmt.Errorf("not a JSON object: %w", err), raw})
			return nil
		}
		values, err := map[string]string{}, error(nil)
		for k, v := range object {
			switch x := v.(type) {
			case nil:
			case string:
				values[k] = x
			case json.Number:
				values[k] = x.String()
			default:
				err = &ValueError{k, fmt.Sprint(v), "a string or a number"}
			}
			if !slices.Contains(Keys(), k) {
				err = &ValueError{"key", k, strings.Join(Keys(), ", ")}
			}
		}
		if err != nil {
			refuse(Bad{line, err, raw})
			return nil
		}
		take(line, values, raw)
		return nil
	})
}

func parse(values map[string]string, d Defaults) (Label, error) {
	l := Label{
		Institution: values["institution"], Platform: values["platform"], MessageID: values["message_id"], Head: values["head"], Label: values["label"],
		Annotator: values["annotator"], LabelledAt: d.LabelledAt, ModelVersion: values["model_version"], Predicted: values["predicted"], Stratum: values["stratum"], Weight: 1,
	}
	if l.Institution == "" {
		l.Institution = d.Institution
	}
	if l.Annotator == "" {
		l.Annotator = d.Annotator
	}
	if s := values["labelled_at"]; s != "" {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return l, &ValueError{"labelled_at", s, "a time as 2026-03-01T08:00:00Z"}
		}
		l.LabelledAt = t.UTC()
	}
	if s := values["p"]; s != "" {
		p, err := strconv.ParseFloat(s, 32)
		if err != nil {
			return l, &ValueError{"p", s, "a probability from 0 to 1, or nothing"}
		}
		narrow := float32(p)
		l.P = &narrow
	}
	if s := values["weight"]; s != "" {
		w, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return l, &ValueError{"weight", s, "a number above 0"}
		}
		l.Weight = w
	}
	return l, nil
}

func (l *Label) values() []string {
	p := ""
	if l.P != nil {
		p = strconv.FormatFloat(float64(*l.P), 'g', -1, 32)
	}
	return []string{l.Institution, l.Platform, l.MessageID, l.Head, l.Label, l.Annotator, l.LabelledAt.UTC().Format(time.RFC3339Nano), l.ModelVersion, l.Predicted, p, l.Stratum,
		strconv.FormatFloat(l.Weight, 'g', -1, 64)}
}

// Write writes labels in a form that Read takes back unchanged.
func Write(out io.Writer, form Form, labels []Label) error {
	rows := make([][]string, len(labels))
	for i := range labels {
		rows[i] = labels[i].values()
	}
	if form == CSV {
		return writeCSV(out, Keys(), rows)
	}
	w := bufio.NewWriter(out)
	for _, row := range rows {
		object := map[string]any{}
		for i, k := range Keys() {
			switch {
			case row[i] == "":
			case k == "p" || k == "weight":
				object[k] = json.Number(row[i])
			default:
				object[k] = row[i]
			}
		}
		b, err := json.Marshal(object)
		if err != nil {
			return fmt.Errorf("writing labels: %w", err)
		}
		w.Write(append(b, '\n'))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing labels: %w", err)
	}
	return nil
}

// WriteBad writes rows that could not be read as they came, so that they can be mended and read again.
func WriteBad(out io.Writer, form Form, header []string, bad []Bad) error {
	var rows [][]string
	for _, b := range bad {
		rows = append(rows, b.Raw)
	}
	if form == CSV {
		return writeCSV(out, header, rows)
	}
	for _, r := range rows {
		if _, err := fmt.Fprintln(out, r[0]); err != nil {
			return fmt.Errorf("writing rows that could not be read: %w", err)
		}
	}
	return nil
}

func writeCSV(out io.Writer, header []string, rows [][]string) error {
	w := csv.NewWriter(out)
	if err := w.Write(header); err != nil {
		return fmt.Errorf("writing labels: %w", err)
	}
	if err := w.WriteAll(rows); err != nil {
		return fmt.Errorf("writing labels: %w", err)
	}
	return nil
}
