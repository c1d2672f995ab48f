#!/usr/bin/env bash
# Makes an image of this machine fit to be the start of many: no identity, no
# key, no log, no cache. The last thing Packer runs; from its end no new SSH
# login is possible until the next boot.
set -euo pipefail

state=${STATE:-/var/tmp/chain}
began=$SECONDS
echo "==> generalise"

# What would write again while the machine shuts down.
if command -v apache2ctl >/dev/null; then systemctl stop apache2; fi
if [ -d /opt/aws/amazon-cloudwatch-agent ]; then
  systemctl stop amazon-cloudwatch-agent
  rm -rf /opt/aws/amazon-cloudwatch-agent/logs/* /opt/aws/amazon-cloudwatch-agent/var/*
fi

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/lib/dpkg/*-old \
  /var/cache/ldconfig/aux-cache /var/cache/man/*

if command -v cloud-init >/dev/null; then cloud-init clean --logs --seed >/dev/null; fi

# Identity. An empty machine-id is filled at the next boot; a missing one would
# also reset which units are enabled.
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
rm -rf /var/lib/systemd/timers/*
rm -f /etc/ssh/ssh_host_*
# ssh-cert comes with Apache on some bases and makes a private key.
rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
find /etc/ssl/certs -xtype l -delete

# Old copies of the account files, histories, and every key that may log in.
rm -f /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/subuid- /etc/subgid-
rm -f /root/.bash_history /home/*/.bash_history /home/*/.sudo_as_admin_successful /root/.wget-hsts
for keys in /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys; do
  if [ -e "$keys" ]; then : >"$keys"; fi
done
rm -f /root/.ssh/known_hosts /home/*/.ssh/known_hosts

# Logs, the journal's sockets first: they would start it again.
systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald 2>/dev/null || true
rm -rf /var/log/journal/* /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/log/*.gz /var/log/*.[0-9]
find /var/log -type f -exec truncate -s 0 {} +

rm -rf "$state"
find /tmp /var/tmp -mindepth 1 -maxdepth 1 ! -name 'systemd-private-*' -exec rm -rf {} +
echo "<== generalise: $((SECONDS - began)) s"
