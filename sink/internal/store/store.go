// Package store writes rows to ClickHouse: over its native protocol or over HTTP, to a server or to the embedded engine, by the same code. What it
// cannot get in now it tries again with the same rows; what the store will never take it isolates; everything else is somebody's to repair, and stops.
package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// Config says where ClickHouse is and how to speak to it.
type Config struct {
	// Addresses of one or more replicas, all of one scheme: clickhouse://host:9000 (native), clickhouses://host:9440 (native over TLS),
	// http://host:8123 or https://host:8443.
	Addresses []string      `koanf:"addresses"`
	Database  string        `koanf:"database"`
	User      string        `koanf:"user"`
	Password  config.Secret `koanf:"password"`
	// Cluster is the name of the ClickHouse cluster whose tables sink migrate --cluster has made; empty for a single node.
	Cluster string `koanf:"cluster"`
	// CAFile holds the certificates that a server's is checked against, in PEM; empty for the system's. Only with TLS.
	CAFile string `koanf:"ca_file"`
	// InsecureSkipVerify takes any certificate.
	InsecureSkipVerify bool `koanf:"insecure_skip_verify"`
	// DialTimeout bounds the way to a connection, AttemptTimeout one INSERT: after it the same rows are sent again.
	DialTimeout    config.Duration `koanf:"dial_timeout"`
	AttemptTimeout config.Duration `koanf:"attempt_timeout"`
	// RetryFirst and RetryMost bound the pause between two attempts; it doubles from the one to the other.
	RetryFirst config.Duration `koanf:"retry_first"`
	RetryMost  config.Duration `koanf:"retry_most"`
}

// DefaultConfig returns the defaults: a server on this machine, database dwiarah.
func DefaultConfig() Config {
	return Config{
		Addresses: []string{"http://127.0.0.1:8123"}, Database: "dwiarah", User: "default",
		DialTimeout: config.Duration(5 * time.Second), AttemptTimeout: config.Duration(2 * time.Minute),
		RetryFirst: config.Duration(200 * time.Millisecond), RetryMost: config.Duration(15 * time.Second),
	}
}

// Patient is the same store for statements that rewrite whole tables: each may take an hour.
func (c Config) Patient() Config {
	c.AttemptTimeout = max(c.AttemptTimeout, config.Duration(time.Hour))
	return c
}

// schemes by name: the protocol, and whether it runs over TLS.
var schemes = map[string]struct {
	protocol clickhouse.Protocol
	tls      bool
}{
	"clickhouse":  {clickhouse.Native, false},
	"clickhouses": {clickhouse.Native, true},
	"http":        {clickhouse.HTTP, false},
	"https":       {clickhouse.HTTP, true},
}

// Validate reports every bad value.
func (c Config) Validate(report config.Report) {
	if len(c.Addresses) == 0 {
		report("addresses", "", "one or more of clickhouse://host:9000, clickhouses://host:9440, http://host:8123, https://host:8443")
	}
	var first string
	for n, address := range c.Addresses {
		key := fmt.Sprintf("addresses[%d]", n)
		scheme, _, err := splitAddress(address)
		if err != nil {
			report(key, address, err.Error())
			continue
		}
		if first == "" {
			first = scheme
		}
		if scheme != first {
			report(key, address, "the scheme of the first address, "+first)
		}
	}
	if c.Database == "" {
		report("database", "", "the database's name, as dwiarah")
	}
	if !clusterName.MatchString(c.Cluster) {
		report("cluster", c.Cluster, "letters, digits and _, or empty")
	}
	if (c.CAFile != "" || c.InsecureSkipVerify) && first != "" && !schemes[first].tls {
		report("addresses", c.Addresses[0], "clickhouses:// or https://, because ca_file or insecure_skip_verify is set")
	}
	for _, d := range []struct {
		key   string
		value config.Duration
	}{{"dial_timeout", c.DialTimeout}, {"attempt_timeout", c.AttemptTimeout}, {"retry_first", c.RetryFirst}, {"retry_most", c.RetryMost}} {
		if d.value <= 0 {
			report(d.key, d.value.Std().String(), "a duration above 0")
		}
	}
	if c.RetryMost < c.RetryFirst {
		report("retry_most", c.RetryMost.Std().String(), "at least retry_first, "+c.RetryFirst.Std().String())
	}
}

var clusterName = regexp.MustCompile(`^[A-Za-z0-9_]*$`)

// splitAddress returns an address's scheme and host:port. Its error says what is allowed.
func splitAddress(address string) (scheme, host string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Port() == "" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
		return "", "", errors.New("scheme://host:port and nothing else; user, password and database have keys of their own")
	}
	if _, known := schemes[u.Scheme]; !known {
		return "", "", errors.New("a scheme of clickhouse, clickhouses, http, https")
	}
	return u.Scheme, u.Host, nil
}

// Store is a pool of connections to ClickHouse. It is safe for concurrent use.
type Store struct {
	conn    driver.Conn
	config  Config
	attempt time.Duration
}

// Open returns a store that has not connected yet. The configuration has passed Validate.
func Open(cfg Config) (*Store, error) {
	options := &clickhouse.Options{
		Auth:        clickhouse.Auth{Database: cfg.Database, Username: cfg.User, Password: cfg.Password.Reveal()},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		DialTimeout: cfg.DialTimeout.Std(),
		// A read may take as long as the whole attempt; the attempt's own deadline ends it.
		ReadTimeout:      cfg.AttemptTimeout.Std(),
		MaxOpenConns:     8,
		MaxIdleConns:     2,
		ConnMaxLifetime:  time.Hour,
		ConnOpenStrategy: clickhouse.ConnOpenRoundRobin,
		ClientInfo:       clickhouse.ClientInfo{Products: []struct{ Name, Version string }{{"dwiarah-sink", "1"}}},
	}
	for n, address := range cfg.Addresses {
		scheme, host, err := splitAddress(address)
		if err != nil {
			return nil, fmt.Errorf("reading ClickHouse's address %d: %w", n, err)
		}
		options.Addr = append(options.Addr, host)
		options.Protocol = schemes[scheme].protocol
		if schemes[scheme].tls && options.TLS == nil {
			if options.TLS, err = tlsConfig(cfg); err != nil {
				return nil, err
			}
		}
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, fmt.Errorf("opening ClickHouse at %s: %w", strings.Join(cfg.Addresses, ", "), err)
	}
	return &Store{conn: conn, config: cfg, attempt: cfg.AttemptTimeout.Std()}, nil
}

func tlsConfig(cfg Config) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: cfg.InsecureSkipVerify}
	if cfg.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading ClickHouse's certificates: %w", err)
	}
	if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading ClickHouse's certificates: %s holds no certificate in PEM", cfg.CAFile)
	}
	return c, nil
}

// Conn is the connection pool, for whoever queries, migrates or administers.
func (s *Store) Conn() driver.Conn { return s.conn }

// Addresses names the store in messages; it holds no secret.
func (s *Store) Addresses() string { return strings.Join(slices.Clone(s.config.Addresses), ", ") }

// Database is the name of the database.
func (s *Store) Database() string { return s.config.Database }

// Altered is how ALTER TABLE names a table of messages: on a cluster the Distributed one has no data, and each shard changes its own.
func (s *Store) Altered(table string) string {
	if s.config.Cluster == "" {
		return table
	}
	return table + "_local ON CLUSTER " + s.config.Cluster
}

// System is where a system table has the rows of all nodes.
func (s *Store) System(table string) string {
	if s.config.Cluster == "" {
		return "system." + table
	}
	return "clusterAllReplicas(" + s.config.Cluster + ", system." + table + ")"
}

// Ping asks for a sign of life.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.conn.Ping(ctx); err != nil {
		return fmt.Errorf("asking ClickHouse at %s for a sign of life: %w", s.Addresses(), err)
	}
	return nil
}

// Close releases the connections.
func (s *Store) Close() error {
	if err := s.conn.Close(); err != nil {
		return fmt.Errorf("closing ClickHouse: %w", err)
	}
	return nil
}
