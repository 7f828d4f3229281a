package shmnet

import (
	"testing"

	"github.com/memwright/mmap/shm/ring"
)

// lateSide is a ring whose peer commits just before it can see that we are armed.
type lateSide struct {
	armed     ring.Wake
	committed bool
}

func (s *lateSide) Arm(how ring.Wake)     { s.armed, s.committed = how, true }
func (s *lateSide) Armed() ring.Wake      { return s.armed }
func (s *lateSide) Notify() (bool, error) { return false, nil }

// TestParkLooksOnceMore: what comes between the look and the word rings no bell.
func TestParkLooksOnceMore(t *testing.T) {
	s := new(lateSide)
	var l lane
	l.begin(s, func() bool { return s.committed })
	l.park()
	if s.armed != ring.WakeNone {
		t.Errorf("it wants to be woken still: %v", s.armed)
	}
}

// TestAnOldTokenIsNoNews: a bell for what was seen already ends no wait that comes
// after it, and costs one look.
func TestAnOldTokenIsNoNews(t *testing.T) {
	s := new(lateSide)
	var l lane
	looks := 0
	l.begin(s, func() bool { looks++; return looks > 1 })
	l.ring()
	go func() { // the bell that counts
		for len(l.bell) > 0 {
		}
		l.ring()
	}()
	l.park()
	if looks != 2 {
		t.Errorf("%d looks for one bell", looks)
	}
}
