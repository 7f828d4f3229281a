package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// topOptions are the flags of mmap shm top.
type topOptions struct {
	interval time.Duration
	rounds   int
}

func newShmTop(c *console) *cobra.Command {
	var o topOptions
	cmd := &cobra.Command{
		Use:   "top [DIRECTORY]",
		Short: "Watch the segments: who comes, who leaves, who dies",
		Long: `Watch the segments of a directory: the list that mmap shm ls prints, again and
again, with the processes that take part in each. It ends at Ctrl-C, or after -n
rounds. Where the output is no terminal, or with --json, each round follows the
one before (with --json, one line each).`,
		Example: `  mmap shm top
  mmap shm top --interval 5s
  mmap shm top -n 1 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.interval < 10*time.Millisecond || o.rounds < 0 {
				return fmt.Errorf("--interval is 10ms or more, -n is not negative")
			}
			tick := time.NewTicker(o.interval)
			defer tick.Stop()
			for round := 1; ; round++ {
				if err := c.topRound(firstOf(args)); err != nil {
					return err
				}
				if round == o.rounds {
					return nil
				}
				select {
				case <-tick.C:
				case <-cmd.Context().Done():
					return nil
				}
			}
		},
	}
	cmd.Flags().DurationVar(&o.interval, "interval", time.Second, "how long to wait between two rounds")
	cmd.Flags().IntVarP(&o.rounds, "rounds", "n", 0, "how many rounds; 0 is until Ctrl-C")
	return cmd
}

// topRound looks once, and prints what there is.
func (c *console) topRound(dir string) error {
	now := time.Now()
	list, err := segmentsIn(dir)
	if err != nil {
		return err
	}
	all := []details{}
	for _, s := range list {
		// One that has gone since it was listed is told of as it was.
		d, err := examine(s.Name)
		if err != nil {
			d = &details{Schema: shmSchema, segment: s, TakePart: []participant{}, Objects: []placedObject{}}
		}
		all = append(all, *d)
	}
	if c.json {
		return c.printLine(map[string]any{"schema": shmSchema, "time": now, "segments": all})
	}
	var b strings.Builder
	if isTerminal(c.out) {
		b.WriteString("\x1b[H\x1b[J") // home, and clear
	}
	fmt.Fprintf(&b, "%s  %s\n", now.Format(time.TimeOnly), c.count(len(all)))
	if len(list) > 0 {
		b.WriteString(topTable(c, all))
	}
	_, err = fmt.Fprintln(c.out, b.String())
	return err
}

func (c *console) count(n int) string {
	if n == 1 {
		return c.say("1 segment", "1 个共享段")
	}
	return fmt.Sprintf(c.say("%d segments", "%d 个共享段"), n)
}

// topTable is the list with the processes of each segment.
func topTable(c *console, all []details) string {
	rows := [][]string{{c.say("segment", "共享段"), c.say("size", "大小"), c.say("processes", "进程"), c.say("state", "状态"), "pid"}}
	for _, d := range all {
		var pids []string
		for _, p := range d.TakePart {
			pid := fmt.Sprint(p.Pid)
			if !p.Alive {
				pid += c.say(" dead", " 已死")
			}
			pids = append(pids, pid)
		}
		rows = append(rows, []string{d.Name, bytesText(d.Bytes), fmt.Sprintf("%d/%d", d.Participants, d.Slots), d.stateText(c), strings.Join(pids, ", ")})
	}
	return columns(rows)
}
