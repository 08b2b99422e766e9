package kafkatest

import (
	"crypto/tls"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/tlstest"
)

// Secure starts an embedded broker that speaks TLS only, as id, and wants SCRAM-SHA-512. It returns it, and the configuration
// that a service reaches it with.
func Secure(tb testing.TB, id tlstest.Identity) (*kfake.Cluster, kafka.ConnConfig) {
	tb.Helper()
	const user, password = "dwiarah", "correct horse"
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{id.Certificate}, MinVersion: tls.VersionTLS12}),
		kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", user, password))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(cluster.Close)
	return cluster, kafka.ConnConfig{Brokers: cluster.ListenAddrs(), TLS: kafka.TLSConfig{Enabled: true, CA: id.CA},
		SASL: kafka.SASLConfig{Mechanism: "SCRAM-SHA-512", Username: user, Password: config.NewSecret(password)}}
}
