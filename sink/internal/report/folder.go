package report

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/google/renameio/v2"

	"github.com/dwiarah/dwiarah/sink/internal/report/page"
)

// stemForm is what a file may be called: whatever an institution is named, its report stays inside the folder.
var stemForm = regexp.MustCompile(`^[a-z0-9_][A-Za-z0-9_-]{0,200}$`)

// writeFolder writes a document's files into dir, each whole or not at all, and returns their paths. stem is the name without a suffix.
func writeFolder(dir, stem string, d *page.Document) ([]string, error) {
	if !stemForm.MatchString(stem) {
		return nil, fmt.Errorf("writing a report: %q is no name for a file; allowed are letters, digits, _ and -", stem)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the folder of reports: %w", err)
	}
	list := paths(dir, stem)
	for n, data := range [][]byte{d.HTML, d.CSV, d.Text} {
		if err := renameio.WriteFile(list[n], data, 0o640); err != nil {
			return nil, fmt.Errorf("writing the report %s: %w", list[n], err)
		}
	}
	return list, nil
}

// suffixes of a report's files: the page, the figures, the summary.
var suffixes = []string{".html", ".csv", ".txt"}

func paths(dir, stem string) []string {
	var list []string
	for _, suffix := range suffixes {
		list = append(list, filepath.Join(dir, stem+suffix))
	}
	return list
}
