package jetstream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/jetstream/jetstreamtest"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
)

// Twenty times the public rate, over a time in which collections of garbage and what the stream costs when nothing happens are in the number.
const (
	paceRate = 2000 // posts a second
	paceFor  = 30 * time.Second
	paceTick = 10 * time.Millisecond
)

// readerVariable makes the test's own binary a process that only reads a stream, as its value says.
const readerVariable = "DWIARAH_TEST_JETSTREAM_READER"

// readerTask is what such a process does until its input ends.
type readerTask struct {
	URL      string
	Settings Settings
}

// readerReport is what it says at its end.
type readerReport struct {
	Messages int
	// First and Last are the server's numbers of the first and the last event with a place, From and To when they were.
	First, Last int64
	From, To    time.Time
	// Behind is how old an event was at most when what was read with it was emitted.
	Behind time.Duration
	// PeakKB is the most memory that it held. What wait tells of a child begins with what its parent held.
	PeakKB int64
	Err    string
}

// BenchmarkPace reads a whole stream over a socket, at 2,000 posts a second for half a minute, in a process of its own: what share of a core it takes, how much memory, how
// far it is behind. The stream is ours, or that of the server that DWIARAH_IT_JETSTREAM_URL names.
func BenchmarkPace(b *testing.B) {
	for name, settings := range map[string]Settings{"v2": {Wire: wireTwo}, "v2_zstd": {Wire: wireTwo, Compress: true}, "v1": {Wire: wireOne}, "v1_deflate": {Wire: wireOne, Compress: true}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				readsAtPace(b, settings)
			}
			b.ReportMetric(0, "ns/op") // it takes as long as it is told to
		})
	}
}

func readsAtPace(b *testing.B, settings Settings) {
	settings.AppView = "http://127.0.0.1:1"
	elsewhere := os.Getenv("DWIARAH_IT_JETSTREAM_URL")
	stream := jetstreamtest.New()
	server := httptest.NewServer(stream)
	defer server.Close()
	defer stream.Stop()
	task, err := json.Marshal(readerTask{URL: cmp.Or(elsewhere, server.URL), Settings: settings})
	if err != nil {
		b.Fatal(err)
	}
	child := exec.CommandContext(b.Context(), os.Args[0])
	child.Env = append(os.Environ(), readerVariable+"="+string(task))
	var out, errOut bytes.Buffer
	child.Stdout, child.Stderr = &out, &errOut
	end, err := child.StdinPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	want := 0
	if elsewhere != "" {
		time.Sleep(paceFor)
	} else {
		for stream.Opened() == 0 {
			time.Sleep(time.Millisecond)
		}
		want = pushAtPace(stream)
		time.Sleep(2 * beatEvery) // what is gathered is emitted
	}
	if err := end.Close(); err != nil {
		b.Fatal(err)
	}
	var report readerReport
	if err := child.Wait(); err != nil || json.Unmarshal(out.Bytes(), &report) != nil || report.Err != "" {
		b.Fatalf("reading: %v %s\n%s%s", err, report.Err, &out, &errOut)
	}
	if elsewhere == "" && report.Messages != want {
		b.Errorf("%d messages, want %d", report.Messages, want)
	}
	usage := child.ProcessState.SysUsage().(*syscall.Rusage)
	used := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	b.ReportMetric(100*used.Seconds()/paceFor.Seconds(), "%core")
	if span := report.To.Sub(report.From); span > 0 { // on a stream that addresses nobody the place is told too seldom
		b.ReportMetric(float64(report.Last-report.First)/span.Seconds(), "posts/s")
	}
	b.ReportMetric(float64(report.PeakKB)/1024, "MB-peak")
	b.ReportMetric(float64(report.Behind.Milliseconds()), "ms-behind")
}

// pushAtPace lets the server's stream go on for paceFor, and returns how many posts concern an institution.
func pushAtPace(stream *jetstreamtest.Server) (concern int) {
	events := traffic(5 * addressed)
	tick := time.NewTicker(paceTick)
	defer tick.Stop()
	begun := time.Now()
	for sent := 0; time.Since(begun) < paceFor; <-tick.C {
		due := int(time.Since(begun).Seconds() * paceRate) // a tick that was missed is made good
		batch := make([]jetstreamtest.Event, 0, due-sent)
		for ; sent < due; sent++ {
			e := events[sent%len(events)]
			e.Time, e.Key = time.Now(), fmt.Sprint("3k", sent)
			batch = append(batch, e)
			if sent%addressed == 0 {
				concern++
			}
		}
		stream.Push(batch...)
	}
	return concern
}

// readAtPace reads a stream until the input ends, says what it read, and returns the process's exit code.
func readAtPace(text string) int {
	var task readerTask
	var report readerReport
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := listener(task.URL, &task.Settings)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer s.Close()
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is what is waited for
		stop()
	}()
	err = s.Stream(ctx, nil, func(_ context.Context, p source.Page) error {
		report.Messages += len(p.Items)
		if p.Cursor == nil {
			return nil
		}
		var at cursor
		if err := json.Unmarshal(p.Cursor, &at); err != nil {
			return err
		}
		if report.First == 0 {
			report.First, report.From = at.Seq, at.time()
		}
		if at.Seq != report.Last {
			report.Last, report.To, report.Behind = at.Seq, at.time(), max(report.Behind, time.Since(at.time()))
		}
		return nil
	})
	if ctx.Err() == nil {
		report.Err = fmt.Sprint(err)
	}
	if report.PeakKB, err = peak(); err != nil {
		report.Err = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		return 1
	}
	return 0
}

// peak is the most memory that this process has held, in KB (VmHWM).
func peak() (kb int64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	_, err = fmt.Sscanf(line, "%d kB", &kb)
	return kb, err
}
