package shmnet

import (
	"runtime"
	"slices"
	"testing"

	"github.com/memwright/mmap/internal/sys"
)

// TestEndsKnowWhetherTheyShareACPU: each says where it waits.
func TestEndsKnowWhetherTheyShareACPU(t *testing.T) {
	d, a := connect(t, Options{})
	var pinned error
	var got []bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with its mask
		if pinned = sys.Pin(); pinned != nil {
			return
		}
		got = append(got, d.memory.beside(), a.memory.beside(), d.memory.beside())
		d.memory.cpu(listenerSlot).Store(sys.CPU() + 2)
		got = append(got, d.memory.beside(), a.memory.beside(), d.memory.beside())
	}()
	<-done
	if pinned != nil {
		t.Fatal(pinned)
	}
	if want := []bool{false, true, true, false, true, true}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestSpinsAskWhereThePeerIs: those of both directions.
func TestSpinsAskWhereThePeerIs(t *testing.T) {
	d, _ := connect(t, Options{})
	for _, l := range []*lane{&d.in, &d.out} {
		d.memory.cpu(dialerSlot).Store(0)
		if l.spin.Beside(); d.memory.cpu(dialerSlot).Load() == 0 {
			t.Error("one does not say where it waits")
		}
	}
}
