// Package markup makes text of the HTML that platforms and feeds write messages in.
package markup

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Text turns a message's HTML into text: paragraphs and breaks become lines, a link its whole address (what is shown of it may be cut), a mention the handle with
// its host, which the shown text leaves out: handles has it by the address of the profile.
func Text(content string, handles map[string]string) string {
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
				if text := linkText(t, handles); text != "" && kind == html.StartTagToken {
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
func linkText(t html.Token, handles map[string]string) string {
	attr := func(key string) string {
		i := slices.IndexFunc(t.Attr, func(a html.Attribute) bool { return a.Key == key })
		if i < 0 {
			return ""
		}
		return t.Attr[i].Val
	}
	classes, href := strings.Fields(attr("class")), attr("href")
	if handle, mentioned := handles[href]; mentioned && href != "" {
		return "@" + handle
	}
	if slices.Contains(classes, "mention") || slices.Contains(classes, "hashtag") {
		return ""
	}
	if !strings.HasPrefix(href, "http://") && !strings.HasPrefix(href, "https://") {
		return ""
	}
	return href
}
