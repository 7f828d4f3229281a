package main

import (
	"context"
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
		Short: "Watch the segments: who comes and leaves, what goes through",
		Long: `Watch the segments of a directory: the list that mmap shm ls prints, again and
again, with the processes that take part in each, and how full and how busy the
queues in them are (package shm/ring), since the round before. It ends at
Ctrl-C, or after -n rounds. Where the output is no terminal, or with --json,
each round follows the one before (with --json, one line each).`,
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
			var last watched
			for round := 1; ; round++ {
				now, err := watch(cmd.Context(), firstOf(args), last)
				if err == nil {
					err = now.print(c)
				}
				if err != nil {
					return err
				}
				last = now
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

// watched is what one round has seen.
type watched struct {
	at       time.Time
	segments []details
}

// watch looks once at every segment of a directory.
func watch(ctx context.Context, dir string, last watched) (watched, error) {
	w := watched{time.Now(), []details{}}
	list, err := segmentsIn(dir)
	if err != nil {
		return w, err
	}
	before := map[string][]queue{}
	for _, d := range last.segments {
		before[d.Name] = d.Queues
	}
	for _, s := range list {
		// One that has gone since it was listed is told of as it was.
		d, err := examine(ctx, s.Name, 0)
		if err != nil {
			d = detailsOf(s)
		}
		rate(d.Queues, before[d.Name], w.at.Sub(last.at))
		w.segments = append(w.segments, *d)
	}
	return w, nil
}

func (w watched) print(c *console) error {
	if c.json {
		return c.printLine(map[string]any{"schema": shmSchema, "time": w.at, "segments": w.segments})
	}
	var b strings.Builder
	if isTerminal(c.out) {
		b.WriteString("\x1b[H\x1b[J") // home, and clear
	}
	fmt.Fprintf(&b, "%s  %s\n", w.at.Format(time.TimeOnly), c.count(len(w.segments)))
	if len(w.segments) > 0 {
		b.WriteString(topTable(c, w.segments))
	}
	var queues []queue
	var names []string
	for _, d := range w.segments {
		for _, q := range d.Queues {
			queues, names = append(queues, q), append(names, shown(d.Name)+" "+q.name())
		}
	}
	if len(queues) > 0 {
		b.WriteString("\n" + rateTable(c, c.say("queue", "队列"), names, queues))
	}
	_, err := fmt.Fprintln(c.out, b.String())
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
		rows = append(rows, []string{shown(d.Name), bytesText(d.Bytes), fmt.Sprintf("%d/%d", d.Participants, d.Slots), d.stateText(c), strings.Join(pids, ", ")})
	}
	return columns(rows)
}
