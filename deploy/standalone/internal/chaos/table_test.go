package chaos

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const top = "../../../.." // of the project

var (
	testName   = regexp.MustCompile("`(Test[A-Za-z]+)`")
	folderName = regexp.MustCompile("`([a-z]+(?:/[a-z]+)*)`")
	faultName  = regexp.MustCompile(`\bF[0-9]+\b`)
)

// TestEveryFaultHasItsTest holds the README's table against the comments of the tests: each of the 22 faults has a row, and what the row names is there and is about it.
func TestEveryFaultHasItsTest(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && faultName.MatchString(cells[1]) {
			rows[faultName.FindString(cells[1])] = cells[2]
		}
	}
	if len(rows) != 22 {
		t.Errorf("%d faults have a row", len(rows))
	}
	comments := map[string]map[string]string{}
	for n := range 22 {
		fault := fmt.Sprint("F", n+1)
		named := 0
		for part := range strings.SplitSeq(rows[fault], ";") {
			folders := folderName.FindAllStringSubmatch(part, -1)
			if strings.Contains(part, " here") {
				folders = append(folders, []string{"", "deploy/standalone/internal/chaos"})
			}
			for _, test := range testName.FindAllStringSubmatch(part, -1) {
				for _, folder := range folders {
					named++
					if !faultsOf(t, comments, folder[1], test[1])[fault] {
						t.Errorf("%s: %s in %s is not there, or its comment does not name the fault", fault, test[1], folder[1])
					}
				}
			}
		}
		if named == 0 && !strings.Contains(rows[fault], "`make soak`") {
			t.Errorf("%s has no test: %q", fault, rows[fault])
		}
	}
}

// faultsOf are the faults that a test's comment names. comments are what was read of folders so far.
func faultsOf(t *testing.T, comments map[string]map[string]string, folder, test string) map[string]bool {
	t.Helper()
	if comments[folder] == nil {
		comments[folder] = map[string]string{}
		files, err := filepath.Glob(filepath.Join(top, folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range parsed.Decls {
				if f, ok := d.(*ast.FuncDecl); ok {
					comments[folder][f.Name.Name] = f.Doc.Text()
				}
			}
		}
	}
	named := map[string]bool{}
	for _, fault := range faultName.FindAllString(comments[folder][test], -1) {
		named[fault] = true
	}
	return named
}
