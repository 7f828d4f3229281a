package vmem

// A recorder keeps the versions of an object's pages.
type recorder struct{}

// changed records what a page holds after it was stored to.
func (m *Machine) changed(f *frame) {}
