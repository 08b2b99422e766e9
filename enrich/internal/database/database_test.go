package database

import "testing"

// An address that is refused is named, without what may be a password.
func TestRefusedAddress(t *testing.T) {
	for address, want := range map[string]string{
		"http://127.0.0.1:8123":                         "http://127.0.0.1:8123",
		"http://127.0.0.1/dwiarah":                      "http://127.0.0.1/dwiarah",
		"http://u:secret@127.0.0.1:8123/dwiarah":        "http://127.0.0.1:8123/dwiarah",
		"http://127.0.0.1:8123?password=secret":         "http://127.0.0.1:8123",
		"http://127.0.0.1:8123/dwiarah?secure=sometime": "http://127.0.0.1:8123/dwiarah",
		"http://u:secret@127.0.0.1:port/dwiarah":        "",
	} {
		var got []any
		Config{URL: address}.Validate(func(key string, value any, allowed string) { got = append(got, key, value) })
		if len(got) != 2 || got[0] != "url" || got[1] != want {
			t.Errorf("%s: %v, want url and %q", address, got, want)
		}
	}
}
