package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/reference"
)

// sharedData is where the real data lie, which are never part of the project; tests that need them skip where they are not.
func sharedData(t *testing.T, path ...string) string {
	t.Helper()
	dir := os.Getenv("DWIARAH_SHARED_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	file, err := filepath.Abs(filepath.Join(append([]string{dir}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Skipf("needs %s of the shared data, which is not here; DWIARAH_SHARED_DATA names the folder", filepath.Join(path...))
	}
	return file
}

// tweet is a row of the file of threads between customers and brands.
type tweet struct {
	id, root, parent, author, text string
	at                             time.Time
}

func readCSV(t *testing.T, file string) [][]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func writeCSV(t *testing.T, file string, rows [][]string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(csv.NewWriter(f).WriteAll(rows), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func readTweets(t *testing.T, file string) []tweet {
	t.Helper()
	rows := readCSV(t, file)
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var all []tweet
	for _, r := range rows[1:] {
		at, err := time.Parse(time.RFC3339, r[column["created_at"]])
		if err != nil {
			t.Fatal(err)
		}
		root := ""
		if i, ok := column["thread_root_id"]; ok {
			root = r[i]
		}
		all = append(all, tweet{id: r[column["tweet_id"]], root: root, parent: r[column["in_reply_to_tweet_id"]], author: r[column["author_id"]], text: r[column["text"]], at: at})
	}
	return all
}

// brandsOf returns the authors that write on the brands' side, as institution ids by author.
func brandsOf(t *testing.T, file string) map[string]string {
	t.Helper()
	rows := readCSV(t, file)
	author, inbound := slices.Index(rows[0], "author_id"), slices.Index(rows[0], "inbound")
	brands := map[string]string{}
	for _, r := range rows[1:] {
		if r[inbound] == "false" {
			brands[r[author]] = strings.ToLower(r[author])
		}
	}
	return brands
}

// writeBrands writes an institutions file in which every brand is an institution of one account.
func writeBrands(t *testing.T, file string, brands map[string]string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("institutions:\n")
	for _, author := range slices.Sorted(maps.Keys(brands)) {
		fmt.Fprintf(&b, "  - {id: %q, name: %q, zone: UTC, accounts: {x: [{handle: %q}]}, purpose: test, legal_basis: test, retention: {text_days: 90, facts_days: 395}}\n", brands[author], author, author)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// mention is an @name as the platform reads one: not within a word or an address.
var mention = regexp.MustCompile(`(?:^|[^0-9A-Za-z_@])@([0-9A-Za-z_]{1,15})\b`)

// labels are what enrichment said of a message, by institution and id; everything else of the reading comes from the file.
type labels map[[2]string]*event.Enrichment

// readWorlds makes a world for every brand from the file's rows alone, by the rules of the metric specification. Author keys are the plain
// author ids here: only their being equal or different matters to a metric.
func readWorlds(tweets []tweet, brands map[string]string, known labels) map[string]reference.World {
	byHandle := map[string]string{} // lower-case handle -> institution
	for author, institution := range brands {
		byHandle[strings.ToLower(author)] = institution
	}
	byID := map[string]tweet{}
	first, last := tweets[0].at, tweets[0].at
	for _, tw := range tweets {
		byID[tw.id] = tw
		if tw.at.Before(first) {
			first = tw.at
		}
		if tw.at.After(last) {
			last = tw.at
		}
	}
	mentions := func(tw tweet) []string {
		var names []string
		for _, m := range mention.FindAllStringSubmatch(tw.text, -1) {
			names = append(names, strings.ToLower(m[1]))
		}
		return names
	}
	addressed := func(tw tweet) map[string]bool {
		set := map[string]bool{}
		for _, name := range mentions(tw) {
			if in := byHandle[name]; in != "" {
				set[in] = true
			}
		}
		if p, ok := byID[tw.parent]; ok && brands[p.author] != "" {
			set[brands[p.author]] = true
		}
		return set
	}
	takingPart := map[string]map[string]bool{} // root -> institutions that wrote or were addressed
	for _, tw := range tweets {
		if takingPart[tw.root] == nil {
			takingPart[tw.root] = map[string]bool{}
		}
		maps.Copy(takingPart[tw.root], addressed(tw))
		if in := brands[tw.author]; in != "" {
			takingPart[tw.root][in] = true
		}
	}
	worlds := map[string]reference.World{}
	for _, institution := range brands {
		worlds[institution] = reference.World{Institution: institution}
	}
	for _, tw := range tweets {
		concerned := addressed(tw)
		own := brands[tw.author]
		if own != "" {
			concerned[own] = true
		} else if len(concerned) == 0 {
			concerned = takingPart[tw.root]
		}
		for in := range concerned {
			m := &event.Message{
				Institution: in, Platform: schemas.PlatformX, MessageId: tw.id, AuthorKey: tw.author, CreatedAtMs: tw.at.UnixMilli(),
				Kind: schemas.KindPost, Direction: schemas.Inbound, ParentId: tw.parent, RootId: tw.root, MessageKey: []byte(tw.id),
			}
			if in == own {
				m.Direction = schemas.Outbound
			}
			if tw.parent != "" {
				m.Kind = schemas.KindReply
			}
			if p, ok := byID[tw.parent]; ok {
				m.ParentAuthorKey = p.author
				m.ParentIsAccount = event.Known_KNOWN_NO
				if brands[p.author] == in {
					m.ParentIsAccount = event.Known_KNOWN_YES
				}
			}
			for _, name := range mentions(tw) {
				if byHandle[name] == in {
					m.MentionsAccount = true
				} else if !slices.Contains(m.MentionKeys, name) {
					m.MentionKeys = append(m.MentionKeys, name)
				}
			}
			w := worlds[in]
			w.Messages = append(w.Messages, &event.Enriched{Message: m, Enrichment: known[[2]string{in, tw.id}]})
			worlds[in] = w
		}
	}
	for in, w := range worlds {
		w.Coverage = []*event.Coverage{{
			Connector: "archive:x", Institution: in, SinceMs: first.UnixMilli(), UntilMs: last.UnixMilli(), Status: schemas.CoverageComplete,
		}}
		worlds[in] = w
	}
	return worlds
}
