package shmnet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"sync"
	"testing"
)

// TestHTTP: a server and a client of net/http know nothing of what they run over,
// with the first version of the protocol and with the second.
func TestHTTP(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			l := listenAt(t, Options{})
			var protocols http.Protocols
			protocols.SetHTTP1(version == "HTTP/1.1")
			protocols.SetUnencryptedHTTP2(version == "HTTP/2.0")
			server := &http.Server{Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != version {
					http.Error(w, r.Proto, http.StatusHTTPVersionNotSupported)
					return
				}
				body, err := io.ReadAll(r.Body) // all: HTTP/1 does not read on once it answers
				if err != nil {
					t.Error(err)
				}
				w.Write(body)
			})}
			var served sync.WaitGroup
			served.Go(func() { server.Serve(l) })
			transport := &http.Transport{Protocols: &protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return DialContext(ctx, l.Addr().String())
			}}
			client := &http.Client{Transport: transport}
			var group sync.WaitGroup
			for i := range 8 {
				group.Go(func() {
					sent := bytes.Repeat([]byte{byte(i)}, 1<<(2*i+4))
					for range 5 {
						answer, err := client.Post("http://echo/", "text/plain", bytes.NewReader(sent))
						if err != nil {
							t.Error(err)
							return
						}
						got, err := io.ReadAll(answer.Body)
						answer.Body.Close()
						if answer.StatusCode != http.StatusOK || err != nil || !bytes.Equal(got, sent) {
							t.Errorf("%s: %d bytes of %d, %v", answer.Status, len(got), len(sent), err)
						}
					}
				})
			}
			group.Wait()
			transport.CloseIdleConnections()
			if err := server.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			served.Wait()
		})
	}
}

// Arith is a service of net/rpc.
type Arith struct{}

// Sum adds.
func (Arith) Sum(numbers []int, sum *int) error {
	for _, n := range numbers {
		*sum += n
	}
	return nil
}

func TestRPC(t *testing.T) {
	d, a := connect(t, Options{})
	server := rpc.NewServer()
	if err := server.Register(Arith{}); err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { server.ServeConn(a) })
	client := rpc.NewClient(d)
	var calls []*rpc.Call
	for i := range 100 {
		calls = append(calls, client.Go("Arith.Sum", []int{i, 1}, new(int), nil))
	}
	for i, call := range calls {
		<-call.Done
		if got := *call.Reply.(*int); call.Error != nil || got != i+1 {
			t.Errorf("%d and 1 make %d, %v", i, got, call.Error)
		}
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	served.Wait()
}

// TestWhatAConnectionHolds: both ends in one process are four descriptors, and no
// thread waits for either.
func TestWhatAConnectionHolds(t *testing.T) {
	count := func(dir string) int {
		list, err := os.ReadDir("/proc/self/" + dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	l := listenAt(t, Options{Buffer: leastBuffer})
	const conns = 100
	files, threads := count("fd"), count("task")
	var wait sync.WaitGroup
	var ends []net.Conn
	for i := range conns {
		d, err := (Options{Buffer: leastBuffer}).DialContext(t.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		a, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, d, a)
		for _, c := range []net.Conn{d, a} {
			wait.Go(func() {
				b := make([]byte, 8)
				if _, err := io.ReadFull(c, b); err == nil && string(b) != fmt.Sprintf("%8d", i) {
					t.Errorf("connection %d brought %q", i, b)
				}
			})
		}
	}
	for _, c := range ends {
		waitParked(t, &c.(*Conn).in)
	}
	if n := count("fd") - files; n != 4*conns {
		t.Errorf("%d connections hold %d descriptors at both ends", conns, n)
	}
	if n := count("task") - threads; n > 32 {
		t.Errorf("%d calls that wait take %d threads", 2*conns, n)
	}
	for i, c := range ends {
		if _, err := fmt.Fprintf(c, "%8d", i/2); err != nil {
			t.Error(err)
		}
	}
	wait.Wait()
	for _, c := range ends {
		c.Close()
	}
}
