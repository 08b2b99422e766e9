package kafka

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// register registers the collector or returns the same one that an earlier consumer or producer of this process registered.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	var already prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &already) {
		if same, ok := already.ExistingCollector.(C); ok {
			return same
		}
	}
	return c
}

type consumerMetrics struct {
	records        *prometheus.CounterVec // group, topic
	bytes          *prometheus.CounterVec // group, topic
	lost           *prometheus.CounterVec // group, topic
	fetchErrors    *prometheus.CounterVec // group, topic
	lag            *prometheus.GaugeVec   // group, topic, partition
	standing       *prometheus.GaugeVec   // group, topic, partition
	buffered       prometheus.Gauge
	batches        prometheus.Counter
	commits        prometheus.Counter
	commitFailures prometheus.Counter
	generations    prometheus.Counter
	joinFailures   prometheus.Counter
	restarts       prometheus.Counter
	handler        prometheus.Observer
}

func newConsumerMetrics(r prometheus.Registerer, group string, topics []string) *consumerMetrics {
	if r == nil {
		r = prometheus.NewRegistry() // counted, shown to nobody
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "dwiarah", Subsystem: "consumer", Name: name, Help: help}, labels))
	}
	counter := func(name, help string) prometheus.Counter { return vec(name, help, "group").WithLabelValues(group) }
	m := &consumerMetrics{
		records:     vec("records_total", "Records handled and committed.", "group", "topic"),
		bytes:       vec("bytes_total", "Bytes of keys, values and headers handled and committed.", "group", "topic"),
		lost:        vec("lost_records_total", "Records that retention deleted before the group had read them.", "group", "topic"),
		fetchErrors: vec("fetch_errors_total", "Failed attempts to read a partition, each tried again.", "group", "topic"),
		lag: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "dwiarah", Subsystem: "consumer", Name: "lag_records",
			Help: "Offsets between what is committed and the high watermark, of the partitions assigned to this process."}, []string{"group", "topic", "partition"})),
		standing: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "dwiarah", Subsystem: "consumer", Name: "standing_seconds",
			Help: "How long a partition stands still although there is more to read, as the watchdog saw it last; absent where all is read."}, []string{"group", "topic", "partition"})),
		buffered: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "dwiarah", Subsystem: "consumer", Name: "buffered_records",
			Help: "Records in memory: fetched and not committed yet."}, []string{"group"})).WithLabelValues(group),
		batches:        counter("batches_total", "Batches handled and committed."),
		commits:        counter("commits_total", "Commits of a batch's offsets that the group accepted."),
		commitFailures: counter("commit_failures_total", "Commits that the group refused or that got no answer: their batches are read again."),
		generations:    counter("rebalances_total", "Generations of the group that this process was part of."),
		joinFailures:   counter("join_failures_total", "Failed attempts to join the group, each tried again."),
		restarts:       counter("watchdog_restarts_total", "Times the group was joined anew because nothing moved although records waited."),
		handler: register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "dwiarah", Subsystem: "consumer", Name: "handler_seconds",
			Help: "Time the handler took for a batch.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 10)}, []string{"group"})).WithLabelValues(group),
	}
	for _, topic := range topics { // so that a rate is 0, not absent, before the first event
		m.records.WithLabelValues(group, topic)
		m.bytes.WithLabelValues(group, topic)
		m.lost.WithLabelValues(group, topic)
		m.fetchErrors.WithLabelValues(group, topic)
	}
	return m
}

type producerMetrics struct {
	records *prometheus.CounterVec // topic
	bytes   *prometheus.CounterVec // topic
	retries prometheus.Counter
	seconds prometheus.Observer
}

func newProducerMetrics(r prometheus.Registerer) *producerMetrics {
	if r == nil {
		r = prometheus.NewRegistry()
	}
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "dwiarah", Subsystem: "producer", Name: name, Help: help}
	}
	return &producerMetrics{
		records: register(r, prometheus.NewCounterVec(opts("records_total", "Records acknowledged by all in-sync replicas."), []string{"topic"})),
		bytes:   register(r, prometheus.NewCounterVec(opts("bytes_total", "Bytes of keys, values and headers acknowledged by all in-sync replicas."), []string{"topic"})),
		retries: register(r, prometheus.NewCounter(opts("retries_total", "Times that records of a call were sent again."))),
		seconds: register(r, prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "dwiarah", Subsystem: "producer", Name: "produce_seconds",
			Help: "Time from a call to its last acknowledgement.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 10)})),
	}
}
