package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/memwright/mmap"

// A tree is every Go file of the module and of the modules nested in it.
type tree struct {
	fset  *token.FileSet
	files []*file
}

type file struct {
	name string // slash-separated, relative to the module root
	src  string
	ast  *ast.File
}

func (f *file) dir() string  { return path.Dir(f.name) }
func (f *file) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }
func (f *file) within(dir string) bool {
	return f.dir() == dir || strings.HasPrefix(f.dir(), dir+"/")
}

// imports lists the file's imports as the source writes them.
func (f *file) imports() []string {
	var list []string
	for _, spec := range f.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser accepted it
		list = append(list, p)
	}
	return list
}

// load reads the Go files below the root of fsys, without testdata and what
// starts with a dot or an underscore, as the go command does.
func load(fsys fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		hidden := name != "." && (base[0] == '.' || base[0] == '_' || base == "testdata")
		if hidden && d.IsDir() {
			return fs.SkipDir
		}
		if hidden || d.IsDir() || path.Ext(name) != ".go" {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(t.fset, name, src, parser.ParseComments)
		if err != nil {
			return err
		}
		t.files = append(t.files, &file{name, string(src), parsed})
		return nil
	})
	return t, err
}

// packages groups the files that are not tests by directory.
func (t *tree) packages() map[string][]*file {
	m := map[string][]*file{}
	for _, f := range t.files {
		if !f.isTest() {
			m[f.dir()] = append(m[f.dir()], f)
		}
	}
	return m
}

// at is the position of n, for a finding.
func (t *tree) at(n ast.Node) string {
	p := t.fset.Position(n.Pos())
	return p.Filename + ":" + strconv.Itoa(p.Line)
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
