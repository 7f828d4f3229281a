package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/memwright/mmap/shm/shmnet"
	"github.com/spf13/cobra"
)

// benchOptions are the flags of mmap shm bench.
type benchOptions struct {
	rounds int
	span   time.Duration // of one measurement
}

func newShmBench(c *console) *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure shared memory against a Unix socket, between two processes",
		Long: `Measure connections through shared memory (package shm/shmnet) against a Unix
socket, between this process and another: round trips of 64 bytes, one after the
other, and one-way throughput of 64 B, 4 KiB and 1 MiB messages. Both take
turns, round by round; told are the medians of all rounds, and the worst round.
Nothing else should run meanwhile: a busy machine measures itself.`,
		Example: `  mmap shm bench
  mmap shm bench --rounds 10 --time 1s
  mmap shm bench --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.rounds < 1 || o.span < time.Millisecond {
				return errors.New("--rounds is 1 or more, --time 1ms or more")
			}
			report, err := measureShm(cmd.Context(), c, o)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(report)
			}
			report.print(c)
			return nil
		},
	}
	cmd.Flags().IntVar(&o.rounds, "rounds", 5, "how often each measurement is made")
	cmd.Flags().DurationVar(&o.span, "time", 300*time.Millisecond, "how long each measurement lasts")
	return cmd
}

// A carrier carries bytes between two processes.
type carrier struct {
	name   string
	listen func(address string) (net.Listener, error)
	dial   func(ctx context.Context, address string) (net.Conn, error)
}

// carriers are what is compared; the last is what the others are compared with.
var carriers = []carrier{
	{"shm", shmnet.Listen, shmnet.DialContext},
	{"unix",
		func(address string) (net.Listener, error) { return net.Listen("unix", address) },
		func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", address)
		}},
}

// The work of the other process.
const (
	helperEcho = "shm-echo" // CARRIER ADDRESS BYTES: sends each message back
	helperSink = "shm-sink" // CARRIER ADDRESS: reads to the end, and says how much there was
)

// withCarrier connects as the arguments of a helper say.
func withCarrier(args []string, work func(conn net.Conn, bytes int) error) error {
	if len(args) != 3 {
		return errors.New("usage: CARRIER ADDRESS BYTES")
	}
	i := slices.IndexFunc(carriers, func(c carrier) bool { return c.name == args[0] })
	if i < 0 {
		return fmt.Errorf("no carrier %q", args[0])
	}
	var bytes int
	if _, err := fmt.Sscan(args[2], &bytes); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	conn, err := carriers[i].dial(ctx, args[1])
	if err != nil {
		return err
	}
	defer conn.Close()
	return work(conn, bytes)
}

func echo(conn net.Conn, bytes int) error {
	b := make([]byte, bytes)
	for {
		if _, err := io.ReadFull(conn, b); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := conn.Write(b); err != nil {
			return err
		}
	}
}

func sink(conn net.Conn, _ int) error {
	var total uint64
	b := make([]byte, 1<<20)
	for {
		n, err := conn.Read(b)
		total += uint64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	_, err := conn.Write(binary.LittleEndian.AppendUint64(nil, total))
	return err
}

// between runs work on a connection whose other end is a helper in a process of
// its own.
func (cr carrier) between(ctx context.Context, helper string, bytes int, work func(net.Conn) error) error {
	program, err := executable()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("@mmap-bench-%d-%d", os.Getpid(), time.Now().UnixNano())
	l, err := cr.listen(address)
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	other := exec.CommandContext(ctx, program, childEntry, helper, cr.name, address, fmt.Sprint(bytes))
	other.Stderr = os.Stderr
	if err := other.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- other.Wait()
		l.Close() // nobody comes any more
	}()
	conn, err := l.Accept()
	if err == nil {
		err = work(conn)
		conn.Close()
	}
	if err != nil {
		stop()
	}
	if died := <-ended; died != nil && err == nil {
		err = fmt.Errorf("the other process: %w", died)
	}
	return err
}

// roundTrips measures messages that come back, one after the other: the median and
// the 99th percentile in microseconds.
func (cr carrier) roundTrips(ctx context.Context, bytes int, span time.Duration) (p50, p99 float64, err error) {
	var took []time.Duration
	err = cr.between(ctx, helperEcho, bytes, func(conn net.Conn) error {
		b := make([]byte, bytes)
		began := time.Now()
		for last := began; ; {
			if _, err := conn.Write(b); err != nil {
				return err
			}
			if _, err := io.ReadFull(conn, b); err != nil {
				return err
			}
			now := time.Now()
			if now.Sub(began) > span/10 { // what comes before warms up
				took = append(took, now.Sub(last))
			}
			if last = now; now.Sub(began) > span && len(took) > 0 {
				return nil
			}
		}
	})
	if err != nil {
		return 0, 0, err
	}
	slices.Sort(took)
	us := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Nanoseconds()) / 1e3 }
	return us(0.5), us(0.99), nil
}

// oneWay measures messages that go one way: megabytes a second, all of them read.
func (cr carrier) oneWay(ctx context.Context, bytes int, span time.Duration) (rate float64, err error) {
	err = cr.between(ctx, helperSink, bytes, func(conn net.Conn) error {
		b := make([]byte, bytes)
		var sent uint64
		began := time.Now()
		for time.Since(began) < span {
			for range max(1, 4096/bytes) {
				n, err := conn.Write(b)
				sent += uint64(n)
				if err != nil {
					return err
				}
			}
		}
		if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			return err
		}
		var said [8]byte
		if _, err := io.ReadFull(conn, said[:]); err != nil {
			return err
		}
		elapsed := time.Since(began)
		if got := binary.LittleEndian.Uint64(said[:]); got != sent {
			return fmt.Errorf("%d bytes arrived of %d", got, sent)
		}
		rate = float64(sent) / 1e6 / elapsed.Seconds()
		return nil
	})
	return rate, err
}

// A carried is one quantity by one carrier.
type carried struct {
	Carrier string    `json:"carrier"`
	Median  float64   `json:"median"`
	Worst   float64   `json:"worst"`
	Rounds  []float64 `json:"rounds"`
}

// A quantity is what was measured, by every carrier.
type quantity struct {
	ID      string    `json:"id"`
	Unit    string    `json:"unit"` // "us" (less is better), "MB/s" (more is better)
	Figures []carried `json:"figures"`
	// Times is how many times better shared memory is than the socket, the median
	// over the rounds.
	Times float64 `json:"times"`
	title text
}

type shmReport struct {
	Schema     string     `json:"schema"`
	Rounds     int        `json:"rounds"`
	Quantities []quantity `json:"quantities"`
}

// measureShm makes all measurements. With a terminal it tells how far it has come.
func measureShm(ctx context.Context, c *console, o benchOptions) (*shmReport, error) {
	r := &shmReport{Schema: shmSchema, Rounds: o.rounds, Quantities: []quantity{
		{ID: "round_trip_p50", Unit: "us", title: text{"round trip of 64 B, median", "64 B 往返，中位数"}},
		{ID: "round_trip_p99", Unit: "us", title: text{"round trip of 64 B, 99 of 100", "64 B 往返，99 分位"}},
		{ID: "one_way_64", Unit: "MB/s", title: text{"one way, 64 B", "单向，64 B"}},
		{ID: "one_way_4096", Unit: "MB/s", title: text{"one way, 4 KiB", "单向，4 KiB"}},
		{ID: "one_way_1048576", Unit: "MB/s", title: text{"one way, 1 MiB", "单向，1 MiB"}},
	}}
	for i := range r.Quantities {
		for _, cr := range carriers {
			r.Quantities[i].Figures = append(r.Quantities[i].Figures, carried{Carrier: cr.name})
		}
	}
	note := func(q, carrier int, v float64) {
		f := &r.Quantities[q].Figures[carrier]
		f.Rounds = append(f.Rounds, v)
	}
	progress := isTerminal(c.err)
	for round := range o.rounds {
		if progress {
			fmt.Fprintf(c.err, c.say("\rround %d of %d", "\r第 %d 轮，共 %d 轮"), round+1, o.rounds)
		}
		for i, cr := range carriers {
			p50, p99, err := cr.roundTrips(ctx, 64, o.span)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", cr.name, err)
			}
			note(0, i, p50)
			note(1, i, p99)
		}
		for q, bytes := range []int{64, 4 << 10, 1 << 20} {
			for i, cr := range carriers {
				rate, err := cr.oneWay(ctx, bytes, o.span)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", cr.name, err)
				}
				note(2+q, i, rate)
			}
		}
	}
	if progress {
		fmt.Fprint(c.err, "\r\x1b[K")
	}
	for i := range r.Quantities {
		r.Quantities[i].sum()
	}
	return r, nil
}

// sum fills in what follows from the rounds.
func (q *quantity) sum() {
	for i := range q.Figures {
		f := &q.Figures[i]
		f.Median = median(f.Rounds)
		f.Worst = slices.Max(f.Rounds)
		if q.Unit == "MB/s" {
			f.Worst = slices.Min(f.Rounds)
		}
	}
	var times []float64
	ours, theirs := q.Figures[0].Rounds, q.Figures[len(q.Figures)-1].Rounds
	for i := range ours {
		if q.Unit == "MB/s" {
			times = append(times, ours[i]/theirs[i])
		} else {
			times = append(times, theirs[i]/ours[i])
		}
	}
	q.Times = median(times)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func (r *shmReport) print(c *console) {
	fmt.Fprintf(c.out, c.say("medians of %d rounds, the worst round in brackets\n\n", "%d 轮的中位数，括号内为最差一轮\n\n"), r.Rounds)
	rows := [][]string{{"", c.say("shared memory", "共享内存"), c.say("Unix socket", "Unix 套接字"), c.say("better by", "快几倍")}}
	for _, q := range r.Quantities {
		row := []string{c.say(q.title.en, q.title.zh)}
		for _, f := range q.Figures {
			row = append(row, fmt.Sprintf("%s (%s) %s", threeDigits(f.Median), threeDigits(f.Worst), q.Unit))
		}
		rows = append(rows, append(row, threeDigits(q.Times)+" x"))
	}
	fmt.Fprint(c.out, columns(rows))
}

// threeDigits spells v with three digits, or all of those before the point.
func threeDigits(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
