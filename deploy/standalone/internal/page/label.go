package page

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/enrich"
)

// labelling is the queue in which people say what messages are. It keeps where each annotator is; the labels themselves are in the database.
type labelling struct {
	store    *enrich.LabelStore
	book     enrich.LabelBook
	guides   map[string]enrich.LabelGuide
	measure  func(ctx context.Context, institution string) error
	token    string
	changed  func()
	mu       sync.Mutex
	sessions map[sessionKey]*session
	// standings are by institution and head: of all annotators.
	standings map[[2]string]standing
}

// standing is how many labels there are under a head, by anybody, and how far those agree who labelled the same messages.
type standing struct {
	total     int
	agreement enrich.Agreement
}

type sessionKey struct{ institution, head, annotator string }

// session is what an annotator has before them: items that were drawn, the one they are at, and the labels that they gave.
type session struct {
	mu    sync.Mutex
	items []enrich.LabelItem
	given map[int]string
	at    int
	// round counts draws, so that each is another one.
	round uint64
}

const (
	// drawn is how many items are drawn at a time, measureEvery after how many labels the confusion matrices are measured again.
	drawn        = 50
	measureEvery = 25
)

func newLabelling(store *enrich.LabelStore, measure func(context.Context, string) error, changed func()) (*labelling, error) {
	book, err := enrich.Labels()
	if err != nil {
		return nil, err
	}
	guides, err := enrich.LabelGuides()
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("making a token: %w", err)
	}
	return &labelling{store: store, book: book, guides: guides, measure: measure, changed: changed, token: hex.EncodeToString(secret), sessions: map[sessionKey]*session{}, standings: map[[2]string]standing{}}, nil
}

// ownHost refuses requests for a host name that is not this machine's: a foreign page could point its own name at loopback and read texts.
func ownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if host != "localhost" && net.ParseIP(host) == nil {
			http.Error(w, "labels are given at this machine's own address, as 127.0.0.1 or localhost", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (l *labelling) session(key sessionKey) *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sessions[key]
	if s == nil {
		s = &session{given: map[int]string{}, round: uint64(time.Now().UnixNano())}
		l.sessions[key] = s
	}
	return s
}

// fill draws when the items have come to their end. The session is locked.
func (l *labelling) fill(ctx context.Context, key sessionKey, s *session) error {
	if s.at < len(s.items) {
		return nil
	}
	s.round++
	items, err := l.store.Draw(ctx, key.institution, key.head, key.annotator, drawn, s.round)
	if err != nil {
		return err
	}
	// What was skipped is not asked again in this session.
	known := map[[2]string]bool{}
	for _, i := range s.items {
		known[[2]string{i.Platform, i.MessageID}] = true
	}
	for _, i := range items {
		if !known[[2]string{i.Platform, i.MessageID}] {
			s.items = append(s.items, i)
		}
	}
	return l.stand(ctx, key)
}

// stand reads how the labels of a head stand.
func (l *labelling) stand(ctx context.Context, key sessionKey) error {
	agreement, total, err := enrich.Agree(ctx, l.store, key.institution, key.head)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standings[[2]string{key.institution, key.head}] = standing{total, agreement}
	return nil
}

// standing is how the labels of a head stood when that was read last, with those that were given since.
func (l *labelling) standing(key sessionKey, more int) standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := [2]string{key.institution, key.head}
	s := l.standings[of]
	s.total += more
	l.standings[of] = s
	return s
}

// choice is one label with its key.
type choice struct {
	Label, Key string
	Given      bool
}

// keys are those of the labels, in their order: what is none of them ends on 0.
var keys = []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "q", "w", "e", "r"}

type labelData struct {
	Institution    Institution
	Institutions   []Institution
	Head, As       string
	Heads          []string
	Item           *enrich.LabelItem
	Choices        []choice
	Guide          enrich.LabelGuide
	Token          string
	Mine, Total    int
	Back           bool
	Agreement      enrich.Agreement
	BadAlias, Book bool
}

// Path is the page of another head.
func (d labelData) Path(head string) string {
	return "/label?" + url.Values{"institution": {d.Institution.ID}, "as": {d.As}, "head": {head}}.Encode()
}

// labelKey is whom and what a request is about; ok is false while an institution or an alias is missing.
func (p *Page) labelKey(r *http.Request) (data labelData, key sessionKey, ok bool, err error) {
	q := r.FormValue
	data = labelData{As: q("as"), Head: q("head"), Heads: enrich.LabelHeads(), Token: p.labels.token, Book: q("book") != ""}
	if data.Institutions, err = institutions(r.Context(), p.cfg.Conn); err != nil {
		return data, key, false, err
	}
	if !slices.Contains(data.Heads, data.Head) {
		data.Head = data.Heads[0]
	}
	data.Guide = p.labels.guides[data.Head]
	at := slices.IndexFunc(data.Institutions, func(in Institution) bool { return in.ID == q("institution") })
	if at < 0 && q("institution") != "" {
		return data, key, false, notFound{"the institution " + q("institution")}
	}
	if at < 0 {
		return data, key, false, nil
	}
	data.Institution = data.Institutions[at]
	if !enrich.ValidAlias(data.As) {
		data.BadAlias = data.As != ""
		return data, key, false, nil
	}
	return data, sessionKey{data.Institution.ID, data.Head, data.As}, true, nil
}

func (p *Page) label(r *http.Request) (any, error) {
	data, key, ok, err := p.labelKey(r)
	if err != nil || !ok {
		return data, err
	}
	s := p.labels.session(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := p.labels.fill(r.Context(), key, s); err != nil {
		return nil, err
	}
	of := p.labels.standing(key, 0)
	data.Mine, data.Total, data.Agreement, data.Back = len(s.given), of.total, of.agreement, s.at > 0
	if s.at < len(s.items) {
		item := s.items[s.at]
		data.Item = &item
	}
	n := 0
	for _, rule := range data.Guide.Rules {
		c := choice{Label: rule.Label, Key: "0", Given: s.given[s.at] == rule.Label}
		if rule.Label != "none" {
			c.Key = keys[n]
			n++
		}
		data.Choices = append(data.Choices, c)
	}
	return data, nil
}

// answer takes a label, or goes on or back without one, and leads to the next message.
func (p *Page) answer(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<14)
	if subtle.ConstantTimeCompare([]byte(r.PostFormValue("token")), []byte(p.labels.token)) != 1 {
		p.refuse(w, r, http.StatusForbidden, "the program was started again since this message was shown, and the label is not stored; the message may be asked again")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), renderLimit)
	defer cancel()
	data, key, ok, err := p.labelKey(r.WithContext(ctx))
	if err != nil || !ok {
		http.Error(w, "institution and an alias of 1 to 16 of a-z, 0-9 and - are needed", http.StatusBadRequest)
		return
	}
	if status, err := p.labels.take(ctx, key, r.PostFormValue); err != nil {
		p.cfg.Log.Warn("label not stored", "head", key.head, "error", err)
		p.refuse(w, r, status, err.Error())
		return
	}
	to := data.Path(data.Head)
	if data.Book {
		to += "&book=1"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// refuse says why a label was not taken, and leads back to the queue.
func (p *Page) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	back := labelData{Institution: Institution{ID: r.PostFormValue("institution")}, As: r.PostFormValue("as")}
	p.render(w, status, "error.html", refusal{why, back.Path(r.PostFormValue("head"))})
}

func (l *labelling) take(ctx context.Context, key sessionKey, value func(string) string) (status int, err error) {
	s := l.session(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if value("do") == "back" {
		s.at = max(0, s.at-1)
		return 0, nil
	}
	at := slices.IndexFunc(s.items, func(i enrich.LabelItem) bool {
		return i.Platform == value("platform") && i.MessageID == value("message_id")
	})
	if at < 0 {
		// The program was started again since: the next message is drawn anew.
		return 0, nil
	}
	if value("do") == "skip" {
		s.at = at + 1
		return 0, nil
	}
	label := s.items[at].Label(key.institution, key.head, key.annotator, value("label"), time.Now().UTC().Truncate(time.Millisecond))
	if err := l.book.Check(&label); err != nil {
		return http.StatusBadRequest, err
	}
	if _, err := l.store.Put(ctx, []enrich.Label{label}); err != nil {
		return http.StatusServiceUnavailable, err
	}
	if s.given[at] == "" {
		l.standing(key, 1)
	}
	s.given[at] = label.Label
	s.at = at + 1
	if s.items[at].Second {
		if err := l.stand(ctx, key); err != nil {
			return http.StatusServiceUnavailable, fmt.Errorf("the label is stored; reading how far annotators agree: %w", err)
		}
	}
	if len(s.given)%measureEvery == 0 {
		if err := l.measure(ctx, key.institution); err != nil {
			return http.StatusServiceUnavailable, fmt.Errorf("the label is stored; measuring the model by it: %w", err)
		}
		l.changed()
	}
	return 0, nil
}
