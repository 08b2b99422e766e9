package enrich

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/dwiarah/dwiarah/enrich/internal/database"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/enrich/internal/stream"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
)

// Config is the service's whole configuration, the file of enrich run --config.
type Config struct {
	Kafka    KafkaConfig    `koanf:"kafka"`
	Batch    BatchConfig    `koanf:"batch"`
	Classify ClassifyConfig `koanf:"classify"`
	// ClickHouse is where labels and old messages are; the service itself does not need it.
	ClickHouse DatabaseConfig   `koanf:"clickhouse"`
	Telemetry  telemetry.Config `koanf:"telemetry"`
}

// KafkaConfig says where Kafka is, how to reach it and as whom to read.
type KafkaConfig struct {
	kafka.ConnConfig `koanf:",squash"`
	Group            string `koanf:"group"`
	// AllowGap goes on where messages were deleted before they had been read, and counts them, instead of stopping.
	AllowGap bool `koanf:"allow_gap"`
	// Drain is how long a batch under way may still take after the end was asked for.
	Drain config.Duration `koanf:"drain"`
}

// DatabaseConfig says where ClickHouse is.
type DatabaseConfig = database.Config

// BatchConfig says when a batch is labelled: at the first limit that is reached.
type BatchConfig struct {
	Records int             `koanf:"records"`
	Age     config.Duration `koanf:"age"`
}

// ClassifyConfig says how messages are labelled.
type ClassifyConfig struct {
	// Tier is best, or fast where there is more to label than the processors can take.
	Tier Tier `koanf:"tier"`
	// Workers is how many messages are labelled at a time; 0 means one a processor.
	Workers int `koanf:"workers"`
	// Timeout is how long one message may take before it is labelled unknown. A message takes microseconds.
	Timeout config.Duration `koanf:"timeout"`
	// Adaptations is the folder that enrich adapt writes to; empty for none. It is read when the service starts.
	Adaptations string `koanf:"adaptations"`
	// Templates is the file that enrich templates writes; empty for none. It is read when the service starts.
	Templates string `koanf:"templates"`
}

// DefaultConfig returns the defaults: everything on this machine.
func DefaultConfig() Config {
	t := telemetry.DefaultConfig()
	t.Listen = "127.0.0.1:9102"
	return Config{
		Kafka:      KafkaConfig{ConnConfig: kafka.ConnConfig{Brokers: []string{"127.0.0.1:9092"}}, Group: "dwiarah-enrich", Drain: config.Duration(10 * time.Second)},
		Batch:      BatchConfig{Records: 5_000, Age: config.Duration(100 * time.Millisecond)},
		Classify:   ClassifyConfig{Tier: Best, Timeout: config.Duration(2 * time.Second)},
		ClickHouse: database.DefaultConfig(),
		Telemetry:  t,
	}
}

// Validate reports every bad value.
func (c KafkaConfig) Validate(report config.Report) {
	if c.Group == "" {
		report("group", "", "the name of the consumer group, as dwiarah-enrich")
	}
	if c.Drain <= 0 {
		report("drain", c.Drain.Std().String(), "a duration above 0")
	}
}

// Validate reports every bad value.
func (c BatchConfig) Validate(report config.Report) {
	if c.Records < 1 || c.Records > 100_000 {
		report("records", c.Records, "1 to 100,000; 1,000 to 10,000 are usual")
	}
	if c.Age < config.Duration(time.Millisecond) || c.Age > config.Duration(time.Minute) {
		report("age", c.Age.Std().String(), "1ms to 1m; 50ms to 500ms are usual")
	}
}

// Validate reports every bad value.
func (c ClassifyConfig) Validate(report config.Report) {
	if !slices.Contains(Tiers, c.Tier) {
		report("tier", string(c.Tier), "fast or best")
	}
	if c.Workers < 0 || c.Workers > 1024 {
		report("workers", c.Workers, "0 (one a processor) to 1024")
	}
	if c.Timeout < config.Duration(10*time.Millisecond) || c.Timeout > config.Duration(time.Minute) {
		report("timeout", c.Timeout.Std().String(), "10ms to 1m")
	}
}

// healthLimit is how long the service may go without a committed batch while records wait, before it calls itself ill.
const healthLimit = 2 * time.Minute

// Service labels what is in mentions.raw.v1 into mentions.enriched.v1. Offsets are committed after the enriched records are acknowledged, so
// that a message is enriched twice rather than never; both times to the same bytes.
type Service struct {
	consumer    *kafka.Consumer
	producer    *kafka.Producer
	classifiers *Classifiers
}

// New builds a service that has connected to nothing. The configuration has passed Validate.
func New(cfg Config, tel *telemetry.Telemetry) (*Service, error) {
	classifier, err := NewClassifier()
	if err != nil {
		return nil, err
	}
	if classifier, err = classifier.At(cfg.Classify.Tier); err != nil {
		return nil, err
	}
	classifiers, err := LoadAdaptations(classifier, cfg.Classify.Adaptations, tel.Log)
	if err != nil {
		return nil, err
	}
	if err := classifiers.LoadTemplates(cfg.Classify.Templates); err != nil {
		return nil, err
	}
	conn, err := cfg.Kafka.Conn("dwiarah-enrich")
	if err != nil {
		return nil, err
	}
	s := &Service{classifiers: classifiers}
	if s.producer, err = kafka.NewProducer(kafka.ProducerConfig{Conn: conn, MaxRecordBytes: stream.MaxRecordBytes, Log: tel.Log, Metrics: tel.Registry}); err != nil {
		return nil, err
	}
	workers := cfg.Classify.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	watch, err := classifiers.watch(tel.Registry)
	if err != nil {
		return nil, err
	}
	stage, err := stream.New(stream.Config{
		Label: watch, Unknown: classifier.unknown(), Workers: workers, Timeout: cfg.Classify.Timeout.Std(),
		Producer: s.producer, Log: tel.Log, Metrics: tel.Registry,
	})
	if err != nil {
		return nil, err
	}
	s.consumer, err = kafka.NewConsumer(kafka.ConsumerConfig{
		Conn: conn, Group: cfg.Kafka.Group, Topics: []string{schemas.TopicRaw},
		Policy:       kafka.BatchPolicy{MaxRecords: cfg.Batch.Records, MaxAge: cfg.Batch.Age.Std()},
		DrainTimeout: cfg.Kafka.Drain.Std(), AllowGap: cfg.Kafka.AllowGap,
		Log: tel.Log, Metrics: tel.Registry, Progress: tel.Health.Progress("enrich", healthLimit),
	}, stage.Handle)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Classifiers are the model and its adaptations, as the service uses them.
func (s *Service) Classifiers() *Classifiers { return s.classifiers }

// Run consumes until ctx ends, then drains and returns nil; it returns an error when something broke that no repeat mends.
func (s *Service) Run(ctx context.Context) error {
	return errors.Join(s.consumer.Run(ctx), s.producer.Close())
}

// Enrich answers with the classifier of the message's institution, and knows the templates of its accounts.
func (c *Classifiers) Enrich(m *event.Message) *event.Enrichment {
	e := c.For(m.Institution).Enrich(m)
	if version := c.templates.Version(); version != "" && m.Direction == schemas.Outbound {
		e.IsAuto = e.IsAuto || c.templates.Made(templateAccount(m.Platform, m.Account), m.Text)
		e.ModelVersion += "+" + version
	}
	return e
}

// templateAccount names an account in a file of templates.
func templateAccount(platform, account string) string { return platform + "/" + account }

// Enrich is Classify for a message of the wire. Its answer is a function of the message's text, language and direction alone.
func (c *Classifier) Enrich(m *event.Message) *event.Enrichment {
	r := c.Classify(m.Text, m.Lang, m.Direction == schemas.Outbound)
	e := &event.Enrichment{
		Lang: r.Lang, Sentiment: r.Sentiment, PNegative: r.PNegative, PNeutral: r.PNeutral, PPositive: r.PPositive,
		RiskTag: r.RiskTag, RiskTags: r.RiskTags, RiskSeverity: uint32(r.RiskSeverity), Toxicity: r.Toxicity, ContentFunction: r.ContentFunction,
		NeedsReply: r.NeedsReply, PNeedsReply: r.PNeedsReply, ModelVersion: r.ModelVersion, ModelSeq: c.seq,
		IsAuto: r.IsAuto,
	}
	for _, p := range r.RiskP {
		e.RiskP = append(e.RiskP, &event.TagProbability{Tag: p.Tag, P: p.P})
	}
	return e
}

// unknown is the answer for a message that the classifier failed: no label is guessed. Its number
// is 0, so that the same model, asked again, replaces it.
func (c *Classifier) unknown() *event.Enrichment {
	return &event.Enrichment{Lang: UndeterminedLanguage, Sentiment: schemas.SentimentUnknown, RiskTag: risk.None, ModelVersion: c.version}
}
