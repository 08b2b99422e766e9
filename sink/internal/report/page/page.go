// Package page turns figures into what people read: a self-contained HTML page, a CSV file, a plain-text summary and the body of a mail.
//
// The page loads nothing from anywhere. What is undefined is a dash with its reason, what is about fewer than five people is suppressed, and what rests on
// incomplete data is greyed out.
package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	texttemplate "text/template"
	"time"

	"github.com/dwiarah/dwiarah/sink/internal/report/figures"
)

//go:embed templates
var templates embed.FS

// Sheet is what a page is made of.
type Sheet struct {
	Current, Previous *figures.Figures
	MadeAt            time.Time
	MetricSpec        string // version of the metric definitions
	Language          string // one of Languages
}

// Document is a rendered report.
type Document struct {
	Subject  string // one line, of a mail
	HTML     []byte
	CSV      []byte
	Text     []byte
	MailHTML []byte // shows Images by cid:NAME.png
	Images   []Image
}

// Image is a chart for a mail.
type Image struct {
	Name string // unique in the document, letters only
	Alt  string
	PNG  []byte
}

// Render writes the report of one institution.
func Render(s Sheet) (*Document, error) {
	t, err := speak(s.Language)
	if err != nil {
		return nil, err
	}
	v, err := (&writer{t: t}).view(s)
	if err != nil {
		return nil, fmt.Errorf("writing the report of %s: %w", s.Current.Institution.ID, err)
	}
	d := &Document{Subject: plain(fmt.Sprintf(t.words["mail_subject"], v.Institution, v.Heading, v.PeriodName))}
	for _, c := range v.Charts {
		if !c.Empty {
			d.Images = append(d.Images, Image{Name: c.Name, Alt: c.Title, PNG: c.PNG})
		}
	}
	if err := d.fill(v, "weekly"); err != nil {
		return nil, fmt.Errorf("writing the report of %s: %w", s.Current.Institution.ID, err)
	}
	if d.CSV, err = sheetCSV(s); err != nil {
		return nil, fmt.Errorf("writing the report of %s: %w", s.Current.Institution.ID, err)
	}
	return d, nil
}

// fill renders the three templates of the named report.
func (d *Document) fill(v any, name string) error {
	pages, err := template.New("").Option("missingkey=error").ParseFS(templates, "templates/style.gohtml", "templates/"+name+".gohtml", "templates/"+name+"_mail.gohtml")
	if err != nil {
		return err
	}
	texts, err := texttemplate.New("").Option("missingkey=error").Funcs(texttemplate.FuncMap{"pad": pad, "wrap": wrap, "plain": plain}).ParseFS(templates, "templates/"+name+".gotxt")
	if err != nil {
		return err
	}
	for _, part := range []struct {
		into *[]byte
		run  func(*bytes.Buffer) error
	}{
		{&d.HTML, func(b *bytes.Buffer) error { return pages.ExecuteTemplate(b, name+".gohtml", v) }},
		{&d.MailHTML, func(b *bytes.Buffer) error { return pages.ExecuteTemplate(b, name+"_mail.gohtml", v) }},
		{&d.Text, func(b *bytes.Buffer) error { return texts.ExecuteTemplate(b, name+".gotxt", v) }},
	} {
		var b bytes.Buffer
		if err := part.run(&b); err != nil {
			return err
		}
		*part.into = b.Bytes()
	}
	return nil
}
