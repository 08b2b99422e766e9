package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/ingest/internal/archive"
	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/ingest/internal/record"
	"github.com/dwiarah/dwiarah/ingest/internal/state"
	"github.com/dwiarah/dwiarah/ingest/internal/tally"
	"github.com/dwiarah/dwiarah/ingest/mappings"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// Stdin names the standard input among the files of an import.
const Stdin = "-"

// ImportConfig says how archives are imported. Kafka, Institutions, Keys and StateDir are required.
type ImportConfig struct {
	Kafka        kafka.Conn
	Institutions *institutions.Directory
	Keys         *identitykey.Ring
	// StateDir holds the positions of imports that have not ended.
	StateDir string
	// Format of the files, one of archive formats (ingest import --help); found by the content when empty.
	Format string
	// Mapping of CSV files: the name of a shipped one, or a path. Empty: the shipped one whose columns the file has.
	Mapping string
	// Platform, Institution and Account stand for what the rows do not name.
	Platform, Institution, Account string
	// Until is up to when the archive is known to be complete; the last created_at or observed_at in a file when zero.
	Until time.Time
	// BatchMessages is how many rows go to Kafka at a time; 0 means 2,000.
	BatchMessages int
	// Progress is told how far the import is, a few times a second; may be nil.
	Progress func(ImportProgress)
	Log      *slog.Logger          // nil means slog.Default()
	Metrics  prometheus.Registerer // nil means none
}

// Counts are messages by what became of them; read = produced + dropped + dead-lettered.
type Counts = tally.Counts

// Phases of importing one file: it is read twice.
const (
	PhaseScanning  = "scanning"
	PhaseProducing = "producing"
)

// ImportProgress is how far an import is.
type ImportProgress struct {
	File  string // base name
	Phase string
	// BytesDone of BytesTotal as the file lies on disk.
	BytesDone, BytesTotal int64
	// Rows read in this phase.
	Rows int64
	// RowsPerSecond since the phase began.
	RowsPerSecond float64
}

// Share is the part of the phase that is done, 0 to 1.
func (p ImportProgress) Share() float64 {
	if p.BytesTotal == 0 {
		return 1
	}
	return min(1, float64(p.BytesDone)/float64(p.BytesTotal))
}

// ImportSummary is what an import did.
type ImportSummary struct {
	Counts
	Files   []FileSummary
	Elapsed time.Duration
}

// FileSummary is what the import of one file did, the part before a resumption included.
type FileSummary struct {
	File    string
	Format  string
	Mapping string // of a CSV
	Counts
	// Resumed is how many rows had been produced by an earlier run that did not end.
	Resumed int64
	// Since and Until bound the coverage that was written, for so many pairs of institution and platform.
	Since, Until time.Time
	Stretches    int
}

// Import reads archives into mentions.raw.v1, what is wrong in them into mentions.dlq.v1, and their coverage into mentions.ledger.v1.
//
// A file is read twice: first for what messages derive from others in it (thread, parent's author), which therefore depends on the whole file and not
// on the order of its rows; then to produce. The position is kept after Kafka has acknowledged: an import that was killed goes on from there when the
// same file is imported with the same settings. A file that was imported to its end starts anew, which changes nothing downstream.
func Import(ctx context.Context, cfg ImportConfig, files []string) (ImportSummary, error) {
	start := time.Now()
	im, err := newImporter(cfg, start)
	if err != nil {
		return ImportSummary{}, err
	}
	var sum ImportSummary
	for _, file := range files {
		fs, err := im.file(ctx, file)
		sum.Files = append(sum.Files, fs)
		sum.Counts.Add(fs.Counts)
		if err != nil {
			sum.Elapsed = time.Since(start)
			return sum, errors.Join(fmt.Errorf("importing %s: %w", file, err), im.producer.Close())
		}
	}
	sum.Elapsed = time.Since(start)
	return sum, im.producer.Close()
}

// importer imports files one after the other.
type importer struct {
	cfg       ImportConfig
	converter *identity.Converter
	producer  *kafka.Producer
	metrics   *tally.Metrics
	now       time.Time
}

// archiveSource is the label of imports in the metrics.
const archiveSource = "archive"

func newImporter(cfg ImportConfig, now time.Time) (*importer, error) {
	if cfg.Institutions == nil || cfg.Keys == nil || cfg.StateDir == "" {
		return nil, errors.New("configuring the import: institutions, keys and a state folder are required")
	}
	if cfg.Platform != "" && !schemas.KnownPlatform(cfg.Platform) {
		return nil, fmt.Errorf("configuring the import: platform: %q; allowed: one of %v", cfg.Platform, schemas.Platforms())
	}
	if cfg.Format != "" {
		if _, err := archive.ParseFormat(cfg.Format); err != nil {
			return nil, fmt.Errorf("configuring the import: %w", err)
		}
	}
	if cfg.Institution != "" && cfg.Institutions.Institution(cfg.Institution) == nil {
		return nil, fmt.Errorf("configuring the import: institution: %q; allowed: an id of the institutions file", cfg.Institution)
	}
	if cfg.BatchMessages <= 0 {
		cfg.BatchMessages = 2_000
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Progress == nil {
		cfg.Progress = func(ImportProgress) {}
	}
	producer, err := kafka.NewProducer(kafka.ProducerConfig{Conn: cfg.Kafka, Log: cfg.Log, Metrics: cfg.Metrics})
	if err != nil {
		return nil, err
	}
	im := &importer{cfg: cfg, converter: identity.New(cfg.Keys, cfg.Institutions), producer: producer, metrics: tally.NewMetrics(cfg.Metrics), now: now}
	im.metrics.Register(archiveSource)
	return im, nil
}

// job is the import of one file.
type job struct {
	*importer
	path, name string
	size       int64
	settings   archive.Settings
	index      *archive.Index
	position   state.File
	begun      importPosition
}

// importPosition is how far a file has been produced.
type importPosition struct {
	File   string       `json:"file"`
	Rows   int64        `json:"rows"`
	Counts tally.Counts `json:"counts"`
}

func (im *importer) file(ctx context.Context, path string) (FileSummary, error) {
	j := &job{importer: im, path: path, name: filepath.Base(path)}
	if path == Stdin {
		spooled, err := spool(os.Stdin, im.cfg.StateDir)
		if err != nil {
			return FileSummary{File: "stdin"}, err
		}
		defer os.Remove(spooled) //nolint:errcheck // A left-over file in the state folder costs space, not data.
		j.path, j.name = spooled, "stdin"
	}
	fs := FileSummary{File: j.name}
	if err := j.prepare(path, &fs); err != nil {
		return fs, err
	}
	// What breaks off while it is scanned, as a truncated gzip does, is imported up to there; the error comes after.
	broken, err := j.scan(ctx)
	if err != nil {
		return fs, err
	}
	since, until := j.index.Span()
	if !im.cfg.Until.IsZero() {
		if until = im.cfg.Until; until.Before(since) {
			return fs, fmt.Errorf("until: %q; allowed: a time after the first message, %s", until.Format(time.RFC3339), since.UTC().Format(time.RFC3339))
		}
	}
	fs.Resumed = j.begun.Rows
	if fs.Counts, err = j.produce(ctx); err != nil {
		return fs, err
	}
	if broken != nil {
		return fs, fmt.Errorf("the rest of the file cannot be read: %w; the %d rows before it were imported, no coverage was written", broken, fs.Read)
	}
	if fs.Stretches, err = j.cover(ctx, since, until); err != nil {
		return fs, err
	}
	fs.Since, fs.Until = since, until
	return fs, j.position.Remove()
}

// spool copies the standard input to a file, because an archive is read twice.
func spool(in io.Reader, dir string) (path string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the state folder: %w", err)
	}
	f, err := os.CreateTemp(dir, "stdin-*")
	if err != nil {
		return "", fmt.Errorf("spooling the standard input: %w", err)
	}
	_, err = io.Copy(f, in)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("spooling the standard input: %w", err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func (j *job) prepare(given string, fs *FileSummary) error {
	j.settings = archive.Settings{
		Now:      j.now,
		Defaults: archive.Defaults{Platform: j.cfg.Platform, Institution: j.cfg.Institution, Account: j.cfg.Account},
		Accounts: j.cfg.Institutions,
	}
	identity, size, err := fileIdentity(j.path)
	if err != nil {
		return err
	}
	j.size = size
	switch {
	case j.cfg.Format != "":
		j.settings.Format, err = archive.ParseFormat(j.cfg.Format)
	case given == Stdin && j.cfg.Mapping != "":
		j.settings.Format = archive.FormatCSV
	default:
		j.settings.Format, err = archive.Detect(j.path)
	}
	if err != nil {
		return err
	}
	fs.Format = string(j.settings.Format)
	if j.settings.Format == archive.FormatCSV {
		if j.cfg.Mapping != "" {
			j.settings.Mapping, err = archive.LoadMapping(j.cfg.Mapping, mappings.FS)
		} else {
			j.settings.Mapping, err = archive.DetectMapping(j.path, mappings.FS)
		}
		if err != nil {
			return err
		}
		fs.Mapping = j.settings.Mapping.Name
	}
	key, err := j.fingerprint(identity)
	if err != nil {
		return err
	}
	j.position = state.File{Path: filepath.Join(j.cfg.StateDir, "import-"+key+".json"), Kind: "import position", Version: 1}
	_, err = j.position.Load(&j.begun)
	return err
}

// identityBytes is how much of a file's head and tail tell it from others of its size.
const identityBytes = 64 << 10

// fileIdentity hashes a file's size, head and tail. The name is no part of it: a moved file goes on where it was.
func fileIdentity(path string) (sum []byte, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("opening the archive: %w", err)
	}
	defer f.Close() //nolint:errcheck // It was only read.
	info, err := f.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("looking at the archive: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is no regular file; allowed: a file, or %s for the standard input", path, Stdin)
	}
	size = info.Size()
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", size)
	for _, part := range []*io.SectionReader{
		io.NewSectionReader(f, 0, min(size, identityBytes)),
		io.NewSectionReader(f, max(0, size-identityBytes), min(size, identityBytes)),
	} {
		if _, err := io.Copy(h, part); err != nil {
			return nil, 0, fmt.Errorf("reading the archive: %w", err)
		}
	}
	return h.Sum(nil), size, nil
}

// fingerprint names the state of this file under these settings: an import with another mapping, other institutions or other keys does not go on where
// this one ended.
func (j *job) fingerprint(identity []byte) (string, error) {
	settings, err := json.Marshal([]any{
		j.settings.Format, j.settings.Mapping, j.settings.Defaults, j.cfg.Institutions.All(), hex.EncodeToString(j.cfg.Keys.MessageKey("x", "fingerprint")), j.cfg.Keys.AuthorKey("x", "fingerprint"),
	})
	if err != nil {
		return "", fmt.Errorf("naming the import's position: %w", err)
	}
	sum := sha256.Sum256(append(identity, settings...))
	return hex.EncodeToString(sum[:16]), nil
}

// scan reads the file for the index. broken is what keeps the rest of the file from being read.
func (j *job) scan(ctx context.Context) (broken, err error) {
	j.index = archive.NewIndex(j.converter)
	defer j.index.Seal()
	return j.each(ctx, PhaseScanning, func(row archive.Row, _ int64) error {
		if row.Message != nil {
			j.index.Add(row.Message)
		}
		return nil
	})
}

// progressEvery is how often progress is told and, after acknowledgements, kept.
const progressEvery = 250 * time.Millisecond

// each calls do with every row and its number from 1. broken ends the file early; err comes from ctx, from opening, or from do.
func (j *job) each(ctx context.Context, phase string, do func(row archive.Row, number int64) error) (broken, err error) {
	r, err := archive.Open(j.path, j.settings)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // It was only read.
	start, told := time.Now(), time.Time{}
	tell := func(rows int64) {
		told = time.Now()
		j.cfg.Progress(ImportProgress{
			File: j.name, Phase: phase, BytesDone: r.Position(), BytesTotal: j.size, Rows: rows,
			RowsPerSecond: float64(rows) / max(told.Sub(start).Seconds(), 1e-3),
		})
	}
	for number := int64(1); ; number++ {
		row, err := r.Next()
		if err != nil {
			tell(number - 1)
			if errors.Is(err, io.EOF) {
				return nil, nil
			}
			return err, nil
		}
		if err := do(row, number); err != nil {
			return nil, err
		}
		if number%256 == 0 && time.Since(told) >= progressEvery {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			tell(number)
		}
	}
}

// produce reads the file again and produces what has not been acknowledged before.
func (j *job) produce(ctx context.Context) (Counts, error) {
	b := batch{job: j, done: j.begun}
	b.done.File = j.name
	_, err := j.each(ctx, PhaseProducing, func(row archive.Row, number int64) error {
		if number <= j.begun.Rows {
			return nil
		}
		if err := b.add(row); err != nil {
			return err
		}
		if b.counts.Read < int64(j.cfg.BatchMessages) && b.bytes < maxBatchBytes {
			return nil
		}
		return b.flush(ctx, false)
	})
	if err == nil {
		err = b.flush(ctx, true)
	} else {
		// Whatever ended it, what was acknowledged before need not be repeated.
		err = errors.Join(err, b.position.Save(b.done))
	}
	return b.done.Counts, err
}

// maxBatchBytes ends a batch before its number of messages does; dead letters may be large.
const maxBatchBytes = 8 << 20

// batch gathers rows until they are produced together.
type batch struct {
	*job
	records []kafka.Record
	bytes   int
	counts  tally.Counts // of the gathered rows
	done    importPosition
	saved   time.Time
}

func (b *batch) add(row archive.Row) error {
	b.counts.Read++
	if row.Err != nil {
		b.counts.Kill(row.Err.Reason, 1)
		return b.append(record.Dead{Reason: row.Err.Reason, Detail: row.Err.Error(), Original: row.Raw, Source: b.name, Offset: row.Line, At: b.now}.Record())
	}
	if row.Drop != "" {
		b.counts.Drop(row.Drop, 1)
		return nil
	}
	place := b.index.Place(row.Message)
	place.Connector, place.Now = archiveConnector(row.Message.Platform), b.now
	if len(place.Institutions) == 0 {
		b.counts.Drop(schemas.DropNoInstitution, 1)
		return nil
	}
	b.counts.Produced++
	if b.index.IsOrphan(row.Message) {
		b.counts.Orphans++
	}
	for _, e := range b.converter.Events(row.Message, place) {
		b.counts.Events++
		if err := b.append(record.Message(e)); err != nil {
			return err
		}
		if e.Direction == schemas.Outbound && e.AuthorFollowers != nil && e.Account != "" {
			b.counts.Snapshots++
			if err := b.append(record.Snapshot(sizeOf(e))); err != nil {
				return err
			}
		}
	}
	return nil
}

// sizeOf reads an account's size off one of its own messages.
func sizeOf(e *event.Message) *event.AccountSnapshot {
	s := &event.AccountSnapshot{Institution: e.Institution, Platform: e.Platform, Account: e.Account, ObservedAtMs: e.CreatedAtMs, Followers: e.AuthorFollowers}
	if e.ObservedAtMs != nil {
		s.ObservedAtMs = *e.ObservedAtMs
	}
	return s
}

func (b *batch) append(r kafka.Record, err error) error {
	b.records = append(b.records, r)
	b.bytes += len(r.Value)
	return err
}

// flush produces what was gathered, and then, a few times a second or at last, keeps the position.
func (b *batch) flush(ctx context.Context, last bool) error {
	if err := b.producer.Produce(ctx, b.records...); err != nil {
		return err
	}
	crashpoint.Hit("ingest.import.after_ack")
	b.done.Rows += b.counts.Read
	b.done.Counts.Add(b.counts)
	b.metrics.Add(archiveSource, b.counts)
	b.records, b.bytes, b.counts = b.records[:0], 0, tally.Counts{}
	if !last && time.Since(b.saved) < progressEvery {
		return nil
	}
	b.saved = time.Now()
	if err := b.position.Save(b.done); err != nil {
		return err
	}
	crashpoint.Hit("ingest.import.after_position")
	return nil
}

func archiveConnector(platform string) string { return "archive:" + platform }

// cover writes that the archive is complete from since to until for every institution and platform in it.
func (j *job) cover(ctx context.Context, since, until time.Time) (stretches int, err error) {
	var records []kafka.Record
	for _, s := range j.index.Stretches() {
		r, err := record.Coverage(&event.Coverage{
			Connector: archiveConnector(s.Platform), Institution: s.Institution,
			SinceMs: since.UnixMilli(), UntilMs: until.UnixMilli(), Status: schemas.CoverageComplete, RecordedAtMs: j.now.UnixMilli(),
		})
		if err != nil {
			return 0, err
		}
		records = append(records, r)
	}
	return len(records), j.producer.Produce(ctx, records...)
}
