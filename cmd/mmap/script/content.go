package script

import (
	"bytes"
	"hash/fnv"
)

// mostHead is how many bytes of a page are kept to be shown.
const mostHead = 24

// ContentOf looks at a page's bytes.
func ContentOf(p []byte) Content {
	h := fnv.New64a()
	h.Write(bytes.TrimRight(p, "\x00")) // zeros behind are as good as none
	c := Content{Hash: h.Sum64()}
	used := bytes.TrimRight(p, "\x00")
	if len(used) == 0 {
		return c
	}
	c.Off = len(used) - len(bytes.TrimLeft(used, "\x00"))
	head := used[c.Off:]
	if i := bytes.IndexByte(head, 0); i >= 0 {
		c.More = true
		head = head[:i]
	}
	if len(head) > mostHead {
		c.More = true
		head = head[:mostHead]
	}
	c.Head = string(head)
	return c
}

// Zeros tells whether the page is all zeros.
func (c Content) Zeros() bool { return c.Head == "" }
