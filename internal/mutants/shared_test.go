package mutants

import (
	"slices"
	"strings"
)

// shared break claims about memory that processes share.
var shared = []mutant{
	{"an unlock that somebody sleeps for wakes", "shm/shmsync/mutex.go",
		"if w&waitersBit != 0 {\n\t\t\treturn word.Wake", "if w == 0 {\n\t\t\treturn word.Wake", "TestModels"},
	{"who has slept takes the lock for others who sleep", "shm/shmsync/mutex.go",
		"slept = waitersBit\n", "slept = 0\n", "TestModels"},
	{"who gives a wait up wakes another in his stead", "shm/shmsync/mutex.go",
		"uint32(w)); err != nil {\n\t\t\t\treturn m.passOn(err, slept)", "uint32(w)); err != nil {\n\t\t\t\treturn err", "TestModels"},
	{"a dead owner's lock comes with ErrOwnerDied", "shm/shmsync/mutex.go",
		"case !s.alive(owner):\n\t\t\t// Others may have slept on the word for as long as the owner lived.\n\t\t\tif m.word.CompareAndSwap(w, m.mine|diedBit|waitersBit) {\n\t\t\t\treturn w, 0, ErrOwnerDied",
		"case !s.alive(owner):\n\t\t\tif m.word.CompareAndSwap(w, m.mine|diedBit|waitersBit) {\n\t\t\t\treturn w, 0, nil", "TestModels"},
	{"a lock that nobody repaired is broken", "shm/shmsync/mutex.go",
		"return m.giveBack(brokenBit)", "return m.giveBack(0)", "TestModels"},
	{"one goroutine of a process looks after having announced", "shm/shmsync/mutex.go",
		"if m.waiting.Load() {\n\t\t\tm.ring()\n\t\t}\n\t\treturn nil\n\t}\n\treturn m.giveBack", "return nil\n\t}\n\treturn m.giveBack", "TestMutexWithinAProcess"},
	{"nothing is repaired before the liveness lock is free", "shm/shmsync/space.go",
		"if err != nil || held {", "if err != nil || held && !s.marked(o) {", "TestModels"},
	{"a death is noticed though the kernel's mark was lost", "shm/shmsync/sleeper.go",
		"(timedOut || s.marked(owner))", "(timedOut && s.marked(owner) || s.marked(owner))", "TestMarkThatNeverCame"},
	{"who is woken by a death wakes the others", "shm/shmsync/sleeper.go",
		"err = errors.Join(err, word.Wake(live.Word, word.All))", "err = errors.Join(err)", "TestModels"},
	{"Close ends sleeps", "shm/shmsync/sleeper.go",
		"sl.interrupt()\n\t}", "_ = sl\n\t}", "TestModels"},
	{"a sleep is known before it is asked whether the Space is closed", "shm/shmsync/sleeper.go",
		"s.sleepers.enter(sl)\n", "defer s.sleepers.enter(sl)\n", "TestModels"},
	{"a Sleeper that does not sleep is forgotten", "shm/shmsync/sleeper.go",
		"delete(s.all, sl)", "_ = sl", "TestSleeperIsForgotten"},
	{"a context ends a sleep", "shm/shmsync/sleeper.go",
		"defer afterFunc(ctx, sl.interrupt)()", "", "TestModels"},
	{"a slot's epochs do not wrap", "shm/shmsync/space.go",
		"if epoch >= maxEpoch {", "if epoch > maxEpoch {", "TestSlotUsedUp"},
	{"readers look for a writer after counting themselves in", "shm/shmsync/rwmutex.go",
		"if rw.writer.word.Load() == 0 {\n\t\treturn true, nil", "if rw.writer.word.Load() != 1 {\n\t\treturn true, nil", "TestModels"},
	{"a writer waits for readers", "shm/shmsync/rwmutex.go",
		"if owner == 0 {\n\t\t\t\tbreak", "if owner != 1 {\n\t\t\t\tbreak", "TestModels"},
	{"the last reader wakes the writer", "shm/shmsync/rwmutex.go",
		"left == 0 && rw.writer.word.Load() != 0", "left == 0 && rw.writer.word.Load() == 1", "TestModels"},
	{"a dead reader's count is taken back", "shm/shmsync/counts.go",
		"if c.space.alive(owner) {", "if owner != 0 {", "TestModels"},
	{"a new reader does not inherit a dead one's count", "shm/shmsync/counts.go",
		"has = 0 // of one who died in this slot", "_ = has", "TestSlotIsInherited"},
	{"a writer who gives up leaves what needs repair", "shm/shmsync/rwmutex.go",
		"rw.writer.giveBack(diedBit)", "rw.writer.giveBack(0)", "TestWriterGivesUpARepair"},
	{"permits are added up under the lock", "shm/shmsync/semaphore.go",
		"m.bell.CompareAndSwap(bell, bell|1)", "_ = bell; return 0, nil, m.held.add(uint32(n))", "TestModels"},
	{"who gives permits back rings", "shm/shmsync/semaphore.go",
		"return word.Wake(m.bell, word.All)", "return nil", "TestModels"},
	{"a Try does not wait for the semaphore's own lock", "shm/shmsync/semaphore.go",
		"err := m.mutex.tryLock(); err", "err := m.mutex.lock(context.Background()); err", "TestTryAcquireDoesNotWait"},
	{"a signal wakes", "shm/shmsync/event.go",
		"err = word.Wake(e.word, word.All)", "err = nil", "TestModels"},
	{"a reader looks at the tag again", "shm/shmsync/snapshot.go",
		"if from[0].Load() == 2*v {\n\t\t\treturn copied", "if v > 0 {\n\t\t\treturn copied", "TestModels"},
	{"a version is published when it is whole", "shm/shmsync/snapshot.go",
		"to[0].Store(2*v - 1)\n", "to[0].Store(2 * v)\n\tn.version.Store(v)\n", "TestModels"},
	{"words that make no sense are damage", "shm/shmsync/mutex.go",
		"if w&lockZeros != 0 || w&lockSlots > uint64(s.mem.Slots) ||", "if w == 1 ||", "TestDamage"},
	{"a lock that is broken belongs to nobody", "shm/shmsync/mutex.go",
		"^uint64(waitersBit | diedBit | lockSlots", "^uint64(waitersBit | diedBit | brokenBit | lockSlots", "TestDamage"},

	{"one of those who sleep watches the new owner of a lock", "shm/shmsync/mutex.go",
		"return m.passOn(err, slept)\n\t\tcase ctx", "return err\n\t\tcase ctx", "TestModels"},
	{"a wait within a process ends though nobody unlocks", "shm/shmsync/mutex.go",
		"again := time.NewTimer(Rearm)", "again := time.NewTimer(time.Hour)", "TestLostWhileWaiting in shm"},
	{"who is woken by a death wakes the others though the slot is taken again", "shm/shmsync/sleeper.go",
		"if live.Word.Load() != live.Value {", "if live.Word.Load()&diedMark != 0 {", "TestModels"},
	{"the word is read before the table", "shm/shmsync/sleeper.go",
		"mark := live.Load()\n\t\tif !s.alive(owner) {", "gone := !s.alive(owner)\n\t\tmark := live.Load()\n\t\tif gone {", "TestModels"},
	{"who leaves marks its word", "shm/shmsync/space.go",
		"p.live.Store(diedMark)\n", "", "TestModels"},
	{"who leaves wakes those who wait for what it held", "shm/shmsync/space.go",
		"word.Wake(&p.live, word.All) // it fails", "_ = word.Wake // it fails", "TestModels"},
	{"a table that is gone keeps nobody from leaving", "shm/shmsync/space.go",
		"fault.Caught(recover(), mem.AddrOf(b), len(b))", "_ = fault.Caught", "TestLostClose in shm"},
	{"what the kernel met is an error of lost memory", "shm/shmsync/guard.go",
		"errors.Is(*err, sys.EFAULT)", "errors.Is(*err, sys.EAGAIN)", "TestGuard$"},
	{"who waits looks whether it still takes part", "shm/shmsync/sleeper.go",
		"taken := s.self != 0 &&", "taken := s.self == 1 &&", "TestLostHole in shm"},
	{"a guard catches what belongs to it alone", "internal/fault/fault.go",
		"a-base < uintptr(n)", "a-base < uintptr(n) || true", "TestOtherPanicsPass in internal/fault"},
	{"who waits looks whether the ring is there to its end", "shm/ring/ring.go",
		"words(r.memory, len(r.memory)-8, 1)[0].Load()", "_ = r", "TestLostWhileWaiting"},
	{"who waits looks whether the ring is there at all", "shm/ring/ring.go",
		"case words(r.memory, 0, 1)[0].Load() != ringMagic:", "case words(r.memory, 0, 1)[0].Load() == 12345:", "TestLostWhileWaiting"},
	{"who waits looks whether records are missing", "shm/ring/ring.go",
		"return i < t && record(", "return i > t && record(", "TestMissing"},
	{"who waits looks whether its seat is its own", "shm/ring/ring.go",
		"case seat > 0 && r", "case seat > 999 && r", "TestMissing"},
	{"who waits for a stream looks whether it is there to its end", "shm/ring/stream.go",
		"words(e.data, len(e.data)-8, 1)[0].Load()", "_ = e", "TestLostWhileWaiting"},
	{"who waits for a stream looks whether it still has its side", "shm/ring/stream.go",
		"if e.us.owner.Load() != uint32(e.space.Self()) {", "if e.us.owner.Load() == 12345 {", "TestMissingSide"},
	{"a batch that failed leaves no silence", "shm/ring/produce.go",
		"return func() { p.quiet = false }", "return func() {}", "TestLostBatch"},
	{"counts only grow", "shm/ring/overwrite.go",
		"err == nil && n < rd.count {", "err != nil && n < rd.count {", "TestCountsBeginAnew"},
	{"versions do not begin anew", "shm/shmsync/snapshot.go",
		"if v == 0 && n.seen.Load() {", "if v == 1 && n.seen.Load() {", "TestLostHole in shm"},
	{"the header is looked at again", "shm/segment.go",
		"err == nil && !bytes.Equal(b, s.head.encode())", "err != nil && !bytes.Equal(b, s.head.encode())", "TestLostHole"},
	{"a process whose memory was not taken away takes part still", "shm/segment.go",
		"if err := s.area.detach(); err != nil {\n\t\treturn failed", "if err := s.area.detach(); err != nil && s.slot < 0 {\n\t\treturn failed", "TestCloseRefused"},

	{"a word on the list is marked when the process ends", "internal/anchor/anchor.go",
		"next(l.head).Store(e.node)", "_ = e", "TestEndIsMarked"},
	{"a word that is off the list is not marked", "internal/anchor/anchor.go",
		"next(n).Store(next(e.node).Load())", "_ = n", "TestEndIsMarked"},
	{"what can't be mapped leaves no hole", "internal/anchor/anchor.go",
		"return nil, errors.Join(err, l.vacate(place))", "return nil, err", "TestRefusedLeavesNoHole"},
	{"a word that was truncated away is an error", "internal/anchor/anchor.go",
		"fault.Caught(recover(), at, int(l.page))", "fault.Caught(nil, at, int(l.page))", "TestFileEndsBeforeTheWord"},
	{"no more words are held than the kernel walks", "internal/anchor/anchor.go",
		"case place == Max:", "case place == 2*Max:", "TestMax"},

	{"a segment is whole before it has a name", "shm/segment.go",
		"if err := s.lay(o); err != nil {\n\t\treturn nil, s.undo(err)\n\t}\n\tword.Place(\"laid out\")", "sys.NameFile(fd, path)\n\tif err := s.lay(o); err != nil {\n\t\treturn nil, s.undo(err)\n\t}\n\tsys.Unlink(path)\n\tword.Place(\"laid out\")", "TestSteps"},
	{"blocks are reserved", "shm/segment.go",
		"return sys.Extend(fd, 0, size)", "return sys.Truncate(fd, size)", "TestFullTmpfs"},
	{"the last one out takes the name away", "shm/segment.go",
		"if err := sys.Unlink(s.path); err != nil &&", "if err := error(nil); err != nil &&", "TestNamed"},
	{"the name stays while others take part", "shm/segment.go",
		"if used, err := occupied(fd); err != nil || used {\n\t\treturn err\n\t}\n\tmine", "mine", "TestNamed"},
	{"the name is looked at again after the birth lock", "shm/file.go",
		"still && err == nil", "(still || !still) && err == nil", "TestNameIsLookedAtAgain"},
	{"Close gives the liveness lock back, though a copy of its description is about", "shm/segment.go",
		"sys.LockOFD(s.lockFD, sys.Unlock, 0, lockedBytes)\n\tword.Place(\"unlocked\")", "word.Place(\"unlocked\")", "TestCloseUnlocks"},
	{"the memory is taken away before others hear that a participant has left", "shm/segment.go",
		"if err := s.area.detach(); err != nil {\n\t\treturn failed(\"close\", s.name, err)\n\t}\n\ts.closing.done = true", "s.closing.done = true\n\tdefer s.area.detach()", "TestSteps"},
	{"what a ring says after Close was so before it", "shm/ring/ring.go",
		"func (r *Ring) unlessClosed(err error) error {\n\tif r.space.Closed() {", "func (r *Ring) unlessClosed(err error) error {\n\tif r.space.Closed() && err == ErrEmpty {", "TestClosedSegment"},
	{"Close keeps nobody from the segment while it waits for views", "shm/segment.go",
		"if err := s.data.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {\n\t\treturn failed(\"close\", s.name, err)\n\t}\n\ts.closing.Lock()\n\tdefer s.closing.Unlock()\n",
		"s.closing.Lock()\n\tdefer s.closing.Unlock()\n\tif err := s.data.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {\n\t\treturn failed(\"close\", s.name, err)\n\t}\n", "TestCloseBesideAView"},
	{"a descriptor that was handed over is opened anew for its lock", "shm/segment.go",
		"s.lockFD, err = sys.Reopen(int(fd), mode)", "s.lockFD, err = sys.Dup(int(fd)); _ = mode", "TestHandedOver"},
	{"the size of an anonymous segment is sealed", "shm/segment.go",
		"if err := sys.SealSize(fd); err != nil {", "if fd < 0 {", "TestHandedOver|TestReadOnly"},
	{"memory of huge pages is refused", "shm/segment.go",
		"sys.StaysWhole(int(fd))", "sys.SizeSealed(int(fd))", "TestHugePages"},
	{"other types are refused", "shm/segment.go",
		"err == nil && s.head.abi != o.ABI", "err != nil && s.head.abi != o.ABI", "TestRefused"},
	{"what one who died left in an object is cleared", "shm/directory.go",
		"t > uint64(off)", "t > end+uint64(off)", "TestPlace"},
}

// unguarded takes the guard away from one call after another on memory that a peer
// truncates.
func unguarded() (list []mutant) {
	for file, guards := range map[string][]string{
		"shm/directory.go": {
			"func (s *Segment) Find(name string) (off int64, size int, err error) {\n\terr = s.whileOpen(func() (err error) {\n\t\tdefer s.space",
			"func (s *Segment) place(ctx context.Context, o Object) (off int64, err error) {\n\tdefer s.space",
			"func (s *Segment) Objects() (list []Object, err error) {\n\terr = s.whileOpen(func() (err error) {\n\t\tdefer s.space",
		},
		"shm/shmsync/mutex.go": {
			"func (m *Mutex) lockGuarded(ctx context.Context) (err error) {\n\tdefer m.space",
			"func (m *Mutex) TryLock() (err error) {\n\tdefer m.space",
			"func (m *Mutex) unlockGuarded() (err error) {\n\tdefer m.space",
			"func (m *Mutex) MarkConsistent() (err error) {\n\tdefer m.space",
		},
		"shm/shmsync/rwmutex.go": {
			"func (rw *RWMutex) Lock(ctx context.Context) (err error) {\n\tdefer rw.space",
			"func (rw *RWMutex) TryLock() (err error) {\n\tdefer rw.space",
			"n uint32) error) (err error) {\n\tdefer rw.space",
			"func (rw *RWMutex) RLock(ctx context.Context) (err error) {\n\tdefer rw.space",
			"func (rw *RWMutex) TryRLock() (err error) {\n\tdefer rw.space",
			"func (rw *RWMutex) RUnlock() (err error) {\n\tdefer rw.space",
		},
		"shm/shmsync/semaphore.go": {
			"defer s",
			"func (m *Semaphore) Acquire(ctx context.Context, n int) (err error) {\n\tdefer m.space",
			"func (m *Semaphore) TryAcquire(n int) (err error) {\n\tdefer m.space",
			"func (m *Semaphore) Release(n int) (err error) {\n\tdefer m.space",
			"func (m *Semaphore) Free() int {\n\tvar err error\n\tdefer m.space",
		},
		"shm/shmsync/event.go": {
			"func (e *Event) Generation() (generation uint32) {\n\tvar err error\n\tdefer e.space",
			"func (e *Event) Signal() (err error) {\n\tdefer e.space",
			"func (e *Event) Wait(ctx context.Context, generation uint32) (err error) {\n\tdefer e.space",
		},
		"shm/shmsync/snapshot.go": {
			"func (n *Snapshot[T]) Load() (value T, version uint64, err error) {\n\tdefer n.space",
			"func (n *Snapshot[T]) Store(ctx context.Context, value T) (err error) {\n\tdefer n.space",
			"func (n *Snapshot[T]) write(value T) (err error) {\n\tdefer n.space",
		},
		"shm/shmsync/sleeper.go": {"s := sl.space\n\tdefer s"},
		"shm/shmsync/space.go": {
			"func (s *Space) Join(slot int) (err error) {\n\tdefer s",
			"func (s *Space) Attached(slot int) Owner {\n\tvar err error\n\tdefer s",
			"func (s *Space) Marked(o Owner) (marked bool) {\n\tvar err error\n\tdefer s",
			"func (s *Space) Examine(o Owner) (alive bool, err error) {\n\tdefer s",
			"func (s *Space) Participants() (list []Participant, err error) {\n\tdefer s",
		},
		"shm/ring/ring.go": {
			"func Create(s *shmsync.Space, off int64, o Options) (_ *Ring, err error) {\n\tdefer s",
			"func open(s *shmsync.Space, off int64, suits func(shape) error) (_ *Ring, err error) {\n\tdefer s",
			"func (s *seat) leave() (err error) {\n\tdefer s.r.space",
			"func (s *seat) wait(ctx context.Context, b bell, again error, try func() (shmsync.Owner, error)) (err error) {\n\tdefer s.r.space",
			"func (r *Ring) intact(seat int) (err error) {\n\tdefer r.space",
		},
		"shm/ring/repair.go": {"func (r *Ring) repair(all bool) (err error) {\n\tdefer r.space"},
		"shm/ring/produce.go": {
			"func (r *Ring) NewProducer() (_ *Producer, err error) {\n\tdefer r.space",
			"func (v *Reservation) Commit(n int) (err error) {\n\tif v.p == nil {\n\t\treturn fs.ErrClosed\n\t}\n\tif v.p.r.fragile {\n\t\tdefer v.p.r.space",
			"func (v *Reservation) Abort() (err error) {\n\tif v.p == nil {\n\t\treturn fs.ErrClosed\n\t}\n\tdefer v.p.r.space",
			"func (p *Producer) reserve(n int) (v Reservation, who shmsync.Owner, err error) {\n\tif p.r.fragile {\n\t\tdefer p.r.space",
			"func (p *Producer) send(b []byte) (who shmsync.Owner, err error) {\n\tif p.r.fragile {\n\t\tdefer p.r.space",
			"func (p *Producer) SendBatch(ctx context.Context, batch ...[]byte) (n int, err error) {\n\tdefer p.r.space",
		},
		"shm/ring/consume.go": {
			"func (r *Ring) NewConsumer() (_ *Consumer, err error) {\n\tdefer r.space",
			"func (v *Record) Release() (err error) {\n\tc := v.c\n\tif c == nil || c.closed {\n\t\treturn fs.ErrClosed\n\t}\n\tr := c.r\n\tif r.fragile {\n\t\tdefer r.space",
			"func (v *Record) Return() (err error) {\n\tc := v.c\n\tif c == nil || c.closed {\n\t\treturn fs.ErrClosed\n\t}\n\tdefer c.r.space",
			"func (c *Consumer) take() (v Record, who shmsync.Owner, err error) {\n\tif c.r.fragile {\n\t\tdefer c.r.space",
			"func (c *Consumer) Recv(ctx context.Context, b []byte) (n int, err error) {\n\tif c.r.fragile {\n\t\tdefer c.r.space",
		},
		"shm/ring/overwrite.go": {
			"func (r *Ring) NewReader() (_ *Reader, err error) {\n\tdefer r.space",
			"func (rd *Reader) read(b []byte) (n int, who shmsync.Owner, err error) {\n\tif rd.r.fragile {\n\t\tdefer rd.r.space",
		},
		"shm/ring/stats.go": {"func (r *Ring) Stats() (s Stats, err error) {\n\tdefer r.space"},
		"shm/ring/typed.go": {
			"func (s Sender[T]) SendBatch(ctx context.Context, batch []T) (n int, err error) {\n\tdefer s.p.r.space",
			"func (v *Record) value(b []byte) (err error) {\n\tif v.c.r.fragile {\n\t\tdefer v.c.r.space",
		},
		"shm/ring/stream.go": {
			"func CreateStream(s *shmsync.Space, off int64, n int) (_ *Stream, err error) {\n\tdefer s",
			"func OpenStream(s *shmsync.Space, off int64) (_ *Stream, err error) {\n\tdefer s",
			"func (s *Stream) take(end int, side *streamSide) (err error) {\n\tdefer s.space",
			"func (e *streamSide) guarded(f func() error) (err error) {\n\tdefer e.space",
			"func (w *StreamWriter) ReaderClosed() (closed bool, err error) {\n\tdefer w.space",
			"func (e *streamSide) shut() (err error) {\n\tdefer e.space",
			"func (e *streamSide) Arm(how Wake) {\n\tvar err error\n\tdefer e.space",
			"func (e *streamSide) Armed() Wake {\n\tvar err error\n\tdefer e.space",
			"func (e *streamSide) PeerAlive() (alive bool, err error) {\n\tdefer e.space",
			"func (e *streamSide) wait(ctx context.Context, try func() error, again error) (err error) {\n\tdefer e.space",
		},
	} {
		for _, before := range guards {
			old := before + ".Guard().End(&err)\n"
			at := strings.LastIndex(before, "defer ")
			call, _, _ := strings.Cut(before, "\n")
			m := mutant{"memory that is lost is an error of " + call, file, old, before[:at] + "_ = &err\n", "TestLost in shm"}
			if strings.HasPrefix(file, "shm/ring/") {
				m.test = "TestLost"
			}
			if strings.Contains(before, "repair(") || strings.Contains(before, "NewProducer") || strings.Contains(before, "NewConsumer") {
				// Only between two steps is it the first to meet it.
				m.test = "TestModels"
			}
			if strings.Contains(before, "Join") { // only while attaching is it the first to meet it
				m.test = "TestSteps in shm"
			}
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b mutant) int { return strings.Compare(a.claim, b.claim) })
	return list
}
