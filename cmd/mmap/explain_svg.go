package main

import (
	"fmt"
	"html"
	"html/template"
	"strconv"
	"strings"

	"github.com/memwright/mmap/cmd/mmap/script"
	"github.com/memwright/mmap/vmem"
)

// A drawing is the picture of a moment as SVG, in three columns: processes with
// their page tables, frames of memory, pages of files on the disk. Lengths are
// in the units of its viewBox.
type drawing struct {
	describer
	changed func(key string) bool
	shapes  strings.Builder // under everything
	arrows  strings.Builder // over the shapes
	frames  map[int]spot
	pages   map[string]spot // of files, by name and number
	entries []arrow
	bottom  int
}

// A spot is a box that arrows lead to: the middles of its left and right edges.
type spot struct{ left, right, y int }

// An arrow begins at an entry of a page table.
type arrow struct {
	x, y, frame int
	writable    bool
}

const (
	drawingWidth = 980
	processX     = 8
	processWidth = 400
	frameX       = 500
	frameWidth   = 200
	diskX        = 786
	diskWidth    = 188
	lineHeight   = 30
	boxHeight    = 44
	gapHeight    = 12
	headHeight   = 26
	mostDrawn    = 12 // rows of an area, frames, pages of a file
)

func drawMoment(d describer, m *script.Moment, changed func(string) bool) template.HTML {
	g := &drawing{describer: d, changed: changed, frames: map[int]spot{}, pages: map[string]spot{}}
	g.processes()
	g.memory()
	g.disks()
	g.connect()
	g.moves(m)
	width := drawingWidth
	if len(m.State.Files) == 0 {
		width = diskX
	}
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" style="max-width: %[1]dpx" role="img" aria-label="%[3]s"><defs>%[4]s%[5]s%[6]s</defs>%[7]s%[8]s</svg>`,
		width, g.bottom+8, html.EscapeString(m.Text), tip("write"), tip("read"), tip("move"), g.shapes.String(), g.arrows.String()))
}

// tip is the end of an arrow.
func tip(class string) string {
	return fmt.Sprintf(`<marker id="%s" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path class="%[1]s-end" d="M0 0 8 4 0 8z"/></marker>`, class)
}

func (g *drawing) rect(class, key string, x, y, w, h int) {
	if key != "" && g.changed(key) {
		class += " new"
	}
	fmt.Fprintf(&g.shapes, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="5"/>`, class, x, y, w, h)
	g.bottom = max(g.bottom, y+h)
}

// text is at most n characters wide, which the caller knows to fit.
func (g *drawing) text(class string, x, y, n int, s string) {
	for displayWidth(s) > n {
		r := []rune(strings.TrimSuffix(s, "…"))
		s = string(r[:len(r)-1]) + "…"
	}
	fmt.Fprintf(&g.shapes, `<text class="%s" x="%d" y="%d">%s</text>`, class, x, y, html.EscapeString(s))
	g.bottom = max(g.bottom, y+4)
}

// processes draws the first column.
func (g *drawing) processes() {
	y := 18
	if len(g.state.Processes) == 0 {
		g.text("small", processX, y, 50, g.say("no process", "没有进程"))
	}
	for _, p := range g.state.Processes {
		title := g.say("process ", "进程 ") + p.Name
		if p.Locked > 0 {
			title += g.say(", locked ", "，已锁定 ") + g.bytes(int64(p.Locked))
		}
		g.text("head", processX, y, 50, title)
		y += 8
		if len(p.Areas) == 0 {
			g.text("small", processX, y+14, 50, g.say("no areas", "没有区域"))
			y += 20
		}
		for _, a := range p.Areas {
			y = g.area(p, a, y) + gapHeight
		}
		y += gapHeight + 6
	}
}

// area draws an area and its part of the page table, and returns where it ends.
func (g *drawing) area(p script.Process, a script.Area, y int) int {
	rows := g.rowsOf(a)
	g.rect("area", fmt.Sprintf("a/%s/%x", p.Name, uint64(a.Start)), processX, y, processWidth, headHeight+len(rows)*lineHeight+4)
	g.text("small", processX+8, y+17, 62, g.describer.area(a))
	y += headHeight
	for _, r := range rows {
		g.entry(p, r, y)
		y += lineHeight
	}
	return y + 4
}

// A tableRow is an entry, or a run of pages without one.
type tableRow struct {
	addr vmem.Addr
	page *script.Page
	gap  int64
	more int // entries that are not drawn
}

func (g *drawing) rowsOf(a script.Area) (rows []tableRow) {
	next := a.Start
	for i := range a.Pages {
		page := &a.Pages[i]
		if n := int64(page.Addr-next) / vmem.PageSize; n > 0 {
			rows = append(rows, tableRow{addr: next, gap: n})
		}
		if len(rows) >= mostDrawn {
			return append(rows, tableRow{addr: page.Addr, more: len(a.Pages) - i})
		}
		rows = append(rows, tableRow{addr: page.Addr, page: page})
		next = page.Addr + vmem.PageSize
	}
	if n := int64(a.End-next) / vmem.PageSize; n > 0 {
		rows = append(rows, tableRow{addr: next, gap: n})
	}
	return rows
}

func (g *drawing) entry(p script.Process, r tableRow, y int) {
	const x, w = processX + 6, processWidth - 12
	name := g.where(p.Name, r.addr)
	if r.page == nil {
		g.rect("empty", "", x, y, w, lineHeight-4)
		g.text("", x+8, y+18, 14, name)
		said := g.noEntries(r.gap)
		if r.more > 0 {
			said = fmt.Sprintf(g.say("and %d entries more", "另有 %d 个表项"), r.more)
		}
		g.text("small", x+118, y+17, 40, said)
		return
	}
	e := r.page.Entry
	g.rect("entry", fmt.Sprintf("e/%s/%x", p.Name, uint64(r.addr)), x, y, w, lineHeight-4)
	g.text("", x+8, y+18, 14, name)
	right := g.say("read-only", "只读")
	switch {
	case e.Bits&vmem.Present == 0:
		right = g.say("hidden", "隐藏")
	case e.Bits&vmem.Writable != 0:
		right = g.say("writable", "可写")
	}
	if e.Bits&vmem.Dirty != 0 {
		right += g.say(", dirty", "，脏")
	}
	g.text("small", x+118, y+17, 18, right)
	g.text("", x+236, y+18, 18, g.content(r.page.Content, 18))
	if e.Frame > 0 {
		g.entries = append(g.entries, arrow{processX + processWidth - 6, y + (lineHeight-4)/2, e.Frame, e.Bits&vmem.Writable != 0})
	}
}

// memory draws the second column.
func (g *drawing) memory() {
	y := 18
	g.text("head", frameX, y, 24, g.say("memory", "内存"))
	y += 8
	if len(g.state.Frames) == 0 {
		g.text("small", frameX, y+14, 30, g.say("no frame is in use", "没有使用中的页框"))
	}
	for i, f := range g.state.Frames {
		if i == mostDrawn {
			g.text("small", frameX, y+14, 30, fmt.Sprintf(g.say("and %d frames more", "另有 %d 个页框"), len(g.state.Frames)-i))
			return
		}
		class, whose := "own", g.say("private", "私有")
		if f.File != "" {
			class, whose = "frame", fmt.Sprintf(g.say("page %d of %s", "%[2]s 第 %[1]d 页"), f.Page, g.fileName(f.File))
		}
		if f.State == vmem.StateDirty {
			whose += g.say(", dirty", "，脏")
		}
		if f.Pinned {
			whose += g.say(", locked", "，锁定")
		}
		g.rect(class, "f/"+strconv.Itoa(f.Number), frameX, y, frameWidth, boxHeight)
		g.text("", frameX+8, y+18, 22, g.content(f.Content, 21))
		g.text("small", frameX+8, y+35, 27, g.say("frame ", "页框 ")+strconv.Itoa(f.Number)+g.say(", ", "，")+whose)
		g.frames[f.Number] = spot{frameX, frameX + frameWidth, y + boxHeight/2}
		y += boxHeight + gapHeight
	}
}

// disks draws the third column.
func (g *drawing) disks() {
	y := 18
	for _, f := range g.state.Files {
		g.text("head", diskX, y, 26, fmt.Sprintf(g.say("file %s on the disk", "磁盘上的文件 %s"), f.Name))
		y += 18
		size := g.bytes(f.Size)
		if f.Safe != f.Size {
			size += fmt.Sprintf(g.say(" (safe: %s)", "（断电后：%s）"), grouped(f.Safe))
		}
		g.text("small", diskX, y, 27, size)
		y += 8
		for i, p := range f.Pages {
			if i == mostDrawn {
				g.text("small", diskX, y+14, 27, fmt.Sprintf(g.say("and %d pages more", "另有 %d 页"), len(f.Pages)-i))
				y += 24
				break
			}
			key := fmt.Sprintf("d/%s/%d", f.Name, i)
			g.rect("disk", key, diskX, y, diskWidth, boxHeight)
			g.text("", diskX+8, y+18, 22, g.content(p.Content, 21))
			note := ""
			switch {
			case p.Newer:
				note = g.say("memory is newer", "内存里的更新")
			case p.Unsafe:
				note = g.say("not yet safe", "断电仍可能丢失")
			}
			if note != "" {
				note = g.say(", ", "，") + note
			}
			g.text("small", diskX+8, y+35, 27, fmt.Sprintf(g.say("page %d", "第 %d 页"), i)+note)
			g.pages[key] = spot{diskX, diskX + diskWidth, y + boxHeight/2}
			y += boxHeight + gapHeight
		}
		y += gapHeight + 12
	}
}

// curve is an arrow's way between two points that lie side by side.
func curve(x1, y1, x2, y2 int) string {
	bend := (x2 - x1) / 2
	return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
}

// connect leads entries to frames, and frames to the pages that they hold.
func (g *drawing) connect() {
	for _, f := range g.state.Frames {
		at, drawn := g.frames[f.Number]
		page, ok := g.pages[fmt.Sprintf("d/%s/%d", f.File, f.Page)]
		if !drawn || !ok {
			continue
		}
		class := "back"
		if f.State == vmem.StateDirty {
			class += " newer"
		}
		fmt.Fprintf(&g.arrows, `<path class="%s" d="%s"/>`, class, curve(at.right, at.y, page.left, page.y))
	}
	for _, e := range g.entries {
		at, drawn := g.frames[e.frame]
		if !drawn {
			continue
		}
		class := "read"
		if e.writable {
			class = "write"
		}
		fmt.Fprintf(&g.arrows, `<path class="%s" marker-end="url(#%[1]s)" d="%s"/>`, class, curve(e.x, e.y, at.left, at.y))
	}
}

// moves draws where this step copied bytes.
func (g *drawing) moves(m *script.Moment) {
	for _, e := range m.Events {
		frame, drawn := g.frames[e.Frame]
		if !drawn {
			continue
		}
		page, onDisk := g.pages[fmt.Sprintf("d/%s/%d", e.File, e.Off/vmem.PageSize)]
		switch {
		case e.Kind == vmem.BytesIn && onDisk:
			g.move(curve(page.left, page.y, frame.right, frame.y), (page.left+frame.right)/2, (page.y+frame.y)/2-8, e.N)
		case e.Kind == vmem.BytesOut && onDisk:
			g.move(curve(frame.right, frame.y, page.left, page.y), (page.left+frame.right)/2, (page.y+frame.y)/2-8, e.N)
		case e.Kind == vmem.BytesCopied:
			g.moveBeside(e.From, e.Frame, e.N)
		case e.Kind == vmem.BytesRead:
			g.moveBeside(e.Frame, g.bufferOf(m, e), e.N)
		case e.Kind == vmem.BytesWritten:
			g.moveBeside(g.bufferOf(m, e), e.Frame, e.N)
		}
	}
}

// bufferOf is the frame that read fills and write reads: the one that the
// process's buffer is in, 0 where that is none.
func (g *drawing) bufferOf(m *script.Moment, e script.Event) int {
	if len(m.Args) < 4 {
		return 0
	}
	at := m.At + vmem.Addr(e.Off-m.Args[3].Num)
	for _, p := range g.state.Processes {
		for _, a := range p.Areas {
			for _, page := range a.Pages {
				if p.Name == m.Process && page.Addr <= at && at < page.Addr+vmem.PageSize {
					return page.Entry.Frame
				}
			}
		}
	}
	return 0
}

// moveBeside draws a copy from frame to frame, along their right sides.
func (g *drawing) moveBeside(from, to, n int) {
	a, okFrom := g.frames[from]
	b, okTo := g.frames[to]
	if !okFrom || !okTo || from == to {
		return
	}
	const bow = 40
	g.move(fmt.Sprintf("M%d %dC%d %d %d %d %d %d", a.right, a.y, a.right+bow, a.y, b.right+bow, b.y, b.right, b.y), b.right+50, (a.y+b.y)/2+4, n)
}

// move draws a copy of n bytes, and says so at a place beside it.
func (g *drawing) move(way string, x, y, n int) {
	fmt.Fprintf(&g.arrows, `<path class="move" marker-end="url(#move)" d="%s"/><text class="tag move" text-anchor="middle" x="%d" y="%d">%s</text>`,
		way, x, y, grouped(int64(n)))
}
