package mastodon

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// plainText turns a status's HTML into text: paragraphs and breaks become lines, a link its whole address (what is shown of it is cut), a mention the
// handle with its host, which the shown text leaves out.
func plainText(content string, mentions []mention) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(content))
	skip := false // within a link whose address is written already
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return strings.TrimSpace(b.String())
		case html.TextToken:
			if !skip {
				b.Write(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch t.DataAtom {
			case atom.Br:
				b.WriteByte('\n')
			case atom.P, atom.Blockquote, atom.Li, atom.Pre, atom.H1, atom.H2, atom.H3:
				if b.Len() > 0 && !strings.HasSuffix(b.String(), "\n") {
					b.WriteByte('\n')
				}
			case atom.A:
				if text := linkText(t, mentions); text != "" && kind == html.StartTagToken {
					b.WriteString(text)
					skip = true
				}
			}
		case html.EndTagToken:
			if t := z.Token(); t.DataAtom == atom.A {
				skip = false
			} else if t.DataAtom == atom.P {
				b.WriteByte('\n')
			}
		}
	}
}

// linkText is what stands for a link; nothing where its shown text is right, as a hashtag's is.
func linkText(t html.Token, mentions []mention) string {
	attr := func(key string) string {
		i := slices.IndexFunc(t.Attr, func(a html.Attribute) bool { return a.Key == key })
		if i < 0 {
			return ""
		}
		return t.Attr[i].Val
	}
	classes, href := strings.Fields(attr("class")), attr("href")
	for _, m := range mentions {
		if m.URL != "" && m.URL == href {
			return "@" + m.Acct
		}
	}
	if slices.Contains(classes, "mention") || slices.Contains(classes, "hashtag") {
		return ""
	}
	if !strings.HasPrefix(href, "http://") && !strings.HasPrefix(href, "https://") {
		return ""
	}
	return href
}

// PlainText is the text of a status's HTML, for exports; handles has the handle with its host of each mentioned profile's address.
func PlainText(content string, handles map[string]string) string {
	mentions := make([]mention, 0, len(handles))
	for profile, handle := range handles {
		mentions = append(mentions, mention{Acct: handle, URL: profile})
	}
	return plainText(content, mentions)
}
