// Package chhttp speaks ClickHouse's HTTP interface for an engine that is a library: what clickhouse-go (protocol HTTP), Grafana's ClickHouse datasource and curl use of it.
package chhttp

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dwiarah/dwiarah/schemas/kit/engine/internal/chdb"
)

// Config says what a Handler serves and to whom.
type Config struct {
	Library *chdb.Library
	// DataDir is the data path of the engine.
	DataDir string
	// SpoolDir takes request bodies that are too large for memory.
	SpoolDir string
	// Settings are given to every connection.
	Settings []chdb.Setting
	// User and Password are required of every request, except for pings, where User is not empty.
	User, Password string
	// MaxBodyBytes bounds a request's decoded body.
	MaxBodyBytes int64
	// Statements is how many statements may run at the same time.
	Statements int
}

// Handler serves one engine. Every request gets a connection of its own, so that neither settings nor the current database outlive it.
type Handler struct {
	config      Config
	keepAlive   *chdb.Conn // The engine would end with its last connection.
	running     chan struct{}
	displayName string
	spool       spool
}

// New boots the engine on the data directory, with the server settings given and those of the configuration.
func New(config Config, serverSettings ...chdb.Setting) (*Handler, error) {
	conn, err := config.Library.Connect(config.DataDir, append(serverSettings, config.Settings...)...)
	if err != nil {
		return nil, err
	}
	result, err := conn.Query("SELECT displayName() WHERE timezone() = 'UTC'", "TSVRaw", nil)
	if err != nil {
		return nil, fmt.Errorf("asking the engine for its name: %w", err)
	}
	defer result.Close()
	name, inUTC := strings.CutSuffix(string(result.Bytes()), "\n")
	if !inUTC {
		return nil, errors.New("the engine's time zone is not UTC")
	}
	return &Handler{
		config: config, keepAlive: conn, running: make(chan struct{}, config.Statements), displayName: name,
		spool: spool{memoryBytes: 8 << 20, directory: config.SpoolDir, limitBytes: config.MaxBodyBytes},
	}, nil
}

// Quiesce waits till no statement runs and lets none start any more, or until ctx ends. The handler stays unusable.
func (h *Handler) Quiesce(ctx context.Context) error {
	for range cap(h.running) {
		select {
		case h.running <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("waiting for running statements: %w", ctx.Err())
		}
	}
	return nil
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-ClickHouse-Server-Display-Name", h.displayName)
	switch r.URL.Path {
	case "/ping", "/replicas_status":
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		fmt.Fprint(w, "Ok.\n")
		return
	case "", "/":
	default:
		http.Error(w, "There is no handle "+r.URL.Path+"\nUse / or /ping for health checks.", http.StatusNotFound)
		return
	}
	if err := h.serveQuery(w, r); err != nil {
		h.serveException(w, err)
	}
}

func (h *Handler) serveException(w http.ResponseWriter, err error) {
	var ex *exception
	var fromEngine chdb.Exception
	switch {
	case errors.As(err, &ex):
	case errors.As(err, &fromEngine):
		ex = engineException(string(fromEngine))
	default:
		ex = engineException(err.Error())
	}
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(ex.code))
	if ex.status() == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
	}
	w.WriteHeader(ex.status())
	fmt.Fprintln(w, ex.text)
}

// request is what the URL and the headers of a query say.
type request struct {
	query, database, format, queryID string
	params                           []chdb.Param
	settings                         []chdb.Setting
	readonly                         string
	revision                         int
	compress, decompress             bool
	compression                      string // network_compression_method
	encoding                         string // of the answer, "" for none
}

// ignored are the parameters of the HTTP interface that change nothing here: they are about credentials (see authorized), sessions, which this server does not
// keep, and the buffering of the answer, which is always complete before its first byte is sent.
var ignored = map[string]bool{
	"user": true, "password": true, "quota_key": true, "session_id": true, "session_timeout": true, "session_check": true, "close_session": true, "role": true,
	"wait_end_of_query": true, "buffer_size": true, "stacktrace": true, "http_write_exception_in_output_format": true, "send_progress_in_http_headers": true,
	"http_headers_progress_interval_ms": true, "http_response_buffer_size": true, "add_http_cors_header": true, "http_zlib_compression_level": true,
}

var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func parseRequest(r *http.Request) (request, error) {
	// ClickHouse takes a semicolon in the query string for itself, net/url for an error.
	values, err := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
	if err != nil {
		return request{}, newException(codeBadParameter, "BAD_QUERY_PARAMETER", "Reading the URL's parameters: %v", err)
	}
	q := request{
		database: r.Header.Get("X-ClickHouse-Database"),
		format:   r.Header.Get("X-ClickHouse-Format"),
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		value := values.Get(name)
		parameter, isParam := strings.CutPrefix(name, "param_")
		switch {
		case isParam:
			q.params = append(q.params, chdb.Param{Name: parameter, Value: value})
		case name == "query":
			q.query = value
		case name == "database":
			q.database = value
		case name == "default_format":
			q.format = value
		case name == "query_id":
			q.queryID = value
		case name == "client_protocol_version":
			if q.revision, err = strconv.Atoi(value); err != nil {
				return request{}, newException(codeBadParameter, "BAD_QUERY_PARAMETER", "client_protocol_version %q is not a number", value)
			}
		case name == "compress":
			q.compress = isTrue(value)
		case name == "decompress":
			q.decompress = isTrue(value)
		case name == "network_compression_method":
			q.compression = value
		case name == "network_zstd_compression_level":
		case name == "enable_http_compression":
			if isTrue(value) {
				q.encoding = acceptedEncoding(r.Header.Get("Accept-Encoding"))
			}
		case name == "readonly":
			q.readonly = value
		case ignored[name]:
		case !settingName.MatchString(name):
			return request{}, newException(codeUnknownSetting, "UNKNOWN_SETTING", "Unknown setting '%s'", name)
		default:
			q.settings = append(q.settings, chdb.Setting{Name: name, Value: value})
		}
	}
	if q.format == "" {
		q.format = "TabSeparated"
	}
	if q.queryID == "" {
		q.queryID = uuid.NewString()
	}
	// A link must not change anything: as on a server, GET implies readonly.
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && (q.readonly == "" || q.readonly == "0") {
		q.readonly = "2"
	}
	return q, nil
}

func isTrue(value string) bool { return value == "1" || strings.EqualFold(value, "true") }

func acceptedEncoding(header string) string {
	for _, c := range codecs {
		for accepted := range strings.SplitSeq(header, ",") {
			name, _, _ := strings.Cut(accepted, ";")
			if strings.EqualFold(strings.TrimSpace(name), c.name) {
				return c.name
			}
		}
	}
	return ""
}

func (h *Handler) serveQuery(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut:
	default:
		w.Header().Set("Allow", "GET, HEAD, POST, PUT")
		return newException(codeNotImplemented, "NOT_IMPLEMENTED", "The method %s is not known; use GET or POST", r.Method)
	}
	if err := h.authorized(r); err != nil {
		return err
	}
	q, err := parseRequest(r)
	if err != nil {
		return err
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		return newException(codeNotImplemented, "NOT_IMPLEMENTED", "External tables (multipart/form-data) are not supported by the embedded engine")
	}
	w.Header().Set("X-ClickHouse-Query-Id", q.queryID)
	w.Header().Set("X-ClickHouse-Timezone", "UTC")
	content, err := h.spool.read(r, q.decompress)
	if err != nil {
		return err
	}
	defer content.close()
	if q.query == "" && content.size == 0 {
		if r.Method == http.MethodPost {
			return newException(codeSyntaxError, "SYNTAX_ERROR", "Syntax error: Empty query")
		}
		fmt.Fprint(w, "Ok.\n") // A bare GET is a health check.
		return nil
	}
	select {
	case h.running <- struct{}{}:
	case <-r.Context().Done():
		return r.Context().Err()
	}
	result, stats, format, err := h.run(r.Context(), q, content)
	<-h.running
	if err != nil {
		return err
	}
	if result != nil {
		defer result.Close()
	}
	return h.answer(w, q, result, stats, format)
}

// maxStatementBytes bounds the text of a statement, with the rows that the engine's own parser must read.
const maxStatementBytes = 64 << 20

// run executes the request's statement. The result is nil for an INSERT whose rows came with the request. If ctx ends, because the client has gone, so does the statement.
func (h *Handler) run(ctx context.Context, q request, content *body) (_ *chdb.Result, stats chdb.Stats, format string, err error) {
	// The library keeps state for each thread of the operating system.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	text, rest := q.query, content.reader()
	s := parseStatement(text)
	if !s.insert && content.size > 0 {
		// The statement goes on in the body.
		if text != "" {
			text += "\n"
		}
		text += string(content.memory)
		s, rest = parseStatement(text), content.spooled()
	}
	switch s.file {
	case "INTO OUTFILE":
		return nil, stats, "", newException(codeOutfileNotAllowed, "INTO_OUTFILE_NOT_ALLOWED", "INTO OUTFILE is not allowed")
	case "FROM INFILE":
		return nil, stats, "", newException(codeUnknownTypeOfQuery, "UNKNOWN_TYPE_OF_QUERY", "Query has infile and was send directly to server")
	}
	if s.input {
		return nil, stats, "", newException(codeNotImplemented, "NOT_IMPLEMENTED", "The table function input() is not supported by the embedded engine")
	}
	mark := uuid.NewString()
	conn, err := h.config.Library.Connect(h.config.DataDir, append(slices.Clone(h.config.Settings), chdb.Setting{Name: markSetting, Value: mark})...)
	if err != nil {
		return nil, stats, "", err
	}
	defer conn.Close()
	if err := prepare(conn, q); err != nil {
		return nil, stats, "", err
	}
	defer h.cancelWith(ctx, mark)()

	if s.insert && !(s.format == "Values" && len(q.params) > 0) {
		rows := []io.Reader{strings.NewReader(text[s.dataAt:]), rest}
		if s.dataAt < len(text) && content.size > 0 && text == q.query {
			rows = slices.Insert(rows, 1, io.Reader(strings.NewReader("\n")))
		}
		stats, err = conn.Insert(s.target, s.format, q.params, &untilDone{ctx, io.MultiReader(rows...)})
		return nil, stats, "", err
	}
	// Values that hold placeholders are for the engine's own parser of the whole text.
	tail, err := io.ReadAll(io.LimitReader(rest, maxStatementBytes+1))
	if err != nil {
		return nil, stats, "", fmt.Errorf("reading the spooled body: %w", err)
	}
	if s.insert && text == q.query && content.size > 0 {
		text += "\n"
	}
	if text += string(tail); len(text) > maxStatementBytes {
		return nil, stats, "", newException(codeSyntaxError, "SYNTAX_ERROR", "The statement is larger than %d bytes", maxStatementBytes)
	}
	if !s.insert && conn.Statements(text) > 1 {
		return nil, stats, "", newException(codeSyntaxError, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
	}
	format = s.format
	if format == "" || s.insert {
		format = q.format
	}
	result, err := conn.Query(text, format, q.params)
	if err != nil {
		return nil, stats, "", err
	}
	return result, result.Stats, format, nil
}

// untilDone stops reading when ctx has ended.
type untilDone struct {
	ctx    context.Context
	source io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.source.Read(p)
}

// markSetting carries the mark by which a running statement is found again; a request that sets it for itself cannot be cancelled.
const markSetting = "log_comment"

// cancelWith ends the statement with the given mark when ctx ends. The library has no call for that; KILL QUERY on another connection does it.
// The function that it returns ends the watch and must be called.
func (h *Handler) cancelWith(ctx context.Context, mark string) (stop func()) {
	finished := make(chan struct{})
	stopped := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		defer close(stopped)
		for {
			if conn, err := h.config.Library.Connect(h.config.DataDir); err == nil {
				if result, err := conn.Query("KILL QUERY WHERE Settings[{setting:String}] = {mark:String} ASYNC", "Null",
					[]chdb.Param{{Name: "setting", Value: markSetting}, {Name: "mark", Value: mark}}); err == nil {
					result.Close()
				}
				conn.Close()
			}
			// The statement may not have begun yet, or not look at its cancellation soon: this goes on until it has ended.
			select {
			case <-finished:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	return func() {
		close(finished)
		if !unwatch() {
			<-stopped
		}
	}
}

// prepare gives the connection what the request's parameters say. The names of settings have been checked, values are quoted.
func prepare(conn *chdb.Conn, q request) error {
	var statements []string
	for _, s := range q.settings {
		statements = append(statements, "SET "+s.Name+" = "+quote(s.Value, '\''))
	}
	if q.database != "" {
		statements = append(statements, "USE "+quote(q.database, '`'))
	}
	if q.readonly != "" {
		statements = append(statements, "SET readonly = "+quote(q.readonly, '\'')) // The last one: it forbids some of the others.
	}
	for _, statement := range statements {
		result, err := conn.Query(statement, "Null", nil)
		if err != nil {
			return err
		}
		result.Close()
	}
	return nil
}

func quote(s string, mark byte) string {
	var b strings.Builder
	b.WriteByte(mark)
	for i := range len(s) {
		if s[i] == mark || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte(mark)
	return b.String()
}

// summary is the value of X-ClickHouse-Summary; the numbers are strings, as a server writes them.
type summary struct {
	ReadRows        string `json:"read_rows"`
	ReadBytes       string `json:"read_bytes"`
	WrittenRows     string `json:"written_rows"`
	WrittenBytes    string `json:"written_bytes"`
	TotalRowsToRead string `json:"total_rows_to_read"`
	ResultRows      string `json:"result_rows"`
	ResultBytes     string `json:"result_bytes"`
	ElapsedNs       string `json:"elapsed_ns"`
}

// heldBytes is how much of an answer is made before its first byte is sent: until then, what goes wrong is still told as an exception.
const heldBytes = 16 << 20

func (h *Handler) answer(w http.ResponseWriter, q request, result *chdb.Result, stats chdb.Stats, format string) error {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	text, err := json.Marshal(summary{
		ReadRows: number(stats.ReadRows), ReadBytes: number(stats.ReadBytes), WrittenRows: number(stats.WrittenRows), WrittenBytes: number(stats.WrittenBytes),
		TotalRowsToRead: "0", ResultRows: number(stats.ResultRows), ResultBytes: number(stats.ResultBytes), ElapsedNs: number(uint64(stats.ElapsedS * 1e9)),
	})
	if err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	w.Header().Set("X-ClickHouse-Summary", string(text))
	if result == nil || len(result.Bytes()) == 0 {
		w.Header().Set("Content-Length", "0")
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		return nil
	}
	sent := &counted{target: w}
	var target io.Writer = sent
	var closers []io.Closer // outermost last
	if q.encoding != "" {
		c, _ := codecNamed(q.encoding)
		encoder, err := c.writer(target)
		if err != nil {
			return fmt.Errorf("encoding as %s: %w", q.encoding, err)
		}
		target, closers = encoder, append(closers, encoder)
	}
	if q.compress {
		framed, err := newFramedWriter(target, q.compression)
		if err != nil {
			return err
		}
		target, closers = framed, append(closers, framed)
	}
	headers := w.Header()
	headers.Set("X-ClickHouse-Format", format)
	headers.Set("Content-Type", contentType(format))
	if q.encoding != "" {
		headers.Set("Content-Encoding", q.encoding)
	}
	if rows := result.Bytes(); strings.EqualFold(format, "Native") && q.revision > 0 {
		held := bufio.NewWriterSize(target, min(heldBytes, len(rows)+64<<10))
		closers = append(closers, closeFunc(held.Flush))
		err = writeNative(held, rows, q.revision)
	} else {
		_, err = target.Write(rows)
	}
	switch {
	case err != nil && sent.failed != nil:
		return nil // The client has gone: nobody is left to be told.
	case err != nil && sent.bytes > 0:
		panic(http.ErrAbortHandler) // The client must see a broken answer, not a short one.
	case err != nil:
		headers.Del("X-ClickHouse-Format")
		headers.Del("Content-Encoding")
		return newException(codeNotImplemented, "NOT_IMPLEMENTED", "Writing the result as %s of revision %d: %v", format, q.revision, err)
	}
	for _, c := range slices.Backward(closers) {
		if err := c.Close(); err != nil {
			if sent.failed != nil {
				return nil
			}
			panic(http.ErrAbortHandler)
		}
	}
	return nil
}

// counted tells what has been sent and whether the client was still there.
type counted struct {
	target io.Writer
	bytes  int64
	failed error
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.target.Write(p)
	c.bytes += int64(n)
	if err != nil {
		c.failed = err
	}
	return n, err
}

type closeFunc func() error

func (f closeFunc) Close() error { return f() }

func contentType(format string) string {
	name := strings.ToLower(format)
	switch {
	case strings.Contains(name, "eachrow") && strings.HasPrefix(name, "json"):
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(name, "json"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(name, "csv"):
		if strings.Contains(name, "withnames") {
			return "text/csv; charset=UTF-8; header=present"
		}
		return "text/csv; charset=UTF-8; header=absent"
	case strings.HasPrefix(name, "tabseparated"), strings.HasPrefix(name, "tsv"):
		return "text/tab-separated-values; charset=UTF-8"
	case name == "xml":
		return "application/xml; charset=UTF-8"
	case name == "native", strings.HasPrefix(name, "rowbinary"), strings.HasPrefix(name, "arrow"), name == "parquet", name == "orc", name == "avro":
		return "application/octet-stream"
	}
	return "text/plain; charset=UTF-8"
}

// authorized checks the user, or, where none is configured, that the request does not come from a web page of somebody else: a browser on this machine
// reaches the loopback address too.
func (h *Handler) authorized(r *http.Request) error {
	if h.config.User == "" {
		host := r.Host
		if name, _, err := net.SplitHostPort(r.Host); err == nil {
			host = name
		}
		if host != "localhost" && net.ParseIP(strings.Trim(host, "[]")) == nil {
			return newException(codeAccessDenied, "ACCESS_DENIED", "Requests for host %q are refused while no user is configured; use an IP address or localhost", host)
		}
		if origin := r.Header.Get("Origin"); origin != "" || r.Header.Get("Sec-Fetch-Site") == "cross-site" {
			return newException(codeAccessDenied, "ACCESS_DENIED", "Requests from web pages (origin %q) are refused while no user is configured", origin)
		}
		return nil
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		user, password = r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	}
	if user == "" {
		query := r.URL.Query()
		user, password = query.Get("user"), query.Get("password")
	}
	if user == "" {
		return newException(codeRequiredPassword, "REQUIRED_PASSWORD", "Authentication is required")
	}
	same := subtle.ConstantTimeCompare([]byte(user), []byte(h.config.User)) & subtle.ConstantTimeCompare([]byte(password), []byte(h.config.Password))
	if same != 1 {
		return newException(codeAuthenticationFailed, "AUTHENTICATION_FAILED", "%s: Authentication failed: password is incorrect, or there is no user with such name", user)
	}
	return nil
}
