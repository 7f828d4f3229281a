//go:build steps

package shmsync_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/fleet"
	"github.com/memwright/mmap/internal/word"
)

// A tease is a peer that shows a writer to whoever counts itself in as a reader, and
// takes it away when that one has counted itself out.
type tease struct {
	writer *word.U64
	value  uint64
	busy   bool
	turns  int
	most   int
	cancel func()
}

func (p *tease) set(v uint64) {
	p.busy = true
	p.writer.Store(v)
	p.busy = false
}

func (p *tease) Step(what string) {
	if what == "cas" && !p.busy && p.turns < p.most {
		p.set(p.value)
	}
}

func (p *tease) Sleep(time.Duration, []word.Wait) (done, timedOut bool) { return true, false }

func (p *tease) Wake(*word.U32, int) bool {
	if p.turns++; p.turns == p.most/2 {
		p.cancel()
	}
	p.set(0)
	return true
}

// TestModelTeasedReader: a reader whom a peer keeps from its lock without ever
// having it wait gives up when its context ends.
func TestModelTeasedReader(t *testing.T) {
	f := fleet.New(t, 2, 4096)
	one, two := f.Join(0), f.Join(1)
	mine, err1 := one.RWMutex(fleet.Data)
	theirs, err2 := two.RWMutex(fleet.Data)
	if err := errors.Join(err1, err2, theirs.Lock(t.Context())); err != nil {
		t.Fatal(err)
	}
	writer, err := one.Word64(fleet.Data)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p := &tease{writer: writer, value: writer.Load(), most: 1000, cancel: cancel}
	word.Install(p)
	defer word.Install(nil)
	if err := mine.RLock(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after %d turns: %v", p.turns, err)
	}
}
