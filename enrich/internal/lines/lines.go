// Package lines reads files that hold a record a line, as JSON lines do.
package lines

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Longest is how many bytes a line may have.
const Longest = 1 << 20

// Each gives take every line that is not blank, with its number from 1 on, until take fails; the bytes are valid until take returns. A byte order mark at the beginning
// is no part of the first line. Take's error comes back as it is, and one of reading names the line.
func Each(in io.Reader, take func(number int, line []byte) error) error {
	s := bufio.NewScanner(in)
	s.Buffer(nil, Longest)
	number := 0
	for s.Scan() {
		number++
		line := s.Bytes()
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := take(number, line); err != nil {
			return err
		}
	}
	err := s.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("longer than %d bytes", Longest)
	}
	if err != nil {
		return fmt.Errorf("reading line %d: %w", number+1, err)
	}
	return nil
}
