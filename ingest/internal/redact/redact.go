// Package redact replaces personal data in texts by typed placeholders, before anything leaves ingest (COMPLIANCE, rule 6, and invariant I6).
//
// A leaked number is worse than a lost one, but a text full of wrong placeholders cannot be classified: so a number becomes a placeholder for its
// form (16 digits, a mobile prefix) or for the words before it ("rekening", "wa"), never for its length alone. Every step is linear in the text.
package redact

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dwiarah/dwiarah/schemas"
)

// Kinds of personal data, as event.Message.redacted names them.
const (
	NIK           = "nik"
	Phone         = "phone"
	Email         = "email"
	Plate         = "plate"
	AccountNumber = "account_number"
)

// userPlaceholder stands for a citizen's handle. Handles are in nearly every reply, so they are no kind of their own.
const userPlaceholder = "[USER]"

var placeholders = map[string]string{NIK: "[NIK]", Phone: "[PHONE]", Email: "[EMAIL]", Plate: "[PLATE]", AccountNumber: "[ACCOUNT]"}

// Redactor redacts the texts of one platform. It is safe for concurrent use.
type Redactor struct {
	isAccount func(handle string) bool
	// joints are the characters that a handle of the platform may hold between its letters, digits and underscores.
	joints string
}

// New returns the redactor of a platform. isAccount tells whether a handle, written without its @, is an official account's: those stay.
func New(platform string, isAccount func(handle string) bool) *Redactor {
	r := &Redactor{isAccount: isAccount}
	switch platform {
	case schemas.PlatformBluesky, schemas.PlatformReddit, schemas.PlatformYouTube, schemas.PlatformWeb:
		r.joints = ".-"
	case schemas.PlatformInstagram, schemas.PlatformThreads, schemas.PlatformTikTok, schemas.PlatformFacebook, schemas.PlatformMastodon:
		r.joints = "."
	}
	return r
}

const (
	emailLocal  = `[\p{L}\p{N}_][\p{L}\p{N}._%+\-]*`
	emailDomain = `(?:[\p{L}\p{N}](?:[\p{L}\p{N}\-]*[\p{L}\p{N}])?\.)+\p{L}{2,}`
	socialHosts = `twitter\.com|x\.com|instagram\.com|facebook\.com|fb\.com|fb\.me|tiktok\.com|threads\.net|threads\.com|t\.me|telegram\.me|youtube\.com|reddit\.com|` +
		`linkedin\.com|linktr\.ee|bsky\.app|wa\.me|api\.whatsapp\.com|whatsapp\.com`
)

// addressed finds in a word, at one go and leftmost first, what holds an @ or a path: an address on the web, a handle with its host, an e-mail address.
// The mail providers without a dot are the usual slip of the pen. An address ends at a bracket, so that a placeholder is not read again.
var addressed = regexp.MustCompile(`(?i)(https?://[^\s<>\[\]]*[^\s<>\[\].,;:!?)}'"]|\bwww\.[^\s<>\[\]]*[^\s<>\[\].,;:!?)}'"]|\b(?:[a-z0-9\-]+\.)*(?:` + socialHosts + `)/[^\s<>\[\]]*[^\s<>\[\].,;:!?)}'"])` +
	`|[@＠]([\p{L}\p{N}_](?:[\p{L}\p{N}_.\-]*[\p{L}\p{N}_])?@` + emailDomain + `)` +
	`|(` + emailLocal + `(?:[@＠]|\(at\)|\[at\])(?:` + emailDomain + `)|` + emailLocal + `[@＠](?:gmail|yahoo|ymail|hotmail|outlook|icloud)\b)`)

// Text returns the text with placeholders, and the kinds of data that they stand for, sorted, each once.
func (r *Redactor) Text(text string) (redacted string, kinds []string) {
	p := pass{Redactor: r}
	p.out.Grow(len(text))
	done := 0
	for start := 0; start < len(text); {
		end := start + wordEnd(text[start:])
		if word := text[start:end]; mayBeAddressed(word) {
			for _, m := range addressed.FindAllStringSubmatchIndex(word, -1) {
				p.plain(text[done : start+m[0]])
				done = start + m[1]
				p.address(word, m)
			}
		}
		start = end
	}
	p.plain(text[done:])
	slices.Sort(p.kinds)
	return p.out.String(), p.kinds
}

// wordEnd is where the first blank after the first other character stands.
func wordEnd(s string) int {
	begun := false
	for i, r := range s {
		switch {
		case !unicode.IsSpace(r):
			begun = true
		case begun:
			return i
		}
	}
	return len(s)
}

// mayBeAddressed spares most words the expression: what it finds holds a slash, an "at" in brackets, a www., or an @ inside the word.
func mayBeAddressed(word string) bool {
	signs := 0
	for i, r := range word {
		switch r {
		case '/', '(', '[':
			if r == '/' || strings.HasPrefix(strings.ToLower(word[i+1:min(len(word), i+4)]), "at") {
				return true
			}
		case '@', '＠':
			before, _ := utf8.DecodeLastRuneInString(word[:i])
			if signs++; signs > 1 || i > 0 && (wordRune(before) || strings.ContainsRune(".%+-", before)) {
				return true
			}
		}
	}
	return len(word) > 4 && strings.Contains(strings.ToLower(word), "www.")
}

// address redacts one match of addressed.
func (p *pass) address(word string, m []int) {
	switch {
	case m[2] >= 0:
		p.url(word[m[2]:m[3]])
	case m[4] >= 0 && p.isAccount(word[m[4]:m[5]]):
		p.out.WriteString(word[m[0]:m[1]])
	case m[4] >= 0:
		p.out.WriteString(userPlaceholder)
	default:
		p.put(Email)
	}
}

// pass is the redaction of one text.
type pass struct {
	*Redactor
	out   strings.Builder
	kinds []string
}

func (p *pass) put(kind string) {
	p.out.WriteString(placeholders[kind])
	p.found(kind)
}

func (p *pass) found(kind string) {
	if !slices.Contains(p.kinds, kind) {
		p.kinds = append(p.kinds, kind)
	}
}

// plain redacts a stretch without addresses: numbers, then plates, then handles.
func (p *pass) plain(s string) {
	s = p.numbers(s)
	s = p.plates(s)
	p.handles(s)
}

func (p *pass) handles(s string) {
	done := 0
	for at := 0; at < len(s); {
		next := strings.IndexAny(s[at:], "@＠")
		if next < 0 {
			break
		}
		sign := at + next
		_, size := utf8.DecodeRuneInString(s[sign:])
		at = sign + size
		name := p.handle(s[at:])
		before, _ := utf8.DecodeLastRuneInString(s[:sign])
		if name == "" || unicode.IsDigit(before) && strings.IndexFunc(name, func(r rune) bool { return !unicode.IsDigit(r) }) < 0 {
			continue // "3@5000" is a price
		}
		// "@akun.tolong" is the account and the next sentence where a handle may hold a dot.
		if head, _, cut := strings.Cut(name, "."); p.isAccount(name) || cut && p.isAccount(head) {
			at += len(head)
			continue
		}
		at += len(name)
		p.out.WriteString(s[done:sign])
		p.out.WriteString(userPlaceholder)
		done = at
	}
	p.out.WriteString(s[done:])
}

// handle returns the handle that s begins with; it begins and ends with a letter, a digit or an underscore.
func (p *pass) handle(s string) string {
	end := 0
	for i, r := range s {
		switch {
		case r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
			end = i + utf8.RuneLen(r)
		case i == 0 || !strings.ContainsRune(p.joints, r):
			return s[:end]
		}
	}
	return s[:end]
}

// plateCodes are the registration areas of Indonesian police plates.
var plateCodes = set("A B D E F G H K L M N P R S T W Z AA AB AD AE AG BA BB BD BE BG BH BK BL BM BN BP DA DB DC DD DE DG DH DK DL DM DN DP DR DS DT DW EA EB ED KB KH KT KU PA PB PG PS PT PY")

// notPlates are words and units that stand after a number as often as a plate's letters do.
var notPlates = set("DAN DI KE YG DR KG KM CM MM ML M G L RB RBU JT JTA K ORG PCS PC HR HRI JAM MNT THN BLN TGL WIB WIT WITA AM PM IDR RP USD TP SAJA AJA YA BUAH INI ITU ADA LBH TDK GAK GA KAK PAK BU MIN MAX NEO PRO GB MB TB " +
	"THE AND FOR OR IN ON AT TO OF IS A I AN BY AS IT ST ND RD TH UTK DGN DG JD LG NYA PER VS HP PS VA")

var plateContext = regexp.MustCompile(`(?i)(?:plat|nopol|no\.? ?pol|nomor polisi|kendaraan|mobil|motor|taksi|taxi|angkot|bus|truk|truck)[^.!?\n]{0,24}$`)

// contextBytes is how far before a number the words are looked at that say what it is.
const contextBytes = 48

// plates replaces B 1234 XYZ and its like: an area's letters, at most four digits, at most three letters.
func (p *pass) plates(s string) string {
	var b strings.Builder
	done := 0
	for at := 0; at < len(s); {
		if s[at] < '0' || s[at] > '9' {
			at++
			continue
		}
		end := at
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		if start, stop, ok := plateAround(s, at, end); ok && start >= done {
			b.WriteString(s[done:start])
			b.WriteString(placeholders[Plate])
			p.found(Plate)
			done, end = stop, stop
		}
		at = end
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// plateAround looks at what stands around the digits s[at:end].
func plateAround(s string, at, end int) (start, stop int, ok bool) {
	digits := s[at:end]
	if len(digits) > 4 || digits[0] == '0' {
		return 0, 0, false
	}
	left := at
	if left > 0 && (s[left-1] == ' ' || s[left-1] == '-') {
		left--
	}
	start = left
	for start > 0 && isASCIILetter(s[start-1]) && left-start <= 2 {
		start--
	}
	right := end
	if right < len(s) && (s[right] == ' ' || s[right] == '-') {
		right++
	}
	stop = right
	for stop < len(s) && isASCIILetter(s[stop]) && stop-right <= 3 {
		stop++
	}
	code, suffix := s[start:left], s[right:stop]
	if !plateCodes[strings.ToUpper(code)] || len(suffix) == 0 || len(suffix) > 3 || notPlates[strings.ToUpper(suffix)] {
		return 0, 0, false
	}
	before, _ := utf8.DecodeLastRuneInString(s[:start])
	after, _ := utf8.DecodeRuneInString(s[stop:])
	if start > 0 && (wordRune(before) || strings.ContainsRune("/@#.-", before)) || stop < len(s) && wordRune(after) {
		return 0, 0, false
	}
	upper := strings.ToUpper(code) == code && strings.ToUpper(suffix) == suffix
	apart := left < at && right > end
	year := len(digits) == 4 && (strings.HasPrefix(digits, "19") || strings.HasPrefix(digits, "20"))
	ok = upper && len(digits) >= 3 || apart && len(digits) == 4 && len(suffix) >= 2 && !year || plateContext.MatchString(window(s, start))
	return start, stop, ok
}

func isASCIILetter(c byte) bool { return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' }

func wordRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

// window returns the bytes before position at that are looked at for context.
func window(s string, at int) string { return s[max(0, at-contextBytes):at] }

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}
