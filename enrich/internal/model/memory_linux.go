package model

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// table returns n words of 0, at the beginning of a line of memory. The kernel is asked to keep a large table in large pages: it is read in no order, and in
// small pages nearly each read would first have to find out where its page is. Should the kernel refuse, nothing but speed is lost.
func table(n int) []uint64 {
	const words = hugePage / 8
	if n < words {
		return make([]uint64, n)
	}
	room := make([]uint64, n+words-1)
	if beyond := uintptr(unsafe.Pointer(&room[0])) % hugePage; beyond > 0 {
		room = room[(hugePage-beyond)/8:]
	}
	room = room[:n]
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&room[0])), 8*n)
	// The first is for pages that nobody has touched yet, the second for memory that the runtime had in use before.
	_ = unix.Madvise(bytes, unix.MADV_HUGEPAGE)
	_ = unix.Madvise(bytes, unix.MADV_COLLAPSE)
	return room
}
