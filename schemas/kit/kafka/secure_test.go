package kafka_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
	"github.com/dwiarah/dwiarah/schemas/kit/tlstest"
)

func dialled(t *testing.T, cfg kafka.ConnConfig) kafka.Conn {
	t.Helper()
	conn, err := cfg.Conn("test")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestTLSAndSCRAM(t *testing.T) {
	t.Parallel()
	cluster, cfg := kafkatest.Secure(t, tlstest.NewIdentity(t, time.Now().Add(time.Hour)))
	good := dialled(t, cfg)
	if err := kafka.EnsureTopics(within(t), good, []kafka.TopicSpec{{Name: "made", Partitions: 2}}); err != nil {
		t.Fatal(err)
	}
	p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: good})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Produce(within(t), kafka.Record{Topic: "made", Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	var s store
	r := run(t, kafka.ConsumerConfig{Conn: good, Group: "g", Topics: []string{"made"}, Policy: kafka.BatchPolicy{MaxAge: 10 * time.Millisecond}}, s.handle)
	eventually(t, "the record is read", func() bool { return len(s.all()) == 1 })
	if err := r.stop(); err != nil {
		t.Error(err)
	}

	// Whoever is refused, as Kafka refuses, does not try for ever.
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		response.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return response, nil, true
	})
	cfg.SASL.Password = config.NewSecret("wrong")
	for name, err := range attempts(t, dialled(t, cfg)) {
		if !errors.Is(err, kafkago.SASLAuthenticationFailed) {
			t.Errorf("a %s with a wrong password: %v", name, err)
		}
	}
}

// attempts are the errors that a consumer and a producer end with, at a broker that neither can speak to.
func attempts(t *testing.T, conn kafka.Conn) map[string]error {
	t.Helper()
	p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: conn})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return map[string]error{
		"consumer": run(t, kafka.ConsumerConfig{Conn: conn, Group: "g", Topics: []string{"t"}}, (&store{}).handle).wait(),
		"producer": p.Produce(within(t), kafka.Record{Topic: "t", Value: []byte("v")}),
	}
}

// Whoever cannot show that it is the broker gets nothing, and the service ends with the reason instead of trying for ever.
func TestWhoeverAnswersForTheBroker(t *testing.T) {
	t.Parallel()
	hour := time.Now().Add(time.Hour)
	_, secure := kafkatest.Secure(t, tlstest.NewIdentity(t, hour))
	wrongCA := secure
	wrongCA.TLS.CA = tlstest.NewIdentity(t, hour).CA
	system := secure
	system.TLS.CA = ""
	wrongName := secure
	wrongName.TLS.ServerName = "kafka.example"
	_, expired := kafkatest.Secure(t, tlstest.NewIdentity(t, time.Now().Add(-time.Minute)))
	// What a broker of plain text makes of a handshake is its own affair: Kafka closes, the embedded one waits for the rest. This one answers.
	plain := secure
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	plain.Brokers = []string{server.Listener.Addr().String()}
	for _, c := range []struct {
		name, says string
		cfg        kafka.ConnConfig
	}{
		{"wrong authority", "unknown authority", wrongCA},
		{"the system's authorities", "unknown authority", system},
		{"wrong name", "kafka.example", wrongName},
		{"expired", "expired", expired},
		{"plain-text port", "does not look like a TLS handshake", plain},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := dialled(t, c.cfg)
			for who, err := range attempts(t, conn) {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("a %s: got %v, want %q", who, err, c.says)
				}
			}
			c.cfg.TLS.InsecureSkipVerify = true
			if err := kafka.Ping(within(t), dialled(t, c.cfg)); (err == nil) == (c.name == "plain-text port") {
				t.Errorf("without verification: %v", err)
			}
		})
	}
}

// A client of plain text at a port of TLS ends with the reason, too. Kafka answers it with an alert; well known as "invalid receive (size = 352518912)".
func TestPlainTextAtAPortOfTLS(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadAtLeast(conn, make([]byte, 1024), 4)
			_, _ = conn.Write([]byte{0x15, 0x03, 0x03, 0, 2, 2, 80})
			conn.Close()
		}
	})
	defer serving.Wait()
	defer listener.Close()
	for who, err := range attempts(t, kafka.Conn{Brokers: []string{listener.Addr().String()}}) {
		if !errors.Is(err, kafka.ErrSpeaksTLS) {
			t.Errorf("a %s: %v", who, err)
		}
	}
}

// Where nobody answers a handshake the service goes on trying, for the broker may be starting; what it says names the reason.
func TestPlainTextBrokerSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, cfg := kafkatest.Secure(t, tlstest.NewIdentity(t, time.Now().Add(time.Hour)))
	cfg.Brokers = kafkatest.Shared(t).Conn.Brokers
	if err := kafka.Ping(within(t), dialled(t, cfg)); err == nil || !strings.Contains(err.Error(), "does that port speak it?") {
		t.Errorf("got %v", err)
	}
}
