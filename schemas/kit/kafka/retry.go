package kafka

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// newBackOff returns the pauses between attempts at anything that goes over the network: 100 ms, doubling to 3 s, with jitter.
func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.Multiplier, b.MaxInterval = 100*time.Millisecond, 2, 3*time.Second
	b.Reset()
	return b
}

// sleep reports whether it slept the whole time, that is, whether ctx did not end meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
