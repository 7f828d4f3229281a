package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	specVar       = "MMAP_TEST_SPEC"
	childPatience = 20 * time.Second
)

// A keeper is a child that holds something which must not outlive the test: a
// mount, a frozen file system. It obeys commands on its standard input and
// gives back what it holds at the end of that input, and when the test process is
// gone, whatever killed it. Unlike a Command's child it lives until
// its cleanup, so that the cleanups of what stands on it still find it.
type keeper struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
	end    sync.Once

	pipe struct {
		sync.Mutex
		enc *json.Encoder
		dec *json.Decoder
	}
}

// keep starts the child of this name and hands it spec.
func keep(t testing.TB, name string, spec any) *keeper {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{t: t}
	k.cmd = Child{Name: name, Env: []string{
		specVar + "=" + string(text),
		"GORACE=atexit_sleep_ms=0 " + os.Getenv("GORACE"), // or a build with -race waits a second for each
	}}.command(context.Background(), t)
	k.cmd.Stderr = &k.stderr
	k.stdin, err = k.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := k.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	k.pipe.enc, k.pipe.dec = json.NewEncoder(k.stdin), json.NewDecoder(stdout)
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	return k
}

// ask sends a command and waits for its answer; a nil command is none, and the
// answer is the child's first word. A child that is gone fails t.
func (k *keeper) ask(command, answer any) {
	k.t.Helper()
	k.pipe.Lock()
	defer k.pipe.Unlock()
	var err error
	if command != nil {
		err = k.pipe.enc.Encode(command)
	}
	if err == nil {
		err = k.pipe.dec.Decode(answer)
	}
	if err != nil {
		k.t.Errorf("the child of the rig does not answer: %v\n%s", err, k.stop())
	}
}

// close fails t if the child does not end well.
func (k *keeper) close() {
	if problem := k.stop(); problem != "" {
		k.t.Error(problem)
	}
}

// stop lets the child give back what it holds, and tells what went wrong.
func (k *keeper) stop() (problem string) {
	k.end.Do(func() {
		k.stdin.Close()
		kill := time.AfterFunc(childPatience, func() { k.cmd.Process.Kill() })
		defer kill.Stop()
		if err := k.cmd.Wait(); err != nil {
			problem = fmt.Sprintf("the child of the rig: %v\n%s", err, k.stderr.Bytes())
		}
	})
	return problem
}

// spec is the child's side of keep: it fills in what the test asked for.
func spec(v any) {
	if err := json.Unmarshal([]byte(os.Getenv(specVar)), v); err != nil {
		childFailed(err)
	}
}

// onceOrphaned lets a child give back what it holds and end when the test
// process is dying but its pipes stay open: a thread that waits in the kernel
// for just this child keeps them so. A dying process has SIGKILL pending, or a
// first thread that is a zombie.
func onceOrphaned(giveBack func()) {
	status := fmt.Sprintf("/proc/%d/status", os.Getppid())
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			if b, err := os.ReadFile(status); err != nil || dying(string(b)) {
				giveBack()
				os.Exit(0)
			}
		}
	}()
}

func dying(status string) bool {
	for line := range strings.Lines(status) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t"); key {
		case "State":
			if value[0] == 'Z' || value[0] == 'X' {
				return true
			}
		case "SigPnd", "ShdPnd":
			set, err := strconv.ParseUint(value, 16, 64)
			if err == nil && set&(1<<(syscall.SIGKILL-1)) != 0 {
				return true
			}
		}
	}
	return false
}

// say is the child's side of ask.
func say(answer any) {
	// The test may be gone; the end of the input will tell.
	json.NewEncoder(os.Stdout).Encode(answer)
}
