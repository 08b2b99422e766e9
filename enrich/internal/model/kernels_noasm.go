//go:build !amd64

package model

func addFour(sum, rows []uint64, place *rowPlace, features []uint32) {
	addFourGo(sum, rows, place, features)
}

func addSums(total, sums []uint64, slots []int) { addSumsGo(total, sums, slots) }
