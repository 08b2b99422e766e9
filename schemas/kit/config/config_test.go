package config_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

var update = flag.Bool("update", false, "write the golden files")

type service struct {
	Listen string            `koanf:"listen"`
	Level  slog.Level        `koanf:"level"`
	Kafka  broker            `koanf:"kafka"`
	Batch  *batch            `koanf:"batch"`
	Labels map[string]string `koanf:"labels"`
	Inputs []input           `koanf:"inputs"`
	Ratio  float64           `koanf:"ratio"`
	Retry  bool              `koanf:"retry"`
	common `koanf:",squash"`

	//lint:ignore U1000 what has no key is no matter
	state chan int
}

type common struct {
	Zone string `koanf:"zone"`
}

type broker struct {
	Brokers  []string      `koanf:"brokers"`
	Group    string        `koanf:"group"`
	Password config.Secret `koanf:"password"`
}

func (b broker) Validate(report config.Report) {
	if b.Group == "" {
		report("group", b.Group, "a name that no other service uses")
	}
	if len(b.Brokers) == 0 {
		report("brokers", nil, "at least one host:port")
	}
}

type batch struct {
	Records int             `koanf:"records"`
	Bytes   config.Size     `koanf:"bytes"`
	Age     config.Duration `koanf:"age"`
	Workers uint8           `koanf:"workers"`
}

func (b *batch) Validate(report config.Report) {
	if b.Age > config.Duration(time.Minute) {
		report("age", b.Age, "at most 1m")
	}
}

type input struct {
	Platform string        `koanf:"platform"`
	Account  string        `koanf:"account"`
	Token    config.Secret `koanf:"token"`
}

func (i input) Validate(report config.Report) {
	if i.Platform != "mastodon" {
		report("platform", i.Platform, "one of: mastodon")
	}
}

func defaults() *service {
	return &service{
		Listen: "127.0.0.1:9100",
		Kafka:  broker{Brokers: []string{"127.0.0.1:9092"}, Group: "dwiarah-sink"},
		Batch:  &batch{Records: 20_000, Bytes: 32 << 20, Age: config.Duration(time.Second), Workers: 2},
		Labels: map[string]string{"kept": "yes"},
		common: common{Zone: "Asia/Jakarta"},
	}
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var compare = cmp.Options{cmp.AllowUnexported(service{}), cmpopts.IgnoreFields(service{}, "state"), cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b config.Secret) bool { return a.Reveal() == b.Reveal() })}

func TestLoad(t *testing.T) {
	secret := write(t, "password", "correct horse\n")
	path := write(t, "sink.yaml", `
listen: 0.0.0.0:9100
level: warn
kafka:
  group: other
  password: file:`+secret+`
batch:
  records: 1e4
  bytes: 1_000
  age: 1m30s
labels: {added: "2"}
inputs:
  - platform: mastodon
    account: "1"
    token: env:TOKEN
retry: true
ratio: 1
`)
	got := defaults()
	got.Batch.Age = 0
	err := config.Load(path, got, config.WithEnviron([]string{
		"TOKEN=battery staple",
		"DWIARAH_KAFKA__BROKERS=a:1, b:2",
		"DWIARAH_BATCH__AGE=5s",
		"DWIARAH_BATCH__WORKERS=255",
		"DWIARAH_LABELS__ENV=test",
		"DWIARAH_RATIO=0.25",
		"DWIARAH_LISTEN=",        // absent
		"DWIARAH_CRASHPOINT=a.b", // somebody else's
		"DWIARAH_BATCH=no way to write a group",
		"HOME=/root",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := &service{
		Listen: "0.0.0.0:9100", Level: slog.LevelWarn,
		Kafka:  broker{Brokers: []string{"a:1", "b:2"}, Group: "other", Password: config.NewSecret("correct horse")},
		Batch:  &batch{Records: 10_000, Bytes: 1000, Age: config.Duration(5 * time.Second), Workers: 255},
		Labels: map[string]string{"kept": "yes", "added": "2", "env": "test"},
		Inputs: []input{{Platform: "mastodon", Account: "1", Token: config.NewSecret("battery staple")}},
		Ratio:  0.25, Retry: true,
		common: common{Zone: "Asia/Jakarta"},
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDefaultsAlone(t *testing.T) {
	got := defaults()
	if err := config.Load("", got, config.WithEnviron(nil)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaults(), got, compare); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Every mistake of a file and of the environment, in one error.
func TestAllMistakesAtOnce(t *testing.T) {
	t.Chdir("testdata") // so that the error names the file as a user would
	err := config.Load("mistakes.yaml", defaults(), config.WithEnviron([]string{
		"DWIARAH_BATCH__WORKERS=256",
		"DWIARAH_BATCH__BYTES=big",
		"DWIARAH_KAFKA__GRUOP=x",
		"DWIARAH_LISTN=x",
		"DWIARAH_RETRY=yes",
		"DWIARAH_RATIO=NaN",
		"EMPTY=",
	}))
	if err == nil {
		t.Fatal("no error")
	}
	got := err.Error() + "\n"
	if strings.Contains(got, "hunter2") {
		t.Errorf("the error shows a secret:\n%s", got)
	}
	if *update {
		if err := os.WriteFile("mistakes.golden", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("mistakes.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := len(config.Problems(fmt.Errorf("starting: %w", config.Load("mistakes.yaml", defaults())))); n < 10 {
		t.Errorf("%d problems", n)
	}
}

func TestUnreadableFiles(t *testing.T) {
	for _, c := range []struct{ name, path, want string }{
		{"missing", "/nonexistent/sink.yaml", "/nonexistent/sink.yaml: no such file"},
		{"no YAML", write(t, "a.yaml", "kafka: [unclosed\n"), "a.yaml: yaml: line"},
		{"a list", write(t, "b.yaml", "- a\n"), "b.yaml"},
		{"key twice", write(t, "c.yaml", "listen: a\nlisten: b\n"), "line 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := config.Load(c.path, defaults(), config.WithEnviron(nil))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to contain %q", err, c.want)
			}
		})
	}
}

func TestTypesThatCannotBeFilled(t *testing.T) {
	for _, c := range []struct {
		into any
		want string
	}{
		{service{}, "want a pointer to a struct"},
		{new(int), "want a pointer to a struct"},
		{&struct {
			Wait time.Duration `koanf:"wait"`
		}{}, "field wait is a time.Duration; make it a config.Duration"},
		{&struct {
			A struct {
				F func() `koanf:"f"`
			} `koanf:"a"`
		}{}, "field a.f is of type func()"},
		{&struct {
			M map[int]string `koanf:"m"`
		}{}, "field m is a map with keys of type int"},
	} {
		if err := config.Load("", c.into); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T: got %v, want %q", c.into, err, c.want)
		}
	}
}

// Zoned is squashed into structs that have a Validate of their own, or none.
type Zoned struct {
	Zone string `koanf:"zone"`
}

func (z Zoned) Validate(report config.Report) {
	if z.Zone == "" {
		report("zone", z.Zone, "a time zone")
	}
}

type ownOpinion struct {
	Zoned `koanf:",squash"`
	Name  string `koanf:"name"`
}

func (o ownOpinion) Validate(report config.Report) {
	if o.Name == "" {
		report("name", o.Name, "a name")
	}
}

func TestSquashedStructsAreValidatedOnce(t *testing.T) {
	var promoted struct {
		Inner struct {
			Zoned `koanf:",squash"`
		} `koanf:"inner"`
	}
	for _, c := range []struct {
		into any
		want string
	}{
		{&promoted, "inner.zone"},
		{&ownOpinion{}, "name zone"},
	} {
		var got []string
		for _, p := range config.Problems(config.Load("", c.into, config.WithEnviron(nil))) {
			got = append(got, p.Key)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestPrefix(t *testing.T) {
	got := defaults()
	if err := config.Load("", got, config.WithPrefix("DWIARAH_SINK_"), config.WithEnviron([]string{"DWIARAH_SINK_LISTEN=a", "DWIARAH_ZONE=b"})); err != nil {
		t.Fatal(err)
	}
	if got.Listen != "a" || got.Zone != "Asia/Jakarta" {
		t.Errorf("got listen %q, zone %q", got.Listen, got.Zone)
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	const hidden = "hunter2"
	s := config.NewSecret(hidden)
	type holder struct {
		Open   config.Secret
		closed config.Secret
		many   []config.Secret
		byName map[string]*config.Secret
	}
	h := holder{s, s, []config.Secret{s}, map[string]*config.Secret{"a": &s}}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "secret", s, "holder", h)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "secret", s, "holder", h, "pointer", &h)
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	dump, err := config.Dump(&struct {
		A config.Secret `koanf:"a"`
	}{s})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprint(h), fmt.Sprint(&h), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s),
		fmt.Sprintf("%v %+v %#v", h, h, h), fmt.Sprintf("%+v", &h), log.String(), string(text), string(dump), fmt.Errorf("x: %v", h).Error()} {
		if strings.Contains(shown, hidden) || strings.Contains(shown, fmt.Sprintf("%x", hidden)) {
			t.Errorf("the secret shows in %s", shown)
		}
	}
	if s.Reveal() != hidden {
		t.Error("the secret is gone")
	}
	if (config.Secret{}).String() != "" || !(config.Secret{}).IsZero() || (config.Secret{}).Reveal() != "" {
		t.Error("no secret looks like one")
	}
}

func TestDumpLoads(t *testing.T) {
	path, file := write(t, "secret", "s3"), write(t, "dump.yaml", "")
	word := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "true", "1.10", "007", "null", "~", "2026-01-01", "a: b", "#", "x\ny", " ", "yes", "0x1f", "1e3", "- a", "&a", "*a", "!t"}))
	rapid.Check(t, func(t *rapid.T) {
		in := &service{
			Listen: word.Draw(t, "listen"),
			Level:  slog.Level(rapid.IntRange(-8, 12).Draw(t, "level")),
			Kafka:  broker{Brokers: rapid.SliceOfN(word, 1, 3).Draw(t, "brokers"), Group: "g" + word.Draw(t, "group")},
			Batch: &batch{Records: rapid.Int().Draw(t, "records"), Bytes: config.Size(rapid.Int64Min(0).Draw(t, "bytes")),
				Age: config.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "age")), Workers: rapid.Uint8().Draw(t, "workers")},
			Labels: rapid.MapOf(rapid.StringMatching(`[a-z][a-z0-9_.]*`), word).Draw(t, "labels"),
			Ratio:  rapid.Float64Range(-1e300, 1e300).Draw(t, "ratio") + 0, // -0 is written as 0
			Retry:  rapid.Bool().Draw(t, "retry"),
			common: common{Zone: word.Draw(t, "zone")},
		}
		text, err := config.Dump(in)
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.Replace(string(text), "  password: \"\"\n", "  password: file:"+path+"\n", 1))
		in.Kafka.Password = config.NewSecret("s3")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		out := &service{}
		if err := config.Load(file, out, config.WithEnviron(nil)); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(in, out, compare); diff != "" {
			t.Fatalf("-in +out:\n%s\n%s", diff, text)
		}
		again, err := config.Dump(out)
		if err != nil || string(again) != string(text) {
			t.Fatalf("dumping again: %v\n%s\nwas\n%s", err, again, text)
		}
	})
}

func TestDurationAndSize(t *testing.T) {
	for text, want := range map[string]time.Duration{"1m": time.Minute, "72h": 72 * time.Hour, "1m30s": 90 * time.Second, "5ms": 5 * time.Millisecond, "0": 0} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.Std() != want {
			t.Errorf("%s: got %v, %v", text, d, err)
		}
	}
	for d, want := range map[time.Duration]string{time.Minute: "1m", 72 * time.Hour: "72h", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", 0: "0s", time.Hour + time.Second: "1h0m1s"} {
		if got := config.Duration(d).String(); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
	for text, want := range map[string]config.Size{"1000": 1000, "512KiB": 512 << 10, "32 MiB": 32 << 20, "1GB": 1e9, "7B": 7, "2kB": 2000, "0": 0} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: got %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5MiB", "MiB", "9999999999GiB", "1mib", "1 2", "1TB"} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for the size %d", text, s)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"", "a: b", "kafka: {group: 1}", "inputs: [{platform: x}]", "batch: null", "<<: *a", "? [a]\n: b", "\x00"} {
		f.Add(seed)
	}
	path := filepath.Join(f.TempDir(), "fuzz.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = config.Load(path, defaults(), config.WithEnviron(nil)) // whatever it says, it must not panic
	})
}

type inner struct {
	Limit int             `koanf:"limit"`
	Token config.Secret   `koanf:"token"`
	Every config.Duration `koanf:"every"`
}

func (i inner) Validate(report config.Report) {
	if i.Limit > 10 {
		report("limit", i.Limit, "at most 10")
	}
}

// TestGroup: a group is kept as it is written, and decoded as strictly as the rest by whoever knows it.
func TestGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("own: {limit: 20, token: geheim, lmit: 1, every: soon}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Own config.Group `koanf:"own"`
	}
	if err := config.Load(path, &got); err != nil {
		t.Fatal(err)
	}
	settings := inner{Limit: 1}
	var lines []string
	got.Own.Decode(&settings, func(key string, value any, allowed string) {
		lines = append(lines, fmt.Sprintf("%s: %v: %s", key, value, allowed))
	})
	all := strings.Join(lines, "\n")
	for _, part := range []string{"limit: 20: at most 10", "lmit: unknown: did you mean limit?", "every: \"soon\"", "token: : \"file:PATH\""} {
		if !strings.Contains(all, part) {
			t.Errorf("%q is not in\n%s", part, all)
		}
	}
	if strings.Contains(all, "geheim") || len(lines) != 4 {
		t.Errorf("%d lines\n%s", len(lines), all)
	}
}
