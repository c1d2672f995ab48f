#!/usr/bin/env bash
# Sets up and checks this station, then runs a target:
#
#   ./station.sh TARGET [ARGUMENTS]     ./station.sh -l lists the targets
#
# What is missing is installed (as root at once, else with sudo after asking) or
# built into ${XDG_CACHE_HOME:-~/.cache}/chain; station/tools says what that may
# be. Then the targets are compiled into .chain/bin and the one asked for takes
# the place of this script, so that its exit code and signals are its own.
# Exit codes of the set-up itself: 2 usage, 3 a tool is missing and may not be
# installed, 1 it failed. Runs with the bash 3.2 of macOS.

# shellcheck disable=SC2317 # many functions are called by their names
set -euo pipefail

top=$(cd "$(dirname "$0")" && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/chain
state=$top/.chain/station
chain=$top/.chain/bin/chain
export PATH="$PATH:/usr/sbin:/sbin" CHECKPOINT_DISABLE=1
# The same with and without a C compiler: what is compiled once stays good when
# one gets installed.
export CGO_ENABLED=0
. "$top/station/goflags"

say() { echo "station: $*"; }

# fail CODE ID WHAT WHERE STATE NEXT...: the shape of every error of the chain.
fail() {
  local code=$1
  printf '✖ %s %s\n  where   %s\n  state   %s\n' "$2" "$3" "$4" "$5" >&2
  shift 5
  local label=next line
  for line in "$@"; do printf '  %-7s %s\n' "$label" "$line" >&2; label=; done
  exit "$code"
}

digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-16; }

# --- what is there -----------------------------------------------------------

docker_version() { dockerd --version 2>/dev/null || docker version --format '{{.Server.Version}}'; }
plugin_version() { packer plugins installed | sed -n 's/.*packer-plugin-amazon_v\([0-9.]*\).*/\1/p' | sort -V | tail -n 1; }
# each_version NAME ASK: what every program of that name in PATH answers.
each_version() {
  local dir
  printf '%s\n' "$PATH" | tr ':' '\n' | while read -r dir; do if [ -x "$dir/$1" ]; then "$dir/$1" "$2" 2>/dev/null || true; fi; done
}
aws_version() { each_version aws --version | grep "^aws-cli/$1\."; }
old_packer_version() { CHECKPOINT_DISABLE=1 each_version packer version | grep '^Packer v1\.6\.'; }
gem_version() { ruby -e 'puts Gem::Specification.find_by_name(ARGV[0]).version' "$1"; }
module_version() { sed -n 's/^ *"version": *"\(.*\)",*$/\1/p' "/usr/share/puppet/modules/$1/metadata.json"; }
venv_version() { python3 -c 'import ensurepip, platform, venv; print(platform.python_version())'; }

# The rows of the sets asked for: tool|least|version command|get.
rows() {
  sed '/^#/d; /^[[:space:]]*$/d; s/[[:space:]]*|[[:space:]]*/|/g; s/[[:space:]]*$//' "$top/station/tools" |
    while IFS='|' read -r tool set least version get; do
      case " $sets " in *" $set "*) printf '%s|%s|%s|%s\n' "$tool" "$least" "$version" "$get" ;; esac
    done
}

# version_of COMMAND: the first number with a dot in what it prints, or nothing.
version_of() { (eval "$1" 2>/dev/null || true) | grep -Eo '[0-9]+(\.[0-9]+)+' | sed -n 1p || true; }

at_least() { [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | sed -n 1p)" = "$2" ]; }

# Where a tool that we build or fetch lives: one directory for each recipe.
home_of() {
  case $1 in
    "build "*) echo "$cache/tools/$(dirname "${1#build }")-$(cd "$top/station/$(dirname "${1#build }")" && cat ./* | digest)" ;;
    "go "*) local at=${1#go }; echo "$cache/tools/$(basename "${at%@*}")-${at#*@}" ;;
    "pip "*) local at=${1#pip }; echo "$cache/tools/${at%==*}-${at#*==}" ;;
  esac
}

# What the cache holds goes first in PATH.
use_cache() {
  local tool least version get home
  while IFS='|' read -r tool least version get; do
    home=$(home_of "$get")
    if [ -n "$home" ] && [ -e "$home/.complete" ]; then
      case ":$PATH:" in *":$home/bin:"*) ;; *) PATH=$home/bin:$PATH ;; esac
      if [ -d "$home/plugins" ]; then export PACKER_PLUGIN_PATH=$home/plugins; fi
    fi
  done <<ROWS
$(rows)
ROWS
}

# Sets `missing` to the rows whose tool is not there or too old.
look() {
  local tool least version get found
  missing=
  while IFS='|' read -r tool least version get; do
    found=$(version_of "$version")
    if ! at_least "$found" "$least"; then
      if [ -n "$found" ]; then say "$tool is $found, $least or newer is needed"; else say "$tool is missing"; fi
      missing="$missing$tool|$least|$version|$get
"
    fi
  done <<ROWS
$(rows)
ROWS
}

# --- what is missing ---------------------------------------------------------

# get_of METHOD: the arguments of the missing rows that come by it, each once.
get_of() { printf '%s' "$missing" | sed -n "s/^.*|$1 //p" | sort -u; }

# apt PACKAGES: installs them; as root, else with sudo after asking.
apt() {
  local packages=$* as=
  if ! command -v apt-get >/dev/null; then
    fail 3 E-STA-01 "tools are missing, and this station has no apt-get to install them with" \
      "station/tools" "nothing was installed" "install what is named above, then the same command again"
  fi
  local by_hand="apt-get update && apt-get install --no-install-recommends $packages"
  if [ "$(id -u)" -ne 0 ]; then
    local answer=
    if command -v sudo >/dev/null; then
      as="sudo env"
      if sudo -n true 2>/dev/null && [ -n "${CI:-}" ]; then
        answer=y
      elif [ -t 0 ] && [ -t 1 ]; then
        printf 'station: install with sudo: %s? [y/N] ' "$packages"
        read -r answer
      fi
    fi
    case $answer in
      y | Y | yes) sudo -v || answer= ;;
      *) answer= ;;
    esac
    [ -n "$answer" ] || fail 3 E-STA-01 "tools are missing, and this user may not install them" \
      "station/tools" "nothing was installed" "sudo sh -c '$by_hand'" "the same command again"
  fi
  say "installing with apt-get: $packages"
  apt_as=$as apt_packages=$packages
  background apt apt_run
}

apt_run() {
  local as=$apt_as
  # shellcheck disable=SC2086 # words on purpose
  ${as:-env} DEBIAN_FRONTEND=noninteractive apt-get update -q -o APT::Update::Error-Mode=any -o Acquire::Retries=2 || return 4
  # shellcheck disable=SC2086
  ${as:-env} DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 -o DPkg::Options::=--force-unsafe-io $apt_packages
}

# build METHOD ARGUMENT: one tool into its home in the cache, whole or not at all.
build() {
  local home what=$1 arg=$2 new
  home=$(home_of "$what $arg")
  # What a killed build left; another clone may be building right now.
  for new in "$home".new.*; do
    if ! kill -0 "${new##*.}" 2>/dev/null; then rm -rf "$new"; fi
  done
  new=$home.new.$$
  mkdir -p "$new/bin"
  case $what in
    build) "$top/station/$arg" "$new" ;;
    go) (cd "$new" && GOBIN=$new/bin GOFLAGS='' go install -ldflags='-s -w' "$arg") ;;
    # A virtual environment knows its path, so it is made in place.
    pip) rm -rf "$home" "$new" && python3 -m venv "$home" && "$home/bin/pip" install -q --disable-pip-version-check "$arg" && touch "$home/.complete" && return ;;
  esac
  touch "$new/.complete"
  rm -rf "$home"
  mv "$new" "$home"
}

# --- the targets -------------------------------------------------------------

sources() {
  (cd "$top" && find go.mod go.sum magefile.go mage.go pkg cmd -type f ! -name '*_test.go' ! -path '*/testdata/*' -print) | LC_ALL=C sort
}

# Compiled from just these files, none of them changed since.
fresh() {
  [ -x "$chain" ] && [ -f "$state/sources" ] &&
    [ "$(sources | digest)" = "$(cat "$state/sources")" ] &&
    [ -z "$(cd "$top" && sources | tr '\n' '\0' | xargs -0 sh -c 'find "$@" -prune -newer .chain/bin/chain -print' sh | sed -n 1p)" ]
}

compile() {
  local list
  list=$(sources | digest)
  mkdir -p "$top/.chain/bin" "$state"
  touch "$state/began"
  (cd "$top" && station/mage -ldflags '-s -w' -compile "$chain.new") || return 1
  # As old as the moment we began: what was edited meanwhile counts as newer.
  touch -r "$state/began" "$chain.new"
  mv -f "$chain.new" "$chain"
  echo "$list" >"$state/sources"
}

# --- work beside each other --------------------------------------------------

in_top() { cd "$top" && "$@"; }

jobs_now=
# background NAME COMMAND...: runs it with its output in a log.
background() {
  local name=$1
  shift
  mkdir -p "$state"
  (set -euo pipefail; "$@") >"$state/$name.log" 2>&1 &
  jobs_now="$jobs_now $name:$!:$SECONDS"
}

# finish NAME: waits for it; its log only if it failed.
finish() {
  local job name pid since code=0
  for job in $jobs_now; do
    name=${job%%:*} pid=${job#*:} since=${job##*:}
    pid=${pid%%:*}
    [ "$name" = "$1" ] || continue
    jobs_now=$(printf '%s' " $jobs_now " | sed "s/ $job / /")
    wait "$pid" || code=$?
    if [ $code -eq 0 ]; then say "$name: $((SECONDS - since)) s"; return; fi
    if [ "$name" = lab ]; then return; fi
    tail -n 25 "$state/$name.log" >&2
    local what="$1 failed" next="the same command again"
    if grep -qE 'dial tcp|no such host|Could not resolve|Failed to fetch|Temporary failure|Connection (refused|timed out)|Network is unreachable|Max retries exceeded|connection refused|i/o timeout' "$state/$name.log"; then
      what="$1: no network to the package registries" next="check the network and its proxy variables, then the same command again"
    fi
    fail 1 E-STA-02 "$what" "$state/$name.log" "the targets have not been run" "$next"
  done
}

stop_jobs() {
  local job pid
  for job in $jobs_now; do
    pid=${job#*:} pid=${pid%%:*}
    kill "$pid" 2>/dev/null || true
  done
}

# --- all of it ---------------------------------------------------------------

# What a target needs: the base always, the lab where it is the lab's turn.
sets_of() {
  local target=${CHAIN_TARGET:-}
  if [ -z "$target" ]; then target=$(sed -n 's/^target: *\([a-z]*\).*/\1/p' "$top/chain.yaml" 2>/dev/null || true); fi
  local lab=' lab'
  [ "$target" != aws ] || lab=
  case $1 in
    check) echo "base lab bake check" ;;
    bake | test | release | rollback | bench) echo "base$lab bake" ;;
    status | history | diff | sweep) echo "base$lab" ;;
    lab:up) echo "base lab" ;;
    *) echo "base" ;;
  esac
}

main() {
  local target=${1:-}
  case $target in
    '' | -h | --help | help) sed -n '2,/^$/p' "$0" | sed 's/^# \{0,1\}//'; [ -n "$target" ] && exit 0; exit 2 ;;
  esac
  local at
  if command -v git >/dev/null && at=$(git -C "$top" rev-parse --show-prefix 2>&1 || true) && [ -n "$at" ]; then
    fail 2 E-STA-03 "not a Git clone: $at" "$top" "nothing was done" "git clone the repository, then run station.sh in the clone"
  fi

  sets=$(sets_of "$target")
  local stamp
  stamp="$sets $(cat "$top/station/tools" "$top/station/packer/"* | digest) $PATH"
  use_cache
  # Looking at every version takes a second: only where something changed.
  local known
  known=$state/$(printf '%s' "$sets" | tr ' ' '-').ok
  if ! { [ -f "$known" ] && [ "$(cat "$known")" = "$stamp" ] && commands_there; }; then
    set_up "$target"
    mkdir -p "$state"
    printf '%s\n' "$stamp" >"$known"
  elif ! fresh; then
    one_at_a_time
    say "compiling the targets"
    background compile compile
    finish compile
    rm -rf "$state/lock"
  fi
  engine
  trap - EXIT INT TERM HUP
  cd "$top"
  # Mage counts the arguments of a target, and what breaks takes any number.
  if [ "$target" = lab:break ]; then
    shift
    case ${1:--list} in -list) set -- list ;; esac
    set -- lab:break "$(printf '%s\n' "$@")"
  fi
  exec "$chain" "$@"
}

# A Docker engine that is there but closed to this user is no engine.
engine() {
  case " $sets " in *" lab "*) ;; *) return ;; esac
  local socket=/var/run/docker.sock
  if [ "$(id -u)" -eq 0 ] || [ -n "${DOCKER_HOST:-}" ] || [ -w "$socket" ] || docker version >/dev/null 2>&1; then return; fi
  if [ -S "$socket" ]; then
    fail 3 E-STA-04 "this user may not use the Docker engine" "$socket" "nothing was started" \
      "sudo usermod -aG docker $(id -un)   # then log in anew" "the same command again"
  fi
  fail 3 E-STA-04 "the Docker engine does not run, and this user may not start it" "$socket" "nothing was started" \
    "sudo systemctl start docker   # or start Docker Desktop" "the same command again"
}

# The commands of the sets are still there (their versions were looked at before).
commands_there() {
  local tool least version get
  while IFS='|' read -r tool least version get; do
    case $version in
      *_version*) ;;
      *) command -v "${version%% *}" >/dev/null || return 1 ;;
    esac
  done <<ROWS
$(rows)
ROWS
}

# Two set-ups in one clone would build the same things into each other.
one_at_a_time() {
  local waited=0 holder
  mkdir -p "$state"
  while ! mkdir "$state/lock" 2>/dev/null; do
    holder=$(cat "$state/lock/pid" 2>/dev/null || true)
    if [ $waited -ge 2 ] && { [ -z "$holder" ] || ! kill -0 "$holder" 2>/dev/null; }; then
      rm -rf "$state/lock" # whoever made it is gone
      continue
    fi
    [ $waited -ne 2 ] || say "waiting for the set-up that runs as process $holder"
    sleep 1
    waited=$((waited + 1))
  done
  echo $$ >"$state/lock/pid"
  trap 'stop_jobs; rm -rf "$state/lock"' EXIT
  trap 'exit 130' INT TERM HUP
}

set_up() {
  one_at_a_time
  look
  local by_hand
  by_hand=$(printf '%s' "$missing" | sed -n 's/^\([^|]*\)|.*|hand \(.*\)$/\1 from \2/p')
  [ -z "$by_hand" ] || fail 3 E-STA-01 "tools are missing that only you can install" "station/tools" "nothing was installed" "$by_hand" "the same command again"

  local packages arg
  packages=$(get_of apt | tr '\n' ' ')
  if [ -n "$packages" ]; then apt "${packages% }"; fi

  # One after the other: each of these takes all cores there are, and one of
  # the SDK's packages takes 3 GB.
  fresh || { say "compiling the targets"; background compile compile; finish compile; }
  # The lab's first start makes the base image: a minute that a build can share.
  # What goes wrong here is told when the target itself looks for the lab. Checks
  # and measurements have labs of their own.
  local early=
  case "$1 $sets " in check* | bench*) ;; *" lab "*) [ -z "$(get_of build)" ] || early=y ;; esac
  if [ -n "$early" ]; then
    finish apt
    say "starting the lab beside"
    background lab in_top "$chain" lab:up
  fi
  for arg in $(get_of build); do
    say "building $(dirname "$arg") from Go modules"
    background "$(dirname "$arg")" build build "$arg"
    finish "$(dirname "$arg")"
  done
  for arg in $(get_of go); do
    say "building $(basename "${arg%@*}") from Go modules"
    background "$(basename "${arg%@*}")" build go "$arg"
    finish "$(basename "${arg%@*}")"
  done
  finish apt
  [ -z "$early" ] || finish lab
  for arg in $(get_of pip); do
    say "installing $arg with pip"
    background "${arg%==*}" build pip "$arg"
    finish "${arg%==*}"
  done

  if [ -n "$missing" ]; then
    use_cache
    look
    [ -z "$missing" ] || fail 3 E-STA-01 "tools are missing or too old" "$(printf '%s' "$missing" | cut -d'|' -f1 | tr '\n' ' ')" \
      "what could be installed was" "install what is named above by hand, then the same command again"
  fi
  trap - EXIT INT TERM HUP
  rm -rf "$state/lock"
}

main "$@"
exit
