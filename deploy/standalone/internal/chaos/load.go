package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
)

const institutionsYAML = `
institutions:
  - id: kota-a
    name: Kota A
    zone: Asia/Jakarta
    calendar: id-government
    accounts: {x: [{handle: kota_a}]}
    purpose: menjawab warga
    legal_basis: UU 25/2009
    retention: {text_days: 90, facts_days: 395}
`

// institution is whose messages the load is.
const institution = "kota-a"

// begin is the time of the first message; each is a second after the one before.
var begin = time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC)

// fate is what has to be true of a message in the end.
type fate struct {
	edit    int // the last one
	deleted bool
}

// place is a line of an archive.
type place struct {
	file string
	line int64
}

// ledger is what was sent, and what has to become of it.
type ledger struct {
	messages  map[string]*fate // by id
	malformed map[place]bool
	foreign   int
	lines     int
	files     int
	first     time.Time
	last      time.Time
}

// load writes archives into the inbox: new messages, replies of the institution, edits and deletions and repeats of earlier ones, what is no message, what concerns nobody.
type load struct {
	rng    *rand.Rand
	dir    string
	ledger ledger
	next   int
}

func newLoad(rng *rand.Rand, dir string) *load {
	return &load{rng: rng, dir: dir, ledger: ledger{messages: map[string]*fate{}, malformed: map[place]bool{}, first: begin}}
}

// text is a message's text; those of ids that end in 7 are of a kind that the risk tags know.
func text(id string, edit int) string {
	if strings.HasSuffix(id, "7") {
		return fmt.Sprintf("Pungli 50 ribu di loket, tanpa kuitansi, laporan %s suntingan %d", id, edit)
	}
	return fmt.Sprintf("Pesan nomor %s suntingan %d, min kapan dibalas?", id, edit)
}

// poison is what is no message, each in a way of its own: no JSON, bytes of no text, depth, a number that nothing holds, times that no clock has, too much of it.
func poison(n int) string {
	row := func(key, value string) string {
		return fmt.Sprintf(`{"platform": "x", "kind": "mention", "message_id": "racun%d", "author_id": "w", "mentions": ["kota_a"], "created_at": %q, "text": "a", %q: %s}`, n, stamp(n), key, value)
	}
	all := []string{
		"rusak {", "\x00\x00\xff\xfe", row("likes", strings.Repeat("[", 20_000)), row("likes", "1e400"), row("likes", "123456789012345678901234567890"), row("created_at", `"1970-01-01T00:00:00Z"`),
		row("created_at", `"2970-01-01T00:00:00Z"`), row("text", `"`+strings.Repeat("a", schemas.MaxTextBytes+1)+`"`), row("platform", `"telex"`),
	}
	return all[n%len(all)]
}

// write makes one archive of that many lines, whole or not at all.
func (l *load) write(lines int) error {
	name := fmt.Sprintf("%06d.jsonl", l.ledger.files)
	var b strings.Builder
	for line := int64(1); line <= int64(lines); line++ {
		row := map[string]any{"platform": "x", "kind": "mention", "author_id": fmt.Sprint("warga", l.rng.IntN(500)), "mentions": []string{"kota_a"}}
		switch n := l.rng.IntN(200); {
		case n == 0:
			l.ledger.malformed[place{name, line}] = true
			b.WriteString(poison(len(l.ledger.malformed)) + "\n")
			continue
		case n == 1: // concerns no institution
			l.ledger.foreign++
			row["message_id"], row["created_at"], row["text"], row["mentions"] = fmt.Sprint("asing", l.ledger.foreign), stamp(l.next), "obrolan", []string{"orang_lain"}
		case n < 24 && l.next > 10: // an edit, or the same once more
			id := l.rng.IntN(l.next)
			f := l.ledger.messages[fmt.Sprint(id)]
			if !f.deleted {
				f.edit += l.rng.IntN(2)
			}
			fill(row, id, f)
		case n < 30 && l.next > 10: // a deletion
			id := l.rng.IntN(l.next)
			f := l.ledger.messages[fmt.Sprint(id)]
			f.deleted = true
			fill(row, id, f)
		default:
			f := &fate{}
			l.ledger.messages[fmt.Sprint(l.next)] = f
			fill(row, l.next, f)
			l.next++
		}
		text, err := json.Marshal(row)
		if err != nil {
			return err
		}
		b.Write(text)
		b.WriteByte('\n')
	}
	l.ledger.lines += lines
	l.ledger.files++
	l.ledger.last = begin.Add(time.Duration(l.next) * time.Second)
	hidden := filepath.Join(l.dir, "."+name)
	if err := os.WriteFile(hidden, []byte(b.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(hidden, filepath.Join(l.dir, name))
}

// fill makes the row what is known of the message by now. Every third one is the institution's reply to the one before.
func fill(row map[string]any, id int, f *fate) {
	name := fmt.Sprint(id)
	row["message_id"], row["created_at"], row["text"] = name, stamp(id), text(name, f.edit)
	if id%3 == 2 {
		row["author_id"], row["kind"], row["parent_id"], row["mentions"] = "kota_a", "reply", fmt.Sprint(id-1), []string{}
	} else {
		row["author_id"] = fmt.Sprint("warga", id%500)
	}
	if f.edit > 0 {
		row["edited_at"] = begin.Add(time.Duration(id)*time.Second + time.Duration(f.edit)*time.Millisecond).Format(time.RFC3339Nano)
	}
	if f.deleted {
		row["deleted_at"] = begin.Add(time.Duration(id)*time.Second + time.Hour).Format(time.RFC3339Nano)
	}
}

func stamp(n int) string { return begin.Add(time.Duration(n) * time.Second).Format(time.RFC3339Nano) }
