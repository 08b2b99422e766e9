package run

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes of Main.
const (
	exitOK      = 0
	exitFailed  = 1
	exitAborted = 130 // as a shell says of a process that SIGINT ended
)

// Main runs fn until it returns, SIGINT or SIGTERM ending its ctx, and returns the process's exit code for os.Exit:
// 0, or 1 after an error, which it logs. A second signal returns 130 at once, whatever fn is doing.
func Main(log *slog.Logger, fn func(ctx context.Context) error) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				log.Error("stopped", "error", err)
				return exitFailed
			}
			return exitOK
		case s := <-signals:
			if ctx.Err() != nil {
				log.Error("aborted by a second signal", "signal", s.String())
				return exitAborted
			}
			log.Info("stopping", "signal", s.String())
			cancel()
		}
	}
}
