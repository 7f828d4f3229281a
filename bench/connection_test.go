package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hashicorp/yamux"
	"github.com/memwright/mmap/shm/shmnet"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func listen(t *testing.T) net.Listener {
	l, err := shmnet.Listen(filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestGRPC: unary calls and streams, many at once, know nothing of what they run
// over.
func TestGRPC(t *testing.T) {
	l := listen(t)
	s := newRPCServer()
	go s.Serve(l)
	defer s.Stop()
	cc, err := newRPCClient(shmnet.DialContext, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			sent := bytes.Repeat([]byte{byte(i)}, 1<<(2*i+4))
			for range 20 {
				got := new(wrapperspb.BytesValue)
				if err := cc.Invoke(context.Background(), unaryMethod, wrapperspb.Bytes(sent), got); err != nil || !bytes.Equal(got.Value, sent) {
					t.Errorf("a call with %d bytes gave %d, %v", len(sent), len(got.Value), err)
				}
			}
			stream, err := cc.NewStream(context.Background(), &echoService.Streams[0], streamMethod)
			if err != nil {
				t.Error(err)
				return
			}
			for range 20 {
				got := new(wrapperspb.BytesValue)
				if err := stream.SendMsg(wrapperspb.Bytes(sent)); err != nil {
					t.Error(err)
				}
				if err := stream.RecvMsg(got); err != nil || !bytes.Equal(got.Value, sent) {
					t.Errorf("a message of %d bytes came back as %d, %v", len(sent), len(got.Value), err)
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Error(err)
			}
			if err := stream.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
				t.Errorf("the stream ended with %v", err)
			}
		})
	}
	group.Wait()
}

func TestYamux(t *testing.T) {
	l := listen(t)
	quiet := yamux.DefaultConfig()
	quiet.LogOutput = io.Discard
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		session, err := yamux.Server(c, quiet)
		if err != nil {
			t.Error(err)
			return
		}
		defer session.Close()
		for {
			stream, err := session.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(stream, stream); stream.Close() }()
		}
	}()
	c, err := shmnet.Dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	session, err := yamux.Client(c, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			stream, err := session.Open()
			if err != nil {
				t.Error(err)
				return
			}
			defer stream.Close()
			sent := bytes.Repeat(fmt.Appendf(nil, "stream %d;", i), 30000)
			go stream.Write(sent)
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(stream, got); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("the echo of stream %d differs, or failed: %v", i, err)
			}
		})
	}
	group.Wait()
}
