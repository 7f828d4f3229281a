package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/memwright/mmap/shm/shmnet"
	"github.com/redis/go-redis/v9"
)

// TestRedis: go-redis and a server know nothing of what they run over: a pool, values
// of many times the buffer, pipelines, subscriptions, and a command that waits when
// its context ends.
func TestRedis(t *testing.T) {
	l := listen(t)
	server := miniredis.RunT(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			server.Server().ServeConn(c)
		}
	}()
	client := redis.NewClient(&redis.Options{
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return shmnet.DialContext(ctx, l.Addr().String())
		},
		PoolSize: 4, ContextTimeoutEnabled: true, ReadTimeout: 20 * time.Second,
	})
	defer client.Close()
	ctx := t.Context()

	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			key, value := fmt.Sprint("key ", i), strings.Repeat(fmt.Sprint(i), 1<<(2*i+6))
			for range 20 {
				if err := client.Set(ctx, key, value, 0).Err(); err != nil {
					t.Error(err)
				}
				if got, err := client.Get(ctx, key).Result(); err != nil || got != value {
					t.Errorf("%d bytes came back as %d, %v", len(value), len(got), err)
				}
			}
		})
	}
	group.Wait()

	counts, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for range 10000 {
			p.Incr(ctx, "count")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if last := counts[len(counts)-1].(*redis.IntCmd).Val(); last != 10000 {
		t.Errorf("10,000 increments make %d", last)
	}

	// A command that waits: its deadline is one of the connection.
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := client.BLPop(short, 0, "empty").Err(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a command that waits ended with %v", err)
	}
	if got, err := client.Get(ctx, "count").Result(); err != nil || got != "10000" {
		t.Errorf("after that: %q, %v", got, err)
	}

	sub := client.Subscribe(ctx, "news")
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	if err := client.Publish(ctx, "news", "good").Err(); err != nil {
		t.Fatal(err)
	}
	if m := <-sub.Channel(); m.Payload != "good" {
		t.Errorf("the news are %q", m.Payload)
	}
}
