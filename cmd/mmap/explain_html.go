package main

import (
	_ "embed"
	"html/template"
	"io"

	"github.com/memwright/mmap/cmd/mmap/script"
)

//go:embed explain_page.html
var explainPageSource string

// explainTemplate is the page: it needs nothing but itself.
var explainTemplate = template.Must(template.New("page").Parse(explainPageSource))

// explainHTML collects moments for a page with a picture of each.
type explainHTML struct {
	*console
	Language, Title string
	Legend          explainLegend
	Steps           []htmlStep

	was map[string]string // the rows of the moment before, by key
}

type explainLegend struct{ Write, Read, Move, New, Own, Page string }

type htmlStep struct {
	Number          int
	Text            string
	Outcome, Remark string
	Happened        []string
	Kernel          *htmlKernel
	Picture         template.HTML
	Totals          string
}

type htmlKernel struct {
	Verdict stepVerdict
	Text    string
}

func newExplainHTML(c *console, s *script.Script) *explainHTML {
	h := &explainHTML{console: c, Language: c.lang, Title: c.remark(s.Title), Legend: explainLegend{
		Write: c.say("an entry that may write", "可写的表项"),
		Read:  c.say("an entry that may only read", "只读的表项"),
		Move:  c.say("bytes copied by this step", "这一步拷贝的字节"),
		New:   c.say("changed by this step", "这一步改变的"),
		Own:   c.say("private page", "私有页"),
		Page:  c.say("page of a file", "文件的页"),
	}}
	if h.Title == "" {
		h.Title = s.Name
	}
	return h
}

// add adds a moment, and how it went on the kernel if that was asked.
func (h *explainHTML) add(m *script.Moment, a *agreement) {
	d := describer{h.console, m.State}
	now := map[string]string{}
	for _, b := range h.blocks(m.State) {
		for _, r := range append(b.rows, b.title) {
			now[r.key] = r.text
		}
	}
	step := htmlStep{
		Number: len(h.Steps) + 1, Text: m.Text, Outcome: d.outcome(m), Remark: h.remark(m.Remark),
		Happened: d.happened(m), Totals: d.totals(),
		Picture: drawMoment(d, m, func(key string) bool { return now[key] != h.was[key] }),
	}
	if a != nil {
		step.Kernel = &htmlKernel{a.Verdict, h.onKernel(*a)}
	}
	h.Steps, h.was = append(h.Steps, step), now
}

func (h *explainHTML) write(w io.Writer) error { return explainTemplate.Execute(w, h) }
