#!/usr/bin/env bash
# Times the daily prediction of a large market, published as events: real processes, a real PostgreSQL.
#   docs/bench/predict.sh [INSTRUMENTS=5000] [YEARS=2] [RUNS=3]
# A simulated market is taken in and learned from once; then the last sessions are predicted, each by a process of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."
instruments=${1:-5000} years=${2:-2} runs=${3:-3}
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
almanac=$(realpath "${BINARY:-target/debug/almanac}")
export ALMANAC_MODE=replayed ALMANAC_DATA_DIR=$work/data ALMANAC_FAMILY=${ALMANAC_FAMILY:-drift}

seconds() { date +%s.%N; }
timed() {
  local begin=$(seconds) name=$1
  shift
  /usr/bin/env time -f "%M" -o "$work/memory" "$@"
  printf '%-28s %7.2f s, %d MB\n' "$name" "$(echo "$(seconds) - $begin" | bc)" "$(($(tail -1 "$work/memory") / 1024))"
}

"$almanac" simulate --instruments "$instruments" --years "$years" --out "$work/market"
# The newest sessions come one by one, as they do in life.
mapfile -t days < <(cut -d, -f2 "$work/market/bars.csv" | grep -v date | sort -u | tail -n $((runs + 1)))
mkdir "$work/first"
for at in "${!days[@]}"; do
  [ "$at" = 0 ] || { mkdir "$work/day$at"; { head -1 "$work/market/bars.csv"; grep ",${days[at]}," "$work/market/bars.csv"; } > "$work/day$at/bars.csv"; }
done
awk -F, -v last="${days[0]}" 'NR == 1 || $2 <= last' "$work/market/bars.csv" > "$work/first/bars.csv"

timed "ingest the history" "$almanac" ingest "$work/first" --at "${days[0]}"
timed "train" "$almanac" train --at "${days[0]}"
for at in $(seq 1 "$runs"); do
  timed "ingest ${days[at]}" "$almanac" ingest "$work/day$at" --at "${days[at]}"
  timed "predict ${days[at]}" "$almanac" predict --at "${days[at]}"
done
