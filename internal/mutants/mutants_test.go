package mutants

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// root is the module's directory, seen from here.
const root = "../.."

// A mutant breaks one claim of the root package or of the engine.
type mutant struct {
	claim    string // what is no longer true
	file     string
	old, new string
	test     string // fails then; "TestX in dir" where it is not beside the file
}

var mutants = []mutant{
	{"a cold read is a call", "access.go",
		"case m.isCold() && !m.believed(s, off, want):", "case want < 0:", "TestNobodyElseWaitsForARead"},
	{"a View brings its bytes in by calls", "access.go",
		"return m.failIf(op, off, n, m.bringIn(off, n))", "return nil", "TestNobodyElseWaitsForARead"},
	{"a cold write is a call", "access.go",
		"if m.writesFile(s, off, len(p)) {", "if m.writesFile(s, off, len(p)) && len(p) < 0 {", "TestNobodyElseWaitsForAWriter"},
	{"beliefs are looked at again", "presence.go",
		"epoch.n.Add(1)", "epoch.n.Add(0)", "TestBeliefsAreLookedAtAgain"},
	{"a write does not extend the file", "cold.go",
		"size := min(int64(len(p)-n), coldBytes, st.Size-m.opt.Offset-at)", "size := min(int64(len(p)-n), coldBytes, st.Size+1<<30)", "TestWriteAtNeverExtendsTheFile"},
	{"who has waited for a disk has beliefs looked at again", "cold.go",
		"\ttick()\n", "", "TestEpochsAreShortWhilePagesAreLost"},
	{"beliefs are short while pages are lost", "presence.go",
		"epoch.period.Store(int64(stalePeriodMin))", "_ = stalePeriodMin", "TestEpochsAreShortWhilePagesAreLost"},
	{"a failure that took long is not asked for again", "cold.go",
		"&& m.readFailed(off+int64(n)) {", "&& n < 0 {", "TestSlowFailureIsAnError"},
	{"a slow answer that is short is no failure", "cold.go",
		"&& m.readFailed(off+int64(n)) {", "{", "TestTruncatedMidway"},
	{"a read that fails is told", "cold.go",
		"return n, waited, m.fileFault(off+int64(n), err)", "return n, waited, nil", "TestReadErrorOfTheDisk"},
	{"a write does not append", "cold.go",
		"m.unwritable.Load() || m.appends ||", "m.unwritable.Load() ||", "TestStoresDoNotAppend"},
	{"no file call stands in where Protect forbids the access", "cold.go",
		"!m.unreadable.Load() && !m.direct && m.coherent()", "!m.direct && m.coherent()", "TestAccessIsMemory"},
	{"the addresses of a closed mapping are held", "quarantine.go",
		"if m.handedOut.Load() && m.opt.Placement == Anywhere &&", "if m.opt.Placement > FixedReplace &&", "TestStaleSliceFaultsInsteadOfReadingAnother"},
	{"a dropped mapping whose memory was handed out stays", "drop.go",
		"d.Leaked = m.handedOut.Load() ||", "d.Leaked =", "TestDroppedMappings"},
	{"who is inside a view goes on while Protect waits for it", "gate.go",
		"if g.state.Load() == stateDraining && insideView() {", "if g.state.Load() == stateClosed {", "TestProtectWaitsForViewsAndTheyGoOn"},
	{"a fault in a View becomes an error", "access.go",
		"done, armed := false, fault.Arm()", "done, armed := false, fault.Armed(false)", "TestTruncatedUnderTheMapping"},
	{"a fault in ReadAt and WriteAt becomes an error", "internal/fault/fault.go",
		"func Copy(dst, src []byte, base uintptr, n int) (addr uintptr, faulted bool) {", "func Copy(dst, src []byte, base uintptr, n int) (addr uintptr, faulted bool) {\n\tif copy(dst, src) >= 0 {\n\t\treturn 0, false\n\t}", "TestTruncatedUnderTheMapping"},
	{"Close waits for those inside", "gate.go",
		"case inside == 0 && g.settle(state):", "case g.settle(state) || inside >= 0:", "TestCloseWaitsForViews"},
	{"Resize refuses while views are out", "resize.go",
		"n, func() bool { return true })", "n, func() bool { return false })", "TestResizeRefusesWhileViewsAreOut"},
	{"an excluder looks again by itself", "gate.go",
		"case <-look.C:", "case <-make(chan int):", "TestExcluderLooksAgainByItself"},
	{"those without a seat are waited for", "gate.go",
		"n := g.crowd.Load()\n", "n := uint64(0)\n", "TestEverySeatTaken"},
	{"a read that did not enter looks at the area again", "access.go",
		"return m.gate.shown.Load() == a\n", "return true\n", "TestStaleGlanceIsNoRead"},
	{"a read that failed leaves nothing behind", "access.go",
		"\t\t\tfault.Clear(p, a.base, a.span)\n", "", "TestStaleGlanceIsNoRead"},
	{"an excluder hides the area", "gate.go",
		"g.slow.hidden = g.shown.Swap(nil)", "g.slow.hidden = g.shown.Load()", "TestGlanceTakesNothingThatIsNotThere"},
	{"a Sink gets no memory that is known to be missing", "send.go",
		"if !m.intact(off, n) {", "if m.intact(-1, n) && off < 0 {", "TestSendStopsWhereTheFileEnds"},
	{"an unknown writer gets a copy", "send.go",
		"if _, ok := w.(Sink); ok {", "if _, ok := w.(Sink); ok || w != nil {", "TestWhoSeesTheMemoryItself"},
	{"a large read of what is in memory is no cold read", "cold.go",
		"\tif waited {\n", "\tif waited || err == nil {\n", "TestLargeReadIsACall"},
	{"nobody gets in after Close", "gate.go",
		"g.leave(s, what)\n\t\t\treturn nil, fs.ErrClosed", "return s, nil", "TestAfterClose"},
	{"Close inside one's own View is refused", "mapping.go",
		"if f.Function == viewFrame {", `if f.Function == "" {`, "TestCloseInsideAView"},
	{"one who is inside does not wait for one who waits for him", "gate.go",
		"if _, views := g.inside(); views > 0 && refuse() {", "if views := 0; views > 0 && refuse() {", "TestCloseWaitsForViews"},
	{"ranges are checked", "access.go",
		"if !page.Within(off, n, m.area.length) {", "if off == -12345 {", "TestViewBounds"},
	{"a failed sync is remembered", "sync.go",
		"i.failed.CompareAndSwap(nil, &err)", "_ = i", "TestSyncFailureIsRemembered"},
	{"a mapping has an open file description of its own", "open.go",
		"sys.Reopen(fd, sys.OpenReadWrite)", "sys.Dup(fd)", "TestSyncFailureIsToldThoughSomebodyElseHeardIt"},
	{"Sync syncs the directory entry", "sync.go",
		"if err := sys.Fsync(m.dir); err != nil {", "if err := error(nil); err != nil {", "TestCreateSyncsTheDirectoryEntry"},
	{"Sync covers what Resize gave back", "sync.go",
		"if entry && m.shrunk.Load() {", "if entry && m.shrunk.Load() && m.dir == -12345 {", "TestSyncCoversWhatResizeGaveBack"},
	{"SyncStart starts the write", "sync.go",
		"err := sys.WriteOut(m.fd, r.Off, r.Len)", "err := sys.WriteOut(m.fd, r.Off+1<<40, 1)", "TestSyncStartStartsWriting"},
	{"SyncInvalidate verifies", "sync.go",
		"if err != nil || left == 0 {", "if err != nil || left >= 0 {", "TestSyncInvalidateSaysWhatStayed"},
	{"growth reserves blocks", "open.go",
		"err := sys.Allocate(fd, from, end-from)\n\tif err == nil {\n\t\terr = sys.Extend(fd, from, end-from)", "err := sys.Truncate(fd, end)\n\tif err == nil {\n\t\terr = nil", "TestReadWriteGrowsTheFileWithRealBlocks"},
	{"growth that fails leaves the file alone", "open.go",
		"sys.Truncate(fd, st.Size)", "_ = st", "TestNoMemoryNamesTheLimit"},
	{"what can't be mapped is not grown", "open.go",
		"if err := m.probeMap(); err != nil {\n\t\treturn 0, err\n\t}\n\treturn length", "return length", "TestRefusedGrowthLeavesTheFileAlone"},
	{"a lock that fails early takes an earlier one along", "protect.go",
		"m.unlock(ctx, off, n) // what", "// what", "TestLockThatFailsLeavesNothingLocked"},
	{"growth does not believe what was believed of fewer pages", "resize.go",
		"\tm.presence.forget() // now", "\t// now", "TestResizeBringsInWhatIsNew"},
	{"a panic that tells an address is no fault", "internal/fault/fault.go",
		"if f, ok := recovered.(interface {\n\t\truntime.Error\n", "_, _ = recovered.(runtime.Error)\n\tif f, ok := recovered.(interface {\n", "TestOtherPanicsPass in internal/fault"},
	{"Create syncs the directory that the name means", "open.go",
		"at, _ := filepath.Split(name)", "at := filepath.Dir(name)", "TestCreateSyncsTheDirectoryThatTheNameMeans"},
	{"a mapping that failed takes no addresses away", "place.go",
		"{ holdAddresses(addr, length, sys.MAP_FIXED_NOREPLACE) }", "{ _ = addr }", "TestFailedMappingLeavesTheAddressesHeld"},
	{"no tenant comes in uncounted", "place.go",
		"err = because(ErrBusy, \"the reservation is being closed\")", "inside = false", "TestNoTenantWhileAReservationIsBeingClosed"},
	{"the addresses of the one just closed are held", "quarantine.go",
		"q.release(len(q.held) / 2) // never", "q.release(len(q.held)/2 + 1) // never", "TestQuarantineKeepsTheNewest"},
	{"growth takes the quarantine's room", "quarantine.go",
		"err == error(sys.ENOMEM) && quarantine.drain()", "err == error(sys.EINVAL) && quarantine.drain()", "TestGrowthTakesTheQuarantinesRoom"},
	{"a write-out that could not be started is remembered", "sync.go",
		"m.fail(\"sync\", off, n, m.inode.remember(err))", "m.fail(\"sync\", off, n, err)", "TestSyncStartFailureIsRemembered"},
	{"what was discarded is not believed in", "advise.go",
		"\tm.presence.forget() // the file's", "\t// the file's", "TestDiscardDropsBeliefs"},
	{"a lock that fails is told", "protect.go",
		"func() error { return m.lock(off, n, mode) })", "func() error { m.lock(off, n, mode); return nil })", "TestLockLimit"},
	{"the option Lock is told when it fails", "advise.go",
		"return m.lock(off, n, m.opt.Lock)", "m.lock(off, n, m.opt.Lock)", "TestLockLimit"},
	{"the option Populate is told when it fails", "advise.go",
		"if err := m.populate(ctx, off, n); err != nil {", "if err := m.populate(ctx, off, n); err != nil && n == 0 {", "TestReadErrorOfTheDisk"},
	{"LockAll refuses what would kill the heap's growth", "lockall.go",
		"if f&LockFuture != 0 && !mayLockWithoutLimit() {", "if f == 0 {", "TestLockLimit"},
	{"FixedNoReplace replaces nothing", "place.go",
		"flags |= sys.MAP_FIXED_NOREPLACE", "flags |= sys.MAP_FIXED", "TestFixedNoReplace"},
	{"a tenant leaves its addresses held", "place.go",
		"return m.holdPart(0, a.reserved)", "return sys.Munmap(a.base, uintptr(a.reserved))", "TestReservation$"},
	{"a reserve stays held when the mapping shrinks", "resize.go",
		"if old.reserved > old.span || m.parent != nil || m.opt.Reserve > 0 {", "if m.parent != nil {", "TestReserveHoldsAddresses"},
	{"file calls stand in only where they see what memory shows", "send.go",
		"c := int32(incoherentFile)", "c := int32(coherentFile)", "TestSendOnOverlayfs"},
	{"WriteTo copies from a writable mapping", "send.go",
		"m.opt.Access == ReadOnly && !m.unreadable.Load()", "m.opt.Access != CopyOnWrite && !m.unreadable.Load()", "TestWriteToFromAWritableMappingCopies"},
	{"the kernel moves pages without a copy", "send.go",
		"if !fileWill() {", "if fileWill() || n >= 0 {", "TestSendMovesPagesWithoutACopy"},
	{"protected pages are not sent past their protection", "send.go",
		"!m.unreadable.Load()", "m.fd >= 0", "TestSendStopsAtAProtectedPage"},
	{"residency that the kernel hides is unknown", "residency.go",
		"return m.fd < 0 || m.sharedAnonymous()", "return m.fd != -12345 || m.sharedAnonymous()", "TestResidencyUnknownToStrangers"},
	// The engine, whose tests judge on the Store.
	{"msync writes all of its range", "vmem/calls_sync.go",
		"part.pgoff+part.pages());", "part.pgoff+part.pages()/2);", "TestWriteBack"},
	{"protection does not make a page clean", "vmem/calls_protect.go",
		"e.bits &^= Present\n", "e.bits &^= Present\n\t\te.frame.state = StateClean\n", "TestWriteBack"},
	{"a store to a page that was written is noticed", "vmem/cache.go",
		"bits &^= Writable | Dirty", "bits &^= Dirty", "TestStoreAfterWriteBack"},
	{"a dirty page is written before it is evicted", "vmem/frame.go",
		"if f.state == StateDirty {", "if f.state == StateWriting {", "TestMemoryPressure"},
	{"a locked page stays in memory", "vmem/frame.go",
		"&& f.held == 0 && !f.pinned()", "&& f.held == 0", "TestMemoryPressure"},
	{"what is copied stays in memory while room is made for the copy", "vmem/fault.go",
		"f.held++ // making", "f.held += 0 // making", "TestRandomPrograms"},
	{"the tail of the last page is zeros after a truncation", "vmem/cache.go",
		"n > 0 {\n\t\tclear(f.data[n:])", "n < 0 {\n\t\tclear(f.data[n:])", "TestTail"},
	{"a truncation takes private copies", "vmem/cache.go",
		"\to.unmapBeyondEnd()\n", "", "TestTruncationTakesCopies"},
	{"a failed write-back is told", "vmem/cache.go",
		"Frame: f.number})\n\tif err != nil {", "Frame: f.number})\n\tif err == nil && n < 0 {", "TestWriteFailure"},
	{"a sync that fails makes nothing certain", "vmem/object.go",
		"o.crash.doubts(first, last)", "o.crash.synced(first, last)", "TestPowerCut"},
	{"what was cut off does not come back after a power cut", "vmem/crash.go",
		"left[index] = &zeroed", "_ = left", "TestPowerCut"},
	{"a store after fork is the process's own", "vmem/calls_process.go",
		"e.bits &^= Writable", "e.bits &^= Dirty", "TestFork"},
	{"a page that a child shows is not taken back", "vmem/fault.go",
		"case f.object == nil && len(f.mappers) == 1:", "case f.object == nil:", "TestFaults"},
	{"a page beyond the end is a SIGBUS", "vmem/fault.go",
		"if index >= o.end() {", "if index > o.end() {", "TestSignals"},
	{"areas of two open files are two", "vmem/space.go",
		"a.flags == b.flags && a.file == b.file &&", "a.flags == b.flags &&", "TestMerging"},
	{"two families of pages are two areas", "vmem/space.go",
		"return there.lineage == comes.lineage", "return true", "TestMerging"},
	{"an address that no kernel could have chosen is refused", "vmem/calls_map.go",
		"|| chosen > last || !p.free(chosen, chosen+Addr(length))", "|| chosen > last", "TestChosenPlace"},
	// Queues in shared memory. TestModels runs the tests of the build with steps.
	{"a record is claimed only where tail still points", "shm/ring/produce.go",
		"if r.tail.Load() != t {\n\t\t\tcontinue //", "if t == 1<<63 {\n\t\t\tcontinue //", "TestModels"},
	{"who waits announces it before looking again", "shm/ring/ring.go",
		"set := b.set()\n\t\twho, err := try()", "who, err := try()\n\t\tset := b.set()", "TestModels"},
	{"who finishes a record rings where that makes room", "shm/ring/produce.go",
		"if w.state() == done || p.r.Delivery != ToOne {", "if w.state() == taken {", "TestModels"},
	{"a seat is freed after all else", "shm/ring/repair.go",
		"\thead := r.head.Load()\n", "\thead := r.head.Load()\n\tr.seatOwner(seat).CompareAndSwap(uint32(r.space.Self()), 0)\n", "TestModels"},
	{"a dead one's seat is taken over by one alone", "shm/ring/repair.go",
		"r.seatOwner(n).CompareAndSwap(uint32(who), uint32(self))", "r.seatOwner(n).Swap(uint32(self)) != 0", "TestModels"},
	{"a record that can't be given back is told of", "shm/ring/repair.go",
		"return fmt.Errorf(\"%w: next does not stand still\", ErrCorrupt)", "return nil", "TestModels"},
	{"head may be a record ahead of tail", "shm/ring/produce.go",
		"stands := h > t && ", "stands := h < t && ", "TestModels"},
	{"a record given back while it is passed comes again", "shm/ring/consume.go",
		"if w.state() == taken && record(state.Load()).state() == committed {", "if w.state() == claimed {", "TestModels"},
	{"a block is lent to one record at a time", "shm/ring/slab.go",
		"rec.lap() != lap || rec.state() == done {", "rec.lap() > 0 {", "TestModels"},
	{"a reader looks whether it was overtaken", "shm/ring/overwrite.go",
		"if r.head.Load() > rd.at {\n\t\t\t\tcontinue\n\t\t\t}\n\t\t\tif err != nil {", "if err != nil {", "TestModels"},
	{"what a dead producer had claimed is given up", "shm/ring/repair.go",
		"(w.state() == claimed || w.state() == taken)", "w.state() == taken", "TestDeadProducer"},
	{"what a dead consumer had taken comes again", "shm/ring/repair.go",
		"(w.state() == claimed || w.state() == taken)", "w.state() == claimed", "TestDeadConsumer"},
	{"and is marked", "shm/ring/record.go",
		"return r.becomes(committed, 0) | 1<<seenShift", "return r.becomes(committed, 0)", "TestDeadConsumer"},
	{"and is found", "shm/ring/repair.go",
		"r.goBack(first)", "r.goBack(math.MaxUint64)", "TestDeadConsumer"},
	{"a record's length is checked", "shm/ring/ring.go",
		"if i&r.mask+n > r.mask+1 {", "if n > 1<<40 {", "TestHostileWords"},
	{"a loan is checked", "shm/ring/slab.go",
		"if b >= uint64(r.Blocks) || w.length()", "if w.length()", "TestHostileWords"},
	{"a stream's positions are checked", "shm/ring/stream.go",
		"if at < max(least, e.seen) || at > most {", "if at < least {", "TestStreamHostilePositions"},
	{"a stream goes around at its end", "shm/ring/stream.go",
		"\t\tif e.at += n; e.at == len(e.data) {\n\t\t\te.at = 0\n\t\t}\n", "\t\te.at = (e.at + n) % max(64, len(e.data)&-len(e.data))\n", "TestStreamCarriesEverything"},
	{"losses are counted", "shm/ring/overwrite.go",
		"\t\tn++\n", "\t\tn += 0\n", "TestOverwrite"},
	{"the slowest consumer keeps its records", "shm/ring/produce.go",
		"c != 0 && c-1 < limit {", "c != 0 && c < 1 {", "TestToAll$"},
	{"what a consumer passes over is free", "shm/ring/consume.go",
		"if c.given == c.released { // nobody", "if c.given > 1<<40 { // nobody", "TestToAllPassesOver"},
	{"who sits down goes on with what was told", "shm/ring/stats.go",
		"t.told[i] = t.shared[i].Load()", "t.told[i] = 0", "TestStatsToOne"},
	{"a reader kept from its lock gives up when its context ends", "shm/shmsync/rwmutex.go",
		"if err := ctx.Err(); err != nil { // not only where", "if err := ctx.Err(); err == fs.ErrInvalid { // not only where", "TestModels"},
	{"nobody spins on one CPU", "shm/shmsync/spin.go",
		"word.Stepped || cpus() < 2", "word.Stepped || cpus() < 0", "TestNobodySpinsOnOneCPU"},
	{"a spin lets others run", "shm/shmsync/spin.go",
		"if s.othersAreReady() {", "if s.othersAreReady() && budget < 0 {", "TestSpinLetsOthersRun"},
	{"a spin with nobody else to run wakes nobody", "shm/shmsync/spin.go",
		"if s.othersAreReady() {", "if s.othersAreReady() || budget > 0 {", "TestSpinYieldsToNobody"},
	{"a quota above counts", "internal/sys/cpus_linux.go",
		"dir = path.Dir(dir) {", "dir = \"/\" {", "TestQuotas in internal/sys"},
	{"laps of long ago do not come round", "shm/ring/produce.go",
		"lap%renewLaps == 0", "lap%renewLaps == 12345", "TestLapsAreRenewed"},
}

// all is every mutant.
func all() []mutant {
	return slices.Concat(mutants, againstTheKernel, shared, unguarded(), connections, explained)
}

// pkg is the package whose tests should notice.
func (m mutant) pkg() string {
	if _, dir, ok := strings.Cut(m.test, " in "); ok {
		return "./" + dir
	}
	for _, dir := range []string{"vmem/", "shm/", "internal/anchor/"} {
		if strings.HasPrefix(m.file, dir) {
			return "./" + path.Dir(m.file)
		}
	}
	return "."
}

func TestMutantsApply(t *testing.T) {
	for _, m := range all() {
		if src, err := os.ReadFile(filepath.Join(root, m.file)); err != nil {
			t.Error(err)
		} else if n := strings.Count(string(src), m.old); n != 1 {
			t.Errorf("%q: %s has its piece %d times, want once:\n%s", m.claim, m.file, n, m.old)
		}
	}
}

func TestMutantsAreCaught(t *testing.T) {
	if os.Getenv("MMAP_MUTANTS") == "" {
		testenv.Skip(t, "takes minutes; MMAP_MUTANTS=1 runs it")
	}
	// Two at a time, each in a copy of its own: many a mutant hangs until its time is over.
	copies := make(chan workshop, 2)
	for range cap(copies) {
		w := workshop{t.TempDir(), scratchDir(t)}
		copyModule(t, w.module)
		copies <- w
	}
	w := <-copies
	for _, pkg := range []string{".", "./vmem", "./internal/agree", "./shm", "./shm/shmsync", "./shm/shmnet", "./shm/ring", "./internal/anchor", "./cmd/mmap"} {
		tests := "."
		if pkg == "./cmd/mmap" { // whose others read docs, which the copy does not have
			tests = "Kernel|Difference|Synced"
		}
		if out, err := goTest(t, w.module, w.scratch, pkg, tests, "5m"); err != nil {
			t.Fatalf("without any mutant: %v\n%s", err, out)
		}
	}
	copies <- w
	for _, m := range all() {
		t.Run(m.claim, func(t *testing.T) {
			t.Parallel()
			w := <-copies
			defer func() { copies <- w }()
			m.run(t, w)
		})
	}
}

// A workshop is a copy of the module, and a directory for what its tests leave.
type workshop struct{ module, scratch string }

// run makes the mutant in a workshop, and wants its test to notice.
func (m mutant) run(t *testing.T, w workshop) {
	name := filepath.Join(w.module, m.file)
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.WriteFile(name, src, 0o644); err != nil {
			t.Error(err)
		}
	}()
	if err := os.WriteFile(name, []byte(strings.Replace(string(src), m.old, m.new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	test, _, _ := strings.Cut(m.test, " in ")
	for range attempts {
		out, err := goTest(t, w.module, w.scratch, m.pkg(), test, "40s") // a mutant may hang
		unmountAll(t, w.scratch)
		switch {
		case strings.Contains(out, "build failed") || strings.Contains(out, "setup failed") || strings.Contains(out, "vet:"):
			t.Fatalf("it does not build:\n%s", out)
		case strings.Contains(out, "no tests to run"):
			t.Fatalf("there is no test %s", m.test)
		case strings.Contains(out, "--- SKIP"):
			testenv.Skip(t, m.test+" could not run: "+out)
		case err != nil:
			t.Logf("noticed:\n%.2000s", out)
			return
		}
		t.Logf("%s did not notice", m.test)
	}
	t.Errorf("%s did not notice in %d runs", m.test, attempts)
}

// attempts is how often a test may run before it must have noticed a mutant: some
// break what only shows in an unlucky order.
const attempts = 3

// copyModule copies the packages that have mutants and what they stand on.
func copyModule(t *testing.T, to string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		top, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		if d.IsDir() {
			if rel != "." && !slices.Contains([]string{"internal", "raw", "vmem", "shm", "cmd"}, top) || strings.HasSuffix(rel, "mutants") {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		if ext := filepath.Ext(name); !slices.Contains([]string{".go", ".mod", ".sum", ".txt", ".mmap", ".html"}, ext) {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), src, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// goTest runs tests of a package of the copy. Nobody debugs what it links, and
// links it for each mutant anew.
func goTest(t *testing.T, dir, scratch, pkg, test, timeout string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-vet=off", "-ldflags=-w", "-v", "-timeout="+timeout, "-run", test, pkg)
	cmd.Dir = dir
	// Random programs run until they meet the mutant, for so long at most.
	cmd.Env = append(os.Environ(), "MMAP_AGREE=20s", "MMAP_TEST_RECORDS="+filepath.Join(dir, "records"), "TMPDIR="+scratch)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// scratchDir is where the tests of a mutant make their files. One that hangs is
// killed with its file systems mounted, so what is left there is taken away.
func scratchDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mmap-mutants-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unmountAll(t, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil { // children run as nobody
		t.Fatal(err)
	}
	return dir
}

// unmountAll unmounts what is mounted below dir, the last first.
func unmountAll(t *testing.T, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return // nothing is mounted by these tests where there is no /proc
	}
	lines := strings.Split(strings.TrimSpace(string(mounts)), "\n")
	for _, line := range slices.Backward(lines) {
		f := strings.Fields(line) // proc_pid_mountinfo(5): the fifth is the mount point
		if len(f) < 5 || !strings.HasPrefix(f[4], dir+"/") {
			continue
		}
		if out, err := exec.Command("umount", "--lazy", f[4]).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", f[4], err, out)
		}
	}
}
