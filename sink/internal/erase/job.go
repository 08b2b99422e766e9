package erase

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/dwiarah/dwiarah/sink/internal/store"
)

//go:embed sql/*.sql
var statements embed.FS

// Proof says what a run of the job found and what it left. It names nobody.
type Proof struct {
	Messages                int // deleted ones of which something was in the tables
	TextsBefore, TextsAfter uint64
	FactsBefore, FactsAfter uint64
	// Labels are what people said of the messages.
	LabelsBefore, LabelsAfter uint64
	Settled                   uint64 // requests whose timing was kept
	Pointers                  uint64 // rows of others that lost a deleted author's key
	Expired                   uint64 // rows whose retention had ended
	OldParts                  uint64 // replaced data parts that were still on the disk at the end
	Started, Finished         time.Time
}

// Complete tells that nothing of what was deleted is left in the tables.
func (p Proof) Complete() bool { return p.TextsAfter == 0 && p.FactsAfter == 0 && p.LabelsAfter == 0 }

// keysAtOnce is how many keys go into one statement: they travel as a parameter, which over HTTP is part of the address.
const keysAtOnce = 1500

// textTables hold what belongs to one message.
const (
	bodies = "message_bodies"
	facts  = "message_facts"
	labels = "message_labels"
)

// Run erases what is deleted and what has expired. Deleted messages lose their text and facts by mutations that have rewritten the data when they return; of
// those that asked for an answer the timing is kept, without id and author, so that no rate loses its unanswered. Deleted authors' keys go out of the
// rows of others that point to them. Replaced data parts leave the disk about a minute later: Run waits for that as long as wait says.
//
// It changes nothing that a view shows, but for ids of deleted requests. It may be repeated, and after an error should be; two runs do not disturb each other.
func Run(ctx context.Context, s *store.Store, log *slog.Logger, wait time.Duration) (Proof, error) {
	j := job{store: s, proof: Proof{Started: time.Now()}}
	record := Record{Action: ActionErase, Started: j.proof.Started, id: uuid.New()}
	if err := record.write(ctx, s, "running"); err != nil {
		return j.proof, err
	}
	err := j.run(ctx, wait)
	j.proof.Finished = time.Now()
	record.Proof, record.Messages = j.proof, uint64(j.proof.Messages)
	outcome := "done"
	if err != nil {
		outcome = "failed"
	}
	// The record is written even where ctx has ended.
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	err = errors.Join(err, record.write(final, s, outcome))
	log.Info("erased what was deleted and expired", "outcome", outcome, "messages", j.proof.Messages, "texts", j.proof.TextsBefore, "facts", j.proof.FactsBefore, "labels", j.proof.LabelsBefore,
		"settled", j.proof.Settled, "pointers", j.proof.Pointers, "expired", j.proof.Expired, "old_parts", j.proof.OldParts)
	return j.proof, err
}

// recordTime bounds the writing of a record when everything else is over.
const recordTime = 10 * time.Second

type job struct {
	store *store.Store
	proof Proof
}

func (j *job) run(ctx context.Context, wait time.Duration) error {
	if err := j.exec(ctx, "burying the messages of deleted authors", statement("bury_authors"), nil); err != nil {
		return err
	}
	institutions, subjects, err := j.pending(ctx)
	if err != nil {
		return err
	}
	j.proof.Messages = len(subjects)
	for _, institution := range institutions {
		if err := j.settle(ctx, institution); err != nil {
			return err
		}
		if err := j.exec(ctx, "naming whom messages of "+institution+" answer", statement("name_parents"), clickhouse.Parameters{"institution": institution}); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(subjects, keysAtOnce) {
		if err := j.erase(ctx, bodies, institutions, chunk, &j.proof.TextsBefore, &j.proof.TextsAfter); err != nil {
			return err
		}
		// Before the facts, by which the next run would still find them.
		if err := j.erase(ctx, labels, institutions, chunk, &j.proof.LabelsBefore, &j.proof.LabelsAfter); err != nil {
			return err
		}
		if err := j.erase(ctx, facts, institutions, chunk, &j.proof.FactsBefore, &j.proof.FactsAfter); err != nil {
			return err
		}
	}
	if err := j.unpoint(ctx); err != nil {
		return err
	}
	if err := j.expire(ctx); err != nil {
		return err
	}
	if err := j.settleDisk(ctx, wait); err != nil {
		return err
	}
	if !j.proof.Complete() {
		return errors.New("rows came in while they were being erased; they stay hidden, and the next run erases them")
	}
	return nil
}

func statement(name string) string {
	b, err := statements.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err) // a file of this package
	}
	return string(b)
}

func (j *job) exec(ctx context.Context, what, sql string, parameters clickhouse.Parameters) error {
	if err := j.store.Conn().Exec(j.context(ctx, parameters), sql); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (j *job) context(ctx context.Context, parameters clickhouse.Parameters) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithParameters(parameters), clickhouse.WithSettings(clickhouse.Settings{
		// 2: a mutation returns when every replica has done it.
		"mutations_sync": 2, "distributed_ddl_task_timeout": 3600, "distributed_foreground_insert": 1, "async_insert": 0, "max_partitions_per_insert_block": 0,
	}))
}

func (j *job) count(ctx context.Context, what, sql string, parameters clickhouse.Parameters) (n uint64, err error) {
	if err := j.store.Conn().QueryRow(j.context(ctx, parameters), sql).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return n, nil
}

// pending returns the institutions that have something to erase, and the subjects: institution/platform/message key.
func (j *job) pending(ctx context.Context) (institutions, subjects []string, err error) {
	found, err := j.store.Conn().Query(ctx, statement("pending"))
	if err != nil {
		return nil, nil, fmt.Errorf("looking for what is to be erased: %w", err)
	}
	defer found.Close()
	for found.Next() {
		var institution, subject string
		if err := found.Scan(&institution, &subject); err != nil {
			return nil, nil, fmt.Errorf("looking for what is to be erased: %w", err)
		}
		if !slices.Contains(institutions, institution) {
			institutions = append(institutions, institution)
		}
		subjects = append(subjects, subject)
	}
	if err := found.Err(); err != nil {
		return nil, nil, fmt.Errorf("looking for what is to be erased: %w", err)
	}
	return institutions, subjects, nil
}

func (j *job) settle(ctx context.Context, institution string) error {
	const counting = "SELECT count() FROM settled_requests FINAL WHERE institution = {institution:String}"
	parameters := clickhouse.Parameters{"institution": institution}
	before, err := j.count(ctx, "counting settled requests", counting, parameters)
	if err != nil {
		return err
	}
	if err := j.exec(ctx, "settling the requests of "+institution, statement("settle"), parameters); err != nil {
		return err
	}
	after, err := j.count(ctx, "counting settled requests", counting, parameters)
	j.proof.Settled += after - before
	return err
}

// erase counts the rows of the subjects in a table, deletes them and counts again.
func (j *job) erase(ctx context.Context, table string, institutions, subjects []string, before, after *uint64) error {
	const which = " WHERE institution IN {institutions:Array(String)} AND concat(institution, '/', platform, '/', hex(message_key)) IN {subjects:Array(String)}"
	parameters := clickhouse.Parameters{"institutions": array(institutions), "subjects": array(subjects)}
	for _, step := range []struct {
		sum *uint64
		do  bool
	}{{before, true}, {after, false}} {
		n, err := j.count(ctx, "counting in "+table, "SELECT count() FROM "+table+which, parameters)
		if err != nil {
			return err
		}
		*step.sum += n
		if n == 0 || !step.do {
			return nil
		}
		if err := j.exec(ctx, "deleting from "+table, "ALTER TABLE "+j.store.Altered(table)+" DELETE"+which, parameters); err != nil {
			return err
		}
	}
	return nil
}

// erasedAuthor stands where a deleted author's key stood: a parent that was named stays named.
const erasedAuthor = "00000000000000000000000000000000"

// unpoint takes the keys of deleted authors out of messages that answer or mention them. The statement holds no key: ClickHouse keeps the text of mutations.
func (j *job) unpoint(ctx context.Context) error {
	const (
		gone = "(institution, platform, toFixedString(substring(SHA256(%s), 1, 16), 16)) IN " +
			"(SELECT institution, platform, subject_key FROM int_concealed WHERE subject = 'author' AND deleted_at IS NOT NULL)"
		parent = "if(parent_author_key != '' AND " + gone + ", '" + erasedAuthor + "', parent_author_key)"
		others = "arrayDistinct(arrayMap(k -> if(" + gone + ", '" + erasedAuthor + "', k), mention_keys))"
	)
	var (
		isParent  = fmt.Sprintf("parent_author_key != '' AND "+gone, "parent_author_key")
		mentioned = fmt.Sprintf("arrayExists(k -> "+gone+", mention_keys)", "k")
		which     = " WHERE (" + isParent + ") OR " + mentioned
	)
	n, err := j.count(ctx, "counting pointers to deleted authors", "SELECT count() FROM "+facts+which, nil)
	if err != nil || n == 0 {
		return err
	}
	j.proof.Pointers = n
	return j.exec(ctx, "taking deleted authors out of other messages", "ALTER TABLE "+j.store.Altered(facts)+" UPDATE parent_author_key = "+fmt.Sprintf(parent, "parent_author_key")+
		", mention_keys = "+fmt.Sprintf(others, "k")+which, nil)
}

// expire deletes what has reached the end of its retention. Of a month that loses facts the figures are kept before, once.
func (j *job) expire(ctx context.Context) error {
	now := j.proof.Started.UTC()
	parameters := clickhouse.Parameters{"now": now.Format(time.DateTime)}
	const which = " WHERE expires_at <= {now:DateTime('UTC')}"
	if err := j.keepMonths(ctx, parameters, which); err != nil {
		return err
	}
	for _, table := range []string{bodies, labels, facts} {
		n, err := j.count(ctx, "counting what has expired in "+table, "SELECT count() FROM "+table+which, parameters)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		j.proof.Expired += n
		if err := j.exec(ctx, "deleting what has expired from "+table, "ALTER TABLE "+j.store.Altered(table)+" DELETE"+which, parameters); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) keepMonths(ctx context.Context, parameters clickhouse.Parameters, which string) error {
	found, err := j.store.Conn().Query(j.context(ctx, parameters), "SELECT DISTINCT institution, toStartOfMonth(created_at, 'UTC') AS month FROM "+facts+which+
		" AND (institution, month) NOT IN (SELECT institution, month FROM kept_months) ORDER BY institution, month")
	if err != nil {
		return fmt.Errorf("looking for months that expire: %w", err)
	}
	defer found.Close()
	type month struct {
		institution string
		first       time.Time
	}
	var months []month
	for found.Next() {
		var m month
		if err := found.Scan(&m.institution, &m.first); err != nil {
			return fmt.Errorf("looking for months that expire: %w", err)
		}
		months = append(months, m)
	}
	if err := found.Err(); err != nil {
		return fmt.Errorf("looking for months that expire: %w", err)
	}
	for _, m := range months {
		err := j.exec(ctx, "keeping the figures of "+m.institution+" in "+m.first.Format("2006-01"), statement("keep_months"), clickhouse.Parameters{
			"institution": m.institution, "month": m.first.Format(time.DateOnly),
			"from": m.first.Format(time.DateTime), "to": m.first.AddDate(0, 1, 0).Format(time.DateTime),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// noPartition is the id of none: months are numbers.
const noPartition = "none"

// settleDisk waits until the parts that mutations have replaced are off the disk, and counts those that are not. An idle table looks after its old parts
// every ten minutes only; dropping a partition makes it look now, also where there is no such partition.
func (j *job) settleDisk(ctx context.Context, wait time.Duration) error {
	tables := []string{bodies, facts, labels}
	var of []string
	for _, table := range tables {
		of = append(of, "startsWith(table, '"+table+"')")
	}
	deadline := time.Now().Add(wait)
	for {
		n, err := j.count(ctx, "counting replaced parts",
			"SELECT count() FROM "+j.store.System("parts")+" WHERE database = currentDatabase() AND ("+strings.Join(of, " OR ")+") AND NOT active", nil)
		if err != nil {
			return err
		}
		j.proof.OldParts = n
		if n == 0 || !time.Now().Before(deadline) {
			return nil
		}
		for _, table := range tables {
			if err := j.exec(ctx, "clearing old parts of "+table, "ALTER TABLE "+j.store.Altered(table)+" DROP PARTITION ID '"+noPartition+"'", nil); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(time.Second, time.Until(deadline))):
		}
	}
}
