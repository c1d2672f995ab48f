#!/usr/bin/env bash
# Builds Packer and its Amazon plugin from Go modules into DIRECTORY:
#   DIRECTORY/bin/packer, DIRECTORY/plugins/... (a PACKER_PLUGIN_PATH)
# The versions are those of go.mod beside this file; go.sum proves what was fetched.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: station/packer/build.sh DIRECTORY" >&2; exit 2; }
mkdir -p "$1"
to=$(cd "$1" && pwd -P)
here=$(cd "$(dirname "$0")" && pwd -P)

work=$(mktemp -d "$to/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT

cd "$here"
# The standard library as everything else here has it, so that it is compiled
# once; all else without inlining and debug information, in half the time.
GOFLAGS='' go build -mod=readonly -gcflags='all=-l -dwarf=false' -gcflags=std= -ldflags='-s -w' -o "$work/" \
  github.com/hashicorp/packer github.com/hashicorp/packer-plugin-amazon

# Packer's own install command lays the plugin out (name, protocol version, SHA256SUM).
export CHECKPOINT_DISABLE=1 PACKER_CONFIG_DIR="$work/config" PACKER_PLUGIN_PATH="$work/plugins"
mkdir -p "$work/bin" "$work/plugins"
mv "$work/packer" "$work/bin/packer"
"$work/bin/packer" plugins install --path "$work/packer-plugin-amazon" github.com/hashicorp/amazon >/dev/null

rm -rf "${to:?}/bin" "${to:?}/plugins"
mv "$work/plugins" "$to/plugins"
mv "$work/bin" "$to/bin" # last: who finds bin/packer finds everything
