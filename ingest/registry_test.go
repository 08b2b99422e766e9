package ingest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestAPlatformIsOnePackageAndOneLine: nothing but the registry names a platform's package, so that a new one needs no change elsewhere. Exempt are Jetstream, which is Bluesky's
// stream, archives, and what stands for the platforms in tests and the demonstration.
func TestAPlatformIsOnePackageAndOneLine(t *testing.T) {
	const internal = "github.com/dwiarah/dwiarah/ingest/internal/"
	readmes, err := filepath.Glob("internal/*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	importers := map[string][]string{} // files, by the platform's package
	for _, readme := range readmes {
		importers[filepath.Base(filepath.Dir(readme))] = nil
	}
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		dir := filepath.Dir(path)
		if dir == "field" || dir == filepath.Join("internal", "archive") || strings.HasSuffix(dir, "test") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imported := range file.Imports {
			name, err := strconv.Unquote(imported.Path.Value)
			if err != nil {
				return err
			}
			if name, own := strings.CutPrefix(name, internal); own {
				if _, platform := importers[name]; platform {
					importers[name] = append(importers[name], filepath.ToSlash(path))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(importers)) {
		files := slices.DeleteFunc(importers[name], func(path string) bool { return name == "bluesky" && strings.HasPrefix(path, "internal/jetstream/") })
		if !slices.Equal(files, []string{"config.go"}) {
			t.Errorf("the platform in internal/%s is named by %s; allowed: config.go alone", name, strings.Join(files, ", "))
		}
	}
}
