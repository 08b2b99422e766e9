package model

import "golang.org/x/sys/cpu"

// vectors says that the processor has the instructions of the kernels here (AVX2 and BMI2; any x86-64-v3). Each has a twin in Go, which gives the same bits.
var vectors = cpu.X86.HasAVX2 && cpu.X86.HasBMI2

//go:noescape
func addFourAVX2(sum, rows *uint64, place *rowPlace, features *uint32, n int)

//go:noescape
func addSumsAVX2(total, sums *uint64, words int, slots *int, n int)

func addFour(sum, rows []uint64, place *rowPlace, features []uint32) {
	if !vectors || len(features) == 0 {
		addFourGo(sum, rows, place, features)
		return
	}
	addFourAVX2(&sum[0], &rows[0], place, &features[0], len(features))
}

func addSums(total, sums []uint64, slots []int) {
	if !vectors || len(slots) == 0 {
		addSumsGo(total, sums, slots)
		return
	}
	addSumsAVX2(&total[0], &sums[0], len(total), &slots[0], len(slots))
}
