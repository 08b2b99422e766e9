package sample

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/reference"
)

// bundled is the sample that every test but the one of determinism reads.
var bundled = sync.OnceValues(func() (*Sample, error) { return Generate(Options{}) })

func generate(t *testing.T) *Sample {
	t.Helper()
	s, err := bundled()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSameSeedSameBytes(t *testing.T) {
	files := func(o Options) map[string]string {
		s, err := Generate(o)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := s.Write(dir); err != nil {
			t.Fatal(err)
		}
		content := map[string]string{}
		for _, name := range []string{ArchiveFile, InstitutionsFile, KeyFile, TruthFile} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			content[name] = string(b)
		}
		return content
	}
	first := files(Options{})
	if !reflect.DeepEqual(first, files(Options{Seed: DefaultSeed, End: DefaultEnd()})) {
		t.Error("the zero options and the default ones differ, or two runs do")
	}
	if first[ArchiveFile] == files(Options{Seed: 2})[ArchiveFile] {
		t.Error("another seed gives the same archive")
	}
}

// What was written is read back line by line, as an importer reads it, and gives the key again; so does the archive in any other order.
func TestWrittenFilesGiveTheKey(t *testing.T) {
	s := generate(t)
	dir := t.TempDir()
	if err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(filepath.Join(dir, ArchiveFile))
	if err != nil {
		t.Fatal(err)
	}
	unpacker, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unpacker.Close()
	archive, err := unpacker.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	read := &Sample{Truth: s.Truth, directory: s.directory}
	for line := range bytes.Lines(archive) {
		m, err := schemas.ParseMessage(line, DefaultEnd())
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		read.Messages = append(read.Messages, *m)
	}
	slices.Reverse(read.Messages)
	written, err := os.ReadFile(filepath.Join(dir, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	var key any
	if err := json.Unmarshal(written, &key); err != nil {
		t.Fatal(err)
	}
	again := read.key(Options{Seed: DefaultSeed, End: DefaultEnd()}, DefaultEnd().AddDate(0, 0, -Days))
	for i := range again.Institutions {
		// Which snapshot of two read at one instant comes first depends on the order of rows; the rest does not.
		again.Institutions[i].Accounts = s.Key.Institutions[i].Accounts
	}
	var readBack any
	if err := json.Unmarshal([]byte(encode(t, again)), &readBack); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(key, readBack) {
		t.Error("the archive read back in reverse order gives another key")
	}
	lines, err := os.ReadFile(filepath.Join(dir, TruthFile))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(lines, []byte("\n")); n != s.Key.Archive.Messages {
		t.Errorf("%d lines of truth for %d messages", n, s.Key.Archive.Messages)
	}
}

func TestEveryRowIsValid(t *testing.T) {
	s := generate(t)
	first := DefaultEnd().AddDate(0, 0, -Days)
	for _, m := range s.Messages {
		if err := m.Validate(DefaultEnd()); err != nil {
			t.Fatalf("%s: %v", encode(t, m), err)
		}
		for _, at := range []*time.Time{&m.CreatedAt, m.ObservedAt, m.EditedAt, m.DeletedAt} {
			if at != nil && (at.Before(first) || at.After(DefaultEnd())) {
				t.Errorf("%s is outside the sample", encode(t, m))
			}
		}
		if m.ObservedAt != nil && m.ObservedAt.Before(m.CreatedAt) || m.DeletedAt != nil && !m.DeletedAt.After(m.CreatedAt) || m.EditedAt != nil && !m.EditedAt.After(m.CreatedAt) {
			t.Errorf("%s: the times contradict each other", encode(t, m))
		}
	}
	if n := s.Key.Archive.Messages; n < 6000 || n > 9000 {
		t.Errorf("%d messages, want some thousands", n)
	}
	if !s.Key.Archive.Until.Equal(DefaultEnd()) {
		t.Errorf("the archive is complete until %v, want the end", s.Key.Archive.Until)
	}
	for _, in := range s.directory.All() {
		if w := s.World(in.ID); len(w.Messages) == 0 {
			t.Errorf("nothing concerns %s", in.ID)
		}
		for _, keyword := range in.Keywords {
			for _, m := range s.Messages {
				if strings.Contains(strings.ToLower(m.Text), keyword) {
					t.Errorf("the keyword %q in: %s; World and the book know nothing of keywords", keyword, m.Text)
				}
			}
		}
	}
}

// The generator's own book against the metrics computed from the archive.
func TestBookAgreesWithReference(t *testing.T) {
	s := generate(t)
	for _, in := range s.Key.Institutions {
		b := s.books[in.ID]
		slices.SortStableFunc(b.entries, func(x, y *entry) int { return x.at.Compare(y.at) })
		for _, p := range in.Periods {
			want := b.tally(p.From, p.To)
			got := tally{
				inbound: p.Messages.Inbound, outbound: p.Messages.Outbound, deleted: p.Messages.Deleted, byKind: p.Messages.ByKind, inboundAuthors: p.Messages.Authors,
			}
			for column, field := range map[string]*int{"broadcasts": &got.broadcasts, "replies": &got.replies, "auto_replies": &got.autoReplies} {
				*field = int(p.ReplyShare[column].(int64))
			}
			for column, field := range map[string]*int{"inbound": &got.addressed, "authors": &got.authors, "authors_answered": &got.answered} {
				*field = int(p.Asymmetry[column].(int64))
			}
			for column, field := range map[string]*int{"threads": &got.threads, "looped": &got.looped} {
				*field = int(p.Dialogue[column].(int64))
			}
			if r, ok := p.Asymmetry["reciprocity"].(float64); ok {
				got.matched = int(r*float64(got.addressed+got.replies)/2 + 0.5)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s:\nreference %+v\nbook      %+v", in.ID, p.Name, got, want)
			}
		}
		requests := map[string]reference.Request{}
		for _, q := range reference.Read(s.World(in.ID)).Requests() {
			requests[q.Platform+"/"+q.RequestID] = q
		}
		if len(requests) != len(b.asks) {
			t.Errorf("%s: %d requests, the book has %d", in.ID, len(requests), len(b.asks))
		}
		for _, a := range b.asks {
			outcome, at := a.outcome(DefaultEnd())
			q, ok := requests[a.question.platform+"/"+a.question.id]
			if !ok || q.Outcome != outcome || q.WaitS != at.Sub(a.question.at).Seconds() {
				t.Errorf("%s, %s: %s after %v s, the book has %s after %v", in.ID, a.question.id, q.Outcome, q.WaitS, outcome, at.Sub(a.question.at))
			}
		}
	}
}

// The first table of the metric specification: whoever looks at the answered alone ranks the wrong office first.
func TestRankingInversion(t *testing.T) {
	s := generate(t)
	mean := map[string]float64{}
	wait := map[string]reference.Wait{}
	for _, id := range []string{"dukcapil-argaluhur", "tirta-lengkara"} {
		r := reference.Read(s.World(id))
		n := 0.0
		for _, q := range r.Requests() {
			if q.Outcome == reference.OutcomeReplied {
				n++
				mean[id] += (q.WaitS - mean[id]) / n
			}
		}
		wait[id] = r.Wait(DefaultEnd().AddDate(0, 0, -Days), DefaultEnd())
	}
	easy, both := wait["dukcapil-argaluhur"], wait["tirta-lengkara"]
	if mean["dukcapil-argaluhur"] > 0.7*mean["tirta-lengkara"] || *easy.AnsweredP50S > *both.AnsweredP50S || *easy.AnsweredP90S > *both.AnsweredP90S {
		t.Errorf("waits of the answered: mean %v, p50 %v and %v", mean, *easy.AnsweredP50S, *both.AnsweredP50S)
	}
	if *easy.RMST7dS < 1.2**both.RMST7dS || *easy.Incidence72h > *both.Incidence72h {
		t.Errorf("unanswered included: %v and %v s", *easy.RMST7dS, *both.RMST7dS)
	}
	t.Logf("mean wait of the answered %.1f h and %.1f h, restricted mean wait %.1f h and %.1f h", mean["dukcapil-argaluhur"]/3600, mean["tirta-lengkara"]/3600, *easy.RMST7dS/3600, *both.RMST7dS/3600)
}

func TestTextsAreVaried(t *testing.T) {
	s := generate(t)
	seen := map[string]int{}
	n := 0
	for _, m := range firstVersions(s) {
		if strings.HasPrefix(m.AuthorID, "u") && m.Kind != schemas.KindRepost && !strings.Contains(m.Text, "#BatalkanTarifFeri") {
			seen[m.Text]++
			n++
		}
	}
	if share := float64(len(seen)) / float64(n); share < 0.88 {
		t.Errorf("%d of %d texts of citizens are distinct: %.3f", len(seen), n, share)
	}
	for text, times := range seen {
		if times > 12 {
			t.Errorf("%d times: %s", times, text)
		}
	}
}

// firstVersions leaves out repeats and rows without text.
func firstVersions(s *Sample) []schemas.Message {
	var out []schemas.Message
	seen := map[string]bool{}
	for _, m := range s.Messages {
		if id := m.Platform + "/" + m.MessageID; m.Text != "" && !seen[id] {
			seen[id] = true
			out = append(out, m)
		}
	}
	return out
}

// Identity numbers have a region code that no region has, telephone numbers a block that nobody has, addresses a domain that nobody can have.
func TestPrivateDataIsFictitious(t *testing.T) {
	s := generate(t)
	found := map[string]int{}
	checks := []struct {
		name          string
		form, allowed *regexp.Regexp
	}{
		{"identity number", regexp.MustCompile(`\d{16}`), regexp.MustCompile(`^99`)},
		{"telephone number", regexp.MustCompile(`(?:\+62|\b0)8\d\d[\d-]{5,}`), regexp.MustCompile(`^0812-0000-\d{4}$`)},
		{"e-mail address", regexp.MustCompile(`[\w.]+@[\w.]+\.\w+`), regexp.MustCompile(`@example\.com$`)},
		{"domain", regexp.MustCompile(`\b[a-z]+\.(?:id|com|net|org|example)\b`), regexp.MustCompile(`^example\.com$|\.example$`)},
		{"address", regexp.MustCompile(`https?:`), regexp.MustCompile(`^$`)},
	}
	for _, m := range s.Messages {
		for _, c := range checks {
			for _, value := range c.form.FindAllString(m.Text, -1) {
				found[c.name]++
				if !c.allowed.MatchString(value) {
					t.Errorf("%s %q in: %s", c.name, value, m.Text)
				}
			}
		}
	}
	for _, name := range []string{"identity number", "telephone number", "e-mail address"} {
		if found[name] < 5 {
			t.Errorf("%d times an %s, want some for redaction to find", found[name], name)
		}
	}
}

// Everything that the package promises to contain.
func TestWhatIsInTheArchive(t *testing.T) {
	s := generate(t)
	counts := map[string]int{}
	byID := map[string]schemas.Message{}
	for _, m := range firstVersions(s) {
		byID[m.Platform+"/"+m.MessageID] = m
	}
	answered := map[string]time.Time{}
	for _, m := range s.Messages {
		if in, _ := s.directory.Owner(m.Platform, m.AuthorID); in != nil && m.ParentID != "" && !m.IsAuto {
			answered[m.Platform+"/"+m.ParentID] = m.CreatedAt
		}
	}
	for _, m := range s.Messages {
		count := func(what string, is bool) {
			if is {
				counts[what]++
			}
		}
		_, parentKnown := byID[m.Platform+"/"+m.ParentID]
		in, account := s.directory.Owner(m.Platform, m.AuthorID)
		at, wasAnswered := answered[m.Platform+"/"+m.MessageID]
		count("platform "+m.Platform, true)
		count("kind "+m.Kind, true)
		count("automatic reply", m.IsAuto && in != nil)
		count("bot", m.IsAuto && in == nil)
		count("sibling's answer", in != nil && m.Kind == schemas.KindReply && account.Handle == "tirtalengkara_cs")
		count("tombstone", m.Text == "")
		count("deletion with text", m.Text != "" && m.DeletedAt != nil)
		count("edit", m.EditedAt != nil)
		count("orphan", m.ParentID != "" && !parentKnown && in == nil)
		count("orphaned answer", m.ParentID != "" && !parentKnown && in != nil)
		count("parent's author absent", m.ParentID != "" && m.ParentAuthorID == "")
		count("institution absent", m.Institution == "")
		count("institution given", m.Institution != "")
		count("observed_at absent", m.ObservedAt == nil)
		count("deleted after the answer", m.DeletedAt != nil && in == nil && wasAnswered && m.DeletedAt.After(at))
		count("deleted before the answer", m.DeletedAt != nil && in == nil && wasAnswered && m.DeletedAt.Before(at))
		count("deleted answer", m.DeletedAt != nil && in != nil)
	}
	for _, q := range s.Truth {
		counts["language "+q.Lang]++
		counts["function "+q.ContentFunction]++
		counts["risk "+q.RiskTag]++
		if len(q.Institutions) == 2 {
			counts["two institutions"]++
		}
	}
	for _, what := range []string{
		"platform x", "platform mastodon", "platform instagram", "platform youtube", "kind post", "kind reply", "kind comment", "kind mention", "kind quote", "kind repost",
		"automatic reply", "bot", "sibling's answer", "tombstone", "deletion with text", "edit", "orphan", "orphaned answer", "parent's author absent", "institution absent",
		"institution given", "observed_at absent", "deleted after the answer", "deleted before the answer", "deleted answer", "two institutions",
		"language id", "language jv", "language su", "language en", "function informative", "function educative", "function entertaining",
		"risk none", "risk service_failure", "risk non_response", "risk wrong_information", "risk hoax_impersonation", "risk nondisclosure", "risk misconduct_corruption",
		"risk abuse_discrimination", "risk partisanship_bias", "risk improper_content", "risk inauthentic_engagement", "risk data_leak_secret", "risk public_safety",
		"risk policy_criticism",
	} {
		if counts[what] < 4 {
			t.Errorf("%d times %s", counts[what], what)
		}
	}
	for _, m := range s.Messages {
		if old := byID[m.Platform+"/"+m.MessageID]; m.EditedAt != nil && (old.EditedAt != nil || old.Text == m.Text || readAt(old).After(readAt(m))) {
			t.Errorf("no other text stands before the edit of %s: %s", m.MessageID, m.Text)
		}
	}
	if counts["institution given"]*5 > counts["institution absent"] {
		t.Errorf("the institution is given %d times, absent %d times; want it mostly derived", counts["institution given"], counts["institution absent"])
	}
	t.Log(s.Key.Archive, counts)
}

func TestIncidentBurstAndJump(t *testing.T) {
	s := generate(t)
	day := func(n int) time.Time { return DefaultEnd().AddDate(0, 0, n-Days) }
	water := reference.Read(s.World("tirta-lengkara"))
	if usual, broken := water.Asymmetry(day(45), day(47)).Inbound, water.Asymmetry(day(52), day(54)).Inbound; broken < 4*usual {
		t.Errorf("%d messages in the two days of the incident, %d in an ordinary two", broken, usual)
	}
	waves := map[string][]schemas.Message{}
	for _, m := range firstVersions(s) {
		if strings.Contains(m.Text, "#BatalkanTarifFeri") {
			waves[m.Text] = append(waves[m.Text], m)
		}
	}
	authors := map[string]int{}
	for text, wave := range waves {
		first, last := wave[0].CreatedAt, wave[0].CreatedAt
		for _, m := range wave {
			authors[m.AuthorID]++
			if m.CreatedAt.Before(first) {
				first = m.CreatedAt
			}
			last = latest(last, m.CreatedAt)
		}
		if len(wave) != 42 || last.Sub(first) >= time.Minute {
			t.Errorf("%d accounts within %v wrote: %s", len(wave), last.Sub(first), text)
		}
	}
	if len(waves) != 2 || len(authors) != 42 {
		t.Errorf("%d waves by %d accounts, want 2 by 42", len(waves), len(authors))
	}
	// followers on X as last read before a day.
	followers := func(n int) int64 {
		var last int64
		for _, m := range s.Messages {
			if m.Platform == schemas.PlatformX && m.AuthorID == "a5301" && m.AuthorFollowers != nil && readAt(m).Before(day(n)) {
				last = *m.AuthorFollowers
			}
		}
		return last
	}
	if before, jump, after := followers(40)-followers(36), followers(43)-followers(40), followers(47)-followers(43); before > 300 || jump < 21400 || after > 300 {
		t.Errorf("followers rose by %d, then %d, then %d", before, jump, after)
	}
}

// Another end moves the sample; nothing looks at the clock.
func TestAnotherEnd(t *testing.T) {
	end := time.Date(2025, 2, 28, 17, 0, 0, 0, time.UTC)
	s, err := Generate(Options{Seed: 7, End: end})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Key.Archive.Until.Equal(end) || s.Key.Archive.Since.Before(end.AddDate(0, 0, -Days)) {
		t.Errorf("%v to %v", s.Key.Archive.Since, s.Key.Archive.Until)
	}
	for _, in := range s.Key.Institutions {
		if all := in.Periods[0]; all.Messages.N < 1000 {
			t.Errorf("%s has %d messages", in.ID, all.Messages.N)
		}
	}
}
