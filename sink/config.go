package sink

import (
	"time"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/sink/internal/erase"
	"github.com/dwiarah/dwiarah/sink/internal/report"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/verify"
)

// ClickHouseConfig says where ClickHouse is and how to speak to it.
type ClickHouseConfig = store.Config

// ReportsConfig says which reports are made, when, and where they go.
type ReportsConfig = report.Config

// ErasureConfig says when deleted and expired data are erased.
type ErasureConfig = erase.Config

// VerifyConfig says how often, and how far back, Kafka is compared with the tables.
type VerifyConfig = verify.ScheduleConfig

// Config is the sink's whole configuration, the file of sink run --config.
type Config struct {
	Kafka      KafkaConfig      `koanf:"kafka"`
	ClickHouse ClickHouseConfig `koanf:"clickhouse"`
	// Institutions is the path of institutions.yaml: retention, zones and calendars.
	Institutions string `koanf:"institutions"`
	// Calendars are files of working calendars of institutions' own, loaded with those of the build.
	Calendars []string `koanf:"calendars"`
	// IdentityKeys are the keys that ingest makes author and message keys with. Only erasing needs them.
	IdentityKeys config.Secret `koanf:"identity_keys"`
	// Migrate brings the tables and views up to date before anything is read. Where migrations have a user of their own, sink migrate does it instead.
	Migrate   bool             `koanf:"migrate"`
	Batch     BatchConfig      `koanf:"batch"`
	Reports   ReportsConfig    `koanf:"reports"`
	Erasure   ErasureConfig    `koanf:"erasure"`
	Verify    VerifyConfig     `koanf:"verify"`
	Telemetry telemetry.Config `koanf:"telemetry"`
}

// KafkaConfig says where Kafka is, how to reach it and as whom to read.
type KafkaConfig struct {
	kafka.ConnConfig `koanf:",squash"`
	Group            string `koanf:"group"`
	// AllowGap goes on where messages were deleted before the sink had read them, and counts them, instead of stopping.
	AllowGap bool `koanf:"allow_gap"`
	// Drain is how long a batch that is being written may still take after the end was asked for.
	Drain config.Duration `koanf:"drain"`
}

// BatchConfig says when a batch is written: at the first limit that is reached.
type BatchConfig struct {
	Records int             `koanf:"records"`
	Bytes   config.Size     `koanf:"bytes"`
	Age     config.Duration `koanf:"age"`
}

// DefaultConfig returns the defaults: everything on this machine.
func DefaultConfig() Config {
	return Config{
		Kafka:        KafkaConfig{ConnConfig: kafka.ConnConfig{Brokers: []string{"127.0.0.1:9092"}}, Group: "dwiarah-sink", Drain: config.Duration(10 * time.Second)},
		ClickHouse:   store.DefaultConfig(),
		Institutions: "institutions.yaml",
		// Two batches are in memory at a time, about 4 kB a record with what is made of it; larger ones save the engine little.
		Batch:     BatchConfig{Records: 20_000, Bytes: 64 << 20, Age: config.Duration(time.Second)},
		Reports:   report.DefaultConfig(),
		Erasure:   erase.DefaultConfig(),
		Verify:    verify.DefaultSchedule(),
		Telemetry: telemetry.DefaultConfig(),
	}
}

// Validate reports every bad value. The parts with types of their own report theirs.
func (c Config) Validate(report config.Report) {
	if c.Institutions == "" {
		report("institutions", "", "the path of institutions.yaml")
	}
}

// Validate reports every bad value.
func (c KafkaConfig) Validate(report config.Report) {
	if c.Group == "" {
		report("group", "", "the name of the consumer group, as dwiarah-sink")
	}
	if c.Drain <= 0 {
		report("drain", c.Drain.Std().String(), "a duration above 0")
	}
}

// Validate reports every bad value.
func (c BatchConfig) Validate(report config.Report) {
	if c.Records < 1 || c.Records > 1_000_000 {
		report("records", c.Records, "1 to 1,000,000; 20,000 to 50,000 are usual")
	}
	if c.Bytes < 1<<20 || c.Bytes > 1<<30 {
		report("bytes", int64(c.Bytes), "1MiB to 1GiB")
	}
	if c.Age < config.Duration(time.Millisecond) || c.Age > config.Duration(time.Minute) {
		report("age", c.Age.Std().String(), "1ms to 1m; 1s to 2s are usual")
	}
}

// ClientID names the sink in the brokers' logs and quotas.
const ClientID = "dwiarah-sink"
