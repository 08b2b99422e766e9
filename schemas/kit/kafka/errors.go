package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// OffsetRangeError says that the offset a group wants is no longer in the log: retention was shorter than the group's
// lag, or the topic was made anew. Consumer.Run stops with it unless AllowGap is set.
type OffsetRangeError struct {
	Group     string
	Topic     string
	Partition int
	Offset    int64 // wanted
	First     int64 // first in the log
	End       int64 // one past the last in the log
}

// Lost returns how many messages between the wanted offset and the log are gone unread. It is 0 when the log ends
// before the wanted offset: what is gone there had been read.
func (e *OffsetRangeError) Lost() int64 { return max(0, e.First-e.Offset) }

func (e *OffsetRangeError) Error() string {
	where := fmt.Sprintf("group %q wants offset %d of topic %q, partition %d, whose log holds %d to %d", e.Group, e.Offset, e.Topic, e.Partition, e.First, e.End)
	if e.Offset < e.First {
		return fmt.Sprintf("%s: %d messages were deleted unread; allow the gap to go on at offset %d", where, e.Lost(), e.First)
	}
	return fmt.Sprintf("%s: the topic was truncated or made anew; allow the gap to read it again from offset %d", where, e.First)
}

// StalledError says that a consumer made no progress although messages wait.
type StalledError struct {
	Group     string
	Topic     string
	Partition int
	Position  int64         // next offset to read
	End       int64         // high watermark
	For       time.Duration // since the last progress
	Joining   bool          // the group gave the consumer no partitions at all
}

func (e *StalledError) Error() string {
	how := "reading"
	if e.Joining {
		how = "joining the group"
	}
	return fmt.Sprintf("group %q made no progress for %v while %s: topic %q, partition %d stands at offset %d of %d",
		e.Group, e.For.Round(time.Millisecond), how, e.Topic, e.Partition, e.Position, e.End)
}

// TooLargeError says that a record is larger than the producer may send. Nothing of its call was sent.
type TooLargeError struct {
	Index int // of the record in the call
	Topic string
	Size  int // bytes, uncompressed, with the wire's overhead
	Limit int // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("record %d of the call, for topic %q, has %d bytes; at most %d are allowed", e.Index, e.Topic, e.Size, e.Limit)
}

// UnknownTopicError says that a topic does not exist.
type UnknownTopicError struct{ Topic string }

func (e *UnknownTopicError) Error() string { return fmt.Sprintf("topic %q does not exist", e.Topic) }

// PartitionsError says that a topic exists with another number of partitions than specified.
type PartitionsError struct {
	Topic      string
	Have, Want int
}

func (e *PartitionsError) Error() string {
	return fmt.Sprintf("topic %q has %d partitions, %d are specified; keys would change their partition, so this is never changed here: "+
		"correct the specification or make the topic anew", e.Topic, e.Have, e.Want)
}

// refusals are the answers of a broker that understood and will say the same again. Everything else, the network above
// all, is worth another try.
var refusals = map[kafkago.Error]bool{
	kafkago.InvalidMessageSize:         true,
	kafkago.MessageSizeTooLarge:        true,
	kafkago.InvalidTopic:               true,
	kafkago.RecordListTooLarge:         true,
	kafkago.InvalidRequiredAcks:        true,
	kafkago.InconsistentGroupProtocol:  true,
	kafkago.InvalidGroupId:             true,
	kafkago.InvalidSessionTimeout:      true,
	kafkago.TopicAuthorizationFailed:   true,
	kafkago.GroupAuthorizationFailed:   true,
	kafkago.ClusterAuthorizationFailed: true,
	kafkago.BrokerAuthorizationFailed:  true,
	kafkago.InvalidTimestamp:           true,
	kafkago.UnsupportedSASLMechanism:   true,
	kafkago.IllegalSASLState:           true,
	kafkago.SASLAuthenticationFailed:   true,
	kafkago.SecurityDisabled:           true,
	kafkago.UnsupportedVersion:         true,
	kafkago.InvalidPartitionNumber:     true,
	kafkago.InvalidReplicationFactor:   true,
	kafkago.InvalidReplicaAssignment:   true,
	kafkago.InvalidConfiguration:       true,
	kafkago.InvalidRequest:             true,
	kafkago.PolicyViolation:            true,
	kafkago.UnsupportedCompressionType: true,
	kafkago.GroupMaxSizeReached:        true,
	kafkago.InvalidRecord:              true,
}

// refused reports whether trying again cannot help.
func refused(err error) bool {
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return true // whoever answers is not the broker
	}
	var handshake tls.RecordHeaderError
	if errors.As(err, &handshake) || errors.Is(err, ErrSpeaksTLS) {
		return true // one of the two does not speak TLS
	}
	var answer kafkago.Error
	return errors.As(err, &answer) && refusals[answer]
}
