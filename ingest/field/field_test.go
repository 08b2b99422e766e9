package field

import (
	"encoding/json"
	"net/http"
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

// TestEveryCallCanBeLimited: where calls are limited every platform says so in its own way, on all of its servers, X on its stream as well.
func TestEveryCallCanBeLimited(t *testing.T) {
	f, err := Open(Options{Seed: 1, Push: true, Faults: Faults{Limited: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, p := range f.platforms {
		for _, server := range p.servers {
			for _, path := range []string{"/", "/2/tweets/search/stream"} {
				res, err := client.Get(server.URL + path)
				if err != nil {
					t.Fatal(err)
				}
				var answer struct {
					Error struct {
						Code int `json:"code"`
					} `json:"error"`
				}
				_ = json.NewDecoder(res.Body).Decode(&answer) // some platforms say it in another form, or by the status alone
				res.Body.Close()
				if limited := res.StatusCode == http.StatusTooManyRequests || answer.Error.Code == 80001; !limited {
					t.Errorf("%s answers %s with status %d", p.name, path, res.StatusCode)
				}
			}
		}
	}
}
