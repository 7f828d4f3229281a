package ring

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/shmsync"
)

// TestClosedSegment: once the segment is closed its memory is private zeros. No call
// takes those for a ring: what it says it has sent has been sent.
func TestClosedSegment(t *testing.T) {
	ctx := context.Background()
	toOne, toAll, over := Options{}, Options{Delivery: ToAll}, Options{Delivery: Overwrite}
	producer := func(t *testing.T, s *shmsync.Space, o Options) *Producer {
		r := must[*Ring](t)(Create(s, 1<<14, o))
		return must[*Producer](t)(r.NewProducer())
	}
	consumer := func(t *testing.T, s *shmsync.Space, o Options) *Consumer {
		r := must[*Ring](t)(Create(s, 1<<14, o))
		c := must[*Consumer](t)(r.NewConsumer())
		ok(t, must[*Producer](t)(r.NewProducer()).Send(ctx, []byte("a")))
		return c
	}
	record := func(t *testing.T, s *shmsync.Space, o Options) *Record {
		v := must[Record](t)(consumer(t, s, o).TryNext())
		return &v
	}
	stream := func(t *testing.T, s *shmsync.Space) (*StreamWriter, *StreamReader) {
		st := must[*Stream](t)(CreateStream(s, 1<<14, 1<<12))
		w, r := must[*StreamWriter](t)(st.Writer()), must[*StreamReader](t)(st.Reader())
		_, err := w.Write(ctx, []byte("abc"))
		ok(t, err)
		return w, r
	}
	tests := map[string]func(t *testing.T, s *shmsync.Space) (late func() error){
		"the first TrySend": func(t *testing.T, s *shmsync.Space) func() error {
			p := producer(t, s, toOne)
			return func() error { return p.TrySend([]byte("b")) }
		},
		"TrySend after another": func(t *testing.T, s *shmsync.Space) func() error {
			p := producer(t, s, toOne)
			ok(t, p.Send(ctx, []byte("a")))
			return func() error { return p.TrySend([]byte("b")) }
		},
		"Send to all": func(t *testing.T, s *shmsync.Space) func() error {
			p := producer(t, s, toAll)
			return func() error { return p.Send(ctx, []byte("b")) }
		},
		"Send over others": func(t *testing.T, s *shmsync.Space) func() error {
			p := producer(t, s, over)
			return func() error { return p.Send(ctx, []byte("b")) }
		},
		"SendBatch": func(t *testing.T, s *shmsync.Space) func() error {
			p := producer(t, s, toOne)
			return func() error { _, err := p.SendBatch(ctx, []byte("b")); return err }
		},
		"Commit": func(t *testing.T, s *shmsync.Space) func() error {
			v := must[Reservation](t)(producer(t, s, toOne).TryReserve(8))
			return func() error { return v.Commit(8) }
		},
		"Abort": func(t *testing.T, s *shmsync.Space) func() error {
			v := must[Reservation](t)(producer(t, s, toOne).TryReserve(8))
			return func() error { return v.Abort() }
		},
		"End": func(t *testing.T, s *shmsync.Space) func() error {
			p := producer(t, s, toOne)
			return func() error { return p.End(ctx) }
		},
		"TryNext": func(t *testing.T, s *shmsync.Space) func() error {
			c := consumer(t, s, toOne)
			return func() error { _, err := c.TryNext(); return err }
		},
		"Next of all": func(t *testing.T, s *shmsync.Space) func() error {
			c := consumer(t, s, toAll)
			return func() error { _, err := c.Next(ctx); return err }
		},
		"Release": func(t *testing.T, s *shmsync.Space) func() error { return record(t, s, toOne).Release },
		"Release of all": func(t *testing.T, s *shmsync.Space) func() error {
			return record(t, s, toAll).Release
		},
		"Return": func(t *testing.T, s *shmsync.Space) func() error { return record(t, s, toOne).Return },
		"a reader's TryRecv": func(t *testing.T, s *shmsync.Space) func() error {
			r := must[*Reader](t)(producer(t, s, over).r.NewReader())
			return func() error { _, err := r.TryRecv(nil); return err }
		},
		"a reader's Recv": func(t *testing.T, s *shmsync.Space) func() error {
			r := must[*Reader](t)(producer(t, s, over).r.NewReader())
			return func() error { _, err := r.Recv(ctx, nil); return err }
		},
		"Create": func(t *testing.T, s *shmsync.Space) func() error {
			return func() error { _, err := Create(s, 1<<14, toOne); return err }
		},
		"Open": func(t *testing.T, s *shmsync.Space) func() error {
			must[*Ring](t)(Create(s, 1<<14, toOne))
			return func() error { _, err := Open(s, 1<<14, toOne); return err }
		},
		"Observe": func(t *testing.T, s *shmsync.Space) func() error {
			must[*Ring](t)(Create(s, 1<<14, toOne))
			return func() error { _, err := Observe(s, 1<<14); return err }
		},
		"NewProducer": func(t *testing.T, s *shmsync.Space) func() error {
			r := must[*Ring](t)(Create(s, 1<<14, toOne))
			return func() error { _, err := r.NewProducer(); return err }
		},
		"NewConsumer": func(t *testing.T, s *shmsync.Space) func() error {
			r := must[*Ring](t)(Create(s, 1<<14, toAll))
			return func() error { _, err := r.NewConsumer(); return err }
		},
		"NewReader": func(t *testing.T, s *shmsync.Space) func() error {
			r := must[*Ring](t)(Create(s, 1<<14, over))
			return func() error { _, err := r.NewReader(); return err }
		},
		"Stats": func(t *testing.T, s *shmsync.Space) func() error {
			r := must[*Ring](t)(Create(s, 1<<14, toOne))
			return func() error { _, err := r.Stats(); return err }
		},
		"a producer's Close": func(t *testing.T, s *shmsync.Space) func() error {
			return producer(t, s, toOne).Close
		},
		"a consumer's Close": func(t *testing.T, s *shmsync.Space) func() error {
			return consumer(t, s, toOne).Close
		},
		"CreateStream": func(t *testing.T, s *shmsync.Space) func() error {
			return func() error { _, err := CreateStream(s, 1<<14, 1<<12); return err }
		},
		"OpenStream": func(t *testing.T, s *shmsync.Space) func() error {
			stream(t, s)
			return func() error { _, err := OpenStream(s, 1<<14); return err }
		},
		"a stream's Writer": func(t *testing.T, s *shmsync.Space) func() error {
			st := must[*Stream](t)(CreateStream(s, 1<<14, 1<<12))
			return func() error { _, err := st.Writer(); return err }
		},
		"a stream's PeerAlive": func(t *testing.T, s *shmsync.Space) func() error {
			w, _ := stream(t, s)
			return func() error { _, err := w.PeerAlive(); return err }
		},
		"a stream's ReaderClosed": func(t *testing.T, s *shmsync.Space) func() error {
			w, _ := stream(t, s)
			return func() error { _, err := w.ReaderClosed(); return err }
		},
		"a stream's Close": func(t *testing.T, s *shmsync.Space) func() error {
			w, _ := stream(t, s)
			return w.Close
		},
		"a stream's Wait": func(t *testing.T, s *shmsync.Space) func() error {
			w, _ := stream(t, s)
			return func() error {
				if err := w.Wait(ctx); err != nil {
					return err
				}
				_, err := w.TryReserve(1)
				return err
			}
		},
		"a stream's Commit": func(t *testing.T, s *shmsync.Space) func() error {
			w, _ := stream(t, s)
			must[[]byte](t)(w.TryReserve(3))
			return func() error { return w.Commit(3) }
		},
		"a stream's Write": func(t *testing.T, s *shmsync.Space) func() error {
			w, _ := stream(t, s)
			return func() error { _, err := w.Write(ctx, []byte("b")); return err }
		},
		"a stream's Read": func(t *testing.T, s *shmsync.Space) func() error {
			_, r := stream(t, s)
			return func() error { _, err := r.Read(ctx, make([]byte, 9)); return err }
		},
		"a stream's Release": func(t *testing.T, s *shmsync.Space) func() error {
			_, r := stream(t, s)
			must[[]byte](t)(r.TryNext(3))
			return func() error { return r.Release(3) }
		},
	}
	for name, begin := range tests {
		t.Run(name, func(t *testing.T) {
			seg, err := shm.Anonymous(1<<20, shm.Options{})
			if errors.Is(err, errors.ErrUnsupported) {
				testenv.Skip(t, err.Error())
			}
			ok(t, err)
			late := begin(t, seg.Space())
			ok(t, seg.Close())
			if err := late(); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("%v, want %v", err, fs.ErrClosed)
			}
		})
	}
}

// TestClosedWhileReadOnlyReads: a reader that may not write the memory, and so polls
// it, ends with its segment too.
func TestClosedWhileReadOnlyReads(t *testing.T) {
	seg, err := shm.Anonymous(1<<20, shm.Options{})
	if errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	ok(t, err)
	defer seg.Close()
	must[*Ring](t)(Create(seg.Space(), 1<<14, Options{Delivery: Overwrite}))
	f, err := seg.FileReadOnly()
	ok(t, err)
	defer f.Close()
	look, err := shm.Attach(f, shm.Options{ReadOnly: true})
	ok(t, err)
	r := must[*Ring](t)(Open(look.Space(), 1<<14, Options{Delivery: Overwrite}))
	rd := must[*Reader](t)(r.NewReader())
	ended := make(chan error)
	go func() {
		_, err := rd.Recv(context.Background(), nil)
		ended <- err
	}()
	ok(t, look.Close())
	if err := <-ended; !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
}

// TestSizeFits: a slab that no address space of 32 bits could hold is refused there,
// and its size does not come round.
func TestSizeFits(t *testing.T) {
	o := Options{Delivery: Overwrite, Slots: 1 << 25, SlotBytes: 8, Blocks: 16, BlockBytes: 1<<28 - 1}
	if size, err := o.Size(); err == nil && uint64(size) < 16<<28 || err != nil && !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("%d bytes, %v", size, err)
	}
}
