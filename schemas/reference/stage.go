package reference

import (
	"slices"
	"strconv"
	"time"
)

// ServiceClockRow is a row of metric_service_clock (M24).
type ServiceClockRow struct {
	Clock    string   `json:"clock"`
	Days     int      `json:"days"`
	Unit     string   `json:"unit"`
	N        int      `json:"n"`
	Answered int      `json:"answered"`
	Rate     *float64 `json:"rate"`
	Lo       *float64 `json:"lo"`
	Hi       *float64 `json:"hi"`
}

// ServiceClocks is M24 over the requests of a period, a row for each clock in force, by name.
func (r *Reading) ServiceClocks(from, to time.Time) []ServiceClockRow {
	now, _ := r.NowObs(from, to)
	var rows []ServiceClockRow
	for _, c := range r.clocks(from) {
		s := ServiceClockRow{Clock: c.Clock, Days: c.Days, Unit: c.Unit}
		for _, q := range r.RequestsBetween(from, to) {
			if !q.under(c) {
				continue
			}
			// in tells whether an instant is in time: within the days, or before the last working day ends.
			due, ok := q.AskedAt.Add(time.Duration(c.Days)*24*time.Hour), true
			in := func(at *time.Time) bool { return at != nil && !at.After(due) }
			if c.Unit == UnitWorkingDays {
				due, ok = r.due(q.AskedAt, c.Days)
				in = func(at *time.Time) bool { return at != nil && at.Before(due) }
			}
			if !ok || due.After(now) || in(q.DeletedAt) {
				continue
			}
			s.N++
			if in(q.AnsweredAt) {
				s.Answered++
			}
		}
		s.Rate = ratio(float64(s.Answered), float64(s.N))
		s.Lo, s.Hi = wilson(s.Answered, s.N)
		rows = append(rows, s)
	}
	return rows
}

// under tells whether a clock is for the request: clocks with tags are for messages that stand, by their tags.
func (q Request) under(c ServiceClock) bool {
	if len(c.Tags) == 0 {
		return true
	}
	if q.message.deletedMs != nil {
		return false
	}
	tags := q.message.tags()
	if len(tags) == 0 {
		tags = []string{noRisk}
	}
	return slices.ContainsFunc(tags, func(tag string) bool { return slices.Contains(c.Tags, tag) })
}

// tags are the risks that the message carries.
func (x *row) tags() []string {
	return slices.DeleteFunc(slices.Clone(x.labels.GetRiskTags()), func(tag string) bool { return tag == "" || tag == noRisk })
}

// Stage is the row of metric_stage (M26).
type Stage struct {
	Stage         *string  `json:"stage"`
	Reasons       []string `json:"reasons"`
	RawStage      string   `json:"raw_stage"`
	ReplyShare    *float64 `json:"reply_share"`
	Answered24h   *float64 `json:"answered_24h"`
	TemplateShare *float64 `json:"template_share"`
	LoopRate      *float64 `json:"loop_rate"`
	Evidence      bool     `json:"evidence"`
	N             int      `json:"n"`
}

// Stage is M26 of a period, judged together with the two periods of the same length before it.
func (r *Reading) Stage(from, to time.Time) Stage {
	length := max(to.Sub(from), 0)
	set := func(name string) float64 { return r.setting(name, from) }
	now, known := r.NowObs(from.Add(-2*length), to)
	requests := r.RequestsBetween(from.Add(-2*length), to)
	judge := func(from, to time.Time) Stage {
		share := r.ReplyShare(from, to)
		s := Stage{N: share.N, ReplyShare: share.ReplyShare, LoopRate: r.Dialogue(from, to).LoopRate, TemplateShare: r.templateShare(from, to, set("template_repeats"))}
		if known {
			s.Answered24h = responseRate(slices.DeleteFunc(slices.Clone(requests), func(q Request) bool {
				return q.AskedAt.Before(from) || !q.AskedAt.Before(to)
			}), now, 24*time.Hour).Rate
		}
		s.Evidence = r.happened(EventChangeMade, to, set("evidence_days"))
		return s
	}
	raw := func(s Stage) string {
		atLeast := func(x *float64, name string) bool { return x != nil && *x >= set(name) }
		under := func(x *float64, name string) bool { return x != nil && *x < set(name) }
		switch {
		case atLeast(s.LoopRate, "stage_symmetric_loop_rate") && s.Evidence:
			return "S4"
		case atLeast(s.ReplyShare, "stage_two_way_reply_share") && atLeast(s.Answered24h, "stage_two_way_answered_24h"):
			return "S3"
		case atLeast(s.Answered24h, "stage_administrative_answered_24h") && atLeast(s.TemplateShare, "stage_administrative_template_share"):
			return "S2"
		case under(s.ReplyShare, "stage_one_way_reply_share") && under(s.Answered24h, "stage_one_way_answered_24h"):
			return "S1"
		}
		return ""
	}
	s := judge(from, to)
	s.RawStage = raw(s)
	previous, before := raw(judge(from.Add(-length), from)), raw(judge(from.Add(-2*length), from.Add(-length)))
	if s.N == 0 {
		s.Reasons = []string{"nothing was said"}
		return s
	}
	stage := s.RawStage
	if s.RawStage != previous && previous != "" && previous == before {
		stage = previous
	}
	if stage != "" {
		s.Stage = &stage
	}
	number := func(name string) string { return strconv.FormatFloat(set(name), 'f', -1, 64) }
	say := func(name string, x *float64, low, high string) {
		switch {
		case x == nil:
			s.Reasons = append(s.Reasons, name+" unknown")
		case *x >= set(high):
			s.Reasons = append(s.Reasons, name+" >= "+number(high))
		case low == "":
			s.Reasons = append(s.Reasons, name+" < "+number(high))
		case *x < set(low):
			s.Reasons = append(s.Reasons, name+" < "+number(low))
		default:
			s.Reasons = append(s.Reasons, number(low)+" <= "+name+" < "+number(high))
		}
	}
	say("reply_share", s.ReplyShare, "stage_one_way_reply_share", "stage_two_way_reply_share")
	say("answered_24h", s.Answered24h, "stage_one_way_answered_24h", "stage_two_way_answered_24h")
	say("template_share", s.TemplateShare, "", "stage_administrative_template_share")
	say("loop_rate", s.LoopRate, "", "stage_symmetric_loop_rate")
	if s.Evidence {
		s.Reasons = append(s.Reasons, "evidence of a change made")
	} else {
		s.Reasons = append(s.Reasons, "no evidence of a change made")
	}
	if stage != s.RawStage {
		s.Reasons = append(s.Reasons, "held: a stage changes after two periods in a row")
	}
	return s
}

// templateShare is the share of the R of a period whose text is said at least so often by R of it.
func (r *Reading) templateShare(from, to time.Time, repeats float64) *float64 {
	said := map[uint64]int{}
	replies, templates := 0, 0
	for _, x := range r.during(from, to) {
		if x.side == sideReply {
			said[x.TextHash]++
			replies++
		}
	}
	for text, n := range said {
		if text != 0 && float64(n) >= repeats {
			templates += n
		}
	}
	return ratio(float64(templates), float64(replies))
}
