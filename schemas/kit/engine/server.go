package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dwiarah/dwiarah/schemas/kit/engine/internal/chdb"
	"github.com/dwiarah/dwiarah/schemas/kit/freeport"
)

// serveServer runs `clickhouse server` until the leash ends. This process stays in between, because a server does not notice that our parent has died.
func (o orders) serveServer(leash <-chan struct{}, tell func(report) error) error {
	addr, err := freeAddr(o.Addr)
	if err != nil {
		return err
	}
	directory := filepath.Join(o.DataDir, "server")
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	config, users, err := o.serverConfig(addr, directory)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"config.xml": config, "users.xml": users} {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			return fmt.Errorf("writing the server's configuration: %w", err)
		}
	}
	command := exec.Command(o.Program.Server, "server", "--config-file="+filepath.Join(directory, "config.xml"))
	command.Dir = directory
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	if err := tell(report{Addr: addr}); err != nil {
		return errors.Join(err, command.Process.Kill())
	}
	select {
	case err := <-exited:
		return fmt.Errorf("the server has ended: %w", err)
	case <-leash:
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping the server: %w", err)
	}
	select {
	case <-exited:
		return nil
	case <-time.After(stopTimeout - time.Second): // Before the parent's own patience ends.
		return errors.Join(errors.New("stopping the server: it takes too long"), command.Process.Kill())
	}
}

// freeAddr puts a free port in the place of port 0, for a server does not tell which one it got; another one has to be free.
func freeAddr(addr string) (string, error) {
	if host, port, err := net.SplitHostPort(addr); err == nil && port == "0" {
		return freeport.On(host)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listening: %w", err)
	}
	if err := listener.Close(); err != nil {
		return "", fmt.Errorf("listening: %w", err)
	}
	return addr, nil
}

// element is an XML element with a name that is only known at run time.
type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

func leaf(name, text string) element { return element{XMLName: xml.Name{Local: name}, Text: text} }

func branch(name string, children ...element) element {
	return element{XMLName: xml.Name{Local: name}, Children: children}
}

func leaves(settings []chdb.Setting) []element {
	elements := make([]element, len(settings))
	for i, s := range settings {
		elements[i] = leaf(s.Name, s.Value)
	}
	return elements
}

// serverConfig writes config.xml and users.xml of a server that listens on addr only and keeps everything in directory.
func (o orders) serverConfig(addr, directory string) (config, users []byte, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the address %q: %w", addr, err)
	}
	in := func(name string) string { return filepath.Join(directory, name) + "/" }
	settings := append([]element{
		branch("logger", leaf("level", "warning"), leaf("console", "1")),
		leaf("listen_host", host),
		leaf("http_port", port),
		leaf("path", in("data")),
		leaf("tmp_path", in("tmp")),
		leaf("user_files_path", in("user_files")),
		leaf("format_schema_path", in("format_schemas")),
		branch("user_directories",
			branch("users_xml", leaf("path", filepath.Join(directory, "users.xml"))),
			branch("local_directory", leaf("path", in("access")))),
		leaf("default_profile", "default"),
		leaf("default_database", "default"),
	}, leaves(serverSettings(o.MaxMemoryBytes))...)
	name, digest := o.User, sha256.Sum256([]byte(o.Password))
	password := leaf("password_sha256_hex", hex.EncodeToString(digest[:]))
	networks := branch("networks", leaf("ip", "::/0")) // A user with a password comes from anywhere the address can be reached from.
	if name == "" {
		name, password, networks = "default", leaf("password", ""), branch("networks", leaf("ip", "::1"), leaf("ip", "127.0.0.1"))
	}
	config, err = xml.MarshalIndent(branch("clickhouse", settings...), "", "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("writing the server's configuration: %w", err)
	}
	users, err = xml.MarshalIndent(branch("clickhouse",
		branch("profiles", branch("default", leaves(profile(o.MaxMemoryBytes))...)),
		branch("quotas", branch("default")),
		branch("users", branch(name, password, networks, leaf("profile", "default"), leaf("quota", "default"), leaf("access_management", "1"))),
	), "", "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("writing the server's users: %w", err)
	}
	return config, users, nil
}
