//go:build !amd64 || race

package sys

// StoresInOrder is told in order_amd64.go.
const StoresInOrder = false
