package shmnet

import (
	"io"
	"runtime"
	"testing"
)

// TestListenerCloseSparesAccepted: what Accept has answered outlives its listener,
// however soon after that it is closed.
func TestListenerCloseSparesAccepted(t *testing.T) {
	for range 30 {
		l := listenAt(t, Options{})
		d, err := DialContext(t.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		a, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
		b := []byte("still there")
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(d, make([]byte, len(b)))
			read <- err
		}()
		waitParked(t, &d.(*Conn).in)
		if _, err := a.Write(b); err != nil { // it must ring
			t.Fatal(err)
		}
		if err := soon(t, "the read", read); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(a, b); err != nil {
			t.Fatal(err)
		}
	}
}
