package clickhouse

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas/clickhouse/calendar"
)

// LoadCalendars fills business_spans from the calendars of this build and from others, each as a whole and only where its file differs from what the database
// has. One of the others takes the place of the build's of the same name. It returns the names of those it loaded. Migrate comes first.
func LoadCalendars(ctx context.Context, conn driver.Conn, others ...*calendar.Calendar) ([]string, error) {
	record, err := openRecord(ctx, conn)
	if err != nil {
		return nil, err
	}
	calendars := slices.Clone(others)
	for _, name := range calendar.Names() {
		if slices.ContainsFunc(others, func(c *calendar.Calendar) bool { return c.Name == name }) {
			continue
		}
		c, err := calendar.Load(name)
		if err != nil {
			return nil, err
		}
		calendars = append(calendars, c)
	}
	var loaded []string
	for _, c := range calendars {
		changed, err := record.loadCalendar(ctx, c)
		if err != nil {
			return loaded, fmt.Errorf("loading calendar %s: %w", c.Name, err)
		}
		if changed {
			loaded = append(loaded, c.Name)
		}
	}
	return loaded, nil
}

func (r *migrationRecord) loadCalendar(ctx context.Context, c *calendar.Calendar) (bool, error) {
	rows := spanRows(c)
	var stored uint64
	err := r.conn.QueryRow(ctx, "SELECT count() FROM business_spans WHERE calendar = {calendar:String}", clickhouse.Named("calendar", c.Name)).Scan(&stored)
	if err != nil {
		return false, fmt.Errorf("counting its spans: %w", err)
	}
	recordName := "calendar/" + c.Name + ".yaml"
	if r.sums[recordName] == c.Checksum && stored == uint64(len(rows)) {
		return false, nil
	}
	if err := r.replaceSpans(ctx, c.Name, rows); err != nil {
		return false, err
	}
	return true, r.note(ctx, recordName, c.Checksum)
}

// replaceSpans writes the spans to a table of their own and puts them in the place of the calendar's partition: readers see the old calendar or the new one.
// The name of that table is random, because a second loader may run at the same time; its engine is named, because a replicated one belongs to one table.
func (r *migrationRecord) replaceSpans(ctx context.Context, name string, rows []spanRow) (err error) {
	staging := "business_spans_" + strings.ToLower(rand.Text())
	if err := r.conn.Exec(ctx, "CREATE TABLE "+staging+" AS business_spans ENGINE = ReplacingMergeTree PARTITION BY calendar ORDER BY (calendar, utc_offset_s, s)"); err != nil {
		return fmt.Errorf("creating %s: %w", staging, err)
	}
	defer func() {
		if dropErr := r.conn.Exec(ctx, "DROP TABLE "+staging); dropErr != nil && err == nil {
			err = fmt.Errorf("dropping %s: %w", staging, dropErr)
		}
	}()
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+staging+" (calendar, utc_offset_s, s, e, cum)")
	if err != nil {
		return fmt.Errorf("preparing the spans: %w", err)
	}
	for _, row := range rows {
		if err := batch.Append(name, row.offset, row.start, row.end, row.cum); err != nil {
			return fmt.Errorf("appending a span: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("writing the spans: %w", err)
	}
	// The name of a calendar consists of letters, digits and -.
	if err := r.conn.Exec(ctx, "ALTER TABLE business_spans REPLACE PARTITION '"+name+"' FROM "+staging); err != nil {
		return fmt.Errorf("exchanging the partition: %w", err)
	}
	return nil
}

type spanRow struct {
	offset     int32
	start, end time.Time
	cum        int64
}

// spanRows are a calendar's spans at all of its offsets. The last row of an offset has no length and begins just after the calendar's last span.
func spanRows(c *calendar.Calendar) []spanRow {
	var rows []spanRow
	for _, offset := range c.Offsets {
		spans := c.Spans(offset)
		for _, s := range spans {
			rows = append(rows, spanRow{offset, s.Start, s.End, s.Before})
		}
		if n := len(spans); n > 0 {
			last := spans[n-1]
			end := last.End.Add(time.Millisecond)
			rows = append(rows, spanRow{offset, end, end, last.Before + int64(last.End.Sub(last.Start).Seconds())})
		}
	}
	return rows
}
