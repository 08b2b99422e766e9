package store_test

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/tlstest"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// Whoever cannot show that it is the store gets nothing, and nobody asks again; a store that can is spoken to over TLS.
func TestOverTLS(t *testing.T) {
	addr := storetest.Shared(t)
	front := func(id tlstest.Identity) string {
		server := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr}))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{id.Certificate}, MinVersion: tls.VersionTLS12}
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // every refusal of a client would be told
		server.StartTLS()
		t.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
	good := tlstest.NewIdentity(t, time.Now().Add(time.Hour))
	expired := tlstest.NewIdentity(t, time.Now().Add(-time.Minute))
	secured, ended := front(good), front(expired)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, c := range []struct{ name, address, ca, says string }{
		{"good", "https://" + secured, good.CA, ""},
		{"wrong authority", "https://" + secured, tlstest.NewIdentity(t, time.Now().Add(time.Hour)).CA, "unknown authority"},
		{"the system's authorities", "https://" + secured, "", "unknown authority"},
		{"expired", "https://" + ended, expired.CA, "expired"},
		{"plain-text port", "https://" + addr, good.CA, "HTTP response to HTTPS client"},
		{"native, wrong authority", "clickhouses://" + secured, "", "unknown authority"},
		{"native, plain-text port", "clickhouses://" + plain.Listener.Addr().String(), good.CA, "does not look like a TLS handshake"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := storetest.Config(addr, "default")
			cfg.Addresses, cfg.CAFile = []string{c.address}, c.ca
			err := storetest.Open(t, cfg).Ping(t.Context())
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || store.Classify(err) != store.Broken {
				t.Errorf("got %v, which counts as %v; want %q, which no repeat mends", err, store.Classify(err), c.says)
			}
		})
	}
	cfg := storetest.Config(addr, "default")
	cfg.Addresses, cfg.InsecureSkipVerify, cfg.DialTimeout = []string{"https://" + ended}, true, config.Duration(time.Minute)
	if err := storetest.Open(t, cfg).Ping(t.Context()); err != nil {
		t.Errorf("without verification, as asked for: %v", err)
	}
}
