package script

import (
	"maps"
	"slices"
	"strings"

	"github.com/memwright/mmap/vmem"
)

// A kind says what an argument is.
type kind uint8

const (
	address kind = iota
	size
	offset
	page
	prot
	mapFlags
	syncFlags
	remapFlags
	lockFlags
	lockAllFlags
	advice
	mode
	fileName
	processName
)

// kinds say in messages what was expected.
var kinds = [...]string{
	address:      "an address (a name, NULL, or a number, and what is added to it)",
	size:         "a number of bytes",
	offset:       "an offset in bytes",
	page:         "the number of a page",
	prot:         "a protection",
	mapFlags:     "flags of mmap",
	syncFlags:    "flags of msync",
	remapFlags:   "flags of mremap",
	lockFlags:    "flags of mlock2",
	lockAllFlags: "flags of mlockall",
	advice:       "an advice",
	mode:         "a mode",
	fileName:     "a file",
	processName:  "a process",
}

// words are the names that C has for the numbers of a kind.
var words = map[kind]map[string]int64{
	prot: {
		"PROT_NONE": int64(vmem.ProtNone), "PROT_READ": int64(vmem.ProtRead),
		"PROT_WRITE": int64(vmem.ProtWrite), "PROT_EXEC": int64(vmem.ProtExec),
	},
	mapFlags: {
		"MAP_SHARED": int64(vmem.MapShared), "MAP_PRIVATE": int64(vmem.MapPrivate),
		"MAP_SHARED_VALIDATE": int64(vmem.MapSharedValidate), "MAP_FIXED": int64(vmem.MapFixed),
		"MAP_FIXED_NOREPLACE": int64(vmem.MapFixedNoReplace), "MAP_ANONYMOUS": int64(vmem.MapAnonymous),
		"MAP_ANON": int64(vmem.MapAnonymous), "MAP_LOCKED": int64(vmem.MapLocked),
		"MAP_NORESERVE": int64(vmem.MapNoReserve), "MAP_POPULATE": int64(vmem.MapPopulate),
		"MAP_NONBLOCK": int64(vmem.MapNonblock),
	},
	syncFlags: {
		"MS_ASYNC": int64(vmem.SyncAsync), "MS_SYNC": int64(vmem.SyncNow), "MS_INVALIDATE": int64(vmem.SyncInvalidate),
	},
	remapFlags: {
		"MREMAP_MAYMOVE": int64(vmem.RemapMayMove), "MREMAP_FIXED": int64(vmem.RemapFixed),
		"MREMAP_DONTUNMAP": int64(vmem.RemapDontUnmap),
	},
	lockFlags: {"MLOCK_ONFAULT": int64(vmem.LockOnFault)},
	lockAllFlags: {
		"MCL_CURRENT": int64(vmem.LockCurrent), "MCL_FUTURE": int64(vmem.LockFuture), "MCL_ONFAULT": int64(vmem.LockAllOnFault),
	},
	advice: {
		"MADV_NORMAL": int64(vmem.AdviceNormal), "MADV_RANDOM": int64(vmem.AdviceRandom),
		"MADV_SEQUENTIAL": int64(vmem.AdviceSequential), "MADV_WILLNEED": int64(vmem.AdviceWillNeed),
		"MADV_DONTNEED": int64(vmem.AdviceDontNeed), "MADV_FREE": int64(vmem.AdviceFree),
		"MADV_REMOVE": int64(vmem.AdviceRemove), "MADV_DONTFORK": int64(vmem.AdviceDontFork),
		"MADV_DOFORK": int64(vmem.AdviceDoFork), "MADV_WIPEONFORK": int64(vmem.AdviceWipeOnFork),
		"MADV_KEEPONFORK":    int64(vmem.AdviceKeepOnFork),
		"MADV_POPULATE_READ": int64(vmem.AdvicePopulateRead), "MADV_POPULATE_WRITE": int64(vmem.AdvicePopulateWrite),
	},
	mode: {"O_RDONLY": int64(vmem.ReadOnly), "O_WRONLY": int64(vmem.WriteOnly), "O_RDWR": int64(vmem.ReadWrite)},
}

// oneOf lists the names of a kind.
func oneOf(k kind) string {
	return strings.Join(slices.Sorted(maps.Keys(words[k])), ", ")
}

// A gift is what a call returns that can be given a name.
type gift uint8

const (
	nothing gift = iota
	givesAddress
	givesProcess
	givesFile
)

// A form is how a call is written.
type form struct {
	params  []kind
	gives   gift
	named   bool // what it gives needs a name
	outside bool // it is no process's: no name stands before it
	// optional counts the parameters that may be left out: the first one of
	// mmap, else the last ones.
	optional int
}

var forms = map[string]form{
	"mmap":       {params: []kind{address, size, prot, mapFlags, fileName, offset}, gives: givesAddress, optional: 1},
	"munmap":     {params: []kind{address, size}},
	"mprotect":   {params: []kind{address, size, prot}},
	"msync":      {params: []kind{address, size, syncFlags}},
	"mremap":     {params: []kind{address, size, size, remapFlags, address}, gives: givesAddress, optional: 1},
	"madvise":    {params: []kind{address, size, advice}},
	"mincore":    {params: []kind{address, size}},
	"mlock":      {params: []kind{address, size}},
	"mlock2":     {params: []kind{address, size, lockFlags}},
	"munlock":    {params: []kind{address, size}},
	"mlockall":   {params: []kind{lockAllFlags}},
	"munlockall": {},
	"pread":      {params: []kind{fileName, address, size, offset}},
	"pwrite":     {params: []kind{fileName, address, size, offset}},
	"open":       {params: []kind{fileName, mode}, gives: givesFile, named: true},
	"close":      {params: []kind{fileName}},
	"fsync":      {params: []kind{fileName}},
	"truncate":   {params: []kind{fileName, size}},
	"fork":       {params: []kind{processName}, gives: givesProcess, named: true, outside: true},
	"exit":       {params: []kind{processName}, outside: true},
	"evict":      {params: []kind{fileName, page}, outside: true},
	"writeback":  {params: []kind{fileName}, outside: true},
}
