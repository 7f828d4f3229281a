package shmnet

import (
	"errors"
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// listenAt listens in a directory of the test.
func listenAt(t testing.TB, o Options) net.Listener {
	t.Helper()
	l, err := o.Listen(filepath.Join(t.TempDir(), "socket"))
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// connect is both ends of a connection.
func connect(t testing.TB, o Options) (dialer, accepted *Conn) {
	t.Helper()
	l := listenAt(t, o)
	d, err := o.DialContext(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(); a.Close(); l.Close() })
	return d.(*Conn), a.(*Conn)
}

func TestNettest(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		d, a := connect(t, Options{})
		return d, a, func() { d.Close(); a.Close() }, nil
	})
}
