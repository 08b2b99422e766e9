// Command enrich labels messages: as a service between two topics, as a filter over JSON lines, and it trains and measures its model.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"

	"github.com/dwiarah/dwiarah/enrich"
)

type commands struct {
	Classify classifyCommand `cmd:"" help:"Label JSON lines of {id, text, lang?}; needs no services."`
	Train    trainCommand    `cmd:"" help:"Train the model: the same data, code book and seed give the same bytes."`
	Evaluate evaluateCommand `cmd:"" help:"Measure the model on labelled texts."`
	Run      runCommand      `cmd:"" help:"Run the service: label what is in mentions.raw.v1 into mentions.enriched.v1."`
	Version  versionFlag     `help:"Print the model's version and leave."`
}

// streams are what commands read from and write to, so that tests need no process.
type streams struct {
	in       io.Reader
	out, err io.Writer
	log      *slog.Logger
}

type versionFlag bool

// BeforeReset prints the version before anything else is checked.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	c, err := enrich.NewClassifier()
	if err != nil {
		return err
	}
	fmt.Fprintln(app.Stdout, "enrich, model", c.ModelVersion())
	app.Exit(0)
	return nil
}

func main() {
	var cli commands
	k := kong.Parse(&cli, kong.Name("enrich"), kong.Description("Language, sentiment, reputation risk, toxicity, content function and need of reply of public messages."), kong.UsageOnError())
	s := &streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	k.FatalIfErrorf(k.Run(s))
}
