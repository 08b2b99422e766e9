package kafka

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// Forever is the life of records that nothing ends.
const Forever = time.Duration(math.MaxInt64)

// deletionTakes is how long Kafka may need to delete a segment that is due: its check every five minutes, the minute until the file goes, and room.
const deletionTakes = time.Hour

// kafkaWeek is what Kafka takes for retention.ms and segment.ms where nobody has set them.
const kafkaWeek = 7 * 24 * time.Hour

// Lives returns how long a record may stay in each of the topics at most, by the settings that the brokers have now: its segment is open for segment.ms, the retention counts
// from the segment's youngest record, and the deletion takes up to an hour. Compaction or no retention is Forever. An absent topic is left out.
func Lives(ctx context.Context, conn Conn, topics ...string) (map[string]time.Duration, error) {
	if err := conn.validate(); err != nil {
		return nil, fmt.Errorf("reading the retention of topics: %w", err)
	}
	client, transport := conn.client()
	defer transport.CloseIdleConnections()
	have, err := partitions(ctx, client, topics)
	if err != nil {
		return nil, fmt.Errorf("reading the retention of topics: %w", err)
	}
	request := &kafkago.DescribeConfigsRequest{}
	for topic := range have {
		request.Resources = append(request.Resources, kafkago.DescribeConfigRequestResource{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"cleanup.policy", "retention.ms", "segment.ms"},
		})
	}
	lives := map[string]time.Duration{}
	if len(have) == 0 {
		return lives, nil
	}
	answer, err := client.DescribeConfigs(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("reading the retention of topics: %w", err)
	}
	for _, r := range answer.Resources {
		if r.Error != nil {
			return nil, fmt.Errorf("reading the retention of topic %q: %w", r.ResourceName, r.Error)
		}
		settings := map[string]string{}
		for _, e := range r.ConfigEntries {
			settings[e.ConfigName] = e.ConfigValue
		}
		if lives[r.ResourceName], err = life(settings); err != nil {
			return nil, fmt.Errorf("reading the retention of topic %q: %w", r.ResourceName, err)
		}
	}
	return lives, nil
}

func life(settings map[string]string) (time.Duration, error) {
	if strings.Contains(settings["cleanup.policy"], "compact") {
		return Forever, nil
	}
	sum := deletionTakes
	for _, name := range []string{"retention.ms", "segment.ms"} {
		part := kafkaWeek
		if text := settings[name]; text != "" {
			ms, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s is %q: want a number of milliseconds", name, text)
			}
			if ms < 0 || ms > int64((Forever-sum)/time.Millisecond) {
				return Forever, nil
			}
			part = time.Duration(ms) * time.Millisecond
		}
		sum += part
	}
	return sum, nil
}
