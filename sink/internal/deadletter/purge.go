package deadletter

import (
	"context"
	"fmt"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

// Cut is what a purge can remove of one partition. Kafka deletes from the front of a partition only, so that a letter which is to stay keeps all behind it.
type Cut struct {
	Partition int
	Letters   []Letter // to be removed; without the records they kept
	InTheWay  *Letter  // the first one that stays, where chosen ones are behind it
	Behind    int      // how many those are
	// Until is later than every letter up to the last chosen one was written: purging what is older removes them all.
	Until time.Time
}

// end is the first offset that stays.
func (c Cut) end() int64 { return c.Letters[len(c.Letters)-1].Offset + 1 }

// Cuts plans a purge of the letters that chosen takes: a cut for each partition that has any.
func Cuts(ctx context.Context, conn kafka.Conn, chosen func(Letter) bool) ([]Cut, error) {
	var cuts []Cut
	var cut *Cut
	var stays *Letter
	var newest int64 // letter's time of this partition so far, ms
	err := Scan(ctx, conn, func(l Letter) error {
		if cut == nil || cut.Partition != l.Partition {
			cuts, stays, newest = append(cuts, Cut{Partition: l.Partition}), nil, 0
			cut = &cuts[len(cuts)-1]
		}
		l.Original, l.Headers, l.Key = nil, nil, nil
		newest = max(newest, l.GetAtMs())
		switch takes := chosen(l); {
		case takes && stays == nil:
			cut.Letters = append(cut.Letters, l)
		case takes:
			cut.InTheWay = stays
			cut.Behind++
			cut.Until = time.UnixMilli(newest + 1)
		case stays == nil:
			stays = &l
		}
		return nil
	})
	return cuts, err
}

// Purge removes what the cuts name, for good. What was there stays on record in the table purged_letters, written before anything is deleted: whatever dies in
// between, no record is without its fate, and a letter on record that is still there is only counted as a letter. What was no letter has its own place in the
// dead-letter topic on record.
func Purge(ctx context.Context, conn kafka.Conn, s *store.Store, cuts []Cut, now time.Time) error {
	for _, cut := range cuts {
		if len(cut.Letters) == 0 {
			continue
		}
		if err := s.Insert(ctx, trace(cut.Letters, now)); err != nil {
			return fmt.Errorf("noting what is purged: %w", err)
		}
		if _, err := kafka.DeleteBefore(ctx, conn, schemas.TopicDead, cut.Partition, cut.end()); err != nil {
			return fmt.Errorf("purging: %w", err)
		}
	}
	return nil
}

func trace(letters []Letter, now time.Time) rows.Table {
	n := len(letters)
	sources, partitions, offsets := make([]string, n), make([]int32, n), make([]int64, n)
	stages, reasons, written, purged := make([]string, n), make([]string, n), make([]time.Time, n), make([]time.Time, n)
	for i, l := range letters {
		sources[i], partitions[i], offsets[i] = l.Source, l.DeadLetter.Partition, l.DeadLetter.Offset
		if l.Undecodable != nil {
			sources[i], partitions[i], offsets[i] = schemas.TopicDead, int32(l.Partition), l.Offset
		}
		stages[i], reasons[i], written[i], purged[i] = l.Stage, l.Reason, time.UnixMilli(l.AtMs), now
	}
	return rows.Table{Name: "purged_letters", Rows: n, Columns: []rows.Column{
		{Name: "source", Values: sources}, {Name: "partition", Values: partitions}, {Name: "offset", Values: offsets}, {Name: "stage", Values: stages},
		{Name: "reason", Values: reasons}, {Name: "written_at", Values: written}, {Name: "purged_at", Values: purged},
	}}
}
