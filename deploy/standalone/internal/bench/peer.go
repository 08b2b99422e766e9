package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/fleet"
	"github.com/dwiarah/dwiarah/schemas"
)

// peers measures other ways from the enriched topic to a table: ClickHouse's own, and another pipeline's.
func (b *bench) peers() error {
	if err := b.kafkaEngine(); err != nil {
		return fmt.Errorf("reading by ClickHouse's Kafka table engine: %w", err)
	}
	if b.cfg.Peer == "" {
		b.printf("- peer: no other pipeline was given (`--peer`)\n")
		return nil
	}
	return b.collector()
}

// peerPatience is how long a peer may take for the topic. One that takes longer is told of, and is no reason to end.
const peerPatience = 2 * time.Minute

// taken is what a peer took from its first rows on, as the stages are measured.
type taken struct {
	rows         float64
	peer, engine time.Duration // of CPU
	peak         int64         // bytes
}

// measure waits until a peer has written so many rows; its process may be the engine itself.
func (b *bench) measure(want int64, pid int, rows func() (uint64, error)) (t taken, err error) {
	var first, last uint64
	if err := b.within(peerPatience, func() (bool, error) { first, err = rows(); return first > 0, err }); err != nil {
		return t, err
	}
	before, engine := b.footprints(pid)
	if err := b.within(peerPatience, func() (bool, error) { last, err = rows(); return int64(last) >= want, err }); err != nil {
		return t, fmt.Errorf("%d of %d records: %w", last, want, err)
	}
	if last == first {
		return t, errors.New("it took all records at once: nothing can be measured, more messages are needed")
	}
	after, engineAfter := b.footprints(pid)
	return taken{rows: float64(last - first), peer: after.CPU - before.CPU, engine: engineAfter.CPU - engine.CPU, peak: after.Peak}, nil
}

func (b *bench) footprints(pid int) (peer, engine fleet.Footprint) {
	peer, _ = fleet.FootprintOf(pid) // one that has ended says so in its rows
	return peer, b.cpu()["engine"]
}

// kafkaEngine has ClickHouse read the topic by itself, byte for byte and unread, into a table of one column.
func (b *bench) kafkaEngine() error {
	end, err := b.standing()
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE DATABASE peer",
		"CREATE TABLE peer.records (value String) ENGINE = MergeTree ORDER BY tuple()",
		fmt.Sprintf("CREATE TABLE peer.topic (value String) ENGINE = Kafka SETTINGS kafka_broker_list = '%s', kafka_topic_list = '%s', kafka_group_name = 'bench-engine', kafka_format = 'RawBLOB', "+
			"kafka_max_block_size = %[3]d, kafka_poll_max_batch_size = %[3]d", b.conn.Brokers[0], schemas.TopicEnriched, limitRows),
		"CREATE MATERIALIZED VIEW peer.feed TO peer.records AS SELECT value FROM peer.topic",
	} {
		if _, err := b.post(statement, nil); err != nil {
			b.printf("- ClickHouse's Kafka table engine: the embedded engine refuses it (%v)\n", err)
			return nil
		}
	}
	t, err := b.measure(end.stored, b.engine.PID(), func() (uint64, error) { return b.rowsOf("records") })
	if err != nil {
		b.printf("- ClickHouse's Kafka table engine: it was made, and could not be measured (%v)\n", err)
	} else {
		ours := b.micros[fleet.Sink] + b.micros["engine"]
		micros := perMessage(t.engine, t.rows)
		b.printf("- ClickHouse's Kafka table engine writes the same topic's records, unread, into a table of one column with %.1f us of CPU a record; sink and engine together read, check and write them "+
			"into their tables with %.1f: %.1f times\n", micros, ours, ours/micros)
	}
	for _, statement := range []string{"DROP TABLE peer.feed", "DROP TABLE peer.topic"} {
		if _, err := b.post(statement, nil); err != nil {
			return err
		}
	}
	return nil
}

// rowsOf is how many rows one of the peers' tables has.
func (b *bench) rowsOf(table string) (n uint64, err error) {
	err = b.db.QueryRow(b.ctx, "SELECT toUInt64(ifNull(sum(total_rows), 0)) FROM system.tables WHERE database = 'peer' AND name = {t:String}", clickhouse.Named("t", table)).Scan(&n)
	return n, err
}

// collectorConfig has a collector write what is in the topic, byte for byte and unread, into its own table of logs, in batches of the sink's size.
const collectorConfig = `
receivers:
  kafka:
    brokers: [%[1]q]
    group_id: bench-peer-%[2]s
    initial_offset: earliest
    logs: {topics: [%[2]q], encoding: raw}
processors:
  batch: {send_batch_size: %[3]d, send_batch_max_size: %[3]d, timeout: 1s}
exporters:
  clickhouse:
    endpoint: http://%[4]s
    database: peer
    create_schema: true
    async_insert: false
    timeout: 60s
service:
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    logs: {receivers: [kafka], processors: [batch], exporters: [clickhouse]}
`

// collectorStart is how long the collector is given with nothing to read, to learn what its start takes.
const collectorStart = 5 * time.Second

// collector runs the OpenTelemetry Collector over the enriched topic. It reads far ahead of what it writes, so that all it takes counts, but for its start.
func (b *bench) collector() error {
	end, err := b.standing()
	if err != nil {
		return err
	}
	start, stop, err := b.runCollector(schemas.TopicDead)
	if err != nil {
		return err
	}
	time.Sleep(collectorStart)
	idle, _ := fleet.FootprintOf(start.pid)
	stop()

	running, stop, err := b.runCollector(schemas.TopicEnriched)
	if err != nil {
		return err
	}
	defer stop()
	t, err := b.measure(end.stored, running.pid, func() (uint64, error) {
		if err := running.ended(); err != nil {
			return 0, err
		}
		return b.rowsOf("otel_logs")
	})
	if err != nil {
		b.printf("- peer: the OpenTelemetry Collector could not be measured (%v)\n", err)
		return nil
	}
	all, _ := b.footprints(running.pid)
	micros := perMessage(all.CPU-idle.CPU, float64(end.stored))
	b.printf("- peer: an OpenTelemetry Collector (Kafka's receiver, batches of %d, ClickHouse's exporter) writes the same topic's records, unread, into its table of logs with %.1f us of CPU a record; the sink "+
		"reads, checks and writes them into its tables with %.1f: %.1f times; of the engine %.1f against %.1f us; peak memory %d MB\n",
		limitRows, micros, b.micros[fleet.Sink], b.micros[fleet.Sink]/micros, perMessage(t.engine, t.rows), b.micros["engine"], all.Peak>>20)
	return nil
}

// collectorRun is one life of the collector.
type collectorRun struct {
	pid  int
	log  string
	exit chan error
}

// ended is nil while the collector runs, and then says why it does not.
func (c collectorRun) ended() error {
	select {
	case err := <-c.exit:
		c.exit <- err
		said, readErr := os.ReadFile(c.log)
		return fmt.Errorf("it ended (%w): %s", errors.Join(err, readErr), said[:min(1000, len(said))])
	default:
		return nil
	}
}

// runCollector starts the collector over a topic; the returned function ends it.
func (b *bench) runCollector(topic string) (c collectorRun, stop func(), err error) {
	path := filepath.Join(b.cfg.Dir, "peer.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, collectorConfig, b.conn.Brokers[0], topic, limitRows, b.engine.Addr()), 0o600); err != nil {
		return c, nil, err
	}
	c = collectorRun{log: filepath.Join(b.cfg.Dir, "peer-"+topic+".log"), exit: make(chan error, 1)}
	log, err := os.Create(c.log)
	if err != nil {
		return c, nil, err
	}
	defer log.Close() // the process has its own
	cmd := exec.CommandContext(b.ctx, b.cfg.Peer, path)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return c, nil, err
	}
	c.pid = cmd.Process.Pid
	go func() { c.exit <- cmd.Wait() }()
	return c, func() {
		_ = cmd.Process.Kill() // it has nothing to finish
		<-c.exit
	}, nil
}
