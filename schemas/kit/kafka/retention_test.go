package kafka_test

import (
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
)

// What the brokers have set says how long text stays, whatever the files of a deployment say.
func TestLivesAreWhatTheBrokersHave(t *testing.T) {
	b := kafkatest.Shared(t)
	deployed := deployedTopics(t, "topics.yaml")[schemas.TopicRaw]
	want := map[string]time.Duration{}
	var specs []kafka.TopicSpec
	for _, c := range []struct {
		config map[string]string
		life   time.Duration
	}{
		{deployed.Config, 69 * time.Hour},
		{map[string]string{"retention.ms": "259200000", "segment.ms": "3600000"}, 74 * time.Hour},
		{map[string]string{"retention.ms": "-1"}, kafka.Forever},
		{map[string]string{"retention.ms": "9223372036854775807"}, kafka.Forever},
		{map[string]string{"cleanup.policy": "compact"}, kafka.Forever},
		{nil, (2*7*24 + 1) * time.Hour},
	} {
		name := kafkatest.Group(t)
		specs = append(specs, kafka.TopicSpec{Name: name, Partitions: 1, Replication: 1, Config: c.config})
		want[name] = c.life
	}
	if err := kafka.EnsureTopics(t.Context(), b.Conn, specs); err != nil {
		t.Fatal(err)
	}
	names := []string{"absent"}
	for _, s := range specs {
		names = append(names, s.Name)
	}
	got, err := kafka.Lives(t.Context(), b.Conn, names...)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(specs) {
		t.Errorf("%d topics, want %d: %v", len(got), len(specs), got)
	}
	for _, s := range specs {
		if got[s.Name] != want[s.Name] {
			t.Errorf("%v: records live for %v, want %v", s.Config, got[s.Name], want[s.Name])
		}
	}
}
