package main

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/spf13/cobra"
)

// The stories that the command can tell by itself, each a script.
//
//go:embed stories/*.mmap
var storyFiles embed.FS

// storyNames are the stories, in the order in which to read them.
var storyNames = []string{
	"copy-on-write", "stages", "private-file", "two-processes", "truncation", "power-cut", "copies", "areas", "memory-pressure",
}

// story is the source of one.
func story(name string) string {
	text, err := storyFiles.ReadFile("stories/" + name + ".mmap")
	if err != nil {
		panic(err) // storyNames says that it is there
	}
	return string(text)
}

// explainOptions are the flags of mmap explain.
type explainOptions struct {
	list   bool
	source bool
	kernel bool
	html   string // a file, or ""
}

func newExplain(c *console) *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain [SCRIPT]",
		Short: "Show what mmap does, step by step",
		Long: `Show what mmap does, step by step: the areas of each process, its page table,
the frames of memory and the files on the disk, and what just happened. It runs
on an engine that does what Linux does, so that everything can be seen.

SCRIPT is a story by its name, a file, or - for standard input; without one the
story copy-on-write is told. Rows that the last step changed are marked * (gone
ones -). A script is calls as in their manual pages, loads and stores, a line
each; a name and a colon before one says which process does it:

  file f 8192 "hello" at 4096 "world"
  p1: a = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE, f, 0)
  p1: load a 5                        # a remark: shown with its step
  p2 = fork(p1)
  p2: store a+1 "E"
  truncate(f, 4096)                   # also pread, pwrite, open, close, fsync
  msync(a, 4096, MS_SYNC)             # also munmap, mprotect, mremap, madvise,
  powercut                            #   mincore, mlock, mlock2, mlockall, ...

evict(f, PAGE) and writeback(f) are what a kernel does when it likes; frames N,
readahead N and faultaround N before everything else set the machine.

With --kernel each step is done on this system's kernel as well (Linux on amd64),
by a process for each of the script's, and told to agree or not: what it returned,
its errno or signal, the areas, what is locked, which pages are a process's own
and which of them another one has too, the bytes, the files. What a kernel may do
either way is told as such. A power cut is not shown, but what is loaded after it.
The exit status is 1 where something differs, and where ptrace is refused.

Stories:
` + listStories(&console{lang: "en"}),
		Example: `  mmap explain                             copy-on-write
  mmap explain stages                      another story
  mmap explain stages --source > my.mmap   begin a script of your own ...
  mmap explain my.mmap                     ... and run it
  echo 'p1: load 4096' | mmap explain -    a script of one line
  mmap explain --kernel                    and what this kernel does beside it
  mmap explain --kernel power-cut | grep kernel
  mmap explain --html cow.html             a page with pictures for a browser
  mmap explain copies --lang zh            in Chinese
  mmap explain copies --json | jq '.steps[].copied'`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return storyNames, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.list {
				_, err := io.WriteString(c.out, listStories(c))
				return err
			}
			name := storyNames[0]
			if len(args) > 0 {
				name = args[0]
			}
			text, err := readScript(cmd.Context(), name, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if o.source {
				_, err := io.WriteString(c.out, text)
				return err
			}
			s, err := script.Parse(name, text)
			if err != nil {
				return err
			}
			return explain(cmd.Context(), c, s, o)
		},
	}
	cmd.Flags().BoolVar(&o.kernel, "kernel", false, "run each step on this system's kernel too, and tell whether it agrees")
	cmd.Flags().StringVar(&o.html, "html", "", "write a page with a picture for each step to this file, instead of text")
	cmd.Flags().BoolVar(&o.list, "list", false, "list the stories")
	cmd.Flags().BoolVar(&o.source, "source", false, "print the script itself")
	return cmd
}

func listStories(c *console) string {
	var b strings.Builder
	for _, name := range storyNames {
		s, err := script.Parse(name, story(name))
		if err != nil {
			panic(err) // a test parses each
		}
		fmt.Fprintf(&b, "  %-16s %s\n", name, c.remark(s.Title))
	}
	return b.String()
}

// mostScript is the longest script in bytes that is read.
const mostScript = 1 << 20

// readScript finds a script: a story, standard input, or a file. It waits no
// longer than ctx for one that is typed, or comes from a pipe.
func readScript(ctx context.Context, name string, in io.Reader) (string, error) {
	if slices.Contains(storyNames, name) {
		return story(name), nil
	}
	read := make(chan struct{})
	var there string
	var failed error
	go func() {
		defer close(read)
		there, failed = readFile(name, in)
	}()
	select {
	case <-read:
		return there, failed
	case <-ctx.Done():
		return "", errInterrupted
	}
}

var errInterrupted = errors.New("interrupted")

func readFile(name string, in io.Reader) (string, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			if filepath.Base(name) == name {
				err = fmt.Errorf("%w, and no story is called so; mmap explain --list names them", err)
			}
			return "", err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, mostScript+1))
	if len(text) > mostScript {
		return "", fmt.Errorf("%s: a script of more than %d bytes", name, mostScript)
	}
	return string(text), err
}

// explain runs a script and shows each step. The error says that the kernel
// disagreed, or could not be asked at all.
func explain(ctx context.Context, c *console, s *script.Script, o explainOptions) (err error) {
	out := watchOutput(c)
	defer out.stop()
	if c.json && o.html != "" {
		return errors.New("--json or --html, not both")
	}
	var beside *kernelRun
	if o.kernel {
		beside = newKernelRun(ctx, c, s)
		defer beside.end()
	}
	page := newExplainHTML(c, s)
	show := &explainText{console: c, cols: min(c.width(), mostColumns), steps: len(s.Steps)}
	doc := newExplainDocument(c, s)
	text := !c.json && o.html == ""
	if text {
		show.head(s, beside != nil)
	}
	count := map[stepVerdict]int{}
	for m, err := range s.Run() {
		if err != nil {
			return err
		}
		var agrees *agreement
		if beside != nil {
			a := beside.step(m)
			agrees = &a
			count[a.Verdict]++
		}
		if ctx.Err() != nil {
			return errInterrupted
		}
		switch {
		case c.json:
			doc.add(m, agrees)
		case text:
			show.step(m, agrees)
		default:
			page.add(m, agrees)
		}
		if out.err != nil {
			return out.err
		}
	}
	switch {
	case c.json:
		err = c.printJSON(doc)
	case !text:
		var b bytes.Buffer
		if err = page.write(&b); err == nil {
			err = os.WriteFile(o.html, b.Bytes(), 0o644)
		}
	case beside != nil:
		show.agreement(count)
	}
	switch {
	case err != nil || beside == nil:
	case beside.refused != nil:
		err = fmt.Errorf("--kernel: only the engine was shown: %w", beside.refused)
	case count[stepDiffers] > 0:
		err = errors.New("the kernel does something else than the engine")
	}
	return cmp.Or(out.err, err)
}

// remark picks the text of the console's language, or what there is.
func (c *console) remark(r script.Remark) string {
	if r.Chinese != "" && (c.lang == "zh" || r.English == "") {
		return r.Chinese
	}
	return r.English
}
