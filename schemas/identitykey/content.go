package identitykey

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode"
)

// tellingLetters is how many letters and digits a text has to have to get a hash. Shorter ones are what many people write on their own ("terima kasih min"),
// and what could be found by trying if the key were ever lost.
const tellingLetters = 20

// maxLinks bounds the addresses of a message that are looked at.
const maxLinks = 8

// ContentHashes are the keyed hashes by which equal contents are found without their text: of the redacted text, and of each address in it, in order and without
// repeats. The text is normalised to its lower-case letters and digits, without addresses and mentions (redacted or not), so that a copy sent to somebody else is a copy;
// 0 stands for a text of fewer than 20 of them. An address is taken without its scheme, its www., its query and its fragment, in which the same page is shared under
// ever new tracking marks. Both are the first 8 bytes of HMAC-SHA256 under the identity key: nobody without it can tell what was written by trying texts.
func (r *Ring) ContentHashes(text string) (hash uint64, links []uint64) {
	var plain strings.Builder
	letters := 0
	for word := range strings.FieldsSeq(text) {
		if address, ok := linkOf(word); ok {
			if h := r.contentHash("link", address); len(links) < maxLinks && !slices.Contains(links, h) {
				links = append(links, h)
			}
			continue
		}
		if strings.HasPrefix(word, "@") || strings.HasPrefix(word, "[USER]") {
			continue
		}
		for _, letter := range word {
			if unicode.IsLetter(letter) || unicode.IsDigit(letter) {
				plain.WriteRune(unicode.ToLower(letter))
				letters++
			}
		}
	}
	if letters >= tellingLetters {
		hash = r.contentHash("text", plain.String())
	}
	return hash, links
}

// linkOf gives what of an address tells the page.
func linkOf(word string) (address string, ok bool) {
	_, rest, found := strings.Cut(strings.ToLower(word), "://")
	if !found || !strings.Contains(rest, ".") {
		return "", false
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	return strings.TrimRight(strings.TrimPrefix(rest, "www."), "/.,;:!)"), true
}

// contentHash is never 0, which stands for no hash.
func (r *Ring) contentHash(kind, content string) uint64 {
	return max(1, binary.BigEndian.Uint64(r.identity.sum("content "+kind, content)))
}
