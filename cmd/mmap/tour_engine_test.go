package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/memwright/mmap/cmd/mmap/script"
)

// TestTheEngineShowsEveryChapterThatItHasAPartIn, and what it does is the same
// in both languages.
func TestTheEngineShowsEveryChapterThatItHasAPartIn(t *testing.T) {
	for _, ch := range chapters {
		show, ok := engineShows[ch.id]
		if !ok {
			if ch.id != "zero-copy" { // it is about sockets
				t.Errorf("%s has no part for the engine", ch.id)
			}
			continue
		}
		if holds, err := show.run(ch.id); !holds || err != nil {
			t.Errorf("%s: %t, %v", ch.id, holds, err)
		}
		if displayWidth(show.says.en) > len([]rune(show.says.en)) || displayWidth(show.says.zh) == len([]rune(show.says.zh)) {
			t.Errorf("%s: %+v", ch.id, show.says)
		}
	}
	for id := range engineShows {
		if !slices.Contains(chapterIDs(chapters), id) {
			t.Errorf("there is no chapter %s", id)
		}
	}
}

func TestTourTellsWhatTheEngineDid(t *testing.T) {
	needProc(t)
	for _, ch := range tourJSON(t, "--chapter", "private-store,truncation,zero-copy").Chapters {
		switch e := ch.Engine; {
		case ch.ID == "zero-copy" && e != nil, ch.ID != "zero-copy" && (e == nil || e.Agrees == nil || !*e.Agrees):
			t.Errorf("%s: %+v", ch.ID, e)
		}
	}
	var out, errOut bytes.Buffer
	if code := run([]string{"tour", "--lang", "en", "--chapter", "truncation"}, &out, &errOut); code != 0 ||
		!strings.Contains(out.String(), "    The engine for the same steps: SIGBUS at the page past the end;") {
		t.Errorf("code %d: %s", code, out.String())
	}
}

// TestTourGoesOnOnTheEngine: where the kernel offers no evidence the chapter is
// shown there, and says so.
func TestTourGoesOnOnTheEngine(t *testing.T) {
	tr := &tour{console: &console{out: new(bytes.Buffer), lang: "en"}}
	hidden := chapter{"private-store", text{"A private store", "私有写入"}, func(s *stage) error { return s.withoutProc(errors.New("no /proc")) }}
	r := tr.walk(t.Context(), hidden)
	if e := r.Engine; r.Status != statusNotShown || e == nil || e.Agrees != nil || !strings.HasPrefix(e.Text, "Shown on the engine instead: one copy-on-write fault") {
		t.Errorf("%s: %+v", r.Status, e)
	}
}

// TestAnEngineThatDoesOtherwiseFailsTheChapter gives the tour one that does.
func TestAnEngineThatDoesOtherwiseFailsTheChapter(t *testing.T) {
	good := engineShows["close"]
	defer func() { engineShows["close"] = good }()
	engineShows["close"] = engineShow{good.script, func([]*script.Moment) bool { return false }, good.says}
	var out, errOut bytes.Buffer
	if code := run([]string{"tour", "--lang", "en", "--chapter", "close"}, &out, &errOut); code != 1 || !strings.Contains(out.String(), "it did something else than is told.") {
		t.Errorf("code %d: %s", code, out.String())
	}
}
