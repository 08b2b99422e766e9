package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/dwiarah/dwiarah/schemas/kit/engine"
)

// compressions are all that clickhouse-go knows over HTTP.
var compressions = []clickhouse.CompressionMethod{
	clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionLZ4HC, clickhouse.CompressionZSTD,
	clickhouse.CompressionGZIP, clickhouse.CompressionDeflate, clickhouse.CompressionBrotli,
}

type row struct {
	ID        uint64             `ch:"id"`
	Text      string             `ch:"text"`
	Platform  string             `ch:"platform"`
	Lang      *string            `ch:"lang"`
	Tag       *string            `ch:"tag"`
	CreatedAt time.Time          `ch:"created_at"`
	EditedAt  *time.Time         `ch:"edited_at"`
	Day       time.Time          `ch:"day"`
	Mentions  []string           `ch:"mentions"`
	Tags      []string           `ch:"tags"`
	Scores    map[string]float32 `ch:"scores"`
	IsAuto    uint8              `ch:"is_auto"`
	Flag      bool               `ch:"flag"`
	Rate      float64            `ch:"rate"`
	Likes     *int64             `ch:"likes"`
	Key       uuid.UUID          `ch:"key"`
	Direction string             `ch:"direction"`
	Digest    string             `ch:"digest"`
}

const rowTable = `(
	id UInt64, text String, platform LowCardinality(String), lang LowCardinality(Nullable(String)), tag Nullable(String),
	created_at DateTime64(3, 'UTC'), edited_at Nullable(DateTime64(3, 'UTC')), day Date, mentions Array(String), tags Array(LowCardinality(String)),
	scores Map(String, Float32), is_auto UInt8, flag Bool, rate Float64, likes Nullable(Int64), key UUID,
	direction Enum8('in' = 1, 'out' = 2), digest FixedString(4)
) ENGINE = MergeTree ORDER BY id`

func someRows(n int) []row {
	texts := []string{
		"lampu jalan di depan puskesmas padam sejak Senin", "", "baris satu\nbaris dua\r\n\tmenjorok", "nol\x00di tengah", "bukan UTF-8: \xff\xfe\xc3\x28",
		"kutip ' \" ` dan \\ garis miring \\N", "🙏🏽 matur nuwun", strings.Repeat("panjang ", 20_000), "{a:String} FORMAT CSV; --",
	}
	rows := make([]row, n)
	for i := range rows {
		r := row{
			ID: uint64(i), Text: texts[i%len(texts)], Platform: []string{"x", "youtube", "instagram"}[i%3],
			CreatedAt: time.Date(2026, 2, 28, 23, 59, 59, 1e6*(i%1000), time.UTC).Add(time.Duration(i) * time.Hour),
			Day:       time.Date(2026, 1, 1+i%28, 0, 0, 0, 0, time.UTC),
			Mentions:  []string{}, Tags: []string{"layanan", fmt.Sprint(i % 4)}, Scores: map[string]float32{"negatif": 0.25, "p": float32(i)},
			IsAuto: uint8(i), Flag: i%2 == 0, Rate: float64(i) / 3, Key: uuid.NewSHA1(uuid.NameSpaceURL, []byte{byte(i)}), Direction: []string{"in", "out"}[i%2], Digest: "ab\x00d",
		}
		if i%2 == 1 {
			r.Lang, r.Tag, r.Likes, r.EditedAt = new("id"), new(texts[i%5]), new(int64(-i)), new(r.CreatedAt.Add(time.Minute))
			r.Mentions = []string{"a", texts[i%4]}
		}
		if i%5 == 0 {
			r.Scores, r.Rate = map[string]float32{}, math.Inf(1)
		}
		rows[i] = r
	}
	return rows
}

// What is inserted comes back equal, in every compression.
func TestRoundTrip(t *testing.T) {
	e := start(t, engine.Config{})
	want := someRows(100)
	for _, method := range compressions {
		t.Run(method.String(), func(t *testing.T) {
			conn := open(t, e, func(o *clickhouse.Options) {
				o.Compression = &clickhouse.Compression{Method: method, Level: 3}
				o.Settings = clickhouse.Settings{"enable_http_compression": 1}
			})
			execute(t, conn, "CREATE OR REPLACE TABLE messages "+rowTable)
			batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO messages")
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if err := batch.AppendStruct(&want[i]); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			var got []row
			// Small blocks, so that there are many.
			ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 7}))
			if err := conn.Select(ctx, &got, "SELECT * FROM messages ORDER BY id"); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			var none []row
			if err := conn.Select(t.Context(), &none, "SELECT * FROM messages WHERE id > 1000"); err != nil || len(none) != 0 {
				t.Errorf("an empty result gave %d rows, %v", len(none), err)
			}
		})
	}
}

func TestEmptyInsert(t *testing.T) {
	conn := open(t, start(t, engine.Config{}), nil)
	execute(t, conn, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(); err != nil {
		t.Error(err)
	}
	if n := number(t, conn, "SELECT count() FROM t"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestExceptions(t *testing.T) {
	e := start(t, engine.Config{})
	execute(t, open(t, e, nil), "CREATE TABLE t (a UInt64, b Date) ENGINE = MergeTree ORDER BY a")
	for _, method := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionGZIP} {
		conn := open(t, e, func(o *clickhouse.Options) { o.Compression = &clickhouse.Compression{Method: method} })
		for statement, code := range map[string]int32{
			"SELECT * FROM nowhere":                       60,
			"SELECT * FROM nowhere.t":                     81,
			"SELEC 1":                                     62,
			"SELECT 1; SELECT 2":                          62,
			"SELECT nofunction(1)":                        46,
			"SELECT a, nocolumn FROM t":                   47,
			"SELECT throwIf(number = 3) FROM numbers(10)": 395,
			"CREATE TABLE t (a UInt8) ENGINE = Memory":    57,
			"SELECT 1 SETTINGS nosetting = 1":             115,
			"SELECT toUInt8('x')":                         6,
			"INSERT INTO t VALUES ('x', 1)":               6,
			"INSERT INTO nowhere VALUES (1)":              60,
			"SELECT 1 INTO OUTFILE '/tmp/x'":              344,
			"INSERT INTO t FROM INFILE '/tmp/x'":          78,
			"SELECT {missing:String}":                     456,
		} {
			// Once by the way that reads an answer and once by the other.
			_, queried := conn.Query(t.Context(), statement)
			for _, err := range []error{queried, conn.Exec(t.Context(), statement)} {
				var exception *clickhouse.Exception
				if !errors.As(err, &exception) {
					t.Errorf("%s, %s: %v is no exception", method, statement, err)
				} else if exception.Code != code || exception.Message == "" {
					t.Errorf("%s, %s: code %d, want %d: %v", method, statement, exception.Code, code, err)
				}
			}
		}
		if _, err := conn.PrepareBatch(t.Context(), "INSERT INTO nowhere"); err == nil || !strings.Contains(err.Error(), "60") {
			t.Errorf("%s: a batch for no table: %v", method, err)
		}
	}
}

func TestParameters(t *testing.T) {
	conn := open(t, start(t, engine.Config{}), nil)
	for _, text := range []string{"", "biasa", "it's \\ \"x\" `y`", "baris\nbaris\ttab\r", "nol\x00", "\xff\xfe", "\\N", "'; DROP TABLE t; --", "{x:String}", strings.Repeat("a", 5000)} {
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT {text:String}", clickhouse.Named("text", text)).Scan(&got); err != nil || got != text {
			t.Errorf("%q came back as %q, %v", text, got, err)
		}
	}
	ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"n": "7", "list": "['a','b']", "table": "numbers", "at": "2026-02-28 01:02:03"}))
	var n uint64
	var list []string
	var at time.Time
	row := conn.QueryRow(ctx, "SELECT {n:UInt64}, {list:Array(String)}, {at:DateTime('UTC')} FROM system.{table:Identifier} LIMIT 1")
	if err := row.Scan(&n, &list, &at); err != nil {
		t.Fatal(err)
	}
	if n != 7 || len(list) != 2 || list[1] != "b" || !at.Equal(time.Date(2026, 2, 28, 1, 2, 3, 0, time.UTC)) {
		t.Errorf("got %d, %q, %s", n, list, at)
	}
	// In the values of an insert, and in its table's name.
	execute(t, conn, "CREATE TABLE p (a String, b UInt8) ENGINE = MergeTree ORDER BY a")
	if err := conn.Exec(t.Context(), "INSERT INTO {table:Identifier} VALUES ({a:String}, {b:UInt8}), ('tetap', 2)",
		clickhouse.Named("table", "p"), clickhouse.Named("a", "it's\nnew"), clickhouse.Named("b", 1)); err != nil {
		t.Fatal(err)
	}
	if n := number(t, conn, "SELECT count() FROM p WHERE a = {a:String} AND b = 1", clickhouse.Named("a", "it's\nnew")); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	// In a view with parameters, by literals and by parameters.
	execute(t, conn, "CREATE VIEW v AS SELECT a, b FROM p WHERE a = {wanted:String}")
	if n := number(t, conn, "SELECT count() FROM v(wanted = 'tetap')"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	if n := number(t, conn, "SELECT count() FROM v(wanted = {w:String})", clickhouse.Named("w", "tetap")); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// A setting counts for its own request and for no other; so do the database and readonly.
func TestSettings(t *testing.T) {
	e := start(t, engine.Config{})
	conn := open(t, e, nil)
	const get = "SELECT toUInt64(getSetting('max_block_size')) + getSetting('readonly')"
	before := number(t, conn, get)
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 123, "readonly": 1}))
	var n uint64
	if err := conn.QueryRow(ctx, get).Scan(&n); err != nil || n != 124 {
		t.Errorf("with settings: %d, %v", n, err)
	}
	if err := conn.Exec(ctx, "CREATE TABLE t (a UInt8) ENGINE = Memory"); err == nil || !strings.Contains(err.Error(), "READONLY") {
		t.Errorf("a readonly request made a table: %v", err)
	}
	execute(t, conn, "SET max_block_size = 77", "CREATE DATABASE other", "USE other")
	if after := number(t, conn, get); after != before {
		t.Errorf("%d before and %d after: a setting has leaked", before, after)
	}
	var database string
	if err := conn.QueryRow(t.Context(), "SELECT currentDatabase()").Scan(&database); err != nil || database != "default" {
		t.Errorf("the database is %q, %v", database, err)
	}
	other := open(t, e, func(o *clickhouse.Options) { o.Auth.Database = "other" })
	if err := other.QueryRow(t.Context(), "SELECT currentDatabase()").Scan(&database); err != nil || database != "other" {
		t.Errorf("the database is %q, %v", database, err)
	}
	ctx = clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"no_such_setting": "it's"}))
	if err := conn.Exec(ctx, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "115") {
		t.Errorf("an unknown setting: %v", err)
	}
}

func TestTimeZoneAndVersion(t *testing.T) {
	t.Setenv("TZ", "Asia/Jakarta")
	conn := open(t, start(t, engine.Config{}), nil)
	var zone, session, text string
	if err := conn.QueryRow(t.Context(), "SELECT timezone(), serverTimezone(), toString(toDateTime(0))").Scan(&zone, &session, &text); err != nil {
		t.Fatal(err)
	}
	if zone != "UTC" || session != "UTC" || text != "1970-01-01 00:00:00" {
		t.Errorf("the time zone is %s, %s, and 0 is %s", zone, session, text)
	}
	version, err := conn.ServerVersion()
	if err != nil || version.Version.Major < 26 {
		t.Errorf("the version is %+v, %v", version, err)
	}
}

// A statement ends when its client gives up, and its memory is bounded.
func TestLimits(t *testing.T) {
	e := start(t, engine.Config{MaxMemoryBytes: 512 << 20})
	conn := open(t, e, nil)
	for _, query := range []string{
		"SELECT groupArray(number) FROM numbers(1000000000)",
		"SELECT groupArray(number) FROM numbers(1000000000) SETTINGS max_memory_usage = 0",
		"SELECT repeat('x', 1000000) FROM numbers(2000)",
	} {
		var exception *clickhouse.Exception
		if err := conn.Exec(t.Context(), query); !errors.As(err, &exception) || exception.Code != 241 {
			t.Errorf("%s: %v, want code 241", query, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	const endless = "SELECT sleepEachRow(0.1) FROM numbers(100000) SETTINGS function_sleep_max_microseconds_per_block = 0, max_block_size = 10"
	go func() { gone <- conn.Exec(ctx, endless) }()
	const running = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleepEachRow%'"
	eventually(t, "the statement runs", func() bool { return number(t, conn, running) == 1 })
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	eventually(t, "the statement ends", func() bool { return number(t, conn, running) == 0 })
	// A large statement spills to disk instead.
	if n := number(t, conn, "SELECT count() FROM (SELECT number AS n, count() FROM numbers(10000000) GROUP BY n) SETTINGS max_threads = 1"); n != 10_000_000 {
		t.Errorf("%d groups", n)
	}
}

func TestConcurrentClients(t *testing.T) {
	e := start(t, engine.Config{})
	execute(t, open(t, e, nil), "CREATE TABLE t (client UInt64, n UInt64) ENGINE = MergeTree ORDER BY (client, n)")
	const clients, rounds = 12, 8
	var all sync.WaitGroup
	for client := range uint64(clients) {
		conn := open(t, e, nil)
		all.Go(func() {
			for round := range uint64(rounds) {
				// Settings and parameters of one must not be seen by another.
				ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 1000 + client}),
					clickhouse.WithParameters(clickhouse.Parameters{"client": fmt.Sprint(client)}))
				var size, parameter uint64
				if err := conn.QueryRow(ctx, "SELECT toUInt64(getSetting('max_block_size')), {client:UInt64}").Scan(&size, &parameter); err != nil {
					t.Error(err)
				}
				if size != 1000+client || parameter != client {
					t.Errorf("client %d sees setting %d and parameter %d", client, size, parameter)
				}
				batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
				if err != nil {
					t.Error(err)
					return
				}
				for n := range uint64(100) {
					if err := batch.Append(client, round*100+n); err != nil {
						t.Error(err)
					}
				}
				if err := batch.Send(); err != nil {
					t.Error(err)
				}
				var n uint64
				if err := conn.QueryRow(t.Context(), "SELECT uniqExact(n) FROM t WHERE client = {c:UInt64}", clickhouse.Named("c", client)).Scan(&n); err != nil || n != (round+1)*100 {
					t.Errorf("client %d sees %d rows after round %d, %v", client, n, round, err)
				}
			}
		})
	}
	all.Wait()
}

// A client that reads its rows slowly does not stand in the way of others, nor of itself.
func TestOpenRows(t *testing.T) {
	conn := open(t, start(t, engine.Config{}), nil)
	rows, err := conn.Query(t.Context(), "SELECT number FROM numbers(3000000)")
	if err != nil {
		t.Fatal(err)
	}
	var seen uint64
	for rows.Next() {
		if seen%1_000_000 == 0 {
			for range 10 {
				if n := number(t, conn, "SELECT toUInt64(1)"); n != 1 {
					t.Errorf("got %d", n)
				}
			}
		}
		seen++
	}
	if err := rows.Err(); err != nil || seen != 3_000_000 {
		t.Errorf("%d rows, %v", seen, err)
	}
}

// Larger than what is held in memory. The speed is logged and not judged.
func TestLargeInsert(t *testing.T) {
	conn := open(t, start(t, engine.Config{}), nil)
	execute(t, conn, "CREATE TABLE messages "+rowTable)
	const total = 200_000
	source := someRows(total)
	for i := range source {
		if len(source[i].Text) > 1000 {
			source[i].Text = source[i].Text[:400]
		}
	}
	began := time.Now()
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO messages")
	if err != nil {
		t.Fatal(err)
	}
	for i := range source {
		if err := batch.AppendStruct(&source[i]); err != nil {
			t.Fatal(err)
		}
	}
	appended := time.Now()
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	sent := time.Since(appended)
	t.Logf("%d rows of 18 columns: appended in %s, sent and stored in %s (%.0f rows/s), together %.0f rows/s",
		total, appended.Sub(began), sent, total/sent.Seconds(), total/time.Since(began).Seconds())
	if n := number(t, conn, "SELECT count() FROM messages"); n != total {
		t.Fatalf("%d rows", n)
	}
	began = time.Now()
	rows, err := conn.Query(t.Context(), "SELECT * FROM messages")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	if err := rows.Err(); err != nil || n != total {
		t.Fatalf("%d rows read, %v", n, err)
	}
	t.Logf("read in %s (%.0f rows/s)", time.Since(began), total/time.Since(began).Seconds())
}
