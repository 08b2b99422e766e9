// Package mappings holds the CSV mappings that ship with ingest.
package mappings

import "embed"

// FS holds one YAML file a mapping.
//
//go:embed *.yaml
var FS embed.FS
