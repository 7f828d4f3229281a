package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/memwright/mmap/internal/testenv"
)

// text is a record that tells which one it is and has a length of its own, up to
// 8 KB.
func text(round, i int) string {
	r := rand.New(rand.NewPCG(uint64(round), uint64(i)))
	return fmt.Sprintf("%d/%d/", round, i) + strings.Repeat(string(rune('a'+i%26)), r.IntN(8000))
}

func texts(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = text(0, i)
	}
	return list
}

func lines(list []string) string { return strings.Join(list, "\n") + "\n" }

// numbers are what append prints for records from first on.
func numbers(first, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = strconv.Itoa(first + i)
	}
	return list
}

// write makes a log.
func write(t *testing.T, file string, list []string) {
	t.Helper()
	if r := run(t, lines(list), "append", file); r.stderr != "" || r.code != 0 {
		t.Fatalf("append: %q, code %d", r.stderr, r.code)
	}
}

func TestAppendDump(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	tests := []struct{ name, stdin, stdout, dump string }{
		{"nothing makes an empty log", "", "", "0 records in 0 bytes; the file has 4096, 0 of them room to grow\n"},
		{"lines, an empty one, and one without an end", "hello\n\nwor\"ld", "1\n2\n3\n", `1: byte 4096, length 5, "hello"
2: byte 4109, length 0, ""
3: byte 4117, length 6, "wor\"ld"
3 records in 35 bytes; the file has 1052672, 1048541 of them room to grow
`},
		{"more, later", "x\n", "4\n", `1: byte 4096, length 5, "hello"
2: byte 4109, length 0, ""
3: byte 4117, length 6, "wor\"ld"
4: byte 4131, length 1, "x"
4 records in 44 bytes; the file has 1052672, 1048532 of them room to grow
`},
	}
	for _, tt := range tests { // each goes on where the one before it ended
		if got, want := run(t, tt.stdin, "append", file), (result{stdout: tt.stdout}); got != want {
			t.Errorf("%s: append ended with %v, want %v", tt.name, got, want)
		}
		if got, want := run(t, "", "dump", file), (result{stdout: tt.dump}); got != want {
			t.Errorf("%s: dump ended with %v, want %v", tt.name, got, want)
		}
	}
}

// TestFormat compares a file with what docs/format/appendlog.md says.
func TestFormat(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	write(t, file, []string{"hello"})
	order := binary.NativeEndian
	want := order.AppendUint64(nil, 0x31676f6c70616d6d)
	want = order.AppendUint64(want, 8+5)
	want = append(want, make([]byte, 4096-len(want))...)
	checked := append(order.AppendUint32(nil, 5), "hello"...)
	want = order.AppendUint32(want, 5)
	want = order.AppendUint32(want, crc32.Checksum(checked, crc32.MakeTable(crc32.Castagnoli)))
	want = append(want, "hello"...)
	want = append(want, make([]byte, 4096+1<<20-len(want))...)
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file has %d bytes that begin with %x, %v; want %d that begin with %x", len(got), got[:min(20, len(got))], err, len(want), want[:20])
	}
}

// TestFollow holds that every follower sees every record once and in order,
// whether it came before or while the log was written.
func TestFollow(t *testing.T) {
	file := filepath.Join(testenv.DiskDir(t), "log")
	list := texts(600) // more than one step of growth
	w := begin(t, "append", file)
	var followers []*process
	acked := 0
	for part := range slices.Chunk(list, 150) {
		done := make(chan error, 1)
		go func() {
			_, err := io.WriteString(w.in, lines(part))
			done <- err
		}()
		w.wants(t, numbers(acked+1, len(part))...)
		acked += len(part)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		followers = append(followers, begin(t, "follow", file))
		// The first is read to where it must be now; the others lag.
		followers[0].wants(t, part...)
	}
	for _, f := range followers[1:] {
		f.wants(t, list...)
	}
	for _, f := range followers {
		f.interrupt(t)
	}
	w.in.Close()
	if r := w.ends(t); r != (result{}) {
		t.Errorf("append ended with %v", r)
	}
}

// TestKill kills the writer 20 times wherever it happens to be. What it had
// acknowledged must be there, every record must be whole, and a follower that
// lives through it all sees the same.
func TestKill(t *testing.T) {
	random := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	file := filepath.Join(testenv.DiskDir(t), "log")
	var have []string
	var follower *process
	for round := range 20 {
		w := begin(t, "append", file)
		fed := make(chan error, 1)
		go func() {
			for i := 0; ; i++ {
				if _, err := io.WriteString(w.in, text(round, i)+"\n"); err != nil {
					fed <- err
					return
				}
			}
		}()
		acked := random.IntN(40)
		w.wants(t, numbers(len(have)+1, acked)...)
		time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
		w.Process.Kill()
		killed := w.ends(t)
		<-fed
		acked += strings.Count(killed.stdout, "\n")
		if killed.stderr != "" {
			t.Fatalf("round %d: the writer said %q", round, killed.stderr)
		}

		now, r := records(t, file)
		if r.code != 0 {
			if len(have)+acked == 0 { // killed before there was a log
				continue
			}
			t.Fatalf("round %d: dump ended with %d: %s", round, r.code, r.stderr)
		}
		if len(now) < len(have)+acked || !slices.Equal(now[:len(have)], have) {
			t.Fatalf("round %d: %d records were there and %d acknowledged, now there are %d", round, len(have), acked, len(now))
		}
		for i, got := range now[len(have):] {
			if want := text(round, i); got != want {
				t.Fatalf("round %d: record %d is %.40q of %d bytes, want %.40q of %d", round, i, got, len(got), want, len(want))
			}
		}
		if follower == nil {
			follower = begin(t, "follow", file)
		}
		follower.wants(t, now[len(have):]...)
		have = now
	}
	if follower == nil {
		t.Fatal("no round came so far as to make a log")
	}
	follower.interrupt(t)
}

// TestUnfinished opens what a writer leaves that is killed while it makes the
// log, or between a record and its commit.
func TestUnfinished(t *testing.T) {
	stored := filepath.Join(t.TempDir(), "stored")
	write(t, stored, []string{"one"})
	leftBehind, err := os.ReadFile(stored)
	if err != nil {
		t.Fatal(err)
	}
	whole := appendRecord(nil, []byte("never committed"))
	copy(leftBehind[4096+8+3:], whole)
	tests := []struct {
		name  string
		bytes []byte
		want  []string
	}{
		{"an empty file", nil, []string{"two"}},
		{"a header of zeros", make([]byte, 4096), []string{"two"}},
		{"a whole record that was not committed", leftBehind, []string{"one", "two"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(file, tt.bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			write(t, file, []string{"two"})
			if got, r := records(t, file); !slices.Equal(got, tt.want) || r.code != 0 {
				t.Errorf("the records are %q, %s; want %q", got, r.stderr, tt.want)
			}
		})
	}
}

// TestTruncated makes the file shorter under those who have mapped it.
func TestTruncated(t *testing.T) {
	list := texts(20)
	for _, size := range []int64{0, 10, 4096, 5000, 4096 + 40000} {
		t.Run(fmt.Sprintf("to %d bytes", size), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "log")
			write(t, file, list)
			w := begin(t, "append", file)
			f := begin(t, "follow", file)
			f.wants(t, list...)
			fmt.Fprintln(w.in, "another") // so that it has read the log
			w.wants(t, "21")
			f.wants(t, "another")
			if err := os.Truncate(file, size); err != nil {
				t.Fatal(err)
			}
			for _, p := range []*process{f, w} {
				if p == w {
					fmt.Fprintln(w.in, "too late")
				}
				r := p.ends(t)
				if r.stdout != "" || r.code != 1 || !told(r.stderr) {
					t.Errorf("%s ended with %v", p.Args[1], r)
				}
			}
			if st, err := os.Stat(file); err != nil || st.Size() != size {
				t.Errorf("the file was changed after that: %v, %v", st, err)
			}
		})
	}
}

// told reports whether a message says that the file became shorter.
func told(stderr string) bool {
	for _, reason := range []string{"was truncated", "the file has 0 bytes now"} {
		if strings.Contains(stderr, reason) {
			return strings.Count(stderr, "\n") == 1
		}
	}
	return false
}

// TestTruncatedWhileReading makes the file shorter while a follower is in the
// middle of it, held up by a reader of its output that waits.
func TestTruncatedWhileReading(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	list := texts(500) // 2 MB, and a pipe holds 64 KiB
	write(t, file, list)
	f := begin(t, "follow", file)
	f.wants(t, list[0])
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	r := f.ends(t)
	if !strings.HasPrefix(lines(list[1:]), r.stdout) || len(r.stdout) >= len(lines(list[1:])) {
		t.Errorf("it printed %d bytes that are not a part of the log", len(r.stdout))
	}
	if r.code != 1 || !strings.Contains(r.stderr, "the file has 0 bytes now") {
		t.Errorf("it ended with %d and said %q", r.code, r.stderr)
	}
}

// TestFullDisk fills a small disk. The record that has no room is an error, all
// before it stay, and with room the log goes on.
func TestFullDisk(t *testing.T) {
	root := testenv.LoopFS(t, "ext4", 16<<20)
	file, filler := filepath.Join(root, "log"), filepath.Join(root, "filler")
	if err := os.WriteFile(filler, make([]byte, 6<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	list := texts(4000) // 16 MB
	r := run(t, lines(list), "append", file)
	if r.code != 1 || !strings.Contains(r.stderr, "no space left on device; what was committed before stays: make room, and append again") {
		t.Fatalf("append ended with %d and said %q", r.code, r.stderr)
	}
	acked := strings.Count(r.stdout, "\n")
	if r.stdout != lines(numbers(1, acked)) || acked == 0 {
		t.Fatalf("append printed %d numbers: %.40q", acked, r.stdout)
	}
	if got, r := records(t, file); !slices.Equal(got, list[:acked]) || r.code != 0 {
		t.Fatalf("%d records, %q; want the %d that were acknowledged", len(got), r.stderr, acked)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	more := list[acked : acked+300]
	if got, want := run(t, lines(more), "append", file), (result{stdout: lines(numbers(acked+1, len(more)))}); got != want {
		t.Fatalf("with room again, append ended with %d and said %q", got.code, got.stderr)
	}
	if got, r := records(t, file); !slices.Equal(got, list[:acked+300]) {
		t.Errorf("%d records, %q; want %d", len(got), r.stderr, acked+300)
	}
}

// TestDamage changes a byte of the second of three records.
func TestDamage(t *testing.T) {
	second := headerBytes + prefixBytes + len("one")
	tests := []struct {
		name string
		at   int
		want string
	}{
		{"its length, to too much", second + 2, "its length says"},
		{"its length, by one", second, "its checksum is"},
		{"its checksum", second + 4, "its checksum is"},
		{"its text", second + prefixBytes, "its checksum is"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "log")
			write(t, file, []string{"one", "two", "three"})
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b[tt.at] ^= 1
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("the record at byte %d is damaged: %s", second, tt.want)
			got, r := records(t, file)
			if !slices.Equal(got, []string{"one"}) || r.code != 1 || !strings.Contains(r.stderr, want) {
				t.Errorf("dump ended with %v, want 1 record and %q", r, want)
			}
			if r := run(t, "", "follow", file); r.stdout != "one\n" || r.code != 1 || !strings.Contains(r.stderr, want) {
				t.Errorf("follow ended with %v, want 1 record and %q", r, want)
			}
			if r := run(t, "four\n", "append", file); r.stdout != "" || r.code != 1 || !strings.Contains(r.stderr, want) {
				t.Errorf("append ended with %v, want %q", r, want)
			}
			if after, err := os.ReadFile(file); !bytes.Equal(after, b) {
				t.Errorf("the damaged log was changed, %v", err)
			}
		})
	}
}

// TestSecondWriter holds that of two writers one fails and loses nothing of the
// other's.
func TestSecondWriter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	a, b := begin(t, "append", file), begin(t, "append", file)
	fmt.Fprintln(a.in, "from a")
	a.wants(t, "1")
	fmt.Fprintln(b.in, "from b") // it opened the log before or after that
	if number, err := b.out.ReadString('\n'); err == nil {
		if number != "2\n" {
			t.Fatalf("b printed %q", number)
		}
		fmt.Fprintln(a.in, "again from a")
		b = a
	}
	if r := b.ends(t); r.stdout != "" || r.code != 1 || !strings.Contains(r.stderr, "another process has appended meanwhile") {
		t.Errorf("the second writer ended with %v", r)
	}
	if got, r := records(t, file); r.code != 0 || got[0] != "from a" || slices.Contains(got, "again from a") {
		t.Errorf("the records are %q, %s", got, r.stderr)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	log, short, other, swapped := filepath.Join(dir, "log"), filepath.Join(dir, "short"), filepath.Join(dir, "other"), filepath.Join(dir, "swapped")
	write(t, log, []string{"one"})
	theirs, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(theirs[:8])
	if err := errors.Join(
		os.WriteFile(short, []byte("a text"), 0o600),
		os.WriteFile(other, make([]byte, 10000), 0o600),
		os.WriteFile(swapped, theirs, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string // in what is printed to standard error
		code int
	}{
		{"appending to a short file", []string{"append", short}, "not a log that appendlog has made", 1},
		{"appending to a file of zeros", []string{"append", other}, "not a log that appendlog has made", 1},
		{"appending to a log of the other byte order", []string{"append", swapped}, "other byte order", 1},
		{"appending to a directory", []string{"append", dir}, "is a directory", 1},
		{"appending where no directory is", []string{"append", filepath.Join(dir, "none", "log")}, "none", 1},
		{"following a short file", []string{"follow", short}, "not a log that appendlog has made", 1},
		{"following a log of the other byte order", []string{"follow", swapped}, "other byte order", 1},
		{"dumping a file of zeros", []string{"dump", other}, "not a log that appendlog has made", 1},
		{"dumping what is not there", []string{"dump", filepath.Join(dir, "none")}, "appendlog append", 1},
		{"no file", []string{"append"}, "usage: appendlog", 2},
		{"no verb", nil, "usage: appendlog", 2},
		{"another verb", []string{"remove", log}, "usage: appendlog", 2},
	}
	content := func() (all []byte) {
		for _, name := range []string{log, short, other, swapped} {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		return all
	}
	before := content()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, "two\n", tt.args...)
			if r.stdout != "" || !strings.Contains(r.stderr, tt.want) || r.code != tt.code {
				t.Errorf("ended with %v, want %q and %d", r, tt.want, tt.code)
			}
		})
	}
	if !bytes.Equal(content(), before) {
		t.Error("a refused command changed a file")
	}
	if got, want := run(t, "", "--help"), (result{stdout: usage}); got != want {
		t.Errorf("help ended with %v", got)
	}
}

// TestLongLine holds that a line of the limit is a record, and a longer one
// an error that loses none before it.
func TestLongLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	longest := strings.Repeat("x", maxRecordBytes)
	r := run(t, "one\n"+longest+"\n"+longest+"y\nthree\n", "append", file)
	if r.stdout != "1\n2\n" || r.code != 1 || !strings.Contains(r.stderr, "line 3 is longer than a record can be") {
		t.Errorf("append printed %q and %q and ended with %d", r.stdout, r.stderr, r.code)
	}
	if got, r := records(t, file); !slices.Equal(got, []string{"one", longest}) {
		t.Errorf("there are %d records, %s; want 2", len(got), r.stderr)
	}
}
