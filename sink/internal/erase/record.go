package erase

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/dwiarah/dwiarah/sink/internal/rows"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

// Actions that privacy_log records.
const (
	ActionErase        = "erase"
	ActionSubjectList  = "subject_list"
	ActionSubjectErase = "subject_erase"
	ActionSubjectHide  = "subject_hide"
	ActionSubjectShow  = "subject_show"
)

// Record is an entry of privacy_log: what was asked for and what became of it, without saying for whom.
type Record struct {
	Action, Platform string
	Messages         uint64
	Started          time.Time
	Proof            Proof // of an erasure
	id               uuid.UUID
}

// Write records a request that has been fulfilled.
func (r Record) Write(ctx context.Context, s *store.Store) error {
	r.id, r.Proof.Finished = uuid.New(), time.Now()
	return r.write(ctx, s, "done")
}

func (r Record) write(ctx context.Context, s *store.Store, outcome string) error {
	var finished *time.Time
	if !r.Proof.Finished.IsZero() {
		finished = &r.Proof.Finished
	}
	p := r.Proof
	return s.Insert(ctx, rows.Table{Name: "privacy_log", Rows: 1, Columns: []rows.Column{
		{Name: "id", Values: []uuid.UUID{r.id}}, {Name: "action", Values: []string{r.Action}}, {Name: "platform", Values: []string{r.Platform}},
		{Name: "started_at", Values: []time.Time{r.Started}}, {Name: "finished_at", Values: []*time.Time{finished}}, {Name: "messages", Values: []uint64{r.Messages}},
		{Name: "texts_before", Values: []uint64{p.TextsBefore}}, {Name: "texts_after", Values: []uint64{p.TextsAfter}},
		{Name: "facts_before", Values: []uint64{p.FactsBefore}}, {Name: "facts_after", Values: []uint64{p.FactsAfter}},
		{Name: "settled", Values: []uint64{p.Settled}}, {Name: "pointers", Values: []uint64{p.Pointers}}, {Name: "expired", Values: []uint64{p.Expired}},
		{Name: "old_parts", Values: []uint64{p.OldParts}}, {Name: "outcome", Values: []string{outcome}}, {Name: "version", Values: []uint64{uint64(time.Now().UnixMicro())}},
	}})
}
