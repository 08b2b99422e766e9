package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"unicode/utf8"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/enrich/models"
)

// maxLineBytes is the longest line that is read; a longer one is reported and skipped.
const maxLineBytes = 16 << 20

type classifyCommand struct {
	Input       string `help:"JSON lines to read; - is the standard input." default:"-" type:"path" short:"i"`
	Output      string `help:"JSON lines to write; - is the standard output." default:"-" type:"path" short:"o"`
	Model       string `help:"A model artefact in place of the released one." type:"existingfile"`
	Tier        string `help:"fast or best: how much to spend on a text." enum:"fast,best" default:"best"`
	Institution string `help:"Whose stream it is: with its adaptation, if it has one."`
	Adaptations string `help:"The folder of adaptations that enrich adapt writes to; with --institution." type:"existingdir"`
	Outbound    bool   `help:"The texts are the institution's own: give each a content function, no risk and no need of reply."`
}

// item is a line of the input. Pointers tell an absent field from an empty one.
type item struct {
	ID   json.RawMessage `json:"id"`
	Text *string         `json:"text"`
	Lang string          `json:"lang"`
}

// answer is a line of the output: the id as it came, then the result.
type answer struct {
	ID json.RawMessage `json:"id"`
	enrich.Result
}

// errBadLines ends the command with a failure after everything good was written.
var errBadLines = errors.New("some lines could not be read")

func (c *classifyCommand) Run(s *streams) (err error) {
	classifier, err := loadClassifier(c.Model, c.Tier)
	if err != nil {
		return err
	}
	if (c.Institution == "") != (c.Adaptations == "") {
		return errors.New("--institution and --adaptations go together")
	}
	classifiers, err := enrich.LoadAdaptations(classifier, c.Adaptations, s.log)
	if err != nil {
		return err
	}
	classifier = classifiers.For(c.Institution)
	in, out := s.in, s.out
	if c.Input != "-" {
		f, err := os.Open(c.Input)
		if err != nil {
			return fmt.Errorf("opening the input: %w", err)
		}
		defer f.Close()
		in = f
	}
	if c.Output != "-" {
		f, err := os.Create(c.Output)
		if err != nil {
			return fmt.Errorf("creating the output: %w", err)
		}
		defer func() {
			if e := f.Close(); e != nil && err == nil {
				err = fmt.Errorf("closing the output: %w", e)
			}
		}()
		out = f
	}
	bad, err := classifyLines(classifier, in, out, s.err, c.Outbound)
	if err == nil && bad > 0 {
		err = fmt.Errorf("classifying: %d of the lines: %w", bad, errBadLines)
	}
	return err
}

// loadClassifier loads the artefact at path, or the released one, at a tier.
func loadClassifier(path, tier string) (*enrich.Classifier, error) {
	artefact := models.Classifier
	if path != "" {
		var err error
		if artefact, err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("reading the model: %w", err)
		}
	}
	c, err := enrich.NewClassifierFrom(artefact)
	if err != nil {
		return nil, err
	}
	return c.At(enrich.Tier(tier))
}

type line struct {
	number int
	bytes  []byte
	tooBig bool
	out    []byte
	fault  error
	done   chan struct{}
}

// classifyLines labels lines on all processors and writes them in the order of the input.
func classifyLines(c *enrich.Classifier, in io.Reader, out, faults io.Writer, outbound bool) (bad int, err error) {
	workers := runtime.GOMAXPROCS(0)
	work, order := make(chan *line, 64*workers), make(chan *line, 64*workers)
	for range workers {
		go func() {
			for l := range work {
				l.out, l.fault = classifyLine(c, l, outbound)
				close(l.done)
			}
		}()
	}
	var readErr error
	go func() {
		readErr = eachLine(in, func(number int, b []byte, tooBig bool) {
			l := &line{number: number, bytes: b, tooBig: tooBig, done: make(chan struct{})}
			work <- l
			order <- l
		})
		close(work)
		close(order)
	}()
	w := bufio.NewWriterSize(out, 1<<16)
	for l := range order {
		<-l.done
		if l.fault != nil {
			bad++
			fmt.Fprintf(faults, "line %d: %v\n", l.number, l.fault)
			continue
		}
		if err != nil {
			continue // the reader must come to its end, or its goroutine would stay
		}
		if _, e := w.Write(l.out); e != nil {
			err = fmt.Errorf("writing the output: %w", e)
		}
	}
	if e := w.Flush(); e != nil && err == nil {
		err = fmt.Errorf("writing the output: %w", e)
	}
	return bad, errors.Join(err, readErr)
}

// eachLine calls f for every line that is not blank. A line that is too long is passed without its bytes.
func eachLine(in io.Reader, f func(number int, b []byte, tooBig bool)) error {
	r := bufio.NewReaderSize(in, 1<<16)
	for number := 1; ; number++ {
		var b []byte
		tooBig := false
		for {
			part, err := r.ReadSlice('\n')
			if len(b)+len(part) > maxLineBytes {
				tooBig, b = true, nil
			}
			if !tooBig {
				b = append(b, part...)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if number == 1 {
				b = bytes.TrimPrefix(b, []byte("\ufeff"))
			}
			if len(bytes.TrimSpace(b)) > 0 || tooBig {
				f(number, b, tooBig)
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("reading the input after line %d: %w", number, err)
			}
			break
		}
	}
}

func classifyLine(c *enrich.Classifier, l *line, outbound bool) ([]byte, error) {
	if l.tooBig {
		return nil, fmt.Errorf("longer than %d bytes", maxLineBytes)
	}
	if !utf8.Valid(l.bytes) {
		return nil, errors.New("not UTF-8")
	}
	var i item
	if err := json.Unmarshal(l.bytes, &i); err != nil {
		return nil, fmt.Errorf("not a JSON object of {id, text, lang?}: %w", err)
	}
	if len(i.ID) == 0 || string(i.ID) == "null" {
		return nil, errors.New("id is missing")
	}
	if k := i.ID[0]; k == '{' || k == '[' {
		return nil, errors.New("id is neither a string nor a number")
	}
	if i.Text == nil {
		return nil, errors.New("text is missing")
	}
	b, err := json.Marshal(answer{ID: i.ID, Result: c.Classify(*i.Text, i.Lang, outbound)})
	if err != nil {
		return nil, fmt.Errorf("encoding the answer: %w", err)
	}
	return append(b, '\n'), nil
}
