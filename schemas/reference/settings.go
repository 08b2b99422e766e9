package reference

import (
	"cmp"
	"slices"
	"time"
)

// Setting is a row of metric_settings: a threshold or weight from a date on, of one institution or, with an empty one, of all.
type Setting struct {
	Institution string
	Name        string
	ValidFrom   time.Time
	Value       float64
}

// ServiceClock is a row of service_clocks.
type ServiceClock struct {
	Institution string
	Clock       string
	ValidFrom   time.Time
	Days        int
	Unit        string
	Tags        []string
}

// Units of a service clock.
const (
	UnitDays        = "days"
	UnitWorkingDays = "working_days"
)

// InstitutionEvent is a row of institution_events.
type InstitutionEvent struct {
	Kind string
	On   time.Time
}

// Kinds of institution events.
const (
	EventCrisis     = "crisis"
	EventChangeMade = "change_made"
)

// defaultSettings are the specification's.
var defaultSettings = map[string]float64{
	"stage_one_way_reply_share":           0.10,
	"stage_one_way_answered_24h":          0.10,
	"stage_administrative_answered_24h":   0.10,
	"stage_administrative_template_share": 0.70,
	"stage_two_way_reply_share":           0.20,
	"stage_two_way_answered_24h":          0.30,
	"stage_symmetric_loop_rate":           0.20,
	"template_repeats":                    3,
	"crisis_factor":                       1.25,
	"crisis_days":                         365,
	"evidence_days":                       365,
	"quality_least_coverage":              0.95,
	"quality_least_labels":                50,
	"quality_expected_days":               30,
	"quality_drift_days":                  90,
	"bait_reply_ratio":                    1,
	"bait_negative_share":                 0.60,
	"shift_window_s":                      7 * 24 * 3600,
	"anomaly_z":                           4,
	"anomaly_least":                       10,
	"anomaly_refractory_s":                12 * 3600,
	"anomaly_live_s":                      24 * 3600,
	"anomaly_weeks":                       6,
	"anomaly_beside_h":                    1,
	"anomaly_anscombe_days":               28,
	"anomaly_poisson_days":                7,
	"growth_z":                            5,
	"growth_rise":                         1.5,
	"growth_least_mad":                    0.0005,
	"growth_days":                         28,
	"growth_least_days":                   14,
	"coordination_window_s":               60,
	"coordination_times":                  2,
	"bot_burst_s":                         10,
	"bot_weight_burst":                    0.5,
	"bot_weight_duplicate":                0.5,
	"bot_weight_young":                    0.2,
	"bot_young_days":                      30,
	"bot_weight_unfollowed":               0.2,
	"bot_unfollowed":                      5,
	"follow_up_s":                         30 * 24 * 3600,
	"handling_gap_s":                      72 * 3600,
	"sentiment_least":                     50,
	"recurrence_s":                        365 * 24 * 3600,
	"risk_weight_0":                       0,
	"risk_weight_1":                       1,
	"risk_weight_2":                       2,
	"risk_weight_3":                       4,
	"risk_weight_4":                       8,
	"risk_weight_5":                       16,
	"risk_least":                          50,
}

var defaultClocks = []ServiceClock{
	{Clock: "acknowledgement", Days: 3, Unit: UnitWorkingDays},
	{Clock: "information", Days: 5, Unit: UnitWorkingDays, Tags: []string{noRisk}},
	{Clock: "complaint", Days: 14, Unit: UnitWorkingDays, Tags: []string{
		"service_failure", "non_response", "wrong_information", "hoax_impersonation", "improper_content", "inauthentic_engagement", "data_leak_secret",
		"public_safety", "policy_criticism",
	}},
	{Clock: "inspection", Days: 60, Unit: UnitDays, Tags: []string{"misconduct_corruption", "abuse_discrimination", "partisanship_bias"}},
	{Clock: "public_information", Days: 10, Unit: UnitWorkingDays, Tags: []string{"nondisclosure"}},
	{Clock: "public_information_extended", Days: 17, Unit: UnitWorkingDays, Tags: []string{"nondisclosure"}},
}

// setting is what is in force for a period that begins at from: of the institution's own rows the latest, else of everybody's, else the default.
func (r *Reading) setting(name string, from time.Time) float64 {
	value := defaultSettings[name]
	for _, institution := range []string{"", r.institution} {
		rows := slices.DeleteFunc(slices.Clone(r.settings), func(s Setting) bool {
			return s.Institution != institution || s.Name != name || s.ValidFrom.After(from)
		})
		if len(rows) > 0 {
			value = slices.MaxFunc(rows, func(a, b Setting) int { return a.ValidFrom.Compare(b.ValidFrom) }).Value
		}
	}
	return value
}

// whole is a setting that counts something, rounded down, and at least least.
func (r *Reading) whole(name string, from time.Time, least int) int {
	return max(least, int(r.setting(name, from)))
}

// clocks are the service clocks in force for a period that begins at from, by name.
func (r *Reading) clocks(from time.Time) []ServiceClock {
	chosen := map[string]ServiceClock{}
	for _, c := range defaultClocks {
		chosen[c.Clock] = c
	}
	rows := slices.Clone(r.serviceClocks)
	slices.SortFunc(rows, func(a, b ServiceClock) int { return a.ValidFrom.Compare(b.ValidFrom) })
	for _, institution := range []string{"", r.institution} {
		for _, c := range rows {
			if c.Institution == institution && !c.ValidFrom.After(from) {
				chosen[c.Clock] = c
			}
		}
	}
	var clocks []ServiceClock
	for _, c := range chosen {
		if c.Days > 0 {
			clocks = append(clocks, c)
		}
	}
	slices.SortFunc(clocks, func(a, b ServiceClock) int { return cmp.Compare(a.Clock, b.Clock) })
	return clocks
}

// happened tells whether an event of a kind is on record for the day of an instant or at most so many days before.
func (r *Reading) happened(kind string, until time.Time, days float64) bool {
	day := until.UTC().Truncate(24 * time.Hour)
	return slices.ContainsFunc(r.events, func(e InstitutionEvent) bool {
		return e.Kind == kind && !e.On.After(day) && day.Sub(e.On).Hours() <= 24*days
	})
}
