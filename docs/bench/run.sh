#!/usr/bin/env bash
# Times Almanac beside the Python reference on the same data in one run.
#   ALMANAC_REAL_DATA=folder with sp500_5y.parquet  ALMANAC_REFERENCE=folder of the reference  docs/bench/run.sh [RUNS]
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${ALMANAC_REAL_DATA:?names the folder with sp500_5y.parquet}" "${ALMANAC_REFERENCE:?names the folder of the reference}"
runs=${1:-3}
bars=$ALMANAC_REAL_DATA/sp500_5y.parquet
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

venv=target/bench/venv
if [ ! -x $venv/bin/python ]; then
  python3 -m venv $venv
  $venv/bin/pip install --quiet pandas numpy scipy scikit-learn pyarrow
fi
python=$PWD/$venv/bin/python
# The same build as the tests have.
cargo build --quiet --locked --workspace --all-targets
almanac=$PWD/target/debug/almanac
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 ALMANAC_MODE=replayed ALMANAC_DATA_DIR=$work/data

python3 docs/bench/measure.py "$runs" \
  "reference: load, features=cd $ALMANAC_REFERENCE && PYTHONDONTWRITEBYTECODE=1 $python features.py $bars" \
  "almanac: the same=target/debug/examples/measure $bars 2016-01-01 features" \
  "reference: load, features, ridge beside its baselines, 9 folds and 4 for calibration, 2 horizons=cd $ALMANAC_REFERENCE && PYTHONDONTWRITEBYTECODE=1 $python evaluate.py $bars --models zero,drift,ridge --threads 1 --out $work/reference" \
  "almanac: the same, ridge fitted twice=target/debug/examples/measure $bars 2016-01-01 walk" \
  "\`almanac ingest\`, with its own PostgreSQL made and started=rm -rf $work/data && $almanac ingest $bars" \
  "\`almanac train\`: dataset, 2 horizons, evaluation, leak checks, artefact, events=$almanac train" \
  "\`almanac predict\`: 1,010 slots published as events=$almanac predict"
