package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/memwright/mmap/shm/shmnet"
)

// A transport is a way for two processes to talk.
type transport struct {
	name   string
	listen func(address string) (net.Listener, error)
	dial   func(ctx context.Context, address string) (net.Conn, error)
}

var transports = []transport{
	{"Unix socket",
		func(address string) (net.Listener, error) { return net.Listen("unix", address) },
		func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", address)
		}},
	{"this module: shmnet", shmnet.Listen, shmnet.DialContext},
	// Last: see pairs.
	{"this module: shmnet, 256 KiB of buffer", shmnet.Listen, shmnet.Options{Buffer: 256 << 10}.DialContext},
}

// defaultBuffer is how much of a message fits into a connection of shmnet.
const defaultBuffer = 64 << 10

// A load is what a client process does against a server process, and where.
type load struct {
	Transport int           // of transports
	Client    string        // of clients
	Server    string        // of servers
	Address   string        // filled in by run
	Pid       int           // the server's, filled in by run
	Bytes     int           // of a message
	Messages  int           // how many
	Work      time.Duration // between an answer and the next request, by the client
	Every     time.Duration // if not 0, a request starts each
	Conns     int           // how many connections there are
	OneCPU    bool          // both processes on CPU 0, as they find it when they start
	Procs     int           // GOMAXPROCS of both, if not 0
	Collect   time.Duration // if not 0, both collect garbage each
}

// pairArg is the first argument of a process that is a server or a client, before
// its role and its load.
const pairArg = "one-of-a-pair"

// What a server and a client process do. A client answers its figures.
var (
	servers = map[string]func(l load) error{}
	clients = map[string]func(l load) ([]float64, error){}
)

// play is main for the processes of a pair.
func play(args []string) error {
	var l load
	if err := json.Unmarshal([]byte(args[1]), &l); err != nil {
		return err
	}
	if l.OneCPU {
		if err := onOneCPU(); err != nil {
			return err
		}
	}
	l.prepare()
	switch args[0] {
	case "hog":
		for {
		}
	case "server":
		return servers[l.Server](l)
	}
	figures, err := clients[l.Client](l)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(figures)
}

// start starts a process of a pair and waits for its first line.
func (l load) start(role string) (*exec.Cmd, *bufio.Reader, io.Closer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, nil, err
	}
	text, err := json.Marshal(l)
	if err != nil {
		return nil, nil, nil, err
	}
	cmd := exec.Command(self, pairArg, role, string(text))
	cmd.Stderr = os.Stderr
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		return nil, nil, nil, err
	}
	return cmd, bufio.NewReader(out), in, nil
}

// run runs a server and a client, and answers what the client has measured.
func (l load) run() (figures []float64, err error) {
	l.Address = "@mmap-bench-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	server, said, stop, err := l.start("server")
	if err != nil {
		return nil, err
	}
	defer func() {
		stop.Close()
		if e := server.Wait(); err == nil {
			err = e
		}
	}()
	if line, err := said.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the server says %q: %w", line, err)
	}
	l.Pid = server.Process.Pid
	client, told, end, err := l.start("client")
	if err != nil {
		return nil, err
	}
	defer end.Close()
	line, err := told.ReadString('\n')
	if err = errors.Join(err, client.Wait()); err != nil {
		return nil, err
	}
	return figures, json.Unmarshal([]byte(strings.TrimSpace(line)), &figures)
}

// beside runs n pairs at once, beside a process that does nothing but run, and
// answers the worst of each figure.
func (l load) beside(n int) ([]float64, error) {
	hog, _, _, err := l.start("hog")
	if err != nil {
		return nil, err
	}
	defer func() { hog.Process.Kill(); hog.Wait() }()
	type outcome struct {
		figures []float64
		err     error
	}
	outcomes := make(chan outcome)
	for range n {
		go func() {
			f, err := l.run()
			outcomes <- outcome{f, err}
		}()
	}
	var worst []float64
	for range n {
		o := <-outcomes
		if o.err != nil {
			err = o.err
			continue
		}
		if worst == nil {
			worst = o.figures
		}
		for i, f := range o.figures {
			worst[i] = max(worst[i], f)
		}
	}
	return worst, err
}

// connections is the tables of connections between two processes.
func connections(trials func(func(string) (trial, error)) func(settings, string) (report, error)) []entry {
	echo := load{Client: "echo", Server: "echo", Bytes: 64}
	table := func(key, title string, columns []string, run func(load) ([]float64, error), change func(l *load)) entry {
		l := echo
		change(&l)
		return entry{key, true, trials(pairs(title, columns, run, l))}
	}
	return []entry{
		table("connclosed", "64 bytes to another process and back, one after the other", roundTrip, load.run, func(l *load) {
			l.Messages = 50000
		}),
		table("connwork", "64 bytes to another process and back, with 20 us of work by the client in between", roundTrip, load.run, func(l *load) {
			l.Messages, l.Work = 20000, 20*time.Microsecond
		}),
		table("connhog", "64 bytes to another process and back, once a millisecond, two pairs and a process that only runs, all on one CPU; the worse pair", roundTrip,
			func(l load) ([]float64, error) { return l.beside(2) }, func(l *load) {
				l.Messages, l.Every, l.OneCPU = 1000, time.Millisecond, true
			}),
		table("connbusy", "64 bytes to another process and back, with 20 us of work by the client in between, beside a process that only runs", roundTrip,
			func(l load) ([]float64, error) { return l.beside(1) }, func(l *load) {
				l.Messages, l.Work = 20000, 20*time.Microsecond
			}),
		table("conngc", "4 KiB to another process and back, GOMAXPROCS 1 and a collection every 10 ms in both", roundTrip, load.run, func(l *load) {
			l.Bytes, l.Messages, l.Procs, l.Collect = 4<<10, 20000, 1, 10*time.Millisecond
		}),
		table("conn64k", "64 KiB to another process and back", roundTrip, load.run, func(l *load) {
			l.Bytes, l.Messages = 64<<10, 5000
		}),
		table("connidle", "1,000 idle connections between two processes", idleFigures, load.run, func(l *load) {
			l.Client, l.Messages, l.Conns = "idle", 200, 1000
		}),
		table("connone64", "One way over a connection, messages of 64 bytes", oneWayFigures, load.run, func(l *load) {
			l.Client, l.Server, l.Messages = "sink", "sink", 1000000
		}),
		table("connone4k", "One way over a connection, messages of 4 KiB", oneWayFigures, load.run, func(l *load) {
			l.Client, l.Server, l.Bytes, l.Messages = "sink", "sink", 4<<10, 200000
		}),
		table("connone1m", "One way over a connection, messages of 1 MiB", oneWayFigures, load.run, func(l *load) {
			l.Client, l.Server, l.Bytes, l.Messages = "sink", "sink", 1<<20, 2000
		}),
		table("connrpc64", "gRPC, unary calls with 64 bytes there and back", roundTrip, load.run, func(l *load) {
			l.Client, l.Server, l.Messages = "grpc", "grpc", 5000
		}),
		table("connrpc64k", "gRPC, unary calls with 64 KiB there and back", roundTrip, load.run, func(l *load) {
			l.Client, l.Server, l.Bytes, l.Messages = "grpc", "grpc", 64<<10, 2000
		}),
	}
}

// pairs is a trial of the same load over each transport.
func pairs(title string, columns []string, run func(l load) ([]float64, error), l load) func(string) (trial, error) {
	return func(string) (trial, error) {
		t := trial{title: title, columns: columns, ratio: true}
		ways := transports
		if l.Bytes < defaultBuffer {
			ways = ways[:2] // more room than the default is of no use to small messages
		}
		for i, way := range ways {
			l := l
			l.Transport = i
			t.rows = append(t.rows, trialRow{name: way.name, run: func() ([]float64, error) { return run(l) }})
		}
		return t, nil
	}
}
