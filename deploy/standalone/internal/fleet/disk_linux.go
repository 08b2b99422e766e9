package fleet

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// LimitFiles lets no file of a process grow beyond that many bytes: a write then fails as on a full disk, with EFBIG in place of ENOSPC. A negative limit is none.
func LimitFiles(pid int, bytes int64) error {
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		return fmt.Errorf("reading the limit of process %d's files: %w", pid, err)
	}
	limit.Cur = uint64(bytes)
	if bytes < 0 {
		limit.Cur = limit.Max
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		return fmt.Errorf("limiting process %d's files to %d bytes: %w", pid, bytes, err)
	}
	return nil
}
