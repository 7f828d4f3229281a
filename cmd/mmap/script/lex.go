package script

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An Error says where a script is wrong, and what was expected there.
type Error struct {
	Name   string // of the script
	Line   int    // from 1
	Column int    // from 1, in characters; 0: the whole line
	Text   string
}

// Error gives the place as compilers do.
func (e *Error) Error() string {
	if e.Column == 0 {
		return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Column, e.Text)
}

// A sort is what a token is.
type sort uint8

const (
	end sort = iota
	word
	number
	literal
	sign // one of ( ) , : = + - * |
)

// A token is the smallest piece of a line.
type token struct {
	sort   sort
	text   string // as it stands there; of a literal, what it means
	num    int64
	column int
}

func (t token) String() string {
	switch t.sort {
	case end:
		return "the end of the line"
	case literal:
		return strconv.Quote(t.text)
	}
	return t.text
}

// tokens splits a line up to its remark, which it returns too. The last token is end.
func (p *parser) tokens(line string) (list []token, remark string, err error) {
	for rest := line; ; {
		trimmed := strings.TrimLeft(rest, " \t")
		t := token{column: 1 + utf8.RuneCountInString(line[:len(line)-len(trimmed)])}
		rest = trimmed
		n := 1
		switch c := first(rest); {
		case c == 0:
			return append(list, t), "", nil
		case c == '#':
			return append(list, t), rest, nil
		case strings.IndexByte("(),:=+-*|", c) >= 0:
			t.sort = sign
		case isDigit(c):
			t.sort, n = number, span(rest, func(c byte) bool { return isLetter(c) || isDigit(c) })
			if t.num, err = strconv.ParseInt(rest[:n], 0, 64); err != nil {
				return nil, "", p.at(t, "expected a number below 2^63, found %s", rest[:n])
			}
		case isLetter(c):
			t.sort, n = word, span(rest, func(c byte) bool { return isLetter(c) || isDigit(c) })
		case c == '"':
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, "", p.at(t, `expected a text in quotes that ends, as in "hello"`)
			}
			t.sort, n = literal, len(quoted)
			t.text, _ = strconv.Unquote(quoted) // it was found to be one
		default:
			r, _ := utf8.DecodeRuneInString(rest)
			return nil, "", p.at(t, "expected a call or an access, found %q", r)
		}
		if t.sort != literal {
			t.text = rest[:n]
		}
		list, rest = append(list, t), rest[n:]
	}
}

func first(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}

func isLetter(c byte) bool { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// span is how many bytes at the start of s are in a set.
func span(s string, in func(byte) bool) int {
	for i := range len(s) {
		if !in(s[i]) {
			return i
		}
	}
	return len(s)
}
