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
	codeUnknownTypeOfQuery   = 78
	codeUnknownCompression   = 89
	codeUnknownSetting       = 115
	codeRequiredPassword     = 194
	codeNetworkError         = 210
	codeOutfileNotAllowed    = 344
	codeTooManyBytes         = 307
	codeBadParameter         = 457
	codeAccessDenied         = 497
	codeAuthenticationFailed = 516
	codeUnknownException     = 1002
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
	case codeRequiredPassword:
		return http.StatusUnauthorized
	case 192, 193, codeAccessDenied, codeAuthenticationFailed:
		return http.StatusForbidden
	case 6, 8, 15, 25, 26, 27, 38, 41, 44, 53, codeSyntaxError, 72, codeUnknownTypeOfQuery, 117, 167, 168, 321, 376, 427, 441, codeBadParameter:
		return http.StatusBadRequest
	case 46, 47, 50, 56, 60, 63, 73, 81, codeUnknownSetting:
		return http.StatusNotFound
	case 159:
		return http.StatusRequestTimeout
	case codeTooManyBytes:
		return http.StatusRequestEntityTooLarge
	case codeNotImplemented:
		return http.StatusNotImplemented
	case 439, 202:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
