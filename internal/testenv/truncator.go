package testenv

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/sys"
)

const truncator = "testenv.truncate"

// A Truncator is a process that shortens a file, grows it again and punches
// holes into it, at random moments less than 2 ms apart.
type Truncator struct {
	t    testing.TB
	keep *keeper
}

// Damage counts what a Truncator did.
type Damage struct {
	Cuts, Grows, Holes int
	Err                string // what stopped it early, or ""
}

type truncatorSpec struct {
	Path     string
	Min, Max int64
	Seed     uint64
}

// Truncate starts one on the file at path. The file is never shorter than least
// nor longer than it is now; a byte behind least is what the test put there, or
// zero, or missing. The random numbers come from [Seed].
func Truncate(t testing.TB, path string, least int64) *Truncator {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if least < 0 || least >= info.Size() {
		t.Fatalf("a file of %d bytes can't be cut to %d", info.Size(), least)
	}
	k := keep(t, truncator, truncatorSpec{path, least, info.Size(), Seed(t)})
	var ready string
	k.ask(nil, &ready)
	return &Truncator{t, k}
}

// Stop leaves the file at its first length, with zeros where bytes were lost.
func (tr *Truncator) Stop() Damage {
	tr.t.Helper()
	var d Damage
	tr.keep.ask("stop", &d)
	tr.keep.close()
	if d.Err != "" {
		tr.t.Error("the truncator: ", d.Err)
	}
	return d
}

var _ = Register(truncator, func() {
	var s truncatorSpec
	spec(&s)
	stop := make(chan bool)
	go func() {
		var word string
		json.NewDecoder(os.Stdin).Decode(&word) // or the end of the input
		close(stop)
	}()
	say("ready")
	say(s.rage(stop))
})

func (s truncatorSpec) rage(stop <-chan bool) (d Damage) {
	r := rand.New(rand.NewPCG(s.Seed, 0))
	var err error
	for stopped := false; err == nil && !stopped; {
		err = s.hurt(r, &d)
		select {
		case <-stop:
			stopped = true
		case <-time.After(time.Duration(r.Int64N(int64(2 * time.Millisecond)))):
		}
	}
	if err = errors.Join(err, os.Truncate(s.Path, s.Max)); err != nil {
		d.Err = err.Error()
	}
	<-stop
	return d
}

// hurt does one thing to the file.
func (s truncatorSpec) hurt(r *rand.Rand, d *Damage) error {
	off := s.Min + r.Int64N(s.Max-s.Min)
	switch r.IntN(3) {
	case 0:
		d.Cuts++
		return os.Truncate(s.Path, off)
	case 1:
		d.Grows++
		return os.Truncate(s.Path, s.Max)
	}
	err := punch(s.Path, off, 1+r.Int64N(s.Max-off))
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, sys.EOPNOTSUPP) {
		return nil // then it has none
	}
	d.Holes++
	return err
}

func punch(path string, off, n int64) error {
	fd, err := sys.OpenFile(path, sys.OpenReadWrite, 0)
	if err != nil {
		return err
	}
	return errors.Join(sys.PunchHole(fd, off, n), sys.Close(fd))
}

const vandal = "testenv.vandal"

// A Vandal is a process that damages files when it is told to.
type Vandal struct{ keep *keeper }

type vandalism struct {
	Path   string
	Off, N int64 // N is 0 for a truncation to Off
}

// NewVandal starts one.
func NewVandal(t testing.TB) Vandal {
	t.Helper()
	return Vandal{keep(t, vandal, nil)}
}

// Truncate gives the file at path another size.
func (v Vandal) Truncate(path string, size int64) { v.do(vandalism{Path: path, Off: size}) }

// Punch makes n bytes from off a hole.
func (v Vandal) Punch(path string, off, n int64) { v.do(vandalism{path, off, n}) }

func (v Vandal) do(what vandalism) {
	v.keep.t.Helper()
	var problem string
	if v.keep.ask(what, &problem); problem != "" {
		v.keep.t.Fatal("the vandal: ", problem)
	}
}

var _ = Register(vandal, func() {
	for in := json.NewDecoder(os.Stdin); ; {
		var what vandalism
		if in.Decode(&what) != nil { // the end of the input
			return
		}
		err := error(nil)
		if what.N == 0 {
			err = os.Truncate(what.Path, what.Off)
		} else {
			err = punch(what.Path, what.Off, what.N)
		}
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		say(problem)
	}
})
