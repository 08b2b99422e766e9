package fleet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
)

// profiled calls run, and leaves where its processor time went (NAME.PID.cpu) and what it had allocated by its end (NAME.PID.heap), for go tool pprof.
func (r Role) profiled(run func() error) (err error) {
	if r.Profiles == "" {
		return run()
	}
	cpu, err := r.profile("cpu")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cpu.Close()) }()
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return fmt.Errorf("profiling %s: %w", r.Name, err)
	}
	defer pprof.StopCPUProfile()
	if err := run(); err != nil {
		return err
	}
	heap, err := r.profile("heap")
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(heap, 0), heap.Close())
}

func (r Role) profile(kind string) (*os.File, error) {
	file, err := os.Create(filepath.Join(r.Profiles, fmt.Sprintf("%s.%d.%s", r.Name, os.Getpid(), kind)))
	if err != nil {
		return nil, fmt.Errorf("profiling %s: %w", r.Name, err)
	}
	return file, nil
}
