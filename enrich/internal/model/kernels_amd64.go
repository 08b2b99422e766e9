package model

import "golang.org/x/sys/cpu"

// vectors says that the processor has the instructions of the kernels here (AVX2 and BMI2; any x86-64-v3). Each has a twin in Go, which gives the same bits.
var vectors = cpu.X86.HasAVX2 && cpu.X86.HasBMI2

//go:noescape
func addFourAVX2(sum, rows *uint64, place *rowPlace, features *uint32, n int)

//go:noescape
func addSumsAVX2(total, sums *uint64, words int, slots *int, n int)

//go:noescape
func addBytesAVX2(sum *int16, rows *byte, dims int, places *uint32, n int)

//go:noescape
func dotAllAVX2(dots *int32, taps, vector *int16, groups, pairs int)

//go:noescape
func hearTokensAVX2(top, open, next, filters *uint64, words int, slots *int, n int)

//go:noescape
func touchRowsBMI2(rows *uint64, place *rowPlace, features *uint32, n int)

//go:noescape
func touchSetsBMI2(sets *[1 << waysBits]uint64, shift int, hashes *uint64, n int)

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

func addBytes(sum []int16, rows []byte, places []uint32) {
	if !vectors || len(places) == 0 || len(sum)%16 != 0 {
		addBytesGo(sum, rows, places)
		return
	}
	addBytesAVX2(&sum[0], &rows[0], len(sum), &places[0], len(places))
}

func dotAll(dots []int32, taps, vector []int16) {
	if !vectors || len(vector)%2 != 0 {
		dotAllGo(dots, taps, vector)
		return
	}
	dotAllAVX2(&dots[0], &taps[0], &vector[0], len(dots)/dotAnswers, len(vector)/2)
}

func hearTokens(top, open, next, filters []uint64, slots []int) {
	if !vectors || len(slots) == 0 || len(top)%4 != 0 {
		hearTokensGo(top, open, next, filters, slots)
		return
	}
	hearTokensAVX2(&top[0], &open[0], &next[0], &filters[0], len(top), &slots[0], len(slots))
}

// touchRows asks the processor to fetch the lines where the rows of some features are, and does not wait for them.
func touchRows(rows []uint64, place *rowPlace, features []uint32) {
	if vectors && len(features) > 0 {
		touchRowsBMI2(&rows[0], place, &features[0], len(features))
	}
}

// touchSets does so for sets of slots, whose numbers are hashes moved right by shift.
func touchSets(sets [][1 << waysBits]uint64, shift int, hashes []uint64) {
	if vectors && len(hashes) > 0 {
		touchSetsBMI2(&sets[0], shift, &hashes[0], len(hashes))
	}
}
