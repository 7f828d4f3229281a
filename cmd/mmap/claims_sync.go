package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/memwright/mmap"
	"github.com/memwright/mmap/raw"
)

// Claims about write-out, the page cache, and sending.

// cacheOf is what the page cache holds of m; it ends a claim where that is
// hidden.
func cacheOf(m *mmap.Mapping, off int64, n int) (mmap.Residency, error) {
	r, err := m.Residency(off, n)
	if err == nil && (r.Dirty == mmap.Unknown || r.Writeback == mmap.Unknown) {
		return r, cannot{"dirty pages can't be counted here (cachestat, Linux 6.5)", "这里数不出脏页（cachestat，Linux 6.5）"}
	}
	return r, err
}

// clean is a mapping of a new file on a disk with nothing to write.
func (e *exhibit) clean(n int) (*mmap.Mapping, error) {
	if err := e.needDisk(); err != nil {
		return nil, err
	}
	m, err := e.mapped(n)
	if err != nil {
		return nil, err
	}
	r, err := mmap.Residency{}, m.Sync()
	if err == nil {
		r, err = cacheOf(m, 0, n)
	}
	if err == nil && r.Dirty+r.Writeback != 0 {
		err = errors.New("a synced file is dirty")
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// attempts is how often dirty pages are looked for: somebody else may sync the
// whole system just then.
const attempts = 3

// stored makes a page dirty and looks.
func stored(m *mmap.Mapping) (r mmap.Residency, err error) {
	for range attempts {
		m.Bytes()[0]++
		if r, err = cacheOf(m, 0, m.Len()); err != nil || r.Dirty > 0 {
			break
		}
	}
	return r, err
}

var proofWriteBack = &proof{claimTrue,
	text{"A store, like a write(2), makes pages of the cache dirty; the kernel writes them later by itself.", "存储和 write(2) 一样，使缓存页变脏；内核之后自行写出。"},
	text{"SyncStart starts it now; Sync waits. Close does not sync, and says so.", "SyncStart 立即启动；Sync 会等待。Close 不同步，文档写明了。"},
	[]string{"raw.TestUnsyncedStoresStayDirtyInTheCacheAfterMunmap", "raw.TestMunmapKeepsSharedStoresInThePageCache"},
	func(e *exhibit) error {
		m, err := e.clean(16 * pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		r, err := stored(m)
		if err != nil {
			return err
		}
		e.saw(r.Dirty > 0, "one store: %v dirty pages, not written yet", r.Dirty)
		if err := m.Sync(); err != nil {
			return err
		}
		f, err := os.OpenFile(m.Name(), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		for range attempts {
			if _, err := f.WriteAt([]byte("w"), 0); err != nil {
				return err
			}
			if r, err = cacheOf(m, 0, m.Len()); err != nil || r.Dirty > 0 {
				break
			}
		}
		e.saw(r.Dirty > 0, "one write(2): %v dirty pages, not written yet", r.Dirty)
		return err
	}}

var proofMsync = &proof{claimTrue,
	text{"MS_SYNC writes the dirty pages of the range and waits for the device.", "MS_SYNC 写出该范围的脏页并等待设备。"},
	text{"Sync, SyncRange with SyncWait, and WriteView. A failure is remembered: a second msync would answer success.", "Sync、SyncRange 配合 SyncWait，以及 WriteView。失败会被记住：第二次 msync 会谎报成功。"},
	[]string{"raw.TestMsyncWritesExactlyWhatItSays", "mmap.TestWriteViewSyncs", "mmap.TestSyncWritesTheRange", "mmap.TestSyncFailureIsRemembered"},
	func(e *exhibit) error {
		m, err := e.clean(16 * pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		before, err := stored(m)
		if err != nil {
			return err
		}
		addr, n := m.Span()
		if err := raw.Msync(addr, n, raw.MS_SYNC); err != nil {
			return err
		}
		after, err := cacheOf(m, 0, m.Len())
		if err != nil {
			return err
		}
		e.saw(before.Dirty > 0 && after.Dirty+after.Writeback == 0, "dirty pages: %v before msync(MS_SYNC), %v after, %v being written", before.Dirty, after.Dirty, after.Writeback)
		if err := m.WriteView(0, 1, func(p []byte) error { p[0] = 'y'; return nil }); err != nil {
			return err
		}
		r, err := cacheOf(m, 0, m.Len())
		e.lib(r.Dirty+r.Writeback == 0, "WriteView: %v dirty pages after it", r.Dirty)
		return err
	}}

var proofAsync = &proof{claimFalse,
	text{"MS_ASYNC does nothing, since 2.6.19: the pages were marked dirty by the stores.", "自 2.6.19 起 MS_ASYNC 什么也不做：页在写入时已标脏。"},
	text{"SyncStart starts real write-out (sync_file_range).", "SyncStart 启动真正的写出（sync_file_range）。"},
	[]string{"raw.TestMsyncWritesExactlyWhatItSays", "raw.TestWriteOutIsWhatMsAsyncIsNot", "mmap.TestSyncStartStartsWriting"},
	func(e *exhibit) error {
		m, err := e.clean(16 * pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		addr, n := m.Span()
		var before, after mmap.Residency
		for range attempts {
			if before, err = stored(m); err != nil {
				return err
			}
			if err := raw.Msync(addr, n, raw.MS_ASYNC); err != nil {
				return err
			}
			if after, err = cacheOf(m, 0, m.Len()); err != nil {
				return err
			}
			if after.Dirty == before.Dirty && after.Writeback == 0 {
				break
			}
		}
		e.saw(after.Dirty < before.Dirty || after.Writeback > 0, "dirty pages: %v before msync(MS_ASYNC), %v after, %v being written", before.Dirty, after.Dirty, after.Writeback)
		if err := m.SyncRange(0, m.Len(), mmap.SyncStart); err != nil {
			return err
		}
		r, err := cacheOf(m, 0, m.Len())
		e.lib(r.Dirty == 0, "SyncStart: %v dirty, %v being written", r.Dirty, r.Writeback)
		return err
	}}

var proofInvalidate = &proof{claimFalse,
	text{"It drops and reloads nothing: a private copy stays, and so does the cache. On Linux it only answers EBUSY if a page of the range is locked.", "它既不丢弃也不重新加载：私有副本还在，缓存也在。Linux 上它只在范围内有锁定的页时返回 EBUSY。"},
	text{"SyncInvalidate does what is expected: the range is written, dropped from the cache, and verified; or the error says why it stayed.", "SyncInvalidate 做到人们所期望的：写出、清出缓存并核实；否则错误会说明为何留下。"},
	[]string{"raw.TestMsInvalidateNeitherDropsNorRefreshesAnything", "raw.TestMsyncAnswers", "mmap.TestSyncInvalidateDropsTheCache", "mmap.TestSyncInvalidateSaysWhatStayed"},
	func(e *exhibit) error {
		m, err := e.clean(16 * pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		private, err := mmap.OpenFile(m.Name(), mmap.Options{Access: mmap.CopyOnWrite})
		if err != nil {
			return err
		}
		private.Bytes()[0] = 'P'
		before, err := cacheOf(m, 0, m.Len())
		if err != nil {
			return err
		}
		addr, n := m.Span()
		if err := raw.Msync(addr, n, raw.MS_SYNC|raw.MS_INVALIDATE); err != nil {
			return err
		}
		after, err := cacheOf(m, 0, m.Len())
		if err != nil {
			return err
		}
		e.saw(private.Bytes()[0] != 'P', "another mapping's private copy afterwards: %q", private.Bytes()[0])
		e.saw(after.Resident < before.Resident, "cached pages: %v before, %v after", before.Resident, after.Resident)
		if err := private.Close(); err != nil {
			return err
		}
		err = m.SyncRange(0, m.Len(), mmap.SyncInvalidate)
		after, cacheErr := cacheOf(m, 0, m.Len())
		e.lib(err == nil && after.Resident == 0, "SyncInvalidate: %s, %v pages cached", answer(err), after.Resident)
		return cacheErr
	}}

var proofEvict = &proof{claimConditional,
	text{"Pages that are dirty, locked, or mapped by anyone stay.", "脏的、被锁定的、被任何人映射的页都会留下。"},
	text{"SyncInvalidate syncs first, drops its own page-table entries, and answers ErrStillCached with the count that stayed.", "SyncInvalidate 先同步，去掉自己的页表项，留下的会以 ErrStillCached 报告数量。"},
	[]string{"raw.TestFadviseDontneedSparesDirtyMappedAndLockedPages", "mmap.TestSyncInvalidateSaysWhatStayed"},
	func(e *exhibit) error {
		m, err := e.clean(16 * pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		other, err := mmap.Open(m.Name())
		if err != nil {
			return err
		}
		sunk = other.Bytes()[0]
		err = m.SyncRange(0, m.Len(), mmap.SyncInvalidate)
		stayed, cacheErr := cacheOf(m, 0, m.Len())
		e.saw(stayed.Resident == 0, "mapped and touched by another mapping: %v of 16 pages stay", stayed.Resident)
		e.lib(errors.Is(err, mmap.ErrStillCached), "SyncInvalidate: %v", err)
		if err := errors.Join(cacheErr, other.Close()); err != nil {
			return err
		}
		if err := m.SyncRange(0, m.Len(), mmap.SyncInvalidate); err != nil {
			return err
		}
		stayed, err = cacheOf(m, 0, m.Len())
		e.saw(stayed.Resident == 0, "mapped by nobody else: %v of 16 pages stay", stayed.Resident)
		return err
	}}

var proofSyncWhole = &proof{claimFalse,
	text{"Only the range's pages are written, with the metadata needed to read them back. Btrfs may write more.", "只写出该范围的页，以及读回它们所需的元数据。Btrfs 可能写得更多。"},
	text{"SyncRange is that; Sync is everything, and for a file that Create made its directory entry too.", "SyncRange 就是如此；Sync 是全部，对 Create 建立的文件还包括目录项。"},
	[]string{"raw.TestMsyncWritesExactlyWhatItSays", "mmap.TestSyncWritesTheRange", "mmap.TestCreateSyncsTheDirectoryEntry"},
	func(e *exhibit) error {
		const far = 8 << 20 // further than the largest folio
		m, err := e.clean(far + pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		addr, _ := m.Span()
		var r mmap.Residency
		for range attempts {
			m.Bytes()[0], m.Bytes()[far] = 'x', 'x'
			if err := raw.Msync(addr, pageBytes, raw.MS_SYNC); err != nil {
				return err
			}
			if r, err = cacheOf(m, far, pageBytes); err != nil || r.Dirty > 0 {
				break
			}
		}
		if on, err := fileSystemOf(e.dir); err == nil && on.kind == "btrfs" && r.Dirty == 0 {
			return cannot{"this is Btrfs, which wrote the whole new file", "这里是 Btrfs，它写出了整个新文件"}
		}
		e.saw(r.Dirty == 0, "msync of the first page: the page stored to at %d has %v dirty", far, r.Dirty)
		return err
	}}

var proofSyncFlags = &proof{claimFalse,
	text{"0 is accepted and does nothing; both together are EINVAL.", "0 被接受且什么也不做；两者一起则为 EINVAL。"},
	text{"SyncMode is one of three values.", "SyncMode 是三个值之一。"},
	[]string{"raw.TestMsyncAnswers"},
	func(e *exhibit) error {
		m, err := e.mapped(pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		addr, n := m.Span()
		err = raw.Msync(addr, n, 0)
		e.saw(err != nil, "msync with flags 0: %s", answer(err))
		err = m.SyncRange(0, 1, mmap.SyncMode(99))
		e.lib(err != nil, "SyncRange with another mode: %v", err)
		return nil
	}}

var proofMtime = &proof{claimFalse,
	text{"It changes at the first store to a clean page, and not at msync.", "在首次写入干净页时改变，而不是在 msync 时。"},
	text{"Sync makes the file durable and changes no time.", "Sync 使文件持久，不改变时间。"},
	[]string{"raw.TestFirstStoreMarksTheFileModifiedAndTheSecondDoesNot"},
	func(e *exhibit) error {
		m, err := e.clean(pageBytes)
		if err != nil {
			return err
		}
		defer m.Close()
		// The clock of file times ticks every few milliseconds: go back, and
		// every change shows.
		then := time.Now().Add(-time.Hour)
		modified := func() (bool, error) {
			info, err := os.Stat(m.Name())
			if err != nil {
				return false, err
			}
			return info.ModTime().After(then.Add(time.Minute)), os.Chtimes(m.Name(), then, then)
		}
		if _, err := modified(); err != nil {
			return err
		}
		m.Bytes()[0] = 'x'
		atStore, err := modified()
		if err != nil {
			return err
		}
		addr, n := m.Span()
		if err := raw.Msync(addr, n, raw.MS_SYNC); err != nil {
			return err
		}
		atSync, err := modified()
		e.saw(atSync || !atStore, "st_mtime changed at the store: %v, at msync: %v", atStore, atSync)
		return err
	}}

var proofZeroCopy = &proof{claimConditional,
	text{"sendfile moves pages of the file to a socket and needs no mapping. write(2) from a mapping copies them.", "sendfile 把文件页移入套接字，不需要映射。从映射 write(2) 则会复制。"},
	text{"WriteTo uses sendfile where nobody may change the bytes; SendTo also from a writable mapping, where a later store can reach the peer.", "在没人能改动字节的地方 WriteTo 使用 sendfile；SendTo 也可用于可写映射，此时之后的写入可能到达对端。"},
	[]string{"mmap.TestSendsWhatMemoryShows", "mmap.TestWriteToFromAWritableMappingCopies", "main.TestClaimsHoldHere"},
	func(e *exhibit) error {
		if on, err := fileSystemOf(e.dir); err != nil || !on.shares() {
			return cannot{"the library copies from this file system", "本库在这个文件系统上使用拷贝"}
		}
		for _, row := range []struct {
			how  string
			send func(m *mmap.Mapping, c net.Conn) (int64, error)
		}{
			{"sendfile (SendTo)", func(m *mmap.Mapping, c net.Conn) (int64, error) { return m.SendTo(c, 0, m.Len()) }},
			{"write(2) of mapped bytes", func(m *mmap.Mapping, c net.Conn) (int64, error) {
				n, err := c.Write(m.Bytes())
				return int64(n), err
			}},
		} {
			changed, err := sendThenStore(e, row.send)
			if err != nil {
				return err
			}
			e.saw(changed, "%s, then a store: the peer reads the new byte = %v", row.how, changed)
		}
		return nil
	}}

// sendThenStore sends a page to a peer that does not read yet, stores to the
// page, and tells whether the peer then reads the store. It does where no copy
// was made.
func sendThenStore(e *exhibit, send func(*mmap.Mapping, net.Conn) (int64, error)) (changed bool, err error) {
	m, err := e.mapped(pageBytes)
	if err != nil {
		return false, err
	}
	defer m.Close()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return false, cannot{"no loopback network: " + err.Error(), "没有回环网络：" + err.Error()}
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return false, err
	}
	defer conn.Close()
	peer, err := listener.Accept()
	if err != nil {
		return false, err
	}
	defer peer.Close()
	want := bytes.Clone(m.Bytes())
	if n, err := send(m, conn); err != nil || n != int64(m.Len()) {
		return false, errors.Join(err, errors.New("not all was sent"))
	}
	m.Bytes()[10] = 0xff
	got := make([]byte, m.Len())
	if _, err := io.ReadFull(peer, got); err != nil {
		return false, err
	}
	changed = got[10] == 0xff
	got[10] = want[10]
	e.lib(bytes.Equal(got, want), "%d bytes arrived as they were", len(got))
	return changed, nil
}
