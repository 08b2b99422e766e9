package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The points at which ingest is killed: while it imports, polls, and takes what is pushed. A number says at which passing.
func importedPoints() []string {
	return []string{"producer.after_ack:2", "ingest.import.after_ack", "ingest.import.after_ack:3", "ingest.import.after_position", "ingest.import.after_position:2"}
}

func polledPoints() []string {
	return []string{"ingest.poll.after_ack:2", "ingest.poll.after_position:5", "producer.after_ack:4", "ingest.poll.after_ack:9"}
}

func pushedPoints() []string {
	return []string{
		"ingest.webhook.after_save", "ingest.webhook.after_read:2", "ingest.webhook.after_save:5", "ingest.webhook.after_read:4", "ingest.poll.after_ack:40", "ingest.poll.after_position:40", "producer.after_ack:40",
	}
}

// TestEveryCrashPointKills: there is no crash point of ingest at which no test kills it.
func TestEveryCrashPointKills(t *testing.T) {
	hit := regexp.MustCompile(`crashpoint\.Hit\("([^"]+)"\)`)
	killed := map[string]bool{}
	for _, point := range slices.Concat(importedPoints(), polledPoints(), pushedPoints()) {
		name, _, _ := strings.Cut(point, ":")
		killed[name] = true
	}
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range hit.FindAllStringSubmatch(string(text), -1) {
			found++
			if !killed[m[1]] {
				t.Errorf("%s: nothing is killed at %s", path, m[1])
			}
		}
		return err
	})
	if err != nil || found == 0 {
		t.Errorf("%d points, %v", found, err)
	}
}
