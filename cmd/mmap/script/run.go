package script

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/memwright/mmap/vmem"
)

// Run runs the script on the engine and yields each step as soon as it is done.
// An error ends it: a line that can't be done at all, as a load from an address
// that mmap has not given. What a call or an access is refused is no error, but
// the step's outcome.
func (s *Script) Run() iter.Seq2[*Moment, error] {
	return func(yield func(*Moment, error) bool) {
		w := &world{script: s, totals: Totals{map[vmem.EventKind]int{}, map[vmem.EventKind]int64{}}}
		w.begin()
		for _, step := range s.Steps {
			w.moment = &Moment{Step: step}
			if err := w.do(step); err != nil {
				yield(nil, &Error{Name: s.Name, Line: step.Line, Text: err.Error()})
				return
			}
			w.moment.State = w.look()
			if !yield(w.moment, nil) {
				return
			}
		}
	}
}

// A world is the machine that a script runs on, and what its names stand for.
type world struct {
	script    *Script
	machine   *vmem.Machine
	processes []*process
	files     []*file
	open      map[string]*vmem.File
	addresses []Name
	moment    *Moment
	totals    Totals
}

type process struct {
	name string
	*vmem.Process
}

// A file is a disk and, while the power is on, an object in the machine.
type file struct {
	name   string
	disk   *disk
	object *vmem.Object
}

// mostAddresses is how many bytes the areas of a process may have.
const mostAddresses = 1 << 30

// Limits are those of a script's processes.
func Limits() vmem.Limits {
	l := vmem.New(vmem.Config{}).Spawn().Limits // as Linux starts one
	l.AS = mostAddresses
	return l
}

// mostVersions is how many versions of a page a power cut may find.
const mostVersions = 8

// begin switches the machine on: at first, and after a power cut.
func (w *world) begin() {
	w.machine = vmem.New(w.script.Config)
	w.machine.Trace = w.trace
	w.processes, w.addresses, w.open = nil, nil, map[string]*vmem.File{}
	for _, f := range w.files {
		w.bringIn(f)
	}
}

// bringIn makes a disk an object of the machine, opened under the file's name.
func (w *world) bringIn(f *file) {
	f.object, _ = w.machine.Open(f.name, f.disk) // a disk has a size
	f.object.SetMaxSize(mostBytes)
	f.object.Record(mostVersions)
	w.open[f.name], _ = f.object.Open(vmem.ReadWrite) // and can be written
}

// do does a step. The outcome stands in the moment.
func (w *world) do(s Step) error {
	if s.Process == "" {
		return w.settle(w.outside(s))
	}
	p := w.process(s.Process)
	if p == nil {
		p = &process{s.Process, w.machine.Spawn()}
		p.Limits = Limits()
		w.processes = append(w.processes, p)
	}
	switch s.Call {
	case "load", "store":
		return w.access(p, s)
	case "open", "close", "fsync", "truncate", "pread", "pwrite":
		return w.settle(w.fileCall(p, s))
	}
	return w.settle(w.memoryCall(p, s))
}

// settle turns a refusal into the step's outcome; other errors are the script's.
func (w *world) settle(o Outcome, err error) error {
	var refused vmem.Errno
	switch {
	case errors.As(err, &refused):
		o = Outcome{Kind: Refused, Errno: refused}
	case err != nil:
		return err
	}
	w.moment.Outcome = o
	return nil
}

var done = Outcome{Kind: Done}

func (w *world) process(name string) *process {
	for _, p := range w.processes {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (w *world) file(name string) *file {
	o := w.open[name]
	for _, f := range w.files {
		if o != nil && f.object == o.Object() {
			return f
		}
	}
	return nil
}

// address is what an argument stands for.
func (w *world) address(a Arg) (vmem.Addr, error) {
	if a.Name == "" {
		return vmem.Addr(a.Num), nil
	}
	known := func(n Name) bool { return n.Name == a.Name && n.Process == w.moment.Process }
	i := slices.IndexFunc(w.addresses, known)
	if i < 0 { // it is another process's
		i = slices.IndexFunc(w.addresses, func(n Name) bool { return n.Name == a.Name })
	}
	if i >= 0 {
		return w.addresses[i].Addr + vmem.Addr(a.Num), nil
	}
	return 0, fmt.Errorf("%s has no address: the call that names it was refused, or a power cut came after it", a.Name)
}

// given names the address that a call returned.
func (w *world) given(name string, a vmem.Addr, err error) (Outcome, error) {
	who := w.moment.Process
	w.addresses = slices.DeleteFunc(w.addresses, func(n Name) bool { return n.Name == name && n.Process == who })
	if err != nil {
		return done, err
	}
	if name != "" {
		w.addresses = append(w.addresses, Name{name, who, a})
	}
	return Outcome{Kind: Address, Addr: a}, nil
}

// outside does what no process does.
func (w *world) outside(s Step) (Outcome, error) {
	switch s.Call {
	case "file":
		content := make([]byte, s.Args[0].Num)
		for _, text := range s.Args[1:] {
			copy(content[text.Num:], text.Text)
		}
		f := &file{name: s.Args[0].Name, disk: newDisk(content)}
		w.files = append(w.files, f)
		w.bringIn(f)
		return done, nil
	case "powercut":
		return done, w.cut()
	case "fork":
		parent := w.process(s.Args[0].Name)
		if parent == nil {
			return done, fmt.Errorf("there is no process %s any more", s.Args[0].Name)
		}
		w.processes = append(w.processes, &process{s.Result, parent.Fork()})
		for _, n := range slices.Clone(w.addresses) {
			if n.Process == parent.name {
				w.addresses = append(w.addresses, Name{n.Name, s.Result, n.Addr})
			}
		}
		return done, nil
	case "exit":
		p := w.process(s.Args[0].Name)
		if p == nil {
			return done, fmt.Errorf("there is no process %s any more", s.Args[0].Name)
		}
		p.Exit()
		w.processes = slices.DeleteFunc(w.processes, func(q *process) bool { return q == p })
		return done, nil
	}
	f := w.file(s.Args[0].Name)
	if f == nil {
		return done, fmt.Errorf("%s is not open", s.Args[0].Name)
	}
	if s.Call == "evict" {
		err := w.machine.Evict(f.object, uint64(s.Args[1].Num))
		if errors.Is(err, vmem.ErrChoice) {
			err = fmt.Errorf("page %d of %s can't leave memory: it is not there, or locked", s.Args[1].Num, f.name)
		}
		return done, err
	}
	w.machine.WriteBack(f.object, 0, ^uint64(0))
	return done, nil
}

// access loads or stores, as a process does that goes on after a signal.
func (w *world) access(p *process, s Step) error {
	a, err := w.address(s.Args[0])
	if err != nil {
		return err
	}
	w.moment.At = a
	o := Outcome{Kind: Done}
	if s.Call == "load" {
		b := make([]byte, s.Args[1].Num)
		_, err = p.ReadAt(b, int64(a))
		o = Outcome{Kind: Loaded, Bytes: b}
	} else {
		_, err = p.WriteAt([]byte(s.Args[1].Text), int64(a))
	}
	var fault *vmem.Fault
	switch {
	case errors.As(err, &fault):
		o = Outcome{Kind: Faulted, Signal: fault.Signal, Code: fault.Code, Addr: fault.Addr}
	case err != nil:
		o = Outcome{Kind: Impaired}
	}
	w.moment.Outcome = o
	return nil
}

// memoryCall does a call about a process's memory.
func (w *world) memoryCall(p *process, s Step) (Outcome, error) {
	var a vmem.Addr
	var n uint64
	if params := forms[s.Call].params; len(params) > 1 && params[0] == address {
		var err error
		if a, err = w.address(s.Args[0]); err != nil {
			return done, err
		}
		n = uint64(s.Args[1].Num)
		w.moment.At = a
	}
	num := func(i int) int64 { return s.Args[i].Num }
	switch s.Call {
	case "mmap":
		got, err := p.Mmap(a, n, vmem.Prot(num(2)), vmem.MapFlags(num(3)), w.open[s.Args[4].Name], num(5))
		return w.given(s.Result, got, err)
	case "mremap":
		to, err := w.address(s.Args[4])
		if err != nil {
			return done, err
		}
		w.moment.To = to
		got, err := p.Mremap(a, n, uint64(num(2)), vmem.RemapFlags(num(3)), to)
		return w.given(s.Result, got, err)
	case "mincore":
		vec := make([]byte, min(n/vmem.PageSize+(n%vmem.PageSize+vmem.PageSize-1)/vmem.PageSize, mostAddresses/vmem.PageSize))
		err := p.Mincore(a, n, vec)
		return Outcome{Kind: Loaded, Bytes: vec}, err
	case "munmap":
		return done, p.Munmap(a, n)
	case "mprotect":
		return done, p.Mprotect(a, n, vmem.Prot(num(2)))
	case "msync":
		return done, p.Msync(a, n, vmem.SyncFlags(num(2)))
	case "madvise":
		return done, p.Madvise(a, n, vmem.Advice(num(2)))
	case "mlock":
		return done, p.Mlock(a, n)
	case "mlock2":
		return done, p.Mlock2(a, n, vmem.LockFlags(num(2)))
	case "munlock":
		return done, p.Munlock(a, n)
	case "mlockall":
		return done, p.Mlockall(vmem.LockAllFlags(num(0)))
	}
	return done, p.Munlockall()
}

// fileCall does a call about a file.
func (w *world) fileCall(p *process, s Step) (Outcome, error) {
	f := w.open[s.Args[0].Name]
	switch s.Call {
	case "open":
		on := w.file(s.Args[0].Name)
		if on == nil {
			return done, fmt.Errorf("%s is not open", s.Args[0].Name)
		}
		again, err := on.object.Open(vmem.Mode(s.Args[1].Num))
		w.open[s.Result] = again
		return done, err
	case "close":
		return done, f.Close()
	case "fsync":
		return done, f.Sync()
	case "truncate":
		return done, f.Truncate(s.Args[1].Num)
	}
	buf, err := w.address(s.Args[1])
	if err != nil {
		return done, err
	}
	w.moment.At = buf
	move := p.Read
	if s.Call == "pwrite" {
		move = p.Write
	}
	n, err := move(f, buf, uint64(s.Args[2].Num), s.Args[3].Num)
	return Outcome{Kind: Number, Value: int64(n)}, err
}

// cut is a power cut: memory is gone, and of each page the disk has one of the
// versions that it may have. The script goes on with the oldest.
func (w *world) cut() error {
	w.moment.Disks = map[string][]byte{}
	for _, f := range w.files {
		left := map[uint64][]Content{}
		var oldest []byte
		for im := range f.object.Crashes(vmem.CrashOptions{}) {
			size, _ := im.Size()
			content := make([]byte, size)
			if _, err := im.ReadAt(content, 0); err != nil && err != io.EOF {
				return err
			}
			if oldest == nil {
				oldest = content
			}
			for i := uint64(0); i*vmem.PageSize < uint64(size); i++ {
				c := ContentOf(pageOf(content, i))
				if !slices.Contains(left[i], c) {
					left[i] = append(left[i], c)
				}
			}
		}
		for i := uint64(0); i*vmem.PageSize < uint64(max(len(oldest), int(f.object.Size()))); i++ {
			if len(left[i]) > 1 {
				w.moment.Crash = append(w.moment.Crash, Left{f.name, i, left[i]})
			}
		}
		f.disk = newDisk(oldest)
		w.moment.Disks[f.name] = oldest
	}
	w.begin()
	return nil
}

// trace keeps an event of the step and counts it.
func (w *world) trace(e vmem.Event) {
	ev := Event{Kind: e.Kind, Addr: e.Addr, Off: e.Off, N: e.N, Frame: e.Frame, From: e.From}
	if e.Process != nil {
		for _, p := range w.processes {
			if p.Process == e.Process {
				ev.Process = p.name
			}
		}
	}
	if e.Object != nil {
		ev.File = e.Object.Name()
	}
	w.moment.Events = append(w.moment.Events, ev)
	w.totals.Events[e.Kind]++
	w.totals.Bytes[e.Kind] += int64(e.N)
}
