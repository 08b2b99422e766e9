package store

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
)

// Verdict says what to do about an error of an INSERT.
type Verdict uint8

const (
	// Broken: neither another attempt nor other rows will help; somebody has to repair something, so stop. It is the verdict on what nobody foresaw,
	// because it loses nothing.
	Broken Verdict = iota
	// Retry: the same rows again, after a pause, for as long as it takes.
	Retry
	// Refused: the store does not want these rows. It is the verdict on every code of the server that the table does not name.
	Refused
)

func (v Verdict) String() string {
	return [...]string{"broken", "retry", "refused"}[v]
}

// codes of ClickHouse's errors, from its src/Common/ErrorCodes.cpp. A code that is missing here is Refused.
var codes = map[int32]struct {
	name    string
	verdict Verdict
}{
	3:    {"UNEXPECTED_END_OF_FILE", Retry},
	23:   {"CANNOT_READ_FROM_ISTREAM", Retry},
	24:   {"CANNOT_WRITE_TO_OSTREAM", Retry},
	32:   {"ATTEMPT_TO_READ_AFTER_EOF", Retry},
	33:   {"CANNOT_READ_ALL_DATA", Retry},
	40:   {"CHECKSUM_DOESNT_MATCH", Retry},
	74:   {"CANNOT_READ_FROM_FILE_DESCRIPTOR", Retry},
	75:   {"CANNOT_WRITE_TO_FILE_DESCRIPTOR", Retry},
	76:   {"CANNOT_OPEN_FILE", Retry},
	77:   {"CANNOT_CLOSE_FILE", Retry},
	95:   {"CANNOT_READ_FROM_SOCKET", Retry},
	96:   {"CANNOT_WRITE_TO_SOCKET", Retry},
	99:   {"UNKNOWN_PACKET_FROM_CLIENT", Retry},
	100:  {"UNKNOWN_PACKET_FROM_SERVER", Retry},
	101:  {"UNEXPECTED_PACKET_FROM_CLIENT", Retry},
	102:  {"UNEXPECTED_PACKET_FROM_SERVER", Retry},
	107:  {"FILE_DOESNT_EXIST", Retry},
	159:  {"TIMEOUT_EXCEEDED", Retry},
	160:  {"TOO_SLOW", Retry},
	164:  {"READONLY", Retry},
	172:  {"CANNOT_CREATE_DIRECTORY", Retry},
	173:  {"CANNOT_ALLOCATE_MEMORY", Retry},
	198:  {"DNS_ERROR", Retry},
	201:  {"QUOTA_EXCEEDED", Retry},
	202:  {"TOO_MANY_SIMULTANEOUS_QUERIES", Retry},
	203:  {"NO_FREE_CONNECTION", Retry},
	204:  {"CANNOT_FSYNC", Retry},
	209:  {"SOCKET_TIMEOUT", Retry},
	210:  {"NETWORK_ERROR", Retry},
	216:  {"QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", Retry},
	225:  {"NO_ZOOKEEPER", Retry},
	236:  {"ABORTED", Retry},
	241:  {"MEMORY_LIMIT_EXCEEDED", Retry},
	242:  {"TABLE_IS_READ_ONLY", Retry},
	243:  {"NOT_ENOUGH_SPACE", Retry},
	244:  {"UNEXPECTED_ZOOKEEPER_ERROR", Retry},
	252:  {"TOO_MANY_PARTS", Retry},
	254:  {"NO_ACTIVE_REPLICAS", Retry},
	265:  {"NO_AVAILABLE_REPLICA", Retry},
	279:  {"ALL_CONNECTION_TRIES_FAILED", Retry},
	285:  {"TOO_FEW_LIVE_REPLICAS", Retry},
	286:  {"UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", Retry},
	289:  {"REPLICA_IS_NOT_IN_QUORUM", Retry},
	297:  {"SHARD_HAS_NO_CONNECTIONS", Retry},
	319:  {"UNKNOWN_STATUS_OF_INSERT", Retry},
	364:  {"RECEIVED_ERROR_TOO_MANY_REQUESTS", Retry},
	369:  {"ALL_REPLICAS_ARE_STALE", Retry},
	373:  {"SESSION_IS_LOCKED", Retry},
	384:  {"PART_IS_TEMPORARILY_LOCKED", Retry},
	394:  {"QUERY_WAS_CANCELLED", Retry},
	415:  {"ALL_REPLICAS_LOST", Retry},
	416:  {"REPLICA_STATUS_CHANGED", Retry},
	425:  {"SYSTEM_ERROR", Retry},
	439:  {"CANNOT_SCHEDULE_TASK", Retry},
	473:  {"DEADLOCK_AVOIDED", Retry},
	499:  {"S3_ERROR", Retry},
	519:  {"NO_REMOTE_SHARD_AVAILABLE", Retry},
	574:  {"DISTRIBUTED_TOO_MANY_PENDING_BYTES", Retry},
	692:  {"TOO_MANY_MUTATIONS", Retry},
	999:  {"KEEPER_EXCEPTION", Retry},
	1000: {"POCO_EXCEPTION", Retry},
	1001: {"STD_EXCEPTION", Retry},
	1002: {"UNKNOWN_EXCEPTION", Retry},

	10:  {"NOT_FOUND_COLUMN_IN_BLOCK", Broken},
	16:  {"NO_SUCH_COLUMN_IN_TABLE", Broken},
	20:  {"NUMBER_OF_COLUMNS_DOESNT_MATCH", Broken},
	46:  {"UNKNOWN_FUNCTION", Broken},
	47:  {"UNKNOWN_IDENTIFIER", Broken},
	48:  {"NOT_IMPLEMENTED", Broken},
	50:  {"UNKNOWN_TYPE", Broken},
	53:  {"TYPE_MISMATCH", Broken},
	60:  {"UNKNOWN_TABLE", Broken},
	62:  {"SYNTAX_ERROR", Broken},
	81:  {"UNKNOWN_DATABASE", Broken},
	115: {"UNKNOWN_SETTING", Broken},
	192: {"UNKNOWN_USER", Broken},
	193: {"WRONG_PASSWORD", Broken},
	194: {"REQUIRED_PASSWORD", Broken},
	195: {"IP_ADDRESS_NOT_ALLOWED", Broken},
	218: {"TABLE_IS_DROPPED", Broken},
	291: {"DATABASE_ACCESS_DENIED", Broken},
	452: {"SETTING_CONSTRAINT_VIOLATION", Broken},
	472: {"READONLY_SETTING", Broken},
	497: {"ACCESS_DENIED", Broken},
	516: {"AUTHENTICATION_FAILED", Broken},
}

// Classify says what to do about an error of an INSERT.
func Classify(err error) Verdict {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		if known, ok := codes[exception.Code]; ok {
			return known.verdict
		}
		return Refused
	}
	var answer *clickhouse.HTTPError
	if errors.As(err, &answer) {
		return classifyStatus(answer.StatusCode)
	}
	// Whoever answers with that certificate is not the store; asking again will not make it one.
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return Broken
	}
	var handshake tls.RecordHeaderError
	if errors.As(err, &handshake) || errors.Is(err, http.ErrSchemeMismatch) {
		return Broken // TLS is spoken to a port of plain text
	}
	var value *column.Error
	if errors.As(err, &value) {
		return Refused // a value that the column's type does not hold
	}
	if network(err) {
		return Retry
	}
	return Broken
}

// classifyStatus judges an answer over HTTP that ClickHouse did not sign with a code: a proxy's or a load balancer's.
func classifyStatus(status int) Verdict {
	switch {
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return Retry
	case status == http.StatusRequestEntityTooLarge:
		return Refused // fewer rows may pass
	default:
		return Broken
	}
}

func network(err error) bool {
	for _, target := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, driver.ErrBadConn, context.DeadlineExceeded, context.Canceled,
		clickhouse.ErrAcquireConnTimeout, clickhouse.ErrServerUnexpectedData,
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var netError net.Error
	return errors.As(err, &netError)
}

// Reason names an error in a few words without anything of the rows: ClickHouse's own words may quote them.
func Reason(err error) string {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		if known, ok := codes[exception.Code]; ok {
			return fmt.Sprintf("ClickHouse code %d %s", exception.Code, known.name)
		}
		return fmt.Sprintf("ClickHouse code %d", exception.Code)
	}
	var answer *clickhouse.HTTPError
	if errors.As(err, &answer) {
		return fmt.Sprintf("HTTP status %d", answer.StatusCode)
	}
	var value *column.Error
	if errors.As(err, &value) {
		return "a value that does not fit " + value.ColumnType
	}
	if Classify(err) == Retry {
		return "the connection"
	}
	return "something unforeseen"
}
