package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/vmem"
)

const mechanismFile = "../../docs/MECHANISM.md"

var pictureMark = regexp.MustCompile("(?m)^<!-- explain ([a-z-]+) ([0-9]+) -->\n(?:\n```text\n(?s:.*?)\n```\n)?")

// TestMechanismShowsWhatExplainPrints holds the pictures of docs/MECHANISM.md:
// go test ./cmd/mmap -run TestMechanism -update writes them.
func TestMechanismShowsWhatExplainPrints(t *testing.T) {
	text := string(must(os.ReadFile(mechanismFile))(t))
	pictures := 0
	want := pictureMark.ReplaceAllStringFunc(text, func(mark string) string {
		pictures++
		words := pictureMark.FindStringSubmatch(mark)
		first, _, _ := strings.Cut(mark, "\n")
		return first + "\n\n```text\n" + pictureOfStep(t, words[1], must(strconv.Atoi(words[2]))(t)) + "\n```\n"
	})
	if pictures < 10 {
		t.Errorf("%d pictures", pictures)
	}
	if *update {
		if err := os.WriteFile(mechanismFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != text {
		t.Error("docs/MECHANISM.md shows something else than mmap explain; write it with go test ./cmd/mmap -run TestMechanism -update")
	}
}

// pictureOfStep is what mmap explain prints for a step of a story, without the
// story's own remark.
func pictureOfStep(t *testing.T, name string, number int) string {
	t.Helper()
	s := must(script.Parse(name, story(name)))(t)
	var out bytes.Buffer
	show := &explainText{console: &console{out: &out, lang: "en"}, cols: mostColumns, steps: len(s.Steps)}
	for m, err := range s.Run() {
		if err != nil {
			t.Fatal(err)
		}
		out.Reset()
		m.Remark = script.Remark{}
		if show.step(m, nil); show.number == number {
			return strings.TrimSpace(out.String())
		}
	}
	t.Fatalf("%s has no step %d", name, number)
	return ""
}

// TestMechanismNamesTestsThatExist wants a test behind each paragraph.
func TestMechanismNamesTestsThatExist(t *testing.T) {
	have := map[string]map[string]bool{"vmem": testFunctions(t, "../../vmem"), "main": testFunctions(t, ".")}
	named := regexp.MustCompile(`\b(vmem|main)\.(Test[A-Za-z]+)`)
	text := pictureMark.ReplaceAllString(string(must(os.ReadFile(mechanismFile))(t)), "")
	for _, paragraph := range strings.Split(text, "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); paragraph == "" || strings.HasPrefix(paragraph, "#") {
			continue
		}
		names := named.FindAllStringSubmatch(paragraph, -1)
		if len(names) == 0 {
			t.Errorf("no test behind: %s", paragraph)
		}
		for _, n := range names {
			if !have[n[1]][n[2]] {
				t.Errorf("there is no test %s", n[0])
			}
		}
	}
}

// momentsOf runs a script.
func momentsOf(t *testing.T, text string) (list []*script.Moment) {
	t.Helper()
	for m, err := range must(script.Parse("s", text))(t).Run() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

// TestMappingTouchesNothing: mmap makes an area of whole pages, and nothing else.
func TestMappingTouchesNothing(t *testing.T) {
	ms := momentsOf(t, "file f 10000\na = mmap(NULL, 10000, PROT_READ, MAP_SHARED, f, 0)\nb = mmap(NULL, 1, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)")
	last := ms[len(ms)-1].State
	var pages []string
	for _, a := range last.Processes[0].Areas {
		pages = append(pages, fmt.Sprint(int(a.End-a.Start)/vmem.PageSize))
		if len(a.Pages) > 0 {
			t.Errorf("entries: %+v", a.Pages)
		}
	}
	if !slices.Equal(pages, []string{"1", "3"}) || len(last.Frames) > 0 || len(last.Totals.Events) > 0 {
		t.Errorf("areas of %v pages, %+v, %v", pages, last.Frames, last.Totals.Events)
	}
}

// TestOneFrameForAll: two mappings in two processes, and read, see one frame.
func TestOneFrameForAll(t *testing.T) {
	ms := momentsOf(t, `
file f 4096 "old"
p: a = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, f, 0)
p: store a "new"
q: b = mmap(NULL, 4096, PROT_READ, MAP_SHARED, f, 0)
q: load b 3
q: c = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
q: pread(f, c, 3, 0)
q: load c 3`)
	for _, i := range []int{4, 7} {
		if got := string(ms[i].Outcome.Bytes); got != "new" {
			t.Errorf("%s sees %q", ms[i].Text, got)
		}
	}
	last := ms[len(ms)-1].State
	if f := last.Frames[0]; f.File != "f" || len(f.Mappers) != 2 || last.Totals.Bytes[vmem.BytesIn] != 4096 {
		t.Errorf("%+v, %d bytes read from the disk", f, last.Totals.Bytes[vmem.BytesIn])
	}
	if last.Files[0].Pages[0].Content.Head != "old" {
		t.Error("the store is on the disk before anything was written back")
	}
}
