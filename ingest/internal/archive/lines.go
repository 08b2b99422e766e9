// Package archive reads archives of messages: JSON lines, and CSV through a mapping, compressed or not. It gives every row of a file with the
// line it begins on and either a valid message or the reason why there is none; a bad row never costs another one.
package archive

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// MaxLineBytes is the longest line that is read whole, decompressed. A longer one is skipped to its end and dead-lettered.
const MaxLineBytes = 8 << 20

// headBytes is how much of a line over MaxLineBytes is kept: more than a dead letter holds.
const headBytes = 512 << 10

// maxWindowBytes bounds the memory that a zstd frame may ask for.
const maxWindowBytes = 128 << 20

var byteOrderMark = []byte("\xef\xbb\xbf")

// line is one physical line with its end ("\n" or "\r\n", nothing at the end of the file). Of a line that is too long only the head is there.
type line struct {
	number  int64
	bytes   []byte
	tooLong bool
}

// lineReader cuts a stream into lines within bounded memory.
type lineReader struct {
	r      *bufio.Reader
	number int64
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 256<<10)}
}

// next returns the next line; its bytes are the caller's. The error is io.EOF after the last line.
func (l *lineReader) next() (line, error) {
	l.number++
	out := line{number: l.number}
	for {
		chunk, err := l.r.ReadSlice('\n')
		switch {
		case out.tooLong:
		case len(out.bytes)+len(chunk) > MaxLineBytes:
			out.tooLong = true
			out.bytes = append(out.bytes, chunk...)[:headBytes:headBytes]
		default:
			out.bytes = append(out.bytes, chunk...)
		}
		switch {
		case err == nil:
			return out, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(out.bytes) > 0:
			return out, nil
		default:
			return line{}, err
		}
	}
}

// stream is an opened archive. Position counts bytes as they lie in the file, so that progress can be shown for compressed files too.
type stream struct {
	io.Reader
	position func() int64
	close    func() error
}

// open opens a file, decompressing by suffix: .gz, .zst.
func open(path string) (*stream, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the archive: %w", err)
	}
	counted := &countingReader{r: f}
	s := &stream{Reader: counted, position: func() int64 { return counted.n }, close: f.Close}
	switch compression(path) {
	case ".gz":
		gz, err := gzip.NewReader(counted)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("reading %s as gzip: %w", filepath.Base(path), err), f.Close())
		}
		s.Reader = gz
	case ".zst":
		zs, err := zstd.NewReader(counted, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindowBytes))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("reading %s as zstd: %w", filepath.Base(path), err), f.Close())
		}
		s.Reader = zs
		s.close = func() error { zs.Close(); return f.Close() }
	}
	return s, nil
}

// compression is the suffix that says how a file is compressed, or nothing.
func compression(path string) string {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".gz", ".zst":
		return ext
	}
	return ""
}

// IsCSV tells by the suffix, compression aside, that a file is CSV.
func IsCSV(path string) bool {
	name := strings.TrimSuffix(strings.ToLower(path), compression(path))
	return strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".tsv")
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
