//go:build !linux

package fleet

import (
	"errors"
	"fmt"
)

// LimitFiles needs Linux.
func LimitFiles(pid int, bytes int64) error {
	return fmt.Errorf("limiting process %d's files: %w", pid, errors.ErrUnsupported)
}
