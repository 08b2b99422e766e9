// Package text turns a message into the hashed features that every head of the classifier shares.
//
// One pass reads the text: compatibility composition (NFKC), case folding, URLs, mentions, placeholders of redaction, emoji, elongated
// letters, words and numbers. From the tokens come three views: words (single, pairs, negated; once each),
// characters (n-grams of 2 to 5 runes inside a word; as often as they occur, so that a word's share of a score is the same in every text), and
// concepts (a thesaurus of the field; alone, negated and in pairs), which carry over to words that no training text had. A model names the Version it was trained with, because a changed feature is a changed meaning of every weight.
package text

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Version names the feature definition. It changes whenever the same text would give other features.
const Version = 2

const (
	// MaxBytes is how much of a text is read. Public replies are far shorter; the cap bounds the time that hostile input can take.
	MaxBytes = 8 << 10
	// maxTokens and maxFeatures bound the work further: NFKC may lengthen a text, and n-grams multiply it.
	maxTokens   = 1 << 11
	maxFeatures = 1 << 13
	// maxWordRunes bounds one word, so that a base64 blob is a word and not a thousand n-grams.
	maxWordRunes = 40
	seenBits     = 14
)

// Kind says what a token is.
type Kind uint8

// The kinds of token.
const (
	Word Kind = iota
	Number
	Punctuation
	Emoji
	URL
	Mention
	Hashtag
	Placeholder
)

// Token is one token of a document. Its canonical form (slang and abbreviations of function words resolved) is what word features see.
type Token struct {
	Kind Kind
	// runes is the length of a word or hashtag; 0 for all others, which have no n-grams.
	runes uint8
	// Hash is the hash of the canonical form.
	Hash uint32
	// Negated says that a negation stands within the three words before.
	Negated    bool
	start, end int32
}

// Shape holds counts of a document that no bag of words shows.
type Shape struct {
	Words, Numbers, URLs, Mentions, Hashtags, Emojis, Placeholders int
	Questions, Exclamations, Elongated, Shouted                    int
	// Latin are the words that begin with a Latin letter, OtherScript those that begin with another one; a hashtag is neither.
	Latin, OtherScript int
}

// Doc is one analysed text. It is reused from text to text, so that analysing allocates nothing once its buffers have grown.
type Doc struct {
	// Tokens are in the order of the text.
	Tokens []Token
	// Words is the view by words: distinct feature hashes, in order of first appearance. The view by characters is Grams of each token.
	Words []uint32
	// Concepts is the view by meaning: the concepts of the thesaurus that occur, alone, negated and in pairs.
	Concepts []uint32
	Shape    Shape

	src, buf []byte
	// seen are the features by word that this text has already; what bears the number of another text is none.
	seen       []seenFeature
	seenMask   uint32
	generation uint32
}

type seenFeature struct{ generation, hash uint32 }

// Text is the token as the analyser saw it: folded, elongation removed, before the canonical form.
func (d *Doc) Text(t Token) []byte { return d.buf[t.start:t.end] }

//go:embed canonical.tsv
var canonicalTSV string

//go:embed concepts.tsv
var conceptsTSV string

// Analyzer holds the read-only tables that analysing needs. It is safe for concurrent use; a Doc is not.
type Analyzer struct {
	canonical map[string]uint32
	concepts  conceptTable
	negations map[uint32]bool
	stops     map[uint32]bool
	// Most words are in none of the maps; the filters say so faster.
	maybeVariant, maybeParticle Filter
}

// NewAnalyzer reads the embedded table of canonical forms.
func NewAnalyzer() (*Analyzer, error) {
	a := &Analyzer{canonical: map[string]uint32{}, negations: map[uint32]bool{}, stops: map[uint32]bool{}}
	for i, line := range strings.Split(canonicalTSV, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		form, variants, ok := strings.Cut(line, "\t")
		if !ok {
			return nil, fmt.Errorf("reading canonical.tsv: line %d has no tab", i+1)
		}
		for _, variant := range strings.Fields(variants) {
			if _, twice := a.canonical[variant]; twice {
				return nil, fmt.Errorf("reading canonical.tsv: line %d: %q has two canonical forms", i+1, variant)
			}
			a.canonical[variant] = Hash(form)
		}
	}
	if err := a.readConcepts(conceptsTSV); err != nil {
		return nil, err
	}
	for _, w := range []string{"tidak", "bukan", "belum", "jangan", "kurang", "tanpa", "not", "no", "never", "ora", "henteu", "indak", "tak"} {
		a.negations[Hash(w)] = true
	}
	for _, w := range []string{"tapi", "namun", "but"} {
		a.stops[Hash(w)] = true
	}
	var variants, particles []uint32
	for v := range a.canonical {
		variants = append(variants, Hash(v))
	}
	particles = slices.AppendSeq(slices.AppendSeq(particles, maps.Keys(a.negations)), maps.Keys(a.stops))
	a.maybeVariant, a.maybeParticle = NewFilter(variants), NewFilter(particles)
	return a, nil
}

// Hash is the hash of a canonical word, as Token.Hash carries it.
func Hash(word string) uint32 {
	h := uint32(offset)
	for _, r := range word {
		h = (h ^ uint32(r)) * prime
	}
	return mix(h)
}

// Canonical is the hash of the canonical form of a word that is already folded.
func (a *Analyzer) Canonical(word string) uint32 {
	if h, ok := a.canonical[word]; ok {
		return h
	}
	return Hash(word)
}

const (
	offset = 2166136261
	prime  = 16777619

	saltPair    = 0x9e3779b9
	saltNegated = 0x85ebca6b
	saltChar    = 0xc2b2ae35
	saltShape   = 0x27d4eb2f
	saltConcept = 0x165667b1
)

// pair is the hash of two words that follow each other.
func pair(first, second uint32) uint32 { return mix(first*31 + second ^ saltPair) }

// mix is the finaliser of MurmurHash3: it spreads the bits, because buckets are taken from the top of the hash.
func mix(h uint32) uint32 {
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	h ^= h >> 16
	return h
}

// Analyze fills d from s. It reads at most MaxBytes, accepts any bytes and never fails: what is not UTF-8 is read as U+FFFD.
func (a *Analyzer) Analyze(d *Doc, s string) {
	if len(s) > MaxBytes {
		cut := MaxBytes
		for cut > MaxBytes-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	d.Tokens, d.Words, d.Concepts, d.buf = d.Tokens[:0], d.Words[:0], d.Concepts[:0], d.buf[:0]
	d.Shape = Shape{}
	if d.seen == nil {
		d.seen = make([]seenFeature, 1<<seenBits)
	}
	if d.src = append(d.src[:0], s...); !isASCII(d.src) {
		d.src = norm.NFKC.AppendString(d.src[:0], s)
	}
	if len(d.src) > 2*MaxBytes {
		d.src = d.src[:2*MaxBytes]
	}
	a.tokenize(d)
	d.forget()
	a.wordFeatures(d)
	a.conceptFeatures(d)
}

// isASCII holds for most texts, which NFKC leaves as they are.
func isASCII(s []byte) bool {
	for ; len(s) >= 8; s = s[8:] {
		if binary.LittleEndian.Uint64(s)&0x8080808080808080 != 0 {
			return false
		}
	}
	for i := range s {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// fresh reports whether h is new in this text, and remembers it.
func (d *Doc) fresh(h uint32) bool {
	for i := h & d.seenMask; ; i = (i + 1) & d.seenMask {
		switch at := &d.seen[i]; {
		case at.generation != d.generation:
			*at = seenFeature{d.generation, h}
			return true
		case at.hash == h:
			return false
		}
	}
}

// forget begins a text, of which there are no features yet. A short text uses the beginning of the table alone, which stays near the processor.
func (d *Doc) forget() {
	d.generation++
	if d.generation == 0 {
		clear(d.seen)
		d.generation = 1
	}
	// A token has three features at most, and the shape a dozen.
	most := min(maxFeatures, 3*len(d.Tokens)+16)
	d.seenMask = 1<<min(seenBits, bits.Len(uint(2*most))) - 1
}

func (d *Doc) addWord(h uint32) {
	if len(d.Words) < maxFeatures && d.fresh(h) {
		d.Words = append(d.Words, h)
	}
}

var placeholders = [...]string{"nik", "phone", "email", "plate", "account_number", "account", "number"}

func (a *Analyzer) tokenize(d *Doc) {
	src := d.src
	for i := 0; i < len(src) && len(d.Tokens) < maxTokens; {
		c := src[i]
		switch {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
			continue
		case c == '<' || c == '[':
			if n := a.placeholder(d, src[i:]); n > 0 {
				i += n
				continue
			}
		case c == 'h' || c == 'H' || c == 'w' || c == 'W':
			if n := urlLength(src[i:]); n > 0 && (i == 0 || !isWordByte(src[i-1])) {
				d.special(URL, "<url>")
				d.Shape.URLs++
				i += n
				continue
			}
		case c == '@':
			n := 1
			for i+n < len(src) && (isWordByte(src[i+n]) || src[i+n] == '.') {
				n++
			}
			if n > 1 {
				d.special(Mention, "<user>")
				d.Shape.Mentions++
				i += n
				continue
			}
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(src[i:])
		}
		switch {
		case c == '#' && i+1 < len(src) && isWordByte(src[i+1]):
			d.Shape.Hashtags++
			n := a.word(d, src[i+1:], Hashtag)
			i += 1 + n
		case isWordRune(r):
			n := a.plainWord(d, src[i:])
			if n == 0 {
				n = a.word(d, src[i:], Word)
			}
			i += n
		case unicode.IsSpace(r) || isIgnorable(r):
			i += size
		case r < utf8.RuneSelf || unicode.IsPunct(r):
			n := 1
			for i+n < len(src) && size == 1 && src[i+n] == c {
				n++
			}
			switch c {
			case '?':
				d.Shape.Questions++
			case '!':
				d.Shape.Exclamations++
			}
			start := len(d.buf)
			d.buf = utf8.AppendRune(d.buf, r)
			if n >= 2 {
				d.buf = utf8.AppendRune(d.buf, r)
			}
			d.push(Punctuation, start)
			i += max(size, n)
		default:
			// An emoji is a feature of its own; modifiers and joiners were skipped as ignorable, so families of one emoji meet.
			start := len(d.buf)
			d.buf = utf8.AppendRune(d.buf, r)
			d.Shape.Emojis++
			d.push(Emoji, start)
			i += size
			for i < len(src) && bytes.HasPrefix(src[i:], d.buf[start:]) {
				i += size
			}
		}
	}
}

func (d *Doc) special(k Kind, name string) {
	start := len(d.buf)
	d.buf = append(d.buf, name...)
	d.push(k, start)
}

func (d *Doc) push(k Kind, start int) {
	d.Tokens = append(d.Tokens, Token{Kind: k, start: int32(start), end: int32(len(d.buf)), Hash: hashBytes(d.buf[start:])})
}

func hashBytes(b []byte) uint32 {
	h := uint32(offset)
	for i := 0; i < len(b); {
		r, size := rune(b[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(b[i:])
		}
		h = (h ^ uint32(r)) * prime
		i += size
	}
	return mix(h)
}

// placeholder reads <NIK>, [phone] and the like: what redaction left. It returns the bytes read, 0 if this is none.
func (a *Analyzer) placeholder(d *Doc, s []byte) int {
	closing := byte('>')
	if s[0] == '[' {
		closing = ']'
	}
	end := bytes.IndexByte(s[:min(len(s), 24)], closing)
	if end < 2 {
		return 0
	}
	for _, p := range placeholders {
		if len(p) == end-1 && equalFold(s[1:end], p) {
			if p == "account_number" {
				p = "account"
			}
			start := len(d.buf)
			d.buf = append(append(append(d.buf, '<'), p...), '>')
			d.push(Placeholder, start)
			d.Shape.Placeholders++
			return end + 1
		}
	}
	return 0
}

func equalFold(b []byte, lower string) bool {
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func urlLength(s []byte) int {
	n := 0
	for _, prefix := range [...]string{"https://", "http://", "www."} {
		if len(s) >= len(prefix) && equalFold(s[:len(prefix)], prefix) {
			n = len(prefix)
			break
		}
	}
	if n == 0 {
		return 0
	}
	for n < len(s) && s[n] > ' ' && s[n] != '"' && s[n] != '<' && s[n] != '>' {
		n++
	}
	return n
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return isWordByte(byte(r))
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r)
}

// isIgnorable holds for what has no width: joiners, variation selectors, marks of direction, skin tones. A line's end is a control character, too, but
// parts words as a space does.
func isIgnorable(r rune) bool {
	switch {
	case unicode.IsSpace(r):
		return false
	case r == 0x200b, r == 0x200c, r == 0x200d, r == 0x2060, r == 0xfeff, r >= 0x200e && r <= 0x200f, r >= 0x202a && r <= 0x202e,
		r >= 0xfe00 && r <= 0xfe0f, r >= 0x1f3fb && r <= 0x1f3ff, unicode.IsControl(r):
		return true
	}
	return false
}

// plainWord reads one word as nearly all are: letters of ASCII up to a character that ends any word. It returns the bytes read; 0 if the word is not
// of that kind, and then it has done nothing.
func (a *Analyzer) plainWord(d *Doc, s []byte) int {
	start := len(d.buf)
	d.buf = slices.Grow(d.buf, maxWordRunes)
	room := d.buf[start:][:maxWordRunes]
	h, upper, run := uint32(offset), 0, 0
	previous := byte(0)
	n := 0
	for ; n < len(s); n++ {
		c := lower[s[n]]
		if c == 0 {
			break
		}
		if c != s[n] {
			upper++
		}
		run++
		if c != previous {
			previous, run = c, 1
		}
		if run == 3 || n == len(room) {
			return 0
		}
		h = (h ^ uint32(c)) * prime
		room[n] = c
	}
	if n == 0 || n < len(s) && mayGoOn[s[n]] {
		return 0
	}
	d.buf = d.buf[:start+n]
	if upper >= 3 && upper == n {
		d.Shape.Shouted++
	}
	d.Shape.Words++
	d.Shape.Latin++
	d.Tokens = append(d.Tokens, Token{Kind: Word, runes: uint8(n), start: int32(start), end: int32(len(d.buf)), Hash: mix(h)})
	a.resolve(d)
	return n
}

// lower is the small letter of each letter of ASCII, and 0 of any other byte.
var lower = func() (of [256]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		of[c], of[c-'a'+'A'] = c, c
	}
	return of
}()

// mayGoOn says with which bytes a word may go on after a letter: not with white space, nor with punctuation but these.
var mayGoOn = func() (may [256]bool) {
	for i := range may {
		c := byte(i)
		may[i] = isWordByte(c) || c >= utf8.RuneSelf || c == '\'' || c == '`' || c == '-' || isIgnorable(rune(c))
	}
	return may
}()

// resolve gives the last token the hash of its canonical form.
func (a *Analyzer) resolve(d *Doc) {
	t := &d.Tokens[len(d.Tokens)-1]
	if a.maybeVariant.May(t.Hash) {
		if h, ok := a.canonical[string(d.Text(*t))]; ok {
			t.Hash = h
		}
	}
}

// word reads one word or number, folds it, removes elongation and returns the bytes read.
func (a *Analyzer) word(d *Doc, s []byte, k Kind) int {
	start := len(d.buf)
	i, runes, digits, upper, run := 0, 0, 0, 0, 0
	var previous rune
	long := false
	for i < len(s) {
		r, size := rune(s[i]), 1
		// Nearly all of a text is letters of ASCII within a word, of which only the case is in question.
		isDigit := '0' <= r && r <= '9'
		if plain := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'; !plain || digits > 0 {
			if r >= utf8.RuneSelf {
				r, size = utf8.DecodeRune(s[i:])
			}
			if r == '’' || r == '‘' || r == 'ʼ' || r == '`' {
				r = '\''
			}
			inner := r == '\'' || r == '-' || (digits > 0 && digits == runes && (r == '.' || r == ','))
			if inner {
				// An apostrophe or hyphen belongs to a word only between two of its letters.
				if runes == 0 || i+size >= len(s) {
					break
				}
				next, _ := utf8.DecodeRune(s[i+size:])
				if !isWordRune(next) || (r != '\'' && r != '-' && !unicode.IsDigit(next)) {
					break
				}
				if r == '.' || r == ',' {
					i += size
					continue
				}
			} else if isIgnorable(r) {
				i += size
				continue
			} else if !isWordRune(r) {
				break
			}
			if runes > 0 && runes == digits && !isDigit && r != '-' && r != '\'' || isDigit && digits == 0 && runes == 2 && string(d.buf[start:]) == "rp" {
				// "50rb" is a number and a unit, "Rp50.000" a currency and a number.
				break
			}
		}
		i += size
		if runes >= maxWordRunes {
			continue
		}
		if r < utf8.RuneSelf {
			if 'A' <= r && r <= 'Z' {
				upper++
				r += 'a' - 'A'
			}
		} else if unicode.IsUpper(r) {
			upper++
			r = unicode.ToLower(r)
		}
		if r == previous && !isDigit {
			run++
		} else {
			run = 1
		}
		previous = r
		if run >= 3 {
			// Three of the same letter are emphasis: the run becomes one letter.
			if run == 3 {
				_, last := utf8.DecodeLastRune(d.buf[start:])
				d.buf = d.buf[:len(d.buf)-last]
				runes--
			}
			long = true
			continue
		}
		if isDigit {
			digits++
		}
		runes++
		d.buf = utf8.AppendRune(d.buf, r)
	}
	if i == 0 {
		// Only reachable when a caller hands over something that is no word: consume one rune, so that reading always advances.
		_, size := utf8.DecodeRune(s)
		return max(size, 1)
	}
	if len(d.buf) == start {
		return i
	}
	if long {
		d.Shape.Elongated++
	}
	if upper >= 3 && upper == runes-digits {
		d.Shape.Shouted++
	}
	if digits == runes {
		// A number is its count of digits, except small ones: "3 bulan" differs from "1234567".
		d.Shape.Numbers++
		if digits > 2 {
			d.buf = append(d.buf[:start], "<n"...)
			d.buf = append(d.buf, byte('0'+min(digits, 9)), '>')
		}
		d.push(Number, start)
		return i
	}
	d.Shape.Words++
	if k == Word {
		d.countScript(start)
	}
	d.push(k, start)
	d.Tokens[len(d.Tokens)-1].runes = uint8(runes)
	a.resolve(d)
	return i
}

// countScript counts the word that begins there by its script.
func (d *Doc) countScript(start int) {
	switch r, _ := utf8.DecodeRune(d.buf[start:]); {
	case unicode.Is(unicode.Latin, r):
		d.Shape.Latin++
	case unicode.IsLetter(r):
		d.Shape.OtherScript++
	}
}

func (a *Analyzer) wordFeatures(d *Doc) {
	previous := uint32(saltPair)
	negatedFor := 0
	for i := range d.Tokens {
		t := &d.Tokens[i]
		particle := a.maybeParticle.May(t.Hash)
		if t.Kind == Punctuation || particle && a.stops[t.Hash] {
			negatedFor = 0
		}
		d.addWord(t.Hash)
		d.addWord(pair(previous, t.Hash))
		if negatedFor > 0 && (t.Kind == Word || t.Kind == Hashtag) {
			negatedFor--
			t.Negated = true
			d.addWord(mix(t.Hash ^ saltNegated))
		}
		if particle && a.negations[t.Hash] {
			negatedFor = 3
		}
		previous = t.Hash
	}
	d.addWord(pair(previous, 1))
	s := &d.Shape
	for i, n := range [...]int{s.Questions, s.Exclamations, s.Elongated, s.Shouted, s.URLs, s.Mentions, s.Hashtags, s.Emojis, s.Placeholders, s.Numbers} {
		if n > 0 {
			d.addWord(mix(uint32(i*4+min(n, 3)) ^ saltShape))
		}
	}
	length := 0
	for n := s.Words; n > 0; n >>= 1 {
		length++
	}
	d.addWord(mix(uint32(64+length) ^ saltShape))
}

// MaxGrams is the most n-grams that one token can have.
const MaxGrams = 4 * (maxWordRunes + 2)

// CountGrams is how many n-grams Grams appends.
func (t Token) CountGrams() int {
	if t.runes == 0 {
		return 0
	}
	// With its edges a word has n runes, of which all but the last three begin four n-grams.
	n := int(t.runes) + 2
	if n < 5 {
		return n * (n - 1) / 2
	}
	return 4*n - 10
}

// Grams appends the hashed n-grams of 2 to 5 runes of one token to dst, its two edges marked by a space; repeats are kept. The grams of a
// token depend on its text alone, so a caller may keep what it derives from them. A token that is no word has none.
func (d *Doc) Grams(t Token, dst []uint32) []uint32 {
	if t.Kind != Word && t.Kind != Hashtag {
		return dst
	}
	var runes [maxWordRunes + 4]rune
	runes[0] = ' '
	n := 1
	for b := d.buf[t.start:t.end]; len(b) > 0 && n < len(runes)-1; n++ {
		r, size := rune(b[0]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(b)
		}
		runes[n] = r
		b = b[size:]
	}
	runes[n] = ' '
	n++
	for i := 0; i+1 < n; i++ {
		h := uint32(offset^saltChar) ^ uint32(runes[i])
		h *= prime
		for j := i + 1; j < n && j < i+5; j++ {
			h = (h ^ uint32(runes[j])) * prime
			dst = append(dst, mix(h))
		}
	}
	return dst
}
