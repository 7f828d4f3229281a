package vmem

// Mincore tells for each page of [addr, addr+n) whether it is in memory: 1 or 0
// in vec, which has a byte a page. addr must be a page border. It answers
// ENOMEM at a hole, with what lies before it told.
func (p *Process) Mincore(addr Addr, n uint64, vec []byte) error {
	p.m.call("mincore")
	if addr != addr.floor() {
		return EINVAL
	}
	if high := p.m.cfg.High; addr > high || n > uint64(high-addr) {
		return ENOMEM
	}
	for i, at := 0, addr; at < addr+Addr(n); i, at = i+1, at+PageSize {
		a := p.at(at)
		if a == nil {
			return ENOMEM
		}
		if i >= len(vec) {
			return EFAULT
		}
		vec[i] = 0
		if e := p.table.lookup(at); e != nil && e.frame != nil || a.file != nil && a.file.object.cached(a.page(at)) != nil {
			vec[i] = 1
		}
	}
	return nil
}
