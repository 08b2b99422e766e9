package chhttp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// blockInfo stands before every Native block from revision 1 on: field 1, is_overflows, false; field 2, bucket_num, -1; no more fields.
var blockInfo = []byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}

// writeNative writes Native blocks of revision 0, the only one that libchdb makes, as blocks of the revision, above 0, that the client asked for by client_protocol_version.
// The columns' bytes are the same in both; what differs is the block info before a block and, from revision 54454 on, a byte behind a column's type that says
// whether a custom serialization follows (it never does). clickhouse-go's own column decoders tell where a column ends, so only types that they know can pass.
func writeNative(w io.Writer, blocks []byte, revision int) error {
	source := bytes.NewReader(blocks)
	// A buffer of the decoder's own size is taken over by it instead of being wrapped, and what it still holds tells the position of the decoder.
	buffered := bufio.NewReaderSize(source, 128<<10)
	reader := chproto.NewReader(buffered)
	position := func() int { return len(blocks) - source.Len() - buffered.Buffered() }
	server := &column.ServerContext{Revision: 0, Timezone: time.UTC}
	for {
		columns, err := reader.UVarInt()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the number of columns: %w", err)
		}
		rows, err := reader.UVarInt()
		if err != nil {
			return fmt.Errorf("reading the number of rows: %w", err)
		}
		var header chproto.Buffer
		header.PutRaw(blockInfo)
		header.PutUVarInt(columns)
		header.PutUVarInt(rows)
		if _, err := w.Write(header.Buf); err != nil {
			return err
		}
		for range columns {
			if err := writeColumn(w, blocks, reader, position, server, int(rows), revision); err != nil {
				return err
			}
		}
	}
}

func writeColumn(w io.Writer, blocks []byte, reader *chproto.Reader, position func() int, server *column.ServerContext, rows, revision int) error {
	from := position()
	name, err := reader.Str()
	if err != nil {
		return fmt.Errorf("reading a column's name: %w", err)
	}
	typeName, err := reader.Str()
	if err != nil {
		return fmt.Errorf("reading the type of column %q: %w", name, err)
	}
	if _, err := w.Write(blocks[from:position()]); err != nil {
		return err
	}
	if revision >= proto.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION {
		if _, err := w.Write([]byte{0}); err != nil {
			return err
		}
	}
	if rows == 0 {
		return nil // Neither a state prefix nor values follow.
	}
	from = position()
	values, err := column.Type(typeName).Column(name, server)
	if err != nil {
		return fmt.Errorf("reading column %q of type %s: %w", name, typeName, err)
	}
	if stateful, ok := values.(column.CustomSerialization); ok {
		if err := stateful.ReadStatePrefix(reader); err != nil {
			return fmt.Errorf("reading the state of column %q of type %s: %w", name, typeName, err)
		}
	}
	if err := values.Decode(reader, rows); err != nil {
		return fmt.Errorf("reading %d values of column %q of type %s: %w", rows, name, typeName, err)
	}
	_, err = w.Write(blocks[from:position()])
	return err
}
