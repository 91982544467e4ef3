#!/usr/bin/env bash
# Walks the path of a new user, of somebody who checks the record, and of an administrator in a real Chromium, against
# a fresh demo.
#   run.sh BINARY        pictures go to the folder $SCREENSHOTS, target/screenshots unless set
set -euo pipefail
cd "$(dirname "$0")"
binary=$1
export SCREENSHOTS=${SCREENSHOTS:-$PWD/../../target/screenshots}
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  : "${CHROMIUM:=$(command -v $name || true)}"
done
export CHROMIUM
mkdir -p "$SCREENSHOTS"

work=$(mktemp -d)
chmod 755 "$work"
demo=
finish() {
  if [ -n "$demo" ]; then kill "$demo" 2>/dev/null && wait "$demo" || true; fi
  rm -rf "$work"
}
trap finish EXIT

# Whoever walks opens the trials; the gate would open one between two of their clicks.
env -u DATABASE_URL ALMANAC_PROMOTION=manual "$binary" demo --data-dir "$work/data" --listen 127.0.0.1:0 --instruments 24 --years 4 \
  --speed 4 >"$work/said" 2>"$work/errors" &
demo=$!
for _ in $(seq 600); do
  grep -q 'predictions as of' "$work/said" && break
  kill -0 "$demo" 2>/dev/null || { cat "$work/errors" >&2; exit 1; }
  sleep 0.1
done
address=$(grep -oE 'http://[0-9.:]+' "$work/said" | head -1)
read -r ADMIN_EMAIL ADMIN_PASSWORD < <(awk '/^ *Admin /{print $2, $4}' "$work/said")
export ADMIN_EMAIL ADMIN_PASSWORD

# Promoting takes a second version.
api() { curl --silent --show-error --fail -b "$work/cookies" -c "$work/cookies" -H "origin: $address" -H 'content-type: application/json' "$@"; }
api "$address/api/v1/session" -d "{\"email\":\"$ADMIN_EMAIL\",\"password\":\"$ADMIN_PASSWORD\"}" >/dev/null
api "$address/api/v1/training-runs" -d '{}' >/dev/null
for _ in $(seq 300); do
  api "$address/api/v1/models" | grep -q '"version":2' && break
  sleep 0.2
done

node new-user.mjs "$address"
node record.mjs "$address"
node models.mjs "$address"
