package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/enrich/codebook"
	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
)

// streamFile writes labels of a stream that says "mantul" where it is displeased, which no model can know.
func streamFile(t *testing.T, n int) string {
	return labelFile(t, n, func(i int) string { _, sentiment := streamText(i); return sentiment })
}

func labelFile(t *testing.T, n int, labelOf func(i int) string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("text,label\n")
	for i := range n {
		text, _ := streamText(i)
		fmt.Fprintf(&b, "%s,%s\n", text, labelOf(i))
	}
	path := filepath.Join(t.TempDir(), "labels.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAdaptAndGoBack(t *testing.T) {
	folder := t.TempDir()
	adapt := func(more ...string) (int, string) {
		code, out, errOut := command("", append([]string{"adapt", "--institution", "kota-contoh", "--folder", folder}, more...)...)
		return code, out + errOut
	}
	classify := func() string {
		t.Helper()
		code, out, errOut := command(`{"id":1,"text":"mantul ya loket sebelah"}`+"\n", "classify", "--institution", "kota-contoh", "--adaptations", folder)
		if code != 0 {
			t.Fatal(errOut)
		}
		return out
	}
	own := classify()
	if code, says := adapt("--revert"); code != 1 || !strings.Contains(says, "no adaptation") {
		t.Errorf("exit %d, %s", code, says)
	}
	if code, says := adapt("--heads", "sentiment", "--file", streamFile(t, 60)); code != 0 || !strings.Contains(says, "too few labels") || !strings.Contains(says, "nothing was changed") {
		t.Errorf("exit %d, %s", code, says)
	}
	if code, says := adapt("--heads", "sentiment", "--file", streamFile(t, 150)); code != 0 || !strings.Contains(says, "accepted") {
		t.Fatalf("exit %d, %s", code, says)
	}
	adapted := classify()
	if !strings.Contains(adapted, `"sentiment":"negative"`) || !strings.Contains(adapted, "+kota-contoh.r1") {
		t.Errorf("adapted: %s", adapted)
	}
	if code, says := adapt("--revert"); code != 0 {
		t.Fatal(says)
	}
	back := classify()
	if strings.Replace(back, "+kota-contoh.r2", "", 1) != own {
		t.Errorf("gone back: %swant, but for the revision, %s", back, own)
	}
	if code, says := adapt("--revert"); code != 1 || !strings.Contains(says, "at the model itself") {
		t.Errorf("exit %d, %s", code, says)
	}
	if code, says := adapt("--heads", "sentiment", "--file", streamFile(t, 10), "--label-column", "mood"); code != 1 || !strings.Contains(says, `no column "mood"`) {
		t.Errorf("exit %d, %s", code, says)
	}
}

func TestAdaptATag(t *testing.T) {
	folder := t.TempDir()
	adapt := func(labelOf func(int) string) string {
		t.Helper()
		code, out, errOut := command("", "adapt", "--institution", "kota-contoh", "--folder", folder, "--heads", "risk_tag", "--file", labelFile(t, 160, labelOf))
		if code != 0 {
			t.Fatal(errOut)
		}
		return out
	}
	classify := func(text string) string {
		t.Helper()
		code, out, errOut := command(fmt.Sprintf(`{"id":1,"text":%q}`+"\n", text), "classify", "--institution", "kota-contoh", "--adaptations", folder)
		if code != 0 {
			t.Fatal(errOut)
		}
		return out
	}
	const stream, alarm = "mantul ya loket sebelah", "Pungli 50 ribu di loket, tanpa kuitansi"
	own := classify(alarm)
	// Nine labels of a tag are too few to say anything of it.
	if says := adapt(func(i int) string {
		if i%5 == 0 && i < 45 {
			return "service_failure"
		}
		return "none"
	}); says != "nothing was changed\n" {
		t.Errorf("nine labels: %s", says)
	}
	if says := adapt(streamTag); strings.Count(says, "risk_tag/") != 1 || !strings.Contains(says, "risk_tag/service_failure, 160 labels") || !strings.Contains(says, "accepted") {
		t.Fatal(says)
	}
	for _, part := range []string{`"risk_tag":"service_failure"`, `"risk_tags":["service_failure"]`, `"risk_severity":2`, `"target":`, "+kota-contoh.r1"} {
		if out := classify(stream); !strings.Contains(out, part) {
			t.Errorf("adapted, without %s: %s", part, out)
		}
	}
	// A tag that goes before is as it was.
	if out := classify(alarm); between(out, `"risk_tag":`, ",") != between(own, `"risk_tag":`, ",") || between(out, `"risk_severity":`, ",") != between(own, `"risk_severity":`, ",") {
		t.Errorf("an alarm became %swant %s", out, own)
	}
}

// riskStream writes a stream of the code book's families that never trained: half of it raises no alarm, service is most of what hurts, and what alarms is rare.
func riskStream(t *testing.T) string {
	t.Helper()
	labels, err := enrich.Labels()
	if err != nil {
		t.Fatal(err)
	}
	book, err := corpus.ReadCodeBook(codebook.Files, labels[label.RiskTag])
	if err != nil {
		t.Fatal(err)
	}
	seen, of := map[string]bool{}, map[string][]string{}
	for seed := range uint64(6) {
		for _, e := range book.HeldOut(seed + 1) {
			if e.Outbound || seen[e.Text] {
				continue
			}
			seen[e.Text] = true
			tag := risk.None
			if len(e.Risk) > 0 {
				tag = e.Risk[0]
			}
			of[tag] = append(of[tag], e.Text)
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	path := filepath.Join(t.TempDir(), "stream.jsonl")
	var b bytes.Buffer
	lines := json.NewEncoder(&b)
	for _, part := range []struct {
		tag string
		n   int
	}{{risk.None, 330}, {"service_failure", 120}, {"non_response", 70}, {"policy_criticism", 40}, {"misconduct_corruption", 20}, {"wrong_information", 20},
		{"abuse_discrimination", 10}, {"public_safety", 10}, {"hoax_impersonation", 10}} {
		texts := of[part.tag]
		random.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
		for _, text := range texts[:min(part.n, len(texts))] {
			if err := lines.Encode(map[string]string{"text": text, "label": part.tag}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// On a stream whose tags are not as frequent as in the code book, labels make the tags better and bring their shares closer, with words that the model was not made for.
func TestAdaptRiskToAStream(t *testing.T) {
	if testing.Short() {
		t.Skip("adapting thirteen tags takes half a minute")
	}
	draws := os.Getenv("DWIARAH_DRAWS") // 10 for the figures of the model card
	if draws == "" {
		draws = "1"
	}
	code, out, errOut := command("", "evaluate", "--head", "risk_tag", "--file", riskStream(t), "--adapt", "300", "--draws", draws)
	if code != 0 || strings.Contains(out, " 0 adaptations accepted") {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	t.Log(out)
	row := regexp.MustCompile(`(?m)^(before|after) +([0-9.]+) \([^)]*\) +([0-9.]+) `).FindAllStringSubmatch(out, -1)
	if len(row) != 4 {
		t.Fatalf("%d rows of figures in\n%s", len(row), out)
	}
	figure := func(row []string, at int) float64 {
		x, err := strconv.ParseFloat(row[at], 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	// Accuracy and macro-F1; then the error of a tag's share, counted and corrected.
	if figure(row[1], 2) <= figure(row[0], 2) || figure(row[1], 3) <= figure(row[0], 3) {
		t.Errorf("adapted, tags are no better:\n%s", out)
	}
	if counted := figure(row[2], 2); figure(row[2], 3) > 0.75*counted || figure(row[3], 3) > counted/2 {
		t.Errorf("shares are hardly closer:\n%s", out)
	}
}

// Labels of the stream are worth something under every head that is adapted: what the model cannot know is learnt, and its shares come closer.
func TestEvaluateAdaptation(t *testing.T) {
	for head, labelOf := range map[string]func(int) string{
		"sentiment": func(i int) string { _, sentiment := streamText(i); return sentiment },
		"needs_reply": func(i int) string {
			if i%5 == 0 {
				return "no"
			}
			return "yes"
		},
		"risk_tag": streamTag,
	} {
		code, out, errOut := command("", "evaluate", "--head", head, "--file", labelFile(t, 800, labelOf), "--adapt", "300", "--draws", "1")
		if code != 0 || !strings.Contains(out, "1 adaptations accepted") || !strings.Contains(out, "to counting before") {
			t.Errorf("%s: exit %d\n%s%s", head, code, out, errOut)
			continue
		}
		// Accuracy, then the error of counted shares.
		figures := map[string][]float64{}
		for _, line := range strings.Split(out, "\n") {
			if f := strings.Fields(line); len(f) > 1 && (f[0] == "before" || f[0] == "after") {
				x, err := strconv.ParseFloat(f[1], 64)
				if err != nil {
					t.Fatal(err)
				}
				figures[f[0]] = append(figures[f[0]], x)
			}
		}
		before, after := figures["before"], figures["after"]
		if len(before) != 2 || len(after) != 2 || after[0] < 0.95 || after[0] <= before[0] || after[1] >= before[1]/2 || strings.Contains(out, "NaN") {
			t.Errorf("%s: before %v, after %v\n%s", head, before, after, out)
		}
	}
	if code, _, errOut := command("", "evaluate", "--file", streamFile(t, 100), "--adapt", "90"); code != 1 || !strings.Contains(errOut, "70 are left") {
		t.Errorf("exit %d, %s", code, errOut)
	}
	if code, _, errOut := command("", "evaluate", "--head", "content_function", "--file", labelFile(t, 9, func(int) string { return "other" }), "--adapt", "5"); code != 1 || !strings.Contains(errOut, "content_function is not adapted") {
		t.Errorf("exit %d, %s", code, errOut)
	}
}
