package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/sink"
)

const deploy = ".."

// loadCompose reads the compose file as Docker Compose does: against its schema, with references and merges resolved.
func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(deploy, "compose", "compose.yaml")}, cli.WithWorkingDirectory(filepath.Join(deploy, "compose")))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// made are the files of a deployment that its operator writes; each has an example or a line in the README.
var made = map[string]string{
	"compose/institutions.yaml": "institutions.example.yaml", "compose/secrets/author_keys": "keys init", "compose/secrets/mastodon_token": "mastodon_token",
	"compose/secrets/clickhouse_password": passwords, "compose/secrets/clickhouse_migrator_password": passwords, "compose/secrets/clickhouse_sink_password": passwords,
	"compose/secrets/clickhouse_grafana_password": passwords, "compose/secrets/grafana_password": passwords,
}

const passwords = `for name in clickhouse clickhouse_migrator clickhouse_sink clickhouse_grafana grafana; do openssl rand -hex 24 > secrets/${name}_password; done`

func TestComposePathsExist(t *testing.T) {
	project := loadCompose(t)
	readme, err := os.ReadFile(filepath.Join(deploy, "compose", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, service := range project.Services {
		for _, v := range service.Volumes {
			if v.Type == types.VolumeTypeBind {
				paths = append(paths, v.Source)
			}
		}
		if service.Build != nil {
			paths = append(paths, filepath.Join(service.Build.Context, service.Build.Dockerfile), filepath.Join(service.Build.Context, *service.Build.Args["SERVICE"], "cmd", *service.Build.Args["SERVICE"], "main.go"))
		}
	}
	for _, secret := range project.Secrets {
		paths = append(paths, secret.File)
	}
	root, err := filepath.Abs(deploy)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		own, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		if named, ok := made[own]; ok {
			if !strings.Contains(string(readme), named) {
				t.Errorf("%s is made by the operator, but the README does not say how (%q)", own, named)
			}
			continue
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("compose.yaml names %s, which is not there", own)
		}
	}
}

// TestComposeConfigurationsLoad reads each service's file as the service does, and holds what it names against the compose file: brokers, addresses, secrets, users.
func TestComposeConfigurationsLoad(t *testing.T) {
	project := loadCompose(t)
	ingestConfig, enrichConfig, sinkConfig, migrateConfig := ingest.DefaultConfig(), enrich.DefaultConfig(), sink.DefaultConfig(), sink.DefaultConfig()
	scrape := prometheusTargets(t)
	for name, c := range map[string]struct {
		file string
		into any
	}{"ingest": {"ingest.yaml", &ingestConfig}, "enrich": {"enrich.yaml", &enrichConfig}, "sink": {"sink.yaml", &sinkConfig}, "migrate": {"sink.yaml", &migrateConfig}} {
		service := project.Services[name]
		// A secret of a file is read when the configuration is loaded: the paths of the container stand for files of the test.
		b, err := os.ReadFile(filepath.Join(deploy, "compose", c.file))
		if err != nil {
			t.Fatal(err)
		}
		secrets := secretsOf(t, service)
		file := filepath.Join(secrets, "service.yaml")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(b), "/run/secrets", secrets)), 0o600); err != nil {
			t.Fatal(err)
		}
		var environ []string
		for variable, value := range service.Environment {
			environ = append(environ, variable+"="+strings.ReplaceAll(*value, "/run/secrets", secrets))
		}
		if err := config.Load(file, c.into, config.WithEnviron(environ)); err != nil {
			t.Errorf("%s with %s: %v", name, c.file, err)
		}
		if !mounted(service, "/etc/dwiarah/service.yaml", c.file) {
			t.Errorf("service %s does not mount %s where its command looks for it", name, c.file)
		}
	}
	for name, brokers := range map[string][]string{"ingest": ingestConfig.Kafka.Brokers, "enrich": enrichConfig.Kafka.Brokers, "sink": sinkConfig.Kafka.Brokers} {
		if want := strings.TrimPrefix(*project.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], "PLAINTEXT://"); !slices.Equal(brokers, []string{want}) {
			t.Errorf("%s dials %v; Kafka is advertised as %s", name, brokers, want)
		}
	}
	for name, listen := range map[string]string{"ingest": ingestConfig.Telemetry.Listen, "enrich": enrichConfig.Telemetry.Listen, "sink": sinkConfig.Telemetry.Listen} {
		if target := name + ":" + listen[strings.LastIndex(listen, ":")+1:]; !slices.Contains(scrape, target) {
			t.Errorf("prometheus does not scrape %s; it scrapes %v", target, scrape)
		}
	}
	for name, c := range map[string]sink.ClickHouseConfig{"sink": sinkConfig.ClickHouse, "migrate": migrateConfig.ClickHouse} {
		if want := "secret " + strings.Replace(c.User, "dwiarah_", "clickhouse_", 1) + "_password"; c.Password.Reveal() != want {
			t.Errorf("%s connects as %s with the %q", name, c.User, c.Password.Reveal())
		}
	}
	if sinkConfig.Migrate {
		t.Error("the sink, whose role makes no tables, is told to migrate")
	}
	for _, path := range []string{ingestConfig.Institutions, sinkConfig.Institutions} {
		if !mounted(project.Services["ingest"], path, "institutions.yaml") || !mounted(project.Services["sink"], path, "institutions.yaml") {
			t.Errorf("institutions.yaml is not mounted at %s", path)
		}
	}
	if _, err := institutions.Load(filepath.Join(deploy, "compose", "institutions.example.yaml")); err != nil {
		t.Error(err)
	}
}

func mounted(service types.ServiceConfig, target, source string) bool {
	return slices.ContainsFunc(service.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == target && filepath.Base(v.Source) == source })
}

func prometheusTargets(t *testing.T) []string {
	t.Helper()
	var file struct {
		ScrapeConfigs []struct {
			StaticConfigs []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, filepath.Join(deploy, "prometheus", "prometheus.yml"), &file)
	var targets []string
	for _, s := range file.ScrapeConfigs {
		for _, c := range s.StaticConfigs {
			targets = append(targets, c.Targets...)
		}
	}
	return targets
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestTopicSpecs: the specs create the topics of the contract, and no text stays in Kafka for more than 72 hours.
func TestTopicSpecs(t *testing.T) {
	var file struct {
		Topics []kafka.TopicSpec `yaml:"topics"`
	}
	readYAML(t, filepath.Join(deploy, "kafka", "topics.yaml"), &file)
	var names []string
	for _, spec := range file.Topics {
		names = append(names, spec.Name)
		// A record goes with its segment, which is up to segment.ms older than the record is.
		kept := milliseconds(t, spec, "retention.ms") + milliseconds(t, spec, "segment.ms")
		if spec.Name != schemas.TopicLedger && kept > 72*time.Hour {
			t.Errorf("%s keeps texts for up to %s; at most 72 h are allowed", spec.Name, kept)
		}
	}
	slices.Sort(names)
	want := []string{schemas.TopicRaw, schemas.TopicEnriched, schemas.TopicDead, schemas.TopicLedger}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("topics.yaml has %v, the contract %v", names, want)
	}
	if !mounted(loadCompose(t).Services["topics"], "/etc/dwiarah/topics.yaml", "topics.yaml") {
		t.Error("the service topics does not mount topics.yaml where its command looks for it")
	}
}

func milliseconds(t *testing.T, spec kafka.TopicSpec, key string) time.Duration {
	t.Helper()
	n, err := strconv.ParseInt(spec.Config[key], 10, 64)
	if err != nil {
		t.Fatalf("%s of %s: %v", key, spec.Name, err)
	}
	return time.Duration(n) * time.Millisecond
}

var environmentVariable = regexp.MustCompile(`\$\{?(DWIARAH_[A-Z_]+)\}?`)

// TestGrafanaVariables: what the provisioned datasource takes from the environment, the compose file sets.
func TestGrafanaVariables(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(deploy, "grafana", "provisioning", "*", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no provisioning files: %v", err)
	}
	grafana := loadCompose(t).Services["grafana"]
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range environmentVariable.FindAllStringSubmatch(string(b), -1) {
			if _, set := grafana.Environment[m[1]]; !set {
				t.Errorf("%s takes %s from the environment, which compose.yaml does not set", filepath.Base(f), m[1])
			}
		}
	}
}
