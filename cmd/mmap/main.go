package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func main() {
	// A command's own helper processes enter here: see child.go.
	if code, ok := runChild(os.Args[1:]); ok {
		os.Exit(code)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program but for the process: it returns the exit code, 0 for
// success, 1 for a failure that was told, 2 for a wrong command line.
func run(args []string, out, errOut io.Writer) int {
	c := &console{out: out, err: errOut}
	root := newRoot(c)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, syscall.EPIPE) { // whoever closed the pipe has seen enough
		fmt.Fprintln(errOut, "mmap:", visible(strings.TrimPrefix(err.Error(), "mmap: ")))
	}
	if c.started {
		return 1
	}
	return 2
}

func newRoot(c *console) *cobra.Command {
	root := &cobra.Command{
		Use:           "mmap",
		Short:         "Show, measure and check memory mapping on this machine",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if c.lang != "en" && c.lang != "zh" {
				return fmt.Errorf("--lang is en or zh, not %q", c.lang)
			}
			c.started = true
			return nil
		},
	}
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print JSON (docs/JSON.md describes it)")
	root.PersistentFlags().StringVar(&c.lang, "lang", languageOf(os.Getenv), "language of the text: en or zh")
	root.AddCommand(newTour(c), newCompare(c), newClaims(c), newDoctor(c), newExplain(c), newShm(c))
	return root
}

// A console is where a command prints, and how.
type console struct {
	out, err io.Writer
	json     bool
	lang     string
	started  bool // the command line was understood
}

// printJSON prints v as one indented document.
func (c *console) printJSON(v any) error {
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printLine prints v as a document of one line.
func (c *console) printLine(v any) error { return json.NewEncoder(c.out).Encode(v) }

// say picks the text of the console's language.
func (c *console) say(en, zh string) string {
	if c.lang == "zh" {
		return zh
	}
	return en
}

// shown is a name that others may have chosen, quoted where it holds what is no text.
func shown(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// visible is a text with names in it, in which nothing but lines and tabs is for a
// terminal to obey.
func visible(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == '\n' || r == '\t' || strconv.IsPrint(r):
			b.WriteString(text[i : i+size])
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		i += size
	}
	return b.String()
}

// width is how many columns a line may take: the terminal's, at most 100; 80
// where the output is no terminal.
func (c *console) width() int {
	if f, ok := c.out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			return min(w, 100)
		}
	}
	return 80
}

// isTerminal reports whether a person is likely to be watching w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// languageOf reads the language from the environment as locale(7) says.
func languageOf(getenv func(string) string) string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := getenv(name); v != "" {
			if strings.HasPrefix(v, "zh") {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}
