#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2164,SC2155 # what bats and sandbox.bash set; a cd that fails ends the test
# What ./station.sh setup installs, and how it asks.

load sandbox

setup_clone() { clone "$box/clone" && cd "$box/clone"; }

@test "apt: from nothing to ready, and a second run changes nothing and asks no tool again" {
  setup_clone
  run ./station.sh -yes setup
  ends 0
  called 'apt-get install .*alpha-deb beta-deb'
  says "ready"
  before=$(find . "$XDG_CACHE_HOME" -type f ! -path './.git/index' -exec sha256sum {} + 2>/dev/null | sort)
  : >"$calls"
  fake alpha 'log asked; echo alpha 2.0'
  run ./station.sh -yes setup
  ends 0
  [ ! -s "$calls" ]
  [ "$before" = "$(find . "$XDG_CACHE_HOME" -type f ! -path './.git/index' -exec sha256sum {} + 2>/dev/null | sort)" ]
}

@test "dnf: its own packages, and none where a dash is" {
  setup_clone
  rm "$bin/apt-get" "$bin/dpkg"
  fake dnf 'log dnf "$@"; installs "$@"'
  run ./station.sh -yes setup
  ends 0
  called 'dnf install -y -q alpha-rpm$'
}

@test "Homebrew: packages and casks, on a Mac" {
  setup_clone
  export OSTYPE=darwin22 UID_NOW=501
  fake brew 'case $1 in --prefix) echo '"$box"' ;; *) log brew "$@"; installs "$@" ;; esac'
  fake sysctl 'echo 1'
  run ./station.sh -yes setup
  ends 0
  called 'brew install alpha-brew$'
  called 'brew install --cask beta-brew$'
  never apt-get
}

@test "Homebrew whose directory belongs to another user" {
  setup_clone
  export OSTYPE=darwin22 UID_NOW=501
  fake brew 'case $1 in --prefix) echo '"$box/not-there"' ;; *) log brew "$@" ;; esac'
  run ./station.sh -yes setup
  ends 3
  says "this user may not install them"
  says "as the user who owns Homebrew"
  [ ! -s "$calls" ]
}

@test "station:check lists what is missing, installs nothing and fails" {
  setup_clone
  run ./station.sh station:check
  ends 3
  says "✔ git "
  says "✖ alpha                is missing, 1.9 or newer is needed: apt-get install alpha-deb"
  says E-STA-01
  says "./station.sh setup"
  [ ! -s "$calls" ]
}

@test "station:check of a whole station" {
  setup_clone
  fake alpha 'echo alpha 1.9'
  fake beta 'echo beta 12.0'
  run ./station.sh station:check
  ends 0
  says "✔ beta                 12.0"
}

@test "a version that is too old is told, number by number" {
  setup_clone
  fake alpha 'echo alpha 1.8.99'
  fake beta 'echo beta 3.0'
  run ./station.sh station:check
  ends 3
  says "✖ alpha                is 1.8.99, 1.9 or newer is needed"
  fake alpha 'echo alpha 1.10'
  run ./station.sh station:check
  ends 0
}

@test "a package that is still too old is told after it was installed" {
  setup_clone
  ALPHA=1.2 run ./station.sh -yes setup
  ends 3
  says "is 1.2, 1.9 or newer is needed"
  says "what could be installed was"
}

@test "-dry-run tells all of it and changes nothing" {
  setup_clone
  before=$(find "$box" -type f ! -path '*/.git/*' | sort)
  run ./station.sh -dry-run setup
  ends 0
  says "apt-get install alpha-deb"
  says "would install"
  says "would compile the targets"
  says "would set up Git's hooks"
  never install
  [ "$before" = "$(find "$box" -type f ! -path '*/.git/*' | sort)" ]
  [ -z "$(git config core.hooksPath)" ]
  run ./station.sh setup -dry-run
  ends 0
  never install
}

@test "on a terminal it asks, and a no installs nothing" {
  setup_clone
  run terminal n "./station.sh setup"
  says "[y/N]"
  ends 8
  never install
  run terminal y "./station.sh setup"
  ends 0
  called 'apt-get install'
}

@test "a user without sudo is told what to have done" {
  setup_clone
  UID_NOW=1000 run ./station.sh -yes setup
  ends 3
  says "this user may not install them"
  says "apt-get install --no-install-recommends alpha-deb beta-deb"
  never 'apt-get install'
}

@test "a user whose sudo asks, with nobody to answer" {
  setup_clone
  fake sudo 'log sudo "$@"; exit 1'
  UID_NOW=1000 run ./station.sh setup
  ends 3
  says "this user may not install them"
  never 'apt-get install'
}

@test "sudo gets the proxies" {
  setup_clone
  fake sudo 'log sudo "$@"; [ "$1" != -n ] || exit 0; exec "$@"'
  UID_NOW=1000 http_proxy=http://proxy.example:3128 run ./station.sh -yes setup
  ends 0
  called 'sudo env http_proxy=http://proxy.example:3128 .*apt-get install'
}

@test "no package manager at all" {
  setup_clone
  rm "$bin/apt-get"
  run ./station.sh -yes setup
  ends 3
  says "no package manager"
}

@test "what only a person can install stops a target, and is named" {
  setup_clone
  rm "$bin/go"
  run ./station.sh template
  ends 3
  says "go from https://go.dev/dl/"
  [ ! -s "$calls" ]
}

@test "a set-up that was killed is repaired by the next one" {
  setup_clone
  fake apt-get 'log apt-get "$@"; case $1 in install) echo "half installed: alpha" >'"$box/half"'; exec sleep 600 ;; esac'
  ./station.sh -yes setup >/dev/null 2>&1 3>&- &
  pid=$!
  until [ -f "$box/half" ]; do sleep 0.05; done
  # What it started is to end with it, as with a terminal that is closed.
  jobs=$(cat /proc/$pid/task/$pid/children)
  kill -9 $pid
  for job in $jobs; do
    for child in $(cat "/proc/$job/task/$job/children" 2>/dev/null) $job; do kill -9 "$child" 2>/dev/null || true; done
  done
  wait $pid || true
  [ -d .chain/station/lock ]
  fake apt-get 'log apt-get "$@"; [ ! -e '"$box/half"' ] || { echo "dpkg was interrupted"; exit 100; }; installs "$@"'
  run ./station.sh -yes setup
  ends 0
  called 'dpkg --configure -a'
  [ ! -d .chain/station/lock ]
  run ./station.sh station:check
  ends 0
}

@test "no network: the proxy variable is named" {
  setup_clone
  fake apt-get 'echo "Err: Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)"; exit 100'
  http_proxy=http://user:secret@127.0.0.1:9 run ./station.sh -yes setup
  ends 1
  says E-STA-02
  says "http_proxy"
  case $output in *secret*) false ;; esac
}

@test "targets run as before: arguments, no questions, the check of everything" {
  setup_clone
  run ./station.sh template -x y
  ends 0
  says "targets: template -x y"
  fake alpha 'echo alpha 2.0'
  fake beta 'echo beta 3.0'
  run ./station.sh check
  says "targets: check"
  run ./station.sh
  ends 2
  says "./station.sh setup"
  run ./station.sh -h template
  says "targets: -h template"
}
