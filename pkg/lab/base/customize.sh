#!/bin/sh
# Finishes the tree at $1: the login admin, first-boot units, a small cloud-init.
set -eu
root=$1

chroot "$root" useradd --uid 1000 --user-group --create-home --shell /bin/bash admin
chroot "$root" passwd --lock admin >/dev/null
printf 'admin ALL=(ALL) NOPASSWD:ALL\n' >"$root/etc/sudoers.d/90-admin"
chmod 0440 "$root/etc/sudoers.d/90-admin"

# An engine mounts its own over these three.
: >"$root/etc/hostname"
: >"$root/etc/resolv.conf"
: >"$root/etc/hosts"

# cloud-init 22.4 with what an instance is told at its start: name, keys, user
# data. Without `locale: false` it fails for want of the package locales. Two of
# its four stages have nothing to do here and are masked below: each costs a
# start of Python.
cat >"$root/etc/cloud/cloud.cfg" <<'CFG'
users: [default]
disable_root: true
ssh_pwauth: false
preserve_hostname: false
manage_etc_hosts: false
locale: false
ssh_deletekeys: false
ssh_genkeytypes: []
datasource_list: [NoCloud, None]
network: {config: disabled}
cloud_init_modules: [bootcmd, write-files, set_hostname, users-groups, ssh]
cloud_config_modules: []
cloud_final_modules: [runcmd, scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user]
system_info:
  distro: debian
  default_user:
    name: admin
    lock_passwd: true
    shell: /bin/bash
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
  paths: {cloud_dir: /var/lib/cloud/, templates_dir: /etc/cloud/templates/}
  ssh_svcname: ssh
CFG
find "$root/etc/cloud/cloud.cfg.d" -type f ! -name 05_logging.cfg -delete
# The package's unit holds up the whole boot until Python is through. Keys and
# name of a machine are on its disk before it boots, so nothing has to wait. The
# stage that is left out is also the one that notices that this is another
# instance than the one the disk was saved from: hence the rm.
cat >"$root/etc/systemd/system/cloud-init.service" <<'UNIT'
[Unit]
Description=Initial cloud-init job
Before=network-online.target

[Service]
Type=oneshot
ExecStartPre=/bin/rm -f /var/lib/cloud/instance
ExecStart=/usr/bin/cloud-init init
RemainAfterExit=yes
TimeoutSec=0
Nice=10
StandardOutput=journal+console

[Install]
WantedBy=cloud-init.target
UNIT
mkdir -p "$root/etc/systemd/system/cloud-final.service.d" "$root/etc/systemd/system/ssh.service.d"
printf '[Service]\nNice=10\n' >"$root/etc/systemd/system/cloud-final.service.d/nice.conf"
# A login that comes before this is refused.
printf '[Unit]\nAfter=systemd-user-sessions.service\n' >"$root/etc/systemd/system/ssh.service.d/login.conf"
# The generator shall not search for a metadata service first.
printf 'policy: enabled\n' >"$root/etc/cloud/ds-identify.cfg"

# Debian's sshd does not make missing host keys, and an image carries none; one
# saved as it was shall not share its keys with what is started from it.
cat >"$root/usr/local/sbin/ssh-host-key" <<'SCRIPT'
#!/bin/sh
# Makes the SSH host key of a new instance.
set -eu
seed=/var/lib/cloud/seed/nocloud/meta-data
mark=/var/lib/cloud/hostkey
instance=$(cat "$seed" 2>/dev/null | md5sum)
if [ -e /etc/ssh/ssh_host_ed25519_key ] && [ "$(cat "$mark" 2>/dev/null)" = "$instance" ]; then exit; fi
rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
mkdir -p "${mark%/*}"
echo "$instance" >"$mark"
SCRIPT
chmod 0755 "$root/usr/local/sbin/ssh-host-key"
cat >"$root/etc/systemd/system/ssh-host-key.service" <<'UNIT'
[Unit]
Description=Make the SSH host key of a new instance
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/ssh-host-key
RemainAfterExit=yes

[Install]
WantedBy=ssh.service
UNIT
rm -f "$root"/etc/ssh/ssh_host_*
chroot "$root" systemctl -q enable ssh-host-key.service ssh.service

# A machine lives minutes: nothing shall take apt's lock or the disk meanwhile.
chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer \
  dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
  cloud-init-local.service cloud-config.service \
  getty.target console-getty.service systemd-logind.service \
  dev-hugepages.mount sys-fs-fuse-connections.mount

: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
rm -rf "$root"/var/log/journal "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/*
find "$root/var/log" -type f -exec truncate -s0 {} +
