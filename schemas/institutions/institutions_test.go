package institutions_test

import (
	"flag"
	"os"
	"testing"

	"github.com/dwiarah/dwiarah/schemas/institutions"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestLoad(t *testing.T) {
	d, err := institutions.Load("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, author := range []string{"dinascontoh", "@DinasContoh", "77", "dinascontoh_cs"} {
		if in, _ := d.Owner("x", author); in == nil || in.ID != "dinas-contoh" {
			t.Errorf("owner of %q: got %v", author, in)
		}
	}
	_, byID := d.Owner("x", "77")
	_, byHandle := d.Owner("x", "DINASCONTOH_CS")
	if byID.AuthorID() != "77" || byHandle.AuthorID() != "77" || byID.Name() != "dinascontoh_cs" {
		t.Errorf("one account by id and by handle: got %+v and %+v", byID, byHandle)
	}
	if in, _ := d.Owner("mastodon", "dinascontoh"); in != nil {
		t.Error("an account belongs to its platform only")
	}
}

// TestLoadNamesEveryMistake: one run tells all, each with file, key, value and what is allowed.
func TestLoadNamesEveryMistake(t *testing.T) {
	_, err := institutions.Load("testdata/bad.yaml")
	if err == nil {
		t.Fatal("accepted")
	}
	got := err.Error() + "\n"
	if *update {
		if err := os.WriteFile("testdata/bad.golden", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/bad.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
