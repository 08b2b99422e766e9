package report

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dwiarah/dwiarah/schemas/sample"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// cookbook is where the questions lie, each a file of SQL, and COOKBOOK.md with their answers.
const cookbook = "../../../schemas/clickhouse/cookbook"

// askedOf names another institution for the questions that are dull of the one that all the others are asked of.
var askedOf = map[string]string{
	"18_which_posts_bait.sql":            "dishub-nusahalimar",
	"19_which_posts_engage.sql":          "dishub-nusahalimar",
	"20_what_share_is_automatic.sql":     "dukcapil-argaluhur",
	"28_does_it_look_arranged.sql":       "dishub-nusahalimar",
	"29_what_if_bots_count_less.sql":     "dishub-nusahalimar",
	"30_which_growth_is_unexplained.sql": "dishub-nusahalimar",
}

var (
	questionName  = regexp.MustCompile(`^([0-9]{2})_[a-z0-9_]+\.sql$`)
	questionText  = regexp.MustCompile(`^-- ([A-Z][^\n]*\?)\n((?:-- [^\n]+\n){1,2})((?s:[^-].*))$`)
	queryArgument = regexp.MustCompile(`\{([a-z_]+):([^}]*)\}`)
	// dependsOnSettings finds what might mean something else under other settings.
	dependsOnSettings = regexp.MustCompile(`JOIN|toHour|toDate`)
	noNumber          = regexp.MustCompile(`(?i)\| *-?(nan|inf) *\|`)
)

// Every question of the cookbook is answered by the bundled sample, with true labels, as COOKBOOK.md says; -update writes that file.
func TestCookbook(t *testing.T) {
	_, s := sampleDatabase(t)
	files, err := filepath.Glob(filepath.Join(cookbook, "*.sql"))
	if err != nil || len(files) != 32 {
		t.Fatalf("%d questions, want 32: %v", len(files), err)
	}
	people := map[string]bool{}
	for _, k := range s.Key.Institutions {
		for _, e := range s.World(k.ID).Messages {
			people[e.Message.AuthorKey] = true
		}
	}
	arguments := map[string]string{"from": "2026-07-02 17:00:00", "to": sample.DefaultEnd().Format("2006-01-02 15:04:05")}
	types := map[string]string{"institution": "String", "from": "DateTime64(3, 'UTC')", "to": "DateTime64(3, 'UTC')"}
	var contents, answers strings.Builder
	for n, file := range files {
		name := filepath.Base(file)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := questionText.FindStringSubmatch(string(b))
		if number := questionName.FindStringSubmatch(name); m == nil || number == nil || number[1] != fmt.Sprintf("%02d", n+1) {
			t.Errorf("%s: want NN_name.sql, numbered without a gap, that begins with a comment with the question and one or two lines on how to read the answer", name)
			continue
		}
		question, reading, sql := m[1], strings.ReplaceAll(m[2], "-- ", ""), strings.TrimSpace(m[3])
		for _, a := range queryArgument.FindAllStringSubmatch(sql, -1) {
			if types[a[1]] != a[2] {
				t.Errorf("%s: the parameter %s; known are %v", name, a[0], types)
			}
		}
		if strings.Contains(sql, "int_") || !strings.Contains(sql, "{institution:String}") {
			t.Errorf("%s: want the views that stay as they are, of one institution", name)
		}
		arguments["institution"] = "tirta-lengkara"
		if other := askedOf[name]; other != "" {
			arguments["institution"] = other
		}
		table := markdown(t, name, sql, arguments, nil)
		if dependsOnSettings.MatchString(sql) {
			// What a server or a client sets must not show.
			other := markdown(t, name, sql, arguments, url.Values{"session_timezone": {"Asia/Jayapura"}, "join_use_nulls": {"1"}})
			if diff := cmp.Diff(table, other); diff != "" {
				t.Errorf("%s: another answer in another zone, with join_use_nulls:\n%s", name, diff)
			}
		}
		lines := strings.Split(strings.TrimSpace(table), "\n")
		if rows := len(lines) - 2; rows < 1 || rows > 20 || rows > 1 && !strings.Contains(sql, "\nORDER BY ") {
			t.Errorf("%s: %d rows; want 1 to 20, in order", name, rows)
		}
		if noNumber.MatchString(table) {
			t.Errorf("%s: a number that is none in\n%s", name, table)
		}
		for word := range strings.FieldsFuncSeq(table, func(r rune) bool { return strings.ContainsRune(" |,'[]()\n", r) }) {
			if people[word] {
				t.Errorf("%s: the answer shows the key of an author", name)
			}
		}
		fmt.Fprintf(&contents, "%d. [%s](#%s)\n", n+1, question, anchor(fmt.Sprintf("%d %s", n+1, question)))
		fmt.Fprintf(&answers, "\n## %d %s\n\n%s\n```sql\n%s\n```\n\nOf `%s`:\n\n%s\n", n+1, question, reading, sql, arguments["institution"], strings.Join(lines, "\n"))
	}
	if t.Failed() {
		return
	}
	got := fmt.Sprintf(`# Cookbook

Questions of an analyst, each a file of SQL, with what the bundled sample answers: from %s to %s (UTC; ninety days of Jakarta), with true labels in the place
of a classifier's. With a database of your own, or that of `+"`make demo`"+` (whose labels are a classifier's, so figures that rest on them differ):

`+"```"+`
clickhouse-client --database dwiarah --param_institution tirta-lengkara --param_from '%[1]s' --param_to '%[2]s' --queries-file 02_how_long_do_people_wait.sql
curl '127.0.0.1:8123/?database=dwiarah&default_format=PrettyCompact&param_institution=tirta-lengkara&param_from=2026-07-02+17:00:00&param_to=2026-09-30+17:00:00' --data-binary @02_how_long_do_people_wait.sql
`+"```"+`

What every figure means: [METRICS](../../METRICS.md). Groups of under five authors (where a view tells no number of authors: of under five messages or requests) are left out, no answer holds
the key of an author, and NULL means that there is nothing to compute. `+"`go test ./internal/report -run TestCookbook -update`"+` in `+"`sink`"+` writes this page.

%[3]s%[4]s`, arguments["from"], arguments["to"], contents.String(), answers.String())
	golden := filepath.Join(cookbook, "COOKBOOK.md")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the answers are not those of %s (-want +got):\n%s", golden, diff)
	}
}

// markdown asks over HTTP, as curl would.
func markdown(t *testing.T, name, sql string, arguments map[string]string, settings url.Values) string {
	t.Helper()
	query := url.Values{"database": {sampled.database}, "default_format": {"Markdown"}, "format_tsv_null_representation": {"NULL"}}
	maps.Copy(query, settings)
	for k, v := range arguments {
		query.Set("param_"+k, v)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+storetest.Shared(t)+"/?"+query.Encode(), strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", name, body)
	}
	return string(body)
}

// anchor is the name that a heading has in a page.
func anchor(heading string) string {
	return strings.ReplaceAll(strings.Trim(regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading), ""), " "), " ", "-")
}
