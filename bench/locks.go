package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/shmsync"
)

// uncontended: locks that nobody else wants, beside those of package sync, which
// no other process sees. In a named segment, whose file can be truncated, each call
// has a guard.
func uncontended() (table, error) {
	s, err := shm.Anonymous(1<<16, shm.Options{})
	if err != nil {
		return table{}, err
	}
	named, err := shm.Create(fmt.Sprintf("mmap-bench-%d", os.Getpid()), 1<<12, shm.Options{})
	if err != nil {
		return table{}, errors.Join(err, s.Close())
	}
	t := table{title: "Lock and unlock what nobody else wants", close: []func() error{s.Close, named.Close}}
	ctx := context.Background()
	place := func(name string, size int) int64 {
		off, failed := s.Place(ctx, shm.Object{Name: name, Size: size})
		err = errors.Join(err, failed)
		return off
	}
	space := s.Space()
	mu, err1 := space.Mutex(place("mutex", shmsync.MutexBytes))
	rw, err2 := space.RWMutex(place("rwmutex", space.RWMutexBytes()))
	guarded, err3 := named.Space().Mutex(named.DataStart())
	if err := errors.Join(err, err1, err2, err3); err != nil {
		return t, err
	}
	var in struct {
		sync.Mutex
		rw sync.RWMutex
	}
	t.rows = []row{
		{name: "sync.Mutex: Lock, Unlock", op: func() error {
			in.Lock()
			//lint:ignore SA2001 the lock is what is measured
			in.Unlock()
			return nil
		}},
		{name: "sync.RWMutex: RLock, RUnlock", op: func() error {
			in.rw.RLock()
			//lint:ignore SA2001 the lock is what is measured
			in.rw.RUnlock()
			return nil
		}},
		{name: "this module: shmsync.Mutex, Lock, Unlock", op: func() error {
			if err := mu.Lock(ctx); err != nil {
				return err
			}
			return mu.Unlock()
		}},
		{name: "this module: shmsync.Mutex of a named segment, Lock, Unlock", op: func() error {
			if err := guarded.Lock(ctx); err != nil {
				return err
			}
			return guarded.Unlock()
		}},
		{name: "this module: shmsync.RWMutex, RLock, RUnlock", op: func() error {
			if err := rw.RLock(ctx); err != nil {
				return err
			}
			return rw.RUnlock()
		}},
	}
	return t, nil
}
