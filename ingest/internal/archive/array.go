package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

const blanks = " \t\r\n"

// beginsArray tells that the head of a file begins an array, and not a line of its own which happens to be one, or to begin as one: behind such a line stands another
// with an object.
func beginsArray(head []byte) bool {
	if !bytes.HasPrefix(head, []byte("[")) {
		return false
	}
	first, next := twoLines(head)
	alone := json.Valid(first) || !bytes.HasPrefix(firstElement(head), []byte("{"))
	return len(first) == 1 || !alone || !isObject(next)
}

// twoLines returns the first line of text and the next one that is not empty, both trimmed.
func twoLines(text []byte) (first, next []byte) {
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	next, _, _ = bytes.Cut(bytes.TrimLeft(rest, blanks), []byte("\n"))
	return bytes.Trim(first, blanks), bytes.Trim(next, blanks)
}

func isObject(text []byte) bool { return bytes.HasPrefix(text, []byte("{")) && json.Valid(text) }

// firstElement is what stands behind the bracket that begins an array.
func firstElement(head []byte) []byte { return bytes.TrimLeft(head[1:], blanks) }

// formatBehindBracket finds the format of a file whose head begins with a bracket: an array, the header of a CSV, or JSON lines of which the first is broken.
func formatBehindBracket(path string, head []byte) (Format, error) {
	first, next := twoLines(head)
	element := firstElement(head)
	switch {
	case !beginsArray(head):
		return formatOf(keysOf(next)), nil
	case bytes.HasPrefix(element, []byte("{")):
		return formatOfArray(path, keysOf(element))
	case bytes.HasPrefix(element, []byte("]")) && len(bytes.Trim(element[1:], blanks)) == 0:
		return FormatTweets, nil // an empty one
	case beginsJSON(head):
		return "", unfit(path, "of something else; allowed: an array of posts of X, which are objects")
	case IsCSV(path) || hasFields(first):
		return FormatCSV, nil
	}
	return FormatLines, nil
}

// beginsJSON tells that nothing in the head keeps it from being JSON; it may break off.
func beginsJSON(head []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(head))
	for {
		if _, err := dec.Token(); err != nil {
			return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		}
	}
}

// formatOfArray says what an array is by the keys of its first element. What people have as an array and can be read in another form only is an error that says which.
func formatOfArray(path string, has map[string]bool) (Format, error) {
	const oneALine = "allowed: one a line, as jq -c '.[]' writes them"
	const outbox = "allowed: outbox.json as Mastodon's export has it, an object with orderedItems"
	switch {
	case has["tweet"] && len(has) == 1:
		return FormatXArchive, nil
	case has["platform"] && has["message_id"]:
		return "", unfit(path, "of messages in the form of this project; "+oneALine)
	case has["uri"] && has["value"]:
		return "", unfit(path, "of records of Bluesky; "+oneALine)
	case has["uri"] && has["account"] && has["content"]:
		return "", unfit(path, "of statuses as Mastodon's API gives them; "+outbox)
	case has["actor"] && has["object"]:
		return "", unfit(path, "of activities; "+outbox)
	}
	return FormatTweets, nil
}

// unfit never says what the file holds: that may be what somebody wrote.
func unfit(path, what string) error {
	return fmt.Errorf("finding the format of %s: it is an array %s; --format overrules this", filepath.Base(path), what)
}
