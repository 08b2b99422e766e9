// Package run is the life of a process: parts started in order, stopped in reverse, none outliving another's death.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

const (
	defaultDrain = 10 * time.Second
	readyPoll    = 20 * time.Millisecond
)

// Part is one named piece of a process.
type Part struct {
	Name string
	// Run works until ctx ends, then drains and returns nil. Returning earlier is the part's death and ends the group,
	// except with nil from a part that MayFinish.
	Run func(ctx context.Context) error
	// Ready, when set, is asked until it returns nil; the next part starts only then.
	Ready     func(ctx context.Context) error
	Drain     time.Duration // how long Run may take after its ctx ended; 0 means 10 s
	MayFinish bool          // returning nil early is no death; when no other part is left, the group has finished
}

// errEnded is the death of a part that returned nil although it should have gone on.
var errEnded = errors.New("it ended by itself")

// Group runs parts.
type Group struct {
	log   *slog.Logger
	parts []Part
}

// New returns a group of the parts; nothing is started. A nil log means slog.Default().
func New(log *slog.Logger, parts ...Part) *Group {
	if log == nil {
		log = slog.Default()
	}
	return &Group{log: log, parts: parts}
}

// running is a part that has been started.
type running struct {
	Part
	cancel context.CancelFunc
	done   chan struct{} // closed once Run has returned
	err    error         // of Run; valid once it is among the deaths or done is closed
	told   bool          // its death has been looked at
}

// Run starts the parts in order, waits until ctx ends or a part dies, and stops them in reverse, each with its own drain
// deadline: what a part writes to is still there while it drains. It returns nil after an ordered stop, else the errors of
// all parts that died or did not drain in time; a part that does not drain is left behind.
func (g *Group) Run(ctx context.Context) error {
	deaths := make(chan *running, len(g.parts))
	var started []*running
	err := func() error {
		for _, part := range g.parts {
			r := g.start(ctx, part, deaths)
			started = append(started, r)
			if err := ready(ctx, r, deaths); err != nil || ctx.Err() != nil {
				return err
			}
		}
		return watch(ctx, started, deaths)
	}()
	errs := []error{err}
	for _, r := range slices.Backward(started) {
		errs = append(errs, g.stop(r))
	}
	return errors.Join(errs...)
}

func (g *Group) start(ctx context.Context, part Part, deaths chan<- *running) *running {
	// Its own ctx: the end of the group's must reach the parts one after another, not all at once.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{Part: part, cancel: cancel, done: make(chan struct{})}
	g.log.Debug("starting a part", "part", part.Name)
	go func() {
		r.err = part.Run(own)
		deaths <- r // before done: whoever sees that all are done finds every death here
		close(r.done)
	}()
	return r
}

// ready waits until the part is ready, any part dies, or ctx ends.
func ready(ctx context.Context, r *running, deaths <-chan *running) error {
	if r.Ready == nil {
		return nil
	}
	asking, stop := context.WithCancel(ctx)
	defer stop()
	ready := make(chan struct{})
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		ticker := time.NewTicker(readyPoll)
		defer ticker.Stop()
		for asking.Err() == nil {
			if err := r.Ready(asking); err == nil {
				close(ready)
				return
			}
			select {
			case <-ticker.C:
			case <-asking.Done():
			}
		}
	}()
	defer func() {
		stop()
		<-asked
	}()
	for {
		select {
		case <-ready:
			return nil
		case <-ctx.Done():
			return nil
		case dead := <-deaths:
			if err := death(dead); err != nil {
				return err
			}
			if dead == r { // finished before it could be asked
				return nil
			}
		}
	}
}

// watch waits until ctx ends, a part dies, or all have finished.
func watch(ctx context.Context, started []*running, deaths <-chan *running) error {
	for {
		finished := true
		for _, r := range started {
			select {
			case <-r.done:
			default:
				finished = false
			}
		}
		if finished && len(deaths) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case dead := <-deaths:
			if err := death(dead); err != nil {
				return err
			}
		}
	}
}

// death returns what is wrong with a part that has returned before it was asked to stop.
func death(r *running) error {
	r.told = true
	switch {
	case r.err != nil:
		return fmt.Errorf("%s: %w", r.Name, r.err)
	case !r.MayFinish:
		return fmt.Errorf("%s: %w", r.Name, errEnded)
	}
	return nil
}

// stop ends the part's ctx and waits for it. Of a part that has died already it tells, unless that has been told.
func (g *Group) stop(r *running) error {
	defer r.cancel()
	if r.told { // its done may not be closed yet
		<-r.done
		return nil
	}
	select {
	case <-r.done:
		return death(r)
	default:
	}
	g.log.Debug("stopping a part", "part", r.Name)
	r.cancel()
	limit := r.Drain
	if limit == 0 {
		limit = defaultDrain
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-r.done:
		// The end of its ctx is no error of a part that returns it.
		if r.err != nil && !errors.Is(r.err, context.Canceled) {
			return fmt.Errorf("stopping %s: %w", r.Name, r.err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("stopping %s: it did not drain within %v", r.Name, limit)
	}
}
