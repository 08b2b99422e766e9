package redact

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// group is a stretch of digits; groups that only blanks, dots, hyphens or brackets part make a run, which may be one number or several.
type group struct {
	start, end int
	digits     string
	sep        string // what parts it from the group before
}

// maxSeparator is how many characters may part two groups of one number, as in "(021) 555".
const maxSeparator = 2

// numbers replaces NIKs, phone and account numbers.
func (p *pass) numbers(s string) string {
	var b strings.Builder
	done := 0
	for at := 0; at < len(s); {
		c := s[at]
		if c < utf8.RuneSelf && (c < '0' || c > '9') {
			at++
			continue
		}
		if r, size := utf8.DecodeRuneInString(s[at:]); !unicode.Is(unicode.Nd, r) {
			at += size
			continue
		}
		run := digitRun(s, at)
		if countDigits(run) < shortest {
			at = run[len(run)-1].end
			continue
		}
		for i := 0; i < len(run); {
			n, kind := classify(s, run, i)
			if n == 0 {
				i++
				continue
			}
			start := run[i].start
			if start > done && (s[start-1] == '+' || s[start-1] == '(' && closesBracket(run[i+1:i+n])) {
				start--
			}
			b.WriteString(s[done:start])
			b.WriteString(placeholders[kind])
			p.found(kind)
			done = run[i+n-1].end
			i += n
		}
		at = run[len(run)-1].end
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// shortest is the least number of digits that anything here has: an account number after the word for it.
const shortest = 8

func countDigits(run []group) int {
	n := 0
	for _, g := range run {
		n += len(g.digits)
	}
	return n
}

func closesBracket(rest []group) bool {
	for _, g := range rest {
		if strings.Contains(g.sep, ")") {
			return true
		}
	}
	return false
}

// maxRunGroups ends a run, so that a page of numbers is not held at once. Nothing that is looked for has as many groups.
const maxRunGroups = 64

func digitRun(s string, at int) []group {
	var run []group
	sep := at
	for len(run) < maxRunGroups {
		g := group{start: at, sep: s[sep:at]}
		var digits []byte
		for at < len(s) {
			r, size := utf8.DecodeRuneInString(s[at:])
			if !unicode.Is(unicode.Nd, r) {
				break
			}
			digits = append(digits, '0'+digitValue(r))
			at += size
		}
		g.end, g.digits = at, string(digits)
		run = append(run, g)
		sep = at
		count := 0
		for at < len(s) && count <= maxSeparator {
			r, size := utf8.DecodeRuneInString(s[at:])
			if !strings.ContainsRune(" .-()\u00a0\u2010\u2011\u2013", r) {
				break
			}
			at += size
			count++
		}
		if next, _ := utf8.DecodeRuneInString(s[at:]); count == 0 || count > maxSeparator || !unicode.Is(unicode.Nd, next) {
			break
		}
	}
	return run
}

// digitValue reads a decimal digit of any script: Unicode lays each script's ten out in a row, starting at a zero.
func digitValue(r rune) byte {
	if r <= '9' {
		return byte(r - '0')
	}
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return byte((r - rune(t.Lo)) % 10)
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return byte((r - rune(t.Lo)) % 10)
		}
	}
	return 0
}

var (
	moneyContext = regexp.MustCompile(`(?i)(?:\brp|\bidr|\busd|[$€£¥])\.? ?$`)
	// ticketContext: the number is a report's or an order's, which an institution needs to find the case.
	ticketContext = regexp.MustCompile(`(?i)(?:laporan|lapor|tiket|ticket|order|invoice|inv|resi|booking|pesanan|ref|reference|case|kasus|transaksi|trx|aduan|id|kode)(?: (?:no|nomor|number|id))?[ .:=#\-]*$`)
	// phoneContext: the words say that a number to call follows.
	phoneContext = regexp.MustCompile(`(?i)(?:^|[^\p{L}])(?:wa|whatsapp|hp|hape|telp|tlp|tel|telpon|telepon|phone|ph|call|calling|sms|hub|hubungi|kontak|contact|mobile|mob|cell|mo)(?: (?:no|nomor|number))?(?: (?:saya|sy|aku|kami|me|my|is|di|ke|at|on|no))?[ .:;=/\-]*\(?\+?$`)
	nikContext   = regexp.MustCompile(`(?i)(?:^|[^\p{L}])(?:nik|ktp|e-ktp|ektp|kk|kartu keluarga)(?: (?:no|nomor|saya|sy|anak|istri|suami|atas nama))?[ .:;=\-]*$`)
	// accountContext: a bank account, a card, or an account with a utility or an insurer.
	accountContext = regexp.MustCompile(`(?i)(?:^|[^\p{L}])(?:rek|rekening|norek|bank|bca|bri|bni|btn|bsi|mandiri|cimb|danamon|permata|jago|jenius|virtual account|va|kartu kredit|kartu debit|kartu atm|credit card|debit card|` +
		`account (?:no|number|num)|acct|a/c|idpel|id pel|id pelanggan|nomor pelanggan|no pelanggan|no\.? meter|nomor meter|noka|no kartu|nomor kartu|no\.? bpjs|nomor bpjs|npwp|no paspor|nomor paspor|paspor|passport)` +
		`[\p{L} .:;=/#\-]{0,24}$`)
)

// classify says whether a number that starts with group i of the run has to go, and how many groups it takes; 0 groups mean that it stays.
func classify(s string, run []group, i int) (groups int, kind string) {
	first := run[i].digits
	before := ""
	if i == 0 {
		before = window(s, run[0].start)
	}
	account := i == 0 && accountContext.MatchString(before)
	if len(first) == 16 {
		return 1, ofSixteen(first, account)
	}
	if n, digits := join(run[i:], 16, 1); len(digits) == 16 && n > 1 {
		switch {
		case n <= 7 && len(run[i+n-1].digits) >= 4 && looksLikeNIK(digits):
			return n, ofSixteen(digits, account)
		case n == 4 && len(first) == 4 && looksLikeCard(digits):
			return n, AccountNumber
		}
	}
	if moneyContext.MatchString(before) {
		return 0, ""
	}
	if i == 0 {
		if n, digits := number(run, 17); len(digits) >= 14 && nikContext.MatchString(before) {
			return n, NIK
		}
		if n, digits := number(run, 19); account && len(digits) >= shortest {
			return n, AccountNumber
		}
	}
	if n := phone(s, run, i, before); n > 0 {
		return n, Phone
	}
	return 0, ""
}

// ofSixteen tells a payment card or a bank account from a NIK. What could be either is a NIK, unless the words before it say otherwise.
func ofSixteen(digits string, account bool) string {
	nik, card := looksLikeNIK(digits), looksLikeCard(digits)
	if account && (card || !nik) || card && !nik {
		return AccountNumber
	}
	return NIK
}

// join takes groups until they hold at most limit digits, each parted from the one before by at most width characters.
func join(run []group, limit, width int) (groups int, digits string) {
	for n, g := range run {
		if len(digits)+len(g.digits) > limit || n > 0 && utf8.RuneCountInString(g.sep) > width {
			break
		}
		digits += g.digits
		groups = n + 1
	}
	return groups, digits
}

// number joins what a person would read as one number: a long group alone, with whatever hyphens or dots tie to it, or several short ones.
func number(run []group, limit int) (groups int, digits string) {
	if len(run[0].digits) < 8 {
		return join(run, limit, 1)
	}
	groups, digits = 1, run[0].digits
	for _, g := range run[1:] {
		if g.sep != "-" && g.sep != "." || len(digits)+len(g.digits) > limit {
			break
		}
		digits += g.digits
		groups++
	}
	return groups, digits
}

// looksLikeNIK checks the parts of a NIK that have a form: province 11..96, regency 01..79 (cities from 71 on), and after the district a birth day
// (women add 40) and month. The regency also keeps a mobile number with its 62 8 and whatever follows from being taken for one.
func looksLikeNIK(d string) bool {
	province, regency, day, month := two(d, 0), two(d, 2), two(d, 6), two(d, 8)
	return province >= 11 && province <= 96 && regency >= 1 && regency <= 79 && (day >= 1 && day <= 31 || day >= 41 && day <= 71) && month >= 1 && month <= 12
}

func two(d string, at int) int { return int(d[at]-'0')*10 + int(d[at+1]-'0') }

// looksLikeCard checks the first digit and the Luhn sum of a payment card.
func looksLikeCard(d string) bool {
	if d[0] < '3' || d[0] > '6' {
		return false
	}
	sum := 0
	for i := range len(d) {
		v := int(d[len(d)-1-i] - '0')
		if i%2 == 1 {
			v *= 2
			if v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// phone returns how many groups from i on make a phone number, 0 for none.
func phone(s string, run []group, i int, before string) int {
	start := run[i].start
	plus := start > 0 && s[start-1] == '+'
	called := i == 0 && phoneContext.MatchString(before)
	if i == 0 && !plus && !called && standsInCode(s, start) || !plus && ticketContext.MatchString(before) {
		return 0
	}
	first := run[i].digits
	n, digits := phoneDigits(run[i:])
	if n == 0 {
		return 0
	}
	if end := run[i+n-1].end; end < len(s) && (s[end] >= 'A' && s[end] <= 'Z' || s[end] == '_') {
		return 0 // the head of a longer code
	}
	switch {
	case plus:
		if first[0] != '0' && len(digits) >= 10 && len(digits) <= 15 {
			return n
		}
	case strings.HasPrefix(digits, "62"):
		if national := digits[2:]; mobile(national) && (len(first) > 2 || n > 1 && run[i+1].sep != ".") && !thousands(run[i:i+n]) {
			return n
		}
	case strings.HasPrefix(digits, "08"):
		if len(first) >= 3 && mobile(digits[1:]) {
			return n
		}
	case strings.HasPrefix(digits, "00"):
		if len(first) >= 4 && digits[2] != '0' && len(digits) >= 12 && len(digits) <= 16 {
			return n
		}
	case digits[0] == '0' && digits[1] >= '2':
		if landline(s, run[i:i+n], digits, called) {
			return n
		}
	}
	if called && len(digits) >= 9 && len(digits) <= 14 && !thousands(run[i:i+n]) {
		return n
	}
	return northAmerican(s, run[i:])
}

// phoneDigits joins the groups of one number: a number that is whole by itself only with what a hyphen or dot ties to it.
func phoneDigits(run []group) (groups int, digits string) {
	for n, g := range run {
		if n > 0 {
			whole := len(run[0].digits) >= 9
			tied := g.sep == "-" || g.sep == "."
			longest := 8
			if n == 1 && len(digits) <= 3 {
				longest = 12 // after a country's code
			}
			if len(g.digits) < 2 || len(g.digits) > longest || len(digits)+len(g.digits) > 15 || whole && !tied {
				break
			}
			// What follows a whole number after a blank is another number: a year, an amount.
			if len(digits) >= 11 && !tied {
				break
			}
		}
		digits += g.digits
		groups = n + 1
	}
	if len(digits) < shortest {
		return 0, ""
	}
	return groups, digits
}

// mobile checks an Indonesian mobile number without its 0 or 62.
func mobile(national string) bool {
	return len(national) >= 9 && len(national) <= 12 && national[0] == '8' && national[1] != '0'
}

// landline checks an Indonesian fixed line with its area code: written as one, it needs words before it or a big city's code.
func landline(s string, run []group, digits string, called bool) bool {
	if len(digits) < 9 || len(digits) > 12 {
		return false
	}
	if len(run) == 1 {
		return called || len(digits) >= 10 && len(digits) <= 11 && bigCity[digits[:3]]
	}
	first := run[0]
	if len(first.digits) < 3 || len(first.digits) > 4 || len(run[1].digits) < 3 {
		return false
	}
	bracketed := first.start > 0 && s[first.start-1] == '(' && strings.HasPrefix(run[1].sep, ")")
	return bracketed || called || run[1].sep == "-"
}

var bigCity = map[string]bool{"021": true, "022": true, "024": true, "031": true, "061": true}

// northAmerican checks for 555-123-4567, (555) 123-4567 and 1-800-...: three groups whose marks leave no doubt.
func northAmerican(s string, run []group) int {
	n := 0
	if run[0].digits == "1" && len(run) > 1 {
		n, run = 1, run[1:]
	}
	if len(run) < 3 || len(run[0].digits) != 3 || len(run[1].digits) != 3 || len(run[2].digits) != 4 {
		return 0
	}
	bracketed := run[0].start > 0 && s[run[0].start-1] == '(' && strings.HasPrefix(run[1].sep, ")")
	if run[0].digits[0] < '2' || run[1].digits[0] < '2' || run[2].sep != "-" && run[2].sep != "." || run[1].sep != run[2].sep && !bracketed {
		return 0
	}
	return n + 3
}

// thousands tells that dots part the groups as in an amount: 62.812.345.678.
func thousands(run []group) bool {
	if len(run) < 2 || len(run[0].digits) > 3 {
		return false
	}
	for _, g := range run[1:] {
		if g.sep != "." || len(g.digits) != 3 {
			return false
		}
	}
	return true
}

// standsInCode tells that the digits at start are the tail of a code such as INV-0812..., TRX/0812... or #0812....
func standsInCode(s string, start int) bool {
	r, size := utf8.DecodeLastRuneInString(s[:start])
	switch {
	case r == '#' || r == '_':
		return true
	case r == '-' || r == '/':
		r, _ = utf8.DecodeLastRuneInString(s[:start-size])
		return unicode.IsLetter(r) || unicode.IsDigit(r)
	}
	return unicode.IsLetter(r)
}
