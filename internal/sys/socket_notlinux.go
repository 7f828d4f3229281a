//go:build !linux

package sys

// Rights is missing here.
func Rights(fd int) []byte { return nil }

// RightsSpace is 0: Rights is missing here.
var RightsSpace = 0

// Received is missing here.
func Received(control []byte) ([]int, error) { return nil, Unsupported("SCM_RIGHTS") }

// SendNow is missing here.
func SendNow(fd int, p []byte) error { return Unsupported("MSG_DONTWAIT") }

// PeerCredentials is missing here.
func PeerCredentials(fd int) (Credentials, error) { return Credentials{}, Unsupported("SO_PEERCRED") }

// StaysWhole is missing here.
func StaysWhole(fd int) (bool, error) { return false, Unsupported("file system type") }
