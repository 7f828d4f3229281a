package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/ring"
)

// segmentDir is a directory for segments, in memory, or a skip where there are none.
func segmentDir(t *testing.T) string {
	t.Helper()
	s, err := shm.Anonymous(1, shm.Options{})
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	dir, err := os.MkdirTemp(shm.Directory, "mmap-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func runShm(t *testing.T, want int, args ...string) (out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	if got := run(append([]string{"shm"}, args...), &o, &e); got != want {
		t.Fatalf("shm %q: exit code %d, want %d: %s", args, got, want, e.String())
	}
	return o.String(), e.String()
}

// TestShmNamesAreShown: a name is anybody's who may write the directory. What a terminal
// would obey is shown, and a name makes no line of its own.
func TestShmNamesAreShown(t *testing.T) {
	dir := segmentDir(t)
	name := filepath.Join(dir, "evil\x1b[31m\nsegment \u202e\xff")
	s, err := shm.Create(name, 1, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	shown := func(what, text string) {
		t.Helper()
		for _, c := range text {
			if c != '\n' && !strconv.IsPrint(c) || c == utf8.RuneError {
				t.Errorf("%s prints %q", what, text)
				return
			}
		}
	}
	out, _ := runShm(t, 0, "ls", dir)
	if shown("ls", out); strings.Count(out, "\n") != 2 {
		t.Errorf("one segment has the lines %q", out)
	}
	out, _ = runShm(t, 0, "stat", name)
	shown("stat", out)
	out, _ = runShm(t, 0, "top", "-n", "1", dir)
	shown("top", out)
	_, errOut := runShm(t, 1, "rm", name)
	shown("rm of what is in use", errOut)
	_, errOut = runShm(t, 1, "stat", name+"x")
	shown("stat of what is not there", errOut)
	out, _ = runShm(t, 0, "rm", "--force", name)
	if shown("rm", out); strings.Count(out, "\n") != 1 {
		t.Errorf("one removal has the lines %q", out)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b := leftBehind(t)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = runShm(t, 0, "gc", dir)
	if shown("gc", out); strings.Count(out, "\n") != 1 {
		t.Errorf("one removal has the lines %q", out)
	}
}

// leftBehind is the file of a segment that nobody uses.
func leftBehind(t *testing.T) []byte {
	t.Helper()
	name := filepath.Join(segmentDir(t), "copied")
	s, err := shm.Create(name, 1, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestShmStatIsInterrupted: who asks for a long look need not wait for its end.
func TestShmStatIsInterrupted(t *testing.T) {
	name := filepath.Join(segmentDir(t), "watched")
	s, err := shm.Create(name, 1<<20, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := ring.Create(s.Space(), s.DataStart(), ring.Options{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := examine(ctx, name, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("after it was interrupted: %v", err)
	}
}

// TestQueueBeginsAnew: a queue whose figures have gone back is another one, and has no
// rate.
func TestQueueBeginsAnew(t *testing.T) {
	now, before := []queue{{Object: "a", Sent: 9, Received: 1}}, []queue{{Object: "a", Sent: 8, Received: 8}}
	if rate(now, before, time.Second); now[0].Rates != nil {
		t.Errorf("%+v", *now[0].Rates)
	}
}

// listed is what mmap shm ls --json tells of a directory's only segment.
func listed(t *testing.T, dir string) segment {
	t.Helper()
	out, _ := runShm(t, 0, "ls", dir, "--json")
	var doc struct {
		Schema   string
		Segments []segment
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Schema != shmSchema || len(doc.Segments) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	return doc.Segments[0]
}

const segmentVar = "MMAP_TEST_SEGMENT"

var _ = testenv.Register("takes part and waits", func() {
	s, err := shm.OpenOrCreate(os.Getenv(segmentVar), 1<<20, shm.Options{ABI: 7})
	if err == nil {
		_, err = s.Place(context.Background(), shm.Object{Name: "orders", Size: 4096})
	}
	fmt.Println(err)
	select {}
})

// TestShmTellsOfASegmentFromBirthToAbandonment follows one segment of a process
// that is killed through every command.
func TestShmTellsOfASegmentFromBirthToAbandonment(t *testing.T) {
	dir := segmentDir(t)
	name := filepath.Join(dir, "orders")
	if err := os.WriteFile(filepath.Join(dir, "stranger"), []byte("no segment"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := testenv.Child{Name: "takes part and waits", Env: []string{segmentVar + "=" + name}}.Command(t)
	said, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Process.Kill()
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "<nil>\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}

	if s := listed(t, dir); s.Name != name || s.State != "used" || s.Participants != 1 || s.ABI != "0x7" || s.Bytes < 1<<20 {
		t.Errorf("in use: %+v", s)
	}
	out, _ := runShm(t, 0, "stat", name, "--json")
	var d details
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.TakePart) != 1 || d.TakePart[0].Pid != other.Process.Pid || !d.TakePart[0].Alive {
		t.Errorf("who takes part: %+v, want process %d", d.TakePart, other.Process.Pid)
	}
	if len(d.Objects) != 1 || d.Objects[0] != (placedObject{"orders", 4096}) {
		t.Errorf("objects: %+v", d.Objects)
	}
	if out, _ := runShm(t, 0, "top", dir, "-n", "2", "--interval", "10ms"); strings.Count(out, fmt.Sprint(other.Process.Pid)) != 2 {
		t.Errorf("top, two rounds:\n%s", out)
	}
	if _, errOut := runShm(t, 1, "rm", name); !strings.Contains(errOut, "--force") {
		t.Errorf("rm of a segment in use says %q", errOut)
	}
	if out, _ := runShm(t, 0, "gc", dir); strings.Contains(out, name) {
		t.Errorf("gc of a segment in use: %s", out)
	}

	other.Process.Kill()
	other.Wait()
	if s := listed(t, dir); s.State != "abandoned" || s.Participants != 0 {
		t.Errorf("abandoned: %+v", s)
	}
	runShm(t, 0, "stat", name)
	if s := listed(t, dir); s.State != "abandoned" {
		t.Errorf("a look took it away: %+v", s)
	}
	if out, _ := runShm(t, 0, "gc", dir); !strings.Contains(out, name) {
		t.Errorf("gc: %s", out)
	}
	if out, _ := runShm(t, 0, "ls", dir); strings.Contains(out, name) {
		t.Errorf("still there: %s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "stranger")); err != nil {
		t.Errorf("a file that is no segment: %v", err)
	}
}

func TestShmRmTakesTheNameOfAUsedSegmentByForce(t *testing.T) {
	name := filepath.Join(segmentDir(t), "s")
	s, err := shm.Create(name, 1, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	runShm(t, 0, "rm", "--force", name)
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("it is there still: %v", err)
	}
	if _, errOut := runShm(t, 1, "stat", name); !strings.Contains(errOut, name) {
		t.Errorf("stat of nothing says %q", errOut)
	}
}

const queueVar = "MMAP_TEST_QUEUE"

var _ = testenv.Register("sends and receives for ever", func() {
	ctx := context.Background()
	die := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	s, err := shm.Create(os.Getenv(queueVar), 1<<20, shm.Options{})
	die(err)
	o := ring.Options{Slots: 64, Seats: 4}
	size, err := o.Size()
	die(err)
	var r *ring.Ring
	_, err = s.Place(ctx, shm.Object{Name: "orders", Size: size, Align: 128, Init: func(off int64) (err error) {
		r, err = ring.Create(s.Space(), off, o)
		return err
	}})
	die(err)
	_, err = s.Place(ctx, shm.Object{Name: "no queue", Size: 4096, Align: 128})
	die(err)
	p, err := r.NewProducer()
	die(err)
	c, err := r.NewConsumer()
	die(err)
	for i := 0; ; i++ {
		die(p.Send(ctx, make([]byte, 10)))
		if i < 5 {
			continue // five stay on their way
		}
		_, err = c.Recv(ctx, make([]byte, 10))
		die(err)
		if i == 5 {
			fmt.Println("on")
		}
	}
})

// TestShmWatchesQueues: what goes through a queue of another process shows in stat
// and top, and who looks takes no part.
func TestShmWatchesQueues(t *testing.T) {
	dir := segmentDir(t)
	name := filepath.Join(dir, "s")
	other := testenv.Child{Name: "sends and receives for ever", Env: []string{queueVar + "=" + name}}.Command(t)
	said, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "on\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	// rates wants d to tell of the only queue, and answers its rates.
	rates := func(d details) *queueRates {
		t.Helper()
		if len(d.Queues) != 1 || d.Participants != 1 {
			t.Fatalf("%+v", d)
		}
		q := d.Queues[0]
		if q.Object != "orders" || q.Delivery != "to_one" || q.Slots != 64 || q.SlotBytes != 64 || q.Seats != 4 || q.Seated != 2 ||
			q.Used < 5 || q.Sent < 6 || q.Received < 1 || q.Repairs != 0 {
			t.Errorf("%+v", q)
		}
		return q.Rates
	}
	top := func() (seen []*queueRates) {
		t.Helper()
		out, _ := runShm(t, 0, "top", dir, "-n", "2", "--interval", "20ms", "--json")
		for line := range strings.Lines(out) {
			var round struct{ Segments []details }
			if err := json.Unmarshal([]byte(line), &round); err != nil || len(round.Segments) != 1 {
				t.Fatalf("%v: %s", err, line)
			}
			seen = append(seen, rates(round.Segments[0]))
		}
		return seen
	}
	stat := func(interval string) *queueRates {
		t.Helper()
		out, _ := runShm(t, 0, "stat", name, "--json", "--interval", interval)
		var d details
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatal(err)
		}
		return rates(d)
	}
	if r := stat("0"); r != nil {
		t.Errorf("rates at one look: %+v", r)
	}
	// The other process may be held up during one look and the next.
	moves := func(r *queueRates) bool {
		return r != nil && r.Sent > 0 && r.Received > 0 && r.SentBytes > 9*r.Sent && r.SentBytes < 11*r.Sent && r.Seconds > 0
	}
	for i := 0; !moves(stat("20ms")); i++ {
		if i == 100 {
			t.Fatal("stat sees nothing move")
		}
	}
	for i := 0; ; i++ {
		seen := top()
		if len(seen) != 2 || seen[0] != nil {
			t.Fatalf("two rounds: %v", seen)
		}
		if moves(seen[1]) {
			break
		}
		if i == 100 {
			t.Fatal("top sees nothing move")
		}
	}
	t.Chdir(dir)
	for _, lang := range []string{"en", "zh"} {
		for _, args := range [][]string{{"stat", "./s"}, {"top", ".", "-n", "2", "--interval", "20ms"}} {
			out, _ := runShm(t, 0, append(args, "--lang", lang)...)
			if !strings.Contains(out, `"orders"`) || !strings.Contains(out, "/64 ") {
				t.Errorf("%s %q:\n%s", lang, args, out)
			}
			for line := range strings.Lines(out) {
				if displayWidth(strings.TrimSuffix(line, "\n")) > 80 {
					t.Errorf("%s %q: more than 80 columns: %s", lang, args, line)
				}
			}
		}
	}
}

func TestShmFitsATerminalInBothLanguages(t *testing.T) {
	dir := segmentDir(t)
	s, err := shm.Create(filepath.Join(dir, "s"), 12345, shm.Options{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	t.Chdir(dir)
	for _, lang := range []string{"en", "zh"} {
		for _, args := range [][]string{{"ls", "."}, {"stat", "./s"}, {"top", ".", "-n", "1"}, {"--help"}, {"bench", "--help"}, {"top", "--help"}, {"stat", "--help"}} {
			out, _ := runShm(t, 0, append(args, "--lang", lang)...)
			for line := range strings.Lines(out) {
				if displayWidth(strings.TrimSuffix(line, "\n")) > 80 {
					t.Errorf("%s %q: more than 80 columns: %s", lang, args, line)
				}
			}
		}
	}
}

func TestShmBenchMeasuresBothCarriers(t *testing.T) {
	segmentDir(t)
	out, _ := runShm(t, 0, "bench", "--rounds", "1", "--time", "5ms", "--json")
	var r shmReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Quantities) != 5 {
		t.Fatalf("%d quantities", len(r.Quantities))
	}
	for _, q := range r.Quantities {
		for _, f := range q.Figures {
			if len(f.Rounds) != 1 || f.Median <= 0 {
				t.Errorf("%s by %s: %+v", q.ID, f.Carrier, f)
			}
		}
		if q.Times <= 0 {
			t.Errorf("%s: %g times", q.ID, q.Times)
		}
	}
	r.print(&console{out: new(bytes.Buffer), err: new(bytes.Buffer), lang: "zh"})
}

func TestMedian(t *testing.T) {
	for _, row := range []struct {
		of   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{4, 1, 3}, 3}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(row.of); got != row.want {
			t.Errorf("median of %v is %v, want %v", row.of, got, row.want)
		}
	}
}
