package apache

import (
	"os/exec"
	"syscall"
)

// endWithParent has the process killed when this one dies, however it does.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
