//go:build !linux

package model

// table returns n words of 0.
func table(n int) []uint64 { return make([]uint64, n) }
