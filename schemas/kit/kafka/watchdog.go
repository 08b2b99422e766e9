package kafka

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
)

// watchdog looks whether a consumer gets on while records wait.
//
// A partition whose records wait for a working handler gets on, however long the handler takes: ClickHouse may be away for
// hours. Where the brokers do not answer nothing can be said, so that the clocks start anew; the fetch loops go on trying.
type watchdog struct {
	c      *Consumer
	client *kafkago.Client
	behind map[topicPartition]standing // the partitions seen to have more to read, until they move
}

// standing is where a partition was first seen to stand although there was more to read.
type standing struct {
	position int64
	since    time.Time
}

// run has the group joined anew after RestartAfter without progress, and returns a *StalledError after FailAfter.
// It returns nil when ctx ends.
func (w *watchdog) run(ctx context.Context) error {
	cfg := &w.c.cfg
	ticker := time.NewTicker(max(time.Millisecond, cfg.RestartAfter/6))
	defer ticker.Stop()
	var restarted time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if w.topicIsGone(ctx) {
			w.c.leaveMembership() // before it joins again it waits for the topic, though not for ever
			continue
		}
		stall := w.look(ctx)
		w.tell(time.Now())
		switch {
		case stall == nil || ctx.Err() != nil:
		case stall.For >= cfg.FailAfter:
			return stall
		case stall.For >= cfg.RestartAfter && time.Since(restarted) >= cfg.RestartAfter:
			restarted = time.Now()
			w.c.metrics.restarts.Inc()
			cfg.Log.Error("joining the group anew", "error", stall)
			w.c.leaveMembership()
		}
	}
}

// tell shows how long each partition has stood still, and to Progress those that joining anew did not help.
func (w *watchdog) tell(now time.Time) {
	var stuck []string
	w.c.metrics.standing.DeletePartialMatch(prometheus.Labels{"group": w.c.cfg.Group})
	for tp, seen := range w.behind {
		stood := now.Sub(seen.since)
		w.c.metrics.standing.WithLabelValues(w.c.cfg.Group, tp.topic, strconv.Itoa(tp.partition)).Set(stood.Seconds())
		if stood >= 2*w.c.cfg.RestartAfter {
			stuck = append(stuck, tp.topic+"/"+strconv.Itoa(tp.partition))
		}
	}
	slices.Sort(stuck)
	w.c.cfg.Progress.Stuck(stuck)
}

// topicIsGone reports whether the brokers know one of the topics no more. The group would simply have less to read.
func (w *watchdog) topicIsGone(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	have, err := partitions(ctx, w.client, w.c.cfg.Topics)
	if err != nil || w.c.generation() == nil {
		return false
	}
	for _, topic := range w.c.cfg.Topics {
		if have[topic] == 0 {
			w.c.cfg.Log.Error("a topic is gone", "group", w.c.cfg.Group, "topic", topic)
			return true
		}
	}
	return false
}

// look returns the partition that has stood still for the longest time although there is more to read, or nil.
func (w *watchdog) look(ctx context.Context) *StalledError {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	g := w.c.generation()
	positions, ends, err := w.positions(ctx, g)
	if err != nil {
		w.c.cfg.Log.Debug("watchdog cannot compare positions with the log", "error", err)
		clear(w.behind)
		return nil
	}
	now := time.Now()
	var worst *StalledError
	for tp, position := range positions {
		end := ends[tp]
		seen, ok := w.behind[tp]
		switch {
		case position >= end:
			delete(w.behind, tp)
			continue
		case !ok || position > seen.position:
			seen = standing{position: position, since: now}
		default: // a new generation may begin a little earlier, which is no progress either
			seen.position = position
		}
		w.behind[tp] = seen
		if stood := now.Sub(seen.since); worst == nil || stood > worst.For {
			worst = &StalledError{Group: w.c.cfg.Group, Topic: tp.topic, Partition: tp.partition, Position: position, End: end, For: stood, Joining: g == nil}
		}
	}
	for tp := range w.behind {
		if _, watched := positions[tp]; !watched {
			delete(w.behind, tp)
		}
	}
	return worst
}

// positions returns the next offset and the high watermark of what the consumer has to read: the partitions of its
// generation, without those that wait for the handler; while it joins, all partitions, from where the group has committed.
func (w *watchdog) positions(ctx context.Context, g *generation) (positions, ends map[topicPartition]int64, err error) {
	var lags []PartitionLag
	if g == nil {
		if lags, err = lag(ctx, w.client, w.c.cfg.Group, w.c.cfg.Topics); err != nil {
			return nil, nil, err
		}
	} else {
		if lags, err = logs(ctx, w.client, g.assigned()); err != nil {
			return nil, nil, err
		}
		positions = g.positions()
	}
	ends = make(map[topicPartition]int64, len(lags))
	for _, l := range lags {
		ends[topicPartition{l.Topic, l.Partition}] = l.End
	}
	if g == nil {
		positions = make(map[topicPartition]int64, len(lags))
		for _, l := range lags {
			positions[topicPartition{l.Topic, l.Partition}] = max(l.Committed, l.First)
		}
	}
	return positions, ends, nil
}
