#!/bin/sh
# teamcity-server.sh run | stop [SECONDS [-force]]
home=$(cd "$(dirname "$0")/.." && pwd -P)
mkdir -p "$home/logs"
case $1 in
  run) echo $$ >"$home/logs/teamcity.pid"; exec python3 "$home/bin/standin.py" ;;
  stop) kill "$(cat "$home/logs/teamcity.pid")" ;;
  *) echo "usage: $0 run|stop" >&2; exit 2 ;;
esac
