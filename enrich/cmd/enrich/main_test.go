package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func command(in string, args ...string) (code int, out, errOut string) {
	var o, e strings.Builder
	code = start(args, strings.NewReader(in), &o, &e)
	return code, o.String(), e.String()
}

func TestClassifyKeepsOrderAndIDs(t *testing.T) {
	var in strings.Builder
	for n := range 500 {
		fmt.Fprintf(&in, `{"id":%d,"text":"Buka jam berapa %d?","lang":"id"}`+"\n", n, n)
	}
	in.WriteString(`{"id":"last","text":"tanpa baris baru"}`)
	code, out, errOut := command(in.String(), "classify")
	if code != 0 || errOut != "" {
		t.Fatalf("exit %d, %s", code, errOut)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 501 {
		t.Fatalf("%d lines", len(lines))
	}
	for n, line := range lines {
		var a struct {
			ID        any    `json:"id"`
			Sentiment string `json:"sentiment"`
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint(n)
		if n == 500 {
			want = "last"
		}
		if fmt.Sprint(a.ID) != want || a.Sentiment == "" {
			t.Fatalf("line %d: %s", n+1, line)
		}
	}
}

func TestBadLinesAreNamedAndTheRestGoesOn(t *testing.T) {
	in := "\ufeff" + `{"id":"a","text":"halo"}
not json

{"text":"no id"}
{"id":"b"}
{"id":"c","text":5}
{"id":{},"text":"x"}
{"id":"d","text":"bytes ` + "\xff" + `"}
{"id":null,"text":"x"}
{"id":"e","text":""}
`
	code, out, errOut := command(in, "classify")
	if code != 1 {
		t.Errorf("exit %d, want 1", code)
	}
	if n := strings.Count(out, "\n"); n != 2 || !strings.Contains(out, `"id":"a"`) || !strings.Contains(out, `"id":"e"`) {
		t.Errorf("output: %s", out)
	}
	for _, part := range []string{"line 2: not a JSON object", "line 4: id is missing", "line 5: text is missing", "line 6: not a JSON object", "line 7: id is neither", "line 8: not UTF-8", "line 9: id is missing", "7 of the lines"} {
		if !strings.Contains(errOut, part) {
			t.Errorf("the errors lack %q:\n%s", part, errOut)
		}
	}
}

func TestClassifyFiles(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	if err := os.WriteFile(in, []byte(`{"id":1,"text":"Jadwal layanan hari ini"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := command("", "classify", "--input", in, "--output", out, "--outbound"); code != 0 {
		t.Fatal(errOut)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), `"content_function":"informative"`) {
		t.Errorf("%s", b)
	}
	if code, _, errOut := command("", "classify", "--input", filepath.Join(dir, "absent")); code != 1 || !strings.Contains(errOut, "opening the input") {
		t.Errorf("exit %d, %s", code, errOut)
	}
}

func TestOverlongLine(t *testing.T) {
	in := `{"id":1,"text":"` + strings.Repeat("x", maxLineBytes) + `"}` + "\n" + `{"id":2,"text":"halo"}` + "\n"
	code, out, errOut := command(in, "classify")
	if code != 1 || !strings.Contains(errOut, "line 1: longer than") || !strings.Contains(out, `"id":2`) {
		t.Errorf("exit %d, %s, %.200s", code, errOut, out)
	}
}

func TestEvaluateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "labelled.csv")
	if err := os.WriteFile(path, []byte("isi,kelas\nBuka jam berapa min?,neutral\n\"Pelayanan buruk, kecewa\",negative\nTerima kasih pelayanannya ramah dan cepat,Positive\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := command("", "evaluate", "--file", path, "--text-column", "isi", "--label-column", "kelas")
	if code != 0 || !strings.Contains(out, "n 3   macro-F1 1.000") || !strings.Contains(out, "confusion") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	for name, c := range map[string]struct{ content, want string }{
		"columns.csv": {"isi,kelas\na,negative\n", `row 1 has no column "text"; it has "isi", "kelas"`},
		"short.csv":   {"text,label\na\n", `row 1 has no column "label"; it has "text"`},
		"label.csv":   {"text,label\na,negative\nb,marah\n", `row 2 has the label "marah" in column "label"; allowed are negative, neutral, positive`},
		"rows.csv":    {"text,label\n", "it has no rows"},
		"empty.csv":   {"", "the file is empty"},
		"key.jsonl":   {`{"text":"a"}` + "\n", `row 1 has no column "label"; it has "text"`},
		"line.jsonl":  {`{"text":"a","label":"negative"}` + "\n\nno object\n", "line 3 is no JSON object"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, errOut := command("", "evaluate", "--file", path); code != 1 || !strings.Contains(errOut, c.want) || out != "" {
			t.Errorf("%s: exit %d, %s%s; want %s", name, code, out, errOut, c.want)
		}
	}
}

func TestEvaluateRefusesNumbers(t *testing.T) {
	path := streamFile(t, 20)
	for _, flag := range []string{"--draws=0", "--adapt=-1"} {
		if code, out, errOut := command("", "evaluate", "--file", path, "--adapt=5", flag); code != 1 || !strings.Contains(errOut, "allowed are numbers") || out != "" {
			t.Errorf("%s: exit %d, %s%s", flag, code, out, errOut)
		}
	}
}

func TestEvaluateAnyHead(t *testing.T) {
	for head, lines := range map[string]string{
		"risk_tag":         `{"text":"Pungli 50 ribu di loket, tanpa kuitansi","label":"misconduct_corruption"}` + "\n" + `{"text":"buka jam berapa min?","label":"none"}` + "\n",
		"needs_reply":      `{"text":"buka jam berapa min?","label":"yes"}` + "\n" + `{"text":"terima kasih banyak pelayanannya ramah","label":"no"}` + "\n",
		"content_function": `{"text":"Layanan kami tutup hari Senin 1 Juni 2026. Buka kembali Selasa pukul 08.00.","label":"informative"}` + "\n",
	} {
		path := filepath.Join(t.TempDir(), head+".jsonl")
		if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, errOut := command("", "evaluate", "--file", path, "--head", head); code != 0 || !strings.Contains(out, head) || !strings.Contains(out, "accuracy 1.000") {
			t.Errorf("%s: exit %d\n%s%s", head, code, out, errOut)
		}
	}
}

func TestTemplatesOfReplies(t *testing.T) {
	var in strings.Builder
	for i, name := range []string{"ani", "budi", "citra", "dewi", "eko"} {
		fmt.Fprintf(&in, `{"platform":"x","account":"dinas","message_id":"r%d","direction":"outbound","kind":"reply","parent_author_id":%q,"text":"Halo Kak %s, laporan Kakak sudah masuk dan kami teruskan ke bidang air"}`+"\n", i, name, name)
		fmt.Fprintf(&in, `{"platform":"x","account":"dinas","message_id":"q%d","direction":"inbound","kind":"reply","parent_author_id":"dinas","text":"min airnya mati lagi di tempat saya dari pagi sampai sore"}`+"\n", i)
	}
	code, out, errOut := command(in.String(), "templates")
	want := `{"account":"x/dinas","text":"halo kak … laporan kakak sudah masuk dan kami teruskan ke bidang air","messages":5,"people":5}` + "\n"
	if code != 0 || out != want || !strings.Contains(errOut, "1 templates in 5 replies") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	for args, part := range map[string]string{`{"direction":"inbound"}`: "no message has direction outbound", `{"direction":"outbound","kind":"reply"}`: "without platform or account", `{`: "reading message 1"} {
		if code, _, errOut := command(args, "templates"); code != 1 || !strings.Contains(errOut, part) {
			t.Errorf("%s: exit %d, %s", args, code, errOut)
		}
	}
	if code, _, errOut := command("", "templates", "--people", "1"); code != 1 || !strings.Contains(errOut, "2 or more") {
		t.Errorf("exit %d, %s", code, errOut)
	}
}

func TestVersionAndBadCommandLines(t *testing.T) {
	if code, out, _ := command("", "--version"); code != 0 || !strings.HasPrefix(out, "enrich, model ") {
		t.Errorf("exit %d, %s", code, out)
	}
	if code, _, errOut := command("", "train", "--seq", "2000", "--data", t.TempDir(), "--out", t.TempDir()); code != 1 || !strings.Contains(errOut, "1 to 63") {
		t.Errorf("exit %d, %s", code, errOut)
	}
	if code, _, _ := command("", "nonsense"); code != 2 {
		t.Errorf("exit %d, want 2", code)
	}
}

// Training again without a number has to give the released model, whose version begins with its number.
func TestTrainKeepsTheNumberOfTheRelease(t *testing.T) {
	for seq, want := range map[uint32]string{0: strings.SplitN(modelVersion(), "-", 2)[0], 7: "7"} {
		got, err := (&trainCommand{Seq: seq}).release()
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("--seq %d: release %d, %v; want %s", seq, got, err, want)
		}
	}
}

// TestCardIsOfTheReleasedModel keeps the card from telling of another model than the one beside it.
func TestCardIsOfTheReleasedModel(t *testing.T) {
	card, err := os.ReadFile(filepath.Join("..", "..", "models", "MODEL_CARD.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, figures, begins := strings.Cut(string(card), figuresBegin)
	figures, _, ends := strings.Cut(figures, figuresEnd)
	if want := "model " + modelVersion() + "\n"; !begins || !ends || !strings.Contains(figures, want) {
		t.Errorf("the figures of the card are not of %q; make train writes them", want)
	}
}

func TestWriteCard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "card.md")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# Card\n" + figuresBegin + "\nold\n" + figuresEnd + "\nrest\n")
	for range 2 { // writing twice is writing once
		if err := writeCard(path, "new\n"); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := "# Card\n" + figuresBegin + "\n\n```\nnew\n```\n\n" + figuresEnd + "\nrest\n"; string(b) != want {
			t.Errorf("got %q, want %q", b, want)
		}
	}
	write("# Card without marks\n")
	if err := writeCard(path, "new\n"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a card without marks: %v", err)
	}
}
