package sys

// Space is what statfs(2) tells of a file system, in bytes.
type Space struct {
	Total, Free uint64 // Free is what an ordinary user may still take
	Unused      uint64 // what is not taken: root may have more of it than Free
}
