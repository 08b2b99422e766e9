package risk

import (
	"testing"

	"github.com/dwiarah/dwiarah/enrich/codebook"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

func read(t testing.TB) (*Table, *text.Analyzer) {
	t.Helper()
	a, err := text.NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	table, err := Read(codebook.Files, a)
	if err != nil {
		t.Fatal(err)
	}
	return table, a
}

func TestRules(t *testing.T) {
	table, a := read(t)
	f := func(s, tag string) {
		t.Helper()
		d := &text.Doc{}
		a.Analyze(d, s)
		p := make([]float64, len(table.Tags))
		table.Apply(d, p)
		for i, row := range table.Tags {
			if fired := p[i] > 0; fired != (row.Tag == tag) {
				t.Errorf("%q: rule of %s fired: %v", s, row.Tag, fired)
			}
		}
	}
	f("Pungli 50 ribu di loket, tanpa kuitansi", "misconduct_corruption")
	f("Ada PUNGLIII di samsat", "misconduct_corruption")
	f("min kalau mau lapor pungli lewat mana", "")
	f("Salut, oknum pungli langsung ditindak", "")
	f("Ada WA ngaku dari Dukcapil minta transfer", "hoax_impersonation")
	f("Apakah dana bisa ditransfer ke rekening BCA", "")
	f("NIK warga kelihatan di unggahan ini", "data_leak_secret")
	f("NIK saya [NIK], tolong dicek", "")
	f("udah lapor 3x ga pernah dibales min", "non_response")
	f("belum saya bayar", "")
	f("Jembatan retak, anak sekolah masih lewat", "public_safety")
	f("kemarin ada simulasi kebakaran, tolong jadwalkan lagi", "")
	f("Tetangga dipukul satpol pp tadi", "abuse_discrimination")
	f("Komentarnya buzzer bayaran semua", "inauthentic_engagement")
	f("Buka jam berapa, min?", "")
	f("", "")
}

func TestSeverity(t *testing.T) {
	table, a := read(t)
	f := func(tag, s string, want int) {
		t.Helper()
		d := &text.Doc{}
		a.Analyze(d, s)
		m := table.Apply(d, make([]float64, len(table.Tags)))
		if got := table.Severity(table.Index(tag), m); got != want {
			t.Errorf("%s %q: severity %d, want %d", tag, s, got, want)
		}
	}
	f("service_failure", "ktp belum jadi", 2)
	f("service_failure", "ktp belum jadi, ini bukti foto", 2)
	f("service_failure", "ktp belum jadi, saya lapor ombudsman", 3)
	f("wrong_information", "jadwal salah", 3)
	f("wrong_information", "jadwal salah, ada videonya", 4)
	f("wrong_information", "jadwal salah, ada videonya, viralkan", 5)
	f("misconduct_corruption", "pungli, ada videonya, viralkan", 5)
	f("hoax_impersonation", "akun palsu", 3)
	f("hoax_impersonation", "ada yang mengaku dinas minta transfer", 4)
	f("abuse_discrimination", "petugasnya galak", 3)
	f("abuse_discrimination", "ibu saya ditampar petugas", 5)
	f("policy_criticism", "kebijakan ini buruk, viralkan, ada videonya", 1)
}

func TestEveryTagHasItsRowOfTheTable(t *testing.T) {
	table, _ := read(t)
	if len(table.Tags) != 13 {
		t.Errorf("%d tags, want 13 beside none", len(table.Tags))
	}
	for _, row := range table.Tags {
		if row.Definition == "" || row.Not == "" || row.Cluster == "" || len(row.Principles) == 0 {
			t.Errorf("%s: definition, not, cluster or principles are missing", row.Tag)
		}
	}
	if table.Tags[0].Tag != "public_safety" || table.Tags[12].Tag != "policy_criticism" {
		t.Error("precedence does not run from public_safety to policy_criticism")
	}
}

func TestLexicon(t *testing.T) {
	_, a := read(t)
	lexicon, err := ReadLexicon(codebook.Files, a)
	if err != nil {
		t.Fatal(err)
	}
	f := func(s string, want bool) {
		t.Helper()
		d := &text.Doc{}
		a.Analyze(d, s)
		if got := lexicon.Abusive(d); got != want {
			t.Errorf("%q: abusive %v, want %v", s, got, want)
		}
	}
	f("dasar GOBLOKKK", true)
	f("otak di dengkul kali ya", true)
	f("anjing saya sudah divaksin", false)
	f("terima kasih", false)
}
