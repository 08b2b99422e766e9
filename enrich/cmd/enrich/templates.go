package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/dwiarah/dwiarah/enrich"
)

type templatesCommand struct {
	Input    string `help:"Messages, a JSON object a line as in an archive; - is the standard input." default:"-" type:"path" short:"i"`
	Messages int    `help:"The fewest replies alike that are a template." default:"5"`
	People   int    `help:"The fewest people that they went to." default:"5"`
}

func (c *templatesCommand) Run(s *streams) error {
	if c.Messages < 2 || c.People < 2 {
		return fmt.Errorf("--messages is %d and --people is %d; both have to be 2 or more", c.Messages, c.People)
	}
	var in io.Reader = s.in
	if c.Input != "-" {
		f, err := os.Open(c.Input)
		if err != nil {
			return fmt.Errorf("opening the input: %w", err)
		}
		defer f.Close()
		in = f
	}
	found, replies, err := enrich.FindTemplates(in, s.out, enrich.TemplateLimits{Messages: c.Messages, People: c.People})
	if err != nil {
		return err
	}
	if replies == 0 {
		return errors.New("finding templates: no message has direction outbound and kind reply or comment")
	}
	fmt.Fprintf(s.err, "%d templates in %d replies; read them before the service does\n", found, replies)
	return nil
}
