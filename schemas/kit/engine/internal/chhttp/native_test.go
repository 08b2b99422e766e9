package chhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

const revision = proto.DBMS_TCP_PROTOCOL_VERSION

var nativeColumns = []struct {
	columnType string
	value      func(i int) any
}{
	{"UInt8", func(i int) any { return uint8(i) }},
	{"String", func(i int) any { return fmt.Sprint("baris\n", i, "\x00\xff") }},
	{"LowCardinality(String)", func(i int) any { return fmt.Sprint(i % 3) }},
	{"LowCardinality(Nullable(String))", func(i int) any { return new(fmt.Sprint(i % 5)) }},
	{"Nullable(Int64)", func(i int) any {
		if i%2 == 0 {
			return nil
		}
		return int64(i)
	}},
	{"DateTime64(3, 'UTC')", func(i int) any { return time.UnixMilli(int64(i) * 1234).UTC() }},
	{"Array(LowCardinality(String))", func(i int) any { return []string{"a", fmt.Sprint(i % 2)} }},
	{"Array(Array(UInt32))", func(i int) any { return [][]uint32{{}, {uint32(i)}} }},
	{"Map(String, Float32)", func(i int) any { return map[string]float32{"p": float32(i)} }},
	{"Tuple(a UInt8, b String)", func(i int) any { return map[string]any{"a": uint8(i), "b": "x"} }},
	{"FixedString(3)", func(int) any { return "abc" }},
	{"Enum8('x' = 1, 'y' = 2)", func(i int) any { return []string{"x", "y"}[i%2] }},
	{"Decimal(18, 4)", func(int) any { return "1.5" }},
	{"UUID", func(int) any { return "61f0c404-5cb3-11e7-907b-a6006ad3dba0" }},
}

func nativeBlock(t testing.TB, rows int) *proto.Block {
	t.Helper()
	block := proto.NewBlock()
	for i, c := range nativeColumns {
		if err := block.AddColumn(fmt.Sprint("c", i), column.Type(c.columnType)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range rows {
		var values []any
		for _, c := range nativeColumns {
			values = append(values, c.value(i))
		}
		if err := block.Append(values...); err != nil {
			t.Fatal(err)
		}
	}
	return block
}

// encoded are the bytes of a block. ch-go writes a state prefix for a block without rows, which ClickHouse does not.
func encoded(t testing.TB, rows, revision int) []byte {
	t.Helper()
	var b chproto.Buffer
	block := nativeBlock(t, rows)
	if rows > 0 {
		if err := block.Encode(&b, uint64(revision)); err != nil {
			t.Fatal(err)
		}
		return b.Buf
	}
	if err := block.EncodeHeader(&b, uint64(revision)); err != nil {
		t.Fatal(err)
	}
	for i, c := range nativeColumns {
		b.PutString(fmt.Sprint("c", i))
		b.PutString(c.columnType)
		if revision > 0 {
			b.PutBool(false)
		}
	}
	return b.Buf
}

// Blocks of revision 0 become what clickhouse-go itself writes for the newer revision, and clickhouse-go reads them.
func TestWriteNative(t *testing.T) {
	var from, want []byte
	sizes := []int{1, 0, 7, 5_000, 3} // The decoder's buffer ends in the middle of the large one.
	for _, rows := range sizes {
		from = append(from, encoded(t, rows, 0)...)
		want = append(want, encoded(t, rows, revision)...)
	}
	var got bytes.Buffer
	if err := writeNative(&got, from, revision); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the bytes differ from clickhouse-go's own")
	}
	reader := chproto.NewReader(&got)
	for _, rows := range sizes {
		block := proto.Block{ServerContext: &column.ServerContext{Timezone: time.UTC}}
		if err := block.Decode(reader, revision); err != nil {
			t.Fatal(err)
		}
		if block.Rows() != rows {
			t.Fatalf("%d rows, want %d", block.Rows(), rows)
		}
		for row := range block.Rows() {
			if got, want := block.Columns[1].Row(row, false), nativeColumns[1].value(row); got != want {
				t.Fatalf("row %d is %q, want %q", row, got, want)
			}
		}
	}
}

func TestWriteNativeRefuses(t *testing.T) {
	whole := encoded(t, 3, 0)
	for _, n := range []int{1, 2, 10, len(whole) / 2, len(whole) - 1} {
		if err := writeNative(io.Discard, whole[:n], revision); err == nil {
			t.Errorf("%d of %d bytes of a block were no error", n, len(whole))
		}
	}
	var b chproto.Buffer
	b.PutUVarInt(1)
	b.PutUVarInt(1)
	b.PutString("x")
	b.PutString("AggregateFunction(uniq, String)")
	if err := writeNative(io.Discard, b.Buf, revision); err == nil {
		t.Error("a type that clickhouse-go does not know was no error")
	}
	gone := errors.New("gone")
	if err := writeNative(failing{gone}, whole, revision); !errors.Is(err, gone) {
		t.Errorf("a writer's error became %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
