package chhttp

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// exception is an error as a client of ClickHouse knows it: a code of ErrorCodes.cpp and a text "Code: NNN. DB::Exception: ... (NAME)".
type exception struct {
	code int
	text string
}

func (e *exception) Error() string { return e.text }

func newException(code int, name, format string, arguments ...any) *exception {
	return &exception{code: code, text: fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, fmt.Sprintf(format, arguments...), name)}
}

// The codes that the handler itself gives.
const (
	codeNotImplemented       = 48
	codeSyntaxError          = 62
	codeBadQuery             = 78
	codeCannotCompress       = 89
	codeLimit                = 396
	codeNetworkError         = 210
	codeUnknownException     = 1002
	codeOutfileNotAllowed    = 344
	codeAuthenticationFailed = 516
)

var codePattern = regexp.MustCompile(`^Code: (\d+)\. (?:DB::\w+|std::exception): ?`)

// engineException turns a text of the engine into an exception. libchdb wraps some errors in themselves, each with its code: only the innermost is kept.
func engineException(text string) *exception {
	text = strings.TrimSpace(text)
	code := codeUnknownException
	if m := codePattern.FindStringSubmatch(text); m != nil {
		code, _ = strconv.Atoi(m[1]) // The pattern holds digits; one that overflows stays the largest number.
		prefix := m[0]
		for strings.HasPrefix(text[len(prefix):], prefix) {
			text = text[len(prefix):]
		}
		return &exception{code: code, text: text}
	}
	return &exception{code: code, text: fmt.Sprintf("Code: %d. DB::Exception: %s (UNKNOWN_EXCEPTION)", code, text)}
}

// status is the HTTP status that a ClickHouse server gives for the code.
func (e *exception) status() int {
	switch e.code {
	case 194:
		return http.StatusUnauthorized
	case 192, 193, 497, codeAuthenticationFailed:
		return http.StatusForbidden
	case 6, 8, 15, 25, 26, 27, 38, 41, 44, 53, codeSyntaxError, 72, codeBadQuery, 117, 167, 168, 321, 376, 427, 441, 457:
		return http.StatusBadRequest
	case 46, 47, 50, 56, 60, 63, 73, 81, 115:
		return http.StatusNotFound
	case 159:
		return http.StatusRequestTimeout
	case codeLimit:
		return http.StatusRequestEntityTooLarge
	case codeNotImplemented:
		return http.StatusNotImplemented
	case 439, 202:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
