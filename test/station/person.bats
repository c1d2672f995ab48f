#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154,SC2164,SC2155 # what bats and sandbox.bash set; a cd that fails ends the test
# What belongs to a person: the way into AWS, Git's hooks, and what lies around
# the tools and keeps them from working.

load sandbox

ready() {
  clone "$box/clone" && cd "$box/clone"
  fake alpha 'echo alpha 2.0'
  fake beta 'echo beta 3.0'
}

# amazon ACCOUNT: an aws CLI that knows nobody before a login.
amazon() {
  printf 'target: aws\nsites:\n  web:\n    environments:\n      production:\n        account: "123456789012"\n        regions: [eu-west-1]\n' >chain.yaml
  fake aws 'log aws "$@"
case "$1 $2" in
  "--version ") echo "aws-cli/${AWS_VERSION:-2.33.1} Python/3.13" ;;
  "sts get-caller-identity") [ -f '"$box"'/in ] && echo '"$1"' ;;
  "iam list-account-aliases") echo "${ALIAS-acme-production}" ;;
  "sso login" | "login --profile") touch '"$box"'/in ;;
esac'
}

@test "the lab needs no AWS" {
  ready
  fake aws 'log aws "$@"'
  run ./station.sh setup
  ends 0
  says "AWS: not needed"
  [ ! -s "$calls" ]
  [ ! -e "$HOME/.aws" ]
}

@test "IAM Identity Center: a profile without a secret, a login, and whose account it is" {
  ready
  amazon 123456789012
  printf 'profile = chain\nsso_start_url = https://acme.awsapps.com/start\nsso_region = eu-central-1\nsso_role = Developer\n' >station/access
  mkdir "$HOME/.aws"
  printf '[default]\nregion = us-east-1' >"$HOME/.aws/config" # no newline at its end
  run terminal '' "./station.sh setup"
  ends 0
  called 'aws sso login --profile chain'
  says "AWS: account 123456789012 (acme-production) as profile chain"
  grep -qx 'sso_account_id = 123456789012' "$HOME/.aws/config"
  grep -qx 'sso_role_name = Developer' "$HOME/.aws/config"
  grep -qx 'sso_start_url = https://acme.awsapps.com/start' "$HOME/.aws/config"
  grep -qx 'region = us-east-1' "$HOME/.aws/config"
  [ "$(ls "$HOME/.aws")" = config ]
  before=$(cat "$HOME/.aws/config")
  rm "$box/in"
  run terminal '' "./station.sh setup"
  ends 0
  [ "$before" = "$(cat "$HOME/.aws/config")" ]
}

@test "without Identity Center: aws login" {
  ready
  amazon 123456789012
  ALIAS=None run terminal '' "./station.sh setup"
  ends 0
  called 'aws login --profile chain'
  says "(no alias)"
  [ ! -e "$HOME/.aws" ]
}

@test "an aws CLI that knows no aws login" {
  ready
  amazon 123456789012
  AWS_VERSION=2.9.19 run terminal '' "./station.sh setup"
  ends 3
  says "aws login needs aws CLI 2.32"
}

@test "the wrong account is told before anything is done" {
  ready
  amazon 999999999999
  touch "$box/in"
  run ./station.sh setup
  ends 3
  says "leads to account 999999999999, and chain.yaml names 123456789012"
}

@test "nobody there to log in" {
  ready
  amazon 123456789012
  run ./station.sh setup
  ends 3
  says "aws login --profile chain"
  [ ! -f "$box/in" ]
}

@test "hooks: a key stays out of a commit, and is not shown" {
  ready
  ./station.sh setup >/dev/null
  printf 'aws_access_key_id = AKIA%s\n' 'QWERTYUIOPASDFGH' >notes
  git add notes
  run git commit -qm notes
  ends 1
  says E-STA-09
  case $output in *QWERTYUIOPASDFGH*) false ;; esac
  printf '%s\n' '-----BEGIN OPENSSH PRIVATE KEY-----' >notes
  git add notes
  run git commit -qm notes
  ends 1
  echo 'AKIAIOSFODNN7EXAMPLE is the one of the documentation' >notes
  git add notes
  run git commit -qm notes
  ends 0
}

@test "hooks: each push is checked by who wants it" {
  ready
  ./station.sh setup >/dev/null
  git init -q --bare "$box/remote.git"
  git remote add origin "$box/remote.git"
  run git push -q origin main
  ends 0
  case $output in *targets:*) false ;; esac
  git config chain.prepush true
  git commit -q --allow-empty -m more
  run git push -q origin main
  ends 0
  says "targets: check -quick"
  # A check that fails keeps the push back.
  printf '#!%s\nexit 1\n' "$bin/bash" >.chain/bin/chain
  git commit -q --allow-empty -m evenmore
  run git push -q origin main
  [ "$status" -ne 0 ]
  says E-STA-10
  [ "$(git rev-parse HEAD~1)" = "$(git --git-dir "$box/remote.git" rev-parse main)" ]
}

@test "hooks that are there are left alone" {
  ready
  git config core.hooksPath .husky
  run ./station.sh setup
  ends 0
  says "Git's hooks are yours"
  [ "$(git config core.hooksPath)" = .husky ]
}

# condition NAME...: one of station/conditions, in a shell of its own.
condition() {
  (
    top=$box proxy=${proxy:-} spared=${spared:-} packages=apt
    # shellcheck disable=SC1091
    . "$real/station/conditions"
    cpuinfo=$box/cpuinfo kvm=$box/kvm socket=$box/docker.sock
    "$@"
  )
}

@test "no virtualisation" {
  echo 'flags : fpu sse2' >"$box/cpuinfo"
  run condition virtualisation
  ends 0
  says "no virtualisation"
  says "vagrant up --provider=docker"
  echo 'flags : fpu vmx sse2' >"$box/cpuinfo"
  run condition virtualisation
  [ -z "$output" ]
}

@test "port 8080 is taken" {
  python3 - "$box/port" 3>&- <<'PYTHON' &
import os, socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(9)
open(sys.argv[1] + ".new", "w").write(str(s.getsockname()[1])); os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
PYTHON
  holder=$!
  until [ -f "$box/port" ]; do sleep 0.05; done
  port=$(cat "$box/port")
  run condition port_taken "$port"
  says "port $port, where Vagrant shows the page, is taken"
  says "CHAIN_VAGRANT_PORT=$((port + 1)) vagrant up"
  kill $holder
  wait $holder || true
  run condition port_taken "$port"
  [ -z "$output" ]
}

@test "an old Vagrant" {
  ready
  sed 's/^beta.*/vagrant | check | 2.3 | vagrant --version | hand https:\/\/x.example | vagrant | cask vagrant |/' station/tools >"$box/tools"
  cp "$box/tools" station/tools
  fake vagrant 'echo Vagrant 2.2.19'
  run ./station.sh station:check
  ends 3
  says "✖ vagrant              is 2.2.19, 2.3 or newer is needed: apt-get install vagrant"
}

@test "a proxy: this machine is spared, and machines of Vagrant cannot reach one here" {
  ready
  http_proxy=http://proxy.example:3128 run ./station.sh station:check
  ends 0
  says "the proxy variable http_proxy is set, and no_proxy leaves out this machine"
  says "export no_proxy=127.0.0.1,localhost"
  no_proxy=.example,127.0.0.1 http_proxy=http://proxy.example:3128 run ./station.sh station:check
  case $output in *leaves*) false ;; esac
  HTTPS_PROXY=http://me:secret@localhost:3128 run ./station.sh station:check
  says "the proxy of HTTPS_PROXY is on this machine"
  case $output in *secret*) false ;; esac
  # What runs from here is spared, too.
  ./station.sh template >/dev/null
  printf '#!%s\necho "not by proxy: $no_proxy"\n' "$bin/bash" >.chain/bin/chain
  https_proxy=http://proxy.example:3128 no_proxy=.corp run ./station.sh template
  says "not by proxy: .corp,127.0.0.1,localhost"
}

@test "Docker is half installed" {
  unset DOCKER_HOST
  fake dpkg-query 'exit 1'
  fake docker 'exit 1'
  rm "$bin/dockerd" "$bin/containerd" "$bin/runc"
  run condition docker_whole
  ends 1
  says "the client is there, no engine is"
  says "apt-get install --reinstall docker.io"
  fake docker 'echo 24.0.1'
  fake dockerd 'echo 24.0.1'
  run condition docker_whole
  ends 1
  says "dockerd is there, containerd is not"
  fake containerd true
  fake runc true
  run condition docker_whole
  ends 0
  rm "$bin/docker"
  run condition docker_whole
  ends 1
  says "dockerd is there, docker is not"
  fake dpkg-query 'printf "iF  docker.io\nii  containerd\n"'
  run condition docker_whole
  ends 1
  says "sudo dpkg --configure -a"
}

@test "an engine that left its socket" {
  fake dpkg-query 'exit 1'
  for program in dockerd containerd runc; do fake $program true; done
  fake docker 'exit 1'
  python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('$box/docker.sock')"
  run condition docker_whole
  ends 1
  says "does not answer"
  says "systemctl restart docker"
}

@test "nothing that bash 3.2 or the programs of a Mac do not know" {
  for file in station.sh station/conditions station/aws station/versions station/publish station/hooks/pre-commit station/hooks/pre-push; do
    ! grep -nE 'mapfile|readarray|(declare|local|typeset) -[Ang]|\$\{[A-Za-z_]+(,,|\^\^|@)|&>>|\|&|coproc|\[\[ -v|wait -n|\$EPOCH|(^|[^a-z])(sort -V|sed -i|sed -r|readlink -f|date -d|stat -c|xargs -r|grep -P|cp -a|mktemp --|head -c|tac|nproc|realpath|timeout) ' "$real/$file"
  done
}
