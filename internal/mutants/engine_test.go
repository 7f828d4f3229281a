package mutants

// againstTheKernel is deliberate errors in package vmem that show beside the
// kernel: a hundred random programs come upon each.
var againstTheKernel = []mutant{
	{"areas whose private pages have different families stay apart", "vmem/space.go",
		"return there.lineage == comes.lineage", "return true", "TestRandomProgramsAgree in internal/agree"},
	{"a child's area that grows takes in what was not stored to", "vmem/space.go",
		"(next.lineage == nil || akin(next, a))", "akin(next, a)", "TestTablesAgree in internal/agree"},
	{"neighbours are one only if their pages of the file follow", "vmem/space.go",
		"a.page(a.end-1)+1 == b.pgoff", "a.page(a.end-1) <= b.pgoff", "TestRandomProgramsAgree in internal/agree"},
	{"the rest of the last page is zeros", "vmem/cache.go",
		"f != nil && n > 0 {", "f != nil && n < 0 {", "TestRandomProgramsAgree in internal/agree"},
	{"after fork a store copies", "vmem/calls_process.go",
		"e.bits &^= Writable // neither", "_ = e // neither", "TestRandomProgramsAgree in internal/agree"},
	{"a private page that others see is not taken", "vmem/fault.go",
		"f.object == nil && len(f.mappers) == 1:", "f.object == nil && len(f.mappers) > 0:", "TestRandomProgramsAgree in internal/agree"},
	{"a page behind the end of the file is a bus error", "vmem/fault.go",
		"if index >= o.end() {", "if index > o.end() {", "TestRandomProgramsAgree in internal/agree"},
	{"truncation takes private copies away", "vmem/cache.go",
		"p.drop(from, a.end)", "_ = from", "TestRandomProgramsAgree in internal/agree"},
	{"locks are not inherited", "vmem/calls_process.go",
		"copied.flags &^= vmLockFlags\n", "", "TestRandomProgramsAgree in internal/agree"},
	{"mremap takes private pages along", "vmem/calls_remap.go",
		"p.show(to+(at-r.old), moved.frame, moved.bits)", "_ = to", "TestRandomProgramsAgree in internal/agree"},
	{"mprotect takes the right to store away", "vmem/calls_protect.go",
		"e.bits &^= Writable", "e.bits &^= 0", "TestRandomProgramsAgree in internal/agree"},
}
