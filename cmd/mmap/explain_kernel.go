package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/raw"
	"github.com/memwright/mmap/vmem"
)

// A stepVerdict is how a step went on the kernel beside the engine.
type stepVerdict string

const (
	stepAgrees   stepVerdict = "agrees"
	stepDiffers  stepVerdict = "differs"
	stepNotShown stepVerdict = "not-shown"
)

// An agreement is the verdict, and why it is not "agrees".
type agreement struct {
	Verdict stepVerdict `json:"verdict"`
	Reason  string      `json:"reason,omitempty"`
}

// A kernelRun runs a script's steps on the kernel, each after the engine did
// it: a process of this program for each process of the script, files in a
// directory of their own. Areas go where the engine put them, by
// MAP_FIXED_NOREPLACE. Once the two have gone different ways, or a step can't be
// done here that later ones build on, nothing more is shown.
type kernelRun struct {
	*console
	ctx       context.Context
	dir       string
	processes map[string]*scriptChild
	opened    map[string]kernelCall // how each file is opened
	answer    script.Outcome        // of the last call
	asked     bool                  // the step was a call
	over      string                // why nothing more is shown; "": all is well
}

// A scriptChild is a process of the script.
type scriptChild struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	to     *json.Encoder
	from   *json.Decoder
	areas  []kernelCall // what made its areas, for a witness
	stderr bytes.Buffer
}

// newKernelRun tells in an error why this system's kernel can't be asked.
func newKernelRun(ctx context.Context, c *console) (*kernelRun, error) {
	const numbers = raw.MAP_PRIVATE | raw.MAP_ANONYMOUS | raw.MAP_FIXED_NOREPLACE
	switch want := vmem.MapPrivate | vmem.MapAnonymous | vmem.MapFixedNoReplace; {
	case runtime.GOOS != "linux":
		return nil, fmt.Errorf("the engine does what Linux does, and this is %s", runtime.GOOS)
	case numbers != raw.Flag(want) || strconv.IntSize != 64 || os.Getpagesize() != vmem.PageSize:
		return nil, fmt.Errorf("the engine does what Linux does on amd64, with pages of %d bytes, and this is %s with %d",
			vmem.PageSize, runtime.GOARCH, os.Getpagesize())
	}
	dir, err := makeSampleDir(sampleDirs())
	if err != nil {
		return nil, err
	}
	return &kernelRun{console: c, ctx: ctx, dir: dir, processes: map[string]*scriptChild{}, opened: map[string]kernelCall{}}, nil
}

// end ends the processes and removes the files.
func (k *kernelRun) end() {
	for _, p := range k.processes {
		p.end()
	}
	os.RemoveAll(k.dir)
}

func (p *scriptChild) end() {
	p.in.Close()
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// start starts a process of the script.
func (k *kernelRun) start() (*scriptChild, error) {
	program, err := executable()
	if err != nil {
		return nil, err
	}
	p := &scriptChild{cmd: exec.CommandContext(k.ctx, program, childEntry, helperScript)}
	p.cmd.Stderr = &p.stderr
	in, errIn := p.cmd.StdinPipe()
	out, errOut := p.cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, p.cmd.Start()); err != nil {
		return nil, err
	}
	p.in, p.to, p.from = in, json.NewEncoder(in), json.NewDecoder(out)
	return p, nil
}

// ask has a process do a call.
func (p *scriptChild) ask(c kernelCall) (a kernelAnswer, err error) {
	if err := p.to.Encode(c); err != nil {
		return a, err
	}
	if err := p.from.Decode(&a); err != nil {
		p.end() // now all of its words are here
		return a, fmt.Errorf("the process ended: %s", firstLine(p.stderr.String()))
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// step does on the kernel what the engine has done, and compares.
func (k *kernelRun) step(m *script.Moment) agreement {
	if k.over != "" {
		return agreement{stepNotShown, k.over}
	}
	k.asked = false
	why, err := k.try(m)
	if err == nil && why == "" {
		why, err = k.compare(m)
		if why != "" {
			k.over = k.say("engine and kernel have gone different ways", "引擎与内核已走上不同的路")
			return agreement{stepDiffers, why}
		}
	}
	switch {
	case err != nil:
		k.over = k.say("it can't be done here: ", "在此无法进行：") + err.Error()
		return agreement{stepNotShown, k.over}
	case why != "":
		return agreement{stepNotShown, why}
	}
	return agreement{Verdict: stepAgrees}
}

// nothingMore ends the showing.
func (k *kernelRun) nothingMore(en, zh string) (string, error) {
	k.over = k.say(en, zh)
	return k.over, nil
}

// try does the step. notShown is why it can't be shown.
func (k *kernelRun) try(m *script.Moment) (notShown string, err error) {
	switch m.Call {
	case "file":
		return "", k.makeFile(m)
	case "powercut":
		return k.nothingMore("no power can be cut here", "这里不能断电")
	case "fork":
		return k.nothingMore("a Go program can't fork", "Go 程序不能 fork")
	case "mlockall", "munlockall":
		return k.nothingMore("it would lock a Go program's own memory too", "它会连 Go 程序自己的内存一起锁定")
	case "exit":
		if p := k.processes[m.Args[0].Name]; p != nil {
			p.end()
			delete(k.processes, m.Args[0].Name)
		}
		return "", nil
	case "evict", "writeback":
		return k.say("the kernel does this when it likes", "内核自行决定何时这样做"), nil
	case "mincore":
		return k.say("what is in memory is the kernel's choice", "哪些页在内存里由内核决定"), nil
	}
	if m.Outcome.Kind == script.Impaired {
		return k.nothingMore("the kernel's memory is not full", "内核的内存并没有满")
	}
	c := k.call(m)
	if !c.inWindow() {
		return k.nothingMore("it is beside the addresses that are watched here", "它在此处观察的地址之外")
	}
	p := k.processes[m.Process]
	if p == nil {
		if p, err = k.start(); err != nil {
			return "", err
		}
		k.processes[m.Process] = p
	}
	return "", k.ask(p, c)
}

// makeFile makes a file as its line says.
func (k *kernelRun) makeFile(m *script.Moment) error {
	name := m.Args[0].Name
	content := make([]byte, m.Args[0].Num)
	for _, text := range m.Args[1:] {
		copy(content[text.Num:], text.Text)
	}
	path := filepath.Join(k.dir, name)
	k.opened[name] = kernelCall{File: name, Path: path, Mode: os.O_RDWR}
	return os.WriteFile(path, content, 0o600)
}

// ask has a process do a call, and others forget a file that it closes.
func (k *kernelRun) ask(p *scriptChild, c kernelCall) error {
	a, err := p.ask(c)
	if err != nil {
		return err
	}
	k.asked = true
	k.answer = script.Outcome{Kind: a.Kind, Value: a.Value, Addr: vmem.Addr(a.Addr), Bytes: a.Bytes, Errno: vmem.Errno(a.Errno)}
	switch c.Call {
	case "load", "store":
		if a.Kind == script.Faulted {
			k.answer, err = k.witness(p, c)
		}
	case "mmap", "munmap", "mprotect", "mremap":
		p.areas = append(p.areas, c)
	case "close":
		for _, other := range k.processes {
			if other != p {
				if _, err := other.ask(c); err != nil {
					return err
				}
			}
		}
		closed := k.opened[c.File]
		closed.Path = ""
		k.opened[c.File] = closed
	}
	return err
}

// call is what a process of the kernel is to do: the step, at the address that
// the engine gave.
func (k *kernelRun) call(m *script.Moment) kernelCall {
	num := func(i int) int64 { return m.Args[i].Num }
	c := kernelCall{Call: m.Call, Addr: uint64(m.At)}
	switch m.Call {
	case "load":
		c.N = num(1)
	case "store":
		c.Text = []byte(m.Args[1].Text)
		c.N = int64(len(c.Text))
	case "mmap":
		c = k.named(c, m.Args[4].Name)
		c.N, c.Prot, c.Flags, c.Off = num(1), num(2), num(3), num(5)
		if m.Outcome.Kind == script.Address && vmem.MapFlags(c.Flags)&(vmem.MapFixed|vmem.MapFixedNoReplace) == 0 {
			c.Addr = uint64(m.Outcome.Addr)
			c.Flags |= int64(vmem.MapFixedNoReplace)
		}
	case "mremap":
		c.N, c.M, c.Flags, c.To = num(1), num(2), num(3), uint64(m.To)
		moves := vmem.RemapFlags(c.Flags)&vmem.RemapFixed == 0 && m.Outcome.Kind == script.Address && m.Outcome.Addr != m.At
		if moves {
			c.Flags |= int64(vmem.RemapFixed)
			c.To = uint64(m.Outcome.Addr)
		}
	case "open":
		c = k.named(c, m.Args[0].Name)
		c.File, c.Mode = m.Result, map[vmem.Mode]int{vmem.ReadOnly: os.O_RDONLY, vmem.WriteOnly: os.O_WRONLY, vmem.ReadWrite: os.O_RDWR}[vmem.Mode(num(1))]
		k.opened[m.Result] = kernelCall{File: c.File, Path: c.Path, Mode: c.Mode}
	case "close", "fsync":
		c = k.named(c, m.Args[0].Name)
	case "truncate":
		c = k.named(c, m.Args[0].Name)
		c.N = num(1)
	case "pread", "pwrite":
		c = k.named(c, m.Args[0].Name)
		c.N, c.Off = num(2), num(3)
	case "mlock", "munlock", "munmap":
		c.N = num(1)
	case "mprotect":
		c.N, c.Prot = num(1), num(2)
	default: // msync, madvise, mlock2
		c.N, c.Flags = num(1), num(2)
	}
	return c
}

// named adds the file that a call is about.
func (k *kernelRun) named(c kernelCall, name string) kernelCall {
	f := k.opened[name]
	c.File, c.Path, c.Mode = f.File, f.Path, f.Mode
	return c
}

// inWindow tells whether a call stays where nothing else is. What is refused for
// its arguments alone may be anywhere.
func (c kernelCall) inWindow() bool {
	switch c.Call {
	case "open", "close", "fsync", "truncate":
		return true
	}
	in := func(at uint64, n int64) bool {
		return at >= windowStart && at <= windowEnd && n >= 0 && uint64(n) <= windowEnd-at
	}
	switch {
	case c.Call == "pread" || c.Call == "pwrite":
		return c.Off >= 0 && in(c.Addr, c.N)
	case c.Call == "mmap" && c.Addr == 0, c.Addr%vmem.PageSize != 0 && c.Call != "load" && c.Call != "store":
		return true // it will be refused, since the engine refused it
	}
	return in(c.Addr, max(c.N, c.M)) && (c.To == 0 || in(c.To, c.M))
}

// lastWords is what the runtime says of a signal that kills a Go program.
var lastWords = regexp.MustCompile(`\[signal (SIG[A-Z]+): .*code=(0x[0-9a-f]+) addr=(0x[0-9a-f]+)`)

// witness has an access done by a process that has the same areas and no guard:
// the signal kills it, and it says which it was.
func (k *kernelRun) witness(p *scriptChild, c kernelCall) (o script.Outcome, err error) {
	w, err := k.start()
	if err != nil {
		return o, err
	}
	defer w.end()
	c.Naked, c.Replay = true, p.areas
	if _, err := w.ask(c); err == nil {
		return o, errors.New("an access that had faulted went through in another process")
	}
	words := lastWords.FindStringSubmatch(w.stderr.String())
	if words == nil {
		return o, fmt.Errorf("a process ended without a signal: %s", firstLine(w.stderr.String()))
	}
	code, _ := strconv.ParseUint(words[2], 0, 8)
	addr, err := strconv.ParseUint(words[3], 0, 64)
	o = script.Outcome{Kind: script.Faulted, Signal: vmem.SIGSEGV, Code: vmem.Code(code), Addr: vmem.Addr(addr)}
	if words[1] == "SIGBUS" {
		o.Signal = vmem.SIGBUS
	}
	return o, err
}

// compare tells what differs after a step: what it came to, the areas of every
// process, what is locked, the bytes in pages that the engine has an entry for,
// and the files.
func (k *kernelRun) compare(m *script.Moment) (differs string, err error) {
	d := describer{k.console, m.State}
	if k.asked && !sameOutcome(m.Outcome, k.answer) {
		of := *m
		of.Outcome = k.answer
		return fmt.Sprintf(k.say("the kernel answered %s", "内核的回答是 %s"), cmp.Or(d.outcome(&of), string(k.answer.Kind))), nil
	}
	for _, p := range m.State.Processes {
		if child := k.processes[p.Name]; child != nil {
			if differs, err = k.compareProcess(d, p, child); differs != "" || err != nil {
				return differs, err
			}
		}
	}
	for _, f := range m.State.Files {
		content, err := os.ReadFile(filepath.Join(k.dir, f.Name))
		if err != nil {
			return "", err
		}
		if int64(len(content)) != f.Size {
			return fmt.Sprintf(k.say("%s has %s on the kernel", "内核上 %s 有 %s"), f.Name, k.bytes(int64(len(content)))), nil
		}
		for i, p := range f.Pages[:min(len(f.Pages), (len(content)+vmem.PageSize-1)/vmem.PageSize)] {
			from := i * vmem.PageSize
			if got := script.ContentOf(content[from:min(from+vmem.PageSize, len(content))]); got != p.Read {
				return fmt.Sprintf(k.say("page %d of %s is %s on the kernel", "内核上 %[2]s 第 %[1]d 页是 %[3]s"), i, f.Name, d.content(got, 40)), nil
			}
		}
	}
	return "", nil
}

// sameOutcome compares what can be: the engine's answer, and the kernel's.
func sameOutcome(a, b script.Outcome) bool {
	return a.Kind == b.Kind && a.Value == b.Value && a.Addr == b.Addr && bytes.Equal(a.Bytes, b.Bytes) &&
		a.Errno == b.Errno && a.Signal == b.Signal && a.Code == b.Code
}

// mostCompared is how many pages of a process are compared after a step.
const mostCompared = 256

func (k *kernelRun) compareProcess(d describer, p script.Process, child *scriptChild) (differs string, err error) {
	look := kernelCall{Call: "look"}
	var want []script.Page
	var areas []string
	for _, a := range p.Areas {
		if uint64(a.Start) < windowStart || uint64(a.End) > windowEnd {
			continue
		}
		path := a.File
		if f, ok := k.opened[path]; ok {
			path = filepath.Join(k.dir, f.File)
		}
		areas = append(areas, kernelArea{uint64(a.Start), uint64(a.End), perms(a), a.Offset, path}.String())
		for _, page := range a.Pages {
			if len(want) < mostCompared && comparable(a, page) {
				want = append(want, page)
				look.Pages = append(look.Pages, uint64(page.Addr))
			}
		}
	}
	got, err := child.ask(look)
	if err != nil {
		return "", err
	}
	var there []string
	for _, a := range got.Areas {
		there = append(there, a.String())
	}
	if !slices.Equal(areas, there) {
		return fmt.Sprintf(k.say("the areas of %s are %s on the kernel", "内核上 %s 的区域是 %s"), p.Name, strings.Join(there, "; ")), nil
	}
	if uint64(got.Locked) != p.Locked {
		return fmt.Sprintf(k.say("%s has %s locked on the kernel", "内核上 %s 锁定了 %s"), p.Name, k.bytes(got.Locked)), nil
	}
	for i, c := range got.Pages {
		if c == nil {
			return fmt.Sprintf(k.say("%s can't be read on the kernel", "内核上读不到 %s"), d.where(p.Name, want[i].Addr)), nil
		}
		if *c != want[i].Content {
			return fmt.Sprintf(k.say("%s is %s on the kernel", "内核上 %s 是 %s"), d.where(p.Name, want[i].Addr), d.content(*c, 40)), nil
		}
	}
	return "", nil
}

// comparable tells whether the bytes of a page are determined, and can be read:
// those of a file's last page that lie behind its end are not.
func comparable(a script.Area, p script.Page) bool {
	if a.Prot&(vmem.ProtRead|vmem.ProtWrite) == 0 || p.Entry.Bits&vmem.Present == 0 {
		return false
	}
	end := a.Offset + int64(p.Addr-a.Start) + vmem.PageSize
	return a.Object == nil || p.Entry.Bits&vmem.Private != 0 || end <= a.Object.Size()
}

func (a kernelArea) String() string {
	return strings.TrimSpace(fmt.Sprintf("%x-%x %s %x %s", a.Start, a.End, a.Perms, a.Offset, a.Path))
}
