package lines

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
)

func TestEach(t *testing.T) {
	enough := errors.New("enough")
	read := func(in string, most int) (string, error) {
		var b strings.Builder
		err := Each(strings.NewReader(in), func(number int, line []byte) error {
			fmt.Fprintf(&b, "%d:%s|", number, line)
			if most--; most == 0 {
				return enough
			}
			return nil
		})
		return b.String(), err
	}
	for _, c := range []struct {
		in   string
		most int
		want string
		err  string
	}{
		{"", 0, "", ""},
		{"\ufeffa\n\n \t\r\nb\r\nc", 0, "1:a|4:b|5:c|", ""},
		{"a\n\ufeffb", 0, "1:a|2:\ufeffb|", ""},
		{"a\nb\nc", 2, "1:a|2:b|", "enough"},
		{"a\n\n" + strings.Repeat("x", Longest+1) + "\nb", 0, "1:a|", "reading line 3: longer than 1048576 bytes"},
	} {
		got, err := read(c.in, c.most)
		if got != c.want || fmt.Sprint(err) != c.err && !(err == nil && c.err == "") {
			t.Errorf("%.20q gives %q and %v, want %q and %q", c.in, got, err, c.want, c.err)
		}
	}
	if err := Each(iotest.ErrReader(enough), func(int, []byte) error { return nil }); !errors.Is(err, enough) {
		t.Error(err)
	}
}
