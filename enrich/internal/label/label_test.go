package label

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas"
)

var book = NewBook([]string{"service_failure", "none"}, []string{"informative", "other"})

var defaults = Defaults{Institution: "kota-contoh", Annotator: "a1", LabelledAt: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}

func TestFilesComeBackUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		head := rapid.SampledFrom(Heads()).Draw(t, "head")
		l := Label{
			Institution: rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "institution"), Platform: rapid.SampledFrom(schemas.Platforms()).Draw(t, "platform"),
			MessageID: rapid.StringMatching(`[ -~é]{1,20}`).Draw(t, "id"), Head: head, Label: rapid.SampledFrom(book[head]).Draw(t, "label"), Annotator: "b-2",
			LabelledAt: time.UnixMilli(rapid.Int64Range(1e12, 2e12).Draw(t, "at")).UTC(), ModelVersion: "1-ab/rules-1", Predicted: book[head][0],
			Stratum: rapid.SampledFrom([]string{"", "random", "negative, unsure"}).Draw(t, "stratum"), Weight: rapid.Float64Range(0.001, 1e6).Draw(t, "weight"),
		}
		if rapid.Bool().Draw(t, "has p") {
			p := rapid.Float32Range(0, 1).Draw(t, "p")
			l.P = &p
		}
		for _, form := range []Form{CSV, JSONL} {
			var b bytes.Buffer
			if err := Write(&b, form, []Label{l, l}); err != nil {
				t.Fatal(err)
			}
			rows, bad, _, err := Read(&b, form, book, Defaults{})
			if err != nil || len(bad) > 0 || len(rows) != 2 {
				t.Fatalf("%s: %d rows, %v, %v", form, len(rows), bad, err)
			}
			if d := cmp.Diff(l, rows[1].Label); d != "" {
				t.Fatalf("%s: %s", form, d)
			}
		}
	})
}

func TestBadRowsAreNamedAndTheRestIsRead(t *testing.T) {
	in := `platform,message_id,head,label,annotator,weight
x,1,sentiment,negative,,
twitter,2,sentiment,negative,,
x,3,mood,negative,,
x,4,sentiment,angry,,
x,5,sentiment
x,6,needs_reply,yes,Budi Santoso,
x,7,needs_reply,yes,,0
x,,needs_reply,yes,,
x,9,risk_tag,none,b2,2.5
`
	rows, bad, header, err := Read(strings.NewReader(in), CSV, book, defaults)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || rows[0].Label.Annotator != "a1" || rows[0].Label.Weight != 1 || rows[1].Label.Weight != 2.5 || rows[1].Line != 10 {
		t.Errorf("rows: %+v", rows)
	}
	want := []string{`platform "twitter"`, `head "mood"`, `label "angry" is not allowed; allowed: for sentiment: negative, neutral, positive`, "3 columns; the header has 6", `annotator "Budi Santoso"`, `weight "0"`, "message_id is missing"}
	for i, w := range want {
		if i >= len(bad) || bad[i].Line != i+3 || !strings.Contains(bad[i].Err.Error(), w) {
			t.Fatalf("row %d: %v, want line %d with %q", i, bad, i+3, w)
		}
	}
	var b bytes.Buffer
	if err := WriteBad(&b, CSV, header, bad); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "platform,message_id,head,label,annotator,weight\ntwitter,2,") || strings.Count(b.String(), "\n") != len(bad)+1 {
		t.Errorf("the rejected rows:\n%s", b.String())
	}
	if _, _, _, err := Read(strings.NewReader("platform,mood\n"), CSV, book, defaults); err == nil || !strings.Contains(err.Error(), `column "mood"`) {
		t.Errorf("an unknown column: %v", err)
	}
}

// A quote in the middle costs its own row.
func TestBadQuote(t *testing.T) {
	in := "platform,message_id,head,label\nx,1,sentiment,neutral\nx,\"2\"3,sentiment,neutral\r\nx,4,sentiment,neutral\n"
	rows, bad, header, err := Read(strings.NewReader(in), CSV, book, defaults)
	if err != nil || len(rows) != 2 || rows[1].Line != 4 || len(bad) != 1 || bad[0].Line != 3 || !strings.Contains(bad[0].Err.Error(), "not a row of CSV") {
		t.Fatalf("%+v, %+v, %v", rows, bad, err)
	}
	var b bytes.Buffer
	if err := WriteBad(&b, CSV, header, bad); err != nil || !strings.HasSuffix(b.String(), `"x,""2""3,sentiment,neutral"`+"\n") {
		t.Errorf("the rejected rows: %q, %v", b.String(), err)
	}
	if _, _, _, err := Read(strings.NewReader(""), CSV, book, defaults); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty file: %v", err)
	}
}

func TestBadLines(t *testing.T) {
	in := "\ufeff" + `{"platform":"x","message_id":"1","head":"needs_reply","label":"no","p":0.5}
nothing
{"platform":"x","message_id":["2"],"head":"needs_reply","label":"no"}
{"platform":"x","message_id":"3","head":"needs_reply","label":"no","mood":"x"}
{"platform":"x","message_id":"4","head":"needs_reply","label":"no","p":1.5}

{"platform":"x","message_id":6,"head":"needs_reply","label":"no","labelled_at":"2026-03-01 08:00"}
`
	rows, bad, _, err := Read(strings.NewReader(in), JSONL, book, defaults)
	if err != nil || len(rows) != 1 || *rows[0].Label.P != 0.5 {
		t.Fatalf("%+v, %v", rows, err)
	}
	for i, want := range []struct {
		line int
		says string
	}{{2, "not a JSON object"}, {3, "message_id"}, {4, `key "mood"`}, {5, `p "1.5"`}, {7, `labelled_at "2026-03-01 08:00"`}} {
		if i >= len(bad) || bad[i].Line != want.line || !strings.Contains(bad[i].Err.Error(), want.says) {
			t.Fatalf("row %d: %v, want line %d with %q", i, bad, want.line, want.says)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("platform,message_id,head,label\nx,1,sentiment,neutral\n"), true)
	f.Add([]byte(`{"platform":"x","message_id":"1","head":"sentiment","label":"neutral"}`), false)
	f.Fuzz(func(t *testing.T, in []byte, isCSV bool) {
		form := JSONL
		if isCSV {
			form = CSV
		}
		rows, _, _, _ := Read(bytes.NewReader(in), form, book, defaults)
		for _, r := range rows {
			if err := book.Check(&r.Label); err != nil {
				t.Fatal(err)
			}
		}
	})
}
