package main

import (
	"fmt"
	"strings"

	"github.com/memwright/mmap"
	"github.com/spf13/cobra"
)

// newDoctor is the command that tells what this system can do for mappings.
func newDoctor(c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [PATH]",
		Short: "Tell what this system can do for mappings, and what to change",
		Long: `Tell what this kernel, these limits, this container and, with a PATH, the file
system there can do for mappings; what each finding means; and the command that
changes it. Kernel features are tried, not looked up by version. With a PATH
that may be written to, a file is made there, used and removed.`,
		Example: `  mmap doctor
  mmap doctor /var/lib/data
  mmap doctor --json /var/lib/data/index.bin`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := ""
			if len(args) == 1 {
				path = args[0]
			}
			s, err := mmap.Examine(path)
			if err != nil {
				return err
			}
			report := diagnosis{Schema: doctorSchema, Language: c.lang, System: s, Findings: diagnose(c, s)}
			if c.json {
				return c.printJSON(report)
			}
			report.print(c)
			return nil
		},
	}
}

// doctorSchema is the version of the document below; docs/JSON.md describes it.
const doctorSchema = "mmap-doctor/1"

// diagnosis is the command's answer.
type diagnosis struct {
	Schema   string       `json:"schema"`
	Language string       `json:"language"`
	System   *mmap.System `json:"system"`
	Findings []finding    `json:"findings"`
}

// finding is one thing found, and what it is to the user.
type finding struct {
	Section string `json:"section"` // "kernel", "memory", "limits", "process", "path"
	ID      string `json:"id"`      // the feature, limit or property; the same in every language
	Mark    mark   `json:"mark"`
	Found   string `json:"found"` // what there is
	Means   string `json:"means"` // what follows for mappings
	Fix     string `json:"fix"`   // a command or a setting that changes it, "" where nothing need or can be changed
}

// mark is how good a finding is.
type mark string

const (
	markOK      mark = "ok"      // works as it should
	markLimited mark = "limited" // works up to a bound, or is held back by a setting
	markMissing mark = "missing" // is not there
	markUnknown mark = "unknown" // can't be found out here
)

// A doctor collects findings.
type doctor struct {
	*console
	*mmap.System
	section  string
	findings []finding
}

// find adds a finding; its texts are in the console's language.
// Of a fix with words in it fixesZh has the Chinese.
func (d *doctor) find(id string, m mark, found, means text, fix string) {
	if d.lang == "zh" {
		fix = fixesZh.Replace(fix)
	}
	d.findings = append(d.findings, finding{
		Section: d.section, ID: id, Mark: m, Fix: fix,
		Found: d.say(found.en, found.zh), Means: d.say(means.en, means.zh),
	})
}

// diagnose goes through everything.
func diagnose(c *console, s *mmap.System) []finding {
	d := &doctor{console: c, System: s}
	for _, part := range []struct {
		section string
		look    func()
	}{
		{"kernel", d.kernel}, {"memory", d.memory}, {"limits", d.limits}, {"process", d.process}, {"path", d.path},
	} {
		d.section = part.section
		part.look()
	}
	return d.findings
}

// sections are the headings, in order.
var sections = []struct {
	id    string
	title text
}{
	{"kernel", text{"Kernel features, tried", "内核功能（实际试过）"}},
	{"memory", text{"Huge pages", "大页"}},
	{"limits", text{"Limits", "限制"}},
	{"process", text{"This process and its container", "本进程与容器"}},
	{"path", text{"The file system at the path", "该路径的文件系统"}},
}

func (r diagnosis) print(c *console) {
	s := r.System
	release := s.Release
	if release == "" {
		release = c.say("of unknown release", "版本未知")
	}
	fmt.Fprintf(c.out, c.say("%s %s, %s, pages of %d bytes\n", "%s %s，%s，页大小 %d 字节\n"), s.OS, release, s.Arch, s.PageSize)
	for _, section := range sections {
		title := c.say(section.title.en, section.title.zh)
		for _, f := range r.Findings {
			if f.Section != section.id {
				continue
			}
			if title != "" {
				fmt.Fprintf(c.out, "\n%s\n", title)
				title = ""
			}
			f.print(c)
		}
	}
	counts := map[mark]int{}
	for _, f := range r.Findings {
		counts[f.Mark]++
	}
	fmt.Fprintf(c.out, c.say("\n%d ok, %d limited, %d missing, %d unknown\n", "\n正常 %d，受限 %d，缺少 %d，未知 %d\n"),
		counts[markOK], counts[markLimited], counts[markMissing], counts[markUnknown])
}

// markColumns is the width of the longest mark and the spaces around it.
const markColumns = 11

func (f finding) print(c *console) {
	word := map[mark]string{markOK: "正常", markLimited: "受限", markMissing: "缺少", markUnknown: "未知"}[f.Mark]
	head := "  " + c.say(string(f.Mark), word)
	head += strings.Repeat(" ", max(0, markColumns-displayWidth(head)))
	lines := wrap(f.Found+c.say(". ", "。")+f.Means+c.say(".", "。"), c.width()-markColumns)
	if f.Fix != "" && f.Mark != markOK {
		lines = append(lines, wrap("-> "+f.Fix, c.width()-markColumns)...)
	}
	for i, line := range lines {
		if i > 0 {
			head = strings.Repeat(" ", markColumns)
		}
		fmt.Fprintln(c.out, head+line)
	}
}
