package sink

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mutantSeeds is how many seeds a mistake has to be found in.
const mutantSeeds = "1:20000"

var (
	mutatedFile   = regexp.MustCompile(`(?m)^\+\+\+ b/sink/(\S+)`)
	mutantsBreaks = regexp.MustCompile(`(?m)^Breaks: (I\d)$`)
)

// TestMutants makes each deliberate mistake of testdata/mutants in a copy, and holds that the simulation finds it, by the invariant that the patch names.
func TestMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the package once for each mutant")
	}
	patches, err := filepath.Glob("testdata/mutants/*.patch")
	if err != nil || len(patches) == 0 {
		t.Fatalf("no mutants: %v", err)
	}
	for _, path := range patches {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".patch"), func(t *testing.T) {
			patch, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			file, breaks := mutatedFile.FindSubmatch(patch), mutantsBreaks.FindSubmatch(patch)
			if file == nil || breaks == nil {
				t.Fatalf("%s names no file of sink, or no invariant as in %q", path, "Breaks: I1")
			}
			dir := t.TempDir()
			name := string(file[1])
			original, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			mutant := filepath.Join(dir, "sink", name)
			if err := os.MkdirAll(filepath.Dir(mutant), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(mutant, original, 0o600); err != nil {
				t.Fatal(err)
			}
			apply := exec.Command("git", "apply", "-")
			apply.Dir, apply.Stdin = dir, strings.NewReader(string(patch))
			if out, err := apply.CombinedOutput(); err != nil {
				t.Fatalf("%s does not fit any more: %v\n%s", path, err, out)
			}
			here, err := filepath.Abs(name)
			if err != nil {
				t.Fatal(err)
			}
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {here: mutant}})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			test := exec.CommandContext(t.Context(), "go", "test", "-overlay", filepath.Join(dir, "overlay.json"), "-count=1", "-vet=off", "-run", "^TestSimulation$", ".")
			test.Env = append(os.Environ(), simulateVariable+"="+mutantSeeds)
			out, err := test.CombinedOutput()
			if _, ended := err.(*exec.ExitError); !ended || !strings.Contains(string(out), ": "+string(breaks[1])+": ") {
				t.Errorf("the simulation does not find it (%v):\n%s", err, out)
			}
		})
	}
}
