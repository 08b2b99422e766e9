package store

// Refusal is an entry that the store does not take, and why.
type Refusal struct {
	Index int // of the entry in the batch
	Err   error
}

// bisect finds the entries of [from, to) that the store refuses, and gets all others in: write writes a range and tells that it was refused by an error
// of which refused is true. Any other error ends the search. A range is written again in parts after a refusal, which a repeat may always do.
// n entries with g guilty ones take at most 1 + 2 g log2(n) writes.
func bisect(from, to int, write func(from, to int) error, refused func(error) bool) ([]Refusal, error) {
	if from == to {
		return nil, nil
	}
	err := write(from, to)
	if err == nil {
		return nil, nil
	}
	if !refused(err) {
		return nil, err
	}
	if to-from == 1 {
		return []Refusal{{from, err}}, nil
	}
	middle := from + (to-from)/2
	left, err := bisect(from, middle, write, refused)
	if err != nil {
		return nil, err
	}
	right, err := bisect(middle, to, write, refused)
	if err != nil {
		return nil, err
	}
	return append(left, right...), nil
}
