"""Real labelled series through a real Mosquitto into the release binary, beside a rolling z-score.

One configuration for every series: hopping windows of 16 cells, one cell apart, a cell a row (fewer cells
where 16 would hold more than 512 values); the product's default p-value; a model fitted by `eddy train` on
the series' training prefix. Nothing is chosen by looking past a prefix. Called by scripts/quality.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

import eddy
import report
import series as labelled
import terms
import zscore
from broker import Mosquitto, publish

COLLECTIONS = ["nab", "asd", "skab", "smd", "smap_msl", "kpi", "physio"]
#: Leaves room for the windows that still hold an event's last cells.
GRACE_ROWS = 16


def messages(named):
    """Rows of each series from one window before the end of its prefix on, as eddy will be sent them."""
    for name, series in named.items():
        topic = f"series/{name}".encode()
        for row in range(series.prefix - eddy.cells(series), len(series.values)):
            values = "".join(f',"c{c}":{float(v)!r}' for c, v in enumerate(series.values[row]) if v == v)
            time_ms = eddy.START_MS + row * series.cadence_ms
            yield topic, f'{{"k":"{name}","t":{time_ms}{values}}}'.encode()


def alert_column(series, decisions):
    """The alert column and the opening rows from one stream's revisions, oldest first."""
    rows = len(series.values)
    alert, opened, since = np.zeros(rows, bool), [], None
    for decision in decisions:
        row = (decision["window_end"] // 1_000_000 - eddy.START_MS) // series.cadence_ms - 1
        if decision["state"] == "raised":
            since = row
            opened.append(row)
        else:
            alert[since:row] = True
            since = None
    if since is not None:
        alert[since:] = True
    return alert, opened


def scored(series, alert, opened):
    """Measures the rows after the prefix; alerts that opened before count as standing, not as opened."""
    a = series.prefix
    opened = [row - a for row in opened if row >= a]
    return terms.measure(series.labels[a:], alert[a:], opened, series.times[a:], GRACE_ROWS)


def peers(series):
    """Rolling z-score under Eddy's rule, and opening on a single row."""
    scores = zscore.score(series)
    reference = scores[min(zscore.WINDOW, series.prefix // 4) : series.prefix]
    p = zscore.p_values(scores, reference)
    overlap = eddy.cells(series)
    judge = lambda needed: scored(series, *zscore.alerts(p, eddy.P_VALUE, overlap, needed))
    return {"rolling_z": judge(zscore.NEEDED), "rolling_z_one_row": judge(1)}


def run_collection(binary, data, name):
    started = time.time()
    licence, all_series = labelled.collection(data / name)
    named = {f"s{i:03}": series for i, series in enumerate(all_series)}
    with tempfile.TemporaryDirectory(dir=binary.parent) as folder:
        folder = Path(folder)
        trained = eddy.train_all(binary, folder, named)
        left_out = {named[n].name: why for n, (model, why) in trained.items() if model is None}
        named = {n: s for n, s in named.items() if trained[n][0] is not None}
        train_s = time.time() - started
        broker = Mosquitto(folder)
        appliance = eddy.Appliance(binary, folder, broker.port, named, {n: m for n, (m, _) in trained.items()})
        try:
            replay_started = time.time()
            sent = publish(broker.port, messages(named))
            counts = appliance.drained(sent)
            replay_s = time.time() - replay_started
            decisions = appliance.decisions()
        finally:
            appliance.stop()
            broker.stop()
    results = {"eddy": [], "rolling_z": [], "rolling_z_one_row": []}
    each = []
    for n, series in named.items():
        own = [decision for decision in decisions if decision["stream"] == n]
        parts = {"eddy": scored(series, *alert_column(series, own)), **peers(series)}
        for method, part in parts.items():
            results[method].append(part)
        each.append({"series": series.name, "columns": series.values.shape[1], "cells": eddy.cells(series),
                     "prefix": series.prefix, "rows_scored": len(series.values) - series.prefix,
                     **{method: terms.total([part]) for method, part in parts.items()}})
    return {
        "collection": name,
        "licence": licence,
        "messages": sent,
        "messages_per_s": round(sent / replay_s),
        "train_s": round(train_s, 1),
        "replay_s": round(replay_s, 1),
        **counts,
        "left_out": left_out,
        **{method: terms.total(parts) for method, parts in results.items()},
        "each_series": each,
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--eddy", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True, help="folder for real-input.json and real-input.md")
    arguments.add_argument("--only", help="collections, comma-separated")
    options = arguments.parse_args()
    wanted = options.only.split(",") if options.only else COLLECTIONS
    found = [name for name in wanted if (options.data / name / "manifest.json").is_file()]
    if not found:
        raise SystemExit(f"none of {', '.join(wanted)} in {options.data}: give the folder that holds them")
    results = []
    for name in found:
        results.append(run_collection(options.eddy.resolve(), options.data, name))
        print(report.line(results[-1]), flush=True)
    whole = {"p_value": eddy.P_VALUE, "cells": eddy.CELLS, "collections": results}
    (options.out / "real-input.json").write_text(json.dumps(whole, indent=1) + "\n")
    (options.out / "real-input.md").write_text(report.markdown(whole))


main()
