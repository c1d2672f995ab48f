# shellcheck shell=bash disable=SC2016,SC2154
# A station made of stand-ins: PATH leads to one directory with the system's small
# programs, and to programs that say a version and write down how they were called.

real=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)

setup() {
  box=$BATS_TEST_TMPDIR
  bin=$box/bin calls=$box/calls
  mkdir -p "$bin" "$box/home"
  : >"$calls"
  local program
  for program in bash sh sed grep sort cut cat head tail tr find xargs touch mkdir rm mv cp chmod ls dirname basename env sleep mktemp \
    sha256sum cmp ln readlink wc ssh-keygen git awk date python3 true; do
    ln -s "$(type -P "$program")" "$bin/$program"
  done
  rm "$bin/git"
  fake git 'exec '"$(type -P git)"' "$@"'
  # A Mage that "compiles" targets which tell what they were called with.
  fake go 'case $1 in version) echo go version go1.24.1 linux/amd64 ;; build) ln -sf '"$bin/mage"' "$3" ;; esac'
  fake mage 'while [ "$1" != -compile ]; do shift; done
    printf "#!%s\necho \"targets: \$*\"\n" '"$bin/bash"' >"$2" && chmod 755 "$2"'
  fake id 'echo "${UID_NOW:-0}"'
  fake dpkg 'log dpkg "$@"; if [ "$1" = --audit ]; then cat '"$box/half"' 2>/dev/null; else rm -f '"$box/half"'; fi'
  fake apt-get 'log apt-get "$@"; installs "$@"'
  for program in docker dockerd containerd runc; do fake $program 'echo 24.0.1'; done
  export HOME=$box/home PATH=$bin OSTYPE=linux-gnu XDG_CACHE_HOME=$box/cache CI='' TMPDIR=$box
  export GIT_CONFIG_GLOBAL=$box/gitconfig GIT_CONFIG_NOSYSTEM=1 BOX=$box
  unset CHAIN_TARGET CHAIN_CLONE CHAIN_STATION_URL AWS_PROFILE http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
  git config --global user.name Sandbox
  git config --global user.email sandbox@example.com
  git config --global init.defaultBranch main
  git config --global protocol.file.allow always
}

# fake NAME BODY: a program; log writes its call down, installs makes what the
# words that are no options stand for.
fake() {
  rm -f "$bin/$1"
  cat >"$bin/$1" <<PROGRAM
#!$bin/bash
log() { echo "\$*" >>"$calls"; }
program() { printf '#!%s\necho "%s %s"\n' "$bin/bash" "\$1" "\$2" >"$bin/\$1"; chmod 755 "$bin/\$1"; }
installs() {
  local word
  for word; do
    case \$word in
      alpha-deb | alpha-brew | alpha-rpm) program alpha "\${ALPHA:-1.10.2}" ;;
      beta-deb | beta-brew) program beta 3.1 ;;
      git) printf '#!%s\nexec %s "\$@"\n' "$bin/bash" "$(type -P git)" >"$bin/git"; chmod 755 "$bin/git" ;;
    esac
  done
}
$2
PROGRAM
  chmod 755 "$bin/$1"
}

# clone DIRECTORY: a repository with station.sh and a table of two tools more.
clone() {
  mkdir -p "$1/pkg" "$1/cmd"
  cp -R "$real/station.sh" "$real/station" "$1/"
  cat >"$1/station/tools" <<'TOOLS'
git   | base  | 2.30 | git --version   |                           | git       | git        | git
go    | base  | 1.21 | go version      | hand https://go.dev/dl/   |           | go         | golang
alpha | check | 1.9  | alpha --version |                           | alpha-deb | alpha-brew | alpha-rpm
beta  | check | 3.0  | beta --version  | hand https://beta.example | beta-deb  | cask beta-brew | -
TOOLS
  echo 'target: lab' >"$1/chain.yaml"
  touch "$1/go.mod" "$1/go.sum" "$1/magefile.go" "$1/mage.go" "$1/pkg/a.go" "$1/cmd/b.go"
  echo /.chain/ >"$1/.gitignore"
  git -C "$1" init -q
  git -C "$1" add -A
  git -C "$1" commit -qm sandbox
}

called() { grep -q -- "$1" "$calls" || { echo "not called: $1; calls:"; cat "$calls"; return 1; }; }
never() { ! grep -- "$1" "$calls" || { echo "called all the same: $1"; return 1; }; }
says() { case $output in *"$1"*) ;; *) echo "does not say: $1"; echo "$output"; return 1 ;; esac; }
ends() { [ "$status" -eq "$1" ] || { echo "exit $status, not $1"; echo "$output"; return 1; }; }
# terminal ANSWER COMMAND: as a person, who is asked.
terminal() { printf '%s\n' "$1" | "$(PATH=/usr/bin:/bin type -P script)" -qec "$2" /dev/null; }
