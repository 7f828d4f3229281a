package sys

import (
	"os"
	"path/filepath"
	"testing"
)

// TestQuotas: the least quota counts, of a group or of one above it, by the files of
// either version; what is not there, or says that there is none, is none.
func TestQuotas(t *testing.T) {
	tests := []struct {
		name   string
		groups string
		files  map[string]string
		want   float64
	}{
		{"no group", "", nil, noQuota},
		{"version 2, half a CPU", "0::/a", map[string]string{"a/cpu.max": "50000 100000\n"}, 0.5},
		{"version 2, none", "0::/a", map[string]string{"a/cpu.max": "max 100000\n"}, noQuota},
		{"version 2, less above", "0::/a/b/c\n", map[string]string{"a/b/c/cpu.max": "max 100000", "a/b/cpu.max": "300000 100000", "a/cpu.max": "150000 100000"}, 1.5},
		{"version 2, in a container whose root has the quota", "0::/../../x", map[string]string{"cpu.max": "200000 100000"}, 2},
		{"version 1", "4:cpu,cpuacct:/a\n0::/\n", map[string]string{"cpu,cpuacct/a/cpu.cfs_quota_us": "50000", "cpu,cpuacct/a/cpu.cfs_period_us": "25000"}, 2},
		{"version 1, none", "1:cpu:/a", map[string]string{"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, noQuota},
		{"version 1, another controller", "2:cpuset:/a", map[string]string{"cpuset/a/cpu.cfs_quota_us": "1", "cpuset/a/cpu.cfs_period_us": "2"}, noQuota},
		{"a period of zero", "0::/a", map[string]string{"a/cpu.max": "50000 0"}, noQuota},
		{"no number", "0::/a", map[string]string{"a/cpu.max": "many 100000"}, noQuota},
		{"no line", "0:/a", map[string]string{"a/cpu.max": "50000 100000"}, noQuota},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		for name, text := range tt.files {
			name = filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := quotas(tt.groups, dir); got != tt.want {
			t.Errorf("%s: %v CPUs, want %v", tt.name, got, tt.want)
		}
	}
}
