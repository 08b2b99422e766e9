package scale

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
)

// What was set out: for every view a tail of 1 s over 30 days and of 5 s over 365, a message in 120 bytes without its text, and a question that stays the same while
// the store grows tenfold takes less than half as much again.
const (
	mostBytes  = 120.
	mostGrowth = 1.5
)

var mostTime = map[int]time.Duration{30: time.Second, 365: 5 * time.Second}

// page tells what was found, beside what was set out; before are the measurements of a smaller store, or none.
func (all measurements) page(before measurements) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Metrics over %s messages, %s\n\n%d cores, load before %s; `make bench-metrics MESSAGES=%d` measures again.\n\n", thousands(all.Messages), time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), all.Load, all.Messages)
	fmt.Fprintf(&b, "Two years, %d institutions; asked is one of them. Its messages, %s here, come first and are %s at most, so that the question stays the same while the store grows. Of each question %d answers over HTTP count, after one that does not.\n"+
		"CPU is the engine's for one answer, and what growth and the ratio to the base table are of.\n\n", offices, thousands(min(all.Messages, ownMessages)), thousands(ownMessages), *repeats)
	all.verdict(&b, before)
	grown := ""
	if before.Messages > 0 {
		grown = fmt.Sprintf(" growth from %s |", thousands(before.Messages))
	}
	fmt.Fprintf(&b, "\n## By view\n\n| view | days | p50, ms | p95, ms | CPU, ms | rows read | MB read | x the base table |%s\n|---|---|---|---|---|---|---|---|%s\n", grown, strings.Repeat("---|", strings.Count(grown, "|")))
	for _, view := range slices.Sorted(maps.Keys(all.Taken)) {
		for _, days := range periods {
			m := all.Taken[view][days]
			fmt.Fprintf(&b, "| %s | %d | %.0f | %.0f | %.0f | %d | %.1f | %.1f |", view, days, ms(m.P50), ms(m.P95), ms(m.CPU), m.Rows, float64(m.Bytes)/1e6, ratio(m, all.Taken[base][days]))
			if was, known := before.Taken[view][days]; known {
				fmt.Fprintf(&b, " %.2f |", ratio(m, was))
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// verdict holds the worst of everything against what was set out.
func (all measurements) verdict(b *strings.Builder, before measurements) {
	b.WriteString("| wanted | measured | |\n|---|---|---|\n")
	judge := func(wanted, measured string, held bool) {
		word := map[bool]string{true: "held", false: "missed"}[held]
		fmt.Fprintf(b, "| %s | %s | %s |\n", wanted, measured, word)
	}
	for _, days := range periods {
		worst := all.worst(func(view string) float64 { return float64(all.Taken[view][days].P95) })
		took := all.Taken[worst][days].P95
		over := 0
		for view := range all.Taken {
			if all.Taken[view][days].P95 >= mostTime[days] {
				over++
			}
		}
		judge(fmt.Sprintf("%d days in less than %s, p95 of every view measured", days, mostTime[days]), fmt.Sprintf("%.2f s for the slowest, %s; %d of %d take longer", took.Seconds(), worst, over, len(all.Taken)), over == 0)
	}
	judge(fmt.Sprintf("less than %.0f bytes a message without text", mostBytes), fmt.Sprintf("%.1f (%.1f more for its text)", all.Bytes["message_facts"], all.Bytes["message_bodies"]), all.Bytes["message_facts"] < mostBytes)
	if before.Messages == 0 {
		return
	}
	for _, days := range periods {
		growth := func(view string) float64 { return ratio(all.Taken[view][days], before.Taken[view][days]) }
		worst := all.worst(growth)
		judge(fmt.Sprintf("the same question over %d days grows by less than %.1f x from %s messages", days, mostGrowth, thousands(before.Messages)), fmt.Sprintf("%.2f x at most, %s", growth(worst), worst), growth(worst) < mostGrowth)
	}
}

func (all measurements) worst(of func(view string) float64) string {
	return slices.MaxFunc(slices.Sorted(maps.Keys(all.Taken)), func(a, b string) int {
		if of(a) < of(b) {
			return -1
		}
		return 1
	})
}

// ratio is of processor time; the clock that counts it ticks every 10 ms.
func ratio(m, of measurement) float64 { return float64(m.CPU) / float64(max(of.CPU, time.Millisecond)) }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// thousands writes 1000000 as 1,000,000.
func thousands[N int | uint64](n N) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}
