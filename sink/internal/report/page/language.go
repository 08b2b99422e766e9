package page

import (
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

// Languages that a report can be written in.
func Languages() []string { return []string{"id", "en"} }

// tongue writes words, numbers, durations and dates in one language.
type tongue struct {
	tag      string
	words    map[string]string
	printer  *message.Printer
	months   [12]string
	weekdays [7]string // Sunday first, as time.Weekday counts
	units    [4]string // day, hour, minute, second
}

func speak(tag string) (*tongue, error) {
	switch tag {
	case "id":
		return &tongue{
			tag: tag, words: indonesian, printer: message.NewPrinter(language.Indonesian),
			months:   [12]string{"Januari", "Februari", "Maret", "April", "Mei", "Juni", "Juli", "Agustus", "September", "Oktober", "November", "Desember"},
			weekdays: [7]string{"Minggu", "Senin", "Selasa", "Rabu", "Kamis", "Jumat", "Sabtu"},
			units:    [4]string{"hari", "jam", "menit", "detik"},
		}, nil
	case "en":
		return &tongue{
			tag: tag, words: english, printer: message.NewPrinter(language.English),
			months:   [12]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
			weekdays: [7]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
			units:    [4]string{"d", "h", "min", "s"},
		}, nil
	}
	return nil, fmt.Errorf("language %q; allowed: %s", tag, strings.Join(Languages(), ", "))
}

// say returns the words of a key with its arguments filled in. The tests hold every key of the templates against both languages.
func (t *tongue) say(key string, args ...any) (string, error) {
	form, ok := t.words[key]
	if !ok {
		return "", fmt.Errorf("no words for %q in language %q", key, t.tag)
	}
	if len(args) == 0 {
		return form, nil
	}
	return fmt.Sprintf(form, args...), nil
}

func (t *tongue) count(n uint64) string { return t.printer.Sprint(number.Decimal(n)) }

// decimals writes x with a fixed number of decimals.
func (t *tongue) decimals(x float64, digits int) string {
	// Rounding first keeps a tiny negative from being written as -0.
	scale := math.Pow10(digits)
	x = math.Round(x*scale) / scale
	return strings.ReplaceAll(t.printer.Sprint(number.Decimal(x+0, number.Scale(digits))), "-", minus)
}

// minus is the typographic sign: as wide as a plus, and no formula where a cell is pasted into a spreadsheet.
const minus = "\u2212"

// share writes a share of 1 in per cent.
func (t *tongue) share(x float64, digits int) string { return t.decimals(x*100, digits) + "%" }

// signed writes a change with its sign.
func (t *tongue) signed(text string, x float64) string {
	if x > 0 {
		return "+" + text
	}
	return text
}

// duration writes seconds in the two largest units that matter.
func (t *tongue) duration(seconds float64) string { return t.time(seconds, 86400) }

// workingTime writes seconds of working hours as duration does, without days: 24 of them are over three days of work.
func (t *tongue) workingTime(seconds float64) string { return t.time(seconds, math.MaxInt64) }

// time writes seconds in the two largest units that matter; a day has dayS seconds.
func (t *tongue) time(seconds float64, dayS int64) string {
	sign := ""
	if seconds < 0 {
		sign, seconds = minus, -seconds
	}
	// Round to the smaller of the two units that will be shown, so that 59 min 59.9 s becomes an hour and not 60 minutes.
	unit := 1.0
	switch {
	case seconds >= 86400-1800:
		unit = 3600
	case seconds >= 600-30:
		unit = 60
	}
	s := int64(math.Round(seconds/unit) * unit)
	parts := []int64{s / dayS, s % dayS / 3600, s % 3600 / 60, s % 60}
	var out []string
	for n, part := range parts {
		if part != 0 {
			out = append(out, t.printer.Sprint(number.Decimal(part))+" "+t.units[n])
		}
	}
	if len(out) == 0 {
		return "0 " + t.units[3]
	}
	return sign + strings.Join(out, " ")
}

// date writes a day: "9 Maret 2026".
func (t *tongue) date(at time.Time) string {
	return fmt.Sprintf("%d %s %d", at.Day(), t.months[at.Month()-1], at.Year())
}

// fullDate writes a day with its name: "Senin, 9 Maret 2026".
func (t *tongue) fullDate(at time.Time) string {
	return t.weekdays[at.Weekday()] + ", " + t.date(at)
}

// instant writes a moment with its zone: "9 Maret 2026 07.00 WIB".
func (t *tongue) instant(at time.Time) string {
	clock := "15:04"
	if t.tag == "id" {
		clock = "15.04"
	}
	return t.date(at) + " " + at.Format(clock+" MST")
}

// dayLabel is the short name of a day for an axis: "Sen 9".
func (t *tongue) dayLabel(at time.Time) string {
	return fmt.Sprintf("%s\u00a0%d", t.weekday(at), at.Day())
}

// weekday is the day's name in three letters.
func (t *tongue) weekday(at time.Time) string { return string([]rune(t.weekdays[at.Weekday()])[:3]) }
