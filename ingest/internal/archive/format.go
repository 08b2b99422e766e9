package archive

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// Format is the form of an archive.
type Format string

const (
	// FormatLines is the archive form of this project: one schemas.Message a line.
	FormatLines Format = "jsonl"
	// FormatCSV is CSV through a mapping.
	FormatCSV Format = "csv"
	// FormatTweets are posts of X as JSON, a line each or in one array: of API v1.1 (twarc, Hydrator), of v2 (twarc2, flattened or whole answers), or as the website
	// gets them (4CAT's NDJSON, Zeeschuimer).
	FormatTweets Format = "tweets"
	// FormatXArchive is tweets.js of an account's own archive from X, window.YTD.tweets.part0 = [...].
	FormatXArchive Format = "x-archive"
	// FormatMastodon is outbox.json of an account's own export from Mastodon.
	FormatMastodon Format = "mastodon"
	// FormatBlueskyCAR is the repository of an account, the CAR file that Bluesky exports.
	FormatBlueskyCAR Format = "bluesky-car"
	// FormatBluesky are answers of com.atproto.repo.listRecords, or their records a line each.
	FormatBluesky Format = "bluesky"
)

// Formats returns all formats, in a fixed order.
func Formats() []Format {
	return []Format{FormatLines, FormatCSV, FormatTweets, FormatXArchive, FormatMastodon, FormatBluesky, FormatBlueskyCAR}
}

// ParseFormat reads the name of a format.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(Formats(), f) {
		return f, nil
	}
	var known []string
	for _, f := range Formats() {
		known = append(known, string(f))
	}
	return "", fmt.Errorf("format: %q; allowed: one of %s, or nothing to have it found by the content", name, strings.Join(known, ", "))
}

// detectBytes is how much of a file its format is found by.
const detectBytes = 256 << 10

// Detect finds the format by the content: what does not begin as JSON or as a CAR file is CSV where the name says so or its first line has fields; anything
// else is read as JSON lines, so that each line that is none comes out with its reason. An array that can be read in another form only is an error.
func Detect(path string) (Format, error) {
	s, err := open(path)
	if err != nil {
		return "", err
	}
	defer s.close() //nolint:errcheck // It was only read.
	r := bufio.NewReaderSize(s, detectBytes)
	head, err := r.Peek(detectBytes)
	if err != nil && !errors.Is(err, io.EOF) && len(head) == 0 {
		return "", fmt.Errorf("reading %s: %w", filepath.Base(path), err)
	}
	if isCAR(head) {
		return FormatBlueskyCAR, nil
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, byteOrderMark), blanks)
	switch {
	case bytes.HasPrefix(text, []byte("[")):
		return formatBehindBracket(path, text)
	case IsCSV(path):
		return FormatCSV, nil
	case bytes.HasPrefix(text, []byte("window.YTD.")):
		return FormatXArchive, nil
	case bytes.HasPrefix(text, []byte("{")):
		return formatOf(keysOf(text)), nil
	}
	if first, _ := twoLines(text); hasFields(first) {
		return FormatCSV, nil
	}
	return FormatLines, nil
}

// hasFields tells that a line can be the header of a CSV.
func hasFields(line []byte) bool { return bytes.ContainsAny(line, ",;\t") }

func formatOf(has map[string]bool) Format {
	switch {
	case has["message_id"] || has["platform"]:
		return FormatLines
	case has["orderedItems"] || has["@context"]:
		return FormatMastodon
	case has["records"] || has["uri"] && has["value"]:
		return FormatBluesky
	case has["id_str"] || has["full_text"] || has["author_id"] || has["edit_history_tweet_ids"] || has["edit_history_post_ids"] || has["data"] || has["rest_id"] || has["legacy"]:
		return FormatTweets
	}
	return FormatLines
}

// keysOf returns the keys of the JSON object at the head of text, as far as the head goes.
func keysOf(text []byte) map[string]bool {
	keys := map[string]bool{}
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return keys
	}
	for dec.More() {
		key, err := dec.Token()
		name, isText := key.(string)
		if err != nil || !isText {
			return keys
		}
		keys[name] = true
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return keys
		}
	}
	return keys
}
