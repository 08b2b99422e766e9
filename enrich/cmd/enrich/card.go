package main

import (
	"fmt"
	"os"
	"strings"
)

// The marks in a model card between which its figures stand. Nobody writes there by hand.
const (
	figuresBegin = "<!-- figures: written by enrich evaluate --all --card -->"
	figuresEnd   = "<!-- end of figures -->"
)

// writeCard puts the figures between the marks of the card.
func writeCard(path, figures string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the model card: %w", err)
	}
	before, rest, begins := strings.Cut(string(b), figuresBegin)
	_, after, ends := strings.Cut(rest, figuresEnd)
	if !begins || !ends {
		return fmt.Errorf("writing the figures into %s: it has no line %q, or no line %q after it", path, figuresBegin, figuresEnd)
	}
	card := before + figuresBegin + "\n\n```\n" + figures + "```\n\n" + figuresEnd + after
	if err := os.WriteFile(path, []byte(card), 0o644); err != nil {
		return fmt.Errorf("writing the model card: %w", err)
	}
	return nil
}
