package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/dwiarah/dwiarah/schemas/clickhouse/clickhousetest"
)

// secretsOf is a folder with a file for each secret of a service, in the place of /run/secrets.
func secretsOf(t *testing.T, service types.ServiceConfig) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, secret := range service.Secrets {
		if err := os.WriteFile(filepath.Join(dir, secret.Source), []byte("secret "+secret.Source+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// serviceUsers runs users.sh on a folder of secrets and returns the statements that it prints.
func serviceUsers(t *testing.T, secrets string) (statements []string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", filepath.Join(deploy, "compose", "users.sh"))
	command.Env = append(os.Environ(), "SECRETS="+secrets)
	out, err := command.Output()
	for statement := range strings.SplitSeq(string(out), ";\n") {
		if statement != "" {
			statements = append(statements, statement)
		}
	}
	return statements, err
}

func accessFile(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(deploy, "clickhouse", "access.sql"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestComposeUsersHaveOneRoleEach: whoever asks ClickHouse does it as a user of the one role that is for it, and the administrator makes those users and nothing else.
func TestComposeUsersHaveOneRoleEach(t *testing.T) {
	project := loadCompose(t)
	statements, err := serviceUsers(t, secretsOf(t, project.Services["access"]))
	if err != nil {
		t.Fatal(err)
	}
	roles := map[string][]string{}
	for _, s := range statements {
		if m := regexp.MustCompile(`^GRANT (\w+) TO (\w+)$`).FindStringSubmatch(s); m != nil {
			roles[m[2]] = append(roles[m[2]], m[1])
			if !strings.Contains(accessFile(t), "CREATE ROLE IF NOT EXISTS "+m[1]+";") {
				t.Errorf("%s: access.sql makes no such role", s)
			}
		}
	}
	for service, c := range map[string]struct{ variable, role string }{
		"migrate": {"DWIARAH_CLICKHOUSE__USER", "migrator"}, "sink": {"DWIARAH_CLICKHOUSE__USER", "writer"}, "grafana": {"DWIARAH_CLICKHOUSE_USER", "reporter"},
	} {
		user := *project.Services[service].Environment[c.variable]
		if !slices.Equal(roles[user], []string{c.role}) {
			t.Errorf("%s asks ClickHouse as %s, of roles %q; want %s", service, user, roles[user], c.role)
		}
		delete(roles, user)
	}
	if len(roles) > 0 {
		t.Errorf("no service is %v", roles)
	}
	if !slices.ContainsFunc(statements, func(s string) bool {
		return strings.HasPrefix(s, "ALTER USER dwiarah_grafana") && strings.HasSuffix(s, " SETTINGS readonly = 2")
	}) {
		t.Error("Grafana's user may write the log of the reports")
	}
	var administrators []string
	for name, service := range project.Services {
		if slices.ContainsFunc(service.Secrets, func(s types.ServiceSecretConfig) bool { return s.Source == "clickhouse_password" }) {
			administrators = append(administrators, name)
		}
	}
	if slices.Sort(administrators); !slices.Equal(administrators, []string{"access", "clickhouse"}) {
		t.Errorf("%q have the password of ClickHouse's administrator", administrators)
	}
}

// TestComposeUsersAreUnderstood: the engine reads what users.sh prints, which holds the secrets' hashes and no secret; without one of them it fails.
func TestComposeUsersAreUnderstood(t *testing.T) {
	service := loadCompose(t).Services["access"]
	secrets := secretsOf(t, service)
	statements, err := serviceUsers(t, secrets)
	if err != nil || len(statements) < 9 {
		t.Fatal(statements, err)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{clickhousetest.Start(t, t.TempDir()).Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, s := range statements {
		if err := conn.Exec(t.Context(), "EXPLAIN AST "+s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	all := strings.Join(statements, "\n")
	for _, secret := range service.Secrets {
		if secret.Source == "clickhouse_password" {
			continue
		}
		text := "secret " + secret.Source
		if hash := fmt.Sprintf("%x", sha256.Sum256([]byte(text))); strings.Count(all, hash) != 2 || strings.Contains(all, text) {
			t.Errorf("of %s the hash is printed %d times, want 2, and the secret itself: %v", secret.Source, strings.Count(all, hash), strings.Contains(all, text))
		}
		path := filepath.Join(secrets, secret.Source)
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := serviceUsers(t, secrets); err == nil {
			t.Errorf("an empty %s is taken for a password", secret.Source)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := serviceUsers(t, secrets); err == nil {
			t.Errorf("a missing %s is not noticed", secret.Source)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestComposeOrder: roles, users, tables, and only then whoever reads and writes them.
func TestComposeOrder(t *testing.T) {
	project := loadCompose(t)
	for name, before := range map[string]string{"access": "clickhouse", "migrate": "access", "sink": "migrate", "grafana": "migrate"} {
		condition := types.ServiceConditionCompletedSuccessfully
		if before == "clickhouse" {
			condition = types.ServiceConditionHealthy
		}
		if got := project.Services[name].DependsOn[before].Condition; got != condition {
			t.Errorf("%s waits for %s to be %q, want %q", name, before, got, condition)
		}
	}
	if command := project.Services["migrate"].Command; len(command) == 0 || command[0] != "migrate" {
		t.Errorf("the service migrate runs %q", command)
	}
	// What the shell of the service access hands to the client, which there is no server for here: the file of the roles, then the users.
	access := project.Services["access"]
	if !mounted(access, "/access.sql", "access.sql") || !mounted(access, "/users.sh", "users.sh") {
		t.Error("the service access does not mount what it runs")
	}
	dir, secrets := t.TempDir(), secretsOf(t, access)
	client := "#!/bin/bash\ncat >" + dir + "/statements\nprintf '%s\\n' \"$CLICKHOUSE_PASSWORD\" \"$@\" >" + dir + "/arguments\n"
	if err := os.WriteFile(filepath.Join(dir, "clickhouse-client"), []byte(client), 0o700); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(deploy)
	if err != nil {
		t.Fatal(err)
	}
	var line []string
	for _, word := range slices.Concat(access.Entrypoint, access.Command) {
		// As Compose does it: two dollars are one.
		line = append(line, strings.NewReplacer("$$", "$", "/run/secrets", secrets, "/access.sql", here+"/clickhouse/access.sql", "/users.sh", here+"/compose/users.sh").Replace(word))
	}
	command := exec.CommandContext(t.Context(), line[0], line[1:]...)
	command.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "SECRETS="+secrets)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	users, err := serviceUsers(t, secrets)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "statements"))
	if err != nil {
		t.Fatal(err)
	}
	if want := accessFile(t) + strings.Join(users, ";\n") + ";\n"; string(got) != want {
		t.Errorf("the client is given\n%s\nwant\n%s", got, want)
	}
	arguments, err := os.ReadFile(filepath.Join(dir, "arguments"))
	if err != nil {
		t.Fatal(err)
	}
	host, user := "clickhouse", *project.Services["clickhouse"].Environment["CLICKHOUSE_USER"]
	if want := "secret clickhouse_password\n--host\n" + host + "\n--user\n" + user + "\n"; string(arguments) != want {
		t.Errorf("the password and the client's arguments are %q, want %q", arguments, want)
	}
}

var secretPath = regexp.MustCompile(`/run/secrets/(\w+)`)

// TestComposeSecretsAreThoseThatAreRead: a service has the secrets that its configuration names, and no other.
func TestComposeSecretsAreThoseThatAreRead(t *testing.T) {
	for name, service := range loadCompose(t).Services {
		if name == "access" {
			continue // TestComposeUsersAreUnderstood
		}
		var text bytes.Buffer
		for _, value := range service.Environment {
			fmt.Fprintln(&text, *value)
		}
		fmt.Fprintln(&text, service.Command)
		for _, v := range service.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			err := filepath.WalkDir(v.Source, func(path string, d os.DirEntry, err error) error {
				if os.IsNotExist(err) || err == nil && d.IsDir() { // what the operator makes
					return nil
				}
				if err != nil {
					return err
				}
				b, err := os.ReadFile(path)
				text.Write(b)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		var has, reads []string
		for _, s := range service.Secrets {
			has = append(has, s.Source)
		}
		for _, m := range secretPath.FindAllStringSubmatch(text.String(), -1) {
			reads = append(reads, m[1])
		}
		slices.Sort(has)
		slices.Sort(reads)
		if reads = slices.Compact(reads); !slices.Equal(has, reads) {
			t.Errorf("%s has the secrets %q and reads %q", name, has, reads)
		}
	}
}
