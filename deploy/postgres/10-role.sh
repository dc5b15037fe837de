#!/bin/sh
# Runs once, in an empty PostgreSQL: a role that owns one database and nothing else.
set -eu
psql --username postgres --set ON_ERROR_STOP=1 \
  --set password="$(cat /run/secrets/database_password)" <<'SQL'
CREATE ROLE throughline LOGIN PASSWORD :'password';
CREATE DATABASE throughline OWNER throughline;
REVOKE ALL ON DATABASE throughline FROM PUBLIC;
SQL
