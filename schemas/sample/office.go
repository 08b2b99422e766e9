package sample

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// office is an institution with its habits.
type office struct {
	*institutions.Institution
	habits
	zone     *time.Location
	texts    *grammar
	accounts map[string][]*author
	// posts are the broadcasts so far, in order of time.
	posts []*message
}

// habits are what tells the three offices apart.
type habits struct {
	id, file string
	nickname string
	// talksPerDay and postsPerDay are means of a working day.
	talksPerDay, postsPerDay float64
	platforms, subjects      []weighted
	langs, functions         []weighted
	// easy and hard say how questions and complaints are answered; calm is how the first third of the sample differs.
	easy, hard habit
	// autoShare is the share of questions that a template answers within two minutes.
	autoShare float64
	// opens and closes are hours of the local day in which somebody writes answers, on weekdays and at weekends.
	opens, closes               float64
	weekendOpens, weekendCloses float64
	number                      string
	followers                   map[string]int64
}

// habit is how often and how fast one sort of question is answered.
type habit struct {
	share       float64
	medianHours float64
	spread      float64
}

// delay draws the time that passes before an answer is written, office hours aside.
func (h habit) delay(rng *rand.Rand) time.Duration {
	return time.Duration(h.medianHours * math.Exp(h.spread*rng.NormFloat64()) * float64(time.Hour)).Round(time.Second)
}

// Sorts of conversation.
const (
	askEasy = "ask/easy/"
	askHard = "ask/hard/"
	gripe   = "gripe/"
	opinion = "voice/"
	praise  = "praise"
	chatter = "chatter"
)

func offices() []habits {
	return []habits{
		{
			id: "dukcapil-argaluhur", file: "argaluhur.txt", nickname: "Disdukcapil",
			talksPerDay: 13, postsPerDay: 1.7,
			platforms: []weighted{{schemas.PlatformX, .45}, {schemas.PlatformInstagram, .35}, {schemas.PlatformMastodon, .2}},
			subjects:  []weighted{{askEasy, .42}, {askHard, .2}, {gripe, .21}, {opinion, .03}, {praise, .06}, {chatter, .08}},
			langs:     []weighted{{"id", .74}, {"jv", .22}, {"en", .04}},
			functions: []weighted{{informative, .6}, {educative, .28}, {entertaining, .12}},
			easy:      habit{.9, .6, .8}, hard: habit{.03, 2, .8}, autoShare: .08,
			opens: 7.5, closes: 17, weekendOpens: 9, weekendCloses: 11, number: "REG-26-",
			followers: map[string]int64{"a5101": 18240, "a5102": 1310, "a5103": 26905},
		},
		{
			id: "tirta-lengkara", file: "lengkara.txt", nickname: "Tirta Lengkara",
			talksPerDay: 13, postsPerDay: 1.7,
			platforms: []weighted{{schemas.PlatformX, .42}, {schemas.PlatformInstagram, .42}, {schemas.PlatformMastodon, .16}},
			subjects:  []weighted{{askEasy, .36}, {askHard, .2}, {gripe, .26}, {opinion, .03}, {praise, .07}, {chatter, .08}},
			langs:     []weighted{{"id", .72}, {"su", .25}, {"en", .03}},
			functions: []weighted{{informative, .62}, {educative, .26}, {entertaining, .12}},
			easy:      habit{.92, .7, .8}, hard: habit{.78, 26, .6},
			opens: 7, closes: 20, weekendOpens: 8, weekendCloses: 16, number: "PL-",
			followers: map[string]int64{"a5201": 12480, "a5202": 3940, "a5203": 870, "a5204": 21730, "a5205": 2115},
		},
		{
			id: "dishub-nusahalimar", file: "halimar.txt", nickname: "Dishub Halimar",
			talksPerDay: 9.5, postsPerDay: 3.4,
			platforms: []weighted{{schemas.PlatformX, .5}, {schemas.PlatformInstagram, .3}, {schemas.PlatformYouTube, .2}},
			subjects:  []weighted{{askEasy, .38}, {askHard, .12}, {gripe, .24}, {opinion, .08}, {praise, .04}, {chatter, .14}},
			langs:     []weighted{{"id", .85}, {"en", .15}},
			functions: []weighted{{informative, .66}, {educative, .12}, {entertaining, .22}},
			easy:      habit{.34, 4, .9}, hard: habit{.08, 22, .8}, autoShare: .5,
			opens: 8, closes: 15.5, weekendOpens: 9, weekendCloses: 10, number: "TH-",
			followers: map[string]int64{"a5301": 38160, "a5302": 15490, "a5303": 4720},
		},
	}
}

// Content functions of broadcasts.
const (
	informative  = "informative"
	educative    = "educative"
	entertaining = "entertaining"
)

// atWork moves an instant to when somebody of the office next writes.
func (f *office) atWork(rng *rand.Rand, t time.Time) time.Time {
	for {
		local := t.In(f.zone)
		opens, closes := f.opens, f.closes
		if day := local.Weekday(); day == time.Saturday || day == time.Sunday || independenceDay(local) {
			opens, closes = f.weekendOpens, f.weekendCloses
		}
		midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, f.zone)
		hour := t.Sub(midnight).Hours()
		switch {
		case hour < opens:
			return midnight.Add(time.Duration((opens + 1.5*rng.Float64()) * float64(time.Hour))).Round(time.Second).UTC()
		case hour < closes:
			return t
		}
		t = midnight.AddDate(0, 0, 1)
	}
}

func independenceDay(local time.Time) bool { return local.Month() == time.August && local.Day() == 17 }

// busyness is how much is written on a day, 1 on a working day.
func busyness(local time.Time) float64 {
	switch {
	case independenceDay(local):
		return 0.4
	case local.Weekday() == time.Saturday:
		return 0.7
	case local.Weekday() == time.Sunday:
		return 0.55
	case local.Weekday() == time.Monday:
		return 1.2
	}
	return 1
}

// hours of the day in which citizens write, by weight: mornings, lunch, evenings.
var citizenHours = []float64{1, .5, .3, .3, .6, 1.5, 3, 5, 6.5, 6.5, 6, 5.5, 6, 5, 4.5, 4.5, 4.5, 4.5, 5, 6, 6.5, 5.5, 4, 2}

// hours of the day in which offices post.
var officeHours = []float64{0, 0, 0, 0, 0, 0, 1, 3, 6, 7, 6, 3, 3, 4, 3, 3, 2, 1.5, 1, 2, 1, 0, 0, 0}

// instantOf draws an instant of a local day.
func instantOf(rng *rand.Rand, midnight time.Time, hours []float64) time.Time {
	total := 0.0
	for _, w := range hours {
		total += w
	}
	at := rng.Float64() * total
	hour := 0
	for at >= hours[hour] {
		at -= hours[hour]
		hour++
	}
	return midnight.Add(time.Duration(hour)*time.Hour + time.Duration(rng.IntN(3600))*time.Second).UTC()
}

// poisson draws a count with a mean.
func poisson(rng *rand.Rand, mean float64) int {
	n, p, limit := 0, rng.Float64(), math.Exp(-mean)
	for p > limit {
		n++
		p *= rng.Float64()
	}
	return n
}
