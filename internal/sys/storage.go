package sys

// An Extent is a run of a file's bytes, and where they lie on its device.
type Extent struct {
	Off, Device, Len int64
}
