package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/memwright/mmap"
)

// childEntry is the first argument by which a command starts this program again
// as one of its own helper processes.
const childEntry = "__child"

// children are the helper processes by name: each gets the rest of the
// arguments and returns an exit code.
var children = map[string]func(args []string) int{
	helperAnswer: reporting(answerInSharedFile),
	helperCount:  reporting(countWithParent),
	helperLock:   reporting(func([]string) (any, error) { return lockPastLimit() }),
	helperBare:   reporting(readBare),
	helperEcho:   reporting(func(args []string) (any, error) { return true, withCarrier(args, echo) }),
	helperSink:   reporting(func(args []string) (any, error) { return true, withCarrier(args, sink) }),
}

// runChild runs a helper process if args ask for one.
func runChild(args []string) (code int, ok bool) {
	if len(args) < 2 || args[0] != childEntry {
		return 0, false
	}
	child, ok := children[args[1]]
	if !ok {
		return 2, true
	}
	return child(args[2:]), true
}

// reporting makes a helper of a function: its result goes to standard output
// as JSON, its error to standard error.
func reporting(f func(args []string) (any, error)) func([]string) int {
	return func(args []string) int {
		report, err := f(args)
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(report)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}

// The helpers of the tour.
const (
	helperAnswer = "answer"          // FILE: answers a number stored in a shared mapping
	helperCount  = "count"           // counts in the memory behind descriptor 3
	helperLock   = "lock-past-limit" // locks more than it may
	helperBare   = "bare-read"       // FILE: reads a page that has gone, with no guard
)

// patience bounds every wait for another process.
const patience = 20 * time.Second

// A helper is a process that this one has started.
type helper struct {
	cmd      *exec.Cmd
	cancel   context.CancelFunc
	out, err bytes.Buffer
}

// startHelper starts this program again. files are its descriptors 3, 4, ...
func (s *stage) startHelper(name string, files []*os.File, args ...string) (*helper, error) {
	return s.startHelperAs(nil, name, files, args...)
}

func (s *stage) startHelperAs(attr *syscall.SysProcAttr, name string, files []*os.File, args ...string) (*helper, error) {
	program, err := executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	h := &helper{cmd: exec.CommandContext(ctx, program, append([]string{childEntry, name}, args...)...), cancel: cancel}
	h.cmd.Stdout, h.cmd.Stderr = &h.out, &h.err
	h.cmd.ExtraFiles = files
	h.cmd.SysProcAttr = attr
	if err := h.cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	s.helpers = append(s.helpers, h)
	return h, nil
}

// end makes sure that the process is gone, whatever its chapter came to.
func (h *helper) end() {
	h.cancel()
	h.cmd.Wait() // answers an error when that has been done already
}

// wait waits for the helper's end and decodes its report.
func (h *helper) wait(report any) error {
	if err := h.cmd.Wait(); err != nil {
		return fmt.Errorf("the other process: %w: %s", err, firstLine(h.err.String()))
	}
	return json.Unmarshal(h.out.Bytes(), report)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// executable is this program's file. The link in /proc works where the
// directory of the file may not be entered.
func executable() (string, error) {
	const link = "/proc/self/exe"
	if _, err := os.Stat(link); err == nil {
		return link, nil
	}
	return os.Executable()
}

// nobody is the user by whom root shows what others may not.
const nobody = 65534

// asNobody makes a process start as nobody. Not every system has users by
// number, and there the field does not exist.
func asNobody() (*syscall.SysProcAttr, error) {
	attr := new(syscall.SysProcAttr)
	field := reflect.ValueOf(attr).Elem().FieldByName("Credential")
	if !field.IsValid() {
		return nil, errors.ErrUnsupported
	}
	credential := reflect.New(field.Type().Elem())
	credential.Elem().FieldByName("Uid").SetUint(nobody)
	credential.Elem().FieldByName("Gid").SetUint(nobody)
	field.Set(credential)
	return attr, nil
}

// waitWhile waits until word is no longer the value, and reports whether that
// came to pass.
func waitWhile(word *uint64, value uint64) bool {
	deadline := time.Now().Add(patience)
	for spins := 0; atomic.LoadUint64(word) == value; spins++ {
		if spins < 1000 {
			runtime.Gosched()
			continue
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(50 * time.Microsecond)
	}
	return true
}

// The words of a conversation in shared memory.
const (
	wordQuestion = iota
	wordAnswer
	wordSeen
	answerWords
)

type answerReport struct {
	Pid          int
	Saw          uint64
	Acknowledged bool // this process was still running when its answer was seen
	Frame        uint64
}

// answerInSharedFile maps a file that another process maps, and answers what that stores.
func answerInSharedFile(args []string) (any, error) {
	m, err := mmap.OpenFile(args[0], mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	words, err := mmap.Slice[uint64](m, 0, answerWords)
	if err != nil {
		return nil, err
	}
	waitWhile(&words[wordQuestion], 0)
	r := answerReport{Pid: os.Getpid(), Saw: atomic.LoadUint64(&words[wordQuestion])}
	atomic.StoreUint64(&words[wordAnswer], r.Saw+1)
	r.Acknowledged = waitWhile(&words[wordSeen], 0)
	r.Frame = frameAt(m)
	return r, nil
}

// frameAt is the frame of a mapping's first page, 0 where it is hidden.
func frameAt(m *mmap.Mapping) uint64 {
	e, err := pageEntryOf(m.Addr())
	if err != nil {
		return 0
	}
	return e.frame()
}

// countTo is where parent and child count to.
const countTo = 100

type countReport struct {
	Pid   int
	Steps int
	Frame uint64
}

// countWithParent maps the memory that the parent has handed over, and takes its turns.
func countWithParent([]string) (any, error) {
	f := os.NewFile(3, "memory of the parent")
	m, err := mmap.Map(f, mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	words, err := mmap.Slice[uint64](m, 0, 1)
	if err != nil {
		return nil, err
	}
	return countReport{os.Getpid(), countTurns(&words[0], 1), frameAt(m)}, f.Close()
}

// countTurns adds one whenever the number is even (turn 0) or odd (turn 1),
// until it is countTo, and tells how often it did.
func countTurns(word *uint64, turn uint64) (steps int) {
	for {
		n := atomic.LoadUint64(word)
		switch {
		case n >= countTo:
			return steps
		case n%2 == turn:
			atomic.AddUint64(word, 1)
			steps++
		case !waitWhile(word, n):
			return steps
		}
	}
}

// A lockReport is how an attempt to lock more than RLIMIT_MEMLOCK ended.
type lockReport struct {
	User    int
	Limit   int64
	Asked   int
	Refused bool   // with an error that names the limit
	Said    string // the error
}

// lockPastLimit locks a page more than it may. The kernel compares first, so
// that no memory is used.
func lockPastLimit() (r lockReport, err error) {
	r.User = os.Geteuid()
	if r.Limit, err = memlockLimit(); err != nil {
		return r, err
	}
	if r.Limit == unlimited {
		return r, errors.New("this process may lock without limit")
	}
	r.Asked = int(r.Limit) + os.Getpagesize()
	m, err := mmap.Anonymous(r.Asked, mmap.Options{NoReserve: true})
	if err != nil {
		return r, err
	}
	defer m.Close()
	err = m.Lock(0, m.Len(), mmap.LockNow)
	if err == nil {
		return r, nil
	}
	var limit *mmap.LimitError
	r.Refused = errors.As(err, &limit) && limit.Limit == "RLIMIT_MEMLOCK"
	r.Said = err.Error()
	return r, nil
}

// readBare maps a file, says so on descriptor 3, waits until the file is
// shorter, and loads the last byte of the mapping through a bare slice. That
// kills the process.
func readBare(args []string) (any, error) {
	m, err := mmap.Open(args[0])
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if _, err := os.NewFile(3, "signal").Write([]byte{1}); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		info, err := os.Stat(args[0])
		if err != nil {
			return nil, err
		}
		if info.Size() < int64(m.Len()) {
			return m.Bytes()[m.Len()-1], nil
		}
	}
	return nil, errors.New("the file was not truncated")
}
