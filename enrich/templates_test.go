package enrich

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
)

func TestRepliesMadeFromATemplateAreAutomatic(t *testing.T) {
	c, err := LoadAdaptations(classifier(t), "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	made := &event.Message{Platform: schemas.PlatformX, Account: "dinas", Direction: schemas.Outbound, Kind: schemas.KindReply,
		Text: "@ani Halo Kak Ani, laporan Kakak sudah masuk dan kami teruskan ke bidang air"}
	own := &event.Message{Platform: schemas.PlatformX, Account: "dinas", Direction: schemas.Outbound, Kind: schemas.KindReply,
		Text: "Kak Ani, pipanya diganti Kamis pagi sesudah pukul sembilan oleh tim dari gudang timur"}
	before := c.Enrich(made)
	if before.IsAuto {
		t.Fatal("automatic although no template is known")
	}
	path := filepath.Join(t.TempDir(), "templates.jsonl")
	if err := os.WriteFile(path, []byte(`{"account":"x/dinas","text":"halo kak … laporan kakak sudah masuk dan kami teruskan ke bidang air","messages":5,"people":5}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadTemplates(path); err != nil {
		t.Fatal(err)
	}
	after := c.Enrich(made)
	if !after.IsAuto || !strings.HasPrefix(after.ModelVersion, before.ModelVersion+"+templates-") || after.ModelSeq != before.ModelSeq {
		t.Errorf("automatic %v by %s, number %d", after.IsAuto, after.ModelVersion, after.ModelSeq)
	}
	if c.Enrich(own).IsAuto {
		t.Error("a reply in its own words is automatic")
	}
	made.Direction = schemas.Inbound
	if e := c.Enrich(made); e.IsAuto || e.ModelVersion != before.ModelVersion {
		t.Errorf("an inbound text is automatic, or by %s", e.ModelVersion)
	}
	if err := c.LoadTemplates(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("an absent file was loaded")
	}
}
