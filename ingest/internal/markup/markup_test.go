package markup

import (
	"testing"
)

func TestText(t *testing.T) {
	f := func(content, want string, profiles ...string) {
		t.Helper()
		handles := map[string]string{}
		for _, profile := range profiles {
			handles[profile] = "warga@kota.example"
		}
		if got := Text(content, handles); got != want {
			t.Errorf("Text(%q) = %q, want %q", content, got, want)
		}
	}
	f("", "")
	f("<p>satu</p><p>dua<br/>tiga</p>", "satu\ndua\ntiga")
	f("<p>a &amp; b &lt;c&gt;</p>", "a & b <c>")
	f(`<p><a href="https://kota.example/@warga" class="u-url mention">@<span>warga</span></a> ya</p>`, "@warga@kota.example ya", "https://kota.example/@warga")
	f(`<a href="https://kota.example/@lain" class="mention">@lain</a>`, "@lain")
	f(`<a href="https://kota.example/tags/macet" class="mention hashtag" rel="tag">#<span>macet</span></a>`, "#macet")
	f(`<a href="https://kota.example/panjang"><span class="invisible">https://</span><span class="ellipsis">kota.ex</span></a>!`, "https://kota.example/panjang!")
	f(`<a href="javascript:x">klik</a>`, "klik")
	f("<p>tidak ditutup <b>tebal", "tidak ditutup tebal")
	f("<ul><li>a</li><li>b</li></ul>", "a\nb")
}
