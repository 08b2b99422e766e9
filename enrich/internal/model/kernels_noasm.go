//go:build !amd64

package model

func addFour(sum, rows []uint64, place *rowPlace, features []uint32) {
	addFourGo(sum, rows, place, features)
}

func addSums(total, sums []uint64, slots []int) { addSumsGo(total, sums, slots) }

func addBytes(sum []int16, rows []byte, places []uint32) { addBytesGo(sum, rows, places) }

func dotAll(dots []int32, taps, vector []int16) { dotAllGo(dots, taps, vector) }

func hearTokens(top, open, next, filters []uint64, slots []int) {
	hearTokensGo(top, open, next, filters, slots)
}

func touchRows([]uint64, *rowPlace, []uint32) {}

func touchSets([][1 << waysBits]uint64, int, []uint64) {}
