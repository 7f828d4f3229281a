// Package probe asks the running kernel what it can do, by doing it. A version
// number proves nothing: distributions carry features back, containers filter
// calls, and emulated kernels answer success and do nothing. So each probe uses
// its feature and looks at the effect.
//
// Yes and No are conclusive and remembered. Refused (a filter, a missing
// privilege, a limit) and Unknown (no memory, no descriptors) are asked again
// each time, because the next call may meet other circumstances.
package probe
