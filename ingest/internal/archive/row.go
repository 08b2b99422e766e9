package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// Row is one row of an archive: a valid message, or the reason why it is none.
type Row struct {
	// Line is the number of the physical line on which the row begins, from 1, a header included; in a CAR file the number of the block. Several rows can
	// come from one line.
	Line int64
	// Raw is the row as it came; of a line over MaxLineBytes only its head.
	Raw     []byte
	Message *schemas.Message
	// Drop says why a row that is in order is left out.
	Drop schemas.DropReason
	Err  *schemas.FieldError
}

// Defaults fill in what neither the rows nor the mapping name.
type Defaults struct {
	Platform    string
	Institution string
	Account     string
}

// Settings say how an archive is read.
type Settings struct {
	// Format of the file; FormatLines when empty.
	Format Format
	// Mapping is how the columns of a CSV become a message; only for FormatCSV.
	Mapping  *Mapping
	Defaults Defaults
	// Accounts are the official ones; nil means none.
	Accounts *institutions.Directory
	// Now bounds how far in the future a time may lie.
	Now time.Time
}

// Reader reads the rows of one file in their order.
type Reader struct {
	stream *stream
	rows   rowReader
}

// Open opens a file; a CSV's header is read and checked against the mapping, and what lies beside an account's own archive is read.
func Open(path string, settings Settings) (*Reader, error) {
	s, err := open(path)
	if err != nil {
		return nil, err
	}
	rows, err := newRows(path, s, settings)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &Reader{stream: s, rows: rows}, nil
}

type rowReader interface{ next() (Row, error) }

func newRows(path string, s *stream, settings Settings) (rowReader, error) {
	if settings.Accounts == nil {
		settings.Accounts = &institutions.Directory{}
	}
	items := &itemRows{now: settings.Now, defaults: settings.Defaults}
	switch settings.Format {
	case FormatLines, "":
		return &jsonRows{lines: newLineReader(s), settings: settings}, nil
	case FormatCSV:
		return newCSVRows(newLineReader(s), settings)
	case FormatXArchive:
		owner, err := xArchiveOwner(path, settings.Defaults.Account)
		items.items, items.decode = newElementReader(s, ""), tweets{accounts: settings.Accounts, owner: owner}.decode
		return items, err
	case FormatTweets:
		reader, err := newItemReader(s, "")
		items.items, items.decode = reader, tweets{accounts: settings.Accounts}.decode
		return items, err
	case FormatMastodon:
		export, err := newOutbox(path)
		items.items, items.decode = newElementReader(s, "orderedItems"), export.decode
		return items, err
	case FormatBluesky:
		reader, err := newItemReader(s, "records")
		items.items, items.decode = reader, decodeSkyRecord
		return items, err
	case FormatBlueskyCAR:
		repo, err := newSkyRepo(path)
		if err != nil {
			return nil, err
		}
		items.binary, items.decode = true, repo.decode
		items.items, err = newCARReader(s)
		return items, err
	}
	_, err := ParseFormat(string(settings.Format))
	return nil, err
}

// newItemReader reads the elements of an array where the file has one (at the top, or under the key), else a line each.
func newItemReader(s *stream, key string) (itemReader, error) {
	r := bufio.NewReaderSize(s, detectBytes)
	head, err := r.Peek(detectBytes)
	if err != nil && len(head) == 0 && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, byteOrderMark), blanks)
	if key == "" && beginsArray(text) || key != "" && keysOf(text)[key] {
		return newElementReader(r, key), nil
	}
	return newLineReader(r), nil
}

// Next returns the next row; io.EOF after the last. Any other error means that the rest of the file cannot be read.
func (r *Reader) Next() (Row, error) { return r.rows.next() }

// Position is how many bytes of the file have been read.
func (r *Reader) Position() int64 { return r.stream.position() }

// Close closes the file.
func (r *Reader) Close() error { return r.stream.close() }

// jsonRows reads the archive form: one JSON object a line. Blank lines are no rows.
type jsonRows struct {
	lines    *lineReader
	settings Settings
}

func (j *jsonRows) next() (Row, error) {
	for {
		l, err := j.lines.next()
		if err != nil {
			return Row{}, err
		}
		if l.number == 1 {
			l.bytes = bytes.TrimPrefix(l.bytes, byteOrderMark)
		}
		l.bytes = bytes.TrimRight(l.bytes, "\r\n")
		if len(bytes.TrimSpace(l.bytes)) == 0 {
			continue
		}
		row := Row{Line: l.number, Raw: l.bytes}
		if l.tooLong {
			row.Err = lineTooLong()
			return row, nil
		}
		row.Message, row.Err = j.message(l.bytes)
		return row, nil
	}
}

func (j *jsonRows) message(raw []byte) (*schemas.Message, *schemas.FieldError) {
	m, err := schemas.DecodeMessage(raw)
	if err == nil {
		j.settings.Defaults.fill(m)
		err = m.Validate(j.settings.Now)
	}
	if err != nil {
		return nil, asFieldError(err)
	}
	return m, nil
}

func (d Defaults) fill(m *schemas.Message) {
	for _, f := range []struct {
		field *string
		value string
	}{{&m.Platform, d.Platform}, {&m.Institution, d.Institution}, {&m.Account, d.Account}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
}

func asFieldError(err error) *schemas.FieldError {
	var field *schemas.FieldError
	if errors.As(err, &field) {
		return field
	}
	return &schemas.FieldError{Reason: schemas.DeadMalformed, Key: "line", Allowed: err.Error()}
}

func lineTooLong() *schemas.FieldError {
	return &schemas.FieldError{Reason: schemas.DeadTooLarge, Key: "line", Value: fmt.Sprintf("over %d bytes", MaxLineBytes), Allowed: fmt.Sprintf("at most %d bytes", MaxLineBytes)}
}

func invalidUTF8() *schemas.FieldError {
	return &schemas.FieldError{Reason: schemas.DeadInvalidUTF8, Key: "line", Allowed: "the row has to be UTF-8"}
}

// csvRows reads CSV. Its records are cut here and not by encoding/csv, which lets one stray quote swallow the file up to the next: here
// a record that does not come out right costs its first line, and the next line begins a record.
type csvRows struct {
	lines    *lineReader
	ahead    []line // lines that were read for a record which did not come out right
	columns  *columns
	comma    byte
	width    int
	settings Settings
	end      error
}

// maxRecordLines bounds how far a quote that is never closed is followed.
const maxRecordLines = 256

func newCSVRows(lines *lineReader, settings Settings) (*csvRows, error) {
	c := &csvRows{lines: lines, settings: settings, comma: settings.Mapping.comma()}
	l, err := c.take()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("reading the CSV: the file is empty; its first line has to name the columns")
		}
		return nil, fmt.Errorf("reading the CSV's header: %w", err)
	}
	l.bytes = bytes.TrimPrefix(l.bytes, byteOrderMark)
	header, _, problem := c.record(l)
	if problem != "" {
		return nil, fmt.Errorf("reading the CSV's header: %s", problem)
	}
	c.width = len(header)
	c.columns, err = settings.Mapping.bind(header, settings.Defaults)
	return c, err
}

func (c *csvRows) take() (line, error) {
	if len(c.ahead) > 0 {
		l := c.ahead[0]
		c.ahead = c.ahead[1:]
		return l, nil
	}
	if c.end != nil {
		return line{}, c.end
	}
	return c.lines.next()
}

func (c *csvRows) next() (Row, error) {
	for {
		first, err := c.take()
		if err != nil {
			return Row{}, err
		}
		if len(bytes.TrimRight(first.bytes, "\r\n")) == 0 {
			continue
		}
		row := Row{Line: first.number, Raw: bytes.TrimRight(first.bytes, "\r\n")}
		if first.tooLong {
			row.Err = lineTooLong()
			return row, nil
		}
		fields, taken, problem := c.record(first)
		if problem == "" && len(fields) != c.width {
			problem = fmt.Sprintf("%d fields, the header has %d", len(fields), c.width)
		}
		if problem != "" {
			// Only the first line is given up; those after it may be good rows that a stray quote would have swallowed.
			c.ahead = append(taken, c.ahead...)
			row.Err = &schemas.FieldError{Reason: schemas.DeadMalformed, Key: "row", Allowed: problem}
			return row, nil
		}
		for _, l := range taken {
			row.Raw = append(row.Raw, '\n')
			row.Raw = append(row.Raw, bytes.TrimRight(l.bytes, "\r\n")...)
		}
		if !utf8.Valid(row.Raw) {
			row.Err = invalidUTF8()
			return row, nil
		}
		row.Message, row.Err = c.columns.message(fields, c.settings.Now)
		return row, nil
	}
}

// record parses the record that begins with first. taken are the further lines that it used, or had looked at when a problem stopped it.
func (c *csvRows) record(first line) (fields []string, taken []line, problem string) {
	p := csvParser{comma: c.comma}
	size := len(first.bytes)
	for l := first; ; {
		if problem = p.feed(l.bytes); problem != "" {
			return nil, taken, problem
		}
		if p.state != inQuotes {
			return p.fields, taken, ""
		}
		if len(taken) == maxRecordLines {
			return nil, taken, fmt.Sprintf("a quote that is not closed within %d lines", maxRecordLines)
		}
		var err error
		if l, err = c.take(); err != nil {
			c.end = err
			return nil, taken, "a quote that is not closed before the end of the file"
		}
		taken = append(taken, l)
		if size += len(l.bytes); l.tooLong || size > MaxLineBytes {
			return nil, taken, fmt.Sprintf("a quote that is not closed within %d bytes", MaxLineBytes)
		}
	}
}

// csvParser is RFC 4180 over lines that come one by one.
type csvParser struct {
	comma  byte
	state  csvState
	field  []byte
	fields []string
}

type csvState int

const (
	atFieldStart csvState = iota
	inPlain
	inQuotes
	afterQuotes
)

func (p *csvParser) feed(l []byte) (problem string) {
	body := bytes.TrimSuffix(bytes.TrimSuffix(l, []byte("\n")), []byte("\r"))
	for i := 0; i < len(body); i++ {
		b := body[i]
		switch {
		case p.state == inQuotes && b == '"' && i+1 < len(body) && body[i+1] == '"':
			p.field = append(p.field, '"')
			i++
		case p.state == inQuotes && b == '"':
			p.state = afterQuotes
		case p.state == inQuotes:
			p.field = append(p.field, b)
		case b == p.comma:
			p.end()
		case b == '"' && p.state == atFieldStart:
			p.state = inQuotes
		case b == '"':
			return "a quote inside a field that does not begin with one"
		case b == '\r':
			return "a bare CR outside quotes breaks the row"
		case p.state == afterQuotes:
			return "text after a closing quote"
		default:
			p.state = inPlain
			p.field = append(p.field, b)
		}
	}
	if p.state == inQuotes {
		p.field = append(p.field, '\n')
		return ""
	}
	p.end()
	return ""
}

func (p *csvParser) end() {
	p.fields = append(p.fields, string(p.field))
	p.field = p.field[:0]
	p.state = atFieldStart
}
