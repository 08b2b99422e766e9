package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// revision of the native protocol that the gateway speaks: the first one with a client's addendum and query parameters.
const revision = 54459

// gateway speaks the INSERT part of ClickHouse's native protocol, and passes what it gets to an engine that has HTTP only.
type gateway struct {
	net.Listener
	engine  clickhouse.Conn
	version [2]int // that it says to be
	mu      sync.Mutex
	inserts []chproto.Query
	faults  []fault // of the next inserts, one each
}

// fault is what goes wrong with an insert, once it has come to a point.
type fault struct {
	at   point
	code int32 // of the exception; 0 breaks the connection there, silent answers nothing until the client goes
}

// point of an insert.
type point int

const (
	nowhere  point = iota
	atQuery        // before the columns are told
	atData         // behind the first rows
	afterAll       // all rows are there, none is stored
	afterIn        // all rows are stored
)

const silent = -1

// errAway ends a connection that a fault has broken.
var errAway = errors.New("the gateway is away")

// strike answers an insert that has come to a point with what goes wrong there; false where nothing does.
func (g *gateway) strike(f fault, at point, c net.Conn, answer *chproto.Buffer) (struck bool, err error) {
	switch {
	case f.at != at:
		return false, nil
	case f.code == silent:
		_, _ = io.Copy(io.Discard, c) // until the client goes
		return true, errAway
	case f.code == 0:
		return true, errAway
	}
	refusal(answer, f.code)
	return true, nil
}

// skip reads what a client goes on sending before it hears that its insert has failed.
func skip(reader *chproto.Reader) error {
	for {
		if block, err := readBlock(reader); err != nil || block.Rows() == 0 {
			return err
		}
	}
}

func refusal(answer *chproto.Buffer, code int32) {
	answer.PutByte(proto.ServerException)
	answer.PutInt32(code)
	for _, s := range []string{"DB::Exception", "DB::Exception: something is the matter", ""} {
		answer.PutString(s)
	}
	answer.PutBool(false)
}

// next takes the fault of an insert that begins.
func (g *gateway) next(q chproto.Query) fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inserts = append(g.inserts, q)
	if len(g.faults) == 0 {
		return fault{}
	}
	f := g.faults[0]
	g.faults = g.faults[1:]
	return f
}

func openGateway(t *testing.T, engine *store.Store, version [2]int) *gateway {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{Listener: listener, engine: engine.Conn(), version: version}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := g.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				if err := g.serve(t.Context(), c); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, errAway) && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("gateway: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		g.Listener.Close()
		conns.Wait()
	})
	return g
}

func (g *gateway) serve(ctx context.Context, c net.Conn) error {
	reader, answer := chproto.NewReader(c), &chproto.Buffer{}
	var hello chproto.ClientHello
	if _, err := reader.UVarInt(); err != nil {
		return err
	}
	if err := hello.Decode(reader); err != nil {
		return err
	}
	server := chproto.ServerHello{Name: "gateway", Major: g.version[0], Minor: g.version[1], Revision: revision, Timezone: "UTC", DisplayName: "gateway"}
	server.EncodeAware(answer, revision)
	if _, err := c.Write(answer.Buf); err != nil {
		return err
	}
	if _, err := reader.Str(); err != nil { // the addendum: a quota key
		return err
	}
	for {
		code, err := reader.UVarInt()
		if err != nil {
			return err
		}
		if chproto.ClientCode(code) != chproto.ClientCodeQuery {
			return fmt.Errorf("packet %d", code)
		}
		var q chproto.Query
		if err := q.DecodeAware(reader, revision); err != nil {
			return err
		}
		answer.Reset()
		if err := g.insert(ctx, q, c, reader, answer); err != nil {
			return err
		}
		if _, err := c.Write(answer.Buf); err != nil {
			return err
		}
	}
}

var insertInto = regexp.MustCompile(`^INSERT INTO (\w+) \(([^)]*)\)`)

// insert answers with the columns' types, takes the rows and passes them on.
func (g *gateway) insert(ctx context.Context, q chproto.Query, c net.Conn, reader *chproto.Reader, answer *chproto.Buffer) error {
	if _, err := readBlock(reader); err != nil { // the end of external tables
		return err
	}
	match := insertInto.FindStringSubmatch(q.Body)
	if match == nil {
		return fmt.Errorf("query %s", q.Body)
	}
	f := g.next(q)
	if struck, err := g.strike(f, atQuery, c, answer); struck {
		return err
	}
	header, err := g.header(ctx, match[1], strings.Split(match[2], ", "))
	if err != nil {
		return err
	}
	answer.PutByte(proto.ServerData)
	answer.PutString("")
	if err := compressed(answer, header); err != nil {
		return err
	}
	if _, err := c.Write(answer.Buf); err != nil {
		return err
	}
	answer.Reset()
	var data chproto.Buffer
	for {
		block, err := readBlock(reader)
		if err != nil {
			return err
		}
		if block.Rows() == 0 {
			break
		}
		if err := block.Encode(&data, 0); err != nil {
			return err
		}
		if struck, err := g.strike(f, atData, c, answer); struck {
			if err == nil {
				_, err = c.Write(answer.Buf)
				answer.Reset()
				err = errors.Join(err, skip(reader))
			}
			return err
		}
	}
	if struck, err := g.strike(f, afterAll, c, answer); struck {
		return err
	}
	var exception *clickhouse.Exception
	if err := g.engine.InsertFormat(ctx, "Native", q.Body, bytes.NewReader(data.Buf)); errors.As(err, &exception) {
		refusal(answer, exception.Code)
		return nil
	} else if err != nil {
		return err
	}
	if struck, err := g.strike(f, afterIn, c, answer); struck {
		return err
	}
	answer.PutByte(proto.ServerEndOfStream)
	return nil
}

// header is a block of no rows with the table's columns, in the order of the query.
func (g *gateway) header(ctx context.Context, table string, names []string) (*chproto.Buffer, error) {
	b := &chproto.Buffer{}
	b.PutUVarInt(1) // the block's own fields: is_overflows, bucket_num, the end of them
	b.PutBool(false)
	b.PutUVarInt(2)
	b.PutInt32(-1)
	b.PutUVarInt(0)
	b.PutUVarInt(uint64(len(names)))
	b.PutUVarInt(0)
	var kinds map[string]string
	if err := g.engine.QueryRow(ctx, "SELECT CAST(groupArray((name, type)), 'Map(String, String)') FROM system.columns WHERE database = currentDatabase() AND table = {table:String}",
		clickhouse.Named("table", table)).Scan(&kinds); err != nil {
		return nil, err
	}
	for _, name := range names {
		b.PutString(name)
		b.PutString(kinds[name])
		b.PutBool(false) // no serialization of its own
	}
	return b, nil
}

func readBlock(reader *chproto.Reader) (*proto.Block, error) {
	if code, err := reader.UVarInt(); err != nil || chproto.ClientCode(code) != chproto.ClientCodeData {
		return nil, fmt.Errorf("packet %d: %w", code, err)
	}
	if _, err := reader.Str(); err != nil {
		return nil, err
	}
	reader.EnableCompression()
	defer reader.DisableCompression()
	block := proto.NewBlock()
	return block, block.Decode(reader, revision)
}

func compressed(to, plain *chproto.Buffer) error {
	w := compress.NewWriter(compress.LevelZero, compress.LZ4)
	if err := w.Compress(plain.Buf); err != nil {
		return err
	}
	to.Buf = append(to.Buf, w.Data...)
	return nil
}

// config is that of a store behind the gateway.
func (g *gateway) config(database string) store.Config {
	cfg := storetest.Config("", database)
	cfg.Addresses = []string{"clickhouse://" + g.Addr().String()}
	return cfg
}

// anew empties the tables, writes over HTTP what was in them, once, and returns what the views say.
func anew(t *testing.T, engine *store.Store) string {
	t.Helper()
	for _, table := range []string{"message_facts", "message_bodies"} {
		if err := engine.Conn().Exec(t.Context(), "TRUNCATE TABLE "+table); err != nil {
			t.Fatal(err)
		}
	}
	write(t, writer(t, engine), entries(0, 300))
	return views(t, engine)
}

func TestTheNativeProtocolWritesTheSame(t *testing.T) {
	addr := storetest.Shared(t)
	database := storetest.Database(t, addr)
	engine := storetest.Open(t, storetest.Config(addr, database))
	for _, c := range []struct {
		version  [2]int
		settings string
	}{
		{[2]int{26, 1}, "async_insert=0 insert_deduplicate=0 max_partitions_per_insert_block=0"},
		{[2]int{26, 2}, "async_insert=0 deduplicate_insert=disable max_partitions_per_insert_block=0"},
	} {
		g := openGateway(t, engine, c.version)
		g.faults = []fault{{afterAll, 252}, {afterAll, 241}}
		cfg := g.config(database)
		s, err := store.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		list := entries(0, 300)
		write(t, writer(t, s), list)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if len(g.inserts) != 4 {
			t.Errorf("%d inserts, want 4: two refused, of bodies and of facts", len(g.inserts))
		}
		for _, q := range g.inserts {
			settings := map[string]string{}
			for _, s := range q.Settings {
				settings[s.Key] = s.Value
			}
			for want := range strings.FieldsSeq(c.settings) {
				if key, value, _ := strings.Cut(want, "="); settings[key] != value {
					t.Errorf("version %v: setting %s is %q, want %q", c.version, key, settings[key], value)
				}
			}
			if _, both := settings["insert_deduplicate"]; both && c.version[1] >= 2 {
				t.Error("insert_deduplicate is set beside deduplicate_insert")
			}
		}
	}
	native := views(t, engine)
	if http := anew(t, engine); http != native || !strings.HasPrefix(http, "300 messages") {
		t.Errorf("over HTTP %s, over the native protocol %s", http, native)
	}
}

// F6, code by code, over the native protocol: before an INSERT, in the middle of its rows, behind them, and after they are in.
func TestInsertsOverTheNativeProtocolAreRepeatedUntilTheyAreIn(t *testing.T) {
	addr := storetest.Shared(t)
	database := storetest.Database(t, addr)
	engine := storetest.Open(t, storetest.Config(addr, database))
	g := openGateway(t, engine, [2]int{26, 2})
	for _, code := range []int32{252, 241, 242, 159, 210, 243, 0} {
		for _, at := range []point{atQuery, atData, afterAll, afterIn} {
			g.faults = append(g.faults, fault{at, code})
		}
	}
	g.faults = append(g.faults, fault{atQuery, silent}, fault{afterIn, silent})
	failing := len(g.faults)
	cfg := g.config(database)
	cfg.AttemptTimeout = config.Duration(2 * time.Second)
	s, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	refusals, err := writer(t, s).Write(t.Context(), entries(0, 300))
	if err = errors.Join(err, s.Close()); err != nil || len(refusals) > 0 {
		t.Fatal(refusals, err)
	}
	if len(g.faults) > 0 || len(g.inserts) < failing+2 {
		t.Errorf("%d inserts, %d faults are left", len(g.inserts), len(g.faults))
	}
	repeated := views(t, engine)
	if once := anew(t, engine); once != repeated || !strings.HasPrefix(once, "300 messages") {
		t.Errorf("once %s, repeated %s", once, repeated)
	}
}

// What the store refuses for what is in it is bisected over the native protocol, too.
func TestTheGuiltyAreRefusedOverTheNativeProtocol(t *testing.T) {
	addr := storetest.Shared(t)
	database := storetest.Database(t, addr)
	engine := storetest.Open(t, storetest.Config(addr, database))
	if err := engine.Conn().Exec(t.Context(), "ALTER TABLE message_facts ADD CONSTRAINT poison CHECK message_id NOT IN ('m3', 'm77')"); err != nil {
		t.Fatal(err)
	}
	g := openGateway(t, engine, [2]int{26, 2})
	cfg := g.config(database)
	s, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	refusals, err := writer(t, s).Write(t.Context(), entries(0, 100))
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	var guilty []string
	for _, r := range refusals {
		guilty = append(guilty, fmt.Sprint(r.Index, " ", store.Reason(r.Err)))
	}
	if got := strings.Join(guilty, ", "); got != "3 ClickHouse code 469, 77 ClickHouse code 469" {
		t.Errorf("refused %s", got)
	}
	if got := storetest.Count(t, engine, "SELECT count() FROM messages"); got != 98 {
		t.Errorf("%d messages, want 98", got)
	}
}
