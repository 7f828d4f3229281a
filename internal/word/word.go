package word

import (
	"sync/atomic"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/sys"
)

// U32 is a word of 32 bits, aligned to 4 bytes: what a process can sleep on.
type U32 struct{ v uint32 }

// Load reads the word.
func (w *U32) Load() uint32 {
	if Stepped {
		step("load")
	}
	return atomic.LoadUint32(&w.v)
}

// Store writes v.
func (w *U32) Store(v uint32) {
	if Stepped {
		step("store")
	}
	atomic.StoreUint32(&w.v, v)
}

// Swap writes v and returns what was there.
func (w *U32) Swap(v uint32) uint32 {
	if Stepped {
		step("swap")
	}
	return atomic.SwapUint32(&w.v, v)
}

// CompareAndSwap writes v if the word holds old, and reports whether it did.
func (w *U32) CompareAndSwap(old, v uint32) bool {
	if Stepped {
		step("cas")
	}
	return atomic.CompareAndSwapUint32(&w.v, old, v)
}

// Add adds delta, which wraps, and returns the sum.
func (w *U32) Add(delta uint32) uint32 {
	if Stepped {
		step("add")
	}
	return atomic.AddUint32(&w.v, delta)
}

// Peek is Load without a step, for a Stepper and for words that no other process
// sees.
func (w *U32) Peek() uint32 { return atomic.LoadUint32(&w.v) }

// Bump adds 1 without a step, for words that no other process sees.
func (w *U32) Bump() { atomic.AddUint32(&w.v, 1) }

// U64 is a word of 64 bits, aligned to 8 bytes.
type U64 struct {
	_ [0]atomic.Uint64 // aligned to 8 bytes on 32-bit machines too
	v uint64
}

// Load reads the word.
func (w *U64) Load() uint64 {
	if Stepped {
		step("load")
	}
	return atomic.LoadUint64(&w.v)
}

// Store writes v.
func (w *U64) Store(v uint64) {
	if Stepped {
		step("store")
	}
	atomic.StoreUint64(&w.v, v)
}

// Tell writes v for somebody to look at: whole, and in no order with other words. It
// is no step. Where stores are seen in their order it costs no more than a plain one.
func (w *U64) Tell(v uint64) {
	if sys.StoresInOrder {
		w.v = v // of the size of a machine word: seen whole (go.dev/ref/mem#restrictions)
		return
	}
	atomic.StoreUint64(&w.v, v)
}

// Swap writes v and returns what was there.
func (w *U64) Swap(v uint64) uint64 {
	if Stepped {
		step("swap")
	}
	return atomic.SwapUint64(&w.v, v)
}

// CompareAndSwap writes v if the word holds old, and reports whether it did.
func (w *U64) CompareAndSwap(old, v uint64) bool {
	if Stepped {
		step("cas")
	}
	return atomic.CompareAndSwapUint64(&w.v, old, v)
}

// Add adds delta, which wraps, and returns the sum.
func (w *U64) Add(delta uint64) uint64 {
	if Stepped {
		step("add")
	}
	return atomic.AddUint64(&w.v, delta)
}

// Low is the word's low half, the bits 0 to 31, to sleep on.
func (w *U64) Low() *U32 { return mem.Low[U32](&w.v) }
