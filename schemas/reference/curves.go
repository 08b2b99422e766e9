package reference

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// CurvePoint is a row of curve_wait and curve_business_wait.
type CurvePoint struct {
	TS        float64  `json:"t_s"`
	Survival  float64  `json:"survival"`
	Incidence float64  `json:"incidence"`
	AtRisk    int      `json:"at_risk"`
	Lo        *float64 `json:"lo"`
	Hi        *float64 `json:"hi"`
	N         int      `json:"n"`
}

// Curve is M2b and M4 over the requests of a period, by time: a point at 0 and one at every distinct wait.
func (r *Reading) Curve(from, to time.Time) []CurvePoint {
	var waits []observation
	for _, q := range r.RequestsBetween(from, to) {
		waits = append(waits, observation{q.WaitS, causeOf(q.Outcome)})
	}
	return curve(waits)
}

// BusinessCurve is Curve in working time, without the requests that metric_wait leaves out there.
func (r *Reading) BusinessCurve(from, to time.Time) []CurvePoint {
	var waits []observation
	for _, q := range r.RequestsBetween(from, to) {
		if q.BusinessWaitS != nil && !(*q.BusinessWaitS == 0 && q.Outcome == OutcomeReplied) {
			waits = append(waits, observation{*q.BusinessWaitS, causeOf(q.Outcome)})
		}
	}
	return curve(waits)
}

func causeOf(outcome string) cause {
	return map[string]cause{OutcomeReplied: replied, OutcomeDeleted: deleted, OutcomeOpen: censored}[outcome]
}

func curve(waits []observation) []CurvePoint {
	if len(waits) == 0 {
		return nil
	}
	times := []float64{0}
	for _, w := range waits {
		times = append(times, w.seconds)
	}
	slices.Sort(times)
	var points []CurvePoint
	survival, waiting, incidence, variance := 1.0, 1.0, 0.0, 0.0
	for _, t := range slices.Compact(times) {
		atRisk, d, gone := 0, 0, 0
		for _, w := range waits {
			if w.seconds >= t {
				atRisk++
			}
			if w.seconds == t && w.cause == replied {
				d++
			}
			if w.seconds == t && w.cause == deleted {
				gone++
			}
		}
		n := float64(atRisk)
		incidence += waiting * float64(d) / n
		survival *= 1 - float64(d)/n
		waiting *= 1 - float64(d+gone)/n
		if d < atRisk {
			variance += float64(d) / (n * (n - float64(d)))
		}
		p := CurvePoint{TS: t, Survival: survival, Incidence: incidence, AtRisk: atRisk, N: len(waits)}
		if 0 < survival && survival < 1 {
			se := math.Sqrt(variance) / math.Abs(math.Log(survival))
			lo, hi := math.Pow(survival, math.Exp(z95*se)), math.Pow(survival, math.Exp(-z95*se))
			p.Lo, p.Hi = &lo, &hi
		}
		points = append(points, p)
	}
	return points
}

// ResponseRateWorking is M2 in working days, the row of metric_response_rate_working. The error is ErrWindow.
func (r *Reading) ResponseRateWorking(from, to time.Time, days int) (ResponseRate, error) {
	if days <= 0 {
		return ResponseRate{}, fmt.Errorf("response rate in %d working days: %w", days, ErrWindow)
	}
	var s ResponseRate
	now, _ := r.NowObs(from, to)
	for _, q := range r.RequestsBetween(from, to) {
		due, ok := r.due(q.AskedAt, days)
		if !ok || due.After(now) || q.DeletedAt != nil && q.DeletedAt.Before(due) {
			continue
		}
		s.N++
		if q.AnsweredAt != nil && q.AnsweredAt.Before(due) {
			s.Answered++
		}
	}
	s.Rate = ratio(float64(s.Answered), float64(s.N))
	s.Lo, s.Hi = wilson(s.Answered, s.N)
	return s, nil
}

// due is the end of the local day that is a number of working days after the day of an instant, which is not counted; ok is false where the calendar does not reach.
func (r *Reading) due(asked time.Time, days int) (due time.Time, ok bool) {
	day := r.localDay(asked)
	if len(r.workdays) == 0 || day.Before(r.workdays[0]) {
		return time.Time{}, false
	}
	counted := 0
	for _, d := range r.workdays {
		if d.After(day) {
			counted++
		}
		if counted == days {
			return d.AddDate(0, 0, 1).Add(-time.Duration(r.offsetMs) * time.Millisecond), true
		}
	}
	return time.Time{}, false
}

// localDay is the date of an instant at the institution, as a midnight in UTC.
func (r *Reading) localDay(at time.Time) time.Time {
	return at.UTC().Add(time.Duration(r.offsetMs) * time.Millisecond).Truncate(24 * time.Hour)
}

// Handling is the row of metric_handling (M8).
type Handling struct {
	N             int      `json:"n"`
	Single        int      `json:"single"`
	HandlingMeanS *float64 `json:"handling_mean_s"`
	HandlingP50S  *float64 `json:"handling_p50_s"`
	HandlingP90S  *float64 `json:"handling_p90_s"`

	BN             *int     `json:"b_n"`
	BHandlingMeanS *float64 `json:"b_handling_mean_s"`
	BHandlingP50S  *float64 `json:"b_handling_p50_s"`
	BHandlingP90S  *float64 `json:"b_handling_p90_s"`
}

// Handling is M8 over the R of a period.
func (r *Reading) Handling(from, to time.Time) Handling {
	replies := map[thread][]time.Time{}
	for _, x := range r.during(from, to) {
		if x.side == sideReply {
			replies[x.thread] = append(replies[x.thread], time.UnixMilli(x.CreatedAtMs).UTC())
		}
	}
	var s Handling
	var wall, business []float64
	end := func(first, last time.Time, said int) {
		if said == 1 {
			s.Single++
			return
		}
		s.N++
		wall = append(wall, last.Sub(first).Seconds())
		if r.business != nil {
			if seconds, ok := r.business(first, last); ok {
				business = append(business, seconds)
			}
		}
	}
	gap := r.setting("handling_gap_s", from)
	for _, at := range replies {
		first := 0
		for i := range at {
			if i > first && at[i].Sub(at[i-1]).Seconds() > gap {
				end(at[first], at[i-1], i-first)
				first = i
			}
		}
		end(at[first], at[len(at)-1], len(at)-first)
	}
	s.HandlingMeanS, s.HandlingP50S, s.HandlingP90S = mean(wall), quantile(wall, 0.5), quantile(wall, 0.9)
	if r.business != nil {
		n := len(business)
		s.BN = &n
		s.BHandlingMeanS, s.BHandlingP50S, s.BHandlingP90S = mean(business), quantile(business, 0.5), quantile(business, 0.9)
	}
	return s
}

// mean is nil without values.
func mean(values []float64) *float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return ratio(sum, float64(len(values)))
}
