package main

type runCommand struct {
	Config string `help:"Configuration file."`
}

func (c *runCommand) Run(s *streams) error { return nil }
