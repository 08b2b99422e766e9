package enrich

import (
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/models"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
)

var benchTexts = []string{
	"Selamat pagi min, mau tanya KTP saya udah 2 minggu belum jadi juga, tolong dicek ya, syaratnya sudah lengkap semua 🙏 @dinas",
	"Buka jam berapa, min?",
	"Terima kasih, pelayanannya cepat dan petugasnya ramah, semoga sukses terus",
	"Lampu jalan di perempatan mati sejak minggu lalu, gelap banget kalau malam, tolong segera diperbaiki sebelum ada korban",
}

var shared = sync.OnceValues(NewClassifier)

func classifier(t testing.TB) *Classifier {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func at(t testing.TB, tier Tier) *Classifier {
	t.Helper()
	c, err := classifier(t).At(tier)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSentimentAndNeedOfReply(t *testing.T) {
	c := classifier(t)
	f := func(s, sentiment string, reply bool) {
		t.Helper()
		if r := c.Classify(s, "", false); r.Sentiment != sentiment || r.NeedsReply != reply {
			t.Errorf("%q: %s (%.2f %.2f %.2f), needs reply %v", s, r.Sentiment, r.PNegative, r.PNeutral, r.PPositive, r.NeedsReply)
		}
	}
	f("Buka jam berapa, min?", schemas.Neutral, true)
	f("min syarat perpanjang sim apa saja", schemas.Neutral, true)
	f("Mohon info nomor telepon puskesmas", schemas.Neutral, true)
	f("What time do you open tomorrow?", schemas.Neutral, true)
	f("KTP saya sudah dua minggu belum jadi, sistem error terus, kecewa", schemas.Negative, true)
	f("Lapor 3x ga pernah dibales min", schemas.Negative, true)
	f("Pelayanannya buruk sekali, petugasnya kasar", schemas.Negative, true)
	f("Terima kasih, pelayanannya cepat dan petugasnya ramah", schemas.Positive, false)
	f("Makanannya enak, tempatnya nyaman", schemas.Positive, false)
	f("@dinas @kota", schemas.Neutral, false)
	f("wkwkwk", schemas.Neutral, false)
}

func TestRiskTags(t *testing.T) {
	c := classifier(t)
	f := func(s, tag string, severity int) {
		t.Helper()
		r := c.Classify(s, "", false)
		if r.RiskTag != tag || r.RiskSeverity != severity {
			t.Errorf("%q: %s, severity %d, want %s, %d (%v)", s, r.RiskTag, r.RiskSeverity, tag, severity, r.RiskP)
		}
		if (tag == "none") != (len(r.RiskTags) == 0) || tag != "none" && r.RiskTags[0] != tag {
			t.Errorf("%q: tags %v do not begin with the primary %s", s, r.RiskTags, tag)
		}
	}
	f("KTP dua minggu belum jadi, sistem error terus", "service_failure", 2)
	f("Lapor 3x ga pernah dibales min", "non_response", 2)
	f("Jadwal di IG beda sama di web, yang bener mana?", "wrong_information", 3)
	f("Ada WA ngaku dari Dukcapil minta transfer", "hoax_impersonation", 4)
	f("Komentar saya dihapus, anggarannya mana?", "nondisclosure", 3)
	f("Pungli 50 ribu di loket, tanpa kuitansi", "misconduct_corruption", 5)
	f("Petugasnya bentak-bentak ibu saya", "abuse_discrimination", 3)
	f("Akun resmi kok kampanye paslon?", "partisanship_bias", 4)
	f("Lagi banjir malah bikin konten joget", "improper_content", 3)
	f("Komennya buzzer semua, follower beli", "inauthentic_engagement", 3)
	f("NIK warga kelihatan di unggahan ini", "data_leak_secret", 5)
	f("Jembatan retak, anak sekolah masih lewat", "public_safety", 5)
	f("Kebijakan ini memberatkan rakyat kecil", "policy_criticism", 1)
	f("Buka jam berapa, min?", "none", 0)
	f("NIK saya [NIK], tolong dicek statusnya min", "none", 0)
	f("", "none", 0)
}

func TestModifiers(t *testing.T) {
	c := classifier(t)
	f := func(s, escalation, evidence, target string) {
		t.Helper()
		if r := c.Classify(s, "", false); r.Escalation != escalation || r.Evidence != evidence || r.Target != target {
			t.Errorf("%q: %s, %s, %s (%s)", s, r.Escalation, r.Evidence, r.Target, r.RiskTag)
		}
	}
	f("Pungli 50 ribu sama petugas loket, ada videonya, saya lapor ombudsman", "threatens_ombudsman_media_legal", "media", "officer")
	f("Lapor 3x ga pernah dibales min, viralkan", "viral_call", "claim", "institution")
	f("Kebijakan ini memberatkan rakyat kecil", "none", "claim", "policy")
	f("Buka jam berapa, min?", "none", "", "")
}

func TestAutomaticReplies(t *testing.T) {
	c := classifier(t)
	f := func(s string, outbound, want bool) {
		t.Helper()
		if r := c.Classify(s, "", outbound); r.IsAuto != want {
			t.Errorf("%q, outbound %v: automatic %v, want %v", s, outbound, r.IsAuto, want)
		}
	}
	f("Ini pesan otomatis. Petugas kami akan segera membalas", true, true)
	f("Ini pesan otomatis. Petugas kami akan segera membalas", false, false)
	f("This is an automated message, do not reply", true, true)
	f("Terima kasih telah menghubungi kami, laporan diterima dengan nomor tiket A-12", true, true)
	f("Boleh disertakan nomor tiketnya biar kami telusuri?", true, false)
	f("Halo Kak, loketnya buka sampai pukul tiga", true, false)
	f("Kami telusuri dulu ya Kak, nomor laporannya sudah kami catat. Petugas kami menghubungi sebelum sore", true, false)
}

func TestLanguage(t *testing.T) {
	c := classifier(t)
	f := func(s, claimed, want string) {
		t.Helper()
		if got := c.Classify(s, claimed, false).Lang; got != want {
			t.Errorf("%q (claimed %q): %s, want %s", s, claimed, got, want)
		}
	}
	f("Saya mau bertanya tentang jadwal pelayanan hari Sabtu", "", "id")
	f("Where can I renew my driving licence in this city?", "", "en")
	f("Aku arep takon jadwal layanan dina Setu, apa isih buka nganti sore", "", "jv")
	f("Abdi badé naros perkawis layanan ieu, hatur nuhun pisan", "", "su")
	f("kantor ini buka hari apa", "in", "id")
	f("", "", "und")
	f("", "in", "id")
	f("👍👍", "jw", "jv")
	f("مرحبا كيف حالك اليوم", "ar", "ar")
	f("مرحبا كيف حالك اليوم", "", "und")
	f("", "id-ID", "id")
	f("", "'; drop", "und")
}

func TestOutboundTextsHaveAFunctionAndNoRisk(t *testing.T) {
	c := classifier(t)
	f := func(s, want string) {
		t.Helper()
		r := c.Classify(s, "id", true)
		if r.ContentFunction != want || r.RiskTag != "none" || r.NeedsReply || r.RiskSeverity != 0 {
			t.Errorf("%q: %+v, want function %s", s, r, want)
		}
	}
	f("Jadwal pelayanan SIM keliling hari ini pukul 08.00-12.00 di lapangan", "informative")
	f("Tahukah kamu? Begini cara mencegah demam berdarah, kenali gejalanya", "educative")
	f("Kuis berhadiah! Tebak gambar ini dan tag temanmu 😆", "entertaining")
	f("Halo Kak, mohon kirim detailnya melalui DM ya", "other")
	if got := c.Classify("Jadwal pelayanan", "", false).ContentFunction; got != "" {
		t.Errorf("an inbound text has the function %q", got)
	}
}

// TestGroupsCountWhatIsNotReported: where a group of tags is named, leaving out what is not worth reporting of them does not hide that it may be.
func TestGroupsCountWhatIsNotReported(t *testing.T) {
	c := classifier(t)
	const small = model.LeastReported - 1e-9
	named, alone := 0, 0
	for i, parent := range c.parentOf {
		for large := parentP - 0.1; large < parentP+0.1; large += 0.001 {
			p, reported := make([]float64, len(c.parentOf)), make([]float64, len(c.parentOf))
			for k, of := range c.parentOf {
				if of == parent {
					p[k] = small
				}
			}
			p[i], reported[i] = large, large
			var r, short Result
			c.setRiskGroup(p, &r)
			c.setRiskGroup(reported, &short)
			if len(r.RiskTags) == 0 {
				continue
			}
			if named++; len(short.RiskTags) > 0 {
				alone++
			}
			if !mayNameGroup(reported) {
				t.Errorf("%s is named with %v, but not to be expected of %v", r.RiskTag, p, reported)
			}
		}
	}
	if named == alone {
		t.Errorf("%d groups were named, none because of what is not reported", named)
	}
}

// sound reports what is wrong with a result whatever the text.
func sound(r Result) error {
	sum := float64(r.PNegative) + float64(r.PNeutral) + float64(r.PPositive)
	if math.Abs(sum-1) > 1e-5 {
		return fmt.Errorf("sentiment sums to %v", sum)
	}
	for _, p := range []float32{r.PNegative, r.PNeutral, r.PPositive, r.Toxicity, r.PNeedsReply} {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("probability %v", p)
		}
	}
	for _, p := range r.RiskP {
		if !(p.P >= 0 && p.P <= 1) {
			return fmt.Errorf("probability of %s is %v", p.Tag, p.P)
		}
	}
	if r.RiskSeverity < 0 || r.RiskSeverity > 5 || r.RiskTag == "policy_criticism" && r.RiskSeverity > 1 {
		return fmt.Errorf("severity %d of %s", r.RiskSeverity, r.RiskTag)
	}
	if r.Lang == "" || r.ModelVersion == "" || r.RiskTag == "" || r.RiskTags == nil || r.RiskP == nil {
		return fmt.Errorf("a label is missing: %+v", r)
	}
	return nil
}

func TestHugeTextsAreBounded(t *testing.T) {
	c := classifier(t)
	for _, unit := range []string{"a", "kata lain ", "\xff", "ﷺ", "pungli tanpa kuitansi ", "👍", "@a ", "?", "1234567 "} {
		s := strings.Repeat(unit, 1<<20/len(unit))
		if err := sound(c.Classify(s, "", false)); err != nil {
			t.Errorf("%q repeated: %v", unit, err)
		}
		// What lies beyond the cap is not read: a text and its beginning get the same answer.
		if a, b := c.Classify(s, "", false), c.Classify(s[:64<<10], "", false); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%q repeated: the answer depends on more than the cap", unit)
		}
	}
}

// TestSteadyStateAllocatesNothing holds for both tiers, inbound and outbound: a stream leaves no garbage but what the caller keeps.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	// A long text may begin a rule with every word.
	texts := append(slices.Clone(benchTexts), strings.Repeat("pungli nik viralkan otomatis ", 300))
	for _, tier := range Tiers {
		c := at(t, tier)
		var r Result
		for _, outbound := range []bool{false, true} {
			all := func() {
				for _, s := range texts {
					c.ClassifyInto(&r, s, "id", outbound)
				}
			}
			all()
			// The pool may drop its buffers when memory is swept, so a stray allocation in many rounds is none a document.
			if n := testing.AllocsPerRun(200, all); n >= 1 {
				t.Errorf("%s, outbound %v: %v allocations for %d texts", tier, outbound, n, len(texts))
			}
		}
	}
}

func TestResultIsOverwritten(t *testing.T) {
	c := classifier(t)
	var r Result
	for _, s := range []string{"Pungli 50 ribu di loket, tanpa kuitansi", "Buka jam berapa, min?", "", "KTP dua minggu belum jadi"} {
		c.ClassifyInto(&r, s, "id", false)
		if want := c.Classify(s, "id", false); fmt.Sprint(r) != fmt.Sprint(want) {
			t.Errorf("%q: %v, want %v", s, r, want)
		}
	}
}

func TestTiers(t *testing.T) {
	fast, best := at(t, Fast), at(t, Best)
	if fast.ModelVersion() == best.ModelVersion() || fast.EnrichmentSeq() != best.EnrichmentSeq() {
		t.Errorf("versions %s and %s, releases %d and %d", fast.ModelVersion(), best.ModelVersion(), fast.EnrichmentSeq(), best.EnrichmentSeq())
	}
	differ := false
	for _, s := range benchTexts {
		a, b := fast.Classify(s, "id", false), best.Classify(s, "id", false)
		differ = differ || a.PNegative != b.PNegative
		if a.Lang != b.Lang || a.Toxicity != b.Toxicity || a.PNeedsReply != b.PNeedsReply && a.RiskTag == b.RiskTag && a.RiskTag == "none" {
			t.Errorf("%q: the tiers differ in more than sentiment: %+v and %+v", s, a, b)
		}
	}
	if !differ {
		t.Error("the best tier answers as the fast one does")
	}
	if _, err := fast.At("middling"); err == nil || !strings.Contains(err.Error(), "fast and best") {
		t.Errorf("an unknown tier: %v", err)
	}
}

func TestSentimentAbstains(t *testing.T) {
	c := classifier(t)
	f := func(s string, abstains bool) {
		t.Helper()
		r := c.Classify(s, "", false)
		if err := sound(r); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if (r.Sentiment == UnknownSentiment) != abstains {
			t.Errorf("%q: %s (%.2f %.2f %.2f), abstains should be %v", s, r.Sentiment, r.PNegative, r.PNeutral, r.PPositive, abstains)
		}
	}
	f("الخدمة سيئة جدا والموظف غير مهذب", true)
	f("服务太差了", true)
	f("обслуживание ужасное", true)
	f("Terima kasih, pelayanannya cepat", false)
	f("Buka jam berapa, min?", false)
	f("👍", false)
	f("", false)
}

// TestUnlikelyAnswersAreWithheld raises the threshold so far that every answer is too unlikely.
func TestUnlikelyAnswersAreWithheld(t *testing.T) {
	c := *classifier(t)
	head := *c.sentiment
	head.Threshold = []float64{1.1, 1.1, 1.1}
	c.sentiment = &head
	for _, s := range benchTexts {
		r := c.Classify(s, "", false)
		if r.Sentiment != UnknownSentiment || sound(r) != nil {
			t.Errorf("%q: %+v", s, r)
		}
	}
}

func TestConcurrentUseGivesTheSameAnswers(t *testing.T) {
	c := classifier(t)
	texts := []string{"Buka jam berapa, min?", "Pungli lagi pungli lagi", "terima kasih banyak", "Lapor ga dibales", "goblok semua", "Jembatan retak!"}
	var want []string
	for _, s := range texts {
		want = append(want, fmt.Sprint(c.Classify(s, "", false)))
	}
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for i := range 200 {
				k := (i + g) % len(texts)
				if got := fmt.Sprint(c.Classify(texts[k], "", false)); got != want[k] {
					t.Errorf("%q: %s, then %s", texts[k], want[k], got)
				}
			}
		})
	}
	wait.Wait()
}

func TestResultJSONKeepsItsNames(t *testing.T) {
	b, err := json.Marshal(classifier(t).Classify("Pungli 50 ribu, tanpa kuitansi", "", false))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range got {
		names = append(names, name)
	}
	slices.Sort(names)
	want := "content_function escalation evidence is_auto lang model_version needs_reply p_needs_reply p_negative p_neutral p_positive risk_p risk_severity risk_tag risk_tags sarcasm sentiment target toxicity"
	if strings.Join(names, " ") != want {
		t.Errorf("names: %v", names)
	}
	if p, ok := got["risk_p"].(map[string]any); !ok || p["misconduct_corruption"] == nil {
		t.Errorf("risk_p: %v", got["risk_p"])
	}
	var back Result
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(back); err != nil || string(again) != string(b) {
		t.Errorf("%v: %s does not come back as %s", err, again, b)
	}
}

func TestWireAnswerIsThatOfClassify(t *testing.T) {
	c := classifier(t)
	m := &event.Message{Text: "Lapor 3x ga pernah dibales min", Lang: "in", Direction: schemas.Inbound}
	r, e := c.Classify(m.Text, m.Lang, false), c.Enrich(m)
	if e.Sentiment != r.Sentiment || e.RiskTag != r.RiskTag || e.ModelSeq != c.EnrichmentSeq() || len(e.RiskP) != len(r.RiskP) || e.PNeedsReply != r.PNeedsReply {
		t.Errorf("%v\n%+v", e, r)
	}
	m.Direction = schemas.Outbound
	if e := c.Enrich(m); e.ContentFunction == "" || e.RiskTag != "none" {
		t.Errorf("outbound: %v", e)
	}
	if u := c.unknown(); u.Sentiment != schemas.SentimentUnknown || u.ModelSeq != 0 {
		t.Errorf("unknown: %v", u)
	}
}

func TestReleasedModel(t *testing.T) {
	if n := len(models.Classifier); n > 10<<20 {
		t.Errorf("the released model has %d bytes, want at most 10 MiB", n)
	}
	if seq := classifier(t).EnrichmentSeq(); seq < 1 || seq > 1023 {
		t.Errorf("release number %d", seq)
	}
	if _, err := NewClassifierFrom(models.Classifier[:100]); err == nil {
		t.Error("a cut artefact was accepted")
	}
}

func FuzzClassify(f *testing.F) {
	c := classifier(f)
	for _, s := range []string{"", "Halo min?", "\xff\xfe", "pungli [NIK] @a https://b", "ﷺ" + strings.Repeat("x", 100)} {
		f.Add(s, "id", false)
	}
	fast, fresh := at(f, Fast), at(f, Best)
	f.Fuzz(func(t *testing.T, s, lang string, outbound bool) {
		r := c.Classify(s, lang, outbound)
		for _, r := range []Result{r, fast.Classify(s, lang, outbound)} {
			if err := sound(r); err != nil {
				t.Fatal(err)
			}
		}
		// What other texts left in the caches changes nothing.
		w := fresh.scratch.make()
		fresh.analyzer.Analyze(&w.doc, s)
		w.scorer.Score(&w.doc)
		var again Result
		fresh.setSentiment(w, &again)
		if again.PNegative != r.PNegative || again.PPositive != r.PPositive || again.Sentiment != r.Sentiment {
			t.Fatalf("the same text got two answers: %+v and %+v", r, again)
		}
	})
}

// TestLearntWordsOutliveCollections holds that a collection does not take the words that a classifier has learnt: learning them is most of what a text takes.
func TestLearntWordsOutliveCollections(t *testing.T) {
	c, err := NewClassifier()
	if err != nil {
		t.Fatal(err)
	}
	before := c.scratch.get()
	c.scratch.put(before)
	for range 4 {
		runtime.GC()
	}
	if c.scratch.get() != before {
		t.Error("the scratch of the last text is gone, and with it the words that it had learnt")
	}
}
