#!/bin/sh
# Builds the lab's base system, the disk of its "Debian 12" AMI, as a tarball.
#
#   build.sh OUT SOURCES CUSTOMIZE [APT_OPTION...]
#
# SOURCES is an apt sources file (deb822), empty for mmdebstrap's own; CUSTOMIZE the script that finishes
# the tree, each APT_OPTION a line of apt.conf that the machines need as well.
set -eu

out=$1 sources=$2 customize=$3
shift 3

# What a machine needs to boot, to be logged in to and to be told who it is.
# python3-minimal and the rest of Python come with cloud-init.
packages=systemd,systemd-sysv,openssh-server,cloud-init,sudo,ca-certificates,iproute2

# Each further argument becomes an option of mmdebstrap.
n=$#
while [ "$n" -gt 0 ]; do
  set -- "$@" "--aptopt=$1"
  shift
  n=$((n - 1))
done

set -- "$@" "--customize-hook=$customize" bookworm "$out"
if [ -s "$sources" ]; then set -- "$@" "$sources"; fi

# Manuals and translations are a third of the tree; without fsync an install in
# a machine takes half the time.
exec mmdebstrap --variant=minbase --include="$packages" \
  --aptopt='APT::Install-Recommends "false"' \
  --aptopt='Acquire::Languages "none"' \
  --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  "$@"
