package storetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/sink/internal/store"
)

// tail is by how many of its last bytes a trace is looked up.
const tail = 8

// Traces are bytes that must not be found on a disk, each of a kind, as a text or an author's key. Looking for ten thousand of them takes one pass.
type Traces struct {
	byTail map[uint64][]trace
	maybe  [1 << 18]uint64 // a bit for each of the last three bytes that a tail begins with
}

type trace struct{ kind, bytes string }

// Add adds a trace of eight bytes or more; its last eight should be its own.
func (t *Traces) Add(kind string, what []byte) {
	if len(what) < tail {
		panic(fmt.Sprintf("a trace of %d bytes is too short to tell anything", len(what)))
	}
	if t.byTail == nil {
		t.byTail = map[uint64][]trace{}
	}
	end := what[len(what)-tail:]
	key := binary.LittleEndian.Uint64(end)
	if !slices.Contains(t.byTail[key], trace{kind, string(what)}) {
		t.byTail[key] = append(t.byTail[key], trace{kind, string(what)})
	}
	at := prefix(end)
	t.maybe[at/64] |= 1 << (at % 64)
}

func prefix(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// Found is how often traces of a kind are in files of a name, as "text in text.bin".
type Found map[string]int

func (f Found) String() string {
	var list []string
	for _, what := range slices.Sorted(maps.Keys(f)) {
		list = append(list, fmt.Sprintf("%s (%d)", what, f[what]))
	}
	return strings.Join(list, ", ")
}

// Under looks for the traces in every file under a folder, of whatever table and kind, but for those below the paths in except.
func (t *Traces) Under(tb testing.TB, dir string, except ...string) Found {
	tb.Helper()
	found := Found{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // ClickHouse removes files meanwhile
		}
		if d.IsDir() {
			if slices.Contains(except, path) {
				return filepath.SkipDir
			}
			return nil
		}
		if b, err := os.ReadFile(path); err == nil {
			t.in(b, func(kind string) { found[kind+" in "+d.Name()]++ })
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

func (t *Traces) in(b []byte, found func(kind string)) {
	for n := 0; n+tail <= len(b); n++ {
		if at := prefix(b[n:]); t.maybe[at/64]&(1<<(at%64)) == 0 {
			continue
		}
		for _, trace := range t.byTail[binary.LittleEndian.Uint64(b[n:])] {
			if bytes.HasSuffix(b[:n+tail], []byte(trace.bytes)) {
				found(trace.kind)
			}
		}
	}
}

// Legible stores every column of the tables that could hold a trace as it is, so that Under sees it, and lets replaced parts leave the disk at once.
func Legible(tb testing.TB, s *store.Store, tables ...string) {
	tb.Helper()
	for _, table := range tables {
		var columns []string
		rows, err := s.Conn().Query(tb.Context(), "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '"+table+"' AND match(type, 'UInt64|^String|^FixedString|Array\\\\(String')")
		if err != nil {
			tb.Fatal(err)
		}
		for rows.Next() {
			var name, kind string
			if err := rows.Scan(&name, &kind); err != nil {
				tb.Fatal(err)
			}
			columns = append(columns, "MODIFY COLUMN "+name+" "+kind+" CODEC(NONE)")
		}
		if err := rows.Err(); err != nil || len(columns) == 0 {
			tb.Fatal(table, len(columns), err)
		}
		// The index of the key holds the beginnings of granules.
		const settings = ", MODIFY SETTING compress_primary_key = 0, old_parts_lifetime = 1"
		if err := s.Conn().Exec(tb.Context(), "ALTER TABLE "+table+" "+strings.Join(columns, ", ")+settings); err != nil {
			tb.Fatal(err)
		}
	}
}

// Folders returns where the files of the tables are.
func Folders(tb testing.TB, s *store.Store, tables ...string) (paths []string) {
	tb.Helper()
	for _, table := range tables {
		var of []string
		if err := s.Conn().QueryRow(tb.Context(), "SELECT data_paths FROM system.tables WHERE database = currentDatabase() AND name = '"+table+"'").Scan(&of); err != nil {
			tb.Fatal(err)
		}
		for _, path := range of {
			real, err := filepath.EvalSymlinks(path)
			if err != nil {
				tb.Fatal(err)
			}
			paths = append(paths, real)
		}
	}
	return paths
}
