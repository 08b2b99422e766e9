// Package institutions reads institutions.yaml: whose accounts are listened to, in which zone and calendar they work, and on what legal footing.
package institutions

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones have to resolve in a minimal container

	"go.yaml.in/yaml/v3"

	"github.com/dwiarah/dwiarah/schemas"
)

// Institution owns accounts. A connector for it refuses to start without a purpose, a legal basis and a retention (UU PDP 27/2022).
type Institution struct {
	ID   string `yaml:"id"`
	Name string `yaml:"name"`
	// Zone is the office's IANA zone; it has to be one without daylight saving.
	Zone string `yaml:"zone"`
	// Calendar names the working calendar of business time; empty for none, and then business times are NULL.
	Calendar string `yaml:"calendar"`
	// Accounts by platform.
	Accounts map[string][]Account `yaml:"accounts"`
	// Keywords that mention the institution without naming an account.
	Keywords   []string  `yaml:"keywords"`
	Purpose    string    `yaml:"purpose"`
	LegalBasis string    `yaml:"legal_basis"`
	Retention  Retention `yaml:"retention"`
}

// Account is an official account. ID is the platform's own author id, Handle the name people type; either may stand alone.
type Account struct {
	ID     string `yaml:"id"`
	Handle string `yaml:"handle"`
}

// Name is what the account is called in views and on panels.
func (a Account) Name() string {
	if a.Handle != "" {
		return a.Handle
	}
	return a.ID
}

// AuthorID is the id under which the account's own messages and mentions are keyed.
func (a Account) AuthorID() string {
	if a.ID != "" {
		return a.ID
	}
	return a.Handle
}

// Retention by kind of data, in days.
type Retention struct {
	TextDays  int `yaml:"text_days"`
	FactsDays int `yaml:"facts_days"`
}

// Location is the institution's zone. Only for an Institution that Parse returned.
func (i *Institution) Location() *time.Location {
	loc, err := time.LoadLocation(i.Zone)
	if err != nil {
		return time.UTC
	}
	return loc
}

// calendarForm is that of a calendar's name. Which calendars there are the sink knows, which loads them.
var calendarForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Directory finds institutions and accounts.
type Directory struct {
	list    []Institution
	byID    map[string]*Institution
	account map[accountKey]owner
}

type accountKey struct{ platform, name string }

type owner struct {
	institution *Institution
	account     Account
}

// Load reads and validates a file. The error joins everything that is wrong, a line each, naming file, key, value and what is allowed.
func Load(path string) (*Directory, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the institutions file: %w", err)
	}
	return Parse(path, b)
}

type file struct {
	Institutions []Institution `yaml:"institutions"`
}

// Parse is Load for bytes; name stands for the file in errors.
func Parse(name string, b []byte) (*Directory, error) {
	var in file
	var problems []error
	report := func(key, value, allowed string) {
		if value == "" {
			problems = append(problems, fmt.Errorf("%s: %s: missing; allowed: %s", name, key, allowed))
			return
		}
		problems = append(problems, fmt.Errorf("%s: %s: %q; allowed: %s", name, key, value, allowed))
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&in); err != nil {
		var typ *yaml.TypeError
		if !errors.As(err, &typ) {
			return nil, fmt.Errorf("%s: reading YAML: %w", name, err)
		}
		// What could be decoded is checked as well, so that one run names every mistake.
		for _, line := range typ.Errors {
			problems = append(problems, fmt.Errorf("%s: %s", name, inFileTerms(line)))
		}
	}
	if len(in.Institutions) == 0 {
		report("institutions", "", "at least one institution")
	}
	d := &Directory{list: in.Institutions, byID: map[string]*Institution{}, account: map[accountKey]owner{}}
	for n := range d.list {
		d.add(&d.list[n], fmt.Sprintf("institutions[%d]", n), report)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return d, nil
}

var unknownKey = regexp.MustCompile(`^line (\d+): field (\S+) not found in type institutions\.(\w+)$`)

// inFileTerms says the YAML decoder's complaint about an unknown key in the file's own words instead of Go's.
func inFileTerms(line string) string {
	m := unknownKey.FindStringSubmatch(line)
	if m == nil {
		return line
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[file](), reflect.TypeFor[Institution](), reflect.TypeFor[Account](), reflect.TypeFor[Retention]()} {
		if typ.Name() != m[3] {
			continue
		}
		var keys []string
		for i := range typ.NumField() {
			keys = append(keys, typ.Field(i).Tag.Get("yaml"))
		}
		return fmt.Sprintf("line %s: unknown key %q; allowed: %s", m[1], m[2], strings.Join(keys, ", "))
	}
	return line
}

var idForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{1,62}$`)

func (d *Directory) add(in *Institution, at string, report func(key, value, allowed string)) {
	if !idForm.MatchString(in.ID) {
		report(at+".id", in.ID, "2 to 63 lower-case letters, digits, - and _, the first one a letter or digit")
	} else if d.byID[in.ID] != nil {
		report(at+".id", in.ID, "an id that no other institution has")
	} else {
		d.byID[in.ID] = in
	}
	for _, required := range []struct{ key, value, allowed string }{
		{".name", in.Name, "the institution's name"},
		{".purpose", in.Purpose, "the purpose of processing (UU PDP 27/2022, article 16)"},
		{".legal_basis", in.LegalBasis, "the legal basis of processing (UU PDP 27/2022, article 20)"},
	} {
		if strings.TrimSpace(required.value) == "" {
			report(at+required.key, "", required.allowed)
		}
	}
	if err := checkZone(in.Zone); err != nil {
		report(at+".zone", in.Zone, err.Error())
	}
	if in.Calendar != "" && !calendarForm.MatchString(in.Calendar) {
		report(at+".calendar", in.Calendar, "the name of a calendar, such as id-government, or absent")
	}
	for _, days := range []struct {
		key   string
		value int
	}{{".retention.text_days", in.Retention.TextDays}, {".retention.facts_days", in.Retention.FactsDays}} {
		if days.value < 1 || days.value > 3650 {
			report(at+days.key, fmt.Sprint(days.value), "1 to 3650 days; 90 for texts and 395 for facts are usual")
		}
	}
	if len(in.Accounts) == 0 {
		report(at+".accounts", "", "at least one account, by platform")
	}
	for _, platform := range slices.Sorted(maps.Keys(in.Accounts)) {
		accounts := in.Accounts[platform]
		key := at + ".accounts." + platform
		if !schemas.KnownPlatform(platform) {
			report(key, platform, "one of "+strings.Join(schemas.Platforms(), ", "))
			continue
		}
		for n, a := range accounts {
			if a.ID == "" && a.Handle == "" {
				report(fmt.Sprintf("%s[%d]", key, n), "", "an id, a handle, or both")
			}
			for _, name := range []string{a.ID, a.Handle} {
				if name == "" {
					continue
				}
				k := accountKey{platform, Fold(name)}
				if o, taken := d.account[k]; taken && (o.institution != in || o.account != a) {
					report(fmt.Sprintf("%s[%d]", key, n), name, "an account that no other entry has; "+o.institution.ID+" has it")
					continue
				}
				d.account[k] = owner{in, a}
			}
		}
	}
}

// checkZone refuses zones with daylight saving: buckets of a local day are computed from one fixed offset.
func checkZone(zone string) error {
	allowed := errors.New("an IANA zone without daylight saving, as Asia/Jakarta, Asia/Makassar, Asia/Jayapura or UTC")
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		return allowed
	}
	_, first := time.Date(2015, 1, 1, 0, 0, 0, 0, loc).Zone()
	for month := range 12 * 20 {
		if _, offset := time.Date(2015, time.Month(1+month), 1, 0, 0, 0, 0, loc).Zone(); offset != first {
			return allowed
		}
	}
	return nil
}

// Fold brings a handle or an id into the form in which accounts are compared: handles are case-insensitive on every platform read here.
func Fold(name string) string { return strings.ToLower(strings.TrimPrefix(name, "@")) }

// All returns the institutions in the file's order.
func (d *Directory) All() []Institution { return d.list }

// Institution returns the institution with that id, or nil.
func (d *Directory) Institution(id string) *Institution { return d.byID[id] }

// Owner returns the institution that owns an account, given the author's id or handle; nil when nobody of the file does.
func (d *Directory) Owner(platform, author string) (*Institution, Account) {
	o := d.account[accountKey{platform, Fold(author)}]
	return o.institution, o.account
}
