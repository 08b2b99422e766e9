// Package mail sends reports by SMTP.
package mail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	netmail "net/mail"
	"os"
	"slices"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/sink/internal/report/page"
)

// Ways to protect a connection.
const (
	// StartTLS demands STARTTLS and fails where the server does not offer it.
	StartTLS = "starttls"
	// Implicit speaks TLS from the first byte.
	Implicit = "implicit"
	// None sends in the clear, without a user; for a relay on the same machine.
	None = "none"
)

// Config says how to reach the mail server.
type Config struct {
	Host string `koanf:"host"`
	Port int    `koanf:"port"`
	// TLS is starttls, implicit or none.
	TLS string `koanf:"tls"`
	// CAFile holds the certificates that the server's is checked against, in PEM; empty for the system's.
	CAFile   string          `koanf:"ca_file"`
	User     string          `koanf:"user"`
	Password config.Secret   `koanf:"password"`
	From     string          `koanf:"from"`
	Timeout  config.Duration `koanf:"timeout"` // of one mail, from dialling to the server's last word
}

// DefaultConfig returns the defaults: submission with STARTTLS.
func DefaultConfig() Config {
	return Config{Port: 587, TLS: StartTLS, Timeout: config.Duration(time.Minute)}
}

// Check reports every bad value. It is no Validate, which would be asked for every configuration: a mail server is needed only where a report has recipients.
func (c Config) Check(report config.Report) {
	if c.Host == "" {
		report("host", "", "the mail server's name, because a report has recipients")
	}
	if c.Port < 1 || c.Port > 65535 {
		report("port", c.Port, "1 to 65535; 587 for starttls and 465 for implicit are usual")
	}
	if !slices.Contains([]string{StartTLS, Implicit, None}, c.TLS) {
		report("tls", c.TLS, "one of starttls, implicit, none")
	}
	if c.TLS == None && c.User != "" {
		report("tls", c.TLS, "starttls or implicit, because user is set: a password never travels in the clear")
	}
	if c.TLS == None && c.CAFile != "" {
		report("tls", c.TLS, "starttls or implicit, because ca_file is set")
	}
	if (c.User == "") != c.Password.IsZero() {
		report("user", c.User, "a user together with a password, or neither")
	}
	if err := CheckAddress(c.From); err != nil {
		report("from", c.From, "a mail address, as laporan@instansi.go.id")
	}
	if c.Timeout <= 0 {
		report("timeout", c.Timeout.Std().String(), "a duration above 0")
	}
}

// CheckAddress tells whether s is a bare mail address.
func CheckAddress(s string) error {
	a, err := netmail.ParseAddress(s)
	if err != nil {
		return fmt.Errorf("address %q: %w", s, err)
	}
	if a.Address != s {
		return fmt.Errorf("address %q: only the bare address %s", s, a.Address)
	}
	return nil
}

// Sender sends mails. It holds no connection between them.
type Sender struct {
	config Config
	tls    *tls.Config
}

// NewSender returns a sender. The configuration has passed Check; the error is about its CA file.
func NewSender(c Config) (*Sender, error) {
	s := &Sender{config: c, tls: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.Host}}
	if c.CAFile == "" {
		return s, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the mail server's certificates: %w", err)
	}
	if s.tls.RootCAs = x509.NewCertPool(); !s.tls.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the mail server's certificates: %s holds no certificate in PEM", c.CAFile)
	}
	return s, nil
}

// Mail is one report for some people.
type Mail struct {
	ID   string // see ID
	To   []string
	Stem string // the attachments' name without a suffix
	Date time.Time
	*page.Document
}

// ID names a mail by what it holds and whom it goes to, and says nothing of either. The same report for the same people has the same ID, so that a mail program that
// gets it twice, because the sender died before it could note the sending, can tell.
func ID(stem string, to []string) string {
	sorted := slices.Sorted(slices.Values(to))
	sum := sha256.Sum256([]byte(stem + "\x00" + strings.Join(sorted, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// lastWord is how long a mail that is on its way may still take when ctx ends: a connection that is given up between the mail and the server's answer leaves
// open whether it was taken.
const lastWord = 3 * time.Second

// Send returns nil when the server has taken the mail for every recipient. Errors hold no address. After ctx has ended it waits no longer than lastWord; the
// library looks at ctx only while it dials, and what it is doing then ends with the configured timeout.
func (s *Sender) Send(ctx context.Context, m Mail) error {
	sent := make(chan error, 1)
	go func() { sent <- s.send(ctx, m) }()
	var err error
	select {
	case err = <-sent:
	case <-ctx.Done():
		select {
		case err = <-sent:
		case <-time.After(lastWord):
			err = ctx.Err()
		}
	}
	if err != nil {
		return fmt.Errorf("sending the mail %s: %w", m.ID, &redactedError{err: err, addresses: append(slices.Clone(m.To), s.config.From)})
	}
	return nil
}

func (s *Sender) send(ctx context.Context, m Mail) error {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(s.config.From), msg.To(m.To...)); err != nil {
		return err
	}
	_, domain, _ := strings.Cut(s.config.From, "@")
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	msg.SetDateWithValue(m.Date)
	msg.Subject(m.Subject)
	// Programs that answer mail by themselves shall leave this one alone.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, string(m.Text))
	msg.AddAlternativeString(gomail.TypeTextHTML, string(m.MailHTML))
	for _, image := range m.Images {
		name := image.Name + ".png"
		if err := msg.EmbedReader(name, bytes.NewReader(image.PNG), gomail.WithFileContentID("<"+name+">"), gomail.WithFileContentType("image/png")); err != nil {
			return err
		}
	}
	for _, file := range []struct {
		name, kind string
		data       []byte
	}{{m.Stem + ".html", "text/html", m.HTML}, {m.Stem + ".csv", "text/csv", m.CSV}} {
		if err := msg.AttachReader(file.name, bytes.NewReader(file.data), gomail.WithFileContentType(gomail.ContentType(file.kind))); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout.Std())
	defer cancel()
	client, err := gomail.NewClient(s.config.Host, s.options()...)
	if err != nil {
		return err
	}
	connection, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return err
	}
	err = client.SendWithSMTPClient(connection, msg)
	// Once the server has taken the mail, a goodbye that goes wrong must not have it sent again.
	closed := client.CloseWithSMTPClient(connection)
	if msg.IsDelivered() {
		return nil
	}
	return errors.Join(err, closed)
}

func (s *Sender) options() []gomail.Option {
	options := []gomail.Option{gomail.WithPort(s.config.Port), gomail.WithTimeout(s.config.Timeout.Std()), gomail.WithTLSConfig(s.tls)}
	switch s.config.TLS {
	case StartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case Implicit:
		options = append(options, gomail.WithSSL())
	case None:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if s.config.User != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(s.config.User), gomail.WithPassword(s.config.Password.Reveal()))
	}
	return options
}

// redactedError keeps addresses out of logs and of the run log: servers like to repeat them.
type redactedError struct {
	err       error
	addresses []string
}

func (e *redactedError) Error() string {
	text := e.err.Error()
	for _, a := range e.addresses {
		text = strings.ReplaceAll(text, a, "[address]")
	}
	return text
}

func (e *redactedError) Unwrap() error { return e.err }
