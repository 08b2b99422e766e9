package freeport_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/dwiarah/dwiarah/schemas/kit/freeport"
)

// Nobody is told a port twice, one that is taken, or one that an outgoing connection may take meanwhile.
func TestPortsAreFreeAndOneCallersOwn(t *testing.T) {
	seen := map[string]bool{}
	for range 500 {
		addr, err := freeport.Loopback()
		if err != nil {
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1024 || n >= 32768 {
			t.Errorf("port %s", port)
		}
		if seen[addr] {
			t.Errorf("%s twice", addr)
		}
		seen[addr] = true
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatalf("it is not free: %v", err)
		}
		defer l.Close()
	}
	if _, err := freeport.On("192.0.2.1"); err == nil {
		t.Error("a host that is not this machine has a free port")
	}
}
