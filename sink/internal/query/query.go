// Package query answers a person's SQL as a table of text.
package query

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// readOnly lets a query read and set settings for itself, and nothing else.
const readOnly = 2

// Print runs one query that may only read, with parameters by name ({name:Type} in the query; ClickHouse puts them in, never this code), and writes its
// result as a table: a line of column names, a line a row, the number of rows.
func Print(ctx context.Context, conn driver.Conn, sql string, params map[string]string, out io.Writer) error {
	rows, err := conn.Query(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"readonly": readOnly}),
		clickhouse.WithParameters(clickhouse.Parameters(params))), sql)
	if err != nil {
		return fmt.Errorf("querying: %w", err)
	}
	defer rows.Close()
	types := rows.ColumnTypes()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(rows.Columns(), "\t"))
	targets, fields := make([]any, len(types)), make([]string, len(types))
	count := 0
	for ; rows.Next(); count++ {
		for n, t := range types {
			targets[n] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(targets...); err != nil {
			return fmt.Errorf("reading row %d: %w", count+1, err)
		}
		for n, target := range targets {
			fields[n] = Text(reflect.ValueOf(target).Elem())
		}
		fmt.Fprintln(table, strings.Join(fields, "\t"))
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the result: %w", err)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	_, err = fmt.Fprintf(out, "%d rows\n", count)
	return err
}

// Text is one value on one line, without characters that would move a terminal's cursor.
func Text(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return "NULL"
		}
		return Text(v.Elem())
	case reflect.Float32:
		return strconv.FormatFloat(v.Float(), 'g', -1, 32)
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Slice, reflect.Array:
		parts := make([]string, v.Len())
		for n := range parts {
			parts[n] = Text(v.Index(n))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if at, ok := v.Interface().(time.Time); ok {
		return at.UTC().Format("2006-01-02 15:04:05.999")
	}
	return printable(fmt.Sprint(v.Interface()))
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '·'
		}
		return r
	}, s)
}
