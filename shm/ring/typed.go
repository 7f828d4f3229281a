package ring

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"reflect"

	"github.com/memwright/mmap/internal/mem"
)

// OptionsFor is o for records that are values of type T: a slot holds one value,
// and Type is T's, as shm.ABI has it. Create and Open a ring with it for SenderOf
// and ReceiverOf. T has bytes, and is free of pointers.
func OptionsFor[T any](o Options) (Options, error) {
	size, _ := mem.Layout[T]()
	if size == 0 || !mem.PointerFree[T]() {
		return o, fmt.Errorf("ring: %v has no bytes, or holds Go pointers: %w", reflect.TypeFor[T](), fs.ErrInvalid)
	}
	o.SlotBytes, o.Type = up(size, 8), mem.ABI[T]()
	return o, nil
}

// holds wants the records of r to be values of type T.
func holds[T any](r *Ring) error {
	if !mem.PointerFree[T]() || r.Type != mem.ABI[T]() {
		return fmt.Errorf("ring: the ring's records are no values of %v: %w", reflect.TypeFor[T](), fs.ErrInvalid)
	}
	return nil
}

// A Sender puts values of type T into a ring. One goroutine at a time uses it.
type Sender[T any] struct{ p *Producer }

// SenderOf is a Producer as a Sender. The ring was made with OptionsFor[T].
func SenderOf[T any](p *Producer) (Sender[T], error) {
	return Sender[T]{p}, holds[T](p.r)
}

// Send sends a copy of v, and waits while the ring is full.
func (s Sender[T]) Send(ctx context.Context, v T) error { return s.p.Send(ctx, mem.BytesOf(&v)) }

// TrySend sends a copy of v, or fails with ErrFull.
func (s Sender[T]) TrySend(v T) error { return s.p.TrySend(mem.BytesOf(&v)) }

// SendBatch sends copies of the values, and wakes consumers once. On error it
// answers how many were sent.
func (s Sender[T]) SendBatch(ctx context.Context, batch []T) (n int, err error) {
	defer s.p.r.space.Guard().End(&err)
	defer s.p.hush()()
	for n < len(batch) && err == nil {
		if err = s.p.sendQuietly(ctx, mem.BytesOf(&batch[n])); err == nil {
			n++
		}
	}
	return n, s.p.rung(err)
}

// A Receiver takes values of type T from a ring. One goroutine at a time uses it.
type Receiver[T any] struct{ c *Consumer }

// ReceiverOf is a Consumer as a Receiver. The ring was made with OptionsFor[T].
func ReceiverOf[T any](c *Consumer) (Receiver[T], error) {
	return Receiver[T]{c}, holds[T](c.r)
}

// Recv takes the next value and releases its record. It waits while there is none.
func (r Receiver[T]) Recv(ctx context.Context) (v T, err error) {
	rec, err := r.c.Next(ctx)
	if err != nil {
		return v, err
	}
	return v, rec.value(mem.BytesOf(&v))
}

// TryRecv is Recv that fails with ErrEmpty instead of waiting.
func (r Receiver[T]) TryRecv() (v T, err error) {
	rec, err := r.c.TryNext()
	if err != nil {
		return v, err
	}
	return v, rec.value(mem.BytesOf(&v))
}

// value copies the record into b, which has its length, and releases it.
func (v *Record) value(b []byte) (err error) {
	if v.c.r.fragile {
		defer v.c.r.space.Guard().End(&err)
	}
	if len(v.bytes) != len(b) {
		return fmt.Errorf("%w: a record of %d bytes among values of %d", ErrCorrupt, len(v.bytes), len(b))
	}
	copy(b, v.bytes)
	return v.Release()
}

// RecvBatch takes as many values as there are, len(into) at most, and waits while
// there is none.
func (r Receiver[T]) RecvBatch(ctx context.Context, into []T) (n int, err error) {
	if len(into) == 0 {
		return 0, nil
	}
	if into[0], err = r.Recv(ctx); err != nil {
		return 0, err
	}
	for n = 1; n < len(into); n++ {
		if into[n], err = r.TryRecv(); err == ErrEmpty || err == io.EOF {
			break // the next call tells
		} else if err != nil {
			return n, err
		}
	}
	return n, nil
}

// All yields every value until the ring's end, ctx's, or an error, which is yielded
// last.
func (r Receiver[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := r.Recv(ctx)
			if err == io.EOF || !yield(v, err) || err != nil {
				return
			}
		}
	}
}
