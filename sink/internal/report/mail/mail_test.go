package mail_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/sink/internal/report/mail"
	"github.com/dwiarah/dwiarah/sink/internal/report/page"
)

const password = "kata-sandi-uji"

// server is a mail server on loopback that speaks the protocol and keeps what it takes.
type server struct {
	port   int
	caFile string

	mu     sync.Mutex
	taken  []letter
	users  []string
	refuse func(to string) error
	silent chan struct{} // when set, the server reads a mail and answers only after this is closed
	secure []bool        // whether each mail came over TLS
}

type letter struct {
	from string
	to   []string
	data []byte
}

type session struct {
	s      *server
	c      *smtp.Conn
	letter letter
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, pass string) error {
		if user != "laporan" || pass != password {
			return smtp.ErrAuthFailed
		}
		s.s.mu.Lock()
		defer s.s.mu.Unlock()
		s.s.users = append(s.s.users, user)
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.letter = letter{from: from}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	if s.s.refuse != nil {
		if err := s.s.refuse(to); err != nil {
			return err
		}
	}
	s.letter.to = append(s.letter.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.s.silent != nil {
		<-s.s.silent
		return errors.New("too late")
	}
	s.letter.data = b
	_, secure := s.c.TLSConnectionState()
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	s.s.taken = append(s.s.taken, s.letter)
	s.s.secure = append(s.s.secure, secure)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// start runs a server. mode is one of mail's ways to protect a connection; with mail.None it does not even know STARTTLS.
func start(t *testing.T, mode string) *server {
	t.Helper()
	s := &server{}
	certificate, ca := selfSigned(t)
	s.caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.caFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	backend := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{s: s, c: c}, nil }))
	backend.Domain = "mail.instansi.example"
	backend.ErrorLog = discard{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	secrets := &tls.Config{Certificates: []tls.Certificate{certificate}}
	switch mode {
	case mail.StartTLS:
		backend.TLSConfig = secrets
	case mail.Implicit:
		l = tls.NewListener(l, secrets)
	}
	done := make(chan error, 1)
	go func() { done <- backend.Serve(l) }()
	t.Cleanup(func() {
		// A server that has not come to serve yet does not know its listener: closing that too ends it in any order.
		if err := errors.Join(backend.Close(), ended(l.Close())); err != nil {
			t.Error(err)
		}
		<-done
	})
	return s
}

// ended is err unless it says that the listener was closed already.
func ended(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

func selfSigned(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func configuration(t *testing.T, s *server, mode string) mail.Config {
	t.Helper()
	c := mail.DefaultConfig()
	c.Host, c.Port, c.TLS, c.From, c.Timeout = "127.0.0.1", s.port, mode, "laporan@instansi.example", config.Duration(20*time.Second)
	if mode != mail.None {
		c.CAFile = s.caFile
	}
	return c
}

func authenticated(t *testing.T, c mail.Config, word string) mail.Config {
	t.Helper()
	var loaded struct {
		Password config.Secret `koanf:"password"`
	}
	if err := config.Load("", &loaded, config.WithEnviron([]string{"DWIARAH_PASSWORD=env:SMTP_PASSWORD", "SMTP_PASSWORD=" + word})); err != nil {
		t.Fatal(err)
	}
	c.User, c.Password = "laporan", loaded.Password
	return c
}

func report() mail.Mail {
	to := []string{"humas@instansi.example", "kepala@instansi.example"}
	return mail.Mail{
		ID: mail.ID("weekly-x-2026-W10", to), To: to, Stem: "weekly-x-2026-W10", Date: time.Date(2026, 3, 9, 0, 0, 4, 0, time.UTC),
		Document: &page.Document{
			Subject: "Dinas X: 48% permintaan publik dijawab — pekan 10", HTML: []byte("<p>halaman</p>"), CSV: []byte("a,b\r\n"), Text: []byte("Ringkasan: 48%\n.\nakhir\n"),
			MailHTML: []byte(`<img src="cid:volume.png">`), Images: []page.Image{{Name: "volume", PNG: []byte("\x89PNG...")}},
		},
	}
}

func send(t *testing.T, c mail.Config, m mail.Mail) error {
	t.Helper()
	s, err := mail.NewSender(c)
	if err != nil {
		t.Fatal(err)
	}
	return s.Send(t.Context(), m)
}

// parts flattens a mail into its leaves, by content type and name.
func parts(t *testing.T, header map[string][]string, body io.Reader, into map[string]string) {
	t.Helper()
	get := func(key string) string {
		if v := header[key]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	kind, params, err := mime.ParseMediaType(get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			parts(t, p.Header, p, into)
		}
	}
	switch get("Content-Transfer-Encoding") {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	_, disposition, _ := mime.ParseMediaType(get("Content-Disposition"))
	into[strings.TrimSpace(kind+" "+disposition["filename"]+" "+get("Content-Id"))] = string(b)
}

func TestAMailArrives(t *testing.T) {
	for _, mode := range []string{mail.StartTLS, mail.Implicit, mail.None} {
		t.Run(mode, func(t *testing.T) {
			s := start(t, mode)
			c := configuration(t, s, mode)
			if mode != mail.None {
				c = authenticated(t, c, password)
			}
			if err := send(t, c, report()); err != nil {
				t.Fatal(err)
			}
			secure := mode != mail.None
			if len(s.taken) != 1 || s.secure[0] != secure || slices.Contains(s.users, "laporan") != secure {
				t.Fatalf("%d mails, over TLS %v, users %v", len(s.taken), s.secure, s.users)
			}
			l := s.taken[0]
			if l.from != "laporan@instansi.example" || !slices.Equal(l.to, report().To) {
				t.Errorf("from %s to %v", l.from, l.to)
			}
			m, err := netmail.ReadMessage(bytes.NewReader(l.data))
			if err != nil {
				t.Fatal(err)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil || subject != report().Subject {
				t.Errorf("subject %q, %v", subject, err)
			}
			if got, want := m.Header.Get("Message-Id"), "<"+report().ID+"@instansi.example>"; got != want {
				t.Errorf("Message-ID %s, want %s", got, want)
			}
			got := map[string]string{}
			parts(t, m.Header, m.Body, got)
			want := map[string]string{
				"text/plain": "Ringkasan: 48%\r\n.\r\nakhir\r\n", "text/html": `<img src="cid:volume.png">`,
				"image/png volume.png <volume.png>": "\x89PNG...", "text/html weekly-x-2026-W10.html": "<p>halaman</p>", "text/csv weekly-x-2026-W10.csv": "a,b\r\n",
			}
			for name, text := range want {
				if strings.ReplaceAll(got[name], "\r\n", "\n") != strings.ReplaceAll(text, "\r\n", "\n") {
					t.Errorf("part %q is %q, want %q", name, got[name], text)
				}
			}
			if len(got) != len(want) {
				t.Errorf("parts: %q", got)
			}
		})
	}
}

func TestNothingTravelsInTheClear(t *testing.T) {
	t.Run("a server without STARTTLS", func(t *testing.T) {
		s := start(t, mail.None)
		if err := send(t, authenticated(t, configuration(t, s, mail.StartTLS), password), report()); err == nil || len(s.taken)+len(s.users) != 0 {
			t.Errorf("error %v; %d mails", err, len(s.taken))
		}
	})
	t.Run("a certificate of nobody", func(t *testing.T) {
		s := start(t, mail.StartTLS)
		c := authenticated(t, configuration(t, s, mail.StartTLS), password)
		c.CAFile = ""
		if err := send(t, c, report()); err == nil || len(s.taken)+len(s.users) != 0 {
			t.Errorf("error %v; %d mails", err, len(s.taken))
		}
	})
}

func TestErrorsHoldNoSecretAndNoAddress(t *testing.T) {
	s := start(t, mail.StartTLS)
	s.refuse = func(to string) error {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no mailbox " + to}
	}
	for name, c := range map[string]mail.Config{
		"refused recipient": authenticated(t, configuration(t, s, mail.StartTLS), password),
		"refused password":  authenticated(t, configuration(t, s, mail.StartTLS), "salah-"+password),
		"nobody there":      func() mail.Config { c := configuration(t, s, mail.None); c.Port = 1; return c }(),
	} {
		err := send(t, c, report())
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, secret := range append(report().To, password, c.From) {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error holds %q: %v", name, secret, err)
			}
		}
	}
	if len(s.taken) > 0 {
		t.Errorf("%d mails were taken", len(s.taken))
	}
}

func TestOneRefusedRecipientFailsTheMail(t *testing.T) {
	s := start(t, mail.StartTLS)
	s.refuse = func(to string) error {
		if strings.HasPrefix(to, "kepala@") {
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "mailbox busy"}
		}
		return nil
	}
	if err := send(t, configuration(t, s, mail.StartTLS), report()); err == nil || len(s.taken) != 0 {
		t.Errorf("error %v; %d mails were taken", err, len(s.taken))
	}
}

func TestAServerThatSaysNothingIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := mail.DefaultConfig()
	c.Host, c.Port, c.From, c.Timeout = "127.0.0.1", l.Addr().(*net.TCPAddr).Port, "laporan@instansi.example", config.Duration(50*time.Millisecond)
	if err := send(t, c, report()); err == nil {
		t.Error("no error")
	}
}

func TestSubjectsStayOneLine(t *testing.T) {
	s := start(t, mail.None)
	m := report()
	m.Document.Subject = "a\r\nBcc: lain@instansi.example\r\n\r\nb"
	if err := send(t, configuration(t, s, mail.None), m); err != nil {
		return // refused is as good
	}
	got, err := netmail.ReadMessage(bytes.NewReader(s.taken[0].data))
	if err != nil {
		t.Fatal(err)
	}
	if got.Header.Get("Bcc") != "" {
		t.Errorf("the mail's header is %v", got.Header)
	}
}

func TestID(t *testing.T) {
	a := mail.ID("weekly-x-2026-W10", []string{"a@x.example", "b@x.example"})
	if a != mail.ID("weekly-x-2026-W10", []string{"b@x.example", "a@x.example"}) || a == mail.ID("weekly-x-2026-W11", []string{"a@x.example", "b@x.example"}) ||
		a == mail.ID("weekly-x-2026-W10", []string{"a@x.example"}) {
		t.Error("an ID stands for a report and a set of people")
	}
	if strings.Contains(a, "@") {
		t.Errorf("ID %s", a)
	}
}

func TestCheckAddress(t *testing.T) {
	for address, ok := range map[string]bool{
		"humas@instansi.example": true, "": false, "humas": false, "Humas <humas@instansi.example>": false, "a@x.example, b@x.example": false, "a@x.example\r\nBcc: b@x.example": false,
	} {
		if err := mail.CheckAddress(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestConfigIsRefused(t *testing.T) {
	f := func(want string, change func(c *mail.Config)) {
		t.Helper()
		c := mail.DefaultConfig()
		c.Host, c.From = "mail.instansi.example", "laporan@instansi.example"
		change(&c)
		var keys []string
		c.Check(func(key string, _ any, _ string) { keys = append(keys, key) })
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("problems with %q, want %q", got, want)
		}
	}
	f("", func(*mail.Config) {})
	f("host from", func(c *mail.Config) { c.Host, c.From = "", "" })
	f("port", func(c *mail.Config) { c.Port = 0 })
	f("tls", func(c *mail.Config) { c.TLS = "" })
	f("user", func(c *mail.Config) { c.User = "laporan" })
	f("tls", func(c *mail.Config) { *c = authenticated(t, *c, password); c.TLS = mail.None })
	f("tls", func(c *mail.Config) { c.TLS, c.CAFile = mail.None, "ca.pem" })
	f("timeout", func(c *mail.Config) { c.Timeout = 0 })
}

func TestSenderNeedsItsCertificates(t *testing.T) {
	c := mail.DefaultConfig()
	c.CAFile = filepath.Join(t.TempDir(), "absent.pem")
	if _, err := mail.NewSender(c); err == nil {
		t.Error("an absent CA file was taken")
	}
	if err := os.WriteFile(c.CAFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mail.NewSender(c); err == nil {
		t.Error("a CA file without a certificate was taken")
	}
}

// The end of the process waits for a mail on its way, but not as long as the mail may take.
func TestAMailOnItsWayIsGivenUpAtTheEnd(t *testing.T) {
	s := start(t, mail.None)
	s.silent = make(chan struct{})
	defer close(s.silent)
	c := configuration(t, s, mail.None)
	c.Timeout = config.Duration(time.Hour)
	sender, err := mail.NewSender(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := sender.Send(ctx, report()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A context that has ended sends nothing.
func TestCancelled(t *testing.T) {
	s := start(t, mail.None)
	sender, err := mail.NewSender(configuration(t, s, mail.None))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sender.Send(ctx, report()); err == nil || len(s.taken) != 0 {
		t.Errorf("error %v; %d mails", err, len(s.taken))
	}
}
