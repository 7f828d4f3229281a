//go:build !linux

package sys

// Rights is missing here.
func Rights(fds ...int) []byte { return nil }

// RightsSpace is 0: Rights is missing here.
func RightsSpace(n int) int { return 0 }

// Received is missing here.
func Received(control []byte) ([]int, error) { return nil, Unsupported("SCM_RIGHTS") }

// SendNow is missing here.
func SendNow(fd int, p []byte) error { return Unsupported("MSG_DONTWAIT") }

// ReceiveNow is missing here.
func ReceiveNow(fd int, p []byte) (int, error) { return 0, Unsupported("MSG_DONTWAIT") }

// WakeMonitor does nothing here: nothing sleeps that SendNow would not have woken.
func WakeMonitor() {}

// SocketPair is missing here.
func SocketPair() (a, b int, err error) { return -1, -1, Unsupported("socketpair") }

// SetNonblock is missing here.
func SetNonblock(fd int) error { return Unsupported("O_NONBLOCK") }

// IsUnixStream is missing here.
func IsUnixStream(fd int) bool { return false }

// HungUp is missing here.
func HungUp(fd int) (bool, error) { return false, Unsupported("poll") }

// Shutdown is missing here.
func Shutdown(fd int) error { return Unsupported("shutdown") }

// PeerCredentials is missing here.
func PeerCredentials(fd int) (Credentials, error) { return Credentials{}, Unsupported("SO_PEERCRED") }

// StaysWhole is missing here.
func StaysWhole(fd int) (bool, error) { return false, Unsupported("file system type") }
