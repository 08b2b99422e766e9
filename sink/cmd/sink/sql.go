package main

import (
	"context"
	"errors"

	"github.com/dwiarah/dwiarah/sink/internal/query"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

type sqlCommand struct {
	Query string            `arg:"" help:"The query. It may hold parameters, as {institution:String}."`
	Param map[string]string `help:"A parameter's value; repeatable." placeholder:"NAME=VALUE" mapsep:"none" short:"p"`
}

func (c sqlCommand) Run(ctx context.Context, a *app) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	s, err := store.Open(cfg.ClickHouse)
	if err != nil {
		return err
	}
	return errors.Join(query.Print(ctx, s.Conn(), c.Query, c.Param, a.Out), s.Close())
}
