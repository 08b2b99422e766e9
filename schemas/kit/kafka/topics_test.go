package kafka_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
)

const deployed = "../../../deploy/kafka/"

func deployedTopics(t *testing.T, file string) map[string]kafka.TopicSpec {
	t.Helper()
	specs, err := kafka.LoadTopics(deployed + file)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]kafka.TopicSpec{}
	for _, s := range specs {
		byName[s.Name] = s
	}
	return byName
}

func TestDeployedTopics(t *testing.T) {
	one, cluster := deployedTopics(t, "topics.yaml"), deployedTopics(t, "topics.cluster.yaml")
	want := []string{schemas.TopicRaw, schemas.TopicEnriched, schemas.TopicDead, schemas.TopicLedger}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(one))); diff != "" {
		t.Errorf("the topics of the contract: -want +got:\n%s", diff)
	}
	hours := func(s kafka.TopicSpec, key string) time.Duration {
		ms, err := strconv.ParseInt(s.Config[key], 10, 64)
		if err != nil {
			t.Fatalf("%s: %s: %v", s.Name, key, err)
		}
		return time.Duration(ms) * time.Millisecond
	}
	for name, s := range one {
		// The longest life of a record: its segment's, then the retention, then what the deletion itself takes.
		if life := hours(s, "retention.ms") + hours(s, "segment.ms") + time.Hour; name != schemas.TopicLedger && life > 72*time.Hour {
			t.Errorf("%s: text stays for up to %v; at most 72h are allowed", name, life)
		}
		if s.Config["message.timestamp.type"] != "LogAppendTime" {
			t.Errorf("%s: retention follows the clocks of producers", name)
		}
		if limit, err := strconv.Atoi(s.Config["max.message.bytes"]); err != nil || limit < 1_000_000 {
			t.Errorf("%s: max.message.bytes is %d, below what the producer sends", name, limit)
		}
		if s.Replication != 1 || s.Config["min.insync.replicas"] != "1" {
			t.Errorf("%s: one broker cannot hold %d replicas of which %s acknowledge", name, s.Replication, s.Config["min.insync.replicas"])
		}
		c := cluster[name]
		if c.Replication != 3 || c.Config["min.insync.replicas"] != "2" {
			t.Errorf("%s: on a cluster a record must outlive a broker", name)
		}
		c.Replication, c.Config["min.insync.replicas"] = 1, "1"
		if diff := cmp.Diff(s, c); diff != "" {
			t.Errorf("%s: the two files differ in more than replicas:\n%s", name, diff)
		}
	}
	if one[schemas.TopicRaw].Partitions != 12 || one[schemas.TopicEnriched].Partitions != 12 {
		t.Error("the partitions of a topic are for ever: keys depend on them")
	}
}

// A broker takes the deployed topics as they are.
func TestDeployedTopicsCanBeMade(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	specs, err := kafka.LoadTopics(deployed + "topics.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := kafka.EnsureTopics(within(t), b.Conn, specs); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTopicMistakes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "topics.yaml")
	text := "topics:\n  - name: \"a b\"\n    partitons: 3\n    replication: -1\n    config: {retention.ms: 5}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := kafka.LoadTopics(path)
	for _, want := range []string{"topics[0].name", "did you mean topics[0].partitions?", "topics[0].partitions is 0: want at least 1", "topics[0].replication is -1", "topics[0].config.retention.ms is 5: want a text"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}
