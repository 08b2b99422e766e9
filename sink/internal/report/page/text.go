package page

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// textWidth is what mail programs and terminals show without breaking lines.
const textWidth = 76

// pad fills s with spaces to at least width letters.
func pad(width int, s string) string {
	s = plain(s)
	if n := utf8.RuneCountInString(s); n < width {
		return s + strings.Repeat(" ", width-n)
	}
	return s
}

// wrap breaks a paragraph into lines.
func wrap(s string) string {
	var b strings.Builder
	at := 0
	for _, word := range strings.Fields(plain(s)) {
		n := utf8.RuneCountInString(word)
		switch {
		case at == 0:
		case at+1+n > textWidth:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// plain keeps a name from breaking the layout or from steering a terminal: what is not printable becomes a space.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
