package report

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/sink/internal/report/mail"
	"github.com/dwiarah/dwiarah/sink/internal/report/page"
)

// Config says which reports are made, when, and where they go.
type Config struct {
	// Enabled starts the schedule. One process of an installation has it on: the run log keeps each period from being made twice by one process after the other, not by two at once.
	Enabled bool `koanf:"enabled"`
	// Dir is the folder that reports are written to. It is made where it is missing.
	Dir  string       `koanf:"dir"`
	SMTP mail.Config  `koanf:"smtp"`
	List []Definition `koanf:"list"`
}

// Definition is one scheduled report: the weekly two-way report of some institutions.
type Definition struct {
	// Name names the report in its files, in the run log and on the command line.
	Name string `koanf:"name"`
	// Schedule is a cron line of five fields, read on the clock of Zone. Each tick asks for the last week that has ended by then.
	Schedule string `koanf:"schedule"`
	Zone     string `koanf:"zone"`
	// Language is one of page.Languages; empty means Indonesian.
	Language string `koanf:"language"`
	// CatchUp is how many of the latest periods are looked after, those missed while nothing ran included; 0 means 4.
	CatchUp int `koanf:"catch_up"`
	// Institutions by id; empty means all.
	Institutions []string `koanf:"institutions"`
	// Recipients get the report by mail, each entry in a mail of its own.
	Recipients []Recipients `koanf:"recipients"`
}

// Recipients are the addresses of one mail.
type Recipients struct {
	To []string `koanf:"to"`
	// Institutions whose reports these people get; empty means every page of the report, the comparison of institutions included.
	Institutions []string `koanf:"institutions"`
}

// usualCatchUp is four weeks: about a holiday's length.
const usualCatchUp = 4

// DefaultConfig returns the defaults: the weekly report on Monday 07:00 in Jakarta, into the folder reports, by mail to nobody.
func DefaultConfig() Config {
	return Config{
		Enabled: true, Dir: "reports", SMTP: mail.DefaultConfig(),
		List: []Definition{{Name: "weekly", Schedule: "0 7 * * 1", Zone: "Asia/Jakarta", Language: "id", CatchUp: usualCatchUp}},
	}
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_]{0,30}$`)

// Validate reports every bad value.
func (c Config) Validate(report config.Report) {
	if c.Dir == "" {
		report("dir", "", "the folder that reports are written to")
	}
	seen := map[string]bool{}
	mails := false
	for n, d := range c.List {
		key := func(name string) string { return fmt.Sprintf("list[%d].%s", n, name) }
		if !nameForm.MatchString(d.Name) {
			report(key("name"), d.Name, "1 to 31 lower-case letters, digits and _, the first one a letter or digit")
		} else if seen[d.Name] {
			report(key("name"), d.Name, "a name that no other report has")
		}
		seen[d.Name] = true
		zone := d.Zone
		if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
			report(key("zone"), d.Zone, "an IANA zone, as Asia/Jakarta")
			zone = "UTC"
		}
		if _, err := parseSchedule(d.Schedule, zone); err != nil {
			report(key("schedule"), d.Schedule, "five fields of cron: minute hour day-of-month month day-of-week, as 0 7 * * 1 for Monday 07:00")
		}
		if d.Language != "" && !slices.Contains(page.Languages(), d.Language) {
			report(key("language"), d.Language, "one of "+strings.Join(page.Languages(), ", "))
		}
		if d.CatchUp < 0 || d.CatchUp > maxCatchUp {
			report(key("catch_up"), d.CatchUp, "0 (the default, "+strconv.Itoa(usualCatchUp)+") to "+strconv.Itoa(maxCatchUp)+" periods")
		}
		for m, r := range d.Recipients {
			mails = true
			if len(r.To) == 0 {
				report(key(fmt.Sprintf("recipients[%d].to", m)), "", "at least one address")
			}
			for k, address := range r.To {
				if err := mail.CheckAddress(address); err != nil {
					report(key(fmt.Sprintf("recipients[%d].to[%d]", m, k)), address, "a mail address, as humas@instansi.go.id")
				}
			}
		}
	}
	if mails {
		c.SMTP.Check(func(key string, value any, allowed string) { report("smtp."+key, value, allowed) })
	}
}

const maxCatchUp = 53

// parseSchedule reads a cron line on the clock of a zone, whatever the zone of the machine.
func parseSchedule(line, zone string) (cron.Schedule, error) {
	if strings.Contains(line, "TZ=") {
		return nil, fmt.Errorf("schedule %q: the zone has a key of its own", line)
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	schedule, err := parser.Parse("CRON_TZ=" + zone + " " + line)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", line, err)
	}
	if schedule.Next(time.Unix(0, 0)).IsZero() {
		return nil, fmt.Errorf("schedule %q never comes", line)
	}
	return schedule, nil
}
