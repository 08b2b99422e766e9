package chhttp

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func framed(t testing.TB, method string, data []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := newFramedWriter(&packed, method)
	if err != nil {
		t.Fatal(err)
	}
	for part := data; len(part) > 0; {
		n := min(len(part), 300_000)
		if _, err := w.Write(part[:n]); err != nil {
			t.Fatal(err)
		}
		part = part[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func post(data []byte, headers map[string]string) *http.Request {
	request := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(data))
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	return request
}

func TestReadBody(t *testing.T) {
	directory := t.TempDir()
	s := spool{memoryBytes: 64 << 10, directory: directory, limitBytes: 1 << 30}
	large := bytes.Repeat([]byte("baris data\n"), 200_000)
	for _, data := range [][]byte{nil, []byte("x"), large[:s.memoryBytes], large[:s.memoryBytes-1], large} {
		for _, encoding := range []string{"", "identity", "gzip", "zstd", "br", "lz4", "deflate", "framed LZ4", "framed LZ4HC", "framed ZSTD", "framed NONE"} {
			packed, headers := data, map[string]string{}
			method, isFramed := strings.CutPrefix(encoding, "framed ")
			if isFramed {
				packed = framed(t, method, data)
			} else if encoding != "" {
				headers["Content-Encoding"] = encoding
				if c, ok := codecNamed(encoding); ok {
					var buffer bytes.Buffer
					w, err := c.writer(&buffer)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := w.Write(data); err != nil {
						t.Fatal(err)
					}
					if err := w.Close(); err != nil {
						t.Fatal(err)
					}
					packed = buffer.Bytes()
				}
			}
			b, err := s.read(post(packed, headers), isFramed)
			if err != nil {
				t.Fatalf("%q, %d bytes: %v", encoding, len(data), err)
			}
			got, err := io.ReadAll(b.reader())
			if err != nil || !bytes.Equal(got, data) || b.size != int64(len(data)) {
				t.Errorf("%q: %d bytes became %d (size %d), %v", encoding, len(data), len(got), b.size, err)
			}
			b.close()
		}
	}
	left, err := os.ReadDir(directory)
	if err != nil || len(left) != 0 {
		t.Errorf("%d files are left in the spool, %v", len(left), err)
	}
}

// Some clients announce an encoding for a body that they do not send.
func TestReadBodyAnnouncedAndEmpty(t *testing.T) {
	b, err := spool{100, t.TempDir(), 100}.read(post(nil, map[string]string{"Content-Encoding": "gzip"}), false)
	if err != nil || b.size != 0 {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestReadBodyRefuses(t *testing.T) {
	refused := func(name string, request *http.Request, isFramed bool, limitBytes int64, code int) {
		t.Helper()
		b, err := spool{1000, t.TempDir(), limitBytes}.read(request, isFramed)
		var ex *exception
		if !errors.As(err, &ex) || ex.code != code {
			t.Errorf("%s: %+v, %v, want code %d", name, b, err, code)
		}
	}
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	if _, err := io.Copy(w, io.LimitReader(zeros{}, 4<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	refused("a compression bomb", post(bomb.Bytes(), map[string]string{"Content-Encoding": "gzip"}), false, 1<<20, codeTooManyBytes)
	refused("one byte too many", post([]byte("123456"), nil), false, 5, codeTooManyBytes)
	refused("an unknown encoding", post([]byte("x"), map[string]string{"Content-Encoding": "snappy"}), false, 100, codeNotImplemented)
	refused("not gzip", post([]byte("not gzip at all"), map[string]string{"Content-Encoding": "gzip"}), false, 100, codeNetworkError)
	refused("not framed", post(bytes.Repeat([]byte("not framed at all "), 9), nil), true, 1000, codeNetworkError)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A framed body is whole or an error, wherever it is cut.
func TestFramedCut(t *testing.T) {
	frame := framed(t, "LZ4", []byte("satu dua tiga empat"))
	packed := bytes.Repeat(frame, 3)
	for n := range len(packed) + 1 {
		b, err := spool{1000, t.TempDir(), 1000}.read(post(packed[:n], nil), true)
		if whole := n%len(frame) == 0; whole != (err == nil) {
			t.Errorf("%d of %d bytes: %+v, %v", n, len(packed), b, err)
		}
	}
}

func TestEngineException(t *testing.T) {
	for text, want := range map[string]exception{
		"Code: 60. DB::Exception: No table. (UNKNOWN_TABLE)\n":                                        {60, "Code: 60. DB::Exception: No table. (UNKNOWN_TABLE)"},
		"Code: 241. DB::Exception: Code: 241. DB::Exception: Code: 241. DB::Exception: Too much. (X)": {241, "Code: 241. DB::Exception: Too much. (X)"},
		"Code: 1. DB::Exception: Code: 2. DB::Exception: Inner":                                       {1, "Code: 1. DB::Exception: Code: 2. DB::Exception: Inner"},
		"Code: 36. DB::ParsingException: Bad":                                                         {36, "Code: 36. DB::ParsingException: Bad"},
		"gone wrong":                                                                                  {1002, "Code: 1002. DB::Exception: gone wrong (UNKNOWN_EXCEPTION)"},
	} {
		if got := engineException(text); *got != want {
			t.Errorf("engineException(%q) = %+v", text, *got)
		}
	}
}

// A quoted name or value is one token, whatever is in it, and ends where it should.
func TestQuote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mark := rapid.SampledFrom([]byte("'`")).Draw(t, "mark")
		text := string(rapid.SliceOf(rapid.SampledFrom([]byte("a'`\\\n\x00\xff;-"))).Draw(t, "text"))
		s := scanner{text: quote(text, mark) + " SETTINGS"}
		if first, next, last := s.next(), s.next(), s.next(); first.kind != quoted || !next.is("SETTINGS") || last.kind != end {
			t.Errorf("%q is quoted as %s", text, s.text)
		}
	})
}
