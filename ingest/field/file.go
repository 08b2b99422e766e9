package field

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dwiarah/dwiarah/ingest"
)

// SourcesFile is the part "sources" of a configuration file of ingest with these sources of a field. Their tokens are written into files in a folder, which it names:
// a configuration names secrets and does not hold them.
func SourcesFile(sources []ingest.Source, folder string) ([]byte, error) {
	var text bytes.Buffer
	text.WriteString("sources:\n")
	for _, s := range sources {
		settings := []byte("{}")
		if s.Settings != nil {
			var err error
			if settings, err = json.Marshal(s.Settings); err != nil {
				return nil, fmt.Errorf("writing the settings of source %s: %w", s.Platform, err)
			}
		}
		fmt.Fprintf(&text, "  - {platform: %s, account: %q, base_url: %s, allow_private: true, schedule: %q, settings: %s", s.Platform, s.Account, s.BaseURL, s.Schedule, settings)
		if !s.Token.IsZero() {
			path := filepath.Join(folder, "token-"+s.Platform)
			if err := os.WriteFile(path, []byte(s.Token.Reveal()), 0o600); err != nil {
				return nil, fmt.Errorf("writing the token of source %s: %w", s.Platform, err)
			}
			fmt.Fprintf(&text, ", token: %q", "file:"+path)
		}
		text.WriteString("}\n")
	}
	return text.Bytes(), nil
}
