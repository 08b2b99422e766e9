package field

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestThreads: the script has threads of several levels, in which citizens and the institution take turns.
func TestThreads(t *testing.T) {
	s, err := read(1)
	if err != nil {
		t.Fatal(err)
	}
	depths := map[int]int{}
	for _, lines := range s.threads {
		depth := make([]int, len(lines))
		for i, l := range lines {
			if l.text == "" {
				t.Fatal("a line says nothing")
			}
			if i == 0 {
				if l.official {
					t.Fatal("a thread begins with the institution")
				}
			} else {
				if l.parent >= i || l.official == lines[l.parent].official {
					t.Fatalf("line %d answers line %d", i, l.parent)
				}
				depth[i] = depth[l.parent] + 1
			}
			depths[depth[i]]++
		}
	}
	if len(depths) != deepest+1 || len(s.threads) < 100 {
		t.Errorf("%d threads, lines by depth %v", len(s.threads), depths)
	}
}

// TestSteps: every kind of event happens, and the list of posts says so on every platform.
func TestSteps(t *testing.T) {
	f, err := Open(Options{Seed: 1, Backlog: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kinds := map[string]int{}
	for range 40 {
		kinds[f.Step().Kind]++
	}
	for _, kind := range []string{Asks, Answers, Edits, Deletes} {
		if kinds[kind] == 0 {
			t.Errorf("nobody %s in 40 steps: %v", kind, kinds)
		}
	}
	edited, deleted := map[string]int{}, map[string]int{}
	for _, p := range f.Posts() {
		if p.Edited {
			edited[p.Platform]++
		}
		if p.Deleted {
			deleted[p.Platform]++
		}
	}
	for _, s := range f.Sources() {
		if deleted[s.Platform] != kinds[Deletes] || edited[s.Platform] == 0 || edited[s.Platform] > kinds[Edits] {
			t.Errorf("%s: %d edited, %d deleted, want %v", s.Platform, edited[s.Platform], deleted[s.Platform], kinds)
		}
	}
	listed := map[Post]bool{}
	for _, p := range f.Posts() {
		if listed[p] {
			t.Errorf("%+v is listed twice", p)
		}
		listed[p] = true
	}
}
