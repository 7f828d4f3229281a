package agree

import (
	"fmt"
	"strconv"
	"strings"
)

const page = 4096

// A step is one call or access by one process. Its text is the process, the
// call, and the call's fields in the order of the table calls:
//
//	p0 mmap low+3p 2p rw private,fixed none 0
//	p1 store low+3p+17 4 0x1f
//
// Addresses are counted from a window, so that a program means the same in
// every process; lengths and offsets are pages ("2p+5") or bytes.
type step struct {
	proc  int // the how-manieth of those that live
	call  string
	addr  place
	size  uint64
	prot  uint64
	flags uint64 // of mmap, mremap, msync, mlock2, mlockall; the advice of madvise
	file  int    // an index of files, noFile or badFile
	off   uint64
	to    place  // the target of mremap
	more  uint64 // the new length of mremap; the value of a store; the bound of a limit
}

// A field is one word of a step's text.
type field struct {
	name  string
	write func(*step) string
	read  func(*step, string) error
}

// calls tells which fields each call has.
var calls = map[string][]field{
	"mmap":       {addrField, sizeField, protField, flagsField("mmap", mapFlags), fileField, offField},
	"munmap":     {addrField, sizeField},
	"mprotect":   {addrField, sizeField, protField},
	"mremap":     {addrField, sizeField, newSizeField, flagsField("mremap", remapFlags), toField},
	"msync":      {addrField, sizeField, flagsField("msync", syncFlags)},
	"mlock":      {addrField, sizeField},
	"mlock2":     {addrField, sizeField, flagsField("mlock2", lockFlags)},
	"munlock":    {addrField, sizeField},
	"mlockall":   {flagsField("mlockall", lockAllFlags)},
	"munlockall": {},
	"madvise":    {addrField, sizeField, adviceField},
	"mincore":    {addrField, sizeField},
	"fork":       {},
	"exit":       {},

	// Accesses: a load or a store of 1, 2, 4 or 8 bytes, and copies of up to a
	// page from and to memory, byte by byte.
	"load":  {addrField, sizeField},
	"store": {addrField, sizeField, valueField},
	"peek":  {addrField, sizeField},
	"poke":  {addrField, sizeField, valueField},

	// Calls on descriptors. pread and pwrite use the process's memory; write
	// has the bytes from elsewhere, all equal to the value.
	"pread":    {addrField, sizeField, fileField, offField},
	"pwrite":   {addrField, sizeField, fileField, offField},
	"write":    {sizeField, valueField, fileField, offField},
	"truncate": {fileField, offField},
	"fsync":    {fileField},

	// The soft limits of the process.
	"memlock": {valueField},
	"as":      {valueField},
	"data":    {valueField},

	// Looking at the process, in scripts alone.
	"areas":  {addrField, sizeField},
	"locked": {},
	"pages":  {addrField, sizeField},
	"file":   {fileField, offField, sizeField},
}

// looks are the calls that only look.
var looks = map[string]bool{"areas": true, "locked": true, "pages": true, "file": true}

var (
	addrField    = field{"address", func(s *step) string { return s.addr.String() }, func(s *step, w string) (err error) { s.addr, err = parsePlace(w); return }}
	toField      = field{"target", func(s *step) string { return s.to.String() }, func(s *step, w string) (err error) { s.to, err = parsePlace(w); return }}
	sizeField    = numberField("length", func(s *step) *uint64 { return &s.size })
	newSizeField = numberField("new length", func(s *step) *uint64 { return &s.more })
	offField     = numberField("offset", func(s *step) *uint64 { return &s.off })
	valueField   = numberField("value", func(s *step) *uint64 { return &s.more })
	protField    = field{"protection", func(s *step) string { return protText(s.prot) }, func(s *step, w string) (err error) { s.prot, err = parseProt(w); return }}
	adviceField  = field{"advice", func(s *step) string { return adviceText(s.flags) }, func(s *step, w string) (err error) { s.flags, err = parseAdvice(w); return }}
	fileField    = field{"file", func(s *step) string { return fileText(s.file) }, func(s *step, w string) (err error) { s.file, err = parseFile(w); return }}
)

func numberField(name string, at func(*step) *uint64) field {
	return field{name,
		func(s *step) string { return number(*at(s)) },
		func(s *step, w string) (err error) { *at(s), err = parseNumber(w); return }}
}

func flagsField(call string, names []flagName) field {
	return field{call + " flags",
		func(s *step) string { return flagsText(s.flags, names) },
		func(s *step, w string) (err error) { s.flags, err = parseFlags(w, names); return }}
}

func (s step) String() string {
	words := []string{fmt.Sprint("p", s.proc), s.call}
	for _, f := range calls[s.call] {
		words = append(words, f.write(&s))
	}
	return strings.Join(words, " ")
}

// parseStep reads a step's text. The process may be left out: p0.
func parseStep(text string) (step, error) {
	var s step
	words := strings.Fields(text)
	if n, ok := strings.CutPrefix(words[0], "p"); ok && len(n) == 1 && n[0] >= '0' && n[0] <= '9' {
		s.proc, words = int(n[0]-'0'), words[1:]
	}
	if len(words) == 0 {
		return s, fmt.Errorf("%q has no call", text)
	}
	s.call, words = words[0], words[1:]
	fields, ok := calls[s.call]
	if !ok {
		return s, fmt.Errorf("%q: no call %s", text, s.call)
	}
	if len(words) != len(fields) {
		return s, fmt.Errorf("%q: %s takes %d words", text, s.call, len(fields))
	}
	for i, f := range fields {
		if err := f.read(&s, words[i]); err != nil {
			return s, fmt.Errorf("%q: %s: %w", text, f.name, err)
		}
	}
	return s, nil
}

// A place is an address: so many bytes from the start of a window.
type place struct {
	base int
	off  uint64
}

// The windows. Programs are confined to low and high, so that what they map
// collides often: low is where nothing else is; high ends where the kernel
// puts what may be anywhere. absolute starts at 0.
const (
	absolute = iota
	low
	high
	scratch // the page that the test shares with each process
	bases
)

const windowPages = 24 // of low, and of high

var baseNames = [bases]string{"", "low", "high", "scratch"}

func (p place) String() string {
	switch {
	case p.base == absolute:
		return fmt.Sprintf("%#x", p.off)
	case p.off == 0:
		return baseNames[p.base]
	}
	return baseNames[p.base] + "+" + number(p.off)
}

func parsePlace(w string) (place, error) {
	for base := absolute + 1; base < bases; base++ {
		rest, ok := strings.CutPrefix(w, baseNames[base])
		if !ok {
			continue
		}
		if rest == "" {
			return place{base, 0}, nil
		}
		off, err := parseNumber(strings.TrimPrefix(rest, "+"))
		return place{base, off}, err
	}
	off, err := strconv.ParseUint(w, 0, 64)
	return place{absolute, off}, err
}

// number writes small numbers as pages and bytes, as "2p+5".
func number(n uint64) string {
	pages, bytes := n/page, n%page
	switch {
	case pages >= 1<<10:
		return fmt.Sprintf("%#x", n)
	case pages == 0:
		return fmt.Sprint(bytes)
	case bytes == 0:
		return fmt.Sprintf("%dp", pages)
	}
	return fmt.Sprintf("%dp+%d", pages, bytes)
}

func parseNumber(w string) (uint64, error) {
	pages, bytes, both := strings.Cut(w, "p+")
	if !both {
		var whole bool
		if pages, whole = strings.CutSuffix(w, "p"); whole {
			bytes = "0"
		} else {
			pages, bytes = "0", w
		}
	}
	n, err := strconv.ParseUint(pages, 0, 64)
	if err != nil {
		return 0, err
	}
	m, err := strconv.ParseUint(bytes, 0, 64)
	return n*page + m, err
}

const (
	protRead  = 1
	protWrite = 2
	protExec  = 4
)

func protText(prot uint64) string {
	var s string
	for i, letter := range "rwx" {
		if prot>>i&1 == 1 {
			s += string(letter)
		}
	}
	if rest := prot &^ 7; rest != 0 {
		s += fmt.Sprintf("+%#x", rest)
	}
	if s == "" {
		return "-"
	}
	return s
}

func parseProt(w string) (prot uint64, err error) {
	w, rest, more := strings.Cut(w, "+")
	if more {
		if prot, err = strconv.ParseUint(rest, 0, 64); err != nil {
			return 0, err
		}
	}
	for i, letter := range "rwx" {
		if strings.ContainsRune(w, letter) {
			prot |= 1 << i
		}
	}
	return prot, nil
}

// A flagName is a flag's bits on Linux, and its name in a step's text.
type flagName struct {
	name string
	bits uint64
}

// Flags, as linux/mman.h has them on amd64. The types of mmap come first: they
// share bits.
const (
	mapShared    = 0x01
	mapPrivate   = 0x02
	mapValidate  = 0x03
	mapFixed     = 0x10
	mapAnonymous = 0x20
	mapNoreplace = 0x100000
	mapLocked    = 0x2000
	mapNoreserve = 0x4000
	mapPopulate  = 0x8000
	mapNonblock  = 0x10000
	mapStack     = 0x20000

	remapMayMove   = 1
	remapFixed     = 2
	remapDontUnmap = 4

	syncAsync      = 1
	syncInvalidate = 2
	syncSync       = 4

	lockOnFault = 1

	pageOut = 21 // an advice

	lockCurrent    = 1
	lockFuture     = 2
	lockAllOnFault = 4
)

var (
	mapFlags = []flagName{
		{"validate", mapValidate}, {"shared", mapShared}, {"private", mapPrivate}, {"fixed", mapFixed}, {"anon", mapAnonymous},
		{"noreplace", mapNoreplace}, {"locked", mapLocked}, {"noreserve", mapNoreserve}, {"populate", mapPopulate},
		{"nonblock", mapNonblock}, {"stack", mapStack},
	}
	remapFlags   = []flagName{{"maymove", remapMayMove}, {"fixed", remapFixed}, {"dontunmap", remapDontUnmap}}
	syncFlags    = []flagName{{"async", syncAsync}, {"invalidate", syncInvalidate}, {"sync", syncSync}}
	lockFlags    = []flagName{{"onfault", lockOnFault}}
	lockAllFlags = []flagName{{"current", lockCurrent}, {"future", lockFuture}, {"onfault", lockAllOnFault}}
)

func flagsText(flags uint64, names []flagName) string {
	var words []string
	for _, f := range names {
		if flags&f.bits == f.bits {
			words = append(words, f.name)
			flags &^= f.bits
		}
	}
	if flags != 0 || len(words) == 0 {
		words = append(words, fmt.Sprintf("%#x", flags))
	}
	return strings.Join(words, ",")
}

func parseFlags(text string, names []flagName) (flags uint64, err error) {
words:
	for _, word := range strings.Split(text, ",") {
		for _, f := range names {
			if f.name == word {
				flags |= f.bits
				continue words
			}
		}
		rest, err := strconv.ParseUint(word, 0, 64)
		if err != nil {
			return 0, err
		}
		flags |= rest
	}
	return flags, nil
}

// adviceNames are the kinds of madvise that the engine has, as linux/mman.h
// numbers them.
var adviceNames = map[uint64]string{
	0: "normal", 1: "random", 2: "sequential", 3: "willneed", 4: "dontneed", 8: "free", 9: "remove",
	10: "dontfork", 11: "dofork", 16: "dontdump", 17: "dodump", 18: "wipeonfork", 19: "keeponfork", 20: "cold",
	21: "pageout", 22: "populate-read", 23: "populate-write", 24: "dontneed-locked",
}

func adviceText(advice uint64) string {
	if name, ok := adviceNames[advice]; ok {
		return name
	}
	return fmt.Sprint(advice)
}

func parseAdvice(w string) (uint64, error) {
	for advice, name := range adviceNames {
		if name == w {
			return advice, nil
		}
	}
	return strconv.ParseUint(w, 0, 64)
}

// The objects that programs map: a regular file on the temporary directory's
// file system, one on a tmpfs, and a memfd. Each is open three times.
const (
	disk = iota
	tmp
	mem
	objects
)

var objectNames = [objects]string{"disk", "tmp", "mem"}

const (
	readWrite = iota
	readOnly
	writeOnly
	modes
)

var modeNames = [modes]string{"rw", "r", "w"}

// A file is an object and a mode, as one number; descriptors are numbered so
// from firstFd on.
const (
	files   = objects * modes
	firstFd = 3
	noFile  = -1
	badFile = 1000 // a descriptor that nobody has
)

func fileOf(object, mode int) int          { return object*modes + mode }
func objectOf(file int) (object, mode int) { return file / modes, file % modes }

func fileText(file int) string {
	switch file {
	case noFile:
		return "none"
	case badFile:
		return "bad"
	}
	object, mode := objectOf(file)
	return objectNames[object] + "." + modeNames[mode]
}

func parseFile(w string) (int, error) {
	for file := range files {
		if fileText(file) == w {
			return file, nil
		}
	}
	switch w {
	case "none":
		return noFile, nil
	case "bad":
		return badFile, nil
	}
	return 0, fmt.Errorf("no file %q", w)
}
