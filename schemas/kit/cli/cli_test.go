package cli_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/schemas/kit/cli"
)

type commands struct {
	Config  string           `help:"A file."`
	Version kong.VersionFlag `help:"Print the version and end."`
	Say     say              `cmd:"" help:"Print what the configuration is called."`
	Fail    fail             `cmd:"" help:"Fail with the lines given."`
	Wait    wait             `cmd:"" help:"Work until a signal."`
}

type (
	app  struct{ config string }
	say  struct{}
	fail struct {
		Lines []string `arg:""`
	}
	wait struct{}
)

func (say) Run(ctx context.Context, a *app) error {
	return errors.Join(ctx.Err(), errors.New(a.config))
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
			"--config a.yaml say": {1, "", "tool: a.yaml\n"},
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
