#!/bin/sh
# Installs what the checks of the manifests need from npm into FOLDER: pinned versions, checked by their digests, none
# of their scripts run. Does nothing when that is there already.
#
#   tests/packaging/install.sh FOLDER      (FOLDER: build/dev/packaging for the preset dev)
set -eu
folder=${1:?usage: install.sh FOLDER}
source=$(cd "$(dirname "$0")" && pwd)
if ! command -v npm >/dev/null; then
  echo "install.sh: npm is missing: install the packages nodejs and npm" >&2
  exit 1
fi
stamp=$folder/node_modules/.installed-lock.json
if cmp -s "$source/package-lock.json" "$stamp"; then
  exit 0
fi
mkdir -p "$folder"
cp "$source/package.json" "$source/package-lock.json" "$folder/"
(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund)
cp "$source/package-lock.json" "$stamp"
