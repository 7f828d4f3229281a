package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestALineTakesTimeAndLeavesTheProcessorsAsTheyWere(t *testing.T) {
	var before, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	if ns := lineThereAndBack(); (ns > 0) != (before.Count() > 1) {
		t.Errorf("%v ns between %d processors", ns, before.Count())
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("this thread may run on %d processors afterwards, not %d: %v", after.Count(), before.Count(), err)
	}
	var out strings.Builder
	placed{&table{title: "t", rows: []row{{ns: []float64{1}}}}, []float64{100, 390}}.print(&out)
	if !strings.HasSuffix(out.String(), "in 100 ns before, and in 390 ns afterwards.\n") {
		t.Errorf("the report says %q", out.String())
	}
}
