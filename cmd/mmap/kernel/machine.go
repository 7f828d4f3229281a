package kernel

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/internal/tracee"
	"github.com/memwright/mmap/vmem"
)

// Patience is how long a step may take.
const Patience = 20 * time.Second

// A Machine is what a script runs on beside the engine.
type Machine struct {
	ctx   context.Context
	calls chan func()   // to the thread that traces
	ended chan struct{} // the thread has given everything back
	rig   *tracee.Rig
	lost  error // why nothing can be asked any more

	dir       string
	root      process // whose children the script's processes are; does what no process does
	processes map[string]*process
	files     map[string]file // by the names that scripts give to open files

	// MayLock is how many bytes a process may lock: as many as in the engine,
	// unless this system allows less.
	MayLock  uint64
	hardLock uint64 // the hard limit, which lets it be raised for mlockall
	lowest   uint64 // address that may be mapped
}

// A process of the script.
type process struct {
	*tracee.Process
	open map[string]uint64 // its descriptors, by the names of files
}

// A file is what a process opens that has not done so yet.
type file struct {
	path   string
	mode   vmem.Mode
	closed bool // by one, and so for all
}

// errStuck is told where a step did not end.
var errStuck = fmt.Errorf("the kernel did not answer within %v", Patience)

// Start makes a machine whose files are in dir. Its error says why this system's
// kernel can't be asked.
func Start(ctx context.Context, dir string) (*Machine, error) {
	m := &Machine{
		ctx: ctx, calls: make(chan func()), ended: make(chan struct{}), dir: dir,
		processes: map[string]*process{}, files: map[string]file{}, lowest: lowestAddress(),
	}
	started := make(chan error)
	go m.trace(started)
	if err := <-started; err != nil {
		return nil, err
	}
	if _, err := on(m, func() (any, error) { return nil, m.prepare() }); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// trace starts the rig and makes its calls. Its thread ends with it.
func (m *Machine) trace(started chan<- error) {
	runtime.LockOSThread()
	var err error
	m.rig, err = tracee.Start(m.dir)
	started <- err
	if err != nil {
		return
	}
	for call := range m.calls {
		call()
	}
	m.rig.Close()
	close(m.ended)
}

// on makes a call on the thread that traces, and bounds it.
func on[T any](m *Machine, call func() (T, error)) (result T, err error) {
	if m.lost != nil {
		return result, m.lost
	}
	type answer struct {
		result T
		err    error
	}
	answered := make(chan answer, 1)
	m.calls <- func() {
		result, err := call()
		answered <- answer{result, err}
	}
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	select {
	case a := <-answered:
		return a.result, a.err
	case <-m.ctx.Done():
		m.lost = m.ctx.Err()
	case <-patience.C:
		m.lost = errStuck
	}
	m.rig.Stop()
	return result, m.lost
}

// Close ends the processes. Those that wait for something that no signal ends
// are left behind, and die with it.
func (m *Machine) Close() {
	if m.lost == fs.ErrClosed {
		return
	}
	m.lost = fs.ErrClosed
	m.rig.Stop()
	close(m.calls)
	select {
	case <-m.ended:
	case <-time.After(Patience):
	}
}

// The limits and the settings of processes, linux/resource.h and linux/prctl.h.
const (
	limitMemLock = 8
	limitAS      = 9

	setTHPDisable  = 41
	setMemoryMerge = 67
)

// ours is how much of a process's memory is not the script's: the two pages.
const ours = 2 * vmem.PageSize

// prepare sets what the script's processes inherit.
func (m *Machine) prepare() error {
	m.root = process{m.rig.Root, map[string]uint64{}}
	limits := script.Limits()
	if _, err := m.root.Syscall(tracee.SysGetrlimit, limitMemLock, tracee.Scratch); err != nil {
		return err
	}
	hard := binary.LittleEndian.Uint64(m.rig.Scratch()[8:])
	m.MayLock, m.hardLock = limits.MemLock, limits.MemLock+ours
	if m.root.Limit(limitMemLock, m.MayLock, m.hardLock) != nil { // the hard limit is lower
		m.MayLock, m.hardLock = min(limits.MemLock, hard), hard
		if err := m.root.Limit(limitMemLock, m.MayLock, hard); err != nil {
			return fmt.Errorf("limit what a process may lock: %w", err)
		}
	}
	if err := m.root.Limit(limitAS, limits.AS+ours, limits.AS+ours); err != nil {
		return fmt.Errorf("a process here may have less than %d bytes (ulimit -v): %w", limits.AS, err)
	}
	if _, err := m.root.Syscall(tracee.SysPrctl, setTHPDisable, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("switch huge pages off: %w", err)
	}
	m.root.Syscall(tracee.SysPrctl, setMemoryMerge, 0, 0, 0, 0) // before Linux 6.4 there is nothing to switch off
	return m.root.DropCapabilities()
}

// lowestAddress is vm.mmap_min_addr.
func lowestAddress() uint64 {
	b, err := os.ReadFile("/proc/sys/vm/mmap_min_addr")
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// process is a process of the script; it begins with its first step.
func (m *Machine) process(name string) (*process, error) {
	if p := m.processes[name]; p != nil {
		return p, nil
	}
	return m.fork(&m.root, name)
}

func (m *Machine) fork(parent *process, name string) (*process, error) {
	child, err := parent.Fork()
	if err != nil {
		return nil, err
	}
	p := &process{child, maps.Clone(parent.open)}
	m.processes[name] = p
	return p, nil
}

// MakeFile makes a file and has it written to the disk and leave memory, as far
// as the file system lets it: as the engine's files begin.
func (m *Machine) MakeFile(name string, content []byte) error {
	_, err := on(m, func() (any, error) {
		path := m.path(name)
		m.files[name] = file{path: path, mode: vmem.ReadWrite}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, err
		}
		fd, err := m.descriptor(&m.root, name)
		if err != nil {
			return nil, err
		}
		if _, err := m.root.Syscall(tracee.SysFsync, fd); err != nil {
			return nil, err
		}
		return nil, m.forget(fd, 0, 0)
	})
	return err
}

// path is where a file is.
func (m *Machine) path(name string) string { return filepath.Join(m.dir, name) }

// Path is how /proc/PID/maps shows the file that the engine calls so.
func (m *Machine) Path(name string) string {
	if _, ok := m.files[name]; ok {
		return m.path(name)
	}
	return name // shared anonymous memory
}

// FileOf is what the file's line calls it that is open under a name.
func (m *Machine) FileOf(name string) string { return filepath.Base(m.files[name].path) }

// Restart ends all processes and puts contents into the files, as a machine
// finds them that had its power cut.
func (m *Machine) Restart(contents map[string][]byte) error {
	_, err := on(m, func() (any, error) {
		for name, p := range m.processes {
			delete(m.processes, name)
			if err := p.Exit(); err != nil {
				return nil, err
			}
		}
		for name, fd := range m.root.open {
			delete(m.root.open, name)
			if _, err := m.root.Syscall(tracee.SysClose, fd); err != nil {
				return nil, err
			}
		}
		clear(m.files)
		return nil, nil
	})
	for name, content := range contents {
		err = errors.Join(err, m.MakeFile(name, content))
	}
	return err
}
