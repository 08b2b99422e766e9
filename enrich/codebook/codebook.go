// Package codebook carries the risk code book: the tags with definition and decision order, the rules, and the texts written for this
// project that teach and measure the heads, in families. See README.md in this folder.
package codebook

import "embed"

// Files holds tags.yaml, rules.yaml, slots.yaml and families/*.yaml.
//
//go:embed *.yaml families/*.yaml
var Files embed.FS
