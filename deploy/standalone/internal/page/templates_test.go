package page

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/enrich"
)

var tags = regexp.MustCompile(`<[^>]*>`)

// words are what a person reads of a page's part, from the mark on.
func words(t *testing.T, name string, data any, mark string) string {
	t.Helper()
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := p.tpl.ExecuteTemplate(&out, name, data); err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(out.String(), mark)
	if !found {
		t.Fatalf("%s has no %q:\n%s", name, mark, out.String())
	}
	return strings.Join(strings.Fields(tags.ReplaceAllString(part, " ")), " ")
}

// Agreement is a figure once it is over enough messages; before, the page says what is missing.
func TestAgreementOnThePage(t *testing.T) {
	for _, c := range []struct {
		agreement enrich.Agreement
		want      string
	}{
		{enrich.Agreement{}, "agreement is shown once 30 more messages have two people's labels"},
		{enrich.Agreement{Alpha: 1, Low: 1, High: 1, Units: 5, Defined: true}, "agreement is shown once 25 more messages have two people's labels"},
		{enrich.Agreement{Units: 30}, "agreement is not defined: all labels are the same"},
		{enrich.Agreement{Alpha: 0.8149, Low: 0.61, High: 0.955, Units: 30, Defined: true}, "agreement α 0.81 (0.61 to 0.95) over 30 messages with two people's labels"},
	} {
		got := words(t, "label.html", labelData{Choices: []choice{{Label: "none", Key: "0"}}, Agreement: c.agreement}, `<span id="agreement">`)
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%+v: %.90q, want %q", c.agreement, got, c.want)
		}
	}
}

// A tag's share is marked as corrected or raw, with its interval, and is no number where there is none.
func TestSharesOfRiskOnThePage(t *testing.T) {
	share, lo, hi, load := 0.151, 0.087, 0.224, 12.4
	d := detailData{Risks: []Risk{
		{Tag: "service_failure", N: 43, Severity: 3, Load: &load, Share: &share, Lo: &lo, Hi: &hi, Calibrated: true},
		{Tag: "non_response", N: 22, Severity: 3, Load: &load, Share: &share, Lo: &lo, Hi: &hi},
		{Tag: "policy_criticism", N: 9, Severity: 1, Load: &load},
	}}
	d.NowObs = time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC)
	got := words(t, "institution.html", d, "Risk tags of messages")
	for _, want := range []string{
		"service failure 43 15.1 % 8.7 % to 22.4 % corrected 3 12.4",
		"non response 22 15.1 % 8.7 % to 22.4 % raw 3 12.4",
		"policy criticism 9 — 1 12.4",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%.700s", want, got)
		}
	}
}

// Two model versions behind a period are told; one is not.
func TestModelVersionsOnThePage(t *testing.T) {
	d := detailData{Sentiment: Sentiment{N: 60, ModelVersions: []string{"1-a", "2-b"}}}
	d.NowObs = time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC)
	const want = "2 model versions labelled the messages of the period (1-a, 2-b)"
	if got := words(t, "institution.html", d, "What hurts"); !strings.HasPrefix(got, want) {
		t.Errorf("%.90q, want %q", got, want)
	}
	d.Sentiment.ModelVersions = d.Sentiment.ModelVersions[:1]
	if got := words(t, "institution.html", d, "What hurts"); !strings.HasPrefix(got, "Risk tags of messages") {
		t.Errorf("%.90q, want the tags at once", got)
	}
}

// A form of an earlier run is refused with the way back to its queue; loading it again would only post it again.
func TestRefusedLabelLeadsBack(t *testing.T) {
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	p.Mount(mux)
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/label", strings.NewReader(`token=old&institution=kota-contoh&as=a1&head=risk_tag&label="><b>`))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	for _, part := range []string{"the label is not stored", `<a href="/label?as=a1&amp;head=risk_tag&amp;institution=kota-contoh" autofocus>`} {
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), part) {
			t.Errorf("%d, without %s:\n%s", w.Code, part, w.Body.String())
		}
	}
}
