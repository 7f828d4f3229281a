package script

import (
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/memwright/mmap/vmem"
)

// A Script is a program that was understood.
type Script struct {
	Name   string
	Title  Remark
	Config vmem.Config
	Steps  []Step
}

// A Remark is a text in the languages that it was written in; "" is none.
type Remark struct{ English, Chinese string }

// A Step is a line of a script.
type Step struct {
	Line    int    // its number, from 1
	Text    string // the line without its remark
	Remark  Remark
	Process string // who does it; "" for what no process does
	Call    string // mmap, load, store, file, powercut, ...
	Result  string // the name of what it returns, or ""
	Args    []Arg  // those of its manual page; one that was left out is zero
}

// An Arg is an argument: a number, or a name and what is added to it, or a text.
type Arg struct {
	Name string // of an address, a file or a process; "" is none
	Num  int64  // a number, flags, or what is added to the address
	Text string
}

// The most that a script may ask for: it is there to be read.
const (
	mostSteps  = 1000
	mostBytes  = 4 << 20 // of a file
	mostFrames = 4096
)

// Parse reads a script; name is what errors call it. They are of type *Error.
func Parse(name, text string) (*Script, error) {
	p := &parser{script: &Script{Name: name, Config: defaults}, process: "p1",
		known: map[string]gift{}, used: map[string]bool{}}
	for line := range strings.Lines(text) {
		p.line++
		if err := p.read(strings.TrimRight(line, "\r\n")); err != nil {
			return nil, err
		}
	}
	if len(p.script.Steps) == 0 {
		p.line = max(p.line, 1)
		return nil, &Error{Name: name, Line: p.line, Text: "expected a step: there is none in the script"}
	}
	return p.script, nil
}

// defaults bring in and map a page at a time, and place areas where no system
// keeps anything of its own, so that a kernel can be asked for the same.
var defaults = vmem.Config{Frames: 1024, ReadAhead: 1, FaultAround: 1, Base: 0x700000000000}

type parser struct {
	script  *Script
	line    int
	process string          // of the line before
	known   map[string]gift // what each name stands for
	used    map[string]bool // processes that have had a line
	remark  Remark          // for the next step
	rest    []token
}

func (p *parser) at(t token, format string, args ...any) error {
	return &Error{p.script.Name, p.line, t.column, fmt.Sprintf(format, args...)}
}

// read takes in a line.
func (p *parser) read(line string) (err error) {
	var remark string
	if p.rest, remark, err = p.tokens(line); err != nil {
		return err
	}
	if p.peek().sort == end {
		p.note(remark)
		return nil
	}
	if len(p.script.Steps) == mostSteps {
		return p.at(p.peek(), "expected no more than %d steps", mostSteps)
	}
	text := strings.TrimSpace(strings.TrimSuffix(line, remark))
	if remark != "" {
		p.note(remark)
	}
	step := Step{Line: p.line, Text: text, Remark: p.remark}
	p.remark = Remark{}
	if setting, err := p.setting(); setting || err != nil {
		return err
	}
	if err := p.statement(&step); err != nil {
		return err
	}
	if t := p.peek(); t.sort != end {
		return p.at(t, "expected the end of the line, found %s", t)
	}
	p.script.Steps = append(p.script.Steps, step)
	return nil
}

// note keeps a remark on a line of its own; an empty line ends it, and makes the
// first one of a script its title.
func (p *parser) note(remark string) {
	if remark == "" {
		if p.script.Title == (Remark{}) && len(p.script.Steps) == 0 {
			p.script.Title = p.remark
		}
		p.remark = Remark{}
		return
	}
	to, remark := &p.remark.English, strings.TrimPrefix(remark, "#")
	if zh, ok := strings.CutPrefix(remark, "zh "); ok {
		to, remark = &p.remark.Chinese, zh
	}
	remark = strings.TrimSpace(remark)
	if *to != "" && remark != "" && to == &p.remark.English {
		*to += " "
	}
	*to += remark
}

func (p *parser) peek() token { return p.rest[0] }

// next takes the next token; the last one stays.
func (p *parser) next() token {
	t := p.rest[0]
	if t.sort != end {
		p.rest = p.rest[1:]
	}
	return t
}

// is takes the next token if it is that sign.
func (p *parser) is(s string) bool {
	if t := p.peek(); t.sort == sign && t.text == s {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(s, why string) error {
	if !p.is(s) {
		return p.at(p.peek(), "expected %s %s, found %s", s, why, p.peek())
	}
	return nil
}

// setting reads a line like readahead 32.
func (p *parser) setting() (bool, error) {
	c := &p.script.Config
	set := map[string]struct {
		to   *int
		most int
	}{"frames": {&c.Frames, mostFrames}, "readahead": {&c.ReadAhead, 512}, "faultaround": {&c.FaultAround, 512}}
	s, ok := set[p.peek().text]
	if !ok || p.peek().sort != word || len(p.rest) < 2 || p.rest[1].sort != number {
		return false, nil
	}
	name, n := p.next(), p.next()
	switch {
	case len(p.script.Steps) > 0:
		return true, p.at(name, "expected %s before the first step", name)
	case n.num < 1 || n.num > int64(s.most) || name.text == "faultaround" && bits.OnesCount64(uint64(n.num)) > 1:
		return true, p.at(n, "expected a number from 1 to %d, a power of two for faultaround, found %s", s.most, n)
	case p.peek().sort != end:
		return true, p.at(p.peek(), "expected the end of the line, found %s", p.peek())
	}
	*s.to = int(n.num)
	return true, nil
}

// statement reads a step: who does it, the name of its result, and what is done.
func (p *parser) statement(s *Step) error {
	who := token{}
	if len(p.rest) > 1 && p.rest[0].sort == word && p.rest[1].text == ":" && p.rest[1].sort == sign {
		who = p.next()
		p.next()
		if g, ok := p.known[who.text]; ok && g != givesProcess {
			return p.at(who, "expected a process, found %s, which is something else", who)
		}
	}
	var result token
	if len(p.rest) > 1 && p.rest[0].sort == word && p.rest[1].text == "=" && p.rest[1].sort == sign {
		result = p.next()
		p.next()
	}
	name := p.next()
	s.Call = name.text
	f, isCall := forms[name.text]
	var err error
	switch {
	case name.sort != word:
		return p.at(name, "expected a call or an access, found %s", name)
	case name.text == "file" || name.text == "powercut":
		f.outside = true
		if name.text == "file" {
			err = p.file(s)
		}
	case name.text == "load" || name.text == "store":
		err = p.access(s)
	case !isCall:
		return p.at(name, "expected a call, an access or a setting; nothing is called %s", name)
	default:
		err = p.call(s, f)
	}
	if err != nil {
		return err
	}
	if f.outside && who.sort == word {
		return p.at(who, "expected no process before %s", name)
	}
	if !f.outside {
		if who.sort == word {
			p.process = who.text
		}
		s.Process = p.process
		p.known[p.process] = givesProcess
	}
	return p.result(s, f, name, result)
}

// result settles what the result of a call is called.
func (p *parser) result(s *Step, f form, call, name token) error {
	switch {
	case name.sort == end && f.named:
		return p.at(call, "expected a name for what %s returns, as in x = %s(...)", call, call)
	case name.sort == end:
		return nil
	case f.gives == nothing:
		return p.at(name, "expected no name: %s returns nothing that can be used later", call)
	}
	if g, ok := p.known[name.text]; ok && (g != f.gives || g == givesProcess) {
		return p.at(name, "expected a new name, found %s, which is in use", name)
	}
	if _, ok := forms[name.text]; ok || strings.ToUpper(name.text) == name.text {
		return p.at(name, "expected a name of your own in small letters, found %s", name)
	}
	s.Result = name.text
	p.known[name.text] = f.gives
	return nil
}

// file reads the rest of: file NAME BYTES ["text" [at OFFSET "text"] ...].
func (p *parser) file(s *Step) error {
	name := p.next()
	if name.sort != word {
		return p.at(name, "expected the file's name, found %s", name)
	}
	if _, ok := p.known[name.text]; ok || strings.ToUpper(name.text) == name.text {
		return p.at(name, "expected a new name in small letters, found %s", name)
	}
	start := p.peek()
	n, err := p.sum()
	if err != nil {
		return err
	}
	if n < 0 || n > mostBytes {
		return p.at(start, "expected a size from 0 to %d bytes", mostBytes)
	}
	s.Args = []Arg{{Name: name.text, Num: n}}
	p.known[name.text] = givesFile
	for at := int64(0); p.peek().sort != end; {
		t := p.next()
		if len(s.Args) > 1 || t.sort == word {
			if t.text != "at" || t.sort != word {
				return p.at(t, "expected at and an offset, found %s", t)
			}
			if at, err = p.sum(); err != nil {
				return err
			}
			t = p.next()
		}
		if t.sort != literal {
			return p.at(t, "expected a text in quotes, found %s", t)
		}
		if at < 0 || at > n || int64(len(t.text)) > n-at {
			return p.at(t, "expected a text that ends within the file's %d bytes", n)
		}
		s.Args = append(s.Args, Arg{Num: at, Text: t.text})
	}
	return nil
}

// mostLoaded is the most that one load or store moves: it is shown.
const mostLoaded = 4096

// access reads the rest of: load ADDRESS [BYTES], store ADDRESS "text".
func (p *parser) access(s *Step) error {
	a, err := p.argument(address)
	if err != nil {
		return err
	}
	s.Args = []Arg{a, {Num: 1}}
	t := p.peek()
	switch {
	case s.Call == "store":
		p.next()
		if t.sort != literal || t.text == "" || len(t.text) > mostLoaded {
			return p.at(t, "expected the text to store, of 1 to %d bytes, found %s", mostLoaded, t)
		}
		s.Args[1] = Arg{Text: t.text}
	case t.sort != end:
		n, err := p.sum()
		if err != nil {
			return err
		}
		if n < 1 || n > mostLoaded {
			return p.at(t, "expected a number of bytes from 1 to %d", mostLoaded)
		}
		s.Args[1].Num = n
	}
	return nil
}

// call reads the arguments of a call, in parentheses.
func (p *parser) call(s *Step, f form) error {
	if err := p.expect("(", "after "+s.Call); err != nil {
		return err
	}
	given := p.count()
	s.Args = make([]Arg, len(f.params))
	from, to := 0, len(f.params)
	if given < to && given >= to-f.optional {
		if s.Call == "mmap" {
			from = to - given
		} else {
			to = given
		}
	}
	for i := from; i < to; i++ {
		if i > from {
			if err := p.expect(",", "and then "+kinds[f.params[i]]); err != nil {
				return err
			}
		}
		var err error
		if s.Args[i], err = p.argument(f.params[i]); err != nil {
			return err
		}
	}
	return p.expect(")", "after the last argument")
}

// count is how many arguments stand before the closing parenthesis.
func (p *parser) count() int {
	n := 0
	for i, t := range p.rest {
		if t.sort == end || t.sort == sign && t.text == ")" {
			break
		}
		if i == 0 || t.sort == sign && t.text == "," {
			n++
		}
	}
	return n
}

// argument reads one argument of a kind.
func (p *parser) argument(k kind) (Arg, error) {
	t := p.peek()
	switch k {
	case address:
		return p.address()
	case fileName, processName:
		return p.name(k)
	case size, offset, page:
		n, err := p.sum()
		return Arg{Num: n}, err
	}
	var a Arg
	for {
		t = p.next()
		n, ok := words[k][t.text]
		if t.sort == number {
			n, ok = t.num, true
		}
		if !ok {
			return a, p.at(t, "expected %s (%s), found %s", kinds[k], oneOf(k), t)
		}
		a.Num |= n
		if !p.is("|") {
			return a, nil
		}
	}
}

// name reads the name of a file, or -1 where there is none, or of a process.
func (p *parser) name(k kind) (Arg, error) {
	want := map[kind]gift{fileName: givesFile, processName: givesProcess}[k]
	if k == fileName && p.is("-") {
		t := p.next()
		if t.num != 1 || t.sort != number {
			return Arg{}, p.at(t, "expected a file, or -1 for none")
		}
		return Arg{Num: -1}, nil
	}
	t := p.next()
	if t.sort != word || p.known[t.text] != want {
		return Arg{}, p.at(t, "expected %s that a line above has named, found %s", kinds[k], t)
	}
	return Arg{Name: t.text}, nil
}

// address reads an address: a name or a number, and what is added to it.
func (p *parser) address() (a Arg, err error) {
	t := p.peek()
	switch {
	case t.sort == word && t.text == "NULL":
		p.next()
		return a, nil
	case t.sort == word:
		p.next()
		if p.known[t.text] != givesAddress {
			return a, p.at(t, "expected an address that a line above has named, found %s", t)
		}
		a.Name = t.text
		if o := p.peek(); o.sort != sign || o.text != "+" && o.text != "-" {
			return a, nil
		}
	case t.sort != number:
		return a, p.at(t, "expected %s, found %s", kinds[address], t)
	}
	a.Num, err = p.sum()
	return a, err
}

// sum reads numbers, added, subtracted and multiplied.
func (p *parser) sum() (total int64, err error) {
	minus := p.is("-")
	if !minus {
		p.is("+")
	}
	for {
		t := p.peek()
		n, err := p.product()
		if err != nil {
			return 0, err
		}
		if minus {
			n = -n
		}
		if n > 0 && total > math.MaxInt64-n || n < 0 && total < math.MinInt64-n {
			return 0, p.at(t, "expected a sum below 2^63")
		}
		total += n
		if minus = p.is("-"); !minus && !p.is("+") {
			return total, nil
		}
	}
}

// product reads numbers, multiplied.
func (p *parser) product() (int64, error) {
	total := uint64(1)
	for {
		t := p.next()
		if t.sort != number {
			return 0, p.at(t, "expected a number, found %s", t)
		}
		high, low := bits.Mul64(total, uint64(t.num))
		if high != 0 || low > math.MaxInt64 {
			return 0, p.at(t, "expected a product below 2^63")
		}
		if total = low; !p.is("*") {
			return int64(total), nil
		}
	}
}
