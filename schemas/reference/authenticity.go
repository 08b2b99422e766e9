package reference

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
)

// Authenticity is the row of metric_authenticity (M20-M22).
type Authenticity struct {
	N                     int      `json:"n"`
	InauthenticShare      *float64 `json:"inauthentic_share"`
	CoordinatedShare      *float64 `json:"coordinated_share"`
	UnexplainedGrowthDays int      `json:"unexplained_growth_days"`
	Messages              int      `json:"messages"`
	Coordinated           int      `json:"coordinated"`
}

// Authenticity is M20 to M22 over the I_addr of a period.
func (r *Reading) Authenticity(from, to time.Time) Authenticity {
	var a Authenticity
	var scores []float64
	for _, b := range r.bots(from, to) {
		scores = append(scores, b)
	}
	a.N, a.InauthenticShare = len(scores), mean(scores)
	for _, x := range r.during(from, to) {
		if x.side == sideAddressed {
			a.Messages++
		}
	}
	a.Coordinated = r.coordinated(from, to)
	a.CoordinatedShare = ratio(float64(a.Coordinated), float64(a.Messages))
	for _, g := range r.FollowerGrowth(from, to) {
		if g.Unexplained {
			a.UnexplainedGrowthDays++
		}
	}
	return a
}

// bots gives the bot score of each author in the I_addr of a period: the mean of bot_p where it was told, else what four signs make of it.
func (r *Reading) bots(from, to time.Time) map[string]float64 {
	wrote := map[string][]*row{}
	for _, x := range r.during(from, to) {
		if x.side == sideAddressed {
			wrote[x.AuthorKey] = append(wrote[x.AuthorKey], x)
		}
	}
	set := func(name string) float64 { return r.setting(name, from) }
	scores := map[string]float64{}
	for author, rows := range wrote {
		var told []float64
		burst, duplicate, young, followers := 0, 0, false, int64(-1)
		texts := map[uint64]bool{}
		for i, x := range rows {
			if i > 0 && float64(x.CreatedAtMs-rows[i-1].CreatedAtMs) <= 1000*set("bot_burst_s") {
				burst++
			}
			if x.TextHash != 0 && texts[x.TextHash] {
				duplicate++
			}
			texts[x.TextHash] = true
			if x.AuthorCreatedAtMs != nil && float64(x.CreatedAtMs-*x.AuthorCreatedAtMs) < set("bot_young_days")*86400_000 {
				young = true
			}
			if x.AuthorFollowers != nil {
				followers = max(followers, *x.AuthorFollowers)
			}
			if x.labels != nil && x.labels.BotP != nil {
				told = append(told, float64(*x.labels.BotP))
			}
		}
		if p := mean(told); p != nil {
			scores[author] = *p
			continue
		}
		n := float64(len(rows))
		human := (1 - set("bot_weight_burst")*float64(burst)/n) * (1 - set("bot_weight_duplicate")*float64(duplicate)/n)
		if young {
			human *= 1 - set("bot_weight_young")
		}
		if followers >= 0 && float64(followers) < set("bot_unfollowed") {
			human *= 1 - set("bot_weight_unfollowed")
		}
		scores[author] = min(1, max(0, 1-human))
	}
	return scores
}

// contents are the text and the addresses of a message, as far as they have a hash.
func (x *row) contents() map[uint64]bool {
	contents := map[uint64]bool{}
	for _, h := range append([]uint64{x.TextHash}, x.LinkHashes...) {
		if h != 0 {
			contents[h] = true
		}
	}
	return contents
}

// coordinated counts the messages of pairs of authors that shared contents within the window often enough.
func (r *Reading) coordinated(from, to time.Time) int {
	var inbound []*row
	own := map[uint64]bool{}
	for _, x := range r.during(from, to) {
		switch x.side {
		case sideAddressed:
			inbound = append(inbound, x)
		case sideBroadcast, sideReply, sideAutoReply:
			maps.Copy(own, x.contents())
		}
	}
	type pair struct{ one, other string }
	shared := map[pair][2]map[*row]bool{}
	for _, x := range inbound {
		for _, y := range inbound {
			if x.AuthorKey >= y.AuthorKey || math.Abs(float64(x.CreatedAtMs-y.CreatedAtMs)) > 1000*r.setting("coordination_window_s", from) {
				continue
			}
			for h := range x.contents() {
				if !y.contents()[h] || own[h] {
					continue
				}
				p := pair{x.AuthorKey, y.AuthorKey}
				if shared[p][0] == nil {
					shared[p] = [2]map[*row]bool{{}, {}}
				}
				shared[p][0][x], shared[p][1][y] = true, true
			}
		}
	}
	messages := map[*row]bool{}
	for _, both := range shared {
		if float64(min(len(both[0]), len(both[1]))) >= r.setting("coordination_times", from) {
			maps.Copy(messages, both[0])
			maps.Copy(messages, both[1])
		}
	}
	return len(messages)
}

// GrowthRow is a row of series_follower_growth (M21).
type GrowthRow struct {
	Platform    string    `json:"platform"`
	Account     string    `json:"account"`
	Day         time.Time `json:"day"`
	Followers   int64     `json:"followers"`
	Growth      float64   `json:"growth"`
	Z           *float64  `json:"z"`
	Posts       int       `json:"posts"`
	Mentions    int       `json:"mentions"`
	Impressions int       `json:"impressions"`
	Unexplained bool      `json:"unexplained"`
	N           int       `json:"n"`
}

const day = 24 * time.Hour

// FollowerGrowth is M21 over the local days that a period touches, by account and day.
func (r *Reading) FollowerGrowth(from, to time.Time) []GrowthRow {
	if !from.Before(to) {
		return nil
	}
	type account struct{ platform, name string }
	latest := map[account]map[time.Time]*event.AccountSnapshot{} // by local day
	for _, s := range r.snapshots {
		if s.Followers == nil || *s.Followers <= 0 {
			continue
		}
		a, d := account{s.Platform, s.Account}, r.localDay(time.UnixMilli(s.ObservedAtMs))
		if latest[a] == nil {
			latest[a] = map[time.Time]*event.AccountSnapshot{}
		}
		if old := latest[a][d]; old == nil || s.ObservedAtMs > old.ObservedAtMs {
			latest[a][d] = s
		}
	}
	var rows []GrowthRow
	for _, a := range slices.SortedFunc(maps.Keys(latest), func(a, b account) int {
		return cmp.Or(cmp.Compare(a.platform, b.platform), cmp.Compare(a.name, b.name))
	}) {
		growth := func(d time.Time) *float64 {
			now, before := latest[a][d], latest[a][d.Add(-day)]
			if now == nil || before == nil {
				return nil
			}
			y := math.Log(float64(*now.Followers)) - math.Log(float64(*before.Followers))
			return &y
		}
		posts, mentions, impressions := map[time.Time]int{}, map[time.Time]int{}, map[time.Time]int{}
		for _, x := range r.rows {
			if x.deletedMs != nil || x.Platform != a.platform || x.Account != a.name {
				continue
			}
			d := r.localDay(time.UnixMilli(x.CreatedAtMs))
			switch x.side {
			case sideBroadcast:
				posts[d]++
				impressions[d] += int(x.GetViews())
			case sideAddressed:
				mentions[d]++
			}
		}
		for d := r.localDay(from); !d.After(r.localDay(to.Add(-time.Millisecond))); d = d.Add(day) {
			y := growth(d)
			if y == nil {
				continue
			}
			g := GrowthRow{Platform: a.platform, Account: a.name, Day: d, Followers: *latest[a][d].Followers, Growth: *y, Posts: posts[d], Mentions: mentions[d], Impressions: impressions[d]}
			var before []float64
			for back := range r.whole("growth_days", from, 1) {
				if y := growth(d.Add(-time.Duration(back+1) * day)); y != nil {
					before = append(before, *y)
				}
			}
			g.N = len(before)
			if float64(g.N) >= max(1, r.setting("growth_least_days", from)) {
				middle := *quantile(before, 0.5)
				z := (*y - middle) / max(1.4826*spread(before, middle), r.setting("growth_least_mad", from), 1e-9)
				g.Z = &z
				rose := func(counts map[time.Time]int) bool {
					var usual []float64
					for back := range r.whole("growth_days", from, 1) {
						usual = append(usual, float64(counts[d.Add(-time.Duration(back+1)*day)]))
					}
					return float64(counts[d]) > r.setting("growth_rise", from)**quantile(usual, 0.5)
				}
				g.Unexplained = z > r.setting("growth_z", from) && !rose(posts) && !rose(mentions) && !rose(impressions)
			}
			rows = append(rows, g)
		}
	}
	return rows
}

// spread is the median distance from the middle.
func spread(values []float64, middle float64) float64 {
	var distances []float64
	for _, v := range values {
		distances = append(distances, math.Abs(v-middle))
	}
	return *quantile(distances, 0.5)
}

// AnomalyRow is a row of series_volume_anomaly (M19).
type AnomalyRow struct {
	Bucket   time.Time `json:"bucket"`
	N        int       `json:"n"`
	NLive    int       `json:"n_live"`
	Expected *float64  `json:"expected"`
	Z        *float64  `json:"z"`
	Method   string    `json:"method"`
	Covered  bool      `json:"covered"`
	Alert    string    `json:"alert"`
}

// VolumeAnomaly is M19 over the hours of a period that some connector has reached, by time.
func (r *Reading) VolumeAnomaly(from, to time.Time) []AnomalyRow {
	type stretch struct{ since, until time.Time }
	stretches := map[string][]stretch{}
	var reached time.Time
	for _, c := range r.coverage {
		if c.Status == schemas.CoverageComplete && c.SinceMs < to.UnixMilli() && c.UntilMs > from.UnixMilli() {
			s := stretch{time.UnixMilli(c.SinceMs).UTC(), time.UnixMilli(c.UntilMs).UTC()}
			stretches[c.Connector] = append(stretches[c.Connector], s)
			if s.until.After(reached) {
				reached = s.until
			}
		}
	}
	var inbound []*row
	weeks, beside, poissonDays := r.whole("anomaly_weeks", from, 1), r.whole("anomaly_beside_h", from, 0), r.whole("anomaly_poisson_days", from, 1)
	historyDays := max(7*weeks, poissonDays, r.whole("anomaly_anscombe_days", from, 0)) + 1
	for _, x := range r.during(from.AddDate(0, 0, -historyDays), to) {
		if x.side == sideAddressed {
			inbound = append(inbound, x)
		}
	}
	// sum counts the three hours that end with the one that begins at h.
	sum := func(h time.Time, live bool) float64 {
		n := 0.0
		for _, x := range inbound {
			if within(x.CreatedAtMs, h.Add(-2*time.Hour), h.Add(time.Hour)) && (!live || float64(x.IngestedAtMs-x.CreatedAtMs) <= 1000*r.setting("anomaly_live_s", from)) {
				n++
			}
		}
		return n
	}
	root := func(n float64) float64 { return 2 * math.Sqrt(n+3./8) }
	first := from.Truncate(time.Hour)
	if first.Before(from) {
		first = first.Add(time.Hour)
	}
	var rows []AnomalyRow
	taken := map[string]time.Time{}
	for h := first; h.Before(to) && !h.Add(time.Hour).After(reached); h = h.Add(time.Hour) {
		x, live := sum(h, false), sum(h, true)
		a := AnomalyRow{Bucket: h, N: int(x), NLive: int(live), Method: "none", Covered: len(stretches) > 0}
		for _, of := range stretches {
			a.Covered = a.Covered && slices.ContainsFunc(of, func(s stretch) bool { return !s.since.After(h.Add(-2*time.Hour)) && !s.until.Before(h.Add(time.Hour)) })
		}
		z := func(n float64) float64 { return math.NaN() }
		if len(inbound) > 0 {
			oldest := time.UnixMilli(inbound[0].CreatedAtMs).UTC().Truncate(time.Hour)
			var roots []float64
			for week := 1; week <= weeks; week++ {
				for hours := -beside; hours <= beside; hours++ {
					at := h.Add(-time.Duration(week)*7*day + time.Duration(hours)*time.Hour)
					if !at.Add(-2 * time.Hour).Before(oldest) {
						roots = append(roots, root(sum(at, false)))
					}
				}
			}
			switch history := h.Sub(oldest); {
			case history < time.Duration(poissonDays)*day:
			case len(roots) > 0 && history.Hours() >= 24*r.setting("anomaly_anscombe_days", from):
				middle := *quantile(roots, 0.5)
				around := max(1, 1.4826*spread(roots, middle))
				a.Method = "anscombe"
				expected := max(0, middle*middle/4-3./8)
				a.Expected = &expected
				z = func(n float64) float64 { return (root(n) - middle) / around }
			default:
				usual := 0.0
				for back := 1; back <= poissonDays; back++ {
					usual += sum(h.Add(-time.Duration(back)*day), false) / float64(poissonDays)
				}
				a.Method, a.Expected = "poisson", &usual
				z = func(n float64) float64 { return (n - usual) / math.Sqrt(max(1, usual)) }
			}
		}
		limit := r.setting("anomaly_z", from)
		alert := func(kind string, seen bool) {
			last, before := taken[kind]
			if seen && (!before || h.Sub(last).Seconds() >= r.setting("anomaly_refractory_s", from)) {
				taken[kind] = h
				if a.Alert == "" {
					a.Alert = kind
				}
			}
		}
		if a.Method != "none" {
			score := z(x)
			a.Z = &score
			alert("rise", z(live) > limit && live >= r.setting("anomaly_least", from))
			alert("drop", score < -limit && a.Covered)
		}
		rows = append(rows, a)
	}
	return rows
}
