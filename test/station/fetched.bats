#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154,SC2164,SC2155 # what bats and sandbox.bash set; a cd that fails ends the test
# station.sh fetched alone: how it brings itself up to date, and finds its clone.

load sandbox

# published VERSION [KEY]: what there is to fetch, by station/publish itself.
published() {
  [ -f "$box/key" ] || ssh-keygen -q -t ed25519 -N '' -C '' -f "$box/key"
  rm -rf "$box/tree" "$box/www"
  mkdir -p "$box/tree" "$box/www"
  cp -R "$real/station.sh" "$real/station" "$box/tree/"
  sed "s/^version=.*/version=$1/" "$real/station.sh" >"$box/tree/station.sh"
  printf '# a comment\nstation namespaces="chain-station" %s\n' "$(cat "${2:-$box/key}.pub")" >"$box/tree/station/allowed_signers"
  "$box/tree/station/publish" "${2:-$box/key}" "$box/www" "file://$box/www/station.sh"
}

# fetched: version 1 in a directory of its own, as somebody got it.
fetched() {
  published 1
  mkdir -p "$box/desk"
  cp "$box/www/station.sh" "$box/desk/station.sh"
  clone "$box/origin"
  export CHAIN_REPOSITORY=file://$box/origin
  fake alpha 'echo alpha 2.0'
  fake beta 'echo beta 3.0'
  cd "$box/desk"
}

untouched() { cmp "$box/desk/station.sh" "$box/first" && [ -z "$(find "$box/desk" -name '*.new*')" ]; }

@test "from nothing: it clones the repository, and sets it up" {
  fetched
  run ./station.sh -yes
  ends 0
  says "cloning file://"
  says ready
  [ -f chain/station.sh ]
  [ "$(git -C chain config core.hooksPath)" = station/hooks ]
  # A second time it finds its clone, from beside it and from within.
  run ./station.sh template
  says "targets: template"
  case $output in *cloning*) false ;; esac
  cd chain/pkg && run ../../station.sh template again
  says "targets: template again"
}

@test "from a pipe" {
  fetched
  run bash -c "cat station.sh | bash -s -- -yes setup"
  ends 0
  [ -f chain/station.sh ]
}

@test "git is installed first where there is none" {
  fetched
  rm "$bin/git"
  run ./station.sh -yes setup
  ends 0
  called 'apt-get install .*git'
  [ -f chain/station.sh ]
}

@test "check outside of a clone installs and clones nothing" {
  fetched
  run ./station.sh check
  ends 3
  says "git clone file://"
  run ./station.sh -dry-run
  ends 0
  says "would clone"
  [ ! -e chain ]
}

@test "check beside a clone looks at the tools" {
  fetched
  ./station.sh -yes >/dev/null
  run ./station.sh check
  ends 0
  says "✔ alpha"
}

@test "a clone that was killed half way is made anew" {
  fetched
  sh -c 'echo $$' >"$box/gone"
  mkdir -p "chain.new.$(cat "$box/gone")/.git"
  run ./station.sh -yes
  ends 0
  [ -f chain/station.sh ]
  [ ! -e "chain.new.$(cat "$box/gone")" ]
}

@test "something else is where the clone would go" {
  fetched
  mkdir chain
  run ./station.sh -yes
  ends 2
  says E-STA-03
}

@test "a repository that cannot be reached" {
  fetched
  CHAIN_REPOSITORY=file://$box/nowhere run ./station.sh -yes
  ends 1
  says "could not be cloned"
  [ ! -e chain ]
}

@test "a newer version takes its place, once, with all arguments" {
  fetched
  published 2
  run ./station.sh -yes template "a b"
  ends 0
  says "updated from version 1 to 2"
  says "targets: template a b"
  [ "$(grep -c updated <<<"$output")" = 1 ]
  cmp station.sh "$box/www/station.sh"
  [ -x station.sh ]
  run ./station.sh template
  case $output in *updated*) false ;; esac
}

@test "what is not signed by the pinned key is refused" {
  fetched
  cp station.sh "$box/first"
  published 2
  echo '# one line more' >>"$box/www/station.sh"
  run ./station.sh -yes
  ends 5
  says E-STA-06
  untouched
  ssh-keygen -q -t ed25519 -N '' -f "$box/other"
  published 3 "$box/other"
  run ./station.sh -yes
  ends 5
  untouched
  # Signed by the right key, for another use.
  published 2
  rm "$box/www/station.sh.sig"
  ssh-keygen -q -Y sign -f "$box/key" -n file "$box/www/station.sh"
  run ./station.sh -yes
  ends 5
  untouched
}

@test "a downgrade is refused, and it goes on" {
  fetched
  published 5
  cp "$box/www/station.sh" station.sh
  cp station.sh "$box/first"
  published 4
  run ./station.sh -yes template
  ends 0
  says "downgrade refused"
  says "targets: template"
  untouched
}

@test "offline it goes on with a note" {
  fetched
  cp station.sh "$box/first"
  rm -r "$box/www"
  run ./station.sh -yes template
  ends 0
  says "not updated"
  says "targets: template"
  untouched
}

@test "a signature that is missing is no answer" {
  fetched
  cp station.sh "$box/first"
  published 2
  rm "$box/www/station.sh.sig"
  run ./station.sh -yes template
  ends 0
  says "not updated"
  untouched
}

@test "what a killed update left is taken away" {
  fetched
  sh -c 'echo $$' >"$box/gone"
  mkdir "station.sh.new.$(cat "$box/gone")"
  run ./station.sh -yes template
  ends 0
  [ ! -e "station.sh.new.$(cat "$box/gone")" ]
}

@test "in a clone updating is left to Git" {
  fetched
  published 2
  cp -R "$box/origin" "$box/work"
  cd "$box/work"
  CHAIN_STATION_URL=file://$box/www/station.sh run ./station.sh template
  ends 0
  case $output in *updated*) false ;; esac
  [ -z "$(git status --porcelain)" ]
}

@test "in the clear it fetches nothing" {
  fetched
  CHAIN_STATION_URL=http://www.example/station.sh run ./station.sh -yes
  ends 2
  says "by https only"
}

@test "by curl, and by wget" {
  fetched
  cd "$box"
  # A server on a port of its own, which it tells.
  cat >server.py <<'PYTHON'
import functools, http.server, sys
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1]))
open(sys.argv[2] + ".new", "w").write(str(s.server_port))
__import__("os").rename(sys.argv[2] + ".new", sys.argv[2])
s.serve_forever()
PYTHON
  python3 server.py "$box/www" "$box/port" >/dev/null 2>&1 3>&- &
  server=$!
  until [ -f "$box/port" ]; do sleep 0.05; done
  cp desk/station.sh first.sh
  published 2
  export CHAIN_STATION_URL=http://127.0.0.1:$(cat "$box/port")/station.sh
  for program in curl wget; do
    rm -f "$bin/curl" "$bin/wget"
    ln -s "$(PATH=/usr/bin:/bin type -P $program)" "$bin/$program"
    cp first.sh desk/station.sh
    (cd desk && ./station.sh -yes template) >"out.$program" 2>&1 || { cat "out.$program"; kill $server; false; }
  done
  kill $server
  grep 'updated from version 1 to 2' out.curl
  grep 'updated from version 1 to 2' out.wget
}

@test "station/publish refuses a version that is out, and a key that is not pinned" {
  published 2
  run "$box/tree/station/publish" "$box/key" "$box/www" https://www.example/station.sh
  ends 1
  says "published already"
  ssh-keygen -q -t ed25519 -N '' -f "$box/other"
  rm "$box/www"/*
  run "$box/tree/station/publish" "$box/other" "$box/www" https://www.example/station.sh
  ends 1
  [ -z "$(ls "$box/www")" ]
}
