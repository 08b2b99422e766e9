package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
)

// Handler makes everything that derives from the batch durable. Returning nil lets the consumer commit the batch's
// offsets on the generation it was fetched in; an error stops Run and nothing of the batch is committed.
// The batch spans the partitions of one generation; order within a partition is kept. The handler owns the records.
// ctx ends half a session after the generation has ended, or when the drain deadline has passed; never by shutdown alone.
type Handler func(ctx context.Context, batch []Record) error

// Progress is told what the consumer does, for a health check. *telemetry.Progress is one.
type Progress interface {
	Advance() // something moved, or there is something to do from now on
	Idle()    // everything there is has been read and committed
	// Stuck names the partitions, as topic/partition, that stand still although there is more to read and the group was joined anew; the others may get on
	// meanwhile. It is called again and again, with none when all get on.
	Stuck(partitions []string)
}

// ConsumerConfig configures a Consumer. Conn, Group and Topics are required.
type ConsumerConfig struct {
	Conn   Conn
	Group  string
	Topics []string
	Policy BatchPolicy

	SessionTimeout time.Duration // how long the group waits for a silent member; 6 to 10 s; 0 means 6 s
	DrainTimeout   time.Duration // how long the running handler may take after Run's ctx ended; 0 means 10 s
	AllowGap       bool          // go on at the first offset there is when the wanted one is gone, instead of stopping
	RestartAfter   time.Duration // without progress while records wait: join the group anew; 0 means 30 s
	FailAfter      time.Duration // without progress while records wait: Run returns a *StalledError; 0 means 2 min

	Log      *slog.Logger          // nil means slog.Default()
	Metrics  prometheus.Registerer // nil means none
	Progress Progress              // nil means none
}

func (cfg ConsumerConfig) withDefaults() ConsumerConfig {
	cfg.Policy = cfg.Policy.withDefaults()
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&cfg.SessionTimeout, 6 * time.Second},
		{&cfg.DrainTimeout, 10 * time.Second},
		{&cfg.RestartAfter, 30 * time.Second},
		{&cfg.FailAfter, 2 * time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Progress == nil {
		cfg.Progress = unwatched{}
	}
	return cfg
}

func (cfg ConsumerConfig) validate() error {
	errs := []error{cfg.Conn.validate(), cfg.Policy.validate()}
	if cfg.Group == "" {
		errs = append(errs, errors.New("Group is empty; it names what shares the topics' partitions"))
	}
	if len(cfg.Topics) == 0 {
		errs = append(errs, errors.New("Topics is empty; at least one is needed"))
	}
	if cfg.SessionTimeout < 6*time.Second || cfg.SessionTimeout > 10*time.Second {
		errs = append(errs, fmt.Errorf("SessionTimeout is %v; 6s to 10s are allowed", cfg.SessionTimeout))
	}
	if cfg.DrainTimeout < 0 {
		errs = append(errs, fmt.Errorf("DrainTimeout is %v; it cannot be negative", cfg.DrainTimeout))
	}
	if cfg.RestartAfter < 0 || cfg.FailAfter < cfg.RestartAfter {
		errs = append(errs, fmt.Errorf("RestartAfter is %v and FailAfter %v; the second must not be shorter", cfg.RestartAfter, cfg.FailAfter))
	}
	return errors.Join(errs...)
}

type unwatched struct{}

func (unwatched) Advance()       {}
func (unwatched) Idle()          {}
func (unwatched) Stuck([]string) {}

// Consumer reads topics as a member of a group: partition by partition within a generation, from the committed offset or
// else from the first, batched by policy, each batch handled and then committed on its own generation. It never uses
// kafka-go's Reader, which commits partitions it has lost and jumps silently over what retention ate.
//
// Memory is bounded: while the handler works, at most about two batches and an eighth of a batch per partition wait.
type Consumer struct {
	cfg     ConsumerConfig
	handler Handler
	metrics *consumerMetrics

	mu      sync.Mutex
	current *generation        // nil while joining
	rejoin  context.CancelFunc // ends the membership, so that Run joins anew
}

type topicPartition struct {
	topic     string
	partition int
}

// NewConsumer checks cfg and returns a consumer that has not connected yet.
func NewConsumer(cfg ConsumerConfig, h Handler) (*Consumer, error) {
	cfg = cfg.withDefaults()
	err := cfg.validate()
	if h == nil {
		err = errors.Join(err, errors.New("a handler is needed"))
	}
	if err != nil {
		return nil, fmt.Errorf("configuring a consumer: %w", err)
	}
	return &Consumer{cfg: cfg, handler: h, metrics: newConsumerMetrics(cfg.Metrics, cfg.Group, cfg.Topics)}, nil
}

// Run consumes until ctx ends: then it fetches no more, lets the handler finish within the drain deadline, commits, leaves
// the group and returns nil. It returns an error when the handler does, when the drain deadline has passed, when a wanted
// offset is gone (*OffsetRangeError), when nothing moves (*StalledError), when a topic is missing (*UnknownTopicError), or
// when the brokers refuse. A lost connection, a rebalance or a refused commit is no error: the batch is read again, by
// whoever has its partitions then. Run may be called once at a time.
func (c *Consumer) Run(ctx context.Context) error {
	client, transport := c.cfg.Conn.client()
	defer transport.CloseIdleConnections()
	watched, stop := context.WithCancelCause(ctx)
	dog := watchdog{c: c, client: client, behind: map[topicPartition]standing{}}
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := dog.run(watched); err != nil {
			stop(err)
		}
	})
	defer watching.Wait()
	defer stop(nil)
	for {
		membership, leave := context.WithCancel(watched)
		c.mu.Lock()
		c.rejoin = leave
		c.mu.Unlock()
		err := c.participate(membership, client)
		leave()
		switch {
		case (err == nil || errors.Is(err, errDrainDeadline)) && watched.Err() == nil:
			continue // the watchdog wants to join anew; a batch that did not get done in time is read again
		case err == nil && ctx.Err() != nil:
			return nil
		case err == nil:
			err = context.Cause(watched)
		}
		return fmt.Errorf("consuming as group %q: %w", c.cfg.Group, err)
	}
}

// awaitTopics returns when all topics exist: a member of a group is given no partitions of a topic that does not, and
// nobody would notice. What creates the topics may start at the same time, so that from the first answer without one it gets as
// long as the watchdog gives anything else. Brokers that do not answer are waited for, as they are later on.
func (c *Consumer) awaitTopics(ctx context.Context, client *kafkago.Client) error {
	var missed time.Time
	return untilDone(ctx, func() error {
		have, err := partitions(ctx, client, c.cfg.Topics)
		if err != nil {
			c.cfg.Log.Warn("asking for the topics again", "group", c.cfg.Group, "error", err)
			return err
		}
		for _, topic := range c.cfg.Topics {
			if have[topic] > 0 {
				continue
			}
			missing := &UnknownTopicError{Topic: topic}
			switch {
			case missed.IsZero():
				c.cfg.Log.Warn("waiting for a topic to be created", "group", c.cfg.Group, "topic", topic)
				missed = time.Now()
			case time.Since(missed) >= c.cfg.RestartAfter:
				return backoff.Permanent(missing)
			}
			return missing
		}
		return nil
	})
}

// participate is one membership of the group, from joining to leaving, over any number of generations. It returns nil when
// ctx ends.
func (c *Consumer) participate(ctx context.Context, client *kafkago.Client) error {
	if err := c.awaitTopics(ctx, client); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	logf := kafkago.LoggerFunc(func(format string, args ...any) {
		c.cfg.Log.Debug("group client", "says", fmt.Sprintf(format, args...))
	})
	group, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID:                c.cfg.Group,
		Brokers:           c.cfg.Conn.Brokers,
		Dialer:            c.cfg.Conn.Dialer(),
		Topics:            c.cfg.Topics,
		SessionTimeout:    c.cfg.SessionTimeout,
		HeartbeatInterval: c.cfg.SessionTimeout / 4,
		RebalanceTimeout:  c.cfg.SessionTimeout, // a member in the middle of a batch is given up at its session's end anyway
		JoinGroupBackoff:  500 * time.Millisecond,
		StartOffset:       kafkago.FirstOffset,
		// Without the watch, partitions that are added to a topic stay unread until the next rebalance.
		WatchPartitionChanges: true,
		ErrorLogger:           logf,
	})
	if err != nil {
		return fmt.Errorf("configuring the group: %w", err)
	}
	defer c.leave(group)
	for {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case refused(err):
			return fmt.Errorf("joining the group: %w", err)
		case err != nil: // kafka-go pauses and tries again by itself
			c.metrics.joinFailures.Inc()
			c.cfg.Log.Warn("joining the group again", "group", c.cfg.Group, "error", err)
			continue
		}
		begin := time.Now()
		done := make(chan error, 1)
		// One function of the generation, so that the heartbeats go on until the last commit: a generation ends
		// as soon as any function started in it returns.
		gen.Start(func(ended context.Context) { done <- c.consume(ctx, ended, gen, client) })
		if err := <-done; err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(begin) < time.Second && !sleep(ctx, 100*time.Millisecond) {
			return nil // generations that end at once must not turn into a storm of rebalances
		}
	}
}

// leave leaves the group, so that the others need not wait for the session to run out.
func (c *Consumer) leave(group *kafkago.ConsumerGroup) {
	left := make(chan struct{})
	go func() {
		defer close(left)
		if err := group.Close(); err != nil {
			c.cfg.Log.Warn("leaving the group", "group", c.cfg.Group, "error", err)
		}
	}()
	timer := time.NewTimer(c.cfg.SessionTimeout + ioTimeout)
	defer timer.Stop()
	select {
	case <-left:
	case <-timer.C: // joining anew may be needed exactly because the group client hangs
		c.cfg.Log.Error("abandoning a group client that does not close", "group", c.cfg.Group)
	}
}

// generation returns the present generation, nil while joining.
func (c *Consumer) generation() *generation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

func (c *Consumer) setGeneration(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = g
}

// leaveMembership drains and ends the present membership; Run joins anew.
func (c *Consumer) leaveMembership() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rejoin()
}
