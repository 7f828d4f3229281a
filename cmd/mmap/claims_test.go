package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/memwright/mmap/internal/testenv"
)

// claimsOutput runs the command and wants the exit code.
func claimsOutput(t *testing.T, want int, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	if got := run(append([]string{"claims"}, args...), &out, &errOut); got != want {
		t.Fatalf("exit code %d, want %d: %s", got, want, errOut.String())
	}
	return out.String()
}

// TestClaimsHoldHere tries every claim: the kernel and the library must do what
// the list states. What can't be shown here is logged with its reason.
func TestClaimsHoldHere(t *testing.T) {
	var doc claimsDocument
	if err := json.Unmarshal([]byte(claimsOutput(t, 0, "--json")), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Schema != claimsSchema || len(doc.Claims) != len(claims) || len(doc.Failed) != 0 {
		t.Errorf("schema %q, %d claims, failed %v", doc.Schema, len(doc.Claims), doc.Failed)
	}
	notShown := map[string][]string{}
	for _, r := range doc.Claims {
		switch {
		case r.Verdict == claimNotShown && r.Reason == "":
			t.Errorf("%s: not shown, without a reason", r.ID)
		case r.Verdict == claimNotShown:
			notShown[r.Reason] = append(notShown[r.Reason], r.ID)
		case r.Verdict != r.Stated:
			t.Errorf("%s: %s, stated %s", r.ID, r.Verdict, r.Stated)
		case len(r.Seen) == 0:
			t.Errorf("%s: nothing was seen", r.ID)
		}
	}
	for reason, ids := range notShown {
		t.Run(strings.Join(ids, ","), func(t *testing.T) { testenv.Skip(t, reason) })
	}
}

func TestClaimsFitATerminalInBothLanguages(t *testing.T) {
	for _, lang := range []string{"en", "zh"} {
		text := claimsOutput(t, 0, "--lang", lang)
		for line := range strings.Lines(text) {
			if w := displayWidth(strings.TrimSuffix(line, "\n")); w > 80 && strings.Contains(strings.TrimSpace(line), " ") {
				t.Errorf("%s: %d columns: %s", lang, w, line)
			}
		}
		for _, cl := range claims {
			if !strings.Contains(text, "\n"+cl.id+" ") {
				t.Errorf("%s: %s is not told", lang, cl.id)
			}
		}
	}
}

func TestClaimsById(t *testing.T) {
	text := claimsOutput(t, 0, "--id", "2.4k", "--id", "4.3e", "--lang", "en")
	if !strings.Contains(text, "2.4k  false here") || !strings.Contains(text, "4.3e  false here") || strings.Contains(text, "\n2.4j") {
		t.Error(text)
	}
	text = claimsOutput(t, 0, "--id", "8", "--lang", "en")
	if !strings.Contains(text, "\n8.5b  false here") || strings.Contains(text, "\n7.") {
		t.Error(text)
	}
	claimsOutput(t, 1, "--id", "99")
}

// TestClaimsThatDoNotHoldFailTheCommand tells the command something else than
// what is true, of the kernel and of the library.
func TestClaimsThatDoNotHoldFailTheCommand(t *testing.T) {
	good := claims
	defer func() { claims = good }()
	lie := *proofFixedFails
	lie.verdict = claimTrue
	broken := *proofLengthZero
	broken.show = func(e *exhibit) error {
		e.lib(false, "the library did something else")
		return proofLengthZero.show(e)
	}
	unable := *proofLengthZero
	unable.show = func(*exhibit) error { return fs.ErrNotExist }
	elsewhere := *proofLengthZero
	elsewhere.show = func(*exhibit) error { return errors.ErrUnsupported }
	claims = []claim{{"a", "", "", &lie}, {"b", "", "", &broken}, {"c", "", "", &unable}, {"d", "", "", &elsewhere}, {"e", "", "", proofLengthZero}}
	var out, errOut bytes.Buffer
	if code := run([]string{"claims"}, &out, &errOut); code != 1 || !strings.HasSuffix(errOut.String(), "a, b, c\n") {
		t.Errorf("exit code %d: %s", code, errOut.String())
	}
}

func TestVerdictFollowsFromTheCases(t *testing.T) {
	for _, row := range []struct {
		cases []bool
		want  verdict
	}{
		{nil, claimNotShown}, {[]bool{true, true}, claimTrue}, {[]bool{false}, claimFalse}, {[]bool{true, false}, claimConditional},
	} {
		e := &exhibit{}
		for _, holds := range row.cases {
			e.saw(holds, "")
		}
		if got := e.verdict(); got != row.want {
			t.Errorf("%v: %s, want %s", row.cases, got, row.want)
		}
	}
}

const claimsFile = "../../docs/CLAIMS.md"

var update = flag.Bool("update", false, "write docs/CLAIMS.md from the table of claims, and the pictures of docs/MECHANISM.md")

// TestClaimsDocument holds docs/CLAIMS.md and the table of live claims
// together: they are the same rows.
func TestClaimsDocument(t *testing.T) {
	want := claimsMarkdown()
	if *update {
		if err := os.WriteFile(claimsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(claimsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) == want {
		return
	}
	is, should := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	for i := range max(len(is), len(should)) {
		if i >= len(is) || i >= len(should) || is[i] != should[i] {
			t.Fatalf("docs/CLAIMS.md differs from the table of claims from line %d on; write it with go test ./cmd/mmap -run TestClaimsDocument -update", i+1)
		}
	}
}

// TestEveryClaimNamesTestsThatExist looks for the functions.
func TestEveryClaimNamesTestsThatExist(t *testing.T) {
	have := map[string]map[string]bool{
		"raw": testFunctions(t, "../../raw"), "mmap": testFunctions(t, "../.."), "main": testFunctions(t, "."),
	}
	seen := map[string]bool{}
	for _, cl := range claims {
		if seen[cl.id] || cl.quote == "" || cl.says == "" || strings.Contains(cl.says+cl.quote, "|") && !strings.Contains(cl.quote, "PROT_READ |") {
			t.Errorf("%s: twice, or without words", cl.id)
		}
		seen[cl.id] = true
		if len(cl.proof.tests) == 0 {
			t.Errorf("%s: no test proves it", cl.id)
		}
		for _, name := range cl.proof.tests {
			pkg, function, _ := strings.Cut(name, ".")
			if !have[pkg][function] {
				t.Errorf("%s: there is no test %s", cl.id, name)
			}
		}
	}
}

func testFunctions(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}

// TestEveryVerdictIsExplained wants a text in both languages wherever one is
// shown.
func TestEveryVerdictIsExplained(t *testing.T) {
	stated := []verdict{claimTrue, claimConditional, claimFalse}
	for _, cl := range claims {
		p := cl.proof
		if !slices.Contains(stated, p.verdict) || p.show == nil || p.kernel.en == "" || p.kernel.zh == "" || p.ours.en == "" || p.ours.zh == "" {
			t.Errorf("%s: %+v", cl.id, p)
		}
	}
}

// TestEverythingSeenIsInBothLanguages reads the formats of the evidence from
// the source: those with words in them have a translation with the same verbs.
func TestEverythingSeenIsInBothLanguages(t *testing.T) {
	words := regexp.MustCompile(`[a-z]{2,} [a-z]`)
	verbs := regexp.MustCompile(`%#?[a-z]`)
	used := map[string]bool{}
	files, err := filepath.Glob("claims_*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || method.Sel.Name != "saw" && method.Sel.Name != "lib" {
				return true
			}
			literal, ok := call.Args[1].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: a format that is no literal", name)
				return true
			}
			format, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			used[format] = true
			zh, translated := evidenceZh[format]
			if !translated && words.MatchString(format) && !strings.HasSuffix(name, "_test.go") {
				t.Errorf("%s: no Chinese for %q", name, format)
			}
			if translated && !slices.Equal(verbs.FindAllString(zh, -1), verbs.FindAllString(format, -1)) {
				t.Errorf("%q and %q want different arguments", format, zh)
			}
			return true
		})
	}
	for format := range evidenceZh {
		if !used[format] {
			t.Errorf("nothing is told as %q", format)
		}
	}
}

var claimSections = []struct{ number, title string }{
	{"0", "What mmap is"}, {"1", "1. What it is for"}, {"2", "2. The call and its arguments"}, {"3", "3. How it works"},
	{"4", "4. The other calls"}, {"5", "5. Kinds of mappings, and the programs"}, {"6", "6. For and against"},
	{"7", "7. The comparison with read and write"}, {"8", "8. Advice"}, {"9", "9. The summary"}, {"10", "10. Said elsewhere, and often"},
}

// claimsMarkdown is docs/CLAIMS.md.
func claimsMarkdown() string {
	var b strings.Builder
	b.WriteString(`# What is said of mmap, and what is true

Every sentence of a widely read introduction to mmap, in its order, and in
section 10 what others say often. For each: what the Linux kernel does, what this
library does about it, and the tests that prove it. Ids count the document's
sections; the words in the second column are the document's own, shortened, and
with the subject in front where the sentence leaves it out.

` + "`mmap claims`" + ` tries the same list on the running kernel and fails where kernel
or library do something else. Verdicts: **true**, **conditional** (in some cases
and not in others), **false**. Tests are named by package: raw, mmap (the root),
main (cmd/mmap).

This file is written from the table in cmd/mmap/claims_table.go:
` + "`go test ./cmd/mmap -run TestClaimsDocument -update`" + `.
`)
	count := map[verdict]int{}
	for _, s := range claimSections {
		fmt.Fprintf(&b, "\n## %s\n\n| id | said | verdict | the kernel | this library | tests |\n|---|---|---|---|---|---|\n", s.title)
		for _, cl := range claims {
			if cl.section() != s.number {
				continue
			}
			p := cl.proof
			count[p.verdict]++
			fmt.Fprintf(&b, "| %s | %s<br>%s | %s | %s | %s | %s |\n", cl.id, mdCell(cl.says), mdCell(cl.quote), p.verdict, mdCell(p.kernel.en), mdCell(p.ours.en), mdCell(strings.Join(p.tests, ", ")))
		}
	}
	fmt.Fprintf(&b, "\n%d claims: %d true, %d conditional, %d false.\n", len(claims), count[claimTrue], count[claimConditional], count[claimFalse])
	return b.String()
}

func mdCell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
