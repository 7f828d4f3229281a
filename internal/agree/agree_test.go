package agree

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// starts are the contents of the objects when a program begins.
func starts() [objects][]byte {
	var content [objects][]byte
	for object, size := range [objects]int{disk: 3*page + 100, tmp: 5 * page, mem: 2*page + 1} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(16*(object+1) + i/page + 1)
		}
		content[object] = b
	}
	return content
}

// begin is a pair at the start of a program.
func (k *kernel) begin(told *census) *pair {
	content := starts()
	k.reset(content)
	return &pair{lead: k, follow: newEngine(k.windows, content), alive: []int{0}, told: told}
}

// TestRandomProgramsAgree runs a hundred programs, or as many as MMAP_AGREE
// asks for: a duration, or a number of steps. Such a run wants every kind of
// outcome, and leaves its figures in the file MMAP_AGREE_REPORT.
func TestRandomProgramsAgree(t *testing.T) {
	length := os.Getenv("MMAP_AGREE")
	enough, err := limit(length)
	if err != nil {
		t.Fatalf("MMAP_AGREE: %v", err)
	}
	k := newKernel(t)
	told := newCensus()
	set(t, "rapid.nofailfile", "true")
	set(t, "rapid.shrinktime", "5s")
	set(t, "rapid.steps", "100")
	var last *pair
	t.Cleanup(func() {
		if t.Failed() && last != nil {
			t.Log("as short as it gets:\n" + k.shortest(last.program))
		}
	})
	start := time.Now()
	seed := testenv.Seed(t)
	for again := true; again; again = !enough(told.steps, time.Since(start)) {
		seed++ // to rapid 0 is no seed
		set(t, "rapid.seed", strconv.FormatUint(max(seed, 1), 10))
		rapid.Check(t, func(t *rapid.T) {
			last = k.begin(told)
			last.random(t)
		})
	}
	last = nil // what fails from here on is no program
	report := fmt.Sprintf("%v\n%d steps in %v, in full agreement\n", told, told.steps, time.Since(start).Round(time.Millisecond))
	t.Log(report)
	if length != "" {
		for _, missing := range told.missing() {
			t.Errorf("no program came to: %s", missing)
		}
	}
	if name := os.Getenv("MMAP_AGREE_REPORT"); name != "" {
		if err := os.WriteFile(name, []byte(report), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// limit reads MMAP_AGREE. Nothing is a single round.
func limit(length string) (enough func(steps int, spent time.Duration) bool, err error) {
	if length == "" {
		return func(int, time.Duration) bool { return true }, nil
	}
	if n, err := strconv.Atoi(length); err == nil {
		return func(steps int, _ time.Duration) bool { return steps >= n }, nil
	}
	d, err := time.ParseDuration(length)
	return func(_ int, spent time.Duration) bool { return spent >= d }, err
}

// random carries out steps that t draws.
func (p *pair) random(t *rapid.T) {
	t.Repeat(map[string]func(*rapid.T){"step": func(t *rapid.T) {
		if d := p.step(draw(t, p)); d != "" {
			t.Fatalf("%s%s", p.text(), d)
		}
	}})
	if d := p.finish(); d != "" {
		t.Fatalf("%s%s", p.text(), d)
	}
}

// replay carries out a program and tells its text, and where it differs.
func (k *kernel) replay(program []step) (text, difference string) {
	p := k.begin(newCensus())
	for _, s := range program {
		if difference = p.step(s); difference != "" {
			return p.text(), difference
		}
	}
	difference = p.finish()
	return p.text(), difference
}

// shortest leaves out of a program what it needs not to show a difference.
func (k *kernel) shortest(program []step) string {
	for n := len(program) / 2; n > 0; n /= 2 {
		for i := 0; i+n <= len(program); {
			without := slices.Concat(program[:i], program[i+n:])
			if _, difference := k.replay(without); difference != "" {
				program = without
			} else {
				i += n
			}
		}
	}
	text, difference := k.replay(program)
	return text + difference
}

// set changes a flag of rapid for the test.
func set(t *testing.T, name, value string) {
	t.Helper()
	f := flag.Lookup(name)
	old := f.Value.String()
	if err := f.Value.Set(value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Value.Set(old) })
}
