"""Times the model families beside scikit-learn and LightGBM in one run, and scores both by the same code.

usage: families.py BARS.parquet REFERENCE_FOLDER EXAMPLE_BINARY RUNS THREADS

Every side is a process of its own, one after another and each a few times in turn, so that a machine that drifts slows
all of them alike. Timed are the nine fits of the scored quarters of horizon 1, and the forecasts, without loading and
features; processor seconds tell the work from the waiting on a busy machine. `--worker` is how the script calls itself.
"""
import json
import os
import statistics
import subprocess
import sys
import time

BOOSTED = dict(n_estimators=100, learning_rate=0.05, verbose=-1, random_state=0, deterministic=True, force_row_wise=True)
WORKERS = {
    "scikit-learn ridge": None,
    "LightGBM, 31 leaves (the reference's times)": dict(BOOSTED, num_leaves=31, min_child_samples=200, reg_lambda=1),
    "LightGBM, 15 leaves (the reference's ranking)": dict(BOOSTED, num_leaves=15, min_child_samples=1000, reg_lambda=10),
}
OURS = {
    "Almanac ridge": ["ridge"],
    "Almanac boosted": ["boosted"],
    "Almanac boosted, grown as LightGBM's 15 leaves": ["--trees", "100,0.05,15,1000,10,1", "boosted"],
}


def worker(data, reference, name, threads):
    """One side of the reference: its own features, folds and rank correlation; the ranked target for trees."""
    sys.path.insert(0, reference)
    sys.argv = ["evaluate.py", data]
    import numpy as np
    import pandas as pd
    import evaluate
    from features import FEATURES, add_features, load

    frame = add_features(load(data))
    label = frame["y_1"]
    rank = (label.where(frame.ok).groupby(frame["date"]).rank(pct=True) - 0.5).to_numpy()
    label, end, date = label.to_numpy(), frame["date_1"].to_numpy(), frame["date"].to_numpy()
    known, rows = frame.ok.to_numpy() & np.isfinite(label), frame[FEATURES].to_numpy()
    fit = cpu = predict = 0.0
    parts = []
    for start, stop in evaluate.quarters(frame, "2016-01-01", 0)[0]:
        train = known & (end < np.datetime64(start))
        test = known & (date >= np.datetime64(start)) & (date < np.datetime64(stop))
        begin, busy = time.perf_counter(), time.process_time()
        if WORKERS[name] is None:
            model = evaluate.Linear("ridge", 1000.0).fit(rows[train], label[train])
        else:
            import lightgbm
            model = lightgbm.LGBMRegressor(n_jobs=threads, **WORKERS[name]).fit(rows[train], rank[train])
        middle, cpu = time.perf_counter(), cpu + time.process_time() - busy
        expected = model.predict(rows[test])
        fit, predict = fit + middle - begin, predict + time.perf_counter() - middle
        parts.append(pd.DataFrame(dict(date=date[test], y=label[test], pred=expected)))
    daily = evaluate.rank_ic(pd.concat(parts, ignore_index=True))
    t = float(evaluate.newey_west_t(daily, 0))
    print(json.dumps(dict(fit_s=fit, fit_cpu_s=cpu, predict_s=predict, ic_mean=float(daily.mean()), ic_t_nw=t)))


def main():
    data, reference, binary, runs, threads = sys.argv[1:6]
    count = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    # Two threads of the linear algebra slow scikit-learn's ridge on shared cores; it keeps one.
    single = dict.fromkeys(count, "1")
    commands = {name: [sys.executable, __file__, "--worker", data, reference, name, threads] for name in WORKERS}
    commands |= {name: [binary, data, "--threads", threads, *arguments] for name, arguments in OURS.items()}
    figures = {name: [] for name in commands}
    for _ in range(int(runs)):
        for name, command in commands.items():
            environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | (single if "ridge" in name else count)
            out = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
            figures[name].append(json.loads(out.splitlines()[-1]))
    print(f"| {threads} thread(s), {runs} runs each, interleaved | fit s, median (min-max) | processor s | forecast s | rank IC (t) |")
    print("|---|---|---|---|---|")
    for name, runs_of in figures.items():
        fits = [run["fit_s"] for run in runs_of]
        busy, predict = (statistics.median(run[key] for run in runs_of) for key in ("fit_cpu_s", "predict_s"))
        ic = f"{runs_of[0]['ic_mean']:.4f} ({runs_of[0]['ic_t_nw']:.1f})"
        print(f"| {name} | {statistics.median(fits):.3f} ({min(fits):.3f}-{max(fits):.3f}) | {busy:.3f} | {predict:.2f} | {ic} |")


if sys.argv[1] == "--worker":
    worker(*sys.argv[2:5], int(sys.argv[5]))
else:
    main()
