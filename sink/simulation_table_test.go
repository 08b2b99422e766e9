package sink

import (
	"strconv"
	"strings"

	"github.com/dwiarah/dwiarah/sink/internal/rows"
)

// rowID tells the rows of one message apart: which edit, labelled by which model.
type rowID struct{ edit, model int }

type factRow struct {
	rowID
	version uint64
}

// tables are the tables of ClickHouse: what landed, and what is read of it.
type tables struct {
	facts      map[int][]factRow // by message, all that have not been merged away
	bodies     map[int]map[rowID]bool
	tombstones map[int]bool
	landed     map[int]map[rowID]bool // facts, whether merged away or not
}

func newTables() *tables {
	return &tables{facts: map[int][]factRow{}, bodies: map[int]map[rowID]bool{}, tombstones: map[int]bool{}, landed: map[int]map[rowID]bool{}}
}

// column returns the values of one of the table's columns.
func column[T any](t rows.Table, name string) []T {
	for _, c := range t.Columns {
		if c.Name == name {
			return c.Values.([]T)
		}
	}
	return nil
}

// messages are the numbers of the messages that the rows are of.
func messages(t rows.Table) []int {
	ids := make([]int, t.Rows)
	for n, key := range column[[]byte](t, "message_key") {
		ids[n], _ = strconv.Atoi(string(key))
	}
	return ids
}

// land puts rows of a block in, those that take says: a block of several partitions may land in part.
func (t *tables) land(block rows.Table, take func(row int) bool) {
	ids := messages(block)
	for n, id := range ids {
		if !take(n) {
			continue
		}
		switch block.Name {
		case "tombstones":
			t.tombstones[id] = true
		case "message_bodies":
			put(t.bodies, id, rowOfText(column[string](block, "text")[n]))
		case "message_facts":
			row := factRow{version: column[uint64](block, "version")[n]}
			if at := column[*int64](block, "edited_at")[n]; at != nil {
				row.edit = int(*at - editedFrom)
			}
			row.model, _ = strconv.Atoi(column[string](block, "model_version")[n])
			t.facts[id] = append(t.facts[id], row)
			put(t.landed, id, row.rowID)
		}
	}
}

func put(m map[int]map[rowID]bool, id int, row rowID) {
	if m[id] == nil {
		m[id] = map[rowID]bool{}
	}
	m[id][row] = true
}

// rowOfText reads a row's identity off its text; the table of bodies knows no edits, and no models.
func rowOfText(text string) rowID {
	edit, _ := strconv.Atoi(text[strings.LastIndexByte(text, ' ')+1:])
	return rowID{edit: edit}
}

// merge leaves the newest version of a message, as the engine does whenever it likes.
func (t *tables) merge(id int) {
	if row, ok := t.newest(id); ok {
		t.facts[id] = []factRow{row}
	}
}

func (t *tables) newest(id int) (newest factRow, ok bool) {
	for _, row := range t.facts[id] {
		if !ok || row.version > newest.version {
			newest, ok = row, true
		}
	}
	return newest, ok
}

// visible is the view messages: the newest version, and nothing of what has a tombstone.
func (t *tables) visible(id int) (rowID, bool) {
	row, ok := t.newest(id)
	if t.tombstones[id] {
		return rowID{}, false
	}
	return row.rowID, ok
}

// count is a metric over the view: the number of messages.
func (t *tables) count() int {
	n := 0
	for id := range ids {
		if _, ok := t.visible(id); ok {
			n++
		}
	}
	return n
}
