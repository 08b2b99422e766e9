#!/bin/bash
# Prints the statements that give each service a ClickHouse user of its own, of one role of access.sql, for clickhouse-client. They may be repeated: whose secret has changed gets
# the new password. Of the secrets, one file each in the folder SECRETS, only hashes are printed.
set -euo pipefail

# user NAME ROLE [SETTINGS]: the password of user dwiarah_NAME is in the file clickhouse_NAME_password, an end of line left out as the services do.
user() {
  local password hash
  password=$(cat "${SECRETS:-/run/secrets}/clickhouse_$1_password")
  [ -n "$password" ] || { echo "reading the password of dwiarah_$1: clickhouse_$1_password is empty" >&2; return 1; }
  hash=$(printf %s "$password" | sha256sum)
  cat <<SQL
CREATE USER IF NOT EXISTS dwiarah_$1 IDENTIFIED WITH sha256_hash BY '${hash%% *}';
ALTER USER dwiarah_$1 IDENTIFIED WITH sha256_hash BY '${hash%% *}'${3:+ SETTINGS $3};
GRANT $2 TO dwiarah_$1;
SQL
}

user migrator migrator
user sink writer
# Whoever may edit a panel writes SQL: 2 lets it read and set a question's limits, and nothing else.
user grafana reporter 'readonly = 2'
