package enrich

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/dwiarah/dwiarah/enrich/internal/template"
	"github.com/dwiarah/dwiarah/schemas"
)

// LoadTemplates reads the templates of the accounts' automatic replies; an empty path means none.
func (c *Classifiers) LoadTemplates(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("loading templates: %w", err)
	}
	defer f.Close()
	if c.templates, err = template.Read(f); err != nil {
		return fmt.Errorf("loading templates from %s: %w", path, err)
	}
	return nil
}

// TemplateLimits say how often a reply is repeated, and to how many people, before it is a template.
type TemplateLimits = template.Limits

// outboundReply is what of an archive's line, or of a row of the store, is looked at.
type outboundReply struct {
	Platform        string `json:"platform"`
	MessageID       string `json:"message_id"`
	Account         string `json:"account"`
	Direction       string `json:"direction"`
	Kind            string `json:"kind"`
	Text            string `json:"text"`
	ParentID        string `json:"parent_id"`
	ParentAuthorID  string `json:"parent_author_id"`
	ParentAuthorKey string `json:"parent_author_key"`
}

// FindTemplates reads messages, a JSON object a line as in an archive, and writes the templates of the accounts' replies. A reply whose
// parent's author is unknown went to somebody of its own.
func FindTemplates(in io.Reader, out io.Writer, l TemplateLimits) (found, replies int, err error) {
	var all []template.Reply
	d := json.NewDecoder(bufio.NewReaderSize(in, 1<<16))
	for n := 1; ; n++ {
		var m outboundReply
		if err := d.Decode(&m); err == io.EOF {
			break
		} else if err != nil {
			return 0, 0, fmt.Errorf("reading message %d: %w", n, err)
		}
		if m.Direction != schemas.Outbound || m.Kind != schemas.KindReply && m.Kind != schemas.KindComment {
			continue
		}
		if m.Platform == "" || m.Account == "" {
			return 0, 0, fmt.Errorf("reading message %d: an outbound reply without platform or account", n)
		}
		r := template.Reply{Account: templateAccount(m.Platform, m.Account), Text: m.Text}
		for _, person := range []string{m.ParentAuthorID, m.ParentAuthorKey, "to " + m.ParentID, "by " + m.MessageID} {
			if r.Person = person; person != "" && person != "to " {
				break
			}
		}
		all = append(all, r)
	}
	templates := template.Find(all, l)
	return len(templates), len(all), template.Write(out, templates)
}
