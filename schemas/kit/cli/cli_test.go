package cli_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/schemas/kit/cli"
)

// TestLine: one line, without the blanks around it; the end of the input ends it, too.
func TestLine(t *testing.T) {
	for in, want := range map[string]string{"@warga \r\nrest": "@warga", "warga": "warga", "": "", strings.Repeat("a", 5000): strings.Repeat("a", 4096)} {
		if got, err := cli.Line(strings.NewReader(in)); err != nil || got != want {
			t.Errorf("%.10q: %.10q, %v", in, got, err)
		}
	}
}

type commands struct {
	Config  string           `help:"A file."`
	Version kong.VersionFlag `help:"Print the version and end."`
	Say     say              `cmd:"" help:"Print what the configuration is called."`
	Fail    fail             `cmd:"" help:"Fail with the lines given."`
	Wait    wait             `cmd:"" help:"Work until a signal."`
}

type (
	app struct{ config string }
	say struct {
		At  time.Time
		Day time.Time `format:"2006-01-02"`
	}
	fail struct {
		Lines []string `arg:""`
	}
	wait struct{}
)

func (s say) Run(ctx context.Context, a *app) error {
	return errors.Join(ctx.Err(), fmt.Errorf("%s %s %s", a.config, s.At.UTC().Format(time.RFC3339), s.Day.Format(time.DateOnly)))
}

func (f fail) Run() error { return errors.New(strings.Join(f.Lines, "\n")) }

func (wait) Run(ctx context.Context) error {
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestRun(t *testing.T) {
	for _, atOnce := range []func(string) bool{nil, func(command string) bool { return command != "wait" }} {
		for line, want := range map[string]struct {
			code     int
			out, err string
		}{
			"--config a.yaml say": {1, "", "tool: a.yaml 0001-01-01T00:00:00Z 0001-01-01\n"},
			"say --at 2026-03-01T00:00:00+07:00 --day 2026-03-02": {1, "", "tool:  2026-02-28T17:00:00Z 2026-03-02\n"},
			"say --at 2026-03-01": {2, "", `--at: "2026-03-01": want a time as 2026-03-01T00:00:00+07:00`},
			"say --day yesterday": {2, "", `--day: "yesterday": want a time as 2026-03-01`},
			"fail one two":        {1, "", "tool: one\ntwo\n"},
			"wait":                {1, "", "tool: stopped\n"},
			"--version":           {0, "7\n", ""},
			"say --help":          {0, "Print what the configuration is called.", ""},
			"sing":                {2, "", "unexpected argument sing"},
		} {
			var out, errOut strings.Builder
			var c commands
			code := cli.Program{Name: "tool", Vars: kong.Vars{"version": "7"}, Out: &out, Err: &errOut, AtOnce: atOnce}.
				Run(strings.Fields(line), &c, func(*slog.Logger) any { return &app{config: c.Config} })
			if code != want.code || !strings.Contains(out.String(), want.out) || !strings.Contains(errOut.String(), want.err) {
				t.Errorf("%s: code %d, out %q, err %q", line, code, &out, &errOut)
			}
		}
	}
}
