package archive

import (
	"bytes"
	"time"
	"unicode/utf8"

	"github.com/dwiarah/dwiarah/schemas"
)

// itemRows reads a format whose items decode into messages one by one, or several at once.
type itemRows struct {
	items    itemReader
	decode   func(raw []byte) []item
	binary   bool // items need not be UTF-8
	now      time.Time
	defaults Defaults
	ready    []Row
}

// itemReader cuts a file into items.
type itemReader interface{ next() (line, error) }

// item is one message, not validated yet, or why there is none.
type item struct {
	message *schemas.Message
	drop    schemas.DropReason
	err     *schemas.FieldError
	raw     []byte // where it is only a part of what was read
}

func bad(err *schemas.FieldError) []item { return []item{{err: err}} }

func malformed(allowed string) []item {
	return bad(&schemas.FieldError{Reason: schemas.DeadMalformed, Key: "item", Allowed: allowed})
}

func (r *itemRows) next() (Row, error) {
	for len(r.ready) == 0 {
		l, err := r.items.next()
		if err != nil {
			return Row{}, err
		}
		if !r.binary {
			l.bytes = bytes.TrimSpace(bytes.TrimPrefix(l.bytes, byteOrderMark))
		}
		if len(l.bytes) == 0 {
			continue
		}
		if l.tooLong {
			return Row{Line: l.number, Raw: l.bytes, Err: lineTooLong()}, nil
		}
		if !r.binary && !utf8.Valid(l.bytes) {
			return Row{Line: l.number, Raw: l.bytes, Err: invalidUTF8()}, nil
		}
		for _, i := range r.decode(l.bytes) {
			row := Row{Line: l.number, Raw: l.bytes, Message: i.message, Drop: i.drop, Err: i.err}
			if i.raw != nil {
				row.Raw = i.raw
			}
			if i.message != nil {
				r.defaults.fill(i.message)
				if err := i.message.Validate(r.now); err != nil {
					row.Message, row.Err = nil, asFieldError(err)
				}
			}
			r.ready = append(r.ready, row)
		}
	}
	row := r.ready[0]
	r.ready = r.ready[1:]
	return row, nil
}
