// Package models carries the released artefact. MODEL_CARD.md beside it says what it was trained on and how good it is.
package models

import _ "embed"

// Classifier is the artefact that New reads.
//
//go:embed classifier.bin
var Classifier []byte
