package sys

// Credentials is what the kernel noted of the process at the other end of a Unix
// socket when the two were connected. Pid is a number of the caller's own process
// namespace, 0 where it has none there.
type Credentials struct {
	Pid, Uid, Gid int
}
