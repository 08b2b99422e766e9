package chhttp

import (
	"strings"
	"testing"
)

func TestParseStatement(t *testing.T) {
	insert := func(text, target, format, rows string) {
		t.Helper()
		s := parseStatement(text)
		if !s.insert || s.target != target || s.format != format || text[s.dataAt:] != rows {
			t.Errorf("parseStatement(%q) = %+v", text, s)
		}
	}
	insert("INSERT INTO t FORMAT JSONEachRow {\"a\":1}", "INSERT INTO t ", "JSONEachRow", "{\"a\":1}")
	insert("insert into t format CSV\r\n1,2\n", "insert into t ", "CSV", "1,2\n")
	insert("INSERT INTO t (a, `b c`, \"d\") FORMAT Native\n\x01\x02", "INSERT INTO t (a, `b c`, \"d\") ", "Native", "\x01\x02")
	insert("INSERT INTO t FORMAT TSV \t\n\nx", "INSERT INTO t ", "TSV", "\nx")
	insert("INSERT INTO t VALUES (1, 'FORMAT CSV')", "INSERT INTO t ", "Values", " (1, 'FORMAT CSV')")
	insert("INSERT INTO db.values VALUES (1)", "INSERT INTO db.values ", "Values", " (1)")
	insert("INSERT INTO `format` (`values`) FORMAT Values (1)", "INSERT INTO `format` (`values`) ", "Values", "(1)")
	insert("INSERT INTO format FORMAT CSV\n", "INSERT INTO format ", "CSV", "")
	insert("-- INSERT INTO x VALUES\n/* FORMAT */ INSERT INTO TABLE t (* EXCEPT (a)) SETTINGS async_insert = 0 FORMAT CSV 1", "-- INSERT INTO x VALUES\n/* FORMAT */ INSERT INTO TABLE t (* EXCEPT (a)) SETTINGS async_insert = 0 ", "CSV", "1")
	insert("INSERT INTO FUNCTION file('x', 'CSV', 'format UInt8') FORMAT CSV 1", "INSERT INTO FUNCTION file('x', 'CSV', 'format UInt8') ", "CSV", "1")
	insert("INSERT INTO {db:Identifier}.{t:Identifier} (a) VALUES ({a:String})", "INSERT INTO {db:Identifier}.{t:Identifier} (a) ", "Values", " ({a:String})")
	insert("INSERT INTO t SETTINGS x = 'it''s \\' VALUES ' VALUES (1)", "INSERT INTO t SETTINGS x = 'it''s \\' VALUES ' ", "Values", " (1)")

	other := func(text, format, file string) {
		t.Helper()
		if s := parseStatement(text); s.insert || s.format != format || s.file != file {
			t.Errorf("parseStatement(%q) = %+v", text, s)
		}
	}
	other("", "", "")
	other("SELECT 1", "", "")
	other("SELECT 1 FORMAT JSON", "JSON", "")
	other("SELECT 1 FORMAT JSON;", "JSON", "")
	other("SELECT 1 format JSONCompact SETTINGS max_threads = 1", "JSONCompact", "")
	other("(SELECT 1) FORMAT Native", "Native", "")
	other("SELECT 1 AS format, 2", "", "")
	other("SELECT 'x FORMAT CSV'", "", "")
	other("SELECT $$ FORMAT CSV$$ FORMAT TSV", "TSV", "")
	other("SELECT $a$ $$ FORMAT CSV $a$", "", "")
	other("SELECT (SELECT 1 FORMAT CSV)", "", "")
	other("SELECT 1 -- FORMAT CSV", "", "")
	other("SELECT 1 # FORMAT CSV\n", "", "")
	other("SELECT \"it\"\" FORMAT CSV\" FORMAT XML", "XML", "")
	other("INSERT INTO t SELECT * FROM values FORMAT CSV", "CSV", "")
	other("INSERT INTO t WITH 1 AS x SELECT x", "", "")
	other("INSERT INTO t (a) (SELECT 1)", "", "")
	other("INSERT INTO t", "", "")
	other("SELECT 1 INTO OUTFILE '/tmp/x' FORMAT CSV", "CSV", "INTO OUTFILE")
	other("SELECT 'never closed FORMAT CSV", "", "")
	other("SELECT 'a\\", "", "")
}

// A file clause that hides behind the row format of an insert must be seen: libchdb would read the file.
func TestParseStatementSeesFiles(t *testing.T) {
	for text, file := range map[string]string{
		"INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV":                                "FROM INFILE",
		"INSERT INTO t (a) FROM\n/* */INFILE '/etc/passwd' COMPRESSION 'none' FORMAT CSV\n": "FROM INFILE",
		"SELECT 1 INTO /**/ outfile '/tmp/x'":                                               "INTO OUTFILE",
		"(SELECT 1) INTO OUTFILE '/tmp/x'":                                                  "INTO OUTFILE",
		"WITH 1 AS x SELECT x INTO OUTFILE '/tmp/x' TRUNCATE FORMAT CSV":                    "INTO OUTFILE",
	} {
		if s := parseStatement(text); s.file != file {
			t.Errorf("parseStatement(%q) = %+v", text, s)
		}
	}
}

func TestParseStatementSeesInput(t *testing.T) {
	for text, want := range map[string]bool{
		"INSERT INTO t SELECT a FROM input('a UInt8') FORMAT CSV\n1":                    true,
		"INSERT INTO t (a) WITH x AS (SELECT * FROM INPUT ('a UInt8')) SELECT * FROM x": true,
		"INSERT INTO t SELECT 'input(' AS input, `input` FROM y":                        false,
		"INSERT INTO t FORMAT CSV\ninput(":                                              false,
		"INSERT INTO input (a) VALUES (1)":                                              false,
		"SELECT a FROM input('a UInt8')":                                                false,
	} {
		if s := parseStatement(text); s.input != want {
			t.Errorf("parseStatement(%q) = %+v", text, s)
		}
	}
}

func FuzzParseStatement(f *testing.F) {
	for _, text := range []string{"INSERT INTO t VALUES (1)", "SELECT 1 FORMAT CSV", "$a$", "'\\", "/*", "INSERT INTO t FORMAT CSV\n1", "}}]) FORMAT x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := parseStatement(text)
		if s.insert && (s.dataAt > len(text) || !strings.HasPrefix(text, s.target) || len(s.target) > s.dataAt) {
			t.Errorf("parseStatement(%q) = %+v", text, s)
		}
	})
}
