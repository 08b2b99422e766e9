// Package chdb binds the part of libchdb's C interface that an HTTP server needs, through purego, so that no C toolchain is needed and the library is found while the process runs.
//
// One process holds one engine on one data path; any number of connections may be open on it, each with settings and a current database of its own.
// A connection runs one statement at a time and belongs to one goroutine. The header this follows is programs/local/chdb.h of chdb-core 26.7.3.
package chdb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Library is a loaded libchdb. It cannot be unloaded.
type Library struct {
	connect        func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn      func(conn unsafe.Pointer)
	query          func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer
	insert         func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer
	appendChunk    func(stream, data unsafe.Pointer, length uintptr) int32
	done           func(stream unsafe.Pointer) unsafe.Pointer
	cancelInsert   func(stream unsafe.Pointer)
	insertError    func(stream unsafe.Pointer) string
	destroyInsert  func(stream unsafe.Pointer)
	classify       func(conn, sql unsafe.Pointer, sqlLen uintptr, database unsafe.Pointer, databaseLen uintptr, out unsafe.Pointer) int32
	destroyResult  func(result unsafe.Pointer)
	buffer         func(result unsafe.Pointer) unsafe.Pointer
	length         func(result unsafe.Pointer) uintptr
	resultError    func(result unsafe.Pointer) string
	elapsed        func(result unsafe.Pointer) float64
	resultRows     func(result unsafe.Pointer) uint64
	resultBytes    func(result unsafe.Pointer) uint64
	storageRows    func(result unsafe.Pointer) uint64
	storageBytes   func(result unsafe.Pointer) uint64
	rowsWritten    func(result unsafe.Pointer) uint64
	bytesWritten   func(result unsafe.Pointer) uint64
	version        func() string
	signalHandlers func(enabled int32)
}

// Open loads the library at path and binds its functions. A library that lacks one of them is refused.
func Open(path string) (*Library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", path, err)
	}
	l := &Library{}
	for _, f := range []struct {
		target any
		name   string
	}{
		{&l.connect, "chdb_connect"},
		{&l.closeConn, "chdb_close_conn"},
		{&l.query, "chdb_query_with_params_n"},
		{&l.insert, "chdb_stream_insert_with_params_n"},
		{&l.appendChunk, "chdb_stream_append"},
		{&l.done, "chdb_stream_done"},
		{&l.cancelInsert, "chdb_stream_cancel_insert"},
		{&l.insertError, "chdb_stream_insert_error"},
		{&l.destroyInsert, "chdb_destroy_insert_stream"},
		{&l.classify, "chdb_classify_query_n"},
		{&l.destroyResult, "chdb_destroy_query_result"},
		{&l.buffer, "chdb_result_buffer"},
		{&l.length, "chdb_result_length"},
		{&l.resultError, "chdb_result_error"},
		{&l.elapsed, "chdb_result_elapsed"},
		{&l.resultRows, "chdb_result_rows_read"},
		{&l.resultBytes, "chdb_result_bytes_read"},
		{&l.storageRows, "chdb_result_storage_rows_read"},
		{&l.storageBytes, "chdb_result_storage_bytes_read"},
		{&l.rowsWritten, "chdb_result_rows_written"},
		{&l.bytesWritten, "chdb_result_bytes_written"},
		{&l.version, "chdb_version"},
		{&l.signalHandlers, "chdb_set_signal_handlers_enabled"},
	} {
		symbol, err := purego.Dlsym(handle, f.name)
		if err != nil {
			return nil, fmt.Errorf("binding %s of %s: %w", f.name, path, err)
		}
		purego.RegisterFunc(f.target, symbol)
	}
	// The Go runtime handles the deadly signals itself: its handlers run on a stack of their own and print every goroutine.
	l.signalHandlers(0)
	return l, nil
}

// Exit ends the process at once, without the C++ destructors of the library, which crash while its threads still run. Whatever statements have written is safe.
func Exit(code int) {
	// os.Exit leaves without them where it is a system call, and runs them where it goes through the C library.
	var exit func(int32)
	if symbol, err := purego.Dlsym(purego.RTLD_DEFAULT, "_exit"); err == nil {
		purego.RegisterFunc(&exit, symbol)
		exit(int32(code))
	}
	os.Exit(code)
}

// Version is the library's own version, e.g. "26.7.3".
func (l *Library) Version() string { return l.version() }

// Setting is one server or query setting given when a connection is opened.
type Setting struct{ Name, Value string }

// Param is the value of one {name:Type} placeholder, in ClickHouse's escaped text form (as a field of TabSeparated).
type Param struct{ Name, Value string }

// Exception is an error of the engine, as text that starts with "Code: NNN. DB::Exception: ".
type Exception string

func (e Exception) Error() string { return string(e) }

// Conn is one connection to the engine.
type Conn struct {
	library *Library
	handle  unsafe.Pointer
}

// Connect opens a connection on the data directory path. The first one of a process boots the engine and takes server settings too;
// the engine ends when the last one is closed and must not be booted twice. The library does not say why it refuses a connection.
func (l *Library) Connect(path string, settings ...Setting) (*Conn, error) {
	arguments := []string{"clickhouse", "--path=" + path}
	for _, s := range settings {
		arguments = append(arguments, "--"+s.Name+"="+s.Value)
	}
	var pinner runtime.Pinner
	defer pinner.Unpin()
	argv := make([]unsafe.Pointer, len(arguments)+1) // The last one stays null, as in C's argv.
	for i, a := range arguments {
		argv[i] = pinned(&pinner, a+"\x00")
	}
	pinner.Pin(&argv[0])
	handle := l.connect(int32(len(arguments)), unsafe.Pointer(&argv[0]))
	if handle == nil {
		return nil, fmt.Errorf("connecting to the engine on %s: refused (is the path writable, are the settings %v valid?)", path, settings)
	}
	return &Conn{library: l, handle: handle}, nil
}

// Close ends the connection.
func (c *Conn) Close() { c.library.closeConn(c.handle) }

// Stats counts what a statement did.
type Stats struct {
	ResultRows, ResultBytes   uint64
	ReadRows, ReadBytes       uint64 // from storage
	WrittenRows, WrittenBytes uint64 // materialized views included
	ElapsedS                  float64
}

// Result is the formatted outcome of a statement.
type Result struct {
	Stats
	library *Library
	handle  unsafe.Pointer
}

// Bytes is the formatted result; it lives in the library's memory and is valid until Close.
func (r *Result) Bytes() []byte {
	return unsafe.Slice((*byte)(r.library.buffer(r.handle)), r.library.length(r.handle))
}

// Close frees the result.
func (r *Result) Close() { r.library.destroyResult(r.handle) }

// Query runs sql and formats its result as format, unless sql says another FORMAT. An error of the engine is an Exception.
func (c *Conn) Query(sql, format string, params []Param) (*Result, error) {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	names, nameLens, values, valueLens := pinnedParams(&pinner, params)
	handle := c.library.query(c.session(), pinned(&pinner, sql), uintptr(len(sql)), pinned(&pinner, format), uintptr(len(format)),
		names, nameLens, values, valueLens, uintptr(len(params)))
	return c.result(handle)
}

// Insert runs sql, an INSERT without FORMAT clause and data, with the rows that data holds in the given format.
// The engine writes blocks as they fill up: an error, of the engine (an Exception) or of data, may leave the blocks before it in the table.
func (c *Conn) Insert(sql, format string, params []Param, data io.Reader) (Stats, error) {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	names, nameLens, values, valueLens := pinnedParams(&pinner, params)
	stream := c.library.insert(c.session(), pinned(&pinner, sql), uintptr(len(sql)), pinned(&pinner, format), uintptr(len(format)),
		names, nameLens, values, valueLens, uintptr(len(params)))
	defer c.library.destroyInsert(stream)
	if text := c.library.insertError(stream); text != "" {
		return Stats{}, Exception(text)
	}
	chunk := make([]byte, 1<<20)
	pinner.Pin(&chunk[0])
	for {
		n, err := data.Read(chunk)
		if n > 0 && c.library.appendChunk(stream, unsafe.Pointer(&chunk[0]), uintptr(n)) != 0 {
			break // The stream has failed; done says why.
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.library.cancelInsert(stream)
			return Stats{}, err
		}
	}
	result, err := c.result(c.library.done(stream))
	if err != nil {
		return Stats{}, err
	}
	defer result.Close()
	return result.Stats, nil
}

// Statements counts the executable statements in sql; 0 if it does not parse. Nothing is run.
func (c *Conn) Statements(sql string) int {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	analysis := &struct{ size, statements, flags, class uint32 }{}
	analysis.size = uint32(unsafe.Sizeof(*analysis))
	pinner.Pin(analysis)
	if c.library.classify(c.session(), pinned(&pinner, sql), uintptr(len(sql)), nil, 0, unsafe.Pointer(analysis)) != 0 {
		return 0
	}
	return int(analysis.statements)
}

// session is the handle that statements take: chdb_connect returns a pointer to it.
func (c *Conn) session() unsafe.Pointer { return *(*unsafe.Pointer)(c.handle) }

func (c *Conn) result(handle unsafe.Pointer) (*Result, error) {
	if handle == nil {
		return nil, errors.New("the engine returned no result")
	}
	l := c.library
	if text := l.resultError(handle); text != "" {
		l.destroyResult(handle)
		return nil, Exception(text)
	}
	return &Result{library: l, handle: handle, Stats: Stats{
		ResultRows: l.resultRows(handle), ResultBytes: l.resultBytes(handle),
		ReadRows: l.storageRows(handle), ReadBytes: l.storageBytes(handle),
		WrittenRows: l.rowsWritten(handle), WrittenBytes: l.bytesWritten(handle),
		ElapsedS: l.elapsed(handle),
	}}, nil
}

// pinned gives the address of a copy of s that does not move or vanish until the pinner lets go.
func pinned(pinner *runtime.Pinner, s string) unsafe.Pointer {
	b := append([]byte(s), 0)
	pinner.Pin(&b[0])
	return unsafe.Pointer(&b[0])
}

func pinnedParams(pinner *runtime.Pinner, params []Param) (names, nameLens, values, valueLens unsafe.Pointer) {
	if len(params) == 0 {
		return nil, nil, nil, nil
	}
	texts, lens := make([]unsafe.Pointer, 2*len(params)), make([]uintptr, 2*len(params))
	for i, p := range params {
		texts[i], lens[i] = pinned(pinner, p.Name), uintptr(len(p.Name))
		j := len(params) + i
		texts[j], lens[j] = pinned(pinner, p.Value), uintptr(len(p.Value))
	}
	pinner.Pin(&texts[0])
	pinner.Pin(&lens[0])
	n := len(params)
	return unsafe.Pointer(&texts[0]), unsafe.Pointer(&lens[0]), unsafe.Pointer(&texts[n]), unsafe.Pointer(&lens[n])
}
