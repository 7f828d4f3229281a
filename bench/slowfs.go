package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	slowDelay = 20 * time.Millisecond
	slowPage  = 4096
	slowPages = 200
	slowSize  = slowPages * slowPage
	serveArg  = "serve-slow-file"
)

var slowBytes = sync.OnceValue(func() []byte { return pattern(slowSize) })

// A slowFile is the one file of a file system whose every read takes slowDelay.
// Each page is a read of its own: nothing is read ahead.
type slowFile struct{ fs.Inode }

var _ interface {
	fs.NodeOpener
	fs.NodeReader
	fs.NodeGetattrer
} = (*slowFile)(nil)

// Open lets cached pages go: whoever opens the file finds it cold.
func (f *slowFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (f *slowFile) Read(_ context.Context, _ fs.FileHandle, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	time.Sleep(slowDelay)
	n := copy(p, slowBytes()[min(off, slowSize):])
	return fuse.ReadResultData(p[:n]), 0
}

func (f *slowFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = syscall.S_IFREG|0o444, slowSize
	return 0
}

// serve is the process behind the file: a page fault in the process that is
// measured never waits for a goroutine of its own. It ends when its input does.
func serve(dir string) {
	f, root, forever := &slowFile{}, &fs.Inode{}, time.Hour
	server, err := fs.Mount(dir, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMount: true, MaxReadAhead: 1, DisableXAttrs: true, FsName: "mmap-bench"},
		AttrTimeout:  &forever,
		EntryTimeout: &forever,
		OnAdd: func(ctx context.Context) {
			root.AddChild("file", root.NewPersistentInode(ctx, f, fs.StableAttr{Mode: syscall.S_IFREG}), true)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("mounted")
	stop := func() {}
	for in := bufio.NewReader(os.Stdin); ; {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			break
		}
		stop()
		stop = func() {}
		if line == "evict\n" {
			stop = f.evictQuarters()
		}
		fmt.Println("done")
	}
	stop()
	for range 100 {
		if server.Unmount() == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	syscall.Unmount(dir, syscall.MNT_DETACH)
}

// evictQuarters drops a quarter of the cached pages every 100 ms, each time
// another one, until it is stopped.
func (f *slowFile) evictQuarters() (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for quarter := int64(0); ; quarter = (quarter + 1) % 4 {
			select {
			case <-quit:
				return
			case <-tick.C:
				f.NotifyContent(quarter*slowSize/4, slowSize/4)
			}
		}
	}()
	return func() { close(quit); <-ended }
}

// A slowServer is the file system, mounted.
type slowServer struct {
	path string
	in   io.WriteCloser
	out  *bufio.Reader
	cmd  *exec.Cmd
}

func mountSlow(parent string) (*slowServer, error) {
	dir, err := os.MkdirTemp(parent, "slow-")
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &slowServer{path: filepath.Join(dir, "file"), cmd: exec.Command(self, serveArg, dir)}
	out, errOut := s.cmd.StdoutPipe()
	var errIn error
	s.in, errIn = s.cmd.StdinPipe()
	s.cmd.Stderr = os.Stderr
	if err := errors.Join(errIn, errOut, s.cmd.Start()); err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	return s, s.hear("mounted\n")
}

func (s *slowServer) hear(want string) error {
	line, err := s.out.ReadString('\n')
	if err == nil && line != want {
		err = fmt.Errorf("the slow file system says %q", line)
	}
	return err
}

// tell has the server begin to evict, or stop that.
func (s *slowServer) tell(evict bool) error {
	line := "keep\n"
	if evict {
		line = "evict\n"
	}
	if _, err := io.WriteString(s.in, line); err != nil {
		return err
	}
	return s.hear("done\n")
}

func (s *slowServer) close() error {
	return errors.Join(s.in.Close(), s.cmd.Wait(), os.Remove(filepath.Dir(s.path)))
}
