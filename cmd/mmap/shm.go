package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/memwright/mmap/shm"
	"github.com/spf13/cobra"
)

// shmSchema is the version of the documents of mmap shm; docs/JSON.md describes
// them.
const shmSchema = "mmap-shm/1"

// newShm is the group of commands that look after segments of shared memory.
func newShm(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shm",
		Short: "List, watch, clean up and measure memory shared by processes",
		Long: `List, watch, clean up and measure the segments that processes share (package
shm). The kernel's locks on a segment's file tell who takes part: process ids
and containers play no role. Other files in the directory are left alone.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newShmList(c), newShmStat(c), newShmTop(c), newShmCollect(c), newShmRemove(c), newShmBench(c))
	return cmd
}

// A segment is what the commands tell of one.
type segment struct {
	Name         string `json:"name"`
	Bytes        int64  `json:"bytes"`
	ABI          string `json:"abi"`
	Slots        int    `json:"slots"`
	Participants int    `json:"participants"`
	Readers      bool   `json:"readers"`
	Keep         bool   `json:"keep"`
	State        string `json:"state"` // "used", "kept", "abandoned"
}

func segmentOf(i shm.Info) segment {
	s := segment{i.Name, i.Size, fmt.Sprintf("%#x", i.ABI), i.Slots, i.Participants, i.Readers, i.Keep, "used"}
	if i.Participants == 0 && !i.Readers {
		s.State = "abandoned"
		if i.Keep {
			s.State = "kept"
		}
	}
	return s
}

// stateText is a segment's state for people.
func (s segment) stateText(c *console) string {
	switch s.State {
	case "kept":
		return c.say("kept, nobody uses it", "保留，无人使用")
	case "abandoned":
		return c.say("abandoned: mmap shm gc", "被遗弃：mmap shm gc")
	}
	if s.Readers {
		return c.say("used, read by others too", "使用中，另有只读者")
	}
	return c.say("used", "使用中")
}

// segmentsIn lists the segments of a directory, "" for the usual one.
func segmentsIn(dir string) ([]segment, error) {
	list, err := shm.List(dir)
	found := make([]segment, 0, len(list))
	for _, i := range list {
		found = append(found, segmentOf(i))
	}
	return found, err
}

// segmentTable is segments for people, a line each.
func segmentTable(c *console, list []segment) string {
	rows := [][]string{{c.say("segment", "共享段"), c.say("size", "大小"), c.say("processes", "进程"), c.say("state", "状态")}}
	for _, s := range list {
		rows = append(rows, []string{shown(s.Name), bytesText(s.Bytes), fmt.Sprintf("%d/%d", s.Participants, s.Slots), s.stateText(c)})
	}
	return columns(rows)
}

// columns aligns rows under each other, two spaces apart.
func columns(rows [][]string) string {
	widths := map[int]int{}
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], displayWidth(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += cell + strings.Repeat(" ", widths[i]-displayWidth(cell)+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

func newShmList(c *console) *cobra.Command {
	return &cobra.Command{
		Use:     "ls [DIRECTORY]",
		Aliases: []string{"list"},
		Short:   "List the segments, who uses them, and which are abandoned",
		Long: `List the segments in a directory, ` + shm.Directory + ` if none is given: their sizes, how
many processes take part of how many can, and which ones nobody uses any more.
Segments that you may not read are left out, and so are anonymous ones.`,
		Example: `  mmap shm ls
  mmap shm ls /run/myservice
  mmap shm ls --json | jq -r '.segments[] | select(.state == "abandoned").name'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := segmentsIn(firstOf(args))
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(map[string]any{"schema": shmSchema, "segments": list})
			}
			if len(list) == 0 {
				fmt.Fprintln(c.out, c.say("no segments", "没有共享段"))
				return nil
			}
			fmt.Fprint(c.out, segmentTable(c, list))
			return nil
		},
	}
}

// firstOf is the first of args, or "".
func firstOf(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// A participant is a process that takes part in a segment.
type participant struct {
	Slot  int       `json:"slot"`
	Owner string    `json:"owner"` // slot and epoch, as locks name it
	Pid   int       `json:"pid"`   // as that process knows itself
	Since time.Time `json:"since"`
	Alive bool      `json:"alive"`
}

// A placedObject is a named range of a segment.
type placedObject struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
}

// details is all that is told of one segment.
type details struct {
	Schema string `json:"schema"`
	segment
	TakePart []participant  `json:"take_part"`
	Objects  []placedObject `json:"objects"`
	Queues   []queue        `json:"queues"`
}

func detailsOf(s segment) *details {
	return &details{Schema: shmSchema, segment: s, TakePart: []participant{}, Objects: []placedObject{}, Queues: []queue{}}
}

// examine tells of one segment. What stands inside is read by attaching without
// the right to write, and only while somebody uses the segment: the last one to
// leave takes the name away, and that must not be who only looked. Queues are looked
// at twice, so long apart, for their rates.
func examine(ctx context.Context, name string, apart time.Duration) (*details, error) {
	info, err := shm.Stat(name)
	if err != nil {
		return nil, err
	}
	d := detailsOf(segmentOf(info))
	if d.State == "abandoned" {
		return d, nil
	}
	s, err := shm.Open(name, shm.Options{ReadOnly: true, ABI: info.ABI})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	list, err := s.Participants()
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		d.TakePart = append(d.TakePart, participant{p.Owner.Slot(), p.Owner.String(), p.Pid, p.Since, p.Alive})
	}
	objects, err := s.Objects()
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		d.Objects = append(d.Objects, placedObject{o.Name, o.Size})
	}
	d.Queues = queuesOf(s, d.Objects)
	if len(d.Queues) > 0 && apart > 0 {
		before, began := d.Queues, time.Now()
		select {
		case <-time.After(apart):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		d.Queues = queuesOf(s, d.Objects)
		rate(d.Queues, before, time.Since(began))
	}
	return d, nil
}

func newShmStat(c *console) *cobra.Command {
	var apart time.Duration
	cmd := &cobra.Command{
		Use:   "stat NAME",
		Short: "Tell of one segment: who takes part, and what stands in it",
		Long: `Tell of one segment: its size and limits, the processes that take part, dead
ones that nobody has replaced yet, the objects in its directory, and the queues
among them (package shm/ring): what has gone through each, how full it is, and
how much goes through it, by two looks --interval apart. NAME without a slash
lies in ` + shm.Directory + `; any other is a path.`,
		Example: `  mmap shm stat orders
  mmap shm stat orders --interval 5s
  mmap shm stat /run/myservice/orders --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := examine(cmd.Context(), args[0], apart)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(d)
			}
			d.print(c)
			return nil
		},
	}
	cmd.Flags().DurationVar(&apart, "interval", 100*time.Millisecond, "how long to watch queues, or 0")
	return cmd
}

func (d *details) print(c *console) {
	stays := c.say("with the last process that leaves", "最后一个进程离开时消失")
	if d.Keep {
		stays = c.say("no: it stays until mmap shm rm", "保留，直到 mmap shm rm")
	}
	fmt.Fprint(c.out, columns([][]string{
		{c.say("segment", "共享段"), shown(d.Name)},
		{c.say("size", "大小"), bytesText(d.Bytes)},
		{c.say("state", "状态"), d.stateText(c)},
		{c.say("processes", "进程"), fmt.Sprintf(c.say("%d of at most %d", "%d，上限 %d"), d.Participants, d.Slots)},
		{c.say("goes away", "何时消失"), stays},
		{"ABI", d.ABI},
	}))
	if len(d.TakePart) > 0 {
		rows := [][]string{{c.say("slot", "槽位"), "pid", c.say("since", "加入时间"), ""}}
		for _, p := range d.TakePart {
			note := ""
			if !p.Alive {
				note = c.say("dead", "已死")
			}
			rows = append(rows, []string{fmt.Sprint(p.Slot), fmt.Sprint(p.Pid), p.Since.Format(time.DateTime), note})
		}
		fmt.Fprint(c.out, "\n", columns(rows))
	}
	if len(d.Objects) > 0 {
		rows := [][]string{{c.say("object", "对象"), c.say("size", "大小")}}
		for _, o := range d.Objects {
			rows = append(rows, []string{fmt.Sprintf("%q", o.Name), bytesText(int64(o.Bytes))})
		}
		fmt.Fprint(c.out, "\n", columns(rows))
	}
	if len(d.Queues) > 0 {
		fmt.Fprint(c.out, "\n", totalTable(c, d.Queues))
		fmt.Fprint(c.out, "\n", rateTable(c, c.say("queue", "队列"), names(d.Queues), d.Queues))
	}
}

func newShmCollect(c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "gc [DIRECTORY]",
		Short: "Remove the segments whose processes were all killed",
		Long: `Remove the segments of a directory, ` + shm.Directory + ` if none is given, that nobody uses
any more because all who did were killed. Segments that are in use stay, those
that were made to stay, and those that you may not remove.`,
		Example: `  mmap shm gc
  mmap shm gc /run/myservice --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			removed, err := shm.Collect(firstOf(args))
			if c.json {
				if removed == nil {
					removed = []string{}
				}
				return errors.Join(c.printJSON(map[string]any{"schema": shmSchema, "removed": removed}), err)
			}
			for _, name := range removed {
				fmt.Fprintf(c.out, c.say("removed %s\n", "已删除 %s\n"), shown(name))
			}
			if len(removed) == 0 && err == nil {
				fmt.Fprintln(c.out, c.say("nothing to remove", "无可删除"))
			}
			return err
		},
	}
}

func newShmRemove(c *console) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rm NAME...",
		Short: "Take the names of segments away",
		Long: `Take the names of segments away. Processes that take part go on with the memory;
others no longer find it, and may make a new one of that name. A segment that is
in use is refused without --force, and so is a file that is no segment.`,
		Example: `  mmap shm rm orders
  mmap shm rm --force orders quotes`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			removed := []string{}
			var failed error
			for _, name := range args {
				err := removeSegment(name, force)
				if err == nil {
					removed = append(removed, name)
					if !c.json {
						fmt.Fprintf(c.out, c.say("removed %s\n", "已删除 %s\n"), shown(name))
					}
				}
				failed = errors.Join(failed, err)
			}
			if c.json {
				failed = errors.Join(c.printJSON(map[string]any{"schema": shmSchema, "removed": removed}), failed)
			}
			return failed
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also while processes use it")
	return cmd
}

func removeSegment(name string, force bool) error {
	info, err := shm.Stat(name)
	if err != nil {
		return err
	}
	if s := segmentOf(info); s.State == "used" && !force {
		users := fmt.Sprintf("%d of at most %d processes take part", s.Participants, s.Slots)
		if s.Participants == 0 {
			users = "somebody reads it"
		}
		return fmt.Errorf("%s: %s; --force takes its name away all the same: %w", shown(name), users, shm.ErrBusy)
	}
	return shm.Remove(name)
}
