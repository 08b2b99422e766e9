// Package run is the life of a process: parts started in order, stopped in reverse, none outliving another's death.
package run

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Part is one named piece of a process.
type Part struct {
	Name string
	// Run works until ctx ends, then drains and returns. Returning earlier ends the group, except with nil from a part that MayFinish.
	Run func(ctx context.Context) error
	// Ready, when set, returns nil once the part serves; the next part starts only then.
	Ready     func(ctx context.Context) error
	Drain     time.Duration // how long Run may take after its ctx ended; 0 means 10 s
	MayFinish bool          // returning nil before the stop is no death
}

// Group runs parts. The zero value is not usable: call New.
type Group struct{}

// New returns a group of the parts, which nothing has started yet.
func New(log *slog.Logger, parts ...Part) *Group { return &Group{} }

// Run starts the parts in order and stops them in reverse when ctx ends or a part dies; it returns the death's error.
func (g *Group) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Main runs fn until it returns, SIGINT or SIGTERM ending its ctx, and returns the process's exit code for os.Exit:
// 0, or 1 after an error. A second signal returns 130 at once.
func Main(log *slog.Logger, fn func(ctx context.Context) error) int { return 1 }
