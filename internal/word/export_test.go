package word

// WithoutWaitv has f run as on a kernel without futex_waitv(2).
func WithoutWaitv(f func()) {
	has := hasWaitv
	hasWaitv = func() bool { return false }
	defer func() { hasWaitv = has }()
	f()
}
