package testenv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/memwright/mmap/internal/sys"
)

// What depends on the machine and on who runs the tests.
var (
	// Root is uid 0.
	Root = Feature{Name: "root", Probe: func() error {
		if uid := os.Geteuid(); uid != 0 {
			return fmt.Errorf("uid is %d", uid)
		}
		return nil
	}}
	// Nobody is the right to start a child as the user nobody.
	Nobody = Feature{Name: "a child as the user nobody", Probe: probeNobody}
	// Fuse is a file system served by a process.
	Fuse = Feature{Name: "FUSE", Probe: func() error { return openable("/dev/fuse") }}
	// Seccomp is the right to filter one's own system calls.
	Seccomp = Feature{Name: "seccomp filters", Since: "3.17", Probe: func() error {
		_, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail")
		return err
	}}
	// HugePool is a free huge page of the default size in the pool.
	HugePool = Feature{Name: "a pool of huge pages", Probe: func() error {
		return procCount("/proc/meminfo", "HugePages_Free:", "no huge page is free (vm.nr_hugepages)")
	}}
	// Swap is free swap space.
	Swap = Feature{Name: "swap", Probe: func() error {
		return procCount("/proc/meminfo", "SwapFree:", "no swap space is free")
	}}
	// FrameNumbers is a pagemap that tells page frame numbers, which takes
	// CAP_SYS_ADMIN since Linux 4.2.
	FrameNumbers = Feature{Name: "page frame numbers in /proc/self/pagemap", Probe: probeFrameNumbers}
)

// What a kernel release brought.
var (
	// MemfdCreate is memfd_create(2).
	MemfdCreate = Feature{"memfd_create", "3.17", func() error {
		fd, err := sys.Memfd("testenv", false, 0)
		if err == nil {
			sys.Close(fd)
		}
		return err
	}}
	// Mlock2 is mlock2(2) with MLOCK_ONFAULT.
	Mlock2 = Feature{"mlock2", "4.4", onPage(func(addr, size uintptr) error {
		return sys.Mlock2(addr, size, sys.MLOCK_ONFAULT)
	})}
	// FixedNoReplace is MAP_FIXED_NOREPLACE. An older kernel ignores the flag
	// and maps elsewhere, so an occupied address is asked for: EEXIST is yes.
	FixedNoReplace = Feature{"MAP_FIXED_NOREPLACE", "4.17", onPage(func(addr, size uintptr) error {
		got, err := sys.Mmap(addr, size, sys.PROT_NONE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS|sys.MAP_FIXED_NOREPLACE, -1, 0)
		if errors.Is(err, sys.EEXIST) {
			return nil
		}
		if err == nil {
			sys.Munmap(got, size)
			return errors.New("the kernel ignored the flag")
		}
		return err
	})}
	// PopulateRead is MADV_POPULATE_READ.
	PopulateRead = Feature{"MADV_POPULATE_READ", "5.14", onPage(func(addr, size uintptr) error {
		return sys.Madvise(addr, size, sys.MADV_POPULATE_READ)
	})}
	// Cachestat is cachestat(2), on a file that the caller owns.
	Cachestat = Feature{"cachestat", "6.5", func() error {
		f, err := os.CreateTemp("", "testenv")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		_, err = sys.Cachestat(int(f.Fd()), 0, 1)
		return err
	}}
)

// RefuseRareCalls has the kernel refuse, in this process from now on, the calls that
// sandboxes tend to forbid, for packages that may not import sys.
func RefuseRareCalls() error { return sys.RefuseRareCalls() }

// onPage probes with a page of private anonymous memory.
func onPage(try func(addr, size uintptr) error) func() error {
	return func() error {
		size := uintptr(os.Getpagesize())
		addr, err := sys.Mmap(0, size, sys.PROT_READ|sys.PROT_WRITE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS, -1, 0)
		if err != nil {
			return err
		}
		return errors.Join(try(addr, size), sys.Munmap(addr, size))
	}
}

func probeNobody() error {
	attr, err := sys.RunAs(nobody, nobody)
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{childVar + "=" + noop}
	cmd.SysProcAttr = attr
	return cmd.Run()
}

func openable(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err == nil {
		f.Close()
	}
	return err
}

// procCount finds the number behind key in a file of /proc; none is why.
func procCount(name, key, none string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key && f[1] != "0" {
			return nil
		}
	}
	return errors.New(none)
}

// probeFrameNumbers looks up a page that is certainly present: one of its own
// stack or heap, just written. The entry's low 55 bits are the frame number,
// and 0 for those who may not know it (Documentation/admin-guide/mm/pagemap.rst).
func probeFrameNumbers() error {
	return onPage(func(addr, size uintptr) error {
		if err := sys.Mlock(addr, size); err != nil {
			return err
		}
		f, err := os.Open("/proc/self/pagemap")
		if err != nil {
			return err
		}
		defer f.Close()
		var entry [8]byte
		if _, err := f.ReadAt(entry[:], int64(addr/size)*8); err != nil {
			return err
		}
		if binary.NativeEndian.Uint64(entry[:])&(1<<55-1) == 0 {
			return errors.New("it answers 0")
		}
		return nil
	})()
}
