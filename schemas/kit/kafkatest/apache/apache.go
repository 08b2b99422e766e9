// Package apache starts Apache Kafka from its jars (deploy/kafka/run.sh fetches them), for tests and for the fault harness.
package apache

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Node is one broker, which is also a controller: KRaft, on loopback, without authentication.
type Node struct {
	Jars      string // folder of Kafka's jars
	Dir       string // the node's state, which survives it
	Addr      string // host:port that it listens at
	Advertise string // host:port that clients are told to use, where something stands between; empty means Addr
	Control   string // host:port of its controller
	ID        int    // in a cluster, from 1; 0 for a node alone
	Voters    string // of a cluster: every node's controller, as 1@127.0.0.1:9093,2@...
}

// Command returns the command that is the node: its process is the JVM. It dies with this process. The working directory has to be within the project.
func (n Node) Command() (*exec.Cmd, error) {
	script, err := runScript()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(n.Addr)
	if err != nil {
		return nil, fmt.Errorf("reading Kafka's address %q: %w", n.Addr, err)
	}
	_, control, err := net.SplitHostPort(n.Control)
	if err != nil {
		return nil, fmt.Errorf("reading the address %q of Kafka's controller: %w", n.Control, err)
	}
	args := []string{"broker", n.Jars, n.Dir, port, control}
	if n.ID > 0 {
		args = append(args, strconv.Itoa(n.ID), n.Voters)
	}
	cmd := exec.Command(script, args...)
	cmd.Env = os.Environ()
	if n.Advertise != "" {
		cmd.Env = append(cmd.Env, "ADVERTISE="+n.Advertise)
	}
	endWithParent(cmd)
	return cmd, nil
}

// runScript finds deploy/kafka/run.sh above the working directory.
func runScript() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		script := filepath.Join(dir, "deploy", "kafka", "run.sh")
		if _, err := os.Stat(script); err == nil {
			return script, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("deploy/kafka/run.sh is not found above the working directory")
		}
		dir = parent
	}
}
