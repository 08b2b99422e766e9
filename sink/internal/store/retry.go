package store

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Until calls f until it succeeds or until its error is one that no further attempt mends; ctx ends the waiting. what names the work in the log.
func (s *Store) Until(ctx context.Context, log *slog.Logger, what string, f func(ctx context.Context) error) error {
	return s.until(ctx, func() error { return f(ctx) }, func(err error, pause time.Duration) {
		log.Warn("waiting for ClickHouse", "to", what, "pause", pause, "error", err)
	})
}

// until has no limit but ctx: a store that is away for an hour is waited for.
func (s *Store) until(ctx context.Context, f func() error, failed func(err error, pause time.Duration)) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval, pause.Multiplier = s.config.RetryFirst.Std(), s.config.RetryMost.Std(), 2
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := f()
		if err != nil && Classify(err) != Retry {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0), backoff.WithNotify(failed))
	return err
}
