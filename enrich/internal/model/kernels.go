package model

// The kernels are the innermost loops. On amd64 they have a twin in assembly, which gives the same bits.

// sumWords and sumColumns are what a kernel adds at a time: the sums that are kept of a word are filled up to a multiple of these.
const (
	sumWords   = 4
	sumColumns = 2 * sumWords
)

// dotAnswers is how many answers of a network a kernel computes at a time.
const dotAnswers = 8

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

// addBytesGo writes to sum, as long as a row, the sum of some rows of signed bytes.
func addBytesGo(sum []int16, rows []byte, places []uint32) {
	clear(sum)
	for _, place := range places {
		for k, v := range rows[int(place)*len(sum):][:len(sum)] {
			sum[k] += int16(int8(v))
		}
	}
}

// dotAllGo writes the inner product of the vector and the taps of each answer. The taps of dotAnswers answers follow each other, two dimensions of each side by side.
func dotAllGo(dots []int32, taps, vector []int16) {
	for o := range dots {
		of := taps[o/dotAnswers*dotAnswers*len(vector)+o%dotAnswers*2:]
		sum := int32(0)
		for d := 0; d < len(vector); d += 2 {
			pair := of[d*dotAnswers:][:2]
			sum += int32(vector[d])*int32(pair[0]) + int32(vector[d+1])*int32(pair[1])
		}
		dots[o] = sum
	}
}

// larger returns the larger of two lanes of 15 bits each.
func larger(a, b uint64) uint64 {
	const high = 0x8000 * allLanes
	atLeast := (a | high - b) & high
	mask := atLeast - atLeast>>15 | atLeast
	return b ^ (a^b)&mask
}

// hearTokensGo lets the filters of a network, four in lanes of a word, hear the tokens in some slots, one after the other. A filter at a token hears the token before it at
// its first place, the token itself at its middle one, and the next at its last; so it has answered once the next one is heard, and top keeps its largest answer.
func hearTokensGo(top, open, next, filters []uint64, slots []int) {
	words := len(top)
	open, next = open[:words], next[:words]
	for _, slot := range slots {
		share := filters[slot*NetworkWindow*words:][:NetworkWindow*words]
		first, middle, last := share[:words], share[words:][:words], share[2*words:][:words]
		for k := range top {
			top[k] = larger(top[k], open[k]+last[k])
			open[k] = next[k] + middle[k]
			next[k] = first[k]
		}
	}
}
