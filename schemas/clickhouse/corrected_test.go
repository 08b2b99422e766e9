package clickhouse

import (
	"flag"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/reference"
	"github.com/dwiarah/dwiarah/schemas/shares"
)

// TestCorrectedShares compares the corrected shares of metric_sentiment with package reference: worlds of enough messages, of one or several model versions, with confusion
// matrices that suffice, and ones that do not quite.
func TestCorrectedShares(t *testing.T) {
	conn := migrated(t)
	if err := flag.Set("rapid.checks", "12"); err != nil {
		t.Fatal(err)
	}
	calibrated := 0
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		w := world{institution: fmt.Sprint("corrected-", n)}
		versions := []string{"1-a", "1-a+corrected.r1", "2-b"}[:rapid.IntRange(1, 3).Draw(t, "versions")]
		for _, v := range versions {
			// Every other world can be corrected.
			if n%2 == 0 || rapid.Bool().Draw(t, "measured") {
				w.confusions = append(w.confusions, drawConfusion(t, w.institution, v, n%2 == 0))
			}
		}
		for i := range rapid.SampledFrom([]int{49, 90, 150, 220}).Draw(t, "messages") {
			w.messages = append(w.messages, &event.Enriched{
				Message: &event.Message{
					Institution: w.institution, Platform: schemas.PlatformX, MessageId: fmt.Sprint(i), MessageKey: messageKey(schemas.PlatformX, fmt.Sprint(i)), AuthorKey: "u",
					Kind: schemas.KindMention, Direction: schemas.Inbound, MentionsAccount: true, CreatedAtMs: day0.UnixMilli() + int64(i),
				},
				Enrichment: &event.Enrichment{
					Sentiment:    rapid.SampledFrom([]string{schemas.Negative, schemas.Neutral, schemas.Neutral, schemas.Neutral, schemas.Positive, schemas.SentimentUnknown}).Draw(t, "sentiment"),
					ModelVersion: rapid.SampledFrom(versions).Draw(t, "version"), ModelSeq: 1,
				},
			})
		}
		w.put(t, conn)
		from, to := day0, day0.AddDate(0, 0, 1)
		reading := reference.Read(reference.World{Institution: w.institution, Messages: w.messages, Confusions: w.confusions})
		want := reading.Sentiment(from, to)
		if want.Calibrated {
			calibrated++
		}
		compare(t, w.institution, metric(t, conn, "metric_sentiment", w.institution, from.Format(instant), to.Format(instant)), []record{columns(want)})
	})
	if calibrated == 0 {
		t.Error("no world had corrected shares: nothing was compared")
	}
}

func drawConfusion(t *rapid.T, institution, version string, suffices bool) *shares.Confusion {
	c := &shares.Confusion{Institution: institution, ModelVersion: version}
	for g := range 3 {
		few := []int{4, 5, 20, 195, 200}
		if suffices {
			few = []int{67, 90, 300}
		}
		c.Labels[g] = rapid.SampledFrom(few).Draw(t, "labels")
		for k := range 3 {
			cell := &c.Cells[g][k]
			cell.Weight = rapid.SampledFrom([]float64{0, 0.3, 1, 2.7}).Draw(t, "weight")
			if g == k {
				cell.Weight = rapid.SampledFrom([]float64{7, 11.5, 30}).Draw(t, "weight")
			}
			cell.WeightSq = cell.Weight * rapid.SampledFrom([]float64{0.1, 0.7, 3}).Draw(t, "weight of one")
		}
	}
	return c
}
