package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/memwright/mmap"
	"github.com/spf13/cobra"
)

// newClaims is the command that runs docs/CLAIMS.md live.
func newClaims(c *console) *cobra.Command {
	var ids []string
	cmd := &cobra.Command{
		Use:   "claims",
		Short: "Check what is said of mmap against this kernel and this library",
		Long: `Check what is said of mmap, sentence by sentence, against this kernel and this
library. Each claim is tried now: a verdict comes from what was seen, and never
from a version. docs/CLAIMS.md is the same list with the tests that prove it.

The command fails when the kernel or the library does something else than the
list states. What can't be shown here is told with the reason, and is no failure.`,
		Example: `  mmap claims
  mmap claims --id 2.4k --id 4.2d
  mmap claims --id 8 --lang zh
  mmap claims --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := chooseClaims(ids)
			if err != nil {
				return err
			}
			return runClaims(c, chosen)
		},
	}
	cmd.Flags().StringSliceVar(&ids, "id", nil, "only the claims with these ids, or of these sections")
	return cmd
}

// verdict is what became of a claim.
type verdict string

const (
	claimTrue        verdict = "true"
	claimConditional verdict = "conditional" // in some cases and not in others
	claimFalse       verdict = "false"
	claimNotShown    verdict = "not-shown"
)

func (v verdict) text() text {
	return map[verdict]text{
		claimTrue: {"true", "属实"}, claimConditional: {"true with conditions", "有条件属实"},
		claimFalse: {"false here", "在此不实"}, claimNotShown: {"can't be shown here", "在此无法展示"},
	}[v]
}

// A claim is a sentence that is told of mmap.
type claim struct {
	id    string
	quote string // the document's words
	says  string // in English
	proof *proof
}

// A proof is what is true of a claim: it may serve several.
type proof struct {
	verdict verdict
	kernel  text // what the kernel does
	ours    text // what this library does about it
	tests   []string
	show    func(*exhibit) error
}

// An exhibit collects what is seen while a claim is tried.
type exhibit struct {
	dir    string // a directory for files, on a disk where there is one
	onDisk bool
	kernel []sight
	ours   []sight
}

// A sight is one case that was tried.
type sight struct {
	holds bool
	saw   text
}

func seen(holds bool, format string, args ...any) sight {
	zh := evidenceZh[format]
	if zh == "" {
		zh = format
	}
	return sight{holds, text{fmt.Sprintf(format, args...), fmt.Sprintf(zh, args...)}}
}

// An observation is a sight as it is printed.
type observation struct {
	Holds bool   `json:"holds"`
	Saw   string `json:"saw"`
}

func observations(c *console, sights []sight) []observation {
	list := []observation{}
	for _, s := range sights {
		list = append(list, observation{s.holds, c.say(s.saw.en, s.saw.zh)})
	}
	return list
}

// saw adds a case that was tried with the kernel, and whether the claim holds
// in it.
func (e *exhibit) saw(holds bool, format string, args ...any) {
	e.kernel = append(e.kernel, seen(holds, format, args...))
}

// lib adds what the library did, and whether that is what it promises.
func (e *exhibit) lib(kept bool, format string, args ...any) {
	e.ours = append(e.ours, seen(kept, format, args...))
}

// verdict follows from the cases.
func (e *exhibit) verdict() verdict {
	yes, no := 0, 0
	for _, o := range e.kernel {
		if o.holds {
			yes++
		} else {
			no++
		}
	}
	switch {
	case yes == 0 && no == 0:
		return claimNotShown
	case no == 0:
		return claimTrue
	case yes == 0:
		return claimFalse
	}
	return claimConditional
}

// cannot is why a claim can't be shown here.
type cannot text

func (c cannot) Error() string { return c.en }

// tried is what became of a proof.
type tried struct {
	verdict verdict
	reason  text
	*exhibit
	failed bool
}

// try runs a proof.
func (p *proof) try(dir string, onDisk bool) tried {
	e := &exhibit{dir: dir, onDisk: onDisk}
	err := p.show(e)
	t := tried{verdict: e.verdict(), exhibit: e}
	var why cannot
	switch {
	case errors.As(err, &why):
		t.verdict, t.reason = claimNotShown, text(why)
	case errors.Is(err, errors.ErrUnsupported):
		t.verdict, t.reason = claimNotShown, text{"not on this system: " + err.Error(), "本系统不支持：" + err.Error()}
	case err != nil:
		t.failed, t.reason = true, text{"could not be tried: " + err.Error(), "未能尝试：" + err.Error()}
	case t.verdict != p.verdict && t.verdict != claimNotShown:
		t.failed, t.reason = true, text{"the kernel behaves otherwise than stated: " + string(p.verdict), "内核的表现与所述不同：" + p.verdict.text().zh}
	}
	for _, o := range e.ours {
		if !o.holds {
			t.failed, t.reason = true, text{"the library behaves otherwise than stated", "本库的表现与所述不同"}
		}
	}
	return t
}

func chooseClaims(ids []string) ([]claim, error) {
	if len(ids) == 0 {
		return claims, nil
	}
	var chosen []claim
	for _, id := range ids {
		found := false
		for _, cl := range claims {
			if cl.id == id || cl.section() == id {
				chosen, found = append(chosen, cl), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no claim has the id %q; docs/CLAIMS.md lists them", id)
		}
	}
	return chosen, nil
}

// section is the number of the document's section.
func (cl claim) section() string {
	number, _, _ := strings.Cut(cl.id, ".")
	return strings.TrimRight(number, "abcdefghijklmnopqrstuvwxyz")
}

// claimResult is a claim as it is printed.
type claimResult struct {
	ID       string        `json:"id"`
	Quote    string        `json:"quote"`
	Says     string        `json:"says"`
	Stated   verdict       `json:"stated"`
	Verdict  verdict       `json:"verdict"`
	Reason   string        `json:"reason,omitempty"`
	Kernel   string        `json:"kernel"`
	Library  string        `json:"library"`
	Tests    []string      `json:"tests"`
	Seen     []observation `json:"seen"`
	SeenHere []observation `json:"seen_of_library"`
	sameAs   string        // an earlier claim with the same proof
}

const claimsSchema = "mmap-claims/1"

type claimsDocument struct {
	Schema    string        `json:"schema"`
	Language  string        `json:"language"`
	Kernel    string        `json:"kernel"`
	Directory string        `json:"directory"`
	Claims    []claimResult `json:"claims"`
	Failed    []string      `json:"failed"`
}

func runClaims(c *console, chosen []claim) error {
	dir, err := makeSampleDir(sampleDirs())
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	on, _ := fileSystemOf(dir)
	doc := claimsDocument{Schema: claimsSchema, Language: c.lang, Kernel: runtime.GOOS + " " + kernelRelease(),
		Directory: filepath.Dir(dir), Claims: []claimResult{}, Failed: []string{}}
	if !c.json {
		fmt.Fprintf(c.out, c.say("%s, files on %s in %s\n", "%s，文件位于 %s，目录 %s\n"), doc.Kernel, on, doc.Directory)
	}
	done := map[*proof]tried{}
	first := map[*proof]string{}
	for _, cl := range chosen {
		if _, ok := done[cl.proof]; !ok {
			done[cl.proof], first[cl.proof] = cl.proof.try(dir, on.storage() == onDisk), cl.id
		}
		r := resultOf(c, cl, done[cl.proof])
		if first[cl.proof] != cl.id {
			r.sameAs = first[cl.proof]
		}
		doc.Claims = append(doc.Claims, r)
		if done[cl.proof].failed {
			doc.Failed = append(doc.Failed, cl.id)
		}
		if !c.json {
			r.print(c)
		}
	}
	if c.json {
		err = c.printJSON(doc)
	} else {
		doc.printCount(c)
	}
	if err == nil && len(doc.Failed) > 0 {
		err = fmt.Errorf("not as docs/CLAIMS.md states: %s", strings.Join(doc.Failed, ", "))
	}
	return err
}

func resultOf(c *console, cl claim, t tried) claimResult {
	p := cl.proof
	return claimResult{
		ID: cl.id, Quote: cl.quote, Says: cl.says, Stated: p.verdict, Verdict: t.verdict,
		Reason: c.say(t.reason.en, t.reason.zh), Kernel: c.say(p.kernel.en, p.kernel.zh), Library: c.say(p.ours.en, p.ours.zh),
		Tests: p.tests, Seen: observations(c, t.kernel), SeenHere: observations(c, t.ours),
	}
}

func (r claimResult) print(c *console) {
	line := func(indent, format string, args ...any) {
		for i, l := range wrap(fmt.Sprintf(format, args...), c.width()-displayWidth(indent)) {
			if i > 0 {
				indent = strings.Repeat(" ", displayWidth(indent))
			}
			fmt.Fprintln(c.out, indent+l)
		}
	}
	verdict := r.Verdict.text()
	fmt.Fprintln(c.out)
	line(fmt.Sprintf("%-6s", r.ID), c.say("%s: %s", "%s：%s"), c.say(verdict.en, verdict.zh), c.say(r.Says, r.Quote))
	if r.Reason != "" {
		line("      ! ", "%s", r.Reason)
	}
	if r.sameAs != "" {
		line("      ", c.say("as %s", "同 %s"), r.sameAs)
		return
	}
	line(c.say("      kernel:  ", "      内核："), "%s", r.Kernel)
	for _, o := range r.Seen {
		line(map[bool]string{true: "        + ", false: "        - "}[o.Holds], "%s", o.Saw)
	}
	line(c.say("      library: ", "      本库："), "%s", r.Library)
	for _, o := range r.SeenHere {
		line(map[bool]string{true: "        = ", false: "        ! "}[o.Holds], "%s", o.Saw)
	}
}

func (d claimsDocument) printCount(c *console) {
	count := map[verdict]int{}
	for _, r := range d.Claims {
		count[r.Verdict]++
	}
	fmt.Fprintf(c.out, c.say("\n%d claims: %d true, %d with conditions, %d false here, %d can't be shown here\n",
		"\n共 %d 条：属实 %d，有条件属实 %d，在此不实 %d，在此无法展示 %d\n"),
		len(d.Claims), count[claimTrue], count[claimConditional], count[claimFalse], count[claimNotShown])
	fmt.Fprintln(c.out, c.say("+ the claim holds in this case   - it does not   = seen of this library",
		"+ 此例中成立   - 此例中不成立   = 本库的表现"))
}

// file is a new file of n bytes, none of them zero.
func (e *exhibit) file(n int) (path string, err error) {
	f, err := os.CreateTemp(e.dir, "claim-")
	if err != nil {
		return "", err
	}
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(i%251) + 1
	}
	_, err = f.Write(content)
	return f.Name(), errors.Join(err, f.Close())
}

// opened is a new file of n bytes, open in the given way.
func (e *exhibit) opened(n, flag int) (*os.File, error) {
	path, err := e.file(n)
	if err != nil {
		return nil, err
	}
	return os.OpenFile(path, flag, 0)
}

// mapped is a shared writable mapping of a new file of n bytes.
func (e *exhibit) mapped(n int) (*mmap.Mapping, error) {
	path, err := e.file(n)
	if err != nil {
		return nil, err
	}
	return mmap.OpenFile(path, mmap.Options{Access: mmap.ReadWrite})
}

// needDisk ends a claim about writing out and reading in where files live in
// memory.
func (e *exhibit) needDisk() error {
	if e.onDisk {
		return nil
	}
	return cannot{"the only writable directories are not on a disk file system; set TMPDIR to one that is", "可写的目录都不在磁盘文件系统上；请把 TMPDIR 指到磁盘上的目录"}
}
