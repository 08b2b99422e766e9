// Package cli is what the commands of all services do alike: read the command line, run what it asks for until a signal, and say how that ended.
package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/schemas/kit/run"
)

// Exit codes of Run, beside those of run.Main.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Program is a command of several sub-commands.
type Program struct {
	Name, Description string
	Vars              kong.Vars // of the help texts; "version" is the build's unless it is given
	Out, Err          io.Writer
	// AtOnce tells of a sub-command, by kong's name for it, that it is a filter or a batch job with nothing to drain: a signal ends the process. Nil means none is.
	AtOnce func(command string) bool
}

// Run reads args into commands, a pointer to a struct with kong's tags, and runs the sub-command they name. Its Run method may ask for a context.Context, which
// the first signal ends, and for what bind returns, which is called once commands are filled. Run returns the process's exit code: 0, 1 after an error, 2 for a
// command line that is none, 130 after a second signal.
func (p Program) Run(args []string, commands any, bind func(log *slog.Logger) any) int {
	vars := kong.Vars{"version": version()}
	maps.Copy(vars, p.Vars)
	exited := -1
	parser, err := kong.New(commands, kong.Name(p.Name), kong.Description(p.Description), kong.UsageOnError(),
		kong.Writers(p.Out, p.Err), kong.Exit(func(code int) { exited = code }), vars, Times())
	if err != nil {
		return p.failed(err)
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help and --version
		return exited
	}
	if err != nil {
		parser.FatalIfErrorf(err)
		return exitUsage
	}
	log := slog.New(slog.NewTextHandler(p.Err, nil))
	parsed.Bind(bind(log))
	if p.AtOnce != nil && p.AtOnce(parsed.Command()) {
		parsed.BindTo(context.Background(), (*context.Context)(nil))
		return p.failed(parsed.Run())
	}
	code := exitOK
	aborted := run.Main(log, func(ctx context.Context) error {
		parsed.BindTo(ctx, (*context.Context)(nil))
		err := parsed.Run()
		if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = errors.New("stopped")
		}
		code = p.failed(err)
		return nil
	})
	return max(code, aborted)
}

// Times reads flags that are times: a time with its zone, or what the flag's format tag says.
func Times() kong.Option {
	return kong.TypeMapper(reflect.TypeFor[time.Time](), kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("time", &text); err != nil {
			return err
		}
		layout := cmp.Or(ctx.Value.Format, time.RFC3339)
		at, err := time.Parse(layout, text)
		if err != nil {
			example := time.Date(2026, 3, 1, 0, 0, 0, 0, time.FixedZone("WIB", 7*60*60))
			return fmt.Errorf("%q: want a time as %s", text, example.Format(layout))
		}
		target.Set(reflect.ValueOf(at))
		return nil
	}))
}

// lineBytes bounds what Line reads.
const lineBytes = 4096

// Line reads one line, as an author's handle that is no argument because other users of the machine can see those; without the blanks around it.
func Line(in io.Reader) (string, error) {
	text, err := bufio.NewReader(io.LimitReader(in, lineBytes)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSpace(text), nil
}

// failed prints an error and returns the exit code; of nil it is 0. An error may have many lines, one for each mistake in a file; a log would fold them into one.
func (p Program) failed(err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(p.Err, "%s: %v\n", p.Name, err)
	return exitFailed
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value
		}
	}
	return v
}
