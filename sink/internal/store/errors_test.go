package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
)

func TestClassify(t *testing.T) {
	code := func(n int32) error {
		return fmt.Errorf("inserting: %w", &clickhouse.Exception{Code: n, Message: "nomor 081234567890"})
	}
	status := func(n int) error { return &clickhouse.HTTPError{StatusCode: n, Err: errors.New("<html>")} }
	for _, c := range []struct {
		err    error
		want   Verdict
		reason string
	}{
		{code(252), Retry, "ClickHouse code 252 TOO_MANY_PARTS"},
		{code(241), Retry, "ClickHouse code 241 MEMORY_LIMIT_EXCEEDED"},
		{code(242), Retry, "ClickHouse code 242 TABLE_IS_READ_ONLY"},
		{code(159), Retry, "ClickHouse code 159 TIMEOUT_EXCEEDED"},
		{code(210), Retry, "ClickHouse code 210 NETWORK_ERROR"},
		{code(243), Retry, "ClickHouse code 243 NOT_ENOUGH_SPACE"},
		{&clickhouse.HTTPError{StatusCode: 500, Err: code(241)}, Retry, "ClickHouse code 241 MEMORY_LIMIT_EXCEEDED"},
		{&clickhouse.HTTPError{StatusCode: 500, Err: code(60)}, Broken, "ClickHouse code 60 UNKNOWN_TABLE"},
		{&clickhouse.HTTPError{StatusCode: 500, Err: code(469)}, Refused, "ClickHouse code 469"},
		{code(516), Broken, "ClickHouse code 516 AUTHENTICATION_FAILED"},
		{code(53), Broken, "ClickHouse code 53 TYPE_MISMATCH"},
		{code(70), Refused, "ClickHouse code 70"},
		{status(503), Retry, "HTTP status 503"},
		{status(429), Retry, "HTTP status 429"},
		{status(413), Refused, "HTTP status 413"},
		{status(404), Broken, "HTTP status 404"},
		{io.EOF, Retry, "the connection"},
		{io.ErrUnexpectedEOF, Retry, "the connection"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, Retry, "the connection"},
		{&url.Error{Op: "Post", Err: syscall.ECONNRESET}, Retry, "the connection"},
		{context.DeadlineExceeded, Retry, "the connection"},
		{clickhouse.ErrAcquireConnTimeout, Retry, "the connection"},
		{&url.Error{Op: "Post", Err: &tls.CertificateVerificationError{Err: errors.New("x509")}}, Broken, "something unforeseen"},
		{fmt.Errorf("column kind: %w", &column.Error{ColumnType: "Enum8", Err: errors.New("unknown element")}), Refused, "a value that does not fit Enum8"},
		{errors.New("column x is not present in the table"), Broken, "something unforeseen"},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("Classify(%v) = %v, want %v", c.err, got, c.want)
		}
		if got := Reason(c.err); !strings.HasPrefix(got, c.reason) || strings.Contains(got, "0812") {
			t.Errorf("Reason(%v) = %s, want %s", c.err, got, c.reason)
		}
	}
}
