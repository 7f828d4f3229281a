package main

import (
	"fmt"
	"strings"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/vmem"
)

// explainSchema is the version of the document below; docs/JSON.md describes it.
const explainSchema = "mmap-explain/1"

// An explainDocument is what --json prints.
type explainDocument struct {
	Schema   string          `json:"schema"`
	Language string          `json:"language"`
	Script   string          `json:"script"`
	Title    string          `json:"title"`
	Settings explainSettings `json:"settings"`
	Steps    []explainStep   `json:"steps"`

	console *console
}

type explainSettings struct {
	Frames      int `json:"frames"`
	ReadAhead   int `json:"readahead"`
	FaultAround int `json:"faultaround"`
}

type explainStep struct {
	Line      int               `json:"line"`
	Text      string            `json:"text"`
	Remark    string            `json:"remark"`
	Process   string            `json:"process"`
	Call      string            `json:"call"`
	Outcome   explainOutcome    `json:"outcome"`
	Events    []explainEvent    `json:"events"`
	Copied    map[string]int64  `json:"copied"`
	PowerCut  []explainVersions `json:"power_cut,omitempty"`
	Processes []explainProcess  `json:"processes"`
	Frames    []explainFrame    `json:"frames"`
	Files     []explainFile     `json:"files"`
	Kernel    *agreement        `json:"kernel,omitempty"`
}

type explainOutcome struct {
	Kind    script.Kind `json:"kind"`
	Value   *int64      `json:"value,omitempty"`
	Address string      `json:"address,omitempty"`
	Bytes   *string     `json:"bytes,omitempty"`
	Errno   string      `json:"errno,omitempty"`
	Signal  string      `json:"signal,omitempty"`
	Code    int         `json:"code,omitempty"`
}

type explainEvent struct {
	Kind    string `json:"kind"`
	Process string `json:"process,omitempty"`
	Address string `json:"address,omitempty"`
	File    string `json:"file,omitempty"`
	Offset  int64  `json:"offset,omitempty"`
	Bytes   int    `json:"bytes,omitempty"`
	Frame   int    `json:"frame,omitempty"`
	From    int    `json:"from,omitempty"`
	Text    string `json:"text"`
}

type explainVersions struct {
	File     string   `json:"file"`
	Page     uint64   `json:"page"`
	Versions []string `json:"versions"`
}

type explainProcess struct {
	Name   string        `json:"name"`
	Locked uint64        `json:"locked"`
	Areas  []explainArea `json:"areas"`
}

type explainArea struct {
	Start   string         `json:"start"`
	End     string         `json:"end"`
	Perms   string         `json:"perms"`
	File    string         `json:"file,omitempty"`
	Offset  int64          `json:"offset"`
	Locked  bool           `json:"locked"`
	Entries []explainEntry `json:"entries"`
}

type explainEntry struct {
	Address  string `json:"address"`
	Frame    int    `json:"frame"`
	Present  bool   `json:"present"`
	Writable bool   `json:"writable"`
	Accessed bool   `json:"accessed"`
	Dirty    bool   `json:"dirty"`
	Private  bool   `json:"private"`
	Content  string `json:"content"`
}

type explainFrame struct {
	Frame   int      `json:"frame"`
	File    string   `json:"file,omitempty"`
	Page    uint64   `json:"page"`
	State   string   `json:"state,omitempty"`
	Locked  bool     `json:"locked"`
	Content string   `json:"content"`
	ShownBy []string `json:"shown_by"`
}

type explainFile struct {
	Name  string        `json:"name"`
	Bytes int64         `json:"bytes"`
	Safe  int64         `json:"durable_bytes"`
	Pages []explainPage `json:"pages"`
}

type explainPage struct {
	Content string `json:"content"`
	Frame   int    `json:"frame,omitempty"`
	Newer   bool   `json:"newer_in_memory"`
	Durable bool   `json:"durable"`
}

func newExplainDocument(c *console, s *script.Script) *explainDocument {
	return &explainDocument{
		Schema: explainSchema, Language: c.lang, Script: s.Name, Title: c.remark(s.Title), Steps: []explainStep{}, console: c,
		Settings: explainSettings{s.Config.Frames, s.Config.ReadAhead, s.Config.FaultAround},
	}
}

func hex(a vmem.Addr) string { return fmt.Sprintf("%#x", uint64(a)) }

// add adds a moment, and how it went on the kernel if that was asked.
func (doc *explainDocument) add(m *script.Moment, kernel *agreement) {
	d := describer{doc.console, m.State}
	s := explainStep{
		Line: m.Line, Text: m.Text, Remark: d.remark(m.Remark), Process: m.Process, Call: m.Call, Outcome: outcomeOf(m.Outcome), Kernel: kernel,
		Events: []explainEvent{}, Copied: map[string]int64{}, Processes: []explainProcess{}, Frames: []explainFrame{}, Files: []explainFile{},
	}
	for _, e := range inOrder(m.Events) {
		ev := explainEvent{Kind: strings.ReplaceAll(e.Kind.String(), " ", "-"), Process: e.Process, File: e.File,
			Offset: e.Off, Bytes: e.N, Frame: e.Frame, From: e.From, Text: d.sentence(e)}
		if e.Process != "" {
			ev.Address = hex(e.Addr)
		}
		s.Events = append(s.Events, ev)
	}
	for _, c := range copied {
		s.Copied[c.id] = m.State.Totals.Bytes[c.kind]
	}
	for _, left := range m.Crash {
		v := explainVersions{File: left.File, Page: left.Page}
		for _, c := range left.Versions {
			v.Versions = append(v.Versions, c.Head)
		}
		s.PowerCut = append(s.PowerCut, v)
	}
	for _, p := range m.State.Processes {
		s.Processes = append(s.Processes, processOf(p))
	}
	for _, f := range m.State.Frames {
		fr := explainFrame{Frame: f.Number, File: f.File, Page: f.Page, Locked: f.Pinned, Content: f.Content.Head, ShownBy: []string{}}
		if f.File != "" {
			fr.State = f.State.String()
		}
		for _, by := range f.Mappers {
			fr.ShownBy = append(fr.ShownBy, by.Process+" "+hex(by.Addr))
		}
		s.Frames = append(s.Frames, fr)
	}
	for _, f := range m.State.Files {
		file := explainFile{Name: f.Name, Bytes: f.Size, Safe: f.Safe, Pages: []explainPage{}}
		for _, p := range f.Pages {
			file.Pages = append(file.Pages, explainPage{p.Content.Head, p.Frame, p.Newer, !p.Unsafe})
		}
		s.Files = append(s.Files, file)
	}
	doc.Steps = append(doc.Steps, s)
}

func outcomeOf(o script.Outcome) explainOutcome {
	r := explainOutcome{Kind: o.Kind}
	switch o.Kind {
	case script.Number:
		r.Value = &o.Value
	case script.Address:
		r.Address = hex(o.Addr)
	case script.Loaded:
		text := string(o.Bytes)
		r.Bytes = &text
	case script.Refused:
		r.Errno = o.Errno.Name()
	case script.Faulted:
		r.Signal, r.Code, r.Address = signalName(o), int(o.Code), hex(o.Addr)
	}
	return r
}

func processOf(p script.Process) explainProcess {
	r := explainProcess{Name: p.Name, Locked: p.Locked, Areas: []explainArea{}}
	for _, a := range p.Areas {
		area := explainArea{Start: hex(a.Start), End: hex(a.End), Perms: perms(a), File: a.File, Offset: a.Offset,
			Locked: a.Locked, Entries: []explainEntry{}}
		for _, e := range a.Pages {
			has := func(b vmem.Bits) bool { return e.Entry.Bits&b != 0 }
			area.Entries = append(area.Entries, explainEntry{hex(e.Addr), e.Entry.Frame, has(vmem.Present), has(vmem.Writable),
				has(vmem.Accessed), has(vmem.Dirty), has(vmem.Private), e.Content.Head})
		}
		r.Areas = append(r.Areas, area)
	}
	return r
}

// perms are an area's, as /proc/PID/maps writes them.
func perms(a script.Area) string {
	return strings.Fields(a.Area.String())[1]
}
