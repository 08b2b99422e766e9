// Package page is the standalone's own page: how far the pipeline is, what the metrics say, where the reports and the database are.
// It is rendered on the server, loads nothing from elsewhere, and reads the same views as reports and panels.
package page

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/enrich"
)

//go:embed templates
var templates embed.FS

// Progress is how far the pipeline is. Counts are of messages; Raw and the rest are of records, one per message and institution.
type Progress struct {
	Imports []Import
	// Raw is what ingest has produced, Enriched and Stored how many of them the next stages have committed.
	Raw, Enriched, Stored int64
	// Dead is the number of dead letters, whatever their stage.
	Dead int64
	// Idle is true when every import is done and nothing waits between the stages.
	Idle bool
}

// Import is how far one archive is.
type Import struct {
	Name   string
	Share  float64 // 0..1 of the work
	Read   int64   // lines
	Done   bool
	Failed string // why it ended early; empty otherwise
}

// Percent is the share of the work that is done, 0 to 100.
func (i Import) Percent() string { return bar(&i.Share) }

// Addresses is where people and tools find the parts.
type Addresses struct {
	ClickHouse, Kafka, Database string
}

// Config is what the page needs.
type Config struct {
	Conn       driver.Conn
	Addresses  Addresses
	ReportsDir string
	Progress   func(ctx context.Context) (Progress, error)
	// Measure measures the classifier by an institution's labels.
	Measure func(ctx context.Context, institution string) error
	Log     *slog.Logger
}

// Page serves the page.
type Page struct {
	cfg    Config
	tpl    *template.Template
	labels *labelling

	mu sync.Mutex
	// read holds what was read from the views, by page, as long as nothing more is stored: they change by nothing else.
	read   map[string]any
	stored int64
}

// New parses the templates.
func New(cfg Config) (*Page, error) {
	tpl, err := template.New("").Funcs(template.FuncMap{
		"percent": Percent, "duration": Duration, "median": MedianWait, "count": count, "decimal": decimal, "bar": bar, "tag": tagName, "local": local,
		"suffix": filepath.Ext, "dayAfter": dayAfter,
	}).ParseFS(templates, "templates/*.html", "templates/*.css")
	if err != nil {
		return nil, fmt.Errorf("parsing the page's templates: %w", err)
	}
	p := &Page{cfg: cfg, tpl: tpl, read: map[string]any{}}
	if p.labels, err = newLabelling(enrich.NewLabelStore(cfg.Conn), cfg.Measure, p.forget); err != nil {
		return nil, err
	}
	return p, nil
}

// Mount adds the page's routes to mux.
func (p *Page) Mount(mux *http.ServeMux) {
	mux.Handle("GET /{$}", p.handle("overview.html", p.overview))
	mux.Handle("GET /progress", p.handle("progress", p.progress))
	mux.Handle("GET /institutions/{id}", p.handle("institution.html", p.institution))
	// Texts are shown and labels written to whoever is at this page itself, never to another page in the same browser.
	sameOrigin := http.NewCrossOriginProtection()
	mux.Handle("GET /label", ownHost(p.handle("label.html", p.label)))
	mux.Handle("POST /label", ownHost(sameOrigin.Handler(headers(http.HandlerFunc(p.answer)))))
	reports := http.StripPrefix("/reports/", http.FileServerFS(onlyReports{os.DirFS(p.cfg.ReportsDir)}))
	mux.Handle("GET /reports/", headers(reports))
}

// notFound is answered with 404 and its text.
type notFound struct{ what string }

func (e notFound) Error() string { return e.what + " is not here" }

// renderLimit bounds the reading of one page.
const renderLimit = time.Minute

func (p *Page) handle(name string, data func(r *http.Request) (any, error)) http.Handler {
	return headers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), renderLimit)
		defer cancel()
		d, err := data(r.WithContext(ctx))
		status, name := http.StatusOK, name
		if err != nil {
			status = http.StatusServiceUnavailable
			if _, gone := err.(notFound); gone {
				status = http.StatusNotFound
			} else {
				p.cfg.Log.Warn("page not rendered", "page", name, "error", err)
			}
			name, d = "error.html", refusal{What: err.Error()}
		}
		p.render(w, status, name, d)
	}))
}

// refusal is a page in place of the one that was asked for. Next leads on with labelling, if it was that.
type refusal struct{ What, Next string }

func (p *Page) render(w http.ResponseWriter, status int, name string, data any) {
	var out bytes.Buffer
	if err := p.tpl.ExecuteTemplate(&out, name, data); err != nil {
		p.cfg.Log.Error("template not executed", "page", name, "error", err)
		http.Error(w, "the page could not be rendered; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}

// headers lets a page load nothing from outside itself: everything it needs is inline.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// onlyReports serves finished reports and nothing else that may lie in the folder.
type onlyReports struct{ fs.FS }

func (o onlyReports) Open(name string) (fs.File, error) {
	if !slices.Contains([]string{".html", ".csv", ".txt"}, filepath.Ext(name)) || strings.Contains(name, "/") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return o.FS.Open(name)
}

type overviewData struct {
	Progress     Progress
	Institutions []Summary
	Reports      []Report
	Addresses    Addresses
}

func (p *Page) overview(r *http.Request) (any, error) {
	progress, err := p.cfg.Progress(r.Context())
	if err != nil {
		return nil, err
	}
	d := overviewData{Progress: progress, Addresses: p.cfg.Addresses}
	if d.Institutions, err = once(p, progress, "overview", func() ([]Summary, error) { return Summaries(r.Context(), p.cfg.Conn) }); err != nil {
		return nil, err
	}
	d.Reports, err = reports(r.Context(), p.cfg.Conn, d.Institutions)
	return d, err
}

func (p *Page) progress(r *http.Request) (any, error) { return p.cfg.Progress(r.Context()) }

func (p *Page) institution(r *http.Request) (any, error) {
	list, err := institutions(r.Context(), p.cfg.Conn)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(list, func(in Institution) bool { return in.ID == r.PathValue("id") })
	if at < 0 {
		return nil, notFound{"the institution " + r.PathValue("id")}
	}
	days := periodDays[0]
	for _, d := range periodDays {
		if r.URL.Query().Get("days") == fmt.Sprint(d) {
			days = d
		}
	}
	progress, err := p.cfg.Progress(r.Context())
	if err != nil {
		return nil, err
	}
	return once(p, progress, fmt.Sprintf("%s/%d", list[at].ID, days), func() (detailData, error) { return detail(r.Context(), p.cfg.Conn, list[at], days) })
}

// forget has everything read anew.
func (p *Page) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.read)
}

// once reads what a page shows, or gives what was read since the last message was stored. Requests for it wait for one another, so that the engine answers
// each question once.
func once[T any](p *Page, progress Progress, key string, read func() (T, error)) (T, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stored != progress.Stored || !progress.Idle {
		clear(p.read)
		p.stored = progress.Stored
	}
	if had, ok := p.read[key].(T); ok {
		return had, nil
	}
	data, err := read()
	if err == nil {
		p.read[key] = data
	}
	return data, err
}
