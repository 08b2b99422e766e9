package sample

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dwiarah/dwiarah/schemas"
)

// voice is how a citizen writes.
type voice struct {
	lang               string
	slang, typo, emoji float64
	lower, formal      bool
}

func newVoice(rng *rand.Rand, langs []weighted) voice {
	v := voice{lang: pick(rng, langs), typo: 0.012 * rng.Float64(), emoji: 0.25 * rng.Float64()}
	switch r := rng.Float64(); {
	case r < 0.25:
		v.formal = true
	case r < 0.6:
		v.slang, v.lower = 0.25+0.3*rng.Float64(), rng.Float64() < 0.7
	default:
		v.slang, v.lower, v.typo = 0.5+0.4*rng.Float64(), true, 0.05*rng.Float64()
	}
	return v
}

// emojis by sentiment.
var emojis = map[string][]string{
	schemas.Negative: {"😡", "😤", "🤦", "😭", "😞", "🙄", "💢", "😩", "👎"},
	schemas.Neutral:  {"🙏", "🙂", "🤔", "👀", "😅", "📌", "☕"},
	schemas.Positive: {"👍", "❤️", "😊", "🙏", "🔥", "🎉", "😍", "👏"},
}

// slang maps a common word to how people write it.
type slang map[string][]string

func parseSlang() (slang, error) {
	b, err := texts.ReadFile("texts/slang.txt")
	if err != nil {
		return nil, fmt.Errorf("reading the sample's slang: %w", err)
	}
	forms := slang{}
	for line := range strings.Lines(string(b)) {
		if word, written, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "#") {
			forms[word] = strings.Fields(written)
		}
	}
	return forms, nil
}

// say rewrites a text the way the voice would. Mentions, hashtags, addresses and numbers stay as they are.
func (v voice) say(rng *rand.Rand, forms slang, text, lang, sentiment string) string {
	words := strings.Split(text, " ")
	for n, word := range words {
		if strings.ContainsAny(word, "@#0123456789") || strings.Contains(word, ".example") {
			continue
		}
		core := strings.TrimRightFunc(word, func(r rune) bool { return !unicode.IsLetter(r) })
		tail := word[len(core):]
		if written, ok := forms[strings.ToLower(core)]; ok && lang == "id" && rng.Float64() < v.slang {
			core = written[rng.IntN(len(written))]
		} else if len(core) >= 5 && rng.Float64() < v.typo {
			core = mistype(rng, core)
		}
		if v.lower {
			core = strings.ToLower(core)
		}
		words[n] = core + tail
	}
	text = strings.Join(words, " ")
	switch {
	case v.formal:
		text = capitalise(text)
		if last, _ := utf8.DecodeLastRuneInString(text); unicode.IsLetter(last) {
			text += "."
		}
	case sentiment == schemas.Negative && rng.Float64() < 0.03:
		text = shout(text)
	case v.lower && rng.Float64() < 0.4:
		text = strings.TrimRight(text, ".,")
	}
	if rng.Float64() < v.emoji {
		set := emojis[sentiment]
		text += " " + strings.Repeat(set[rng.IntN(len(set))], 1+rng.IntN(2))
	}
	return text
}

func capitalise(text string) string {
	if strings.HasPrefix(text, "@") {
		handle, rest, ok := strings.Cut(text, " ")
		if !ok {
			return text
		}
		return handle + " " + capitalise(rest)
	}
	r, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[size:]
}

// shout leaves handles alone: they are case-insensitive, but people copy them.
func shout(text string) string {
	words := strings.Split(text, " ")
	for n, word := range words {
		if !strings.HasPrefix(word, "@") {
			words[n] = strings.ToUpper(word)
		}
	}
	return strings.Join(words, " ")
}

// mistype swaps, drops or doubles one letter inside a word.
func mistype(rng *rand.Rand, word string) string {
	letters := []rune(word)
	at := 1 + rng.IntN(len(letters)-2)
	switch rng.IntN(3) {
	case 0:
		letters[at], letters[at+1] = letters[at+1], letters[at]
	case 1:
		letters = append(letters[:at], letters[at+1:]...)
	default:
		letters = append(letters[:at+1], letters[at:]...)
	}
	return string(letters)
}

// weighted is one choice of several.
type weighted struct {
	name   string
	weight float64
}

func pick(rng *rand.Rand, choices []weighted) string {
	total := 0.0
	for _, c := range choices {
		total += c.weight
	}
	at := rng.Float64() * total
	for _, c := range choices {
		if at -= c.weight; at < 0 {
			return c.name
		}
	}
	return choices[len(choices)-1].name
}

// Handles are two words and a number; none is a person's name.
var (
	handleFirst  = strings.Fields("kopi senja embun pelangi bakso layang kucing sepeda juragan pojok warung bintang mendung ombak daun rantau bocah emak teras petani tukang pelaut gerobak kembang lampu sandal rujak peron payung jendela kerupuk angin")
	handleSecond = strings.Fields("oren biru malam sore tengah garis santai manis pedas loteng keliling pinggir sawah kilat rindu subuh hangat lurus miring sebelah terbang asin gurih merantau ngantuk nekat")
)

func newHandle(rng *rand.Rand, taken map[string]bool) string {
	for {
		handle := handleFirst[rng.IntN(len(handleFirst))] + []string{"_", ""}[rng.IntN(2)] + handleSecond[rng.IntN(len(handleSecond))]
		if rng.IntN(3) > 0 {
			handle += fmt.Sprint(rng.IntN(1000))
		}
		if !taken[handle] {
			taken[handle] = true
			return handle
		}
	}
}
