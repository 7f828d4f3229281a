package ring

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"runtime"

	"github.com/memwright/mmap/internal/word"
	"github.com/memwright/mmap/shm/shmsync"
)

// The memory of a stream. Each group of words has lines of its own and is stored
// by one side.
//
//	0    magic, data bytes        fixed when the stream is made
//	128  tail, who writes         the writer's
//	256  head, who reads          the reader's
//	384  how the reader is woken  the reader says so before it sleeps
//	512  how the writer is woken  the writer says so before it sleeps
//	640  the data
//
// tail and head count bytes from the beginning of the stream, and only grow. The
// highest bit says that the side has closed. tail-head bytes are on their way.
//
//	a side   free  ──▶ taken   by the participant whose name is stored there
//	         taken ──▶ closed  by that participant; for ever
//	         taken ──▶ dead    when that participant is no more; for ever
const (
	streamMagic  = 0x31306d7473676e72 // "rngstm01", the lowest byte first
	streamHeader = 5 * lineBytes
	streamUnit   = 64 // a stream is this long, or a multiple
	streamMost   = 1 << 40

	closedBit = 1 << 63
)

// A Wake says how one who waits wants to be woken.
type Wake uint32

const (
	WakeNone  Wake = iota // not at all: it does not sleep
	WakeFutex             // by Notify: it sleeps on the word in which it says so
	WakeBell              // by the caller of Notify, who rings what both have agreed on
)

// A Stream is bytes in order from one writer to one reader. Each side is taken
// once: a side whose participant dies is not taken up by another.
type Stream struct {
	space *shmsync.Space
	data  []byte
	ends  [2]streamEnd // the writer's and the reader's
}

// streamEnd is the shared words of one side.
type streamEnd struct {
	position *word.U64
	owner    *word.U32 // a shmsync.Owner
	wake     *word.U32 // how this side is woken
}

// StreamSize is how many bytes a stream of n data bytes takes. n is a multiple of
// 64 from 64 to 2^40, or to 2^31 - 704 where an int has 32 bits.
// Some MiB are fastest: the two sides meet less often than in a shorter stream, and
// the data stay in the processors' caches, as those of a longer one do not.
func StreamSize(n int) (int, error) {
	if n < streamUnit || uint64(n) > streamMost || n%streamUnit != 0 || n > math.MaxInt-streamHeader {
		return 0, fmt.Errorf("ring: a stream of %d bytes, not a multiple of %d from %[2]d to 2^40, or more than can be addressed: %w", n, streamUnit, fs.ErrInvalid)
	}
	return streamHeader + n, nil
}

// CreateStream makes a stream of n data bytes at an offset of s, a multiple of
// 128. StreamSize(n) bytes are zero there and known to nobody else yet.
func CreateStream(s *shmsync.Space, off int64, n int) (_ *Stream, err error) {
	defer s.Guard().End(&err)
	size, err := StreamSize(n)
	if err != nil {
		return nil, err
	}
	if s.ReadOnly() {
		return nil, ErrReadOnly
	}
	b, err := memory(s, off, size)
	if err != nil {
		return nil, err
	}
	fixed := words(b, 0, 2)
	fixed[1].Store(uint64(n))
	fixed[0].Store(streamMagic)
	return newStream(s, b, n), unlessClosed(s, nil)
}

// OpenStream finds the stream that CreateStream has made at an offset of s.
func OpenStream(s *shmsync.Space, off int64) (_ *Stream, err error) {
	defer s.Guard().End(&err)
	if s.ReadOnly() {
		return nil, ErrReadOnly
	}
	b, err := memory(s, off, streamHeader)
	if err != nil {
		return nil, err
	}
	fixed := words(b, 0, 2)
	magic, n := fixed[0].Load(), fixed[1].Load()
	if err := unlessClosed(s, nil); err != nil {
		return nil, err
	}
	if magic != streamMagic || n > streamMost || n > uint64(s.Size()) {
		return nil, fmt.Errorf("%w: no stream stands at %d", ErrCorrupt, off)
	}
	size, err := StreamSize(int(n))
	if err == nil {
		b, err = memory(s, off, size)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return newStream(s, b, int(n)), nil
}

func newStream(s *shmsync.Space, b []byte, n int) *Stream {
	end := func(line, wake int) streamEnd {
		return streamEnd{&words(b, line*lineBytes, 1)[0], word32(b, line*lineBytes+8), word32(b, wake*lineBytes)}
	}
	return &Stream{s, b[streamHeader : streamHeader+n], [2]streamEnd{end(1, 4), end(2, 3)}}
}

// Len is how many bytes can be on their way.
func (s *Stream) Len() int { return len(s.data) }

// Writer takes the writing side. It fails with ErrTaken if anybody ever had it.
func (s *Stream) Writer() (*StreamWriter, error) {
	w := new(StreamWriter)
	return w, s.take(0, &w.streamSide)
}

// Reader takes the reading side. It fails with ErrTaken if anybody ever had it.
func (s *Stream) Reader() (*StreamReader, error) {
	r := new(StreamReader)
	return r, s.take(1, &r.streamSide)
}

func (s *Stream) take(end int, side *streamSide) (err error) {
	defer s.space.Guard().End(&err)
	self := s.space.Self()
	if self == 0 {
		return shmsync.ErrNoParticipant
	}
	if !s.ends[end].owner.CompareAndSwap(0, uint32(self)) {
		return ErrTaken
	}
	*side = streamSide{space: s.space, fragile: s.space.Fragile(), data: s.data, us: s.ends[end], them: s.ends[1-end], sleeper: s.space.NewSleeper()}
	return unlessClosed(s.space, nil)
}

// streamSide is what both sides have in common. Nothing that the peer stores is
// read twice, and what we have stored is not read back. One goroutine at a time
// uses a side; Notify, Arm, Armed and PeerAlive may be called beside it.
type streamSide struct {
	space   *shmsync.Space
	fragile bool // as in Ring
	data    []byte
	us      streamEnd
	them    streamEnd
	sleeper *shmsync.Sleeper

	position uint64 // ours, as last published
	at       int    // where that is in data
	seen     uint64 // theirs, as last read and checked
	held     int    // bytes handed out and not committed or released yet
	closed   bool   // we have closed
	ended    bool   // they have closed, and seen is final
	err      error  // why this side can't go on
}

// guarded runs f with a guard. The calls that are made for each message ask first
// whether pages can be lost: a function that may defer costs a tenth of their time.
func (e *streamSide) guarded(f func() error) (err error) {
	defer e.space.Guard().End(&err)
	return f()
}

// look reads the peer's position anew: it must not have gone back, nor lie
// outside of [least, most].
func (e *streamSide) look(least, most uint64) error {
	if e.ended || e.err != nil {
		return e.err
	}
	p := e.them.position.Load()
	if e.space.Closed() {
		return fs.ErrClosed
	}
	at := p &^ closedBit
	if at < max(least, e.seen) || at > most {
		e.err = fmt.Errorf("%w: the other side's position is %d, not in [%d, %d]", ErrCorrupt, at, max(least, e.seen), most)
		return e.err
	}
	e.seen, e.ended = at, p&closedBit != 0
	return nil
}

// piece hands out n bytes from our position on, or those up to the data's end.
func (e *streamSide) piece(n uint64) []byte {
	e.held = int(min(n, uint64(len(e.data)-e.at)))
	to := e.at + e.held
	return e.data[e.at:to:to]
}

// advance publishes n of the bytes handed out.
func (e *streamSide) advance(n int) error {
	switch {
	case e.err != nil:
		return e.err
	case e.closed:
		return fs.ErrClosed
	case n < 0 || n > e.held:
		return fmt.Errorf("ring: %d bytes of the %d handed out: %w", n, e.held, fs.ErrInvalid)
	}
	e.held = 0
	if n > 0 {
		e.position += uint64(n)
		if e.at += n; e.at == len(e.data) {
			e.at = 0
		}
		e.us.position.Store(e.position)
	}
	return unlessClosed(e.space, nil)
}

func (e *streamSide) shut() (err error) {
	defer e.space.Guard().End(&err)
	if e.closed {
		return fs.ErrClosed
	}
	e.closed = true
	e.us.position.Store(e.position | closedBit)
	return unlessClosed(e.space, nil)
}

// Notify wakes the other side if it says that it sleeps. It answers true if that
// side wants a bell: the caller rings it. It costs one load while the other side
// is awake, and one call suffices for any number of commits or releases and for a
// Close. Without it the other side sleeps on.
func (e *streamSide) Notify() (ring bool, err error) {
	if e.fragile {
		err = e.guarded(func() (err error) { ring, err = e.notify(); return err })
		return ring, err
	}
	return e.notify()
}

func (e *streamSide) notify() (ring bool, err error) {
	if e.them.wake.Load() == uint32(WakeNone) {
		runtime.KeepAlive(e.space)
		return false, nil
	}
	defer runtime.KeepAlive(e.space)
	switch Wake(e.them.wake.Swap(uint32(WakeNone))) {
	case WakeNone:
		return false, nil
	case WakeBell:
		return true, nil
	}
	return false, word.Wake(e.them.wake, word.All)
}

// Arm says how the next Notify of the other side shall wake this one. After Arm
// and before it sleeps, this side must try once more: what was committed before
// the other side could see the word wakes nobody. Arm(WakeNone) takes it back. Where
// the memory is lost it does nothing, and the try says so.
func (e *streamSide) Arm(how Wake) {
	var err error
	defer e.space.Guard().End(&err)
	e.us.wake.Store(uint32(how))
}

// Armed is what Arm has said, or WakeNone once the other side has seen it and
// wakes us, or where the memory is lost.
func (e *streamSide) Armed() Wake {
	var err error
	defer e.space.Guard().End(&err)
	return Wake(e.us.wake.Load())
}

// PeerAlive reports false once the other side was taken and its participant is
// no more. It asks the kernel, so it is no call for every read. What the dead have
// committed can still be read.
func (e *streamSide) PeerAlive() (alive bool, err error) {
	defer e.space.Guard().End(&err)
	who := shmsync.Owner(e.them.owner.Load())
	if who == 0 {
		return true, unlessClosed(e.space, nil) // nobody yet
	}
	return e.space.Examine(who)
}

// wait returns when try answers something else than again, and with
// io.ErrUnexpectedEOF when the other side has died and try still answers again.
// The states of this side's wake word:
//
//	none  ──we, having found nothing──▶ futex  ──we, having found something──▶ none
//	                                    futex  ──they, before they wake us──▶ none
func (e *streamSide) wait(ctx context.Context, try func() error, again error) (err error) {
	defer e.space.Guard().End(&err)
	if err := ctx.Err(); err != nil {
		return err
	}
	for {
		err := again
		if e.sleeper.Spin(func() bool { err = try(); return err != again }) {
			return err
		}
		if err := e.intact(); err != nil {
			return err
		}
		e.Arm(WakeFutex)
		alive := true
		if who := shmsync.Owner(e.them.owner.Load()); who != 0 {
			alive = e.space.Alive(who) // before the last try: the dead commit nothing after it
		}
		if err = try(); err == again && alive {
			err = e.sleeper.Sleep(ctx, shmsync.Owner(e.them.owner.Load()), e.us.wake, uint32(WakeFutex))
			if err == nil {
				continue // woken, or for no reason: look again, and say anew what we want
			}
		} else if err == again {
			err = io.ErrUnexpectedEOF
		}
		e.Arm(WakeNone)
		return err
	}
}

// intact fails where somebody has taken away what must be there, and a sleep might
// not end: by a truncation, or by a hole, which reads as zeros.
func (e *streamSide) intact() error {
	if e.fragile {
		words(e.data, len(e.data)-8, 1)[0].Load() // a truncation takes the end first
	}
	var err error
	if e.us.owner.Load() != uint32(e.space.Self()) {
		err = fmt.Errorf("%w: this side was taken away", ErrCorrupt)
	}
	return unlessClosed(e.space, err)
}

// A StreamWriter is the writing side. One goroutine at a time uses it.
type StreamWriter struct{ streamSide }

// TryReserve hands out free bytes, in place: as many as lie together, n at most,
// one at least. Fill them and Commit. It fails with ErrFull, or with
// io.ErrClosedPipe once the reader has closed.
func (w *StreamWriter) TryReserve(n int) (b []byte, err error) {
	if w.fragile {
		err = w.guarded(func() (err error) { b, err = w.tryReserve(n); return err })
		return b, err
	}
	return w.tryReserve(n)
}

func (w *StreamWriter) tryReserve(n int) ([]byte, error) {
	if w.closed {
		return nil, fs.ErrClosed
	}
	if n < 1 {
		return nil, fmt.Errorf("ring: a reservation of %d bytes: %w", n, fs.ErrInvalid)
	}
	size := uint64(len(w.data))
	if size-(w.position-w.seen) < uint64(n) || w.ended || w.err != nil {
		if err := w.look(w.position-min(w.position, size), w.position); err != nil {
			return nil, err
		}
		if w.ended {
			return nil, io.ErrClosedPipe
		}
	}
	free := size - (w.position - w.seen)
	if free == 0 {
		return nil, ErrFull
	}
	return w.piece(min(free, uint64(n))), nil
}

// ReaderClosed reports whether nothing more will be read, by a new look at the
// reader's position. TryReserve tells it only once there is no room.
func (w *StreamWriter) ReaderClosed() (closed bool, err error) {
	defer w.space.Guard().End(&err)
	err = w.look(w.position-min(w.position, uint64(len(w.data))), w.position)
	return w.ended, err
}

// Commit publishes the first n bytes of what TryReserve has handed out; the rest
// is handed out again. Notify afterwards.
func (w *StreamWriter) Commit(n int) error {
	if w.fragile {
		return w.guarded(func() error { return w.advance(n) })
	}
	return w.advance(n)
}

// Close ends the stream: the reader gets io.EOF behind the last committed byte.
// Notify afterwards.
func (w *StreamWriter) Close() error { return w.shut() }

// Wait waits until TryReserve has something to say other than ErrFull. It fails
// with io.ErrUnexpectedEOF when the reader has died, and when ctx ends.
func (w *StreamWriter) Wait(ctx context.Context) error {
	return w.wait(ctx, func() error {
		if w.closed {
			return nil
		}
		if err := w.look(w.position-min(w.position, uint64(len(w.data))), w.position); err != nil {
			return nil // TryReserve tells
		}
		if !w.ended && w.position-w.seen == uint64(len(w.data)) {
			return ErrFull
		}
		return nil
	}, ErrFull)
}

// writePiece is how much Write publishes at once: so that a reader copies while
// more is being written, and out of the processors' caches.
const writePiece = 64 << 10

// Write writes all of p, and waits while the stream is full. On error it answers
// how many bytes the reader will get: none, where the memory is lost. It notifies by itself, and not a reader that
// wants a bell.
func (w *StreamWriter) Write(ctx context.Context, p []byte) (n int, err error) {
	if w.fragile {
		err = w.guarded(func() (err error) { n, err = w.write(ctx, p); return err })
		return n, err
	}
	return w.write(ctx, p)
}

func (w *StreamWriter) write(ctx context.Context, p []byte) (n int, err error) {
	for n < len(p) {
		b, err := w.tryReserve(min(len(p)-n, writePiece))
		if err == ErrFull {
			err = w.Wait(ctx)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return n, err
		}
		c := copy(b, p[n:])
		if err := w.advance(c); err != nil {
			return n, err
		}
		n += c
		if _, err := w.notify(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// A StreamReader is the reading side. One goroutine at a time uses it.
type StreamReader struct{ streamSide }

// TryNext hands out committed bytes, in place: as many as lie together, n at
// most, one at least. Use them and Release. They may change under the reader if
// the writer means harm. It fails with ErrEmpty, or with io.EOF behind the last
// byte of a writer that has closed.
func (r *StreamReader) TryNext(n int) (b []byte, err error) {
	if r.fragile {
		err = r.guarded(func() (err error) { b, err = r.tryNext(n); return err })
		return b, err
	}
	return r.tryNext(n)
}

func (r *StreamReader) tryNext(n int) ([]byte, error) {
	if r.closed {
		return nil, fs.ErrClosed
	}
	if n < 1 {
		return nil, fmt.Errorf("ring: %d bytes wanted: %w", n, fs.ErrInvalid)
	}
	if r.seen-r.position < uint64(n) {
		if err := r.look(r.position, r.position+uint64(len(r.data))); err != nil {
			return nil, err
		}
	}
	switch there := r.seen - r.position; {
	case there > 0:
		return r.piece(min(there, uint64(n))), nil
	case r.ended:
		return nil, io.EOF
	default:
		return nil, ErrEmpty
	}
}

// Release gives the first n bytes of what TryNext has handed out back to the
// writer; the rest is handed out again. Notify afterwards.
func (r *StreamReader) Release(n int) error {
	if r.fragile {
		return r.guarded(func() error { return r.advance(n) })
	}
	return r.advance(n)
}

// Close says that nothing more will be read: the writer gets io.ErrClosedPipe.
// Notify afterwards.
func (r *StreamReader) Close() error { return r.shut() }

// Wait waits until TryNext has something to say other than ErrEmpty. It fails with
// io.ErrUnexpectedEOF when the writer has died without Close and nothing is left
// to read, and when ctx ends.
func (r *StreamReader) Wait(ctx context.Context) error {
	return r.wait(ctx, func() error {
		if r.closed {
			return nil
		}
		if err := r.look(r.position, r.position+uint64(len(r.data))); err != nil {
			return nil // TryNext tells
		}
		if !r.ended && r.seen == r.position {
			return ErrEmpty
		}
		return nil
	}, ErrEmpty)
}

// Read reads what there is, len(p) bytes at most, and waits while there is
// nothing. It notifies by itself, and not a writer that wants a bell.
func (r *StreamReader) Read(ctx context.Context, p []byte) (n int, err error) {
	if r.fragile {
		err = r.guarded(func() (err error) { n, err = r.read(ctx, p); return err })
		return n, err
	}
	return r.read(ctx, p)
}

func (r *StreamReader) read(ctx context.Context, p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		b, err := r.tryNext(len(p) - n)
		switch {
		case err == nil:
		case n > 0:
			_, err = r.notify()
			return n, err
		case err == ErrEmpty:
			if err = r.Wait(ctx); err == nil {
				continue
			}
			fallthrough
		default:
			return 0, err
		}
		c := copy(p[n:], b)
		if err := r.advance(c); err != nil {
			return n, err
		}
		if n += c; n == len(p) {
			_, err := r.notify()
			return n, err
		}
	}
}
