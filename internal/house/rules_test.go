package house

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/build/constraint"
	"go/token"
	"io"
	"path"
	"slices"
	"strings"
)

// platforms are those that the whole tree is vetted for.
var platforms = []string{"linux/amd64", "linux/arm64", "linux/386", "darwin/arm64", "freebsd/amd64", "windows/amd64"}

// rigs are the test files outside internal/sys that may carry a linux tag:
// they drive the kernel in ways that no portable test can.
var rigs = []string{
	"internal/testenv/slowserver_linux.go", // go-fuse does not build everywhere; SlowFS skips without it
}

// vectors are the files of bench that may name an architecture: they sum, so that the
// summing takes less than the copy that is measured. bench is a module of its own.
var vectors = []string{"bench/sum_amd64.go", "bench/sum_other.go"}

// systems are the words of build constraints and file suffixes that name an
// operating system or an architecture (the go command's own list).
var systems = strings.Fields(`
	aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd
	openbsd plan9 solaris wasip1 windows zos unix
	386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64
	mips64le mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x
	sparc sparc64 wasm`)

// tags: build constraints for an operating system or an architecture, in a
// line or in a file's name, stand only in internal/sys.
func tags(t *tree) []string {
	var found []string
	for _, f := range t.files {
		if f.dir() == "internal/sys" {
			continue
		}
		named := systemsOf(f)
		if slices.Contains(rigs, f.name) && (f.isTest() || f.within("internal/testenv")) && slices.Equal(named, []string{"linux"}) {
			continue
		}
		if slices.Contains(vectors, f.name) && slices.Equal(named, []string{"amd64"}) {
			continue
		}
		for _, s := range named {
			found = append(found, fmt.Sprintf("%s: names the platform %s", f.name, s))
		}
	}
	return found
}

func systemsOf(f *file) []string {
	var named []string
	base := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.name), ".go"), "_test")
	for _, word := range strings.Split(base, "_")[1:] { // a file called linux.go has no suffix
		if slices.Contains(systems, word) && word != "unix" {
			named = append(named, word)
		}
	}
	for line := range strings.Lines(f.src) {
		if strings.HasPrefix(line, "package ") {
			break
		}
		line = strings.TrimSpace(line)
		if !constraint.IsGoBuild(line) && !constraint.IsPlusBuild(line) {
			continue
		}
		expr, err := constraint.Parse(line)
		if err != nil {
			named = append(named, err.Error())
			continue
		}
		expr.Eval(func(tag string) bool {
			if slices.Contains(systems, tag) {
				named = append(named, tag)
			}
			return true
		})
	}
	slices.Sort(named)
	return slices.Compact(named)
}

// unsafeOwners: unsafe stands only in internal/sys and internal/mem.
func unsafeOwners(t *tree) []string {
	var found []string
	for _, f := range t.files {
		if f.dir() != "internal/sys" && f.dir() != "internal/mem" && slices.Contains(f.imports(), "unsafe") {
			found = append(found, f.name+": imports unsafe")
		}
	}
	return found
}

// docs: every package has a doc.go with its package comment, and every
// exported name has a comment, its own or its group's. A struct's fields are
// told by the struct's comment; an interface's methods each have their own.
func docs(t *tree) []string {
	var found []string
	for dir, files := range t.packages() {
		if !slices.ContainsFunc(files, func(f *file) bool {
			return path.Base(f.name) == "doc.go" && f.ast.Doc.Text() != ""
		}) {
			found = append(found, dir+": no doc.go with a package comment")
		}
		for _, f := range files {
			for _, d := range f.ast.Decls {
				for _, n := range bareNames(d) {
					found = append(found, fmt.Sprintf("%s: %s has no comment", t.at(n), n.Name))
				}
			}
		}
	}
	return found
}

// bareNames lists the exported names of d without a comment.
func bareNames(d ast.Decl) []*ast.Ident {
	var bare []*ast.Ident
	check := func(comment *ast.CommentGroup, names ...*ast.Ident) {
		for _, n := range names {
			if n.IsExported() && strings.TrimSpace(comment.Text()) == "" {
				bare = append(bare, n)
			}
		}
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil || ast.IsExported(receiver(d)) && !wellKnown[d.Name.Name] {
			check(d.Doc, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				check(first(spec.Doc, d.Doc), spec.Name)
				if face, ok := spec.Type.(*ast.InterfaceType); ok && spec.Name.IsExported() {
					for _, m := range face.Methods.List {
						check(first(m.Doc, m.Comment), m.Names...)
					}
				}
			case *ast.ValueSpec:
				check(first(spec.Doc, spec.Comment, d.Doc), spec.Names...)
			}
		}
	}
	return bare
}

// wellKnown are the methods whose meaning their signature fixes.
var wellKnown = map[string]bool{"Error": true, "Unwrap": true, "String": true}

func first(groups ...*ast.CommentGroup) *ast.CommentGroup {
	for _, g := range groups {
		if g.Text() != "" {
			return g
		}
	}
	return nil
}

// receiver is the name of the type that d is a method of.
func receiver(d *ast.FuncDecl) string {
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// locks: each mutex has a comment that says what it guards, its own or that of
// the struct which embeds it, unless it stands in a group of its own with its
// data. A package with more than one tells their order under "Lock order" in
// its package comment.
func locks(t *tree) []string {
	var found []string
	for dir, files := range t.packages() {
		count := 0
		visit := func(n ast.Node, typ ast.Expr, comment *ast.CommentGroup, grouped bool) {
			if isMutex(typ) {
				count++
				if comment.Text() == "" && !grouped {
					found = append(found, t.at(n)+": a mutex without a comment that says what it guards")
				}
			}
		}
		ordered := false
		for _, f := range files {
			ordered = ordered || strings.Contains(f.ast.Doc.Text(), "Lock order")
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if d, ok := n.(*ast.GenDecl); ok {
					declarations(d, visit)
				}
				return true
			})
		}
		if count > 1 && !ordered {
			found = append(found, fmt.Sprintf(`%s: %d mutexes and no "Lock order" in the package comment`, dir, count))
		}
	}
	return found
}

type visitor func(n ast.Node, typ ast.Expr, comment *ast.CommentGroup, grouped bool)

// declarations visits the variables of d and the fields of its struct types.
func declarations(d *ast.GenDecl, visit visitor) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.ValueSpec:
			comment := first(spec.Doc, spec.Comment, d.Doc)
			visit(spec, spec.Type, comment, false)
			fields(spec.Type, comment, true, visit)
		case *ast.TypeSpec:
			fields(spec.Type, first(spec.Doc, d.Doc), false, visit)
		}
	}
}

// fields visits those of a struct, at any depth. An embedded one has the
// comment of the struct. A group is a struct without a type of its own: what
// stands beside a mutex in it is what the mutex guards.
func fields(e ast.Expr, outer *ast.CommentGroup, group bool, visit visitor) {
	st, ok := e.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range st.Fields.List {
		comment := first(f.Doc, f.Comment)
		if f.Names == nil {
			comment = first(comment, outer)
		}
		visit(f, f.Type, comment, group && len(st.Fields.List) > 1)
		fields(f.Type, comment, true, visit)
	}
}

func isMutex(e ast.Expr) bool {
	if array, ok := e.(*ast.ArrayType); ok {
		return isMutex(array.Elt)
	}
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && pkg.Name == "sync" && (sel.Sel.Name == "Mutex" || sel.Sel.Name == "RWMutex")
}

// suites: every exported interface of a public package has a conformance suite
// mmaptest/conform.Test<Interface>, which anybody can run on their own.
func suites(t *tree) []string {
	suite := map[string]bool{}
	for _, f := range t.packages()["mmaptest/conform"] {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				suite[fn.Name.Name] = true
			}
		}
	}
	var found []string
	for dir, files := range t.packages() {
		if !public(dir) && !within(dir, "mmaptest") {
			continue
		}
		for _, f := range files {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok || !spec.Name.IsExported() {
					return true
				}
				if face, ok := spec.Type.(*ast.InterfaceType); ok && !isConstraint(face) && !suite["Test"+spec.Name.Name] {
					found = append(found, fmt.Sprintf("%s: no mmaptest/conform.Test%s for this interface", t.at(spec), spec.Name.Name))
				}
				return true
			})
		}
	}
	return found
}

// isConstraint reports whether the interface lists types: no value has it.
func isConstraint(face *ast.InterfaceType) bool {
	return slices.ContainsFunc(face.Methods.List, func(f *ast.Field) bool {
		switch x := f.Type.(type) {
		case *ast.UnaryExpr:
			return x.Op == token.TILDE
		case *ast.BinaryExpr:
			return x.Op == token.OR
		}
		return false
	})
}

// everywhere: internal/sys offers the same names on every platform, so that
// what one lacks is an answer and not a missing symbol. (make check vets the
// whole tree for each of them; this is the part that is quick.)
func everywhere(t *tree) []string {
	var found []string
	offered := map[string]map[string]bool{} // name -> platforms
	for _, p := range platforms {
		goos, goarch, _ := strings.Cut(p, "/")
		for _, f := range t.packages()["internal/sys"] {
			if !builds(f, goos, goarch) {
				continue
			}
			for _, n := range exported(f) {
				if offered[n] == nil {
					offered[n] = map[string]bool{}
				}
				offered[n][p] = true
			}
		}
	}
	for _, n := range sortedKeys(offered) {
		for _, p := range platforms {
			if !offered[n][p] {
				found = append(found, fmt.Sprintf("internal/sys.%s is missing for %s", n, p))
			}
		}
	}
	return found
}

// builds reports whether the go command takes f for this platform.
func builds(f *file, goos, goarch string) bool {
	ctx := build.Default
	ctx.GOOS, ctx.GOARCH, ctx.CgoEnabled = goos, goarch, false
	ctx.OpenFile = func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.src)), nil }
	ok, err := ctx.MatchFile(f.dir(), path.Base(f.name))
	return ok && err == nil
}

// exported lists the names that f declares at its top level for others.
func exported(f *file) []string {
	var names []string
	add := func(list ...*ast.Ident) {
		for _, n := range list {
			if n.IsExported() {
				names = append(names, n.Name)
			}
		}
	}
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				add(d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					add(spec.Name)
				case *ast.ValueSpec:
					add(spec.Names...)
				}
			}
		}
	}
	return names
}

// leakChecks: every package with tests has a TestMain that hands over to
// testenv.Main, which reports leaks and what was not proven.
func leakChecks(t *tree) []string {
	checked := map[string]bool{}
	for _, f := range t.files {
		if f.isTest() && !f.within("bench") {
			checked[f.dir()] = checked[f.dir()] || calls(f, "testenv", "Main")
		}
	}
	var found []string
	for _, dir := range sortedKeys(checked) {
		if !checked[dir] {
			found = append(found, dir+": has tests and no TestMain that calls testenv.Main")
		}
	}
	return found
}

// skips: a test skips through testenv, which records it, and in no other way.
func skips(t *tree) []string {
	var found []string
	for _, f := range t.files {
		if !f.isTest() || f.within("internal/testenv") || f.within("bench") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); !ok || x.Name != "testenv" {
				found = append(found, t.at(call)+": skips without testenv.Skip or testenv.Need")
			}
			return true
		})
	}
	return found
}

func calls(f *file, pkg, name string) bool {
	seen := false
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == name {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == pkg {
				seen = true
			}
		}
		return true
	})
	return seen
}
