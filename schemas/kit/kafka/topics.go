package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"

	"github.com/cenkalti/backoff/v5"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// TopicSpec is a topic as it should be.
type TopicSpec struct {
	Name        string            `koanf:"name" yaml:"name"`
	Partitions  int               `koanf:"partitions" yaml:"partitions"`
	Replication int               `koanf:"replication" yaml:"replication"` // 0 takes the cluster's default
	Config      map[string]string `koanf:"config" yaml:"config"`           // the topic's settings by Kafka's names
}

// LoadTopics reads the topics of a file such as deploy/kafka/topics.yaml. All its mistakes are in one error.
func LoadTopics(path string) ([]TopicSpec, error) {
	var file struct {
		Topics []TopicSpec `koanf:"topics"`
	}
	if err := config.Load(path, &file, config.WithEnviron(nil)); err != nil {
		return nil, fmt.Errorf("loading topics: %w", err)
	}
	return file.Topics, nil
}

// Validate reports what no broker would take.
func (t TopicSpec) Validate(report config.Report) {
	if !topicName.MatchString(t.Name) {
		report("name", t.Name, "1 to 249 letters, digits, dots, underscores and hyphens")
	}
	if t.Partitions < 1 {
		report("partitions", t.Partitions, "at least 1")
	}
	if t.Replication < 0 || t.Replication > math.MaxInt16 {
		report("replication", t.Replication, "the number of brokers that hold each record, or 0 for the cluster's default")
	}
}

var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

func (t TopicSpec) creation() kafkago.TopicConfig {
	c := kafkago.TopicConfig{Topic: t.Name, NumPartitions: t.Partitions, ReplicationFactor: cmp.Or(t.Replication, -1)}
	for _, name := range slices.Sorted(maps.Keys(t.Config)) {
		c.ConfigEntries = append(c.ConfigEntries, kafkago.ConfigEntry{ConfigName: name, ConfigValue: t.Config[name]})
	}
	return c
}

// EnsureTopics creates the topics that are missing and returns when every partition of all of them is served by a leader.
// A topic that is there with another number of partitions is an error, *PartitionsError; other settings of a topic that is
// there are left alone. It tries again until ctx ends, except when the brokers refuse.
func EnsureTopics(ctx context.Context, conn Conn, topics []TopicSpec) error {
	if err := conn.validate(); err != nil {
		return fmt.Errorf("ensuring topics: %w", err)
	}
	client, transport := conn.client()
	defer transport.CloseIdleConnections()
	err := untilDone(ctx, func() error { return ensure(ctx, client, topics) })
	if err != nil {
		return fmt.Errorf("ensuring topics on %v: %w", conn.Brokers, err)
	}
	return nil
}

// SetTopics gives topics that exist the settings of their specs, which EnsureTopics leaves alone; settings that a spec does not name stay as they are.
func SetTopics(ctx context.Context, conn Conn, topics []TopicSpec) error {
	if err := conn.validate(); err != nil {
		return fmt.Errorf("setting topics: %w", err)
	}
	request := &kafkago.IncrementalAlterConfigsRequest{}
	for _, t := range topics {
		resource := kafkago.IncrementalAlterConfigsRequestResource{ResourceType: kafkago.ResourceTypeTopic, ResourceName: t.Name}
		for _, name := range slices.Sorted(maps.Keys(t.Config)) {
			resource.Configs = append(resource.Configs, kafkago.IncrementalAlterConfigsRequestConfig{Name: name, Value: t.Config[name], ConfigOperation: kafkago.ConfigOperationSet})
		}
		if len(resource.Configs) > 0 {
			request.Resources = append(request.Resources, resource)
		}
	}
	if len(request.Resources) == 0 {
		return nil
	}
	client, transport := conn.client()
	defer transport.CloseIdleConnections()
	answer, err := client.IncrementalAlterConfigs(ctx, request)
	if err != nil {
		return fmt.Errorf("setting topics on %v: %w", conn.Brokers, err)
	}
	var errs []error
	for _, r := range answer.Resources {
		if r.Error != nil {
			errs = append(errs, fmt.Errorf("setting topic %q: %w", r.ResourceName, r.Error))
		}
	}
	return errors.Join(errs...)
}

func ensure(ctx context.Context, client *kafkago.Client, topics []TopicSpec) error {
	request := &kafkago.CreateTopicsRequest{}
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	have, err := partitions(ctx, client, names)
	if err != nil {
		return err
	}
	for _, t := range topics {
		if _, ok := have[t.Name]; !ok {
			request.Topics = append(request.Topics, t.creation())
		}
	}
	if len(request.Topics) > 0 {
		response, err := client.CreateTopics(ctx, request)
		if err != nil {
			return fmt.Errorf("creating topics: %w", err)
		}
		for _, t := range request.Topics {
			// Another process may have been faster: its partitions are checked below like any other's.
			if err := response.Errors[t.Topic]; err != nil && !errors.Is(err, kafkago.TopicAlreadyExists) {
				return fmt.Errorf("creating topic %q: %w", t.Topic, err)
			}
		}
		if have, err = partitions(ctx, client, names); err != nil {
			return err
		}
	}
	var errs []error
	all := map[string][]int{}
	for _, t := range topics {
		for p := range have[t.Name] {
			all[t.Name] = append(all[t.Name], p)
		}
		switch n, ok := have[t.Name]; {
		case !ok:
			return fmt.Errorf("creating topic %q: %w", t.Name, kafkago.LeaderNotAvailable)
		case n != t.Partitions:
			errs = append(errs, backoff.Permanent(&PartitionsError{Topic: t.Name, Have: n, Want: t.Partitions}))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// A leader that is elected may not know of it yet: what it answers for, it serves.
	_, err = logs(ctx, client, all)
	return err
}

// partitions returns the number of partitions of each of the topics that exist; a partition without a leader is an error.
func partitions(ctx context.Context, client *kafkago.Client, topics []string) (map[string]int, error) {
	response, err := client.Metadata(ctx, &kafkago.MetadataRequest{Topics: topics})
	if err != nil {
		return nil, fmt.Errorf("reading topics: %w", err)
	}
	have := map[string]int{}
	for _, t := range response.Topics {
		switch {
		case errors.Is(t.Error, kafkago.UnknownTopicOrPartition):
			continue
		case t.Error != nil:
			return nil, fmt.Errorf("reading topic %q: %w", t.Name, t.Error)
		}
		for _, p := range t.Partitions {
			if p.Error != nil && !errors.Is(p.Error, kafkago.ReplicaNotAvailable) {
				return nil, fmt.Errorf("reading topic %q, partition %d: %w", t.Name, p.ID, p.Error)
			}
		}
		have[t.Name] = len(t.Partitions)
	}
	return have, nil
}

// untilDone calls do until it returns nil, an error that trying again cannot mend, or ctx ends.
func untilDone(ctx context.Context, do func() error) error {
	wait := newBackOff()
	for {
		err := do()
		var permanent *backoff.PermanentError
		if err == nil || errors.As(err, &permanent) || refused(err) {
			return err
		}
		if !sleep(ctx, wait.NextBackOff()) {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}
