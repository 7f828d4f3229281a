package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/memwright/mmap"
)

// Chapters about what happens to a mapping in the world: it is sent, its file
// is cut short, it is closed.

func showZeroCopy(s *stage) error {
	f, err := os.Open(s.subject.path)
	if err != nil {
		return err
	}
	defer f.Close()
	want := sha256.New()
	if _, err := io.CopyN(want, f, int64(s.subject.walked)); err != nil {
		return err
	}
	within, err := s.send(func(m *mmap.Mapping, conn net.Conn) (int64, error) { return m.WriteTo(conn) })
	if err != nil {
		return err
	}
	// Written from a View, the bytes are copied from the mapping: what the
	// measure shows then, it can show.
	copied, err := s.send(func(m *mmap.Mapping, conn net.Conn) (sent int64, err error) {
		for off := int64(0); off < int64(m.Len()) && err == nil; off = sent {
			err = m.View(off, min(1<<20, m.Len()-int(off)), func(p []byte) error {
				n, err := conn.Write(p)
				sent += int64(n)
				return err
			})
		}
		return sent, err
	})
	if err != nil {
		return err
	}
	s.told(within.sent == int64(s.subject.walked) && bytes.Equal(within.sum, want.Sum(nil)),
		"The peer received every byte, and its checksum is the file's.", "对端收到了全部字节，校验和与文件一致。")
	s.figure("sent", within.sent, unitBytes, "", "sent", "发送")
	s.figure("sha256_file", fmt.Sprintf("%.8x", want.Sum(nil)), unitMessage, "sha256", "checksum of the file", "文件的校验和")
	s.figure("sha256_peer", fmt.Sprintf("%.8x", within.sum), unitMessage, "sha256", "checksum at the peer", "对端的校验和")
	if within.entriesErr != nil {
		s.anotherWay("Whether the bytes passed through the mapping stands in /proc, which can't be read here (%v).",
			"字节是否经过映射要看 /proc，而这里读不到它（%v）。", within.entriesErr)
		return nil
	}
	s.figure("entries_sent", within.entries, unitPages, "smaps Rss", "pages mapped by WriteTo", "WriteTo 填入页表的页")
	s.figure("entries_copied", copied.entries, unitPages, "smaps Rss", "pages mapped by a copy", "拷贝时填入页表的页")
	if within.entries > 0 && !s.subject.on.shares() {
		return s.notShown("The library sends copies from %s, where file calls and mappings may disagree.",
			"%s 上文件调用与映射可能不一致，因此本库发送的是拷贝。", s.fileSystem(s.subject.on))
	}
	s.told(within.entries == 0, "They never passed through this process: not one page was mapped for it.", "数据没有经过本进程：没有为此映射任何一页。")
	s.told(copied.entries == pagesIn(s.subject.walked, os.Getpagesize()), "The same bytes written by copy brought every page in.", "同样的数据用拷贝方式写出，每一页都要映射进来。")
	return nil
}

// A sending is what became of one transfer.
type sending struct {
	sent       int64
	sum        []byte // SHA-256 at the peer
	entries    int64  // pages of the mapping in the page table afterwards
	entriesErr error
}

// send maps the subject anew and sends it to a peer on the loopback device.
func (s *stage) send(write func(*mmap.Mapping, net.Conn) (int64, error)) (r sending, err error) {
	listener, err := s.listen()
	if err != nil {
		return r, err
	}
	defer listener.Close()
	type received struct {
		sum []byte
		err error
	}
	peer := make(chan received, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			peer <- received{nil, err}
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		h := sha256.New()
		_, err = io.Copy(h, conn)
		peer <- received{h.Sum(nil), err}
	}()
	conn, err := net.DialTimeout(listener.Addr().Network(), listener.Addr().String(), patience)
	if err != nil {
		listener.Close()
		<-peer
		return r, err
	}
	m, err := s.open(s.subject)
	if err == nil {
		conn.SetDeadline(time.Now().Add(patience))
		r.sent, err = write(m, conn)
		r.entries, r.entriesErr = entriesOf(m)
		m.Close()
	}
	conn.Close()
	got := <-peer
	r.sum = got.sum
	return r, errors.Join(err, got.err)
}

// listen opens a socket on the loopback device, or of the Unix kind where there
// is none.
func (s *stage) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		return l, nil
	}
	if s.result.Reason == "" {
		s.anotherWay("There is no loopback device here (%v): a Unix socket is used.", "这里没有回环设备（%v），改用 Unix 套接字。", err)
	}
	return net.Listen("unix", filepath.Join(s.dir, "socket"))
}

func showTruncation(s *stage) error {
	page := os.Getpagesize()
	path, content, err := s.scratch(3 * page)
	if err != nil {
		return err
	}
	m, err := mmap.Open(path)
	if err != nil {
		return err
	}
	defer m.Close()
	last := int64(2 * page)
	if _, err := load(m, last); err != nil {
		return err
	}
	bare, err := s.startBareReader(path)
	if err != nil {
		s.note("The contrast, another process without the guard, can't be started here (%v).", "无法启动作为对照的、没有保护的进程（%v）。", err)
	}
	if err := os.Truncate(path, int64(page)); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	_, gone := load(m, last)
	kept, keptErr := load(m, 0)

	var fault *mmap.FaultError
	s.told(errors.As(gone, &fault) && errors.Is(gone, mmap.ErrPastEnd) && fault.Off == last,
		"The file was cut to one page under the mapping. A load past its end is an error that names the page.",
		"映射期间，文件被截成一页。读取末尾之后的字节得到一个错误，其中写明是哪一页。")
	s.told(keptErr == nil && kept == content[0], "The rest of the mapping, and the process, go on.", "映射的其余部分和进程都照常工作。")
	s.figure("length", m.Len(), unitBytes, "", "the mapping", "映射")
	s.figure("file_size", info.Size(), unitBytes, "stat", "the file now", "文件现在")
	s.figure("offset", last, unitBytes, "", "the byte loaded", "读取的字节")
	s.figure("answer", gone, unitMessage, "", "the answer", "回答")
	if bare != nil {
		code, said := bare()
		s.told(code != 0 && strings.Contains(said, "fault"), "Another process, which did the same through a bare slice, was killed.", "另一个进程用裸切片做同样的事，被杀死了。")
		s.figure("bare_exit", code, unitNumber, "wait", "its exit code", "它的退出码")
		s.figure("bare_said", said, unitMessage, "stderr", "its last words", "它最后的话")
	}
	return nil
}

// startBareReader starts a process that has the file mapped when this returns,
// and loads its last byte once the file has become shorter. finish tells how
// that ended: its exit code and its first words.
func (s *stage) startBareReader(path string) (finish func() (code int, said string), err error) {
	ready, signal, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	h, err := s.startHelper(helperBare, []*os.File{signal}, path)
	signal.Close()
	if err != nil {
		return nil, err
	}
	ready.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		return nil, h.wait(nil)
	}
	return func() (int, string) {
		h.cmd.Wait()
		return h.cmd.ProcessState.ExitCode(), firstLine(h.err.String())
	}, nil
}

func showClose(s *stage) error {
	path, _, err := s.scratch(os.Getpagesize())
	if err != nil {
		return err
	}
	m, err := mmap.OpenFile(path, mmap.Options{Access: mmap.ReadWrite})
	if err != nil {
		return err
	}
	base, span := m.Span()
	before, procErr := areasOf(base, span)
	if err := m.Close(); err != nil {
		return err
	}
	after, err := areasOf(base, span)
	if procErr = cmp.Or(procErr, err); procErr != nil {
		s.anotherWay("The areas can't be read here (%v).", "这里读不到地址区域（%v）。", procErr)
	} else {
		s.told(len(before) == 1 && before[0].path == path && !showsFile(after, path), "Close gave the addresses back to the kernel.", "Close 把地址归还给了内核。")
		s.figure("area_before", firstArea(before), unitArea, "maps", "area before Close", "Close 之前的区域")
		s.figure("mapped_after", showsFile(after, path), unitTruth, "maps", "mapped after Close", "Close 之后仍被映射")
	}
	_, loadErr := load(m, 0)
	_, readErr := m.ReadAt(make([]byte, 1), 0)
	_, writeErr := m.WriteAt([]byte{1}, 0)
	answers := []struct {
		id  string
		err error
	}{
		{"View", loadErr}, {"ReadAt", readErr}, {"WriteAt", writeErr}, {"Sync", m.Sync()},
		{"Populate", m.Populate(context.Background(), 0, 1)}, {"Resize", m.Resize(1)}, {"Close", m.Close()},
	}
	closed := 0
	for _, a := range answers {
		if errors.Is(a.err, fs.ErrClosed) {
			closed++
		}
	}
	s.told(closed == len(answers), "Every call that came later is the error fs.ErrClosed, a second Close too; nothing is touched.",
		"此后的每个调用都返回 fs.ErrClosed，第二次 Close 也一样；不会触碰任何内存。")
	s.told(m.Bytes() == nil && m.Len() == 0, "Bytes is nil, and Len is 0.", "Bytes 为 nil，Len 为 0。")
	s.figure("calls", len(answers), unitTimes, "", "calls made", "调用次数")
	s.figure("closed", closed, unitTimes, "", "answered fs.ErrClosed", "返回 fs.ErrClosed")
	s.figure("answer", loadErr, unitMessage, "", "the answer of View", "View 的回答")
	return nil
}

func showsFile(areas []vmArea, path string) bool {
	for _, a := range areas {
		if a.path == path {
			return true
		}
	}
	return false
}
