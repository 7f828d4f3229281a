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
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/shmsync"
)

// killShape is a ring of few slots, in which long records lie in blocks.
var killShape = Options{Slots: 64, SlotBytes: 16, Seats: 24, Blocks: 4, BlockBytes: 2000}

// A load is a ring, and the processes that use it at a time.
type load struct {
	name  string
	shape Options
	typed bool
	crew  []role
}

// A role is what a process does until it is killed.
type role int

const (
	produces role = 1 << iota
	consumes
	both = produces | consumes
)

func shaped(d Delivery) Options {
	o := killShape
	o.Delivery = d
	return o
}

var loads = []load{
	{"one to one", shaped(ToOne), false, []role{produces, consumes}},
	{"many to one", shaped(ToOne), false, []role{produces, produces, consumes}},
	{"one to many", shaped(ToOne), false, []role{produces, consumes, consumes}},
	{"many to many", shaped(ToOne), false, []role{both, both, both}},
	{"typed", typedShape(), true, []role{both, produces, consumes}},
	{"one to all", shaped(ToAll), false, []role{produces, consumes, consumes}},
	{"many to all", shaped(ToAll), false, []role{both, both, consumes}},
	{"one overwrites", shaped(Overwrite), false, []role{produces, consumes}},
	{"many overwrite", shaped(Overwrite), false, []role{produces, both, consumes}},
}

// A message is what all records begin with, and the whole of a typed one: which of
// the records of a life it is, from 1 on.
type message struct{ Life, Nth, Again uint32 }

func typedShape() Options {
	o, err := OptionsFor[message](Options{Slots: 64, Seats: 24})
	if err != nil {
		panic(err)
	}
	return o
}

// The processes share a segment:
//
//	DataStart            the ring
//	after it             for every life, what it has done by its own account
//
// A life's words outlive it.
const (
	atBegun     = 0  // how many records it has begun to send
	atCommitted = 8  // how many sends have returned
	atReceived  = 16 // how many records have come to it, or were lost to it
	atCells     = 64 // where every record goes to one: what became of its last records

	lifeCells = 256 // more than the ring has records, so one is over before its cell is used again
	lifeBytes = atCells + 8*lifeCells
)

// A cell is the record's number, and what its users have done with it.
const (
	wasCommitted = 1 << iota // its send has returned
	wasReleased              // Release has returned
	cameFresh                // Next has returned it
	cameAgain                // and marked
	cellBits     = iota
)

// shared is the segment as one process has it.
type shared struct {
	load
	seg *shm.Segment
	r   *Ring
	log int64 // where the lives begin
}

func (s *shared) word(life uint32, at int64) *word.U64 {
	w, err := s.seg.Space().Word64(s.log + int64(life)*lifeBytes + at)
	die(err)
	return w
}

func (s *shared) cell(m message) *word.U64 { return s.word(m.Life, atCells+8*int64(m.Nth%lifeCells)) }

func (l load) open(seg *shm.Segment, open func(*shmsync.Space, int64, Options) (*Ring, error)) (*shared, error) {
	size, err := l.shape.Size()
	if err != nil {
		return nil, err
	}
	r, err := open(seg.Space(), seg.DataStart(), l.shape)
	return &shared{l, seg, r, seg.DataStart() + int64(up(size, 4096))}, err
}

// share makes the segment, with room for so many lives.
func (l load) share(t *testing.T, lives int) *shared {
	t.Helper()
	size := must[int](t)(l.shape.Size())
	seg, err := shm.Anonymous(up(size, 4096)+lifeBytes*lives, shm.Options{})
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	ok(t, err)
	t.Cleanup(func() { seg.Close() })
	return must[*shared](t)(l.open(seg, Create))
}

// attach is the segment in a child, which got it as descriptor 3.
func (l load) attach() *shared {
	seg, err := shm.Attach(os.NewFile(3, "segment"), shm.Options{})
	die(err)
	s, err := l.open(seg, Open)
	die(err)
	return s
}

// die ends a child that has found something wrong.
func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

// child starts a child that has the segment, and waits for its first line.
func (s *shared) child(t *testing.T, name string, env ...string) *exec.Cmd {
	t.Helper()
	f := must[*os.File](t)(s.seg.File())
	defer f.Close()
	cmd := testenv.Child{Name: name, Env: env, Files: []*os.File{f}}.Command(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("child %s: %q, %v", name, line, err)
	}
	return cmd
}

// send sends the life's next record, of a length that is its own.
func (s *shared) send(ctx context.Context, p *Producer, m message) error {
	begun := func() error {
		if s.shape.Delivery == ToOne {
			c := s.cell(m)
			if v := c.Load(); v&wasCommitted != 0 && v&(cameFresh|cameAgain) == 0 {
				return fmt.Errorf("record %d of life %d is lost", v>>cellBits, m.Life)
			}
			c.Store(uint64(m.Nth) << cellBits)
		}
		s.word(m.Life, atBegun).Store(uint64(m.Nth))
		return nil
	}
	if s.typed {
		if err := begun(); err != nil {
			return err
		}
		if err := (Sender[message]{p}).Send(ctx, m); err != nil {
			return err
		}
	} else if err := s.sendBytes(ctx, p, m, begun); err != nil {
		return err
	}
	if s.shape.Delivery == ToOne {
		s.note(m, wasCommitted)
	}
	s.word(m.Life, atCommitted).Store(uint64(m.Nth))
	return nil
}

// sendBytes sends a message with something behind it: in place, where it can be.
func (s *shared) sendBytes(ctx context.Context, p *Producer, m message, begun func() error) error {
	size := 12 + int(m.Nth*7919%40)
	if m.Nth%64 == 0 {
		size = 1500 // in a block
	}
	fill := func(b []byte) []byte {
		for i, v := range []uint32{m.Life, m.Nth, m.Nth} {
			binary.NativeEndian.PutUint32(b[4*i:], v)
		}
		for i := range b[12:] {
			b[12+i] = byte(m.Nth)
		}
		return b
	}
	if s.shape.Delivery == Overwrite {
		if err := begun(); err != nil {
			return err
		}
		return p.Send(ctx, fill(make([]byte, size)))
	}
	v, err := p.Reserve(ctx, size)
	if err != nil {
		return err
	}
	fill(v.Bytes())
	if err := begun(); err != nil {
		return err
	}
	return v.Commit(size)
}

// note notes in the record's cell what was done with it, unless the cell has gone
// to another, and answers what was there.
func (s *shared) note(m message, what uint64) uint64 {
	c := s.cell(m)
	for {
		v := c.Load()
		if v>>cellBits != uint64(m.Nth) || c.CompareAndSwap(v, v|what) {
			return v
		}
	}
}

// read is the message of a record, which must be whole.
func read(b []byte) (m message, err error) {
	if len(b) < 12 {
		return m, fmt.Errorf("a record of %d bytes", len(b))
	}
	m = message{binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[8:])}
	if m.Again != m.Nth || slices.ContainsFunc(b[12:], func(x byte) bool { return x != byte(m.Nth) }) {
		return m, fmt.Errorf("record %v is torn: %v", m, b)
	}
	return m, nil
}

// An intake is somebody to whom records come. came and lost say how many.
type intake struct {
	s          *shared
	c          *Consumer
	rd         *Reader
	buf        []byte
	last       map[uint32]uint32 // of each life
	came, lost uint64
}

func (s *shared) intake() (in *intake, err error) {
	in = &intake{s: s, buf: make([]byte, 2000), last: map[uint32]uint32{}}
	if s.shape.Delivery == Overwrite {
		in.rd, err = s.r.NewReader()
	} else {
		in.c, err = s.r.NewConsumer()
	}
	return in, err
}

// receive takes a record, and wants it to be one that may come now.
func (in *intake) receive(ctx context.Context) error {
	if in.rd != nil {
		n, err := in.rd.Recv(ctx, in.buf)
		in.lost = in.rd.Lost()
		if err != nil {
			return err
		}
		return in.follows(in.buf[:n])
	}
	v, err := in.c.Next(ctx)
	if err != nil {
		return err
	}
	if in.s.shape.Delivery == ToAll {
		if err := in.follows(v.Bytes()); err != nil {
			return err
		}
		return v.Release()
	}
	m, err := read(v.Bytes())
	if err != nil {
		return err
	}
	came := uint64(cameFresh)
	if v.Redelivered() {
		came = cameAgain
	}
	switch before := in.s.note(m, came); {
	case before>>cellBits != uint64(m.Nth):
		return fmt.Errorf("record %v came, and there it was %d", m, before>>cellBits)
	case before&wasReleased != 0:
		return fmt.Errorf("record %v came after its release", m)
	case before&came&cameFresh != 0:
		return fmt.Errorf("record %v came twice without a mark", m)
	}
	in.came++
	if err := v.Release(); err != nil {
		return err
	}
	in.s.note(m, wasReleased)
	return nil
}

// follows wants a record to be the next of its life, or the first of it that this
// one sees; where the oldest are overwritten, a later one.
func (in *intake) follows(b []byte) error {
	m, err := read(b)
	if err != nil {
		return err
	}
	last, seen := in.last[m.Life]
	if seen && m.Nth != last+1 && (in.rd == nil || m.Nth <= last) {
		return fmt.Errorf("record %v came after %d", m, last)
	}
	in.last[m.Life] = m.Nth
	in.came++
	return nil
}

var _ = testenv.Register("ring.load", func() {
	number := func(name string) int {
		n, err := strconv.Atoi(os.Getenv(name))
		die(err)
		return n
	}
	s := loads[number("RING_LOAD")].attach()
	life, does := uint32(number("RING_LIFE")), role(number("RING_ROLE"))
	ctx := context.Background()
	var p *Producer
	var in *intake
	var err error
	if does&produces != 0 {
		p, err = s.r.NewProducer()
		die(err)
	}
	if does&consumes != 0 {
		in, err = s.intake()
		die(err)
	}
	fmt.Println("ready")
	if in != nil {
		go func() {
			for {
				die(in.receive(ctx))
				s.word(life, atReceived).Store(in.came + in.lost)
			}
		}()
	}
	for n := uint32(1); p != nil; n++ {
		die(s.send(ctx, p, message{life, n, n}))
	}
	select {}
})

// TestRandomKills kills processes that send and receive, at random moments, for
// every kind of ring. After each the others go on within a second, and at the end
// every record that was committed has come, and not twice. MMAP_KILLS says how many
// of each; few by default.
func TestRandomKills(t *testing.T) {
	kills := 5
	if s := os.Getenv("MMAP_KILLS"); s != "" {
		kills = must[int](t)(strconv.Atoi(s))
	}
	for i, l := range loads {
		t.Run(l.name, func(t *testing.T) { l.killed(t, i, kills) })
	}
}

// A victim is a process of a load.
type victim struct {
	*exec.Cmd
	life uint32
	does role
	// when it was last found to go on
	committed, received uint64
}

func (l load) killed(t *testing.T, number, kills int) {
	lives := kills + len(l.crew)
	s := l.share(t, lives)
	random := rand.New(rand.NewPCG(testenv.Seed(t), uint64(number)))
	// Where records come to everybody, somebody sees them all.
	var witness *intake
	saw := make(chan error, 1)
	if l.shape.Delivery != ToOne {
		witness = must[*intake](t)(s.intake())
		go func() {
			for {
				if err := witness.receive(t.Context()); err != nil {
					saw <- err
					return
				}
			}
		}()
	}
	var crew []*victim
	spawn := func(does role, life int) {
		cmd := s.child(t, "ring.load", fmt.Sprint("RING_LOAD=", number), fmt.Sprint("RING_LIFE=", life), fmt.Sprint("RING_ROLE=", int(does)))
		crew = append(crew, &victim{Cmd: cmd, life: uint32(life), does: does})
	}
	for life, does := range l.crew {
		spawn(does, life)
	}
	slowest := time.Duration(0)
	for i := range kills {
		time.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond)
		at := len(crew) - 1 // the newest, which is busy for sure
		if random.IntN(3) == 0 {
			at = random.IntN(len(crew))
		}
		dies := crew[at]
		ok(t, dies.Process.Kill())
		crew = slices.Delete(crew, at, at+1)
		left := role(0)
		for _, v := range crew {
			left |= v.does
		}
		if left != both { // somebody must take its place before anything can go on
			spawn(dies.does, i+len(l.crew))
		}
		slowest = max(slowest, s.goesOn(t, crew))
		dies.Wait()
		if left == both {
			spawn(dies.does, i+len(l.crew))
		}
	}
	for _, v := range crew {
		ok(t, v.Process.Kill())
		v.Wait()
	}
	s.drain(t, saw)
	s.judge(t, lives, witness)
	st := must[Stats](t)(s.r.Stats())
	if st.Repairs == 0 && kills > 0 {
		t.Error("nothing was repaired")
	}
	t.Logf("%d kills, %d records, %d came again; the longest that one held the others up: %v", kills, st.Sent, st.Redelivered, slowest)
	if slowest > time.Second {
		t.Errorf("the others were held up for %v", slowest)
	}
}

// goesOn waits until each of the crew has gone on: who produces has sent another,
// and to who consumes more have come than were on their way. Where each record goes
// to one, those came to all together, and another to each.
func (s *shared) goesOn(t *testing.T, crew []*victim) time.Duration {
	t.Helper()
	began := time.Now()
	for _, v := range crew {
		v.committed, v.received = s.word(v.life, atCommitted).Load(), s.word(v.life, atReceived).Load()
	}
	for {
		waits, together := "", uint64(0)
		for _, v := range crew {
			committed, received := s.word(v.life, atCommitted).Load(), s.word(v.life, atReceived).Load()
			least := v.received + 2*uint64(s.shape.Slots)
			if s.shape.Delivery == ToOne {
				least = v.received + 1
			}
			if v.does&produces != 0 && committed == v.committed || v.does&consumes != 0 && received < least {
				waits += fmt.Sprintf("life %d has sent %d since, and %d have come to it\n", v.life, committed-v.committed, received-v.received)
			}
			together += received - v.received
		}
		took := time.Since(began)
		if waits == "" && together >= 2*uint64(s.shape.Slots) {
			return took
		}
		if took > 20*time.Second {
			t.Fatalf("after %v\n%s%s", took, waits, s.r.dump())
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// drain ends the ring, and has all records that are left received: by a newcomer,
// or by the witness, who tells why it stopped.
func (s *shared) drain(t *testing.T, saw chan error) {
	t.Helper()
	p := producer(t, s.r)
	if s.shape.Delivery == ToOne {
		in := must[*intake](t)(s.intake())
		go func() {
			for {
				if err := in.receive(t.Context()); err != nil {
					saw <- err
					return
				}
			}
		}()
	}
	ok(t, p.End(t.Context()))
	if err := <-saw; err != io.EOF {
		t.Fatal(err)
	}
}

// judge looks at what all lives have done when everything has been received.
func (s *shared) judge(t *testing.T, lives int, witness *intake) {
	t.Helper()
	var committed, begun uint64
	for life := range uint32(lives) {
		b, c := s.word(life, atBegun).Load(), s.word(life, atCommitted).Load()
		begun, committed = begun+b, committed+c
		switch s.shape.Delivery {
		case ToAll: // every one came: follows has seen that none is missing before the last
			if last := uint64(witness.last[life]); last < c || last > b {
				t.Errorf("life %d has begun %d records and committed %d, and %d have come", life, b, c, last)
			}
		case ToOne:
			for i := range int64(lifeCells) {
				if v := s.word(life, atCells+8*i).Load(); v&wasCommitted != 0 && v&(cameFresh|cameAgain) == 0 {
					t.Errorf("record %d of life %d is lost", v>>cellBits, life)
				}
			}
		}
	}
	st := must[Stats](t)(s.r.Stats())
	if st.Sent < committed || st.Sent > begun {
		t.Errorf("%d records were committed, %d begun, and the ring tells of %d", committed, begun, st.Sent)
	}
	if s.shape.Delivery == Overwrite {
		// One whose life ended between its commit and telling so is in neither figure.
		if all := witness.came + witness.lost; all < committed || all > begun {
			t.Errorf("%d records were committed, %d begun; %d came and %d were lost", committed, begun, witness.came, witness.lost)
		}
	}
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
