package model

import (
	"context"
	"time"
)

// A Context is cancelled by a step of a process, and tells at once whoever waits:
// the goroutine that a real one starts for that would be outside the world.
type Context struct {
	done  chan struct{}
	err   error
	after []func()
}

// NewContext is a context that is not cancelled.
func NewContext() *Context { return &Context{done: make(chan struct{})} }

// Cancel cancels it, once.
func (c *Context) Cancel() {
	c.err = context.Canceled
	close(c.done)
	for _, f := range c.after {
		if f != nil {
			f()
		}
	}
}

// AfterFunc is what context.AfterFunc asks of a context.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	i := len(c.after)
	c.after = append(c.after, f)
	return func() bool {
		there := c.after[i] != nil && c.err == nil
		c.after[i] = nil
		return there
	}
}

// Deadline is none.
func (c *Context) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed by Cancel.
func (c *Context) Done() <-chan struct{} { return c.done }

// Err is nil until Cancel.
func (c *Context) Err() error { return c.err }

// Value is nil.
func (c *Context) Value(any) any { return nil }
