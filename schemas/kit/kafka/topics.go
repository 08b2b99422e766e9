package kafka

import (
	"context"
	"errors"
)

// TopicSpec is a topic as it should be.
type TopicSpec struct {
	Name        string            `koanf:"name" yaml:"name"`
	Partitions  int               `koanf:"partitions" yaml:"partitions"`
	Replication int               `koanf:"replication" yaml:"replication"`
	Config      map[string]string `koanf:"config" yaml:"config"`
}

// EnsureTopics creates the topics that are missing and checks the partitions of those that are there.
func EnsureTopics(ctx context.Context, conn Conn, topics []TopicSpec) error { return errors.ErrUnsupported }

// PartitionLag is how far a group is behind in one partition.
type PartitionLag struct {
	Topic     string
	Partition int
	Committed int64 // next offset the group would read; -1 when it has committed none
	First     int64 // first offset in the log
	End       int64 // high watermark: one past the last readable offset
}

// Behind is the number of offsets between the group's position and the end of the log.
func (l PartitionLag) Behind() int64 { return l.End - max(l.Committed, l.First) }

// Lag returns the lag of a group in every partition of the topics.
func Lag(ctx context.Context, conn Conn, group string, topics ...string) ([]PartitionLag, error) {
	return nil, errors.ErrUnsupported
}
