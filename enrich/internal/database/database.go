// Package database opens ClickHouse for the commands that read messages or write labels. The service itself needs none.
package database

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Config says where ClickHouse is.
type Config struct {
	// URL as clickhouse-go reads it: http://host:8123/database, https://host:8443/database, clickhouse://host:9000/database (with ?secure=true over TLS).
	URL      string        `koanf:"url"`
	User     string        `koanf:"user"`
	Password config.Secret `koanf:"password"`
	// CAFile holds the certificates that a server's is checked against, in PEM; empty for the system's. Only with TLS.
	CAFile string `koanf:"ca_file"`
}

// DefaultConfig returns the defaults: a server on this machine, database dwiarah.
func DefaultConfig() Config { return Config{URL: "http://127.0.0.1:8123/dwiarah", User: "default"} }

// Validate reports every bad value.
func (c Config) Validate(report config.Report) {
	const allowed = "http://host:8123/database, https://host:8443/database or clickhouse://host:9000/database; user and password have keys of their own"
	u, err := url.Parse(c.URL)
	if err != nil || u.User != nil || u.Port() == "" || len(u.Path) < 2 {
		report("url", withoutSecrets(u), allowed)
		return
	}
	o, err := clickhouse.ParseDSN(c.URL)
	if err != nil {
		report("url", withoutSecrets(u), allowed)
		return
	}
	if c.CAFile != "" && o.TLS == nil {
		report("url", withoutSecrets(u), "https:// or ?secure=true, because ca_file is set")
	}
}

// withoutSecrets is what may be printed of an address: a password may stand in it, or in its query. u is nil where it could not be read.
func withoutSecrets(u *url.URL) string {
	if u == nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

const (
	dialTimeout = 5 * time.Second
	readTimeout = 5 * time.Minute
)

// Open returns a pool that has not connected yet. The configuration has passed Validate.
func Open(c Config) (driver.Conn, error) {
	o, err := clickhouse.ParseDSN(c.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the address of ClickHouse: %w", err)
	}
	o.Auth.Username, o.Auth.Password = c.User, c.Password.Reveal()
	o.DialTimeout, o.ReadTimeout, o.MaxOpenConns = dialTimeout, readTimeout, 4
	o.ClientInfo = clickhouse.ClientInfo{Products: []struct{ Name, Version string }{{"dwiarah-enrich", "1"}}}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading ClickHouse's certificates: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading ClickHouse's certificates: %s: %w", c.CAFile, errors.New("no certificate in PEM"))
		}
		if o.TLS == nil {
			o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		o.TLS.RootCAs = pool
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		return nil, fmt.Errorf("opening ClickHouse: %w", err)
	}
	return conn, nil
}
