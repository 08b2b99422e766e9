package model

// The kernels are the innermost loops. On amd64 they have a twin in assembly, which gives the same bits.

// sumWords and sumColumns are what a kernel adds at a time: the sums that are kept of a word are filled up to a multiple of these.
const (
	sumWords   = 4
	sumColumns = 2 * sumWords
)

// addFourGo adds the rows of some features, four words each, to eight words of sums: of the even lanes, then of the odd ones.
func addFourGo(sum, rows []uint64, place *rowPlace, features []uint32) {
	var even0, even1, even2, even3, odd0, odd1, odd2, odd3 uint64
	for _, h := range features {
		row := rows[place.of(h):][:4]
		a, b, c, d := row[0], row[1], row[2], row[3]
		even0 += a & evenLanes
		odd0 += a >> 16 & evenLanes
		even1 += b & evenLanes
		odd1 += b >> 16 & evenLanes
		even2 += c & evenLanes
		odd2 += c >> 16 & evenLanes
		even3 += d & evenLanes
		odd3 += d >> 16 & evenLanes
	}
	for k, v := range [...]uint64{even0, even1, even2, even3, odd0, odd1, odd2, odd3} {
		sum[k] += v
	}
}

// addSumsGo adds to total, a multiple of sumWords long, the sums in some slots of the same length.
func addSumsGo(total, sums []uint64, slots []int) {
	for _, slot := range slots {
		for k, v := range sums[slot*len(total):][:len(total)] {
			total[k] += v
		}
	}
}
