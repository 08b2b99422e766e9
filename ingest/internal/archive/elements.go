package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// elementReader cuts the elements of a JSON array out of a stream within bounded memory: of the array at the top, or of the one under a key of the object at
// the top. A JavaScript assignment before it (window.YTD.tweets.part0 =) is passed over. Documents may follow one another.
type elementReader struct {
	r    *bufio.Reader
	key  string // of the array in the object at the top; empty for an array at the top
	line int64
	at   place
	end  error
}

type place int

const (
	outside  place = iota // between documents
	inObject              // between the keys of the object at the top
	inArray               // between the elements
	inTop                 // between the elements of an array at the top
)

func newElementReader(r io.Reader, key string) *elementReader {
	return &elementReader{r: bufio.NewReaderSize(r, 256<<10), key: key, line: 1}
}

// next returns the next element and the line that it begins on. The error is io.EOF after the last one.
func (e *elementReader) next() (line, error) {
	if e.end != nil {
		return line{}, e.end
	}
	for {
		b, err := e.skipSpace()
		if err != nil {
			if errors.Is(err, io.EOF) && e.at != outside {
				err = fmt.Errorf("line %d: the JSON breaks off", e.line)
			}
			e.end = err
			return line{}, err
		}
		switch {
		case e.at == outside:
			err = e.begin(b)
		case e.at == inObject:
			err = e.member(b)
		case b == ']' && e.at == inArray:
			e.at = inObject
		case b == ']':
			e.at = outside
		case b == ',':
		default:
			return e.value(b)
		}
		if err != nil {
			e.end = fmt.Errorf("line %d: %w", e.line, err)
			return line{}, e.end
		}
	}
}

func (e *elementReader) read() (byte, error) {
	b, err := e.r.ReadByte()
	if b == '\n' {
		e.line++
	}
	return b, err
}

func (e *elementReader) skipSpace() (byte, error) {
	for {
		b, err := e.read()
		if err != nil || b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			return b, err
		}
	}
}

// maxPrefix bounds what may stand before the first document: a byte order mark, an assignment.
const maxPrefix = 4 << 10

func (e *elementReader) begin(b byte) error {
	for n := 0; ; n++ {
		switch {
		case b == '[' && e.key == "":
			e.at = inTop
			return nil
		case b == '{' && e.key != "":
			e.at = inObject
			return nil
		case n == maxPrefix || b == '{' || b == '[':
			return fmt.Errorf("no JSON %s begins here", e.wanted())
		}
		var err error
		if b, err = e.read(); errors.Is(err, io.EOF) {
			return fmt.Errorf("no JSON %s begins here", e.wanted())
		} else if err != nil {
			return err
		}
	}
}

func (e *elementReader) wanted() string {
	if e.key == "" {
		return "array"
	}
	return fmt.Sprintf("object with %q", e.key)
}

// member reads one key of the object at the top and passes over its value, unless it is the wanted array.
func (e *elementReader) member(b byte) error {
	switch b {
	case '}':
		e.at = outside
		return nil
	case ',':
		return nil
	case '"':
	default:
		return fmt.Errorf("%q where a key has to stand", b)
	}
	key, err := e.value(b)
	if err != nil {
		return err
	}
	if b, err = e.skipSpace(); err == nil && b != ':' {
		return errors.New("no colon after a key")
	}
	if err == nil {
		b, err = e.skipSpace()
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the JSON breaks off")
	}
	if err != nil {
		return err
	}
	if string(key.bytes) == `"`+e.key+`"` && b == '[' {
		e.at = inArray
		return nil
	}
	_, err = e.value(b)
	return err
}

// value reads to the end of the value that begins with b. Brackets are balanced, strings respected; whether it is JSON is for who decodes it. Of a value that is
// too long only the head is kept. One that breaks off is returned as it is, and the error comes next.
func (e *elementReader) value(b byte) (line, error) {
	out := line{number: e.line}
	depth, quoted, escaped := 0, false, false
	for {
		switch {
		case out.tooLong:
		case len(out.bytes) == MaxLineBytes:
			out.tooLong = true
			out.bytes = out.bytes[:headBytes:headBytes]
		default:
			out.bytes = append(out.bytes, b)
		}
		switch {
		case escaped:
			escaped = false
		case quoted && b == '\\':
			escaped = true
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			depth++
		case b == '}' || b == ']':
			depth--
		}
		if !quoted && depth == 0 && (b == '"' || b == '}' || b == ']') {
			return out, nil
		}
		if !quoted && depth == 0 {
			// A number or a word ends before what follows it.
			ahead, err := e.r.Peek(1)
			if err != nil || ahead[0] == ',' || ahead[0] == ']' || ahead[0] == '}' || ahead[0] <= ' ' {
				return out, nil
			}
		}
		var err error
		if b, err = e.read(); err != nil {
			if !errors.Is(err, io.EOF) {
				return line{}, err
			}
			e.end = fmt.Errorf("line %d: the JSON breaks off", e.line)
			return out, nil
		}
	}
}
