// Package calendar lays working hours out in time: calendars are files with dates of validity, holidays and decrees, and become a list of working spans
// for an office's offset from UTC. The table business_spans holds the same spans, so that SQL and Go count the same seconds.
package calendar

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml
var files embed.FS

// Calendar is a working calendar in local time. Make one with Load or Parse.
type Calendar struct {
	Name  string
	Title string
	// Offsets from UTC, in seconds east, for which spans are stored.
	Offsets []int32
	// Checksum is of the file.
	Checksum string

	first, last time.Time                 // days, at midnight UTC; last is included
	weeks       []week                    // the later wins
	off         map[time.Time]string      // days off and what they are called
	unknown     []int                     // years whose days off are not recorded, or not all
	hours       map[string]map[int][]span // by name and weekday
}

type week struct {
	hours       string
	first, last time.Time
}

// span is a stretch of working time of a day, in seconds since local midnight.
type span struct{ start, end int }

// Names lists the calendars of this build, sorted.
func Names() []string {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil // the pattern is well formed
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, ".yaml")
	}
	return names
}

// Load returns a calendar of this build.
func Load(name string) (*Calendar, error) {
	b, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("calendar %q: allowed are %s", name, strings.Join(Names(), ", "))
	}
	c, err := Parse(name+".yaml", b)
	if err != nil {
		return nil, err
	}
	if c.Name != name {
		return nil, fmt.Errorf("%s.yaml: name: %q; allowed: the name of the file", name, c.Name)
	}
	return c, nil
}

// ReadFile reads a calendar of an institution's own.
func ReadFile(path string) (*Calendar, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading calendar %s: %w", path, err)
	}
	return Parse(path, b)
}

// file is the form of a calendar file.
type file struct {
	Name    string                         `yaml:"name"`
	Title   string                         `yaml:"title"`
	First   string                         `yaml:"first"`
	Last    string                         `yaml:"last"`
	Offsets []int32                        `yaml:"offsets_s"`
	Hours   map[string]map[string][]string `yaml:"hours"`
	Weeks   []struct {
		Hours  string `yaml:"hours"`
		First  string `yaml:"first"`
		Last   string `yaml:"last"`
		Source string `yaml:"source"`
	} `yaml:"weeks"`
	Unknown []int `yaml:"days_off_unknown"`
	DaysOff []struct {
		Year            int               `yaml:"year"`
		Incomplete      bool              `yaml:"incomplete"` // only what is fixed without the year's decree
		Source          string            `yaml:"source"`
		Holidays        map[string]string `yaml:"holidays"`
		CollectiveLeave map[string]string `yaml:"collective_leave"`
	} `yaml:"days_off"`
}

var (
	nameForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	hoursForm = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])$`)
)

// maxOffset is the farthest that a zone lies from UTC.
const maxOffset = 14 * 3600

// Parse reads a calendar file; name stands for it in errors. The error joins everything that is wrong, a line each.
func Parse(name string, b []byte) (*Calendar, error) {
	var f file
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("%s: reading YAML: %w", name, err)
	}
	sum := sha256.Sum256(b)
	c := &Calendar{
		Name: f.Name, Title: f.Title, Offsets: f.Offsets, Checksum: hex.EncodeToString(sum[:]),
		off: map[time.Time]string{}, unknown: slices.Clone(f.Unknown), hours: map[string]map[int][]span{},
	}
	p := &problems{file: name}
	if !nameForm.MatchString(f.Name) {
		p.add("name", f.Name, "1 to 63 lower-case letters, digits and -, the first one a letter or digit")
	}
	c.first, c.last = p.days("", f.First, f.Last)
	if len(f.Offsets) == 0 {
		p.add("offsets_s", "", "at least one offset from UTC in seconds")
	}
	for i, o := range f.Offsets {
		if o < -maxOffset || o > maxOffset || slices.Contains(f.Offsets[:i], o) {
			p.add(fmt.Sprintf("offsets_s[%d]", i), fmt.Sprint(o), fmt.Sprintf("%d to %d, each once", -maxOffset, maxOffset))
		}
	}
	for _, hours := range slices.Sorted(keys(f.Hours)) {
		c.hours[hours] = p.week("hours."+hours, f.Hours[hours])
	}
	for i, w := range f.Weeks {
		key := fmt.Sprintf("weeks[%d]", i)
		if c.hours[w.Hours] == nil {
			p.add(key+".hours", w.Hours, "a key of hours")
		}
		if w.Source == "" {
			p.add(key+".source", "", "the regulation or decision that it comes from")
		}
		first, last := p.days(key+".", w.First, w.Last)
		c.weeks = append(c.weeks, week{w.Hours, first, last})
	}
	p.daysOff(c, f)
	if len(p.list) > 0 {
		return nil, errors.Join(p.list...)
	}
	return c, nil
}

// daysOff reads the years of days off, of which each year of the calendar has to be recorded or named as unknown.
func (p *problems) daysOff(c *Calendar, f file) {
	years := slices.Clone(f.Unknown)
	for i, y := range f.DaysOff {
		key := fmt.Sprintf("days_off[%d]", i)
		years = append(years, y.Year)
		if y.Incomplete {
			c.unknown = append(c.unknown, y.Year)
		}
		if y.Source == "" {
			p.add(key+".source", "", "the decree that it comes from")
		}
		for kind, days := range map[string]map[string]string{".holidays": y.Holidays, ".collective_leave": y.CollectiveLeave} {
			for _, s := range slices.Sorted(keys(days)) {
				day, err := time.Parse(time.DateOnly, s)
				if err != nil || day.Year() != y.Year || c.off[day] != "" {
					p.add(key+kind, s, fmt.Sprintf("days of %d as %d-08-17, each once", y.Year, y.Year))
					continue
				}
				c.off[day] = days[s]
			}
		}
	}
	slices.Sort(c.unknown)
	slices.Sort(years)
	var want []int
	for y := c.first.Year(); y <= c.last.Year(); y++ {
		want = append(want, y)
	}
	if !slices.Equal(years, want) {
		p.add("days_off", fmt.Sprint(years), fmt.Sprintf("every year from %d to %d once, in days_off or in days_off_unknown", c.first.Year(), c.last.Year()))
	}
}

// problems gathers what is wrong with a file.
type problems struct {
	file string
	list []error
}

func (p *problems) add(key, value, allowed string) {
	if value == "" {
		p.list = append(p.list, fmt.Errorf("%s: %s: missing; allowed: %s", p.file, key, allowed))
		return
	}
	p.list = append(p.list, fmt.Errorf("%s: %s: %q; allowed: %s", p.file, key, value, allowed))
}

func (p *problems) days(prefix, first, last string) (time.Time, time.Time) {
	from, err := time.Parse(time.DateOnly, first)
	if err != nil {
		p.add(prefix+"first", first, "a day as 2026-03-01")
	}
	to, err := time.Parse(time.DateOnly, last)
	if err != nil || to.Before(from) {
		p.add(prefix+"last", last, "a day as 2026-03-31, not before first")
	}
	return from, to
}

func (p *problems) week(key string, days map[string][]string) map[int][]span {
	spans := map[int][]span{}
	for _, name := range slices.Sorted(keys(days)) {
		weekday := slices.IndexFunc(weekdays, func(d time.Weekday) bool { return strings.EqualFold(d.String(), name) })
		if weekday < 0 {
			p.add(key, name, "days of the week in English")
			continue
		}
		end := 0
		for _, s := range days[name] {
			m := hoursForm.FindStringSubmatch(s)
			if m == nil {
				p.add(key+"."+name, s, "local times as 07:30-12:00")
				continue
			}
			start, stop := seconds(m[1], m[2]), seconds(m[3], m[4])
			if start < end || stop <= start || stop > 24*3600 {
				p.add(key+"."+name, s, "spans of time in order, apart, and inside the day")
				continue
			}
			if start == end && end > 0 { // two spans that touch are one
				spans[weekday][len(spans[weekday])-1].end = stop
			} else {
				spans[weekday] = append(spans[weekday], span{start, stop})
			}
			end = stop
		}
	}
	return spans
}

var weekdays = []time.Weekday{time.Sunday, time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday}

func seconds(hour, minute string) int {
	t, err := time.ParseDuration(hour + "h" + minute + "m")
	if err != nil {
		return 0 // the form was matched
	}
	return int(t.Seconds())
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// DaysOffUnknown lists the years whose holidays the calendar does not know, or not all of them: every other weekday counts as a working day in them.
func (c *Calendar) DaysOffUnknown() []int { return slices.Clone(c.unknown) }

// DayOff names the holiday or collective leave of a local day; ok is false on every other day.
func (c *Calendar) DayOff(year int, month time.Month, day int) (name string, ok bool) {
	name, ok = c.off[time.Date(year, month, day, 0, 0, 0, 0, time.UTC)]
	return name, ok
}

// Spans lays the calendar out for an office that many seconds east of UTC.
func (c *Calendar) Spans(offset int32) Spans {
	var spans Spans
	var cum int64
	zone := time.Duration(offset) * time.Second
	for day := c.first; !day.After(c.last); day = day.AddDate(0, 0, 1) {
		if _, off := c.off[day]; off {
			continue
		}
		for _, s := range c.working(day) {
			start := day.Add(time.Duration(s.start)*time.Second - zone)
			spans = append(spans, Span{Start: start, End: start.Add(time.Duration(s.end-s.start) * time.Second), Before: cum})
			cum += int64(s.end - s.start)
		}
	}
	return spans
}

// working gives the spans of a day that is not off.
func (c *Calendar) working(day time.Time) []span {
	for _, w := range slices.Backward(c.weeks) {
		if !day.Before(w.first) && !day.After(w.last) {
			return c.hours[w.hours][int(day.Weekday())]
		}
	}
	return nil
}
