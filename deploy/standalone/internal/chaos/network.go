package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// link is a TCP proxy whose network can be spoilt.
type link struct {
	name   string
	proxy  *toxiproxy.Proxy
	spoilt bool
}

func newLink(name, upstream string) (*link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		return nil, fmt.Errorf("standing between %s and its clients: %w", name, err)
	}
	return &link{name: name, proxy: p}, nil
}

func (l *link) addr() string { return l.proxy.Listen }

// spoils are what may be wrong with a network, by name.
var spoils = []struct{ name, kind, attributes string }{
	{"latency", "latency", `{"latency": 200, "jitter": 150}`},
	{"one-way cut", "timeout", `{"timeout": 0}`}, // bytes of one direction vanish, and nobody is told
	{"resets", "reset_peer", `{"timeout": 30}`},
	{"truncation", "limit_data", `{"bytes": 20000}`},
	{"trickle", "bandwidth", `{"rate": 1}`}, // kB/s
	{"slices", "slicer", `{"average_size": 60, "size_variation": 50, "delay": 20}`},
}

// spoil makes the network bad in one of the ways and directions, and says how; nothing where it is bad already.
func (l *link) spoil(rng *rand.Rand) (string, error) {
	if l.spoilt {
		return "", nil
	}
	s := spoils[rng.IntN(len(spoils))]
	stream := []string{"upstream", "downstream"}[rng.IntN(2)]
	toxic := fmt.Sprintf(`{"name": "spoil", "type": %q, "stream": %q, "attributes": %s}`, s.kind, stream, s.attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		return "", fmt.Errorf("spoiling the network of %s: %w", l.name, err)
	}
	l.spoilt = true
	return fmt.Sprintf("%s, %s of %s", s.name, stream, l.name), nil
}

// heal makes the network good. Connections that had bytes lost stay as they are: their ends have to notice.
func (l *link) heal(ctx context.Context) {
	l.proxy.Toxics.ResetToxics(ctx)
	l.spoilt = false
}

// cut takes away what is behind the link: nobody listens, and whoever was connected is not any more. join ends that.
func (l *link) cut() { l.proxy.Stop() }

func (l *link) join() error {
	if err := l.proxy.Start(); err != nil {
		return fmt.Errorf("joining %s to its clients again: %w", l.name, err)
	}
	return nil
}

func (l *link) close() { l.proxy.Stop() }
