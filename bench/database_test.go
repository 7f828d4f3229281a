package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/memwright/mmap/shm/shmnet"
)

// A postgres is as much of a server of PostgreSQL as the test asks: the real
// protocol, and three queries of its own.
//
//	rows N   answers N rows of a number and 1 KiB of text
//	sleep    answers when the query is cancelled
//	;        is empty
type postgres struct {
	sync.Mutex
	sessions  uint32
	sleeping  map[uint32]chan struct{} // by session: closed to cancel
	cancelled int
}

func (p *postgres) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			p.session(pgproto3.NewBackend(c, c))
		}()
	}
}

// session serves one connection until it ends.
func (p *postgres) session(b *pgproto3.Backend) error {
	first, err := b.ReceiveStartupMessage()
	if err != nil {
		return err
	}
	if cancel, ok := first.(*pgproto3.CancelRequest); ok { // it comes on a connection of its own
		p.Lock()
		defer p.Unlock()
		if c := p.sleeping[cancel.ProcessID]; c != nil {
			close(c)
			delete(p.sleeping, cancel.ProcessID)
			p.cancelled++
		}
		return nil
	}
	p.Lock()
	p.sessions++
	id := p.sessions
	p.Unlock()
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	b.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	b.Send(&pgproto3.BackendKeyData{ProcessID: id, SecretKey: []byte("ssss")})
	for {
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if err := b.Flush(); err != nil {
			return err
		}
		m, err := b.Receive()
		if err != nil {
			return err
		}
		query, ok := m.(*pgproto3.Query)
		if !ok {
			return nil // Terminate
		}
		if err := p.answer(b, id, query.String); err != nil {
			return err
		}
	}
}

func (p *postgres) answer(b *pgproto3.Backend, id uint32, query string) error {
	var n int
	switch _, err := fmt.Sscanf(query, "rows %d", &n); {
	case err == nil:
		b.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
			{Name: []byte("n"), DataTypeOID: 20, DataTypeSize: 8},
			{Name: []byte("text"), DataTypeOID: 25, DataTypeSize: -1},
		}})
		for i := range n {
			b.Send(&pgproto3.DataRow{Values: [][]byte{fmt.Append(nil, i), []byte(rowText(i))}})
			if i%64 == 0 {
				if err := b.Flush(); err != nil {
					return err
				}
			}
		}
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT")})
	case query == "sleep":
		cancel := make(chan struct{})
		p.Lock()
		p.sleeping[id] = cancel
		p.Unlock()
		<-cancel
		b.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "57014", Message: "canceling statement due to user request"})
	default:
		b.Send(&pgproto3.EmptyQueryResponse{})
	}
	return nil
}

func (p *postgres) asleep() int {
	p.Lock()
	defer p.Unlock()
	return len(p.sleeping)
}

func rowText(i int) string { return strings.Repeat(string(rune('a'+i%26)), 1024) }

// TestPostgres: pgx and the pool of database/sql know nothing of what they run over:
// results of many times the buffer, many at once, a query that is cancelled on a
// second connection, and a deadline.
func TestPostgres(t *testing.T) {
	l := listen(t)
	server := &postgres{sleeping: map[uint32]chan struct{}{}}
	go server.serve(l)
	config, err := pgx.ParseConfig("postgres://user@shm/db?sslmode=disable&default_query_exec_mode=simple_protocol")
	if err != nil {
		t.Fatal(err)
	}
	config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"shm"}, nil }
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return shmnet.DialContext(ctx, l.Addr().String())
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	db.SetMaxOpenConns(3)
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}

	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() { checkRows(t, db, 1000*i) })
	}
	group.Wait()

	for _, how := range []string{"cancelled", "at its deadline"} {
		ctx, cancel := context.WithCancel(t.Context())
		want := context.Canceled
		if how != "cancelled" {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			want = context.DeadlineExceeded
		}
		failed := make(chan error, 1)
		go func() {
			_, err := db.ExecContext(ctx, "sleep")
			failed <- err
		}()
		if how == "cancelled" {
			for server.asleep() == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}
		if err := <-failed; !errors.Is(err, want) {
			t.Errorf("a query %s: %v", how, err)
		}
		cancel()
		for server.asleep() > 0 { // until the cancel request has come, on a connection of its own
			time.Sleep(time.Millisecond)
		}
		checkRows(t, db, 10)
	}
	if server.cancelled != 2 {
		t.Errorf("%d queries were cancelled at the server", server.cancelled)
	}
}

func checkRows(t *testing.T, db *sql.DB, n int) {
	rows, err := db.QueryContext(t.Context(), fmt.Sprint("rows ", n))
	if err != nil {
		t.Error(err)
		return
	}
	defer rows.Close()
	i := 0
	for ; rows.Next(); i++ {
		var number int
		var text string
		if err := rows.Scan(&number, &text); err != nil || number != i || text != rowText(i) {
			t.Errorf("row %d of %d: %d, %.10q, %v", i, n, number, text, err)
			return
		}
	}
	if err := rows.Err(); err != nil || i != n {
		t.Errorf("%d rows of %d, %v", i, n, err)
	}
}
