package sample

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every slot that a text names can be filled, every question and complaint has an answer, every choice is closed.
func TestTextsFitTogether(t *testing.T) {
	moment := []string{"salam", "salamen", "akun", "akunlain", "noreg", "data", "telp", "kawan"}
	slot := regexp.MustCompile(`\{([^{}]*)\}`)
	for _, h := range offices() {
		g, err := parseGrammar("common.txt", h.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range g.sections {
			if len(s.options) == 0 {
				t.Errorf("%s: section %s is empty", h.file, s.name)
			}
			for _, text := range s.options {
				for _, name := range slot.FindAllStringSubmatch(text, -1) {
					if g.byName[name[1]] == nil && !slices.Contains(moment, name[1]) {
						t.Errorf("%s: %s: no section and no moment fills {%s}: %s", h.file, s.name, name[1], text)
					}
				}
				if strings.Count(text, "<") != strings.Count(text, ">") || strings.Count(text, "{") != strings.Count(text, "}") || regexp.MustCompile(`<[^>]*<`).MatchString(text) {
					t.Errorf("%s: %s: a choice or a slot is not closed: %s", h.file, s.name, text)
				}
				if s.truth != nil && strings.Contains(strings.NewReplacer("{", "", "}", "").Replace(text), "  ") {
					t.Errorf("%s: %s: two spaces: %s", h.file, s.name, text)
				}
			}
			if !slices.Contains([]string{"id", "jv", "su", "en"}, s.lang) {
				t.Errorf("%s: %s: language %s", h.file, s.name, s.lang)
			}
			if s.truth != nil && (strings.HasPrefix(s.name, "ask/") || strings.HasPrefix(s.name, "gripe/")) && g.byName["answer/"+s.topic()] == nil {
				t.Errorf("%s: %s has no section answer/%s", h.file, s.name, s.topic())
			}
		}
	}
}

func TestHeadersAreRefused(t *testing.T) {
	for _, header := range []string{"a : need", "a : must neutral none 0", "a : need calm none 0", "a : need neutral none many", "a : need neutral none 0 *x"} {
		if _, err := parseHeader(header); err == nil {
			t.Errorf("%q is accepted", header)
		}
	}
	s, err := parseHeader("ask/easy/jam@jv : need neutral none 0 *3")
	if err != nil || s.lang != "jv" || s.weight != 3 || !s.truth.needsReply || s.topic() != "jam" {
		t.Errorf("%+v, %v", s, err)
	}
}

// What a conversation is about stays the same from the question to the answer; a second use in one text is something else.
func TestConversationsRemember(t *testing.T) {
	g := &grammar{byName: map[string]*section{
		"kampung":  {options: []string{"A", "B", "C", "D", "E", "F", "G", "H"}},
		"question": {options: []string{"air mati di {kampung} <dan|juga> di {kampung}"}},
		"answer":   {options: []string{"{kampung}"}},
	}}
	rng := rand.New(rand.NewPCG(1, 1))
	differ := false
	for range 50 {
		in := &slots{subject: map[string]string{}}
		question := strings.Fields(g.expand(rng, "question", in))
		if answer := g.expand(rng, "answer", in); answer != question[3] {
			t.Fatalf("asked about %s, answered about %s", question[3], answer)
		}
		differ = differ || question[3] != question[6]
	}
	if !differ {
		t.Error("two places in one text are always the same")
	}
}
