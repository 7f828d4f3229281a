package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	servers["echo"] = echoServer
	clients["echo"] = echoClient
	servers["sink"] = sinkServer
	clients["sink"] = sinkClient
	clients["idle"] = idleClient
}

// onOneCPU starts this program anew on CPU 0: the runtime looks at its CPUs once.
func onOneCPU() error {
	runtime.LockOSThread()
	var have, want unix.CPUSet
	if err := unix.SchedGetaffinity(0, &have); err != nil {
		return err
	}
	want.Set(0)
	if have == want {
		runtime.UnlockOSThread()
		return nil
	}
	if err := unix.SchedSetaffinity(0, &want); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}

func (l load) prepare() {
	if l.Procs != 0 {
		runtime.GOMAXPROCS(l.Procs)
	}
	if l.Collect != 0 {
		go func() {
			for range time.Tick(l.Collect) {
				runtime.GC()
			}
		}()
	}
}

// serveUntil listens, hands each connection to one, and ends with its stdin.
func (l load) serveUntil(one func(net.Conn)) error {
	listener, err := transports[l.Transport].listen(l.Address)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go one(c)
		}
	}()
	return l.untilStdin(listener.Close)
}

func (l load) untilStdin(end func() error) error {
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	return end()
}

func (l load) connect() (net.Conn, error) { return transports[l.Transport].dial(background, l.Address) }

func echoServer(l load) error {
	return l.serveUntil(func(c net.Conn) {
		defer c.Close()
		b := make([]byte, l.Bytes)
		for {
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	})
}

// echoClient sends a message and waits for it to come back, again and again.
func echoClient(l load) ([]float64, error) {
	c, err := l.connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b := make([]byte, l.Bytes)
	return l.measure(func() error {
		if _, err := c.Write(b); err != nil {
			return err
		}
		_, err := io.ReadFull(c, b)
		return err
	})
}

var roundTrip = []string{"p50, us", "p99, us", "p99.9, us", "longest, us", "CPU of both for one, us"}

// measure is the figures of roundTrip, after a tenth to warm up.
func (l load) measure(op func() error) ([]float64, error) {
	took := make([]float64, 0, l.Messages)
	var cpu time.Duration
	start := time.Now()
	for i := range l.Messages + l.Messages/10 {
		if i == l.Messages/10 {
			cpu = l.cpu()
		}
		if l.Every > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(i) * l.Every)))
		}
		for began := time.Now(); time.Since(began) < l.Work; {
		}
		began := time.Now()
		if err := op(); err != nil {
			return nil, err
		}
		if i >= l.Messages/10 {
			took = append(took, float64(time.Since(began).Nanoseconds())/1e3)
		}
	}
	cpu = l.cpu() - cpu
	slices.Sort(took)
	return []float64{quantile(took, 0.5), quantile(took, 0.99), quantile(took, 0.999), took[len(took)-1],
		float64(cpu.Nanoseconds()) / 1e3 / float64(l.Messages)}, nil
}

// cpu is the processor time that both processes have used.
func (l load) cpu() time.Duration { return cpuOf(l.Pid) + cpuOf(os.Getpid()) }

// cpuOf reads a process's clock (clock_getcpuclockid(3)).
func cpuOf(pid int) time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|2), &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

func sinkServer(l load) error {
	return l.serveUntil(func(c net.Conn) {
		defer c.Close()
		b := make([]byte, 64<<10)
		for left := l.Bytes * l.Messages; left > 0; {
			n, err := c.Read(b[:min(left, len(b))])
			if err != nil {
				return
			}
			left -= n
		}
		c.Write(b[:1])
	})
}

var oneWayFigures = []string{"MB/s", "CPU of both for one message, us"}

// sinkClient sends in one direction, and counts from the first byte to when the
// server has read the last.
func sinkClient(l load) ([]float64, error) {
	c, err := l.connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b := make([]byte, l.Bytes)
	cpu, began := l.cpu(), time.Now()
	for range l.Messages {
		if _, err := c.Write(b); err != nil {
			return nil, err
		}
	}
	if _, err := io.ReadFull(c, b[:1]); err != nil {
		return nil, err
	}
	took := time.Since(began)
	return []float64{float64(l.Bytes*l.Messages) / float64(took.Nanoseconds()) * 1e3, float64((l.cpu() - cpu).Nanoseconds()) / 1e3 / float64(l.Messages)}, nil
}

// idleFor is how long the connections of idleClient are left alone.
const idleFor = 2 * time.Second

var idleFigures = []string{"first message after idle, p50, us", "p99, us", "threads of the server", "of the client", "CPU of both while idle, ms a second"}

// idleClient opens connections, leaves them alone, and then sends one message on
// each, with a pause in between.
func idleClient(l load) ([]float64, error) {
	conns := make([]net.Conn, l.Conns)
	for i := range conns {
		c, err := l.connect()
		if err != nil {
			return nil, err
		}
		defer c.Close()
		conns[i] = c
		b := make([]byte, l.Bytes)
		if _, err := c.Write(b); err != nil { // it works, and both know each other
			return nil, err
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return nil, err
		}
	}
	runtime.GC()
	time.Sleep(idleFor / 2)
	cpu := l.cpu()
	time.Sleep(idleFor)
	cpu = l.cpu() - cpu
	threads, err := countThreads(l.Pid, os.Getpid())
	if err != nil {
		return nil, err
	}
	took := make([]float64, 0, l.Messages)
	for i := range l.Messages {
		c := conns[i*len(conns)/l.Messages]
		b := make([]byte, l.Bytes)
		time.Sleep(5 * time.Millisecond)
		began := time.Now()
		if _, err := c.Write(b); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(began).Nanoseconds())/1e3)
	}
	slices.Sort(took)
	return []float64{quantile(took, 0.5), quantile(took, 0.99), threads[0], threads[1], float64(cpu.Nanoseconds()) / 1e6 / idleFor.Seconds()}, nil
}

func countThreads(pids ...int) ([]float64, error) {
	var n []float64
	for _, pid := range pids {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return nil, err
		}
		n = append(n, float64(len(list)))
	}
	return n, nil
}
