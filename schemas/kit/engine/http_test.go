package engine_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/dwiarah/dwiarah/schemas/kit/engine"
)

// client talks to an engine as curl does.
type client struct {
	t    *testing.T
	addr string
}

// ask sends a request with the parameters in the URL. Headers are "Name: value".
func (c client) ask(method string, parameters url.Values, body io.Reader, headers ...string) (*http.Response, string) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+c.addr+"/?"+parameters.Encode(), body)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Host" {
			request.Host = value
		} else {
			request.Header.Set(name, value)
		}
	}
	response, err := httpClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response, string(text)
}

// post wants an answer of exactly this text.
func (c client) post(parameters url.Values, body, want string, headers ...string) http.Header {
	c.t.Helper()
	response, text := c.ask(http.MethodPost, parameters, strings.NewReader(body), headers...)
	if response.StatusCode != http.StatusOK || text != want {
		c.t.Errorf("%v %q: %s %q, want %q", parameters, body, response.Status, text, want)
	}
	return response.Header
}

// refused wants an exception.
func (c client) refused(method string, parameters url.Values, body string, status, code int, headers ...string) {
	c.t.Helper()
	response, text := c.ask(method, parameters, strings.NewReader(body), headers...)
	if response.StatusCode != status || !strings.HasPrefix(text, fmt.Sprintf("Code: %d. DB::Exception: ", code)) || response.Header.Get("X-ClickHouse-Exception-Code") != fmt.Sprint(code) {
		c.t.Errorf("%s %v %q: %s %q, want %d with code %d", method, parameters, body, response.Status, text, status, code)
	}
}

func query(text string) url.Values { return url.Values{"query": {text}} }

func TestHTTP(t *testing.T) {
	e := start(t, engine.Config{})
	c := client{t, e.Addr()}

	t.Run("health", func(t *testing.T) {
		for _, path := range []string{"/ping", "/replicas_status", "/", ""} {
			response, err := httpClient.Get("http://" + e.Addr() + path)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || response.StatusCode != http.StatusOK || string(text) != "Ok.\n" {
				t.Errorf("%s: %s %q %v", path, response.Status, text, err)
			}
		}
		response, err := httpClient.Get("http://" + e.Addr() + "/nowhere")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Error(response.Status)
		}
	})

	t.Run("select", func(t *testing.T) {
		c := client{t, e.Addr()}
		c.post(nil, "SELECT 1", "1\n")
		c.post(nil, "SELECT 1;", "1\n")
		c.post(query("SELECT 1"), "", "1\n")
		c.post(query("SELECT"), "2", "2\n") // The text goes on in the body.
		c.post(url.Values{"default_format": {"JSONEachRow"}}, "SELECT 'x' AS a", "{\"a\":\"x\"}\n")
		c.post(nil, "SELECT 'x' AS a", "\"x\"\n", "X-ClickHouse-Format: CSV")
		c.post(url.Values{"database": {"system"}}, "SELECT count() FROM one", "1\n")
		c.post(nil, "SELECT count() FROM one", "1\n", "X-ClickHouse-Database: system")
		c.post(url.Values{"param_a": {`x\ty`}, "param_b": {"7"}}, "SELECT {a:String}, {b:UInt8}", "x\\ty\t7\n")
		c.post(url.Values{"max_threads": {"3"}}, "SELECT getSetting('max_threads')", "3\n")
		c.post(url.Values{"session_id": {"s"}, "wait_end_of_query": {"1"}, "quota_key": {"q"}}, "SELECT 1", "1\n")
		response, text := c.ask(http.MethodGet, query("SELECT number FROM numbers(2)"), nil)
		if text != "0\n1\n" || response.Header.Get("Content-Type") != "text/tab-separated-values; charset=UTF-8" {
			t.Errorf("%q as %s", text, response.Header.Get("Content-Type"))
		}
	})

	t.Run("headers", func(t *testing.T) {
		c := client{t, e.Addr()}
		response, text := c.ask(http.MethodPost, url.Values{"query_id": {"mine"}}, strings.NewReader("SELECT number AS n FROM numbers(3) FORMAT JSON"))
		var answer struct {
			Data []struct{ N json.Number }
			Rows int
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Rows != 3 || len(answer.Data) != 3 {
			t.Errorf("%s: %v", text, err)
		}
		for name, want := range map[string]string{
			"X-ClickHouse-Format": "JSON", "X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Query-Id": "mine", "X-ClickHouse-Server-Display-Name": "dwiarah",
			"Content-Type": "application/json; charset=UTF-8",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		var counts map[string]string
		if err := json.Unmarshal([]byte(response.Header.Get("X-ClickHouse-Summary")), &counts); err != nil || counts["result_rows"] != "3" || counts["read_rows"] != "3" {
			t.Errorf("the summary is %v, %v", counts, err)
		}
	})

	t.Run("insert", func(t *testing.T) {
		c := client{t, e.Addr()}
		c.post(nil, "CREATE TABLE i (a UInt64, s String) ENGINE = MergeTree ORDER BY a", "")
		check := func(want string) {
			t.Helper()
			c.post(nil, "SELECT * FROM i ORDER BY a", want)
			c.post(nil, "TRUNCATE TABLE i", "")
		}
		header := c.post(query("INSERT INTO i FORMAT JSONEachRow"), "{\"a\":1,\"s\":\"x\\ny\"}\n{\"a\":2,\"s\":\"FORMAT CSV\"}\n", "")
		if summary := header.Get("X-ClickHouse-Summary"); !strings.Contains(summary, `"written_rows":"2"`) {
			t.Errorf("the summary is %s", summary)
		}
		check("1\tx\\ny\n2\tFORMAT CSV\n")
		c.post(nil, "INSERT INTO i FORMAT CSV\n1,\"q\n\"\n2,\"\x00\xff\"", "")
		check("1\tq\\n\n2\t\\0\xff\n")
		c.post(query("INSERT INTO i VALUES"), "(1, 'a'), (1 + 1, upper('b'));", "")
		check("1\ta\n2\tB\n")
		c.post(query("INSERT INTO i VALUES (1, 'a'),"), "(2, 'b')", "")
		check("1\ta\n2\tb\n")
		c.post(query("INSERT INTO i (s, a) SETTINGS max_insert_block_size = 1 FORMAT TSV"), "x\t1\ny\t2\n", "")
		check("1\tx\n2\ty\n")
		c.post(nil, "INSERT INTO i SELECT number, 's' FROM numbers(2)", "")
		check("0\ts\n1\ts\n")
		// What the library would read from its standard input.
		c.refused(http.MethodPost, query("INSERT INTO i SELECT a + 1, s FROM input('a UInt64, s String') FORMAT CSV"), "1,x\n2,y\n", http.StatusNotImplemented, 48)
		c.refused(http.MethodPost, nil, "INSERT INTO i", http.StatusBadRequest, 62)
		c.refused(http.MethodPost, nil, "SELECT * FROM input('a UInt8')", http.StatusInternalServerError, 477)
		c.post(nil, "SELECT * FROM file('/dev/stdin', 'CSV', 'a UInt8')", "")
		c.post(query("INSERT INTO i FORMAT CSV"), "", "")
		check("")
	})

	t.Run("encodings", func(t *testing.T) {
		c := client{t, e.Addr()}
		c.post(nil, "CREATE TABLE z (a UInt64) ENGINE = MergeTree ORDER BY a", "")
		const rows = "1\n2\n3\n"
		for name, encode := range map[string]func(io.Writer) io.WriteCloser{
			"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
			"lz4":  func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) },
			"zstd": func(w io.Writer) io.WriteCloser { e, _ := zstd.NewWriter(w); return e }, // Without options it cannot fail.
		} {
			var body bytes.Buffer
			w := encode(&body)
			if _, err := io.WriteString(w, rows); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			c.post(query("INSERT INTO z FORMAT TSV"), body.String(), "", "Content-Encoding: "+name)
			c.post(nil, "SELECT count(), sum(a) FROM z", "3\t6\n")
			c.post(nil, "TRUNCATE TABLE z", "")
			if name != "gzip" { // A truncated one, whose first rows could be read.
				c.refused(http.MethodPost, query("INSERT INTO z FORMAT TSV"), body.String()[:body.Len()-2], http.StatusInternalServerError, 210, "Content-Encoding: "+name)
			}
			c.post(nil, "SELECT count() FROM z", "0\n")
		}
		c.refused(http.MethodPost, query("INSERT INTO z FORMAT TSV"), rows, http.StatusNotImplemented, 48, "Content-Encoding: snappy")
		c.refused(http.MethodPost, query("INSERT INTO z FORMAT TSV"), rows, http.StatusInternalServerError, 210, "Content-Encoding: gzip")
		response, text := c.ask(http.MethodPost, url.Values{"enable_http_compression": {"1"}}, strings.NewReader("SELECT 1"), "Accept-Encoding: br;q=0.1, gzip")
		if response.Header.Get("Content-Encoding") != "br" || text == "1\n" {
			t.Errorf("%q as %q", text, response.Header.Get("Content-Encoding"))
		}
		// An exception is plain text whatever was asked for.
		c.refused(http.MethodPost, url.Values{"enable_http_compression": {"1"}, "compress": {"1"}}, "SELECT throwIf(1)", http.StatusInternalServerError, 395, "Accept-Encoding: gzip")
		c.refused(http.MethodPost, url.Values{"compress": {"1"}, "network_compression_method": {"zip"}}, "SELECT 1", http.StatusInternalServerError, 89)
	})

	t.Run("refused", func(t *testing.T) {
		c := client{t, e.Addr()}
		c.refused(http.MethodPost, nil, "", http.StatusBadRequest, 62)
		c.refused(http.MethodPost, nil, "SELEC", http.StatusBadRequest, 62)
		c.refused(http.MethodPost, nil, "SELECT * FROM nowhere", http.StatusNotFound, 60)
		c.refused(http.MethodGet, query("CREATE TABLE g (a UInt8) ENGINE = Memory"), "", http.StatusInternalServerError, 164)
		c.refused(http.MethodGet, url.Values{"query": {"CREATE TABLE g (a UInt8) ENGINE = Memory"}, "readonly": {"0"}}, "", http.StatusInternalServerError, 164)
		c.refused(http.MethodPost, url.Values{"database": {"no`where"}}, "SELECT 1", http.StatusNotFound, 81)
		c.refused(http.MethodPost, url.Values{"max_threads": {"it's"}}, "SELECT 1", http.StatusBadRequest, 27)
		c.refused(http.MethodPost, url.Values{"max_threads = 1; DROP TABLE i; --": {"1"}}, "SELECT 1", http.StatusNotFound, 115)
		c.refused(http.MethodPost, url.Values{"client_protocol_version": {"x"}}, "SELECT 1", http.StatusBadRequest, 457)
		c.refused(http.MethodPost, nil, "SELECT 1", http.StatusNotImplemented, 48, "Content-Type: multipart/form-data; boundary=x")
		c.refused(http.MethodDelete, nil, "SELECT 1", http.StatusNotImplemented, 48)
		// A web page of somebody else reaches a loopback address too, also under a name of its own.
		c.refused(http.MethodPost, nil, "SELECT 1", http.StatusForbidden, 497, "Origin: https://contoh.example")
		c.refused(http.MethodGet, query("SELECT 1"), "", http.StatusForbidden, 497, "Sec-Fetch-Site: cross-site")
		c.refused(http.MethodGet, query("SELECT 1"), "", http.StatusForbidden, 497, "Host: contoh.example:8123")
		c.post(nil, "SELECT 1", "1\n", "Host: localhost:8123")
		c.post(nil, "SELECT 1", "1\n", "Host: [::1]:8123")
		// A type that clickhouse-go does not know cannot be written as Native of its revision; everything else can hold it.
		native := url.Values{"client_protocol_version": {"54460"}, "default_format": {"Native"}}
		c.refused(http.MethodPost, native, "SELECT uniqState(number) FROM numbers(3)", http.StatusNotImplemented, 48)
		c.post(nil, "SELECT finalizeAggregation(uniqState(number)) FROM numbers(3)", "3\n")
	})

	t.Run("semicolon in the URL", func(t *testing.T) {
		response, err := httpClient.Get("http://" + e.Addr() + "/?query=SELECT%201;")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if text, err := io.ReadAll(response.Body); err != nil || string(text) != "1\n" {
			t.Errorf("%q, %v", text, err)
		}
	})

	// More than is held in memory, rows of text, and an error at its very end.
	t.Run("large body", func(t *testing.T) {
		c := client{t, e.Addr()}
		c.post(nil, "CREATE TABLE l (a UInt64, s String) ENGINE = MergeTree ORDER BY a", "")
		var rows bytes.Buffer
		const total = 100_000
		for i := range total {
			fmt.Fprintf(&rows, "{\"a\":%d,\"s\":%q}\n", i, strings.Repeat("kata ", 40))
		}
		c.post(query("INSERT INTO l FORMAT JSONEachRow"), rows.String(), "")
		c.post(nil, "SELECT count(), uniqExact(a), min(length(s)) FROM l", fmt.Sprintf("%d\t%d\t200\n", total, total))
		c.post(nil, "TRUNCATE TABLE l", "")
		rows.WriteString("{\"a\": bukan angka}\n")
		c.refused(http.MethodPost, url.Values{"query": {"INSERT INTO l FORMAT JSONEachRow"}, "input_format_parallel_parsing": {"0"}, "max_insert_block_size": {"1000000"}, "min_insert_block_size_bytes": {"0"}, "min_insert_block_size_rows": {"0"}},
			rows.String(), http.StatusBadRequest, 27)
	})

	// A client that breaks off in the middle of its rows has inserted nothing.
	t.Run("broken body", func(t *testing.T) {
		c := client{t, e.Addr()}
		c.post(nil, "CREATE TABLE b (a UInt64) ENGINE = MergeTree ORDER BY a", "")
		conn, err := net.Dial("tcp", e.Addr())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /?query=INSERT+INTO+b+FORMAT+TSV HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n1\n2\n3\n")
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || !strings.Contains(string(answer), "Code: 210.") {
			t.Errorf("%q, %v", answer, err)
		}
		c.post(nil, "SELECT count() FROM b", "0\n")
	})
	c.post(nil, "SELECT 1", "1\n")
}
