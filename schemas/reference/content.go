package reference

import (
	"maps"
	"math"
	"slices"
	"time"
)

// ContentRow is a row of metric_content (M14, M15).
type ContentRow struct {
	ContentFunction string   `json:"content_function"`
	Posts           int      `json:"posts"`
	Share           float64  `json:"share"`
	P1              *float64 `json:"p1"`
	P2              *float64 `json:"p2"`
	P3              *float64 `json:"p3"`
	C1              *float64 `json:"c1"`
	C2              *float64 `json:"c2"`
	C3              *float64 `json:"c3"`
	V1              *float64 `json:"v1"`
	V2              *float64 `json:"v2"`
	V3              *float64 `json:"v3"`
	E               *float64 `json:"e"`
	Entropy         float64  `json:"entropy"`
	N               int      `json:"n"`
}

// unknownFunction stands for a post whose function nobody has told.
const unknownFunction = "unknown"

// Content is M14 and M15 over the B of a period, by function.
func (r *Reading) Content(from, to time.Time) []ContentRow {
	posts := map[string][]*row{}
	all := 0
	for _, x := range r.during(from, to) {
		if x.side != sideBroadcast {
			continue
		}
		function := x.labels.GetContentFunction()
		if function == "" {
			function = unknownFunction
		}
		posts[function] = append(posts[function], x)
		all++
	}
	entropy := 0.0
	for _, rows := range posts {
		p := float64(len(rows)) / float64(all)
		entropy -= p * math.Log2(p)
	}
	var result []ContentRow
	for _, function := range slices.Sorted(maps.Keys(posts)) {
		rows := posts[function]
		c := ContentRow{ContentFunction: function, Posts: len(rows), N: len(rows), Share: float64(len(rows)) / float64(all), Entropy: entropy}
		c.P1, c.P2, c.P3 = r.reaction(rows, func(x *row) *int64 { return x.Likes })
		c.C1, c.C2, c.C3 = r.reaction(rows, func(x *row) *int64 { return x.Replies })
		c.V1, c.V2, c.V3 = r.reaction(rows, func(x *row) *int64 { return x.Shares })
		if c.P3 != nil && c.C3 != nil && c.V3 != nil {
			e := *c.P3 + *c.C3 + *c.V3
			c.E = &e
		}
		result = append(result, c)
	}
	return result
}

// reaction gives, of the posts with a count, the share with any, the mean, and the mean of what 1000 followers gave.
func (r *Reading) reaction(posts []*row, count func(*row) *int64) (share, each, per1000 *float64) {
	known, some := 0, 0
	var counts, rates []float64
	for _, x := range posts {
		n := count(x)
		if n == nil {
			continue
		}
		known++
		if *n > 0 {
			some++
		}
		counts = append(counts, float64(*n))
		if followers := r.followersAt(x); followers != nil && *followers > 0 {
			rates = append(rates, 1000*float64(*n)/float64(*followers))
		}
	}
	return ratio(float64(some), float64(known)), mean(counts), mean(rates)
}

// followersAt are the account's followers when it wrote: as the message says, else as the latest snapshot up to then does.
func (r *Reading) followersAt(x *row) *int64 {
	if x.AuthorFollowers != nil {
		return x.AuthorFollowers
	}
	var followers *int64
	latest := int64(math.MinInt64)
	for _, s := range r.snapshots {
		if s.Platform == x.Platform && s.Account == x.Account && s.ObservedAtMs <= x.CreatedAtMs && s.ObservedAtMs >= latest {
			followers, latest = s.Followers, s.ObservedAtMs
		}
	}
	return followers
}
