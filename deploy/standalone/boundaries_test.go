package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const modulePrefix = "github.com/dwiarah/dwiarah/"

// mayImport is the rule of ARCHITECTURE.md; schemas may import nothing of the project but itself.
var mayImport = map[string][]string{
	"schemas": {"schemas"},
	"ingest":  {"ingest", "schemas"},
	"enrich":  {"enrich", "schemas"},
	"sink":    {"sink", "schemas"},
}

// embedded packages run Kafka and ClickHouse inside the process: tests and the standalone only, never a service.
var embedded = []string{"schemas/kit/broker", "schemas/kit/engine", "schemas/kit/kafkatest", "schemas/sample", "schemas/reference"}

// TestModulesImportOnlyWhatTheyMay lists the dependencies of each module as it builds alone, its tests included.
func TestModulesImportOnlyWhatTheyMay(t *testing.T) {
	for module, allowed := range mayImport {
		for _, dep := range dependencies(t, module, "-test", "./...") {
			own, ok := strings.CutPrefix(dep, modulePrefix)
			if !ok {
				continue
			}
			// A package's tests are listed as packages of their own.
			own = strings.TrimSuffix(strings.TrimSuffix(own, ".test"), "_test")
			if !within(own, allowed) {
				t.Errorf("%s imports %s; it may import %s", module, own, strings.Join(allowed, ", "))
			}
		}
	}
}

func TestServicesDoNotCarryTheEmbeddedParts(t *testing.T) {
	for _, module := range []string{"ingest", "enrich", "sink"} {
		for _, dep := range dependencies(t, module, "./cmd/...") {
			if own, ok := strings.CutPrefix(dep, modulePrefix); ok && within(own, embedded) {
				t.Errorf("%s carries %s into production", module, own)
			}
		}
	}
}

func within(path string, roots []string) bool {
	for _, root := range roots {
		if path == root || strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}

func dependencies(t *testing.T, module string, what ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps"}, what...)...)
	cmd.Dir = filepath.Join("..", "..", module)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the dependencies of %s: %v\n%s", module, err, stderr.String())
	}
	deps := strings.Fields(string(out))
	if len(deps) == 0 {
		t.Fatalf("%s has no packages", module)
	}
	return deps
}
