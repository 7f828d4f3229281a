//go:build !race

package sys

// StoresInOrder says that this machine neither lets a load pass an earlier load
// nor a store pass an earlier load or store (total store order: Intel SDM vol. 3,
// 9.2.2; AMD APM vol. 2, 7.2), so that a plain store releases and plain loads
// stay in their order. The compiler keeps them too, around atomics and calls. Only
// a load may pass an earlier store.
//
// It is false elsewhere, and under the race detector, which has to be told by
// atomics who comes after whom.
const StoresInOrder = true
