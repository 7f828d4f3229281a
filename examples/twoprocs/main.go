package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
)

const usage = `usage: twoprocs                 show both processes at work
       twoprocs -engine         the same with the mechanism of package vmem
       twoprocs write FILE      create FILE and store in it each line that is typed, up to Ctrl-D
       twoprocs read FILE       print each text that appears in FILE, until the writer ends

example, in two terminals:
  twoprocs write /tmp/board
  twoprocs read /tmp/board
`

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 0:
		err = demonstrate(os.Stdout)
	case len(args) == 1 && args[0] == "-engine":
		err = demonstrateOnEngine(os.Stdout)
	case len(args) == 2 && args[0] == "write":
		err = write(args[1], os.Stdin, os.Stdout)
	case len(args) == 2 && args[0] == "read":
		err = read(args[1], os.Stdout)
	case len(args) == 1 && (args[0] == "-h" || args[0] == "--help"):
		fmt.Print(usage)
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "twoprocs:", err)
		os.Exit(1)
	}
}

// texts are what A writes in a demonstration.
var texts = []string{"hello", "you see this as soon as I store it", "and nothing was sent"}

// demonstrate starts both processes, gives A one text after another, and waits
// for B to have seen each before it gives the next.
func demonstrate(stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "twoprocs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "board")

	a, err := start(ctx, "write", file)
	if err != nil {
		return err
	}
	defer a.kill()
	if err := a.relay(stdout); err != nil { // A has mapped the file
		return err
	}
	b, err := start(ctx, "read", file)
	if err != nil {
		return err
	}
	defer b.kill()
	for _, text := range texts {
		if _, err := fmt.Fprintln(a.in, text); err != nil {
			return err
		}
		if err := errors.Join(a.relay(stdout), b.relay(stdout)); err != nil {
			return err
		}
	}
	a.in.Close()
	return errors.Join(a.cmd.Wait(), b.cmd.Wait())
}

// A process is this program with other arguments.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(ctx context.Context, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		return nil, err
	}
	return &process{cmd, in, bufio.NewReader(out)}, nil
}

// relay passes on the next line that the process prints.
func (p *process) relay(w io.Writer) error {
	line, err := p.out.ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s printed no more: %w", p.cmd.Args[1], err)
	}
	_, err = io.WriteString(w, line)
	return err
}

// kill ends a process that a failed demonstration leaves behind. After Wait it
// does nothing.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
}
