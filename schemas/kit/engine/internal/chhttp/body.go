package chhttp

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// codec is one HTTP Content-Encoding.
type codec struct {
	name   string
	reader func(io.Reader) (io.ReadCloser, error)
	writer func(io.Writer) (io.WriteCloser, error)
}

// codecs are ordered as a server prefers them for its answers.
var codecs = []codec{
	{"zstd",
		func(r io.Reader) (io.ReadCloser, error) {
			d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
			if err != nil {
				return nil, err
			}
			return d.IOReadCloser(), nil
		},
		func(w io.Writer) (io.WriteCloser, error) {
			return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		}},
	{"br",
		func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(brotli.NewReader(r)), nil },
		func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriterLevel(w, brotli.BestSpeed), nil }},
	{"lz4",
		func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(lz4.NewReader(r)), nil },
		func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil }},
	{"gzip",
		func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) },
		func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }},
	{"deflate",
		func(r io.Reader) (io.ReadCloser, error) { return zlib.NewReader(r) },
		func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil }},
}

func codecNamed(name string) (codec, bool) {
	for _, c := range codecs {
		if strings.EqualFold(c.name, name) {
			return c, true
		}
	}
	return codec{}, false
}

// body is a request's body, decoded, and complete before the engine sees its first byte: a client that breaks off in the middle changes nothing.
type body struct {
	memory []byte
	rest   *os.File // what did not fit in memory; its name is gone from the directory already
	size   int64
}

// spool says where the bytes of a body are kept.
type spool struct {
	memoryBytes int64  // how much of a body is held in memory
	directory   string // where the rest goes
	limitBytes  int64  // how large a body may be
}

// read decodes a request's body: Content-Encoding, and ClickHouse's own framed compression where framed is true.
func (s spool) read(r *http.Request, framed bool) (_ *body, err error) {
	var source io.Reader = r.Body
	if name := r.Header.Get("Content-Encoding"); name != "" && !strings.EqualFold(name, "identity") {
		c, ok := codecNamed(name)
		if !ok {
			return nil, newException(codeNotImplemented, "NOT_IMPLEMENTED", "Unknown Content-Encoding %q; known are zstd, br, lz4, gzip, deflate", name)
		}
		// Some clients announce an encoding and send nothing.
		var first [1]byte
		if n, err := io.ReadFull(source, first[:]); n == 0 {
			if errors.Is(err, io.EOF) {
				return &body{}, nil
			}
			return nil, readingError(err)
		}
		decoded, err := c.reader(io.MultiReader(bytes.NewReader(first[:]), source))
		if err != nil {
			return nil, readingError(err)
		}
		defer decoded.Close()
		source = decoded
	}
	if framed {
		source = newFramedReader(source)
	}
	source = io.LimitReader(source, s.limitBytes+1)
	b := &body{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	var memory bytes.Buffer
	if b.size, err = io.Copy(&memory, io.LimitReader(source, s.memoryBytes)); err != nil {
		return nil, readingError(err)
	}
	b.memory = memory.Bytes()
	if b.size == s.memoryBytes {
		file, err := os.CreateTemp(s.directory, "body-*")
		if err != nil {
			return nil, fmt.Errorf("spooling a request's body: %w", err)
		}
		b.rest = file
		if err := os.Remove(file.Name()); err != nil {
			return nil, fmt.Errorf("spooling a request's body: %w", err)
		}
		n, err := io.Copy(file, source)
		if err != nil {
			return nil, readingError(err)
		}
		b.size += n
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("spooling a request's body: %w", err)
		}
	}
	if b.size > s.limitBytes {
		return nil, newException(codeTooManyBytes, "TOO_MANY_BYTES", "The request's body is larger than %d bytes", s.limitBytes)
	}
	return b, nil
}

// readingError tells a body that broke off or does not decode.
func readingError(err error) error {
	var refused *exception
	if errors.As(err, &refused) {
		return err
	}
	return newException(codeNetworkError, "NETWORK_ERROR", "Reading the request's body: %v", err)
}

// reader reads the whole body, once.
func (b *body) reader() io.Reader { return io.MultiReader(bytes.NewReader(b.memory), b.spooled()) }

// spooled reads what is not in memory, once.
func (b *body) spooled() io.Reader {
	if b.rest == nil {
		return strings.NewReader("")
	}
	return b.rest
}

func (b *body) close() {
	if b.rest != nil {
		b.rest.Close()
	}
}

// framedReader tells the plain end of ClickHouse's framed compression, at the end of a frame, from one in the middle of a frame; ch-go's reader gives io.EOF for both.
type framedReader struct {
	source  countingReader
	frames  *compress.Reader
	frameAt int64 // how much of the source had been read when the last whole frame was
}

func newFramedReader(source io.Reader) *framedReader {
	f := &framedReader{source: countingReader{source: source}}
	f.frames = compress.NewReader(&f.source)
	return f
}

func (f *framedReader) Read(p []byte) (int, error) {
	n, err := f.frames.Read(p)
	switch {
	case err == nil:
		f.frameAt = f.source.read
	case errors.Is(err, io.EOF) && f.source.read == f.frameAt:
		err = io.EOF
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

type countingReader struct {
	source io.Reader
	read   int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.source.Read(p)
	c.read += int64(n)
	return n, err
}

// framedWriter writes ClickHouse's framed compression, a frame a chunk.
type framedWriter struct {
	target  io.Writer
	writer  *compress.Writer
	pending []byte
}

// frameBytes is the size of a chunk before compression, as a server's max_compress_block_size.
const frameBytes = 1 << 20

func newFramedWriter(target io.Writer, method string) (*framedWriter, error) {
	m := compress.LZ4
	switch strings.ToUpper(method) {
	case "", "LZ4":
	case "LZ4HC":
		m = compress.LZ4HC
	case "ZSTD":
		m = compress.ZSTD
	case "NONE":
		m = compress.None
	default:
		return nil, newException(codeUnknownCompression, "UNKNOWN_COMPRESSION_METHOD", "Unknown network_compression_method %q; known are LZ4, LZ4HC, ZSTD, NONE", method)
	}
	return &framedWriter{target: target, writer: compress.NewWriter(compress.LevelZero, m)}, nil
}

func (f *framedWriter) Write(p []byte) (int, error) {
	written := len(p)
	for len(f.pending)+len(p) >= frameBytes {
		n := frameBytes - len(f.pending)
		f.pending = append(f.pending, p[:n]...)
		p = p[n:]
		if err := f.flush(); err != nil {
			return 0, err
		}
	}
	f.pending = append(f.pending, p...)
	return written, nil
}

func (f *framedWriter) Close() error {
	if len(f.pending) == 0 {
		return nil
	}
	return f.flush()
}

func (f *framedWriter) flush() error {
	if err := f.writer.Compress(f.pending); err != nil {
		return fmt.Errorf("compressing: %w", err)
	}
	f.pending = f.pending[:0]
	_, err := f.target.Write(f.writer.Data)
	return err
}
