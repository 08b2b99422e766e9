package verify

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics show what the last comparison found.
type Metrics struct {
	unaccounted, violations, checked *prometheus.GaugeVec // topic
	undecodable, at                  prometheus.Gauge
}

// NewMetrics registers them. They have no value before the first comparison.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "dwiarah", Subsystem: "verify", Name: name, Help: help}, []string{"topic"})
	}
	m := &Metrics{
		unaccounted: gauge("unaccounted_records", "Records behind a committed position that are neither passed on nor dead-lettered."),
		violations:  gauge("violations", "What breaks the law of sums: records without a fate, positions that the log does not hold; 20 at most."),
		checked:     gauge("checked_records", "Records behind a committed position that were looked at."),
		undecodable: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "dwiarah", Subsystem: "verify", Name: "undecodable_letters",
			Help: "Records of the dead-letter topic that are no letter that this version reads."}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "dwiarah", Subsystem: "verify", Name: "timestamp_seconds",
			Help: "When Kafka and the tables were compared last, Unix time; at first when the process began."}),
	}
	for _, c := range []prometheus.Collector{m.unaccounted, m.violations, m.checked, m.undecodable, m.at} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering what verify shows: %w", err)
		}
	}
	m.at.SetToCurrentTime()
	return m, nil
}

// Show sets them to what a comparison found.
func (m *Metrics) Show(found Found) {
	for _, s := range found.Stages {
		m.unaccounted.WithLabelValues(s.Topic).Set(float64(s.Unaccounted()))
		m.violations.WithLabelValues(s.Topic).Set(float64(len(s.Violations)))
		m.checked.WithLabelValues(s.Topic).Set(float64(s.Committed))
	}
	m.undecodable.Set(float64(found.Undecodable))
	m.at.SetToCurrentTime()
}
