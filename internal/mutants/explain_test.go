package mutants

// explained is deliberate errors in what mmap explain says of the kernel beside
// the engine.
var explained = []mutant{
	{"a difference is told", "cmd/mmap/explain_kernel.go",
		"case differs == \"\":\n", "case differs == \"\" || notShown == \"\":\n", "TestADifferenceIsTold"},
	{"each step is done on the kernel", "cmd/mmap/explain_kernel.go",
		"o, err := k.machine.Do(m)", "o, err := m.Outcome, error(nil)", "TestTheKernelAgreesWithEveryStory"},
	{"a page that fork shares is looked up in the kernel's page table", "cmd/mmap/explain_compare.go",
		"case shownBy > 1 && there.Exclusive():", "case shownBy > 1<<20 && there.Exclusive():", "TestADifferenceIsTold"},
	{"what was synced is looked for on the disk", "cmd/mmap/explain_compare.go",
		"known && dirty > 0 {", "known && dirty > 1<<40 {", "TestWhatWasNotSyncedIsTold"},
	{"who can't ask the kernel is told so by the exit status", "cmd/mmap/explain.go",
		"case beside.refused != nil:", "case beside.refused != nil && len(count) == 0:", "TestAKernelThatCantBeAskedLeavesTheEngine"},
	{"a step that blocks is ended", "cmd/mmap/kernel/machine.go",
		"case <-m.ctx.Done():", "case <-make(chan int):", "TestAStepThatBlocksEndsWithTheContext"},
}
