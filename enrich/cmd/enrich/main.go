// Command enrich labels messages: as a service between two topics, as a filter over JSON lines, and it trains and measures its model.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
)

type commands struct {
	Classify  classifyCommand  `cmd:"" help:"Label JSON lines of {id, text, lang?}; needs no services."`
	Train     trainCommand     `cmd:"" help:"Train the model: the same data, code book and seed give the same bytes."`
	Evaluate  evaluateCommand  `cmd:"" help:"Measure the model on labelled texts."`
	Label     labelCommand     `cmd:"" help:"Labels by people: store them, write them out, say how far annotators agree."`
	Adapt     adaptCommand     `cmd:"" help:"Adapt the model to one institution's stream from 100 or more labels; accepted only if cross-validated better."`
	Templates templatesCommand `cmd:"" help:"Find the templates of an institution's automatic replies in its messages."`
	Backfill  backfillCommand  `cmd:"" help:"Label stored messages anew with this model or adaptation, through the enriched topic."`
	Run       runCommand       `cmd:"" help:"Run the service: label what is in mentions.raw.v1 into mentions.enriched.v1."`
	Version   kong.VersionFlag `help:"Print the model's version and end."`
}

// streams are what commands read from and write to, so that tests need no process.
type streams struct {
	in       io.Reader
	out, err io.Writer
	log      *slog.Logger
}

func main() {
	os.Exit(start(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// start returns the process's exit code: 0, 1 after an error, 2 for a command line that is none.
func start(args []string, in io.Reader, out, errOut io.Writer) int {
	log := slog.New(slog.NewTextHandler(errOut, nil))
	s := &streams{in: in, out: out, err: errOut, log: log}
	var c commands
	exited := -1
	parser, err := kong.New(&c, kong.Name("enrich"), kong.Description("Language, sentiment, reputation risk, toxicity, content function and need of reply of public messages."),
		kong.UsageOnError(), kong.Writers(out, errOut), kong.Exit(func(code int) { exited = code }), kong.Vars{"version": "enrich, model " + modelVersion()})
	if err != nil {
		fmt.Fprintln(errOut, "enrich:", err)
		return 1
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help and --version
		return exited
	}
	if err != nil {
		parser.Errorf("%s", err)
		return 2
	}
	parsed.Bind(s)
	if c.isService(parsed) {
		return run.Main(log, func(ctx context.Context) error {
			parsed.BindTo(ctx, (*context.Context)(nil))
			return parsed.Run()
		})
	}
	// The others are filters and batch jobs: a signal ends them at once, there is nothing to drain.
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(errOut, "enrich:", err)
		return 1
	}
	return 0
}

// modelVersion is for people: a released model that cannot be read is said, but keeps nobody from training the next.
func modelVersion() string {
	c, err := enrich.NewClassifier()
	if err != nil {
		return "none: " + err.Error()
	}
	return c.ModelVersion()
}

// isService tells what works until it is stopped, or over long: a signal lets it finish what is under way.
func (commands) isService(parsed *kong.Context) bool {
	return parsed.Command() == "run" || parsed.Command() == "backfill"
}
