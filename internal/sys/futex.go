package sys

// A FutexWord is a word to sleep on while it has a value.
type FutexWord struct {
	Addr  *uint32
	Value uint32
}
