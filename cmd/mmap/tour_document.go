package main

import (
	"os"
	"runtime"
)

// tourSchema is the version of the document below. A field may be added
// without a new version; docs/JSON.md describes each.
const tourSchema = "mmap-tour/1"

// A tourDocument is what --json prints.
type tourDocument struct {
	Schema   string          `json:"schema"`
	Language string          `json:"language"`
	System   systemInfo      `json:"system"`
	File     *objectInfo     `json:"file"`
	Sample   objectInfo      `json:"sample"`
	Chapters []chapterResult `json:"chapters"`
	Failed   []string        `json:"failed"`
}

type systemInfo struct {
	Kernel    string `json:"kernel"`
	Platform  string `json:"platform"`
	PageBytes int    `json:"page_bytes"`
	User      int    `json:"user"`
	Frames    bool   `json:"frames_readable"`
}

type objectInfo struct {
	Path       string `json:"path"`
	Bytes      int64  `json:"bytes"`
	Walked     int    `json:"walked_bytes"`
	FileSystem string `json:"file_system"`
	Source     string `json:"source"`
	Storage    string `json:"storage"`
}

type chapterResult struct {
	ID         string      `json:"id"`
	Number     int         `json:"number"`
	Title      string      `json:"title"`
	Object     string      `json:"object"` // "file", "sample", "scratch", "memory"
	Status     status      `json:"status"`
	Reason     string      `json:"reason,omitempty"`
	Statements []statement `json:"statements"`
	Evidence   []figure    `json:"evidence"`

	Engine *engineResult `json:"engine"` // nil: it has no part in the chapter
}

// A status is how a chapter ended.
type status string

const (
	statusShown      status = "shown"
	statusAnotherWay status = "shown-another-way"
	statusNotShown   status = "not-shown"
	statusFailed     status = "failed"
)

func (s status) text() text {
	switch s {
	case statusShown:
		return text{"shown", "已展示"}
	case statusAnotherWay:
		return text{"shown another way", "换一种方式展示"}
	case statusNotShown:
		return text{"not shown", "未能展示"}
	}
	return text{"FAILED", "不符"}
}

// A statement is a sentence. Holds is nil for a remark, which is not judged.
type statement struct {
	Text  string `json:"text"`
	Holds *bool  `json:"holds,omitempty"`
}

// A figure is one piece of evidence.
type figure struct {
	ID     string `json:"id"`
	Label  string `json:"label"`
	Value  any    `json:"value"` // nil when the kernel hides it
	Unit   unit   `json:"unit"`
	Source string `json:"source,omitempty"`
}

// A unit says what a figure's value is.
type unit string

const (
	unitBytes   unit = "bytes"
	unitPages   unit = "pages"
	unitFaults  unit = "faults"
	unitTimes   unit = "times"
	unitArea    unit = "area"    // "start-end perms", as /proc/self/maps prints it
	unitAddress unit = "address" // "0x..."
	unitFrame   unit = "frame"   // a frame's number; its only use is to be compared
	unitProcess unit = "process" // an id
	unitMessage unit = "message" // what an error said
	unitTruth   unit = "boolean"
	unitNumber  unit = "number" // a value stored or loaded
	unitRanges  unit = "ranges" // pairs of offset and length in bytes: what is in memory
)

func (t *tour) system() systemInfo {
	return systemInfo{
		Kernel: kernelRelease(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		PageBytes: os.Getpagesize(), User: os.Geteuid(), Frames: framesReadable(),
	}
}

// framesReadable reports whether the kernel tells this process which frame a
// page is in, by looking at a page that is in memory for certain.
func framesReadable() bool {
	m, err := anonymousPage()
	if err != nil {
		return false
	}
	defer m.Close()
	e, err := pageEntryOf(m.Addr())
	return err == nil && e.present() && e.frame() != 0
}

// document is the document before the first chapter. given is FILE, if any.
func (t *tour) document(given object) tourDocument {
	d := tourDocument{
		Schema: tourSchema, Language: t.lang, System: t.system(), Sample: t.sample.info(),
		Chapters: []chapterResult{}, Failed: []string{}, // empty lists, and not null
	}
	if given.path != "" {
		info := given.info()
		d.File = &info
	}
	return d
}

func (d *tourDocument) add(r chapterResult) {
	d.Chapters = append(d.Chapters, r)
	if r.Status == statusFailed {
		d.Failed = append(d.Failed, r.ID)
	}
}

func (o object) info() objectInfo {
	names := map[storage]string{inMemory: "memory", onDisk: "disk", elsewhere: "other"}
	return objectInfo{o.path, o.length, o.walked, o.on.kind, o.on.source, names[o.on.storage()]}
}
