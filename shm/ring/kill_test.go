package ring

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/shmsync"
)

// The tests with processes that are killed share a segment:
//
//	DataStart            the ring
//	after it             a word of 32 bits for every record that is ever sent
//
// A record's word is what its users have done, by their own account. It outlives
// them.
const (
	wasBegun     = 1 << 0 // Commit was called
	wasCommitted = 1 << 1 // Commit has returned
	wasReleased  = 1 << 2 // Release has returned
	cameFresh    = 1 << 8 // Next has returned it, counted
	cameAgain    = 1 << 16
	cameLate     = 1 << 24 // after its release, which must not be

	lifeRecords = 1 << 15 // what one process sends at most
)

var killShape = Options{Slots: 64, SlotBytes: 16, Seats: 24, Blocks: 4, BlockBytes: 2000}

// shared is the segment as one process has it.
type shared struct {
	seg *shm.Segment
	r   *Ring
	log int64 // where the records' words begin
}

func (s *shared) word(n uint32) *word.U32 {
	w, err := s.seg.Space().Word32(s.log + 4*int64(n))
	if err != nil {
		panic(err)
	}
	return w
}

func openShared(seg *shm.Segment, open func(size int) (*Ring, error)) (*shared, error) {
	size, err := killShape.Size()
	if err != nil {
		return nil, err
	}
	r, err := open(size)
	return &shared{seg, r, seg.DataStart() + int64(up(size, 4096))}, err
}

// newShared makes the segment, with room for so many lives.
func newShared(t *testing.T, lives int) *shared {
	t.Helper()
	size := must[int](t)(killShape.Size())
	seg, err := shm.Anonymous(up(size, 4096)+4*lifeRecords*lives, shm.Options{})
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	ok(t, err)
	t.Cleanup(func() { seg.Close() })
	return must[*shared](t)(openShared(seg, func(int) (*Ring, error) { return Create(seg.Space(), seg.DataStart(), killShape) }))
}

// attachShared is the segment in a child, which got it as descriptor 3.
func attachShared() *shared {
	seg, err := shm.Attach(os.NewFile(3, "segment"), shm.Options{})
	die(err)
	s, err := openShared(seg, func(int) (*Ring, error) { return Open(seg.Space(), seg.DataStart(), killShape) })
	die(err)
	return s
}

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

// child starts a child that has the segment, and waits for its first line.
func (s *shared) child(t *testing.T, name string, env ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	f := must[*os.File](t)(s.seg.File())
	defer f.Close()
	cmd := testenv.Child{Name: name, Env: env, Files: []*os.File{f}}.Command(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("child %s: %q, %v", name, line, err)
	}
	return cmd, lines
}

// send sends the record n, of a length that is its own.
func (s *shared) send(ctx context.Context, p *Producer, n uint32) error {
	size := 4 + int(n*7919%40)
	if n%64 == 0 {
		size = 1500 // in a block
	}
	v, err := p.Reserve(ctx, size)
	if err != nil {
		return err
	}
	b := v.Bytes()
	binary.NativeEndian.PutUint32(b, n)
	for i := range b[4:] {
		b[4+i] = byte(n)
	}
	s.word(n).Add(wasBegun)
	if err := v.Commit(size); err != nil {
		return err
	}
	s.word(n).Add(wasCommitted)
	return nil
}

// receive takes a record, and answers which it was.
func (s *shared) receive(ctx context.Context, c *Consumer) (uint32, error) {
	v, err := c.Next(ctx)
	if err != nil {
		return 0, err
	}
	b := v.Bytes()
	n := binary.NativeEndian.Uint32(b)
	for _, x := range b[4:] {
		if x != byte(n) {
			return n, fmt.Errorf("record %d is torn: %v", n, b)
		}
	}
	came := uint32(cameFresh)
	if v.Redelivered() {
		came = cameAgain
	}
	if s.word(n).Load()&wasReleased != 0 {
		came += cameLate
	}
	s.word(n).Add(came)
	if err := v.Release(); err != nil {
		return n, err
	}
	s.word(n).Add(wasReleased)
	return n, nil
}

// judge looks at the words of all records when everything has been received.
func (s *shared) judge(t *testing.T, lives int) {
	t.Helper()
	var records, again int
	for n := range uint32(lives * lifeRecords) {
		w := s.word(n).Load()
		fresh, redelivered := w>>8&255, w>>16&255
		switch {
		case w&wasBegun == 0 && w != 0:
			t.Errorf("record %d came, and nobody sent it", n)
		case w&wasCommitted != 0 && fresh+redelivered == 0:
			t.Errorf("record %d was committed, and is lost", n)
		case fresh > 1:
			t.Errorf("record %d came %d times without a mark", n, fresh)
		case w>>24 != 0:
			t.Errorf("record %d came again after its release", n)
		}
		if w != 0 {
			records++
		}
		again += int(redelivered)
	}
	t.Logf("%d records, %d deliveries again", records, again)
}

var _ = testenv.Register("ring.load", func() {
	s := attachShared()
	life, err := strconv.Atoi(os.Getenv("RING_LIFE"))
	die(err)
	ctx := context.Background()
	p, err := s.r.NewProducer()
	die(err)
	c, err := s.r.NewConsumer()
	die(err)
	fmt.Println("ready")
	go func() {
		for i := range uint32(lifeRecords) {
			die(s.send(ctx, p, uint32(life*lifeRecords)+i))
		}
	}()
	for {
		_, err := s.receive(ctx, c)
		die(err)
	}
})

// TestRandomKills kills processes that send and receive, at random moments. After
// each the others go on within a second. MMAP_KILLS says how many; few by
// default.
func TestRandomKills(t *testing.T) {
	kills := 25
	if s := os.Getenv("MMAP_KILLS"); s != "" {
		kills = must[int](t)(strconv.Atoi(s))
	}
	const together = 3
	lives := kills + together + 1
	s := newShared(t, lives)
	random := rand.New(rand.NewPCG(testenv.Seed(t), 2))
	p, c := producer(t, s.r), consumer(t, s.r)
	var children []*exec.Cmd
	spawn := func(life int) {
		cmd, _ := s.child(t, "ring.load", fmt.Sprint("RING_LIFE=", life))
		children = append(children, cmd)
	}
	for life := range together {
		spawn(life)
	}
	mine := uint32((lives - 1) * lifeRecords)
	slowest := time.Duration(0)
	for i := range kills {
		time.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond)
		victim := together - 1 // the newest, which is busy for sure
		if random.IntN(3) == 0 {
			victim = random.IntN(together)
		}
		ok(t, children[victim].Process.Kill())
		began := time.Now()
		// The ring works for the others at once: one of them takes what is sent, or
		// it comes back to us.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		ok(t, s.send(ctx, p, mine))
		mine++
		for s.word(mine-1).Load() < cameFresh { // it may have come to the victim, and be done
			// Not for long: it may have come to one of the others meanwhile, and if they
			// have sent all of theirs nothing comes after it.
			look, done := context.WithTimeout(ctx, 50*time.Millisecond)
			_, err := s.receive(look, c)
			done()
			if err != nil && (look.Err() == nil || ctx.Err() != nil) {
				t.Fatalf("kill %d: %v after %v; waited for record %d\n%s", i, err, time.Since(began), mine-1, s.r.dump())
			}
		}
		cancel()
		slowest = max(slowest, time.Since(began))
		children[victim].Wait()
		children = append(children[:victim], children[victim+1:]...)
		spawn(i + together)
	}
	for _, cmd := range children {
		ok(t, cmd.Process.Kill())
		cmd.Wait()
	}
	s.drain(t)
	s.judge(t, lives)
	t.Logf("%d kills; the longest that one held the others up: %v", kills, slowest)
	if slowest > time.Second {
		t.Errorf("the others were held up for %v", slowest)
	}
}

// drain has a newcomer receive everything up to the ring's end.
func (s *shared) drain(t *testing.T) {
	t.Helper()
	p := producer(t, s.r)
	c := consumer(t, s.r)
	ended := make(chan error, 1)
	go func() { ended <- p.End(t.Context()) }()
	for {
		_, err := s.receive(t.Context(), c)
		if err == io.EOF {
			break
		}
		ok(t, err)
	}
	ok(t, <-ended)
	ok(t, c.Close())
	ok(t, p.Close())
}

// dump is what stands in a ring of few slots.
func (r *Ring) dump() string {
	var b strings.Builder
	h, t := r.head.Load(), r.tail.Load()
	fmt.Fprintf(&b, "head %d, next %d, tail %d; readers %#x, writers %#x\n", h, r.next.Load(), t, r.readers.Load(), r.writers.Load())
	for i := h; i < t; {
		w := record(r.state(i).Load())
		fmt.Fprintf(&b, "%d: lap %d (of %d), state %d, kind %d, seat %d, %d bytes, again %v\n", i, w.lap(), r.lap(i), w.state(), w.kind(), w.seat(), w.length(), w.seen())
		n, err := r.slotsOf(i, w)
		if err != nil {
			break
		}
		i += n
	}
	for n := 1; n <= r.Seats; n++ {
		if who := shmsync.Owner(r.seatOwner(n).Load()); who != 0 {
			alive, err := r.space.Examine(who)
			fmt.Fprintf(&b, "seat %d: %v, alive %v, %v\n", n, who, alive, err)
		}
	}
	return b.String()
}
