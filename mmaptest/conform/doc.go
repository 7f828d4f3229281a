// Package conform has the suites that tell whether an implementation keeps the
// promises of this module's interfaces. A suite takes a function that makes a
// fresh value, and is run from a test of the implementation:
//
//	func TestStore(t *testing.T) {
//		conform.TestWritableStore(t, func(t *testing.T, content []byte) vmem.WritableStore {
//			return newMyStore(t, content)
//		})
//	}
package conform
