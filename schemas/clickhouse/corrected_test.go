package clickhouse

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/reference"
	"github.com/dwiarah/dwiarah/schemas/shares"
)

// TestCorrectedShares compares the corrected shares of metric_sentiment and metric_risk, and the model versions that every view names, with package reference: worlds of enough messages, of one or several model
// versions, with confusion matrices that suffice, and ones that do not quite.
func TestCorrectedShares(t *testing.T) {
	conn := migrated(t)
	if err := flag.Set("rapid.checks", "16"); err != nil {
		t.Fatal(err)
	}
	corrected := map[string]int{}
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		w := world{institution: fmt.Sprint("corrected-", n)}
		versions := []string{"1-a", "1-a+corrected.r1", "2-b"}[:rapid.IntRange(1, 3).Draw(t, "versions")]
		for _, v := range versions {
			// Every other world can be corrected.
			if n%2 == 0 || rapid.Bool().Draw(t, "measured") {
				w.confusions = append(w.confusions, drawConfusion(t, w.institution, "sentiment", v, feelings, []string{schemas.SentimentUnknown}, n%2 == 0),
					drawConfusion(t, w.institution, "risk_tag", v, risks, []string{"SERVICE"}, n%2 == 0))
			}
		}
		for i := range rapid.SampledFrom([]int{49, 90, 150, 220}).Draw(t, "messages") {
			w.messages = append(w.messages, drawLabelled(t, w.institution, i, versions))
		}
		w.put(t, conn)
		from, to := day0, day0.AddDate(0, 0, 1)
		reading := reference.Read(reference.World{Institution: w.institution, Messages: w.messages, Confusions: w.confusions})
		sentiment, risk := reading.Sentiment(from, to), reading.Risk(from, to)
		if sentiment.Calibrated {
			corrected["metric_sentiment"]++
		}
		if slices.ContainsFunc(risk, func(r reference.RiskRow) bool { return r.Calibrated && *r.Share != r.RawShare }) {
			corrected["metric_risk"]++
		}
		for view, want := range map[string][]record{"metric_sentiment": {columns(sentiment)}, "metric_risk": records(risk), "metric_quality": {columns(reading.Quality(from, to))}} {
			compare(t, view+" of "+w.institution, metric(t, conn, view, w.institution, from.Format(instant), to.Format(instant)), want)
		}
	})
	for _, view := range []string{"metric_sentiment", "metric_risk"} {
		if corrected[view] == 0 {
			t.Errorf("no world had corrected shares of %s: nothing was compared", view)
		}
	}
}

var (
	feelings = []string{schemas.Negative, schemas.Neutral, schemas.Positive}
	risks    = []string{"service_failure", "non_response", "public_safety", "none"}
)

// drawLabelled draws a message to the institution that one of the model versions labelled.
func drawLabelled(t *rapid.T, institution string, i int, versions []string) *event.Enriched {
	e := &event.Enriched{
		Message: &event.Message{
			Institution: institution, Platform: schemas.PlatformX, MessageId: fmt.Sprint(i), MessageKey: messageKey(schemas.PlatformX, fmt.Sprint(i)), AuthorKey: fmt.Sprint("u", i%7),
			Kind: schemas.KindMention, Direction: schemas.Inbound, MentionsAccount: true, CreatedAtMs: day0.UnixMilli() + int64(i),
		},
		Enrichment: &event.Enrichment{
			Sentiment:    rapid.SampledFrom([]string{schemas.Negative, schemas.Neutral, schemas.Neutral, schemas.Neutral, schemas.Positive, schemas.SentimentUnknown}).Draw(t, "sentiment"),
			ModelVersion: rapid.SampledFrom(versions).Draw(t, "version"), ModelSeq: 1, RiskSeverity: uint32(i % 6),
			RiskTags: rapid.SampledFrom([][]string{nil, {"none"}, {"service_failure"}, {"service_failure", "non_response"}, {"public_safety", "service_failure"}, {"SERVICE"}}).Draw(t, "tags"),
		},
	}
	for _, tag := range e.Enrichment.RiskTags {
		e.Enrichment.RiskP = append(e.Enrichment.RiskP, &event.TagProbability{Tag: tag, P: 0.5})
	}
	return e
}

// drawConfusion draws a matrix of labels by people, whose answers may also be others.
func drawConfusion(t *rapid.T, institution, head, version string, labels, others []string, suffices bool) *shares.Confusion {
	c := &shares.Confusion{Institution: institution, Head: head, ModelVersion: version, Cells: map[[2]string]shares.Cell{}}
	for _, gold := range labels {
		few := []int{4, 5, 20, 195, 200}
		if suffices {
			few = []int{67, 90, 300}
		}
		people := rapid.SampledFrom(few).Draw(t, "labels")
		for k, predicted := range slices.Concat(labels, others) {
			cell := shares.Cell{Weight: rapid.SampledFrom([]float64{0, 0.3, 1, 2.7}).Draw(t, "weight")}
			if gold == predicted {
				cell.Weight = rapid.SampledFrom([]float64{7, 11.5, 30}).Draw(t, "weight")
			}
			cell.WeightSq = cell.Weight * rapid.SampledFrom([]float64{0.1, 0.7, 3}).Draw(t, "weight of one")
			// What people said of one label stands in its first cell; how it is spread is nothing to the views.
			if k == 0 {
				cell.Labels = people
			}
			c.Cells[[2]string{gold, predicted}] = cell
		}
	}
	return c
}
