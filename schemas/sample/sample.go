// Package sample writes the bundled sample: an archive of ninety days between three invented Indonesian institutions and the invented people who
// write to them, with an answer key. The same options give the same bytes.
//
// What happens in it is decided first and written down as messages afterwards, so the truth is known: which messages need a reply, what each
// feels, which answer belongs to which question. The archive holds what platforms give: repeats, old versions of edited messages, deletions with
// and without the text, parents that are not named, orphans. Institution, account and direction are absent wherever an importer can derive them
// from the institutions file.
//
// What is to be found in it:
//   - dukcapil-argaluhur answers the easy questions fast and hardly any hard one; tirta-lengkara does the same and also answers hard ones, late.
//     The mean wait of the answered ranks the first one better, the restricted mean wait the second.
//   - dishub-nusahalimar broadcasts, answers mostly by template, gains 21,400 followers on X in a day and a half (days 40 and 41) while nothing else
//     rises, and is the target of two waves of one text from 42 new accounts, within a minute each (days 67 and 68).
//   - tirta-lengkara's main pipe breaks on day 52: two days of complaints.
//
// Follower counts of the institutions' accounts travel as author_followers of their own messages: an importer derives an account snapshot, at
// observed_at (created_at where it is absent), from every outbound row that has one.
package sample

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

//go:embed texts
var texts embed.FS

// Days is the length of the sample.
const Days = 90

// DefaultSeed and DefaultEnd give the bundled sample: 3 July to 30 September 2026, Jakarta time.
const DefaultSeed = 1

// DefaultEnd is midnight in Jakarta after the last day of the bundled sample.
func DefaultEnd() time.Time { return time.Date(2026, 9, 30, 17, 0, 0, 0, time.UTC) }

// Options choose a sample. The zero value is the bundled one.
type Options struct {
	// Seed of everything that is drawn; 0 means DefaultSeed.
	Seed uint64
	// End is the instant up to which everything was read, to the second; zero means DefaultEnd. It best is a midnight in Jakarta.
	End time.Time
}

// Sample is a generated archive with what is true of it.
type Sample struct {
	// Messages are the archive's rows in the order in which they were read.
	Messages []schemas.Message
	// Institutions is the text of institutions.yaml.
	Institutions []byte
	// Truth has a line for each message, in order of created_at.
	Truth []Truth
	Key   Key

	directory *institutions.Directory
	books     map[string]*book
}

// Truth is what is true of a message, in its newest version. Sentiment, risk and need are of inbound messages, the content function is of
// broadcasts; they are empty elsewhere.
type Truth struct {
	Platform  string `json:"platform"`
	MessageID string `json:"message_id"`
	// Institutions are the institutions that the message concerns.
	Institutions    []string `json:"institutions"`
	Direction       string   `json:"direction"`
	Lang            string   `json:"lang"`
	NeedsReply      bool     `json:"needs_reply"`
	Sentiment       string   `json:"sentiment,omitempty"`
	RiskTag         string   `json:"risk_tag,omitempty"`
	RiskSeverity    int      `json:"risk_severity,omitempty"`
	ContentFunction string   `json:"content_function,omitempty"`
}

// Generate makes a sample.
func Generate(o Options) (*Sample, error) {
	if o.Seed == 0 {
		o.Seed = DefaultSeed
	}
	if o.End.IsZero() {
		o.End = DefaultEnd()
	}
	o.End = o.End.UTC().Truncate(time.Second)
	settings, err := texts.ReadFile("texts/institutions.yaml")
	if err != nil {
		return nil, fmt.Errorf("reading the sample's institutions: %w", err)
	}
	directory, err := institutions.Parse("institutions.yaml", settings)
	if err != nil {
		return nil, fmt.Errorf("reading the sample's institutions: %w", err)
	}
	w, err := newWorld(o, directory)
	if err != nil {
		return nil, err
	}
	w.live()
	s := &Sample{Institutions: settings, directory: directory, books: w.books}
	s.Messages, s.Truth = w.archive()
	s.Key = s.key(o, w.start)
	return s, nil
}

// Names of the files that Write makes.
const (
	ArchiveFile      = "archive.jsonl.zst"
	InstitutionsFile = "institutions.yaml"
	KeyFile          = "answer-key.json"
	TruthFile        = "truth.jsonl"
)

// Write puts the archive, the institutions file, the answer key and the truth of each message into a directory, which it makes if need be.
func (s *Sample) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing the sample: %w", err)
	}
	archive, err := lines(s.Messages)
	if err != nil {
		return fmt.Errorf("writing the sample's archive: %w", err)
	}
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("writing the sample's archive: %w", err)
	}
	truth, err := lines(s.Truth)
	if err != nil {
		return fmt.Errorf("writing the sample's truth: %w", err)
	}
	key, err := json.MarshalIndent(s.Key, "", " ")
	if err != nil {
		return fmt.Errorf("writing the sample's answer key: %w", err)
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{ArchiveFile, packer.EncodeAll(archive, nil)},
		{InstitutionsFile, s.Institutions},
		{KeyFile, append(key, '\n')},
		{TruthFile, truth},
	} {
		if err := os.WriteFile(filepath.Join(dir, file.name), file.content, 0o644); err != nil {
			return fmt.Errorf("writing the sample: %w", err)
		}
	}
	return nil
}

// lines writes one JSON object a line.
func lines[T any](values []T) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}
