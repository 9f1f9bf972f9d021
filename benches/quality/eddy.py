"""The release binary: `eddy train` on each series' prefix, `eddy backtest` on everything after it."""

import csv
import heapq
import json
import os
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import evidence

#: 2026-01-01T00:00:00Z, ms: row 0 of every series
START_MS = 1_767_225_600_000
#: Cells of a window: many for few columns, fewer for many, and never more values than a window may hold.
CELLS_OF_FEW, CELLS_OF_MANY, FEW_COLUMNS = 64, 16, 4
VALUES_MAX = 4096
KEY = "series"
#: No shorter warm-up is taken.
WARMUP_MIN_MS = 10_000
#: The appliance may share the machine: one thread each, and the same bytes on any day.
ENVIRONMENT = {**os.environ, "RAYON_NUM_THREADS": "1", "SOURCE_DATE_EPOCH": "0", "NO_COLOR": "1"}


@dataclass
class Told:
    """Of every row of a series: what a method thinks of it, and whether an alert stands."""

    #: 0 where nothing was judged
    scores: np.ndarray
    alert: np.ndarray
    #: rows at which an alert opens, by whatever rule
    opened: np.ndarray
    #: those of them that are onsets; None of a method without such a rule
    onsets: np.ndarray | None = None
    #: why nothing was judged at all, if so
    failed: str | None = None
    #: (row, column) by alert: where it opened and whom it named
    named: list = field(default_factory=list)
    #: what was said of every column, if it was asked for
    columns: evidence.Columns | None = None


def cells(series):
    """By the columns that are scored, as the prefix shows: those that are only ever 0 or 1 are flags."""
    prefix, columns = series.values[: series.prefix], series.values.shape[1]
    flags = np.all(np.isin(prefix, (0, 1)) | np.isnan(prefix), axis=0).sum()
    scored = columns - flags or columns
    return min(CELLS_OF_FEW if scored <= FEW_COLUMNS else CELLS_OF_MANY, VALUES_MAX // columns)


#: A model from a file; what [`run`] uses.
LOADED = '{ type = "load", path = "model.safetensors" }'


def loaded(memory):
    """The same, with so much room for models of cohorts."""
    return LOADED.replace(" }", f', memory = "{memory}" }}') if memory else LOADED


def config(series, budget=None, model=LOADED):
    """One for all series; whatever it does not say is the product's default. `budget`: alerts a day."""
    grid, n = series.cadence_ms, cells(series)
    columns = "".join(f'columns.c{c} = {{ path = "c{c}" }}\n' for c in range(series.values.shape[1]))
    return (
        '[source.file]\ntype = "replay"\npath = "rest.csv"\n[sink.console]\ntype = "stdout"\n'
        f'[stream.{KEY}]\nfrom = "file"\nkey = "k"\ntime = {{ path = "t", unit = "ms" }}\n{columns}'
        f'window = {{ type = "hopping", size = "{n * grid}ms", every = "{grid}ms", grid = "{grid}ms", lateness = "0s" }}\n'
        f"model = {model}\n"
        + (f'alert_budget = "{budget}/day"\n' if budget else "")
    )


def write(path, columns, parts):
    """`parts`: (key, series, rows). In order of time: keys that share a partition share its clock, and of keys one after
    another all but the first would be late."""
    in_order = heapq.merge(*([(row, key, series) for row in rows] for key, series, rows in parts), key=lambda one: one[0])
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["t", "k", *(f"c{c}" for c in range(columns))])
        for row, key, series in in_order:
            values = ("" if value != value else repr(float(value)) for value in series.values[row])
            out.writerow([START_MS + row * series.cadence_ms, key, *values])


def nothing(series) -> Told:
    count = len(series.values)
    return Told(np.zeros(count), np.zeros(count, bool), np.zeros(0, int), np.zeros(0, int))


def run(binary: Path, folder: Path, series, trained=None, by_column=False) -> Told:
    """Trains and judges in `folder`. The rows judged begin one window before the end of the prefix, so that the
    window of the first scored row is full. Onsets are taken from a run over the whole series instead, since they
    are told by all that was before, and nothing of them was fitted on the prefix. `trained`: how many rows to train on,
    the first of the prefix; all of it by default."""
    columns = series.values.shape[1]
    (folder / "eddy.toml").write_text(config(series))
    write(folder / "prefix.csv", columns, [(KEY, series, range(trained or series.prefix))])
    write(folder / "rest.csv", columns, [(KEY, series, judged(series))])
    write(folder / "whole.csv", columns, [(KEY, series, range(len(series.values)))])
    told = told_by(binary, folder, series, [TRAIN, [*BACKTEST, "--columns", "columns.csv"] if by_column else BACKTEST, ONSETS])
    if by_column and told.failed is None:
        told.columns = evidence.read(folder / "columns.csv", series, row_of)
    return told


def run_growing(binary: Path, folder: Path, series, rows) -> Told:
    """Without training: all rows, by models that the stream fits as it goes. `rows`: length of its warm-up. Models change
    once a minute of event time at most, so rows that come more often than once a second are taken to come so."""
    series = replace(series, cadence_ms=max(series.cadence_ms, 1000))
    warmup_ms = max(max(rows, cells(series)) * series.cadence_ms, WARMUP_MIN_MS)
    (folder / "eddy.toml").write_text(config(series, model=f'{{ type = "fit", warmup = "{warmup_ms}ms" }}'))
    write(folder / "rest.csv", series.values.shape[1], [(KEY, series, range(len(series.values)))])
    return told_by(binary, folder, series, [BACKTEST])


def told_by(binary, folder, series, commands) -> Told:
    told = nothing(series)
    told.failed = do(binary, folder, commands)
    if told.failed is None:
        take_scores({KEY: (series, told)}, folder / "scores.csv")
        of_rule = lambda alert: alert["rule"] == "onset"
        windows = [alert for alert in alerts(folder / "told.json") if not of_rule(alert)]
        onsets = alerts(folder / "onsets.json") if ONSETS in commands else []
        take_alerts(told, series, windows + [alert for alert in onsets if of_rule(alert)])
    return told


def run_shared(binary: Path, folder: Path, all_series, memory=None) -> tuple[list[Told], list[int]]:
    """Every series a key of one stream, without alerts; and how many keys each cohort of its model has."""
    told = [nothing(series) for series in all_series]
    columns = all_series[0].values.shape[1]
    names = [f"k{i}" for i in range(len(all_series))]
    (folder / "eddy.toml").write_text(config(all_series[0], model=loaded(memory)))
    write(folder / "prefix.csv", columns, [(k, s, range(s.prefix)) for k, s in zip(names, all_series)])
    write(folder / "rest.csv", columns, [(k, s, judged(s)) for k, s in zip(names, all_series)])
    if failed := do(binary, folder, [TRAIN, BACKTEST]):
        raise SystemExit(f"quality: one model for {len(all_series)} series: {failed}")
    take_scores({k: pair for k, *pair in zip(names, all_series, told)}, folder / "scores.csv")
    card = json.loads((folder / "model.json").read_text())
    return told, [cohort["keys"] for cohort in card["cohorts"]]


def judged(series):
    return range(max(series.prefix - cells(series), 0), len(series.values))


TRAIN = ["train", "eddy.toml", "--stream", KEY, "--data", "prefix.csv", "--out", "model.safetensors"]
BACKTEST = ["backtest", "eddy.toml", "--stream", KEY, "--data", "rest.csv", "--scores", "scores.csv", "--json", "told.json"]
ONSETS = ["backtest", "eddy.toml", "--stream", KEY, "--data", "whole.csv", "--json", "onsets.json"]


def do(binary, folder, commands):
    """Why a command failed, if one did."""
    for command in commands:
        done = subprocess.run([binary, *command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
        if done.returncode != 0:
            return f"eddy {command[0]}: {reason(done)}"
    return None


def take_scores(told_of, path):
    """`told_of`: (series, told) by key."""
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            series, told = told_of[line["key"]]
            row = row_of(series, line["window_end_ns"])
            # While other keys go on, windows close that still hold the last rows of this one.
            if row < len(told.scores):
                told.scores[row] = float(line["surprise_nats"])


def run_budget(binary: Path, folder: Path, series, budget) -> Told:
    """By the same model, which [`run`] has left in `folder`, under an alert budget; without scores. Over the whole series:
    a budget is of both rules, and onsets are told by all that was before."""
    told = nothing(series)
    (folder / "budget.toml").write_text(config(series, budget))
    command = ["backtest", "budget.toml", "--stream", KEY, "--data", "whole.csv", "--json", "budget.json"]
    done = subprocess.run([binary, *command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"quality: {series.name} under a budget: {reason(done)}")
    take_alerts(told, series, alerts(folder / "budget.json"))
    return told


def row_of(series, end_ns):
    return (int(end_ns) // 1_000_000 - START_MS) // series.cadence_ms - 1


def alerts(path):
    return json.loads(path.read_text())["run"]["alerts"]


def take_alerts(told, series, alerts):
    alerts = sorted(alerts, key=lambda alert: alert["opened_ns"])
    told.opened = np.array([row_of(series, alert["opened_ns"]) for alert in alerts], int)
    told.named = [(row, int(alert["column"][1:])) for row, alert in zip(told.opened, alerts) if "column" in alert]
    told.onsets = told.opened[np.array([alert["rule"] == "onset" for alert in alerts], bool)]
    for alert, start in zip(alerts, told.opened):
        end = len(series.values) if alert["closed_ns"] is None else row_of(series, alert["closed_ns"])
        told.alert[start:end] = True


def reason(done):
    lines = [line.removeprefix("eddy: ") for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"ended with {done.returncode}"
