package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/memwright/mmap"
	"github.com/spf13/cobra"
)

// A chapter shows one mechanism. To add one, write its run function with the
// stage's told, figure and note, and put it into chapters.
type chapter struct {
	id    string
	title text
	run   func(*stage) error
}

// chapters are the tour, in its order.
var chapters = []chapter{
	{"mapping", text{"Mapping loads nothing", "建立映射，不读入任何数据"}, showMapping},
	{"first-touch", text{"The first touch brings pages in", "首次触碰才把页读进来"}, showFirstTouch},
	{"one-frame", text{"One frame, no copy", "同一个页框，没有拷贝"}, showOneFrame},
	{"private-store", text{"A private store copies the page", "私有写入会复制所在的页"}, showPrivateStore},
	{"shared-store", text{"A shared store reaches another process", "共享写入，另一个进程当即可见"}, showSharedStore},
	{"msync", text{"msync writes dirty pages", "msync 写出脏页"}, showMsync},
	{"anonymous", text{"Parent and child count in shared memory", "父子进程在共享内存里轮流计数"}, showAnonymous},
	{"offset", text{"Any byte offset", "从任意字节偏移映射"}, showOffset},
	{"mprotect", text{"Protection, page by page", "逐页设置访问权限"}, showProtect},
	{"mlock", text{"Locked pages stay", "锁定的页不会离开内存"}, showLock},
	{"growth", text{"A mapping grows, and its file with it", "映射增长，文件随之增长"}, showGrowth},
	{"zero-copy", text{"To a socket without a copy", "零拷贝送入套接字"}, showZeroCopy},
	{"truncation", text{"A truncated file is an error, not a signal", "文件被截短：得到错误，而不是信号"}, showTruncation},
	{"close", text{"Use after Close is an error", "关闭之后再用：得到错误"}, showClose},
}

// text is a sentence in the languages of the command.
type text struct{ en, zh string }

func newTour(c *console) *cobra.Command {
	var ids []string
	cmd := &cobra.Command{
		Use:   "tour [FILE]",
		Short: "Walk through memory mapping on a real file",
		Long: `Walk through the mechanism of memory mapping, chapter by chapter, and show for
each what this kernel really did, with evidence read from the kernel.

Without FILE the tour makes a sample of 16 MiB and some bytes on a disk file
system (in TMPDIR, /var/tmp, the home or the current directory), names it, and
removes it at the end. With FILE, the chapters that only read use FILE, of a
longer one the first 64 MiB. FILE is never changed, but its pages are dropped
from the page cache. Chapters that store use files of their own.

Each chapter ends with a line about the engine of package vmem, which does in Go
what the kernel does: what it made of the same steps, and whether that agrees.
Where the kernel offers no evidence the chapter is shown on the engine instead.

Every chapter ends as one of
  shown               the kernel did what is told
  shown another way   not everything can be seen here; the reason is given
  not shown           it can't be seen here; the reason is given
  failed              something is not as told: the exit status is 1

Chapters, for --chapter:
` + listChapters(),
		Example: `  mmap tour                              the whole tour, on a sample
  mmap tour /var/log/syslog              on a file of yours
  mmap tour --chapter first-touch,mlock  two chapters
  mmap tour --lang zh                    in Chinese
  mmap tour --json | jq .failed          for programs`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := chooseChapters(chapters, ids)
			if err != nil {
				c.started = false // a wrong command line, found late
				return err
			}
			t := &tour{console: c, chapters: chosen, dirs: sampleDirs()}
			if len(args) > 0 {
				t.file = args[0]
			}
			return t.run(cmd.Context())
		},
	}
	cmd.Flags().StringSliceVar(&ids, "chapter", nil, "walk only these chapters (comma-separated)")
	cmd.RegisterFlagCompletionFunc("chapter", cobra.FixedCompletions(chapterIDs(chapters), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func listChapters() string {
	var b strings.Builder
	for _, ch := range chapters {
		fmt.Fprintf(&b, "  %-14s %s\n", ch.id, ch.title.en)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func chapterIDs(all []chapter) []string {
	var ids []string
	for _, ch := range all {
		ids = append(ids, ch.id)
	}
	return ids
}

// chooseChapters picks chapters by id, in the tour's order; no ids pick all.
func chooseChapters(all []chapter, ids []string) ([]chapter, error) {
	for _, id := range ids {
		if !slices.Contains(chapterIDs(all), id) {
			return nil, fmt.Errorf("there is no chapter %q; the chapters are %s", id, strings.Join(chapterIDs(all), ", "))
		}
	}
	var chosen []chapter
	for _, ch := range all {
		if len(ids) == 0 || slices.Contains(ids, ch.id) {
			chosen = append(chosen, ch)
		}
	}
	return chosen, nil
}

// A tour is one run of the command.
type tour struct {
	*console
	chapters []chapter
	dirs     []string // where the sample may be made
	file     string   // FILE, or ""

	cols    int    // of the text
	dir     string // where the sample and the scratch files are
	sample  object
	subject object // what the reading chapters use: FILE, or the sample
}

// An object is a file of the tour.
type object struct {
	path   string
	role   string // "file", "sample"
	length int64  // of the file, bytes
	walked int    // of its start, what the tour uses, bytes
	on     fileSystem
}

const (
	sampleBytes = 16<<20 + 123 // no whole number of pages, on any machine
	mostWalked  = 64 << 20
)

// run walks the chapters and tells each as soon as it is over. The error names
// those that are not as told.
func (t *tour) run(ctx context.Context) error {
	// Page faults are counted by thread: stay on this one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t.cols = min(t.width(), mostColumns)
	out := watchOutput(t.console)
	defer out.stop()

	doc, err := t.prepare()
	defer os.RemoveAll(t.dir) // where the tour ends early
	if err != nil {
		return err
	}
	t.printHead(doc)
	for _, ch := range t.chapters {
		result := t.walk(ctx, ch)
		if ctx.Err() != nil { // it may have failed for no other reason
			return errors.New("interrupted")
		}
		doc.add(result)
		t.printChapter(result)
		if out.err != nil {
			return out.err
		}
	}
	if err := os.RemoveAll(t.dir); err != nil {
		return err
	}
	t.finish(doc)
	if out.err == nil && len(doc.Failed) > 0 {
		return fmt.Errorf("not as told: %s", strings.Join(doc.Failed, ", "))
	}
	return out.err
}

// prepare finds or makes the files, and begins the document.
func (t *tour) prepare() (doc tourDocument, err error) {
	var given object
	if t.file != "" {
		if given, err = openSubject(t.file); err != nil {
			return doc, err
		}
	}
	if t.dir, err = makeSampleDir(t.dirs); err != nil {
		return doc, err
	}
	if t.sample, err = makeSample(t.dir); err != nil {
		return doc, err
	}
	if t.subject = given; given.length == 0 {
		t.subject = t.sample
	}
	return t.document(given), nil
}

// openSubject looks whether FILE can be walked. The library's own answers tell
// what to do about a directory, a pipe or an entry of /proc.
func openSubject(path string) (object, error) {
	o := object{path: path, role: "file"}
	if info, err := os.Stat(path); err == nil {
		if info.Mode()&os.ModeDevice != 0 {
			return o, fmt.Errorf("%s is a device: give the tour a regular file, or none for a sample", path)
		}
		o.length = info.Size()
		o.walked = int(min(o.length, mostWalked))
	}
	m, err := mmap.OpenFile(path, mmap.Options{Length: o.walked})
	if err != nil {
		return o, err
	}
	o.on, _ = fileSystemOf(path) // unknown where /proc does not tell
	return o, m.Close()
}

func makeSample(dir string) (object, error) {
	path := filepath.Join(dir, "sample")
	if err := os.WriteFile(path, randomBytes(sampleBytes), 0o600); err != nil {
		return object{}, err
	}
	on, _ := fileSystemOf(path) // unknown where /proc does not tell
	return object{path: path, role: "sample", length: sampleBytes, walked: sampleBytes, on: on}, nil
}

// randomBytes are the same at every call, and nothing can compress them: a file
// system that does would need no blocks for the sample.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte([]byte("the sample of the tour of mmap..."))).Read(b)
	return b
}

// walk runs one chapter.
func (t *tour) walk(ctx context.Context, ch chapter) chapterResult {
	s := &stage{tour: t, ctx: ctx, result: chapterResult{
		ID: ch.id, Number: 1 + slices.Index(chapterIDs(chapters), ch.id), Title: t.say(ch.title.en, ch.title.zh),
		Statements: []statement{}, Evidence: []figure{},
	}}
	err := ch.run(s)
	s.cleanUp()
	s.conclude(err)
	s.judgeEngine()
	return s.result
}
