package house

import (
	"path"
	"slices"
	"strings"
)

// A row says what a package may import of this module: directories, a whole
// subtree where the name ends in /*, and "public" for every package that
// programs are meant to import. Every package may import internal/invariant.
type row struct {
	pkg     string
	may     []string
	outside bool // may import other modules
}

// The lattice, from the ground up: no arrow runs back up.
var lattice = []row{
	{pkg: "internal/page"},
	{pkg: "internal/invariant"},
	{pkg: "internal/mem"},
	{pkg: "internal/sys", outside: true}, // golang.org/x/sys alone, see imports
	{pkg: "internal/word", may: []string{"internal/mem", "internal/sys"}},
	{pkg: "internal/fault", may: []string{"internal/page"}},
	{pkg: "internal/anchor", may: []string{"internal/mem", "internal/sys", "internal/word", "internal/fault"}},
	{pkg: "internal/model", may: []string{"internal/word"}},
	{pkg: "internal/probe", may: []string{"internal/sys"}},
	{pkg: "raw", may: []string{"internal/sys"}},
	{pkg: "vmem", may: []string{"internal/page"}},
	{pkg: ".", may: []string{"internal/sys", "internal/mem", "internal/page", "internal/fault", "internal/probe"}},
	{pkg: "shm/shmsync", may: []string{"internal/sys", "internal/mem", "internal/word", "internal/fault"}},
	{pkg: "internal/fleet", may: []string{"internal/mem", "internal/model", "internal/word", "shm/shmsync"}},
	{pkg: "shm", may: []string{".", "internal/sys", "internal/mem", "internal/word", "internal/anchor", "shm/shmsync"}},
	{pkg: "shm/ring", may: []string{"shm", "shm/shmsync", "internal/mem", "internal/word"}},
	{pkg: "shm/shmnet", may: []string{"shm/ring", "shm/shmsync", "internal/sys", "internal/mem", "internal/word"}},
	{pkg: "pager", may: []string{".", "internal/sys", "internal/mem", "internal/page", "internal/probe", "vmem"}},
	{pkg: "durable", may: []string{".", "internal/sys", "internal/mem", "internal/page", "internal/probe"}},
	{pkg: "offheap", may: []string{".", "internal/sys", "internal/mem", "internal/page"}},
	{pkg: "mmaptest/*", may: []string{"public", "mmaptest/*", "internal/sys"}, outside: true},
	{pkg: "cmd/mmap/*", may: []string{"public", "cmd/mmap/*"}, outside: true},
	{pkg: "cmd/mmap/kernel", may: []string{"public", "cmd/mmap/script", "internal/tracee"}},
	{pkg: "examples/*", may: []string{"public"}},
	{pkg: "bench/*", may: []string{"public"}, outside: true},
	{pkg: "internal/testenv", may: []string{"public", "internal/sys"}, outside: true},
	{pkg: "internal/house"},
	{pkg: "internal/tracee", may: []string{"internal/sys", "internal/mem"}},
	{pkg: "internal/mutants"},
	{pkg: "internal/agree"},
	{pkg: "witness", may: []string{"internal/sys"}},
}

// forTests is what any test may import beside what its package may. Tests of
// the library reach the ground floor too, to see what the kernel did; those of
// the command and of the examples live outside, as their users do.
var (
	forTests        = []string{"public", "mmaptest/*", "internal/testenv"}
	forLibraryTests = []string{"internal/sys", "internal/mem", "internal/page", "internal/tracee", "internal/word", "internal/model", "internal/fleet"}
)

// imports holds the lattice.
func imports(t *tree) []string {
	var found []string
	report := func(f *file, what string) { found = append(found, f.name+": "+what) }
	for _, f := range t.files {
		r, ok := rowOf(f.dir())
		if !ok {
			report(f, "no row in the import lattice for "+f.dir())
			continue
		}
		for _, p := range f.imports() {
			ours, own := strings.CutPrefix(p+"/", module+"/")
			switch {
			case own:
				dir := path.Clean(ours)
				if !r.allows(dir, f.isTest()) {
					report(f, "may not import "+dir)
				}
			case standard(p):
			case within(p, "golang.org/x/sys"):
				// bench measures against the bare calls, in a module of its own.
				if f.dir() != "internal/sys" && !f.within("bench") {
					report(f, p+" belongs to internal/sys")
				}
			case f.dir() == "internal/sys" && !f.isTest():
				report(f, "may import golang.org/x/sys and not "+p)
			case !r.outside && !f.isTest():
				report(f, "library code may not import "+p)
			}
		}
	}
	return found
}

// rowOf finds the row of a directory; an exact one wins over a subtree.
func rowOf(dir string) (row, bool) {
	for _, r := range lattice {
		if r.pkg == dir {
			return r, true
		}
	}
	for _, r := range lattice {
		if matches(r.pkg, dir) {
			return r, true
		}
	}
	return row{}, false
}

func (r row) allows(dir string, test bool) bool {
	may := slices.Concat(r.may, []string{"internal/invariant"})
	if test {
		may = slices.Concat(may, forTests, []string{r.pkg}) // an external test imports its own package
		if public(r.pkg) || within(r.pkg, "internal") {
			may = slices.Concat(may, forLibraryTests)
		}
	}
	return slices.ContainsFunc(may, func(m string) bool {
		return matches(m, dir) || m == "public" && public(dir)
	})
}

// matches reports whether dir is what a row names.
func matches(name, dir string) bool {
	sub, tree := strings.CutSuffix(name, "/*")
	return name == dir || tree && within(dir, sub)
}

// public reports whether programs are meant to import the package.
func public(dir string) bool {
	for _, closed := range []string{"internal", "cmd", "mmaptest", "examples", "bench", "witness"} {
		if within(dir, closed) {
			return false
		}
	}
	return true
}

// within reports whether p is dir or below it, in whole elements.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// standard reports whether p is in the standard library: its first element has
// no dot, which the go command reserves for it.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".")
}
