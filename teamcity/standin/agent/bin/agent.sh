#!/bin/sh
# agent.sh start | stop
home=$(cd "$(dirname "$0")/.." && pwd -P)
mkdir -p "$home/logs"
case $1 in
  start) java -version 2>/dev/null && exec setsid -f python3 "$home/bin/standin.py" >>"$home/logs/teamcity-agent.log" 2>&1 ;;
  stop) kill "$(cat "$home/logs/buildAgent.pid")" ;;
  *) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
