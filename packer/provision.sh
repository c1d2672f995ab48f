#!/usr/bin/env bash
# Makes this machine what its role says, and proves it: installs Puppet and
# Serverspec, applies the role, applies it again (which must change nothing),
# and runs the role's specs. Packer runs it in every bake, Vagrant on a laptop;
# the only difference is where the tree is, and that is found from this file.
#
#   ROLE       the role of the machine              (default: web)
#   PUPPET_CLASS, SPECS  of role:: and of serverspec/spec (default: ROLE)
#   IMAGE_KEY  what /version answers                (default: development)
#   STATE      where results and lists are written  (default: /var/tmp/chain)
#   STAGE      tools: stop once the tools are here  (default: image)
set -euo pipefail

tree=$(cd "$(dirname "$0")/.." && pwd -P)
role=${ROLE:-web}
class=${PUPPET_CLASS:-$role}
specs_of=${SPECS:-$role}
state=${STATE:-/var/tmp/chain}
stage=${STAGE:-image}
export IMAGE_KEY=${IMAGE_KEY:-development}
export FACTER_role=$class FACTER_image_key=$IMAGE_KEY
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

# Puppet runs for seconds and ends: a quarter of that went into collecting garbage.
export RUBY_GC_HEAP_INIT_SLOTS=300000 RUBY_GC_MALLOC_LIMIT=134217728 RUBY_GC_MALLOC_LIMIT_MAX=268435456
export RUBY_GC_OLDMALLOC_LIMIT=134217728 RUBY_GC_OLDMALLOC_LIMIT_MAX=268435456

# shellcheck source=packer/tools.env
. "$tree/packer/tools.env"

phase=start began=$SECONDS
begin() { phase=$1; began=$SECONDS; echo "==> $phase"; }
end() { echo "<== $phase: $((SECONDS - began)) s"; }
fail() { echo "provision: $phase: $*" >&2; exit 1; }
# Who looks into a failed bake wants to know what was installed, too.
finish() {
  status=$?
  if [ -d "$state/out" ]; then dpkg-query -W -f '${Package} ${Version}\n' | sort >"$state/out/packages.txt"; fi
  [ $status -eq 0 ] || echo "provision: stopped in: $phase (exit $status)" >&2
}
trap finish EXIT

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
modules() { sed -n "s/^mod '\([^']*\)', '\([^']*\)'.*/\1 \2/p" "$tree/puppet/Puppetfile"; }

begin "prepare"
[ "$(id -u)" -eq 0 ] || fail "must run as root"
[ -f "$tree/puppet/Puppetfile" ] || fail "no puppet/ beside packer/ in $tree"
[ "$stage" = tools ] || [ -f "$tree/puppet/site-modules/role/manifests/$class.pp" ] || fail "there is no role $class in puppet/site-modules/role/manifests"
mkdir -p "$state/out"
free=$(df -Pm / | awk 'NR == 2 { print $4 }')
[ "$free" -ge 500 ] || fail "disk nearly full: $free MiB free on /, 500 MiB needed"
# What was here before the tools came: purge.sh compares with it.
[ -f "$state/packages.before" ] || dpkg-query -W -f '${Package}\n' | sort >"$state/packages.before"
# Also for the apt-get that Puppet runs.
cat >"$state/apt.conf" <<'CONF'
APT::Install-Recommends "false";
Acquire::Retries "3";
DPkg::Lock::Timeout "120";
DPkg::Options { "--force-confdef"; "--force-confold"; "--force-unsafe-io"; };
Dpkg::Use-Pty "0";
CONF
export APT_CONFIG=$state/apt.conf
# Two facts that cost a second each in every run and that no manifest reads.
if [ ! -e /etc/facter/facter.conf ]; then
  mkdir -p /etc/facter
  echo 'facts : { blocklist : [ "augeas", "package_provider" ] }' >/etc/facter/facter.conf
fi
end

begin "install Puppet and Serverspec"
wanted=()
installed puppet-agent || wanted+=("puppet-agent=$PUPPET*")
installed ruby-serverspec || wanted+=("ruby-serverspec=$SERVERSPEC*")
while read -r name _; do
  [ -d "$tree/puppet/modules/${name#*-}" ] || installed "puppet-module-$name" || wanted+=("puppet-module-$name")
done < <(modules)
# A machine that has the tools already was made some time ago. Puppet installs
# packages as well, and yesterday's lists name files that are gone by today.
if [ ${#wanted[@]} -gt 0 ] || [ -z "$(find "$state/lists.stamp" -mmin -60 2>/dev/null)" ]; then
  apt-get update -q -o APT::Update::Error-Mode=any || fail "the package registry cannot be reached (apt-get update)"
  touch "$state/lists.stamp"
fi
# A crash in the bake costs the bake, so nobody need wait until each step of dpkg
# is on the disk, which is half of its time. What spares the waiting is never
# installed; where it cannot be had, it just takes longer.
if [ ! -d "$state/quick" ]; then
  mkdir "$state/quick"
  (cd "$state/quick" && apt-get download -q libeatmydata1 && dpkg-deb -x libeatmydata1_*.deb . && mv usr/lib/*/libeatmydata.so .) \
    >"$state/apt.log" 2>&1 || { echo "without libeatmydata:"; tail -n 1 "$state/apt.log"; }
fi
if [ -s "$state/quick/libeatmydata.so" ]; then export LD_PRELOAD=$state/quick/libeatmydata.so; fi
if [ ${#wanted[@]} -gt 0 ]; then
  apt-get install -y -q "${wanted[@]}" >"$state/apt.log" 2>&1 || { tail -n 20 "$state/apt.log" >&2; fail "apt-get install ${wanted[*]}"; }
fi
puppet=$(dpkg-query -W -f '${Version}' puppet-agent) serverspec=$(dpkg-query -W -f '${Version}' ruby-serverspec)
case $puppet in "$PUPPET" | "$PUPPET"[.-]*) ;; *) fail "Puppet is $puppet, packer/tools.env says $PUPPET" ;; esac
case $serverspec in "$SERVERSPEC" | "$SERVERSPEC"[.-]*) ;; *) fail "Serverspec is $serverspec, packer/tools.env says $SERVERSPEC" ;; esac
while read -r name version; do
  metadata=$tree/puppet/modules/${name#*-}/metadata.json
  [ -f "$metadata" ] || metadata=/usr/share/puppet/modules/${name#*-}/metadata.json
  found=$(sed -n 's/^ *"version": *"\(.*\)",*$/\1/p' "$metadata")
  [ "$found" = "$version" ] || fail "module $name is $found, puppet/Puppetfile says $version"
done < <(modules)
echo "puppet $puppet, serverspec $serverspec"
end
[ "$stage" = image ] || exit 0

apply() {
  local status=0
  puppet apply --environmentpath "$tree" --environment puppet --strict=error --strict_variables \
    --detailed-exitcodes --color=false "$tree/puppet/manifests/site.pp" || status=$?
  return $status
}

begin "puppet apply"
status=0; apply || status=$?
case $status in
  0 | 2) ;; # nothing to do, or changes made
  1) fail "puppet could not compile or apply role $class" ;;
  *) fail "puppet could not bring some resources to their state (exit $status)" ;;
esac
end

# Beside the specs: a second apply that changes what they look at fails the run
# anyway, and each takes one of two cores.
begin "puppet apply again"
rm -f "$state/out/rspec.json"
(cd "$tree/serverspec" && rspec --format documentation --format json --out "$state/out/rspec.json" "spec/$specs_of") >"$state/rspec.log" 2>&1 &
specs=$!
status=0; apply || status=$?
[ $status -eq 0 ] || { wait $specs || true; fail "a second apply must change nothing (exit $status): see the resources named above"; }
end

begin "serverspec"
status=0; wait $specs || status=$?
cat "$state/rspec.log"
[ $status -eq 0 ] || fail "the machine is not what serverspec/spec/$specs_of expects"
end
