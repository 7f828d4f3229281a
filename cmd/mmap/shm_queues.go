package main

import (
	"fmt"
	"time"

	"github.com/memwright/mmap/shm"
	"github.com/memwright/mmap/shm/ring"
)

// A queue is a ring that stands in a segment: its shape, how full it is, and what
// has gone through it since it was made.
type queue struct {
	Object    string `json:"object"`   // "" for one at the beginning of a segment without objects
	Delivery  string `json:"delivery"` // "to_one", "to_all", "overwrite"
	Slots     int    `json:"slots"`
	SlotBytes int    `json:"slot_bytes"`
	Used      int    `json:"used"` // slots
	Seats     int    `json:"seats"`
	Seated    int    `json:"seated"`

	Sent          uint64 `json:"sent"` // records
	SentBytes     uint64 `json:"sent_bytes"`
	Received      uint64 `json:"received"`
	ReceivedBytes uint64 `json:"received_bytes"`
	Redelivered   uint64 `json:"redelivered"`
	Overwritten   uint64 `json:"overwritten"`
	WaitedFull    uint64 `json:"waited_full"`
	WaitedEmpty   uint64 `json:"waited_empty"`
	Repairs       uint64 `json:"repairs"`

	Rates *queueRates `json:"rates"` // null where it was seen once only
}

// queueRates is what went through a queue between two looks, per second.
type queueRates struct {
	Seconds       float64 `json:"seconds"` // between the looks
	Sent          float64 `json:"sent"`    // records
	SentBytes     float64 `json:"sent_bytes"`
	Received      float64 `json:"received"`
	ReceivedBytes float64 `json:"received_bytes"`
	Overwritten   float64 `json:"overwritten"`
}

var deliveries = map[ring.Delivery]string{ring.ToOne: "to_one", ring.ToAll: "to_all", ring.Overwrite: "overwrite"}

// queuesOf finds the queues of a segment that was opened to read: the objects that
// are one, or what stands at the beginning of the data where there are no objects.
func queuesOf(s *shm.Segment, objects []placedObject) []queue {
	list := []queue{}
	add := func(name string, off int64) {
		r, err := ring.Observe(s.Space(), off)
		if err != nil {
			return // it is something else
		}
		st, err := r.Stats()
		if err != nil {
			return
		}
		o := r.Options()
		list = append(list, queue{name, deliveries[o.Delivery], o.Slots, o.SlotBytes, st.Used, o.Seats, st.Seated,
			st.Sent, st.SentBytes, st.Received, st.ReceivedBytes, st.Redelivered, st.Overwritten, st.WaitedFull, st.WaitedEmpty, st.Repairs, nil})
	}
	if len(objects) == 0 {
		add("", s.DataStart())
	}
	for _, o := range objects {
		if off, _, err := s.Find(o.Name); err == nil {
			add(o.Name, off)
		}
	}
	return list
}

// rate gives the queues their rates since they were seen before.
func rate(now, before []queue, apart time.Duration) {
	seen := map[string]queue{}
	for _, q := range before {
		seen[q.Object] = q
	}
	for i := range now {
		q := &now[i]
		b, ok := seen[q.Object]
		// What goes back is another one of that name.
		if !ok || apart <= 0 || q.Sent < b.Sent || q.SentBytes < b.SentBytes || q.Received < b.Received ||
			q.ReceivedBytes < b.ReceivedBytes || q.Overwritten < b.Overwritten {
			continue
		}
		per := func(now, before uint64) float64 { return float64(now-before) / apart.Seconds() }
		q.Rates = &queueRates{apart.Seconds(), per(q.Sent, b.Sent), per(q.SentBytes, b.SentBytes),
			per(q.Received, b.Received), per(q.ReceivedBytes, b.ReceivedBytes), per(q.Overwritten, b.Overwritten)}
	}
}

// rateTable is how busy and how full queues are, a line each. title is the first
// column's.
func rateTable(c *console, title string, names []string, list []queue) string {
	rows := [][]string{{title, c.say("full", "已用"), c.say("sent/s", "发送/秒"), "MB/s", c.say("received/s", "接收/秒"), "MB/s", c.say("lost/s", "丢失/秒")}}
	for i, q := range list {
		row := []string{names[i], fmt.Sprintf("%d/%d %.0f%%", q.Used, q.Slots, 100*float64(q.Used)/float64(q.Slots))}
		if r := q.Rates; r != nil {
			row = append(row, fmt.Sprintf("%.0f", r.Sent), threeDigits(r.SentBytes/1e6), fmt.Sprintf("%.0f", r.Received), threeDigits(r.ReceivedBytes/1e6), fmt.Sprintf("%.0f", r.Overwritten))
		} else {
			row = append(row, "-", "-", "-", "-", "-")
		}
		rows = append(rows, row)
	}
	return columns(rows)
}

// totalTable is what has gone through queues since they were made.
func totalTable(c *console, list []queue) string {
	rows := [][]string{{c.say("queue", "队列"), c.say("to", "投递"), c.say("sent", "已发送"), c.say("received", "已接收"), c.say("lost", "丢失"),
		c.say("again", "重投"), c.say("full waits", "满等待"), c.say("empty waits", "空等待"), c.say("repairs", "修复")}}
	for _, q := range list {
		to := map[string]string{"to_one": c.say("one", "一个"), "to_all": c.say("all", "全部"), "overwrite": c.say("copies", "复制")}[q.Delivery]
		row := []string{q.name(), to}
		for _, n := range []uint64{q.Sent, q.Received, q.Overwritten, q.Redelivered, q.WaitedFull, q.WaitedEmpty, q.Repairs} {
			row = append(row, fmt.Sprint(n))
		}
		rows = append(rows, row)
	}
	return columns(rows)
}

func (q *queue) name() string {
	if q.Object == "" {
		return "-"
	}
	return fmt.Sprintf("%q", q.Object)
}

func names(list []queue) (all []string) {
	for i := range list {
		all = append(all, list[i].name())
	}
	return all
}
