package word_test

import (
	"errors"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/mem"
	"github.com/memwright/mmap/internal/testenv"
	"github.com/memwright/mmap/internal/word"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestWords(t *testing.T) {
	if size, align := mem.Layout[word.U32](); size != 4 || align != 4 {
		t.Errorf("U32: size %d, align %d", size, align)
	}
	if size, align := mem.Layout[word.U64](); size != 8 || align != 8 {
		t.Errorf("U64: size %d, align %d, want 8 on every machine", size, align)
	}
	w := new(word.U64)
	w.Store(1<<32 | 7)
	if got := w.Low().Load(); got != 7 {
		t.Errorf("the low half is %d, want 7", got)
	}
	w.Low().Store(9)
	if got := w.Load(); got != 1<<32|9 {
		t.Errorf("the word is %#x after a store to its low half", got)
	}
	if got := w.Swap(5); got != 1<<32|9 || !w.CompareAndSwap(5, 6) || w.CompareAndSwap(5, 7) || w.Add(^uint64(0)) != 5 {
		t.Errorf("the word is %d, and was %#x", w.Load(), got)
	}
}

// TestSleepWithoutWaitv is TestSleep on a kernel before 5.16.
func TestSleepWithoutWaitv(t *testing.T) { word.WithoutWaitv(func() { TestSleep(t) }) }

// TestSleep covers each reason to return, on one word and on several.
func TestSleep(t *testing.T) {
	a, b := new(word.U32), new(word.U32)
	b.Store(1)
	if _, err := word.Sleep(0, word.Wait{Word: a}); errors.Is(err, errors.ErrUnsupported) {
		testenv.Skip(t, err.Error())
	}
	tests := []struct {
		name     string
		on       []word.Wait
		timedOut bool
	}{
		{"one word, nothing happens", []word.Wait{{Word: a}}, true},
		{"two words, nothing happens", []word.Wait{{Word: a}, {Word: b, Value: 1}}, true},
		{"one word that has changed", []word.Wait{{Word: a, Value: 3}}, false},
		{"a second word that has changed", []word.Wait{{Word: a}, {Word: b}}, false},
	}
	for _, tt := range tests {
		timedOut, err := word.Sleep(12*time.Millisecond, tt.on...)
		if timedOut != tt.timedOut || err != nil {
			t.Errorf("%s: timed out %v, %v", tt.name, timedOut, err)
		}
	}
	for _, n := range []int{1, 2} {
		back := make(chan error)
		go func() {
			for b.Load() == 1 {
				if _, err := word.Sleep(time.Minute, []word.Wait{{Word: b, Value: 1}, {Word: a}}[:n]...); err != nil {
					back <- err
					return
				}
			}
			back <- nil
		}()
		b.Store(2)
		if err := word.Wake(b, word.All); err != nil {
			t.Fatal(err)
		}
		if err := <-back; err != nil {
			t.Fatal(err)
		}
		b.Store(1)
	}
}
