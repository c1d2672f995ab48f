#!/usr/bin/env bash
# Takes away what provision.sh brought for its own use, and proves by the
# package system that only what the role declares is new on this machine.
# Run by Packer only.
set -euo pipefail

tree=$(cd "$(dirname "$0")/.." && pwd -P)
role=${ROLE:-web}
state=${STATE:-/var/tmp/chain}
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 APT_CONFIG=$state/apt.conf
began=$SECONDS
# As in provision.sh.
if [ -s "$state/quick/libeatmydata.so" ]; then export LD_PRELOAD=$state/quick/libeatmydata.so; fi

fail() { echo "purge: $*" >&2; exit 1; }

echo "==> purge"
before=$state/packages.before
[ -s "$before" ] || fail "$before is missing: provision.sh has not run here"
declared=$state/packages.declared
sed 's/#.*//; /^[[:space:]]*$/d' "$tree/packer/packages/$role" | sort >"$declared"

dpkg-query -W -f '${Package}\n' 'puppet*' ruby-serverspec 2>/dev/null | sort | comm -23 - "$before" >"$state/packages.tools"
[ -s "$state/packages.tools" ] || fail "found no tool to purge"
# shellcheck disable=SC2046 # one argument for each package
apt-get purge -y -q --autoremove $(cat "$state/packages.tools") >"$state/apt.log" 2>&1 ||
  { tail -n 20 "$state/apt.log" >&2; fail "apt-get purge"; }

# A file override that names a user who is gone breaks every later dpkg run:
# first the overrides, then user and group.
dpkg-statoverride --list | awk '$1 == "puppet" || $2 == "puppet" { print $4 }' |
  while read -r path; do dpkg-statoverride --quiet --remove "$path"; done
if getent passwd puppet >/dev/null; then userdel puppet; fi
if getent group puppet >/dev/null; then groupdel puppet; fi
rm -rf /etc/facter /etc/puppet /etc/puppetlabs /opt/puppetlabs /var/lib/puppet /var/cache/puppet /var/log/puppet \
  /run/puppet /root/.puppetlabs /root/.facter /root/.gem /var/lib/gems "$tree"

dpkg-query -W -f '${Package}\n' | sort >"$state/packages.after"
comm -13 "$before" "$state/packages.after" >"$state/packages.new"
extra=$(comm -23 "$state/packages.new" "$declared")
lost=$(comm -23 "$before" "$state/packages.after")
missing=$(comm -13 "$state/packages.after" "$declared")
[ -z "$extra" ] || fail "packages that packer/packages/$role does not declare: ${extra//$'\n'/ }"
[ -z "$missing" ] || fail "packages that packer/packages/$role declares are not installed: ${missing//$'\n'/ }"
[ -z "$lost" ] || fail "packages of the base image are gone: ${lost//$'\n'/ }"
audit=$(dpkg --audit)
[ -z "$audit" ] || fail "dpkg --audit: $audit"
apt-get check -qq || fail "apt-get check"

dpkg-query -W -f '${Package} ${Version}\n' | sort >"$state/out/packages.txt"
echo "new packages: $(tr '\n' ' ' <"$state/packages.new")"
echo "<== purge: $((SECONDS - began)) s"
