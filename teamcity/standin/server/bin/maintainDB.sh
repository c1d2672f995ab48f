#!/bin/sh
# maintainDB.sh backup -C -D -L -P -U -A DATA -F FILE
# maintainDB.sh restore -A DATA -F FILE -T PROPERTIES
set -eu
command=$1 data='' file='' properties=''
shift
while [ $# -gt 0 ]; do
  case $1 in
    -C | -D | -L | -P | -U) ;;
    -A) data=$2; shift ;;
    -F) file=$2; shift ;;
    -T) properties=$2; shift ;;
    *) echo "maintainDB: $1?" >&2; exit 2 ;;
  esac
  shift
done
value() { sed -n "s/^$1=//p" "${properties:-$data/config/database.properties}"; }
url=$(value connectionUrl) PGUSER=$(value connectionProperties.user) PGPASSWORD=$(value connectionProperties.password)
export PGUSER PGPASSWORD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $command in
  backup)
    pg_dump -O "${url#jdbc:}" >"$work/database.sql"
    python3 -m zipfile -c "$file" "$work/database.sql" "$data/config"
    ;;
  restore)
    [ "$(psql -XAtc "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'" "${url#jdbc:}")" = 0 ] || { echo "maintainDB: the database is not empty" >&2; exit 1; }
    python3 -m zipfile -e "$file" "$work"
    cp -r "$work/config/." "$data/config/"
    psql -XqAtv ON_ERROR_STOP=1 -f "$work/database.sql" "${url#jdbc:}"
    ;;
  *) echo "maintainDB: $command?" >&2; exit 2 ;;
esac
