#!/usr/bin/env bash
# Sets up and checks this station, then runs a target:
#
#   ./station.sh TARGET [ARGUMENTS]     ./station.sh -l lists the targets
#   ./station.sh setup                  everything a person needs: tools, Git hooks, AWS
#   ./station.sh station:check          looks at all tools and installs none
#
# Before any of them: -yes installs without asking, -dry-run only tells what it
# would do. Fetched alone (curl or wget) and run outside of a clone it brings
# itself up to date, clones the repository into ./chain, and sets up from there.
#
# What is missing is installed (on a terminal after asking; with sudo unless root)
# or built into ${XDG_CACHE_HOME:-~/.cache}/chain; station/tools says what that may
# be. Then the targets are compiled into .chain/bin and the one asked for takes
# the place of this script, so that its exit code and signals are its own.
# Exit codes of the set-up itself: 2 usage, 3 a tool or a right is missing, 5 the
# published station.sh is not ours, 8 declined, 1 it failed. Runs with the bash
# 3.2 of macOS.

# shellcheck disable=SC2317 # many functions are called by their names
set -euo pipefail

# What only a published station.sh has use for. station/publish counts the version
# up and writes the keys of station/allowed_signers in here; they are not read
# from elsewhere. The other two may be set from outside.
version=1
signers=''
url=${CHAIN_STATION_URL:-}
repository=${CHAIN_REPOSITORY:-https://github.com/build-deploy-chain/chain.git}

me=${BASH_SOURCE:-} # empty when this comes from a pipe
top=$PWD
[ -z "$me" ] || top=$(cd "$(dirname "$me")" && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/chain
state=$top/.chain/station
chain=$top/.chain/bin/chain
export PATH="$PATH:/usr/sbin:/sbin" CHECKPOINT_DISABLE=1
# The same with and without a C compiler: what is compiled once stays good when
# one gets installed.
export CGO_ENABLED=0
yes='' dry='' proxy='' spared=''

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

# Sets `packages`: the system's come by apt, brew, dnf, or none of them.
packager() {
  case $OSTYPE in darwin*) set -- brew ;; *) set -- apt-get dnf brew ;; esac
  packages=none
  local program
  for program; do
    if command -v "$program" >/dev/null; then packages=${program%-get}; return; fi
  done
}

# The rows of the sets asked for: tool|least|version command|method. Set-up has
# many uses for them, so they are read once.
rows() {
  sed '/^#/d; /^[[:space:]]*$/d; s/[[:space:]]*|[[:space:]]*/|/g; s/^[[:space:]]*//; s/[[:space:]]*$//' "$top/station/tools" |
    while IFS='|' read -r tool set least version get apt brew dnf; do
      case " $sets " in *" $set "*) ;; *) continue ;; esac
      local method=
      case $packages in apt) method=$apt ;; brew) method=$brew ;; dnf) method=$dnf ;; esac
      case ${method:-$get} in
        -) continue ;;
        '' | 'build '* | 'go '* | 'pip '* | 'gem '* | 'npm '* | 'hand '* | 'cask '*) method=${method:-$get} ;;
        *) if [ -n "$method" ]; then method="$packages $method"; else method=$get; fi ;;
      esac
      printf '%s|%s|%s|%s\n' "$tool" "$least" "$version" "${method:-hand the packages of your system}"
    done
}

# how METHOD: the same for a person.
how() {
  case $1 in
    'apt '*) echo "apt-get install ${1#apt }" ;;
    'cask '*) echo "brew install --cask ${1#cask }" ;;
    'brew '* | 'dnf '*) echo "${1%% *} install ${1#* }" ;;
    'hand '*) echo "get it from ${1#hand }" ;;
    *) echo "./station.sh setup makes it" ;;
  esac
}

# version_of COMMAND: the first number with a dot in what it prints, or nothing.
version_of() { (eval "$1" 2>/dev/null </dev/null || true) | grep -Eo '[0-9]+(\.[0-9]+)+' | sed -n 1p || true; }

# at_least FOUND LEAST: number by number, for not every sort knows versions.
at_least() {
  [ -n "$1" ] || return 1
  local found=$1. least=$2. f l
  while [ -n "$least" ]; do
    f=${found%%.*} l=${least%%.*}
    found=${found#*.} least=${least#*.}
    [ "$((10#${f:-0}))" -le "$((10#$l))" ] || return 0
    [ "$((10#${f:-0}))" -eq "$((10#$l))" ] || return 1
  done
}

# Where a tool that we build or fetch lives: one directory for each recipe.
home_of() {
  case $1 in
    "build "*) echo "$cache/tools/$(dirname "${1#build }")-$(cd "$top/station/$(dirname "${1#build }")" && LC_ALL=C && cat ./* | digest)" ;;
    "go "*) local at=${1#go }; echo "$cache/tools/$(basename "${at%@*}")-${at#*@}" ;;
    "npm "*) local at=${1#npm }; echo "$cache/tools/${at%@*}-${at#*@}" ;;
    "pip "*) local at=${1#pip }; echo "$cache/tools/${at%==*}-${at#*==}" ;;
    "gem "*) local at=${1#gem }; echo "$cache/tools/${at%:*}-${at#*:}" ;;
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
      # The colon at its end keeps the gems of the system.
      if [ -d "$home/gems" ]; then export GEM_PATH="$home/gems:${GEM_PATH:-}"; fi
    fi
  done <<ROWS
$(rows)
ROWS
}

# Sets `missing` to the rows whose tool is not there or too old, and tells them;
# with a word, those that will do as well. pkg/station prints the same lines.
look() {
  local tool least version method found all answers=$state/versions.$$
  missing=
  # shellcheck source=station/versions
  . "$top/station/versions"
  mkdir -p "$answers"
  all=$(rows)
  # All at once: some take a second to say it.
  while IFS='|' read -r tool least version method; do
    version_of "$version" >"$answers/$tool" &
  done <<ROWS
$all
ROWS
  wait
  while IFS='|' read -r tool least version method; do
    found=$(cat "$answers/$tool")
    if at_least "$found" "$least"; then
      [ -z "${1:-}" ] || printf '✔ %-20s %s\n' "$tool" "$found"
    else
      if [ -n "$found" ]; then found="is $found, $least or newer is needed"; else found="is missing, $least or newer is needed"; fi
      printf '✖ %-20s %s: %s\n' "$tool" "$found" "$(how "$method")"
      missing="$missing$tool|$least|$version|$method
"
    fi
  done <<ROWS
$all
ROWS
  rm -rf "$answers"
}

# --- what is missing ---------------------------------------------------------

# get_of METHOD: the arguments of the missing rows that come by it, each once.
get_of() { printf '%s' "$missing" | sed -n "s/^.*|$1 //p" | sort -u; }

terminal() { [ -t 1 ] && { [ -t 0 ] || { [ -z "$me" ] && (: </dev/tty) 2>/dev/null; }; }; }

# asked QUESTION: yes, no, or nobody there to answer (2).
asked() {
  local answer=
  [ -z "$yes" ] || return 0
  terminal || return 2
  printf 'station: %s [y/N] ' "$1"
  # From a pipe, stdin is this script.
  if [ -t 0 ]; then read -r answer || true; else read -r answer </dev/tty || true; fi
  case $answer in y | Y | yes) ;; *) return 1 ;; esac
}

# allowed PACKAGES CASKS: may they be installed, and as whom? Sets `as`. What is
# built into the cache needs nobody's leave without a terminal, packages do.
allowed() {
  local by_hand answer=0
  as='env'
  case $packages in
    apt) by_hand="apt-get update && apt-get install --no-install-recommends $1" ;;
    dnf) by_hand="dnf install $1" ;;
    brew) by_hand=$(printf '%s' "${1:+brew install $1}${1:+${2:+ && }}${2:+brew install --cask $2}") ;;
    *) by_hand= ;;
  esac
  [ -z "$1$2" ] || [ -n "$by_hand" ] || fail 3 E-STA-01 "tools are missing, and there is no package manager to install them with" \
    "station/tools" "nothing was installed" "install what is named above" "the same command again"
  asked "install what is named above?" || answer=$?
  if [ $answer -eq 1 ]; then fail 8 E-STA-05 "declined" "station/tools" "nothing was installed" "./station.sh -yes ...   # installs without asking"; fi
  [ -n "$1$2" ] || return 0
  local rights="this user may not install them"
  if [ "$packages" = brew ]; then
    [ "$(id -u)" -ne 0 ] || fail 3 E-STA-01 "Homebrew does not work for root" "brew" "nothing was installed" "run this as the user who owns Homebrew"
    [ -w "$(brew --prefix)" ] || fail 3 E-STA-01 "tools are missing, and $rights" "$(brew --prefix) is not writable" "nothing was installed" \
      "$by_hand   # as the user who owns Homebrew" "the same command again"
    if [ $answer -eq 2 ] && [ -z "${CI:-}" ]; then fail 3 E-STA-01 "tools are missing, and there is nobody to ask" "station/tools" "nothing was installed" "$by_hand" "or with -yes: ./station.sh -yes ..."; fi
  elif [ "$(id -u)" -ne 0 ]; then
    as="sudo env"
    # sudo drops the proxies that apt and dnf need.
    local name
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
      [ -z "${!name:-}" ] || as="$as $name=${!name}"
    done
    # Without a terminal only a sudo that asks nothing will do, and only if told.
    if ! command -v sudo >/dev/null || { if [ $answer -eq 2 ]; then [ -z "${CI:-}" ] || ! sudo -n true 2>/dev/null; elif terminal; then ! sudo -v; else ! sudo -n true 2>/dev/null; fi; }; then
      fail 3 E-STA-01 "tools are missing, and $rights" "station/tools" "nothing was installed" \
        "sudo sh -c '$by_hand'   # or as root: $by_hand" "the same command again"
    fi
  fi
}

apt_run() {
  local half install="install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 -o DPkg::Options::=--force-unsafe-io"
  half=$(dpkg --audit 2>/dev/null || true)
  # What a killed run left half done is finished first: what dpkg can finish by
  # itself, and then what needs packages that had not come yet.
  [ -z "$half" ] || $as DEBIAN_FRONTEND=noninteractive dpkg --configure -a || true
  $as DEBIAN_FRONTEND=noninteractive apt-get update -q -o APT::Update::Error-Mode=any -o Acquire::Retries=2 || return 4
  # shellcheck disable=SC2086 # words on purpose
  [ -z "$half" ] || $as DEBIAN_FRONTEND=noninteractive apt-get $install --fix-broken || return 4
  # shellcheck disable=SC2086
  $as DEBIAN_FRONTEND=noninteractive apt-get $install "$@"
}
dnf_run() { $as dnf install -y -q "$@"; }
brew_run() { NONINTERACTIVE=1 HOMEBREW_NO_AUTO_UPDATE=1 brew install "$@"; }
cask_run() { NONINTERACTIVE=1 HOMEBREW_NO_AUTO_UPDATE=1 brew install --cask "$@"; }

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
    gem) gem install --no-document --install-dir "$new/gems" --bindir "$new/gems/bin" "$arg" && gem_programs "$new" "$home" ;;
    npm) (cd "$new" && npm pack --silent "$arg" && tar -xzf ./*.tgz --strip-components=1 && rm ./*.tgz) ;;
    # A virtual environment knows its path, so it is made in place.
    pip) rm -rf "$home" "$new" && python3 -m venv "$home" && "$home/bin/pip" install -q --disable-pip-version-check "$arg" && touch "$home/.complete" && return ;;
  esac
  touch "$new/.complete"
  rm -rf "$home"
  mv "$new" "$home"
}

# gem_programs NEW HOME: a program of a gem finds its gems where they will be.
gem_programs() {
  local program
  for program in "$1"/gems/bin/*; do
    [ -f "$program" ] || continue
    # shellcheck disable=SC2016 # for the program to expand
    printf '#!/bin/sh\nGEM_PATH="%s/gems:${GEM_PATH:-}" exec ruby "%s/gems/bin/%s" "$@"\n' "$2" "$2" "${program##*/}" >"$1/bin/${program##*/}"
    chmod 755 "$1/bin/${program##*/}"
  done
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
      what="$1: no network to the package registries" next="check the network${proxy:+ and the proxy of $proxy}, then the same command again"
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

# --- fetched alone ---------------------------------------------------------

# get URL FILE: by what there is; never in the clear except on this machine.
get() {
  case $1 in
    file://*) cp "${1#file://}" "$2" 2>/dev/null ;;
    https://* | http://127.0.0.1[:/]* | http://localhost[:/]*)
      if command -v curl >/dev/null; then
        curl -fsSL --proto-redir =https --retry 2 --connect-timeout 5 --max-time 60 -o "$2" "$1" 2>/dev/null
      else
        wget -q -t 2 -T 20 -O "$2" "$1" 2>/dev/null
      fi
      ;;
    *) fail 2 E-STA-06 "a station.sh is fetched by https only" "CHAIN_STATION_URL=$1" "nothing was changed" "export CHAIN_STATION_URL=https://..." ;;
  esac
}

# self_update ARGUMENTS: takes the place of this file if what is published is
# newer and signed by a pinned key. At most once in a run.
self_update() {
  local updated=${CHAIN_STATION_UPDATED:-} here new theirs
  unset CHAIN_STATION_UPDATED
  if [ -n "$updated" ] || [ -z "$url" ] || [ -z "$me" ]; then return; fi
  here=$top/${me##*/}
  for new in "$here".new.*; do # what a killed run left
    if [ -d "$new" ] && ! kill -0 "${new##*.}" 2>/dev/null; then rm -rf "$new"; fi
  done
  new=$here.new.$$ # beside it, so that mv is one step
  if [ ! -w "$here" ] || ! mkdir "$new" 2>/dev/null; then say "not updated: this user may not write $here"; return; fi
  # shellcheck disable=SC2064 # the name of now
  trap "rm -rf '$new'" EXIT
  if ! get "$url" "$new/sh" || ! get "$url.sig" "$new/sig"; then
    say "not updated: nothing was answered at $url; going on with version $version"
  elif ! cmp -s "$new/sh" "$here"; then
    printf '%s\n' "$signers" >"$new/signers"
    if [ -z "$signers" ] || ! ssh-keygen -Y verify -f "$new/signers" -I station -n chain-station -s "$new/sig" <"$new/sh" >/dev/null 2>&1; then
      fail 5 E-STA-06 "the station.sh that is published is not signed by a key that this one knows" "$url" "$here is as it was" \
        "tell who publishes it" "CHAIN_STATION_URL= $me   # goes on with this one"
    fi
    theirs=$(sed -n 's/^version=\([0-9]\{1,9\}\)$/\1/p' "$new/sh" | sed -n 1p)
    if [ "${theirs:-0}" -gt "$version" ] && bash -n "$new/sh" 2>/dev/null; then
      chmod 755 "$new/sh"
      mv -f "$new/sh" "$here"
      rm -rf "$new"
      say "updated from version $version to $theirs"
      trap - EXIT
      CHAIN_STATION_UPDATED=$version exec "$BASH" "$here" "$@"
    fi
    say "not updated: downgrade refused, version ${theirs:-of no number} is published and this is $version"
  fi
  rm -rf "$new"
  trap - EXIT
}

# alone ARGUMENTS: outside of a clone. Brings itself up to date, then finds the
# clone or makes it, and goes on there.
alone() {
  local clone=${CHAIN_CLONE:-$PWD/chain} around new
  self_update "$@"
  around=$(git rev-parse --show-toplevel 2>/dev/null || true)
  if [ -f "$around/station/tools" ]; then clone=$around; fi
  case ${1:-} in '') set -- setup ;; check) shift; set -- station:check "$@" ;; esac
  if [ ! -f "$clone/station/tools" ]; then
    [ ! -e "$clone" ] || fail 2 E-STA-03 "there is something else where the clone would go" "$clone" "nothing was done" "CHAIN_CLONE=/another/directory $me" "or run it in your clone"
    missing=
    if ! at_least "$(version_of 'git --version')" 2.30; then missing='git|2.30||git'; fi
    if [ "$1" = station:check ]; then
      [ -z "$missing" ] || printf '✖ %-20s is missing, 2.30 or newer is needed\n' git
      printf '✖ %-20s is missing: git clone %s\n' clone "$repository"
      fail 3 E-STA-01 "no clone yet, and the other tools are named there" "$clone" "nothing was installed" "${me:-station.sh}   # without check makes it"
    fi
    if [ -n "$dry" ]; then
      [ -z "$missing" ] || say "would install git ($packages)"
      say "would clone $repository into $clone, and set up from there"
      exit 0
    fi
    if [ -n "$missing" ]; then
      say "git is missing: $packages install git"
      allowed git ''
      "${packages}_run" git >&2 || fail 1 E-STA-02 "git could not be installed" "$packages" "nothing was cloned" "the same command again"
    fi
    for new in "$clone".new.*; do
      if [ -d "$new" ] && ! kill -0 "${new##*.}" 2>/dev/null; then rm -rf "$new"; fi
    done
    new=$clone.new.$$
    say "cloning $repository into $clone"
    git clone -q "$repository" "$new" || { rm -rf "$new"; fail 1 E-STA-02 "the repository could not be cloned" "$repository" "$clone is not there" \
      "check the network${proxy:+ and the proxy of $proxy}, and that you may read it" "CHAIN_REPOSITORY=URL   # from elsewhere"; }
    mv "$new" "$clone"
  fi
  cd "$clone"
  # From a pipe, stdin is this script; questions go to the terminal.
  if [ -z "$me" ] && (: </dev/tty) 2>/dev/null; then exec </dev/tty; fi
  exec "$BASH" "$clone/station.sh" ${yes:+-yes} ${dry:+-dry-run} "$@"
}

# --- all of it ---------------------------------------------------------------

# What a target needs: the base always, the lab where it is the lab's turn.
sets_of() {
  local target=${CHAIN_TARGET:-}
  if [ -z "$target" ]; then target=$(sed -n 's/^target: *\([a-z]*\).*/\1/p' "$top/chain.yaml" 2>/dev/null || true); fi
  local lab=' lab'
  [ "$target" != aws ] || lab=
  case $1 in
    setup | station:check) echo "base lab bake check desk$(. "$top/station/conditions"; laptop && echo ' laptop')" ;;
    check) echo "base lab bake check desk" ;;
    bake | test | release | rollback | dr:recover | dr:drill | bench) echo "base$lab bake" ;;
    status | history | diff | sweep | dr:switch | dr:status) echo "base$lab" ;;
    lab:up) echo "base lab" ;;
    dev:watch) echo "base desk" ;;
    *) echo "base" ;;
  esac
}

# A proxy is no way to this machine itself, where the lab and Vagrant's pages are.
# Sets `proxy` to the variable's name: its value may hold a password.
spare_ourselves() {
  local name none=${no_proxy:-${NO_PROXY:-}}
  for name in http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY; do
    if [ -n "${!name:-}" ]; then proxy=$name; break; fi
  done
  [ -n "$proxy" ] || return 0
  case ,$none, in
    *,127.0.0.1,*) ;;
    *) none=${none:+$none,}127.0.0.1,localhost spared=y ;;
  esac
  export no_proxy=$none NO_PROXY=$none
}

usage() { if [ -n "$me" ]; then sed -n '2,/^$/p' "$me" | sed 's/^# \{0,1\}//'; fi; }

main() {
  while :; do
    case ${1:-} in
      -yes | --yes) yes=y ;;
      -dry-run | --dry-run) dry=y ;;
      *) break ;;
    esac
    shift
  done
  local target=${1:-}
  case $target in
    -h | --help | help) if [ $# -eq 1 ]; then usage; exit; fi ;;
    setup | '')
      while [ $# -gt 1 ]; do
        case $2 in
          -yes | --yes) yes=y ;;
          -dry-run | --dry-run) dry=y ;;
          *) fail 2 E-STA-07 "setup knows no $2" "station.sh" "nothing was done" "./station.sh setup [-yes] [-dry-run]" ;;
        esac
        shift
      done
      ;;
  esac
  packager
  spare_ourselves
  [ -f "$top/station/tools" ] || alone "$@"
  # shellcheck source=station/goflags
  . "$top/station/goflags"
  if [ -z "$target" ]; then
    if [ -z "$yes$dry" ]; then usage; exit 2; fi
    target=setup
  fi
  local at
  if command -v git >/dev/null && at=$(git -C "$top" rev-parse --show-prefix 2>&1 || true) && [ -n "$at" ]; then
    fail 2 E-STA-03 "not a Git clone: $at" "$top" "nothing was done" "git clone the repository, then run station.sh in the clone"
  fi

  local stamp known
  sets=$(sets_of "$target")
  stamp="$sets $packages $(cat "$top/station/tools" "$top/station/versions" "$top/station/packer/"* | digest) $PATH"
  use_cache
  case $target in station:check) verify ;; esac
  # Looking at every version takes seconds: only where something changed.
  known=$state/$(printf '%s' "$sets" | tr ' ' '-').ok
  if ! { [ -f "$known" ] && [ "$(cat "$known")" = "$stamp" ] && commands_there; }; then
    set_up "$target"
    if [ -z "$missing" ]; then
      mkdir -p "$state"
      printf '%s\n' "$stamp" >"$known"
    fi
  elif ! fresh; then
    if [ -n "$dry" ]; then say "would compile the targets"; [ "$target" = setup ] || exit 0; else
      one_at_a_time
      say "compiling the targets"
      background compile compile
      finish compile
      rm -rf "$state/lock"
      trap - EXIT INT TERM HUP
    fi
  fi
  if [ "$target" = setup ]; then
    person
    [ -z "${missing:-}" ] || lacking "what could be installed was"
    say "ready: ./station.sh -l lists the targets"
    exit
  fi
  [ -z "$dry" ] || exit 0
  engine
  cd "$top"
  # Mage counts the arguments of a target, and what breaks takes any number.
  if [ "$target" = lab:break ]; then
    shift
    case ${1:--list} in -list) set -- list ;; esac
    set -- lab:break "$(printf '%s\n' "$@")"
  fi
  exec "$chain" "$@"
}

# lacking STATE: what is still missing ends it.
lacking() {
  local by_hand
  by_hand=$(printf '%s' "$missing" | sed -n 's/^\([^|]*\)|.*|hand \(.*\)$/\1 from \2/p' | tr '\n' ' ')
  local what="tools are missing or too old"
  if [ "$packages" = none ]; then
    what="$what, and there is no package manager to install them with"
    case $OSTYPE in darwin*) by_hand="Homebrew from https://brew.sh" ;; esac
  fi
  fail 3 E-STA-01 "$what" "$(printf '%s' "$missing" | cut -d'|' -f1 | tr '\n' ' ')" "$1" \
    "${by_hand:+by hand: $by_hand; then }./station.sh setup" "./station.sh station:check   # looks again"
}

# verify looks at all tools and at what lies around them, and ends.
verify() {
  look all
  local faults=0
  # shellcheck source=station/conditions
  . "$top/station/conditions"
  conditions || faults=1
  [ -z "$missing" ] || lacking "nothing was installed"
  exit $((faults * 3))
}

# person sets up what belongs to a person and not to a target.
person() {
  # shellcheck source=station/conditions
  . "$top/station/conditions"
  conditions || exit 3
  hooks
  # shellcheck source=station/aws
  . "$top/station/aws"
  access
}

# hooks has Git look for its hooks where ours are, unless it looks elsewhere.
hooks() {
  local now own
  now=$(git -C "$top" config core.hooksPath || true)
  own=$(find "$(cd "$top" && cd "$(git rev-parse --git-common-dir)" && pwd)/hooks" -type f ! -name '*.sample' 2>/dev/null | sed -n 1p)
  if [ "$now" = station/hooks ]; then return; fi
  if [ -n "$now$own" ]; then
    say "Git's hooks are yours (${now:-$own}); ours: git config core.hooksPath station/hooks"
  elif [ -n "$dry" ]; then
    say "would set up Git's hooks: git config core.hooksPath station/hooks"
  else
    git -C "$top" config core.hooksPath station/hooks
    say "Git's hooks are those of station/hooks; git config chain.prepush true has each push checked before"
  fi
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
  [ -n "$dry" ] || one_at_a_time
  look
  local names arg casks
  names=$(get_of "$packages" | tr '\n' ' ') casks=
  [ "$packages" != brew ] || casks=$(get_of cask | tr '\n' ' ')
  names=${names% } casks=${casks% }
  if [ -n "$dry" ]; then
    [ -z "$missing" ] || say "would install what is named above"
    fresh || say "would compile the targets"
    [ "$1" != setup ] || person
    exit 0
  fi
  # What only a person can install stops a target before it costs anything.
  if [ "$1" != setup ] && [ -n "$(get_of hand)" ]; then lacking "nothing was installed"; fi
  if [ -n "$missing" ] && { terminal || [ -n "$names$casks" ]; }; then allowed "$names" "$casks"; fi
  if [ -n "$names" ]; then
    say "installing with $packages: $names"
    # shellcheck disable=SC2086 # words on purpose
    background "$packages" "${packages}_run" $names
    [ "$packages" != brew ] || finish brew # one at a time
  fi
  if [ -n "$casks" ]; then
    say "installing with Homebrew: $casks"
    # shellcheck disable=SC2086
    background cask cask_run $casks
  fi
  # One after the other: each of these takes all cores there are, and one of
  # the SDK's packages takes 3 GB.
  if ! command -v go >/dev/null; then
    finish "$packages"
    hash -r
    if ! command -v go >/dev/null; then
      look
      lacking "what comes in packages was installed"
    fi
  fi
  fresh || { say "compiling the targets"; background compile compile; finish compile; }
  # The lab's first start makes the base image: a minute that a build can share.
  # What goes wrong here is told when the target itself looks for the lab. Checks
  # and measurements have labs of their own.
  local early=
  case "$1 $sets " in check* | bench* | setup*) ;; *" lab "*) [ -z "$(get_of build)" ] || early=y ;; esac
  if [ -n "$early" ]; then
    finish "$packages"
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
  finish "$packages"
  finish cask
  [ -z "$early" ] || finish lab
  for arg in $(get_of pip) $(get_of gem) $(get_of npm); do
    case $arg in *==*) set -- "$1" pip "${arg%==*}" ;; *@*) set -- "$1" npm "${arg%@*}" ;; *) set -- "$1" gem "${arg%:*}" ;; esac
    say "installing $arg with $2"
    background "$3" build "$2" "$arg"
    finish "$3"
  done

  if [ -n "$missing" ]; then
    hash -r
    use_cache
    look
    if [ -n "$missing" ] && [ "$1" != setup ]; then lacking "what could be installed was"; fi
  fi
  trap - EXIT INT TERM HUP
  rm -rf "$state/lock"
}

main "$@"
exit
