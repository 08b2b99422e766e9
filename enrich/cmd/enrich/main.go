// Command enrich labels messages: as a service between two topics, as a filter over JSON lines, and it trains and measures its model.
package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/schemas/kit/cli"
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

// start returns the process's exit code.
func start(args []string, in io.Reader, out, errOut io.Writer) int {
	return cli.Program{
		Name: "enrich", Description: "Language, sentiment, reputation risk, toxicity, content function and need of reply of public messages.",
		Vars: kong.Vars{"version": "enrich, model " + modelVersion()}, Out: out, Err: errOut,
		AtOnce: func(command string) bool { return command != "run" && command != "backfill" },
	}.Run(args, new(commands), func(log *slog.Logger) any { return &streams{in: in, out: out, err: errOut, log: log} })
}

// modelVersion is for people: a released model that cannot be read is said, but keeps nobody from training the next.
func modelVersion() string {
	c, err := enrich.NewClassifier()
	if err != nil {
		return "none: " + err.Error()
	}
	return c.ModelVersion()
}
