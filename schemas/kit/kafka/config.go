package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// ConnConfig is Conn as a service's configuration has it, to be embedded with the tag ",squash".
type ConnConfig struct {
	Brokers []string   `koanf:"brokers"`
	TLS     TLSConfig  `koanf:"tls"`
	SASL    SASLConfig `koanf:"sasl"`
}

// TLSConfig secures connections. Its zero value is plain text.
type TLSConfig struct {
	Enabled    bool   `koanf:"enabled"`
	CA         string `koanf:"ca"`          // file of the authorities that vouch for the brokers, PEM; empty takes the system's
	Cert       string `koanf:"cert"`        // file of this client's certificate, PEM; empty presents none
	Key        string `koanf:"key"`         // file of its key, PEM
	ServerName string `koanf:"server_name"` // name to check instead of the one that was dialled
	// InsecureSkipVerify takes whoever answers for the broker. It protects against nobody who can answer.
	InsecureSkipVerify bool `koanf:"insecure_skip_verify"`
}

// SASLConfig authenticates the client. Its zero value does not.
type SASLConfig struct {
	Mechanism string        `koanf:"mechanism"` // SCRAM-SHA-512, SCRAM-SHA-256, or PLAIN, which wants TLS; empty for none
	Username  string        `koanf:"username"`
	Password  config.Secret `koanf:"password"`
}

// Validate reports every bad value.
func (c ConnConfig) Validate(report config.Report) {
	if len(c.Brokers) == 0 {
		report("brokers", nil, "host:port of one or more brokers")
	}
	for i, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			report(fmt.Sprintf("brokers[%d]", i), b, "host:port")
		}
	}
	if c.SASL.Mechanism == "PLAIN" && !c.TLS.Enabled {
		report("sasl.mechanism", c.SASL.Mechanism, "SCRAM-SHA-512 or SCRAM-SHA-256, or tls.enabled: PLAIN sends the password as it is")
	}
}

// Validate reports every bad value.
func (c TLSConfig) Validate(report config.Report) {
	if !c.Enabled && c != (TLSConfig{}) {
		report("enabled", c.Enabled, "true, as other keys of tls are set")
	}
	if (c.Cert == "") != (c.Key == "") {
		report("cert", c.Cert, "cert and key together, or neither")
	}
}

// Validate reports every bad value.
func (c SASLConfig) Validate(report config.Report) {
	switch c.Mechanism {
	case "":
		if c.Username != "" || !c.Password.IsZero() {
			report("mechanism", c.Mechanism, "SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN, as a user is set")
		}
		return
	case "SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN":
	default:
		report("mechanism", c.Mechanism, "SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN, or nothing for none")
	}
	if c.Username == "" {
		report("username", c.Username, "the user that the mechanism authenticates")
	}
	if c.Password.IsZero() {
		report("password", c.Password, `"file:PATH" or "env:NAME", which name where the password is`)
	}
}

// Conn reads the files that the configuration names.
func (c ConnConfig) Conn(clientID string) (Conn, error) {
	conn := Conn{Brokers: c.Brokers, ClientID: clientID}
	var err error
	if conn.TLS, err = c.TLS.client(); err != nil {
		return Conn{}, fmt.Errorf("preparing TLS to Kafka: %w", err)
	}
	if conn.SASL, err = c.SASL.mechanism(); err != nil {
		return Conn{}, fmt.Errorf("preparing SASL to Kafka: %w", err)
	}
	return conn, nil
}

func (c TLSConfig) client() (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.InsecureSkipVerify}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the authorities: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading the authorities: %s holds no certificate in PEM", c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the client's certificate: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

func (c SASLConfig) mechanism() (sasl.Mechanism, error) {
	switch c.Mechanism {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Mechanism{Username: c.Username, Password: c.Password.Reveal()}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, c.Username, c.Password.Reveal())
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, c.Username, c.Password.Reveal())
	}
	return nil, errors.New("unknown mechanism " + c.Mechanism)
}

// Ping returns nil when a broker answers: a check of /readyz.
func Ping(ctx context.Context, conn Conn) error {
	client, transport := conn.client()
	defer transport.CloseIdleConnections()
	if _, err := client.Metadata(ctx, &kafkago.MetadataRequest{}); err != nil {
		return fmt.Errorf("asking Kafka: %w", err)
	}
	return nil
}
