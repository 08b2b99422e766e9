// Package kafkatest gives tests a broker: the embedded one, or a real Kafka where DWIARAH_KAFKA_JARS names the folder of
// its jars (deploy/kafka/run.sh makes one). The same tests run on both; a Cluster is of real Kafka only.
package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/freeport"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest/apache"
)

// JarsVariable names the folder of Kafka's jars; without it the tests run on the embedded broker.
const JarsVariable = "DWIARAH_KAFKA_JARS"

// Patience bounds every wait for what must happen: a minute, or four where a JVM has to start on a busy machine.
func Patience() time.Duration {
	if os.Getenv(JarsVariable) != "" {
		return 4 * time.Minute
	}
	return time.Minute
}

// Broker is a broker under test.
type Broker struct {
	Conn kafka.Conn

	real    bool
	dir     string
	addr    string
	control string // the real Kafka's controller
	node    int    // of a cluster
	voters  string // of a cluster: every node's controller

	embedded *broker.Broker
	process  *exec.Cmd
	exited   chan error
	log      *os.File
}

var shared struct {
	once   sync.Once
	broker *Broker
	err    error
}

// Main runs the tests of a package and stops the broker that they share: os.Exit(kafkatest.Main(m)).
func Main(m *testing.M) int {
	code := m.Run()
	if b := shared.broker; b != nil {
		if err := errors.Join(b.stop(syscall.SIGKILL), os.RemoveAll(b.dir)); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the shared broker:", err)
			return 1
		}
	}
	return code
}

// Shared returns the broker that the tests of a package share; they keep apart by Topic and Group. The package needs Main.
func Shared(tb testing.TB) *Broker {
	tb.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "kafkatest")
		if err != nil {
			shared.err = err
			return
		}
		b := &Broker{dir: dir}
		shared.err = b.start()
		shared.broker = b
	})
	if shared.err != nil {
		tb.Fatalf("starting the shared broker: %v", shared.err)
	}
	return shared.broker
}

// Start starts a broker for this test alone, which may restart it.
func Start(tb testing.TB) *Broker {
	tb.Helper()
	b := &Broker{dir: tb.TempDir()}
	if err := b.start(); err != nil {
		tb.Fatalf("starting a broker: %v", err)
	}
	tb.Cleanup(func() {
		if err := b.stop(syscall.SIGKILL); err != nil {
			tb.Errorf("stopping the broker: %v", err)
		}
	})
	return b
}

// Real reports whether the broker is a real Kafka.
func (b *Broker) Real() bool { return b.real }

// Restart stops the broker in good order and starts it again on the same address and directory.
func (b *Broker) Restart(tb testing.TB) {
	tb.Helper()
	b.Stop(tb)
	if err := b.start(); err != nil {
		tb.Fatalf("starting the broker again: %v", err)
	}
}

// Stop stops the broker in good order; Restart starts it again.
func (b *Broker) Stop(tb testing.TB) {
	tb.Helper()
	if err := b.stop(syscall.SIGTERM); err != nil {
		tb.Fatalf("stopping the broker: %v", err)
	}
}

func (b *Broker) start() error {
	jars := os.Getenv(JarsVariable)
	if b.real = jars != ""; b.real {
		if err := b.startKafka(jars); err != nil {
			return err
		}
	} else {
		embedded, err := broker.Start(broker.Config{Addr: b.addr, DataDir: filepath.Join(b.dir, "data")})
		if err != nil {
			return err
		}
		b.embedded, b.addr = embedded, embedded.Addr()
	}
	b.Conn = kafka.Conn{Brokers: []string{b.addr}, ClientID: "test"}
	return nil
}

func (b *Broker) stop(signal os.Signal) error {
	if embedded := b.embedded; embedded != nil {
		b.embedded = nil
		return embedded.Close()
	}
	if b.process == nil {
		return nil
	}
	if err := b.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling Kafka: %w", err)
	}
	select {
	case <-b.exited: // by the signal, which is an error to Wait
	case <-time.After(Patience()):
		return fmt.Errorf("Kafka did not stop within %v: see %s", Patience(), b.log.Name())
	}
	b.process = nil
	return b.log.Close()
}

func (b *Broker) startKafka(jars string) (err error) {
	if b.addr == "" {
		if b.addr, err = freeport.Loopback(); err != nil {
			return err
		}
		if b.control, err = freeport.Loopback(); err != nil {
			return err
		}
	}
	if b.log, err = os.OpenFile(filepath.Join(b.dir, "kafka.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	node := apache.Node{Jars: jars, Dir: filepath.Join(b.dir, "kafka"), Addr: b.addr, Control: b.control, ID: b.node, Voters: b.voters}
	if b.process, err = node.Command(); err != nil {
		return err
	}
	b.process.Stdout, b.process.Stderr = b.log, b.log
	if err := b.process.Start(); err != nil {
		return err
	}
	b.exited = make(chan error, 1)
	go func(p *exec.Cmd, exited chan<- error) { exited <- p.Wait() }(b.process, b.exited)
	return b.await()
}

// await returns when the broker answers for its topics.
func (b *Broker) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience())
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		_, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
		if err == nil {
			return nil
		}
		select {
		case exit := <-b.exited:
			b.exited <- exit
			log, _ := os.ReadFile(b.log.Name())
			return fmt.Errorf("Kafka ended at its start (%v):\n%s", exit, log)
		case <-ctx.Done():
			return fmt.Errorf("Kafka does not answer within %v: %w", Patience(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

var names atomic.Int64

func name(tb testing.TB, kind string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, tb.Name())
	return clean + "." + kind + "." + strconv.FormatInt(names.Add(1), 10)
}

// Group returns the name of a group that no other test uses.
func Group(tb testing.TB) string { return name(tb, "group") }

// Topic makes a topic that no other test uses.
func (b *Broker) Topic(tb testing.TB, partitions int) string {
	tb.Helper()
	topic := name(tb, "topic")
	ctx, cancel := context.WithTimeout(context.Background(), Patience())
	defer cancel()
	if err := kafka.EnsureTopics(ctx, b.Conn, []kafka.TopicSpec{{Name: topic, Partitions: partitions, Replication: 1}}); err != nil {
		tb.Fatal(err)
	}
	return topic
}

// DeleteRecords deletes a partition's records before the offset, as retention would.
func (b *Broker) DeleteRecords(tb testing.TB, topic string, partition int, before int64) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience())
	defer cancel()
	if _, err := kafka.DeleteBefore(ctx, b.Conn, topic, partition, before); err != nil {
		tb.Fatal(err)
	}
}

// CommitOffset commits an offset of a group without members.
func (b *Broker) CommitOffset(tb testing.TB, group, topic string, partition int, offset int64) {
	tb.Helper()
	part := kmsg.NewOffsetCommitRequestTopicPartition()
	part.Partition, part.Offset = int32(partition), offset
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, part)
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.Topics = group, append(request.Topics, t)
	response := ask(tb, b, request).(*kmsg.OffsetCommitResponse)
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				tb.Fatalf("committing offset %d of topic %q, partition %d: %v", offset, topic, p.Partition, err)
			}
		}
	}
}

// DeleteGroup deletes a group without members, its offsets with it.
func (b *Broker) DeleteGroup(tb testing.TB, group string) {
	tb.Helper()
	request := kmsg.NewPtrDeleteGroupsRequest()
	request.Groups = []string{group}
	response := ask(tb, b, request).(*kmsg.DeleteGroupsResponse)
	for _, g := range response.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			tb.Fatalf("deleting group %q: %v", group, err)
		}
	}
}

// DeleteTopic deletes a topic.
func (b *Broker) DeleteTopic(tb testing.TB, topic string) {
	tb.Helper()
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	request := kmsg.NewPtrDeleteTopicsRequest()
	request.TopicNames, request.Topics, request.TimeoutMillis = []string{topic}, append(request.Topics, t), 10_000
	response := ask(tb, b, request).(*kmsg.DeleteTopicsResponse)
	for _, t := range response.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			tb.Fatalf("deleting topic %q: %v", topic, err)
		}
	}
}

// Members returns the number of the group's members.
func (b *Broker) Members(tb testing.TB, group string) int {
	tb.Helper()
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups = []string{group}
	response := ask(tb, b, request).(*kmsg.DescribeGroupsResponse)
	return len(response.Groups[0].Members)
}

func ask(tb testing.TB, b *Broker, request kmsg.Request) kmsg.Response {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience())
	defer cancel()
	// Requests since Kafka 4 name topics by id; the names will do.
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.MaxVersions(kversion.V3_9_0()))
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	response, err := client.Request(ctx, request)
	if err != nil {
		tb.Fatalf("asking the broker: %v", err)
	}
	return response
}

// AddPartitions gives the topic partitions until it has that many.
func (b *Broker) AddPartitions(tb testing.TB, topic string, partitions int) {
	tb.Helper()
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic, int32(partitions)
	request := kmsg.NewPtrCreatePartitionsRequest()
	request.Topics, request.TimeoutMillis = append(request.Topics, t), 10_000
	response := ask(tb, b, request).(*kmsg.CreatePartitionsResponse)
	for _, t := range response.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			tb.Fatalf("adding partitions to topic %q: %v", topic, err)
		}
	}
}
