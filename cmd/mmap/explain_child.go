package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/raw"
	"github.com/memwright/mmap/vmem"
)

// A process of a script on the kernel is this program again: it reads calls
// from standard input, makes them through package raw, and answers on standard
// output. All memory of the script lies in a window of addresses where a Go
// program keeps nothing.
var windowStart, windowEnd uint64 = 0x500000000000, 0x710000000000 // no constants: they overflow a 32-bit uintptr

// A kernelCall is what such a process is asked to do.
type kernelCall struct {
	Call   string
	Addr   uint64
	N, M   int64 // lengths, in the order of the call
	To     uint64
	Prot   int64
	Flags  int64
	File   string // a name; "" is none
	Path   string // of the file, where the name is first used
	Mode   int    // to open it with
	Off    int64
	Text   []byte
	Pages  []uint64 // of look: whose content is wanted
	Naked  bool     // of an access: without a guard, which kills the process
	Replay []kernelCall
}

// A kernelAnswer is what it came to.
type kernelAnswer struct {
	Kind  script.Kind
	Value int64
	Addr  uint64 // of Address, or of the byte that faulted
	Bytes []byte
	Errno int
	Error string // it could not be done at all

	Areas  []kernelArea // of look
	Locked int64
	Pages  []*script.Content // nil: it faulted
}

// A kernelArea is a line of /proc/self/maps.
type kernelArea struct {
	Start, End uint64
	Perms      string
	Offset     int64
	Path       string
}

// helperScript is a process of a script.
const helperScript = "script-process"

func init() { children[helperScript] = scriptProcess }

// A scriptWorld is such a process from inside.
type scriptWorld struct {
	holder *mmap.Mapping // it made the window's slice, and owns none of what is there now
	window []byte
	files  map[string]*os.File
}

func scriptProcess([]string) int {
	w, err := newScriptWorld()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var c kernelCall
		if decodeErr := in.Decode(&c); decodeErr == io.EOF {
			return 0
		} else if decodeErr != nil {
			fmt.Fprintln(os.Stderr, decodeErr)
			return 1
		}
		a := kernelAnswer{}
		if err == nil {
			a = w.do(c)
		} else {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return 1
		}
	}
}

// newScriptWorld takes a slice of the window's addresses, and leaves them free.
func newScriptWorld() (*scriptWorld, error) {
	size := int(windowEnd - windowStart)
	m, err := mmap.Anonymous(size, mmap.Options{NoReserve: true, Addr: uintptr(windowStart), Placement: mmap.FixedNoReplace})
	if err != nil {
		return nil, err
	}
	w := &scriptWorld{m, m.Bytes(), map[string]*os.File{}}
	return w, raw.Munmap(uintptr(windowStart), size)
}

// at is the index of an address in the window.
func (c kernelCall) at() int { return int(c.Addr - windowStart) }

// do makes a call.
func (w *scriptWorld) do(c kernelCall) (a kernelAnswer) {
	defer runtime.KeepAlive(w.holder)
	var err error
	a.Kind = script.Done
	addr, n := uintptr(c.Addr), int(c.N)
	switch c.Call {
	case "look":
		return w.look(c)
	case "load", "store":
		return w.access(c)
	case "mmap":
		var got uintptr
		if got, err = raw.Mmap(addr, n, raw.Prot(c.Prot), raw.Flag(c.Flags), w.descriptor(c), c.Off); err == nil {
			a.Kind, a.Addr = script.Address, uint64(got)
		}
	case "mremap":
		var got uintptr
		if got, err = raw.Mremap(addr, n, int(c.M), raw.RemapFlag(c.Flags), uintptr(c.To)); err == nil {
			a.Kind, a.Addr = script.Address, uint64(got)
		}
	case "munmap":
		err = raw.Munmap(addr, n)
	case "mprotect":
		err = raw.Mprotect(addr, n, raw.Prot(c.Prot))
	case "msync":
		err = raw.Msync(addr, n, raw.SyncFlag(c.Flags))
	case "madvise":
		err = raw.Madvise(addr, n, raw.Advice(c.Flags))
	case "mlock":
		err = raw.Mlock(addr, n)
	case "mlock2":
		err = raw.Mlock2(addr, n, raw.LockFlag(c.Flags))
	case "munlock":
		err = raw.Munlock(addr, n)
	case "open":
		w.descriptor(c)
	case "close":
		w.descriptor(c)
		err = w.files[c.File].Close()
	case "fsync", "truncate", "pread", "pwrite":
		a, err = w.fileCall(c)
	}
	return a.refused(err)
}

// refused puts an errno into an answer.
func (a kernelAnswer) refused(err error) kernelAnswer {
	var errno syscall.Errno
	switch {
	case err == nil:
	case errors.Is(err, os.ErrClosed):
		a.Kind, a.Errno = script.Refused, int(syscall.EBADF)
	case errors.As(err, &errno):
		a.Kind, a.Errno = script.Refused, int(errno)
	default:
		a.Error = err.Error()
	}
	return a
}

// descriptor is the number of a file, which is opened where it is first named;
// -1 where there is none.
func (w *scriptWorld) descriptor(c kernelCall) int {
	f, ok := w.files[c.File]
	if !ok && c.File != "" {
		f, _ = os.OpenFile(c.Path, c.Mode, 0) // nil answers EBADF to everything
		w.files[c.File] = f
	}
	if f == nil {
		return -1
	}
	return int(f.Fd()) // -1 when it has been closed
}

func (w *scriptWorld) fileCall(c kernelCall) (a kernelAnswer, err error) {
	a.Kind = script.Done
	w.descriptor(c)
	f := w.files[c.File]
	if f == nil {
		return a, os.ErrClosed
	}
	move := f.ReadAt
	switch c.Call {
	case "fsync":
		return a, f.Sync()
	case "truncate":
		return a, f.Truncate(c.N)
	case "pwrite":
		move = f.WriteAt
	}
	moved, err := move(w.window[c.at():c.at()+int(c.N)], c.Off)
	if moved > 0 || errors.Is(err, io.EOF) {
		err = nil // a short count tells it
	}
	a.Kind, a.Value = script.Number, int64(moved)
	return a, err
}

// access loads or stores a byte after the other, as the engine counts them.
func (w *scriptWorld) access(c kernelCall) (a kernelAnswer) {
	if c.Naked {
		for _, before := range c.Replay {
			w.do(before)
		}
	} else {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if fault, ok := recover().(interface{ Addr() uintptr }); ok {
				a = kernelAnswer{Kind: script.Faulted, Addr: uint64(fault.Addr())}
			}
		}()
	}
	at := c.at()
	if c.Call == "store" {
		for i, b := range c.Text {
			w.window[at+i] = b
		}
		return kernelAnswer{Kind: script.Done}
	}
	b := make([]byte, c.N)
	for i := range b {
		b[i] = w.window[at+i]
	}
	return kernelAnswer{Kind: script.Loaded, Bytes: b}
}

// look tells what there is in the window.
func (w *scriptWorld) look(c kernelCall) (a kernelAnswer) {
	areas, err := areasOf(uintptr(windowStart), int(windowEnd-windowStart))
	if err != nil {
		return kernelAnswer{Error: err.Error()}
	}
	for _, v := range areas {
		a.Areas = append(a.Areas, kernelArea{uint64(v.start), uint64(v.end), v.perms, v.offset, v.path})
	}
	if a.Locked, err = lockedBytes(); err != nil {
		return kernelAnswer{Error: err.Error()}
	}
	for _, page := range c.Pages {
		got := w.access(kernelCall{Call: "load", Addr: page, N: vmem.PageSize})
		var content *script.Content
		if got.Kind == script.Loaded {
			is := script.ContentOf(got.Bytes)
			content = &is
		}
		a.Pages = append(a.Pages, content)
	}
	return a
}
