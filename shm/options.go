package shm

import "io/fs"

// Options say how a segment is made, or attached to. The zero value is ready to
// use.
type Options struct {
	// Perm is who may attach: the file's permissions, less the umask for a named
	// segment. 0 is 0600. A peer under another user needs the right to write to
	// take part, and the right to read to read.
	Perm fs.FileMode

	// ABI tells the shared types apart, as by [ABI]. A segment that was made with
	// another value is refused with ErrABI.
	ABI uint64

	// Participants is how many processes can take part at once, when the segment
	// is made: 64 if it is 0, 1,023 at most. Those who only read do not count.
	Participants int

	// Objects is how many objects the segment's directory has room for, when it
	// is made: 64 if it is 0, 4,096 at most.
	Objects int

	// Keep leaves a named segment in place when the last one leaves it, when the
	// segment is made: for [Remove] to take away.
	Keep bool

	// ReadOnly attaches without the right to write: no lock, no queue, no slot in
	// the participants' table. Such a process may use Snapshots and lossy
	// broadcasts, and look.
	ReadOnly bool
}

const (
	defaultParticipants = 64
	defaultObjects      = 64
	maxObjects          = 4096
)

func (o *Options) defaults() error {
	if o.Perm == 0 {
		o.Perm = 0o600
	}
	if o.Participants == 0 {
		o.Participants = defaultParticipants
	}
	if o.Objects == 0 {
		o.Objects = defaultObjects
	}
	if o.Perm != o.Perm.Perm() {
		return invalid("permissions %v", o.Perm)
	}
	return nil
}
