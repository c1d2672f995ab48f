#!/bin/sh
# Makes a database server of the base system, in a container of it: PostgreSQL
# that takes connections from everywhere with a password, and nobody logs in.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y install --no-install-recommends postgresql
version=$(ls /etc/postgresql)
cluster=/etc/postgresql/$version/main
echo "listen_addresses = '*'" >"$cluster/conf.d/lab.conf"
echo 'host all all all scram-sha-256' >>"$cluster/pg_hba.conf"

# A disk saved while its server ran names a process that another system had.
mkdir -p /etc/systemd/system/postgresql@.service.d
printf '[Service]\nExecStartPre=-/bin/sh -c "rm -f /var/lib/postgresql/*/main/postmaster.pid"\n' \
  >/etc/systemd/system/postgresql@.service.d/saved.conf

# What changes at each start, from the environment of whoever starts it: the
# port, the role that owns everything, its password and a database.
cat >/usr/local/sbin/lab-database <<'SCRIPT'
#!/bin/sh
set -eu
version=$(ls /etc/postgresql)
unit=postgresql@$version-main
up() { until systemctl -q is-active "$unit" && runuser -u postgres -- pg_isready -q -p "$1"; do sleep 0.1; done 2>/dev/null; }
conf=/etc/postgresql/$version/main/conf.d/port.conf
port=$(sed -n 's/^port = //p' "$conf" 2>/dev/null || true)
up "${port:-5432}"
if [ "${port:-5432}" != "$LAB_PORT" ]; then
  echo "port = $LAB_PORT" >"$conf"
  systemctl restart "$unit"
  up "$LAB_PORT"
fi
runuser -u postgres -- psql -q -t -A -p "$LAB_PORT" -v ON_ERROR_STOP=1 <<'SQL'
\getenv user LAB_USER
\getenv password LAB_PASSWORD
\getenv name LAB_NAME
SELECT format('CREATE ROLE %I', :'user') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
SELECT format('ALTER ROLE %I LOGIN CREATEDB CREATEROLE PASSWORD %L', :'user', :'password') \gexec
SELECT format('ALTER DATABASE postgres OWNER TO %I', :'user') \gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'user') WHERE :'name' <> '' AND NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
SQL
SCRIPT
chmod 0755 /usr/local/sbin/lab-database

rm -f /etc/systemd/system/ssh-host-key.service /etc/systemd/system/cloud-init.service
systemctl -q mask ssh.service cloud-init.service cloud-final.service
apt-get clean
rm -rf /var/lib/apt/lists/*
: >/etc/machine-id
