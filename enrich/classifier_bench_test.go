//go:build unix

package enrich

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
)

// benchmarkTexts measures documents a second and core by the time that the process had a processor, so that a busy machine does not count.
func benchmarkTexts(b *testing.B, tier Tier, texts []string) {
	c := at(b, tier)
	var r Result
	for _, s := range texts {
		c.ClassifyInto(&r, s, "id", false)
	}
	b.ReportAllocs()
	begin, n := processorTime(b), 0
	for b.Loop() {
		c.ClassifyInto(&r, texts[n%len(texts)], "id", false)
		n++
	}
	b.ReportMetric(float64(n)/(processorTime(b)-begin).Seconds(), "docs/s/core")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkClassify has every head on messages to an institution. Wanted, documents a second and core: 200,000 fast, 30,000 best.
func BenchmarkClassify(b *testing.B) {
	for _, tier := range Tiers {
		b.Run(string(tier), func(b *testing.B) { benchmarkTexts(b, tier, benchTexts) })
	}
}

// BenchmarkClassifyStream has the same on a day's tweets, with the words that nobody met before.
func BenchmarkClassifyStream(b *testing.B) {
	texts := streamTexts(b)
	for _, tier := range Tiers {
		b.Run(string(tier), func(b *testing.B) { benchmarkTexts(b, tier, texts) })
	}
}

// BenchmarkHugeText has the longest texts that hostility can send. Wanted: under 20 ms for 1 MB.
func BenchmarkHugeText(b *testing.B) {
	for name, unit := range map[string]string{"words": "kata lain yang baru ", "one_word": "a", "ligatures": "ﷺ", "no_utf8": "\xff", "emoji": "👍"} {
		s := strings.Repeat(unit, 1<<20/len(unit))
		for _, tier := range Tiers {
			b.Run(name+"/"+string(tier), func(b *testing.B) { benchmarkTexts(b, tier, []string{s}) })
		}
	}
}

// streamTexts are the texts of the data folder's raw stream.
func streamTexts(b *testing.B) []string {
	dir := os.Getenv("DWIARAH_SHARED_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	rows, err := corpus.Table(filepath.Join(dir, filepath.FromSlash(corpus.BackgroundSet)))
	if err != nil {
		b.Skipf("the data sets are not at hand: set DWIARAH_SHARED_DATA to their folder (%v)", err)
	}
	texts := make([]string, len(rows))
	for i, row := range rows {
		texts[i] = row["text"]
	}
	return texts
}
