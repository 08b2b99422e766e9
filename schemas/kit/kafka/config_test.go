package kafka_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/schemas/kit/tlstest"
)

var _ kafka.Progress = (*telemetry.Progress)(nil)

func TestConnConfigMistakes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"defaults", "", ""},
		{"secured", "tls: {enabled: true, ca: x}\nsasl: {mechanism: SCRAM-SHA-512, username: u, password: env:P}", ""},
		{"no broker", "brokers: []", "brokers"},
		{"no port", "brokers: [a, b:1, c]", "brokers[0] brokers[2]"},
		{"plain without TLS", "sasl: {mechanism: PLAIN, username: u, password: env:P}", "sasl.mechanism"},
		{"unknown mechanism", "sasl: {mechanism: KERBEROS, username: u, password: env:P}", "sasl.mechanism"},
		{"no user", "sasl: {mechanism: SCRAM-SHA-256}", "sasl.password sasl.username"},
		{"no mechanism", "sasl: {username: u}", "sasl.mechanism"},
		{"TLS not enabled", "tls: {insecure_skip_verify: true}", "tls.enabled"},
		{"half a pair", "tls: {enabled: true, cert: x}", "tls.cert"},
		{"password inline", "sasl: {mechanism: SCRAM-SHA-256, username: u, password: hunter2}", "sasl.password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			into := struct {
				kafka.ConnConfig `koanf:",squash"`
			}{kafka.ConnConfig{Brokers: []string{"127.0.0.1:9092"}}}
			err := config.Load(path, &into, config.WithEnviron([]string{"P=hunter2"}))
			var got []string
			for _, p := range config.Problems(err) {
				got = append(got, p.Key)
			}
			if diff := cmp.Diff(strings.Fields(c.want), strings.Fields(strings.Join(got, " "))); diff != "" || err != nil && len(got) == 0 {
				t.Errorf("%v; -want +got:\n%s", err, diff)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password shows in %v", err)
			}
		})
	}
}

func TestConn(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := tlstest.NewIdentity(t, time.Now().Add(time.Hour)).CA
	conn, err := kafka.ConnConfig{Brokers: []string{"a:1"}, TLS: kafka.TLSConfig{Enabled: true, CA: ca, ServerName: "kafka"},
		SASL: kafka.SASLConfig{Mechanism: "SCRAM-SHA-512", Username: "u", Password: config.NewSecret("p")}}.Conn("dwiarah-sink")
	if err != nil || conn.ClientID != "dwiarah-sink" || conn.TLS == nil || conn.TLS.RootCAs == nil || conn.TLS.InsecureSkipVerify || conn.TLS.ServerName != "kafka" ||
		conn.SASL == nil || conn.SASL.Name() != "SCRAM-SHA-512" {
		t.Errorf("got %+v, %v", conn, err)
	}
	conn, err = kafka.ConnConfig{Brokers: []string{"a:1"}}.Conn("x")
	if err != nil || conn.TLS != nil || conn.SASL != nil {
		t.Errorf("plain text: got %+v, %v", conn, err)
	}
	for want, bad := range map[string]kafka.TLSConfig{
		"no such file":        {Enabled: true, CA: filepath.Join(dir, "none")},
		"no certificate in":   {Enabled: true, CA: file("text", []byte("hello"))},
		"client's certificat": {Enabled: true, Cert: ca, Key: ca},
	} {
		if _, err := (kafka.ConnConfig{TLS: bad}).Conn("x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	if err := kafka.Ping(within(t), kafkatest.Shared(t).Conn); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := kafka.Ping(ctx, kafka.Conn{Brokers: []string{"127.0.0.1:1"}}); err == nil {
		t.Error("nobody answers")
	}
}
