"""Labelled series through the release binary, beside the evaluator's baselines on the same rows.

One configuration for every series: hopping windows one cell apart, a cell a row; a model fitted by `eddy train` on
the series' training prefix, the rest judged by `eddy backtest`. Of a series nothing past its prefix is looked at to
choose anything for it, and labels are used by the evaluator only. Constants of the product were chosen on collections
among these: the report says which. Called by scripts/quality.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
from multiprocessing import Pool
from pathlib import Path

import bootstrap
import cards
import cold
import eddy
import evidence
import gate
import peers
import plots
import report
import series as labelled
import sharing
import terms
from cache import Cache, digest

METHODS = ["eddy", *peers.METHODS]
PROCESSES = 2
HERE = Path(__file__).parent


class Bench:
    """What a worker needs to take one series through every method."""

    def __init__(self, options):
        self.binary, self.data = options.eddy.resolve(), options.data
        self.work = options.work
        sys.path.insert(0, str(options.eval))
        self.evaluator = importlib.import_module("score_eval")
        self.baselines = importlib.import_module("baselines")
        text = lambda name: (options.eval / f"{name}.py").read_bytes()
        self.baseline_code = digest(text("baselines"), text("score_eval"), (HERE / "peers.py").read_bytes())
        self.measure_code = digest(text("score_eval"), (HERE / "terms.py").read_bytes())
        self.cache = Cache(options.work / "cache")
        self.budgets = options.budgets
        self.cold = options.cold

    def take(self, collection, entry):
        series = labelled.read(self.data / collection, entry)
        started = time.time()
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            told = {"eddy": eddy.run(self.binary, Path(folder), series, by_column=evidence.wanted(collection))}
            took_s = time.time() - started
            budgeted = [] if told["eddy"].failed else self.budgets
            budgets = {b: terms.budget(series, eddy.run_budget(self.binary, Path(folder), series, b)) for b in budgeted}
            begun = cold.run(self.binary, Path(folder), series) if self.cold and collection in cold.COLLECTIONS else {}
        for method in peers.METHODS:
            key = digest(self.baseline_code, method, series.digest)
            told[method] = self.cache.told(key, lambda: peers.run(self.baselines, method, series))
        figures = {}
        for method, one in told.items():
            key = digest(self.measure_code, series.digest, one.scores, one.alert, one.opened)
            figures[method] = self.cache.figures(key, lambda: terms.measure(self.evaluator, series, one))
        each = {
            "series": series.name,
            "columns": series.values.shape[1],
            "cells": eddy.cells(series),
            "prefix": series.prefix,
            "eddy_s": took_s,
            "failed": told["eddy"].failed,
            "budgets": budgets,
            "cold": {name: cold.measure(self.evaluator, series, one) for name, one in begun.items()},
            "methods": figures,
        }
        columns = told["eddy"].columns
        if columns and collection in evidence.WITH_BANDS:
            each["bands"] = evidence.bands(series, columns, eddy.cells(series))
        if columns and collection in evidence.WITH_CAUSES:
            each["named"] = evidence.named(series, columns, told["eddy"].named)
        return each, (series, told) if "nab_windows" in entry else None


def start_worker(options):
    global bench
    bench = Bench(options)


def take(job):
    return bench.take(*job)


def run_collection(pool, bench, name, found):
    # The longest first, so that no worker is left with it at the end.
    jobs = sorted(found["series"], key=lambda e: -e["rows"] * len(e["value_columns"]))
    done = pool.imap_unordered(take, [(name, entry) for entry in jobs])
    taken = sorted(done, key=lambda pair: pair[0]["series"])
    each = [one for one, _ in taken]
    methods = {m: terms.total([one["methods"][m] for one in each]) for m in METHODS}
    for_nab = [kept for _, kept in taken]
    if all(for_nab):
        for m in METHODS:
            methods[m] |= terms.nab(bench.evaluator, [(series, told[m]) for series, told in for_nab])
    return {
        "collection": name,
        "licence": found["licence"],
        "series": len(each),
        "rows": sum(one["methods"]["eddy"]["rows"] for one in each),
        "days": sum(one["methods"]["eddy"]["days"] for one in each),
        "eddy_s": sum(one["eddy_s"] for one in each),
        "failed": {one["series"]: one["failed"] for one in each if one["failed"]},
        "budgets": {b: terms.budget_total(each, b) for b in bench.budgets},
        "bands": evidence.bands_total(each),
        "named": evidence.named_total(each),
        "cold": cold.total(each),
        "methods": methods,
        "each_series": each,
    }


def shared(bench, name, found, result):
    """Of a whole collection at once, beside the models of a key each; nothing where series have not the same columns."""
    all_series = [labelled.read(bench.data / name, entry) for entry in found["series"]]
    if not sharing.can_share(all_series):
        return {}
    return {"sharing": sharing.measure(bench.evaluator, bench.binary, bench.work, all_series, result)}


def run_cards(bench, name, found):
    each = [cards.take(bench.binary, bench.work, bench.data / name, entry) for entry in found["series"]]
    result = {"collection": name, "licence": found["licence"], "ways": cards.total(each), "each_series": each}
    print(*cards.rows([result]), sep="\n", flush=True)
    return result


def collections(options):
    """Manifests of the wanted collections: of rows on a grid, of transactions; and the names of those of neither."""
    names = options.only.split(",") if options.only else sorted(p.parent.name for p in options.data.glob("*/manifest.json"))
    missing = [name for name in names if not (options.data / name / "manifest.json").is_file()]
    if missing or not names:
        raise SystemExit(
            f"quality: no manifest.json of {', '.join(missing) or 'any collection'} in {options.data}: DATA is the folder "
            "that holds a folder a collection"
        )
    manifests = {name: labelled.manifest(options.data / name) for name in names}
    on_grid = {n: m for n, m in manifests.items() if labelled.has_a_grid(m)}
    rest = {n: m for n, m in manifests.items() if n not in on_grid}
    transactions = {n: m for n, m in rest.items() if cards.are_transactions(m)}
    return on_grid, transactions, [n for n in rest if n not in transactions]


def read_options():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path, help="folder of the series, a folder a collection")
    arguments.add_argument("eval", type=Path, help="folder of score_eval.py and baselines.py")
    arguments.add_argument("--eddy", type=Path, required=True, help="the program")
    arguments.add_argument("--work", type=Path, required=True, help="folder for what may be deleted")
    arguments.add_argument("--out", type=Path, help="folder for quality.md, quality.json and the plots; WORK if --only is given")
    arguments.add_argument("--only", help="collections, comma-separated")
    arguments.add_argument("--note", help="a line for the top of quality.md, such as which model was measured")
    arguments.add_argument(
        "--budgets",
        type=lambda text: [part for part in text.split(",") if part],
        default=["0.2", "1", "5"],
        help="alerts a day that series are run under as well, comma-separated; nothing for none",
    )
    arguments.add_argument("--cold", action="store_true", help="cold starts as well: trained on less, and not at all")
    options = arguments.parse_args()
    for name in ("score_eval.py", "baselines.py"):
        if not (options.eval / name).is_file():
            raise SystemExit(f"quality: no {name} in {options.eval}: EVAL is the folder of the evaluator and its baselines")
    options.out = options.out or (options.work if options.only else HERE.parent)
    options.eval = options.eval.resolve()
    return options


def main():
    options = read_options()
    options.work.mkdir(parents=True, exist_ok=True)
    found, transactions, no_grid = collections(options)
    bench = Bench(options)
    of_cards = [run_cards(bench, name, manifest) for name, manifest in transactions.items()]
    results = []
    with Pool(PROCESSES, start_worker, (options,)) as pool:
        for name, manifest in found.items():
            results.append(run_collection(pool, bench, name, manifest))
            results[-1] |= shared(bench, name, manifest, results[-1])
            print(report.line(results[-1]), flush=True)
    if not results and of_cards:
        return
    if not results:
        raise SystemExit(f"quality: nothing to run: rows of {', '.join(no_grid)} lie on no grid")
    whole = {
        "note": options.note,
        "values_a_window_max": eddy.VALUES_MAX,
        "not_run": no_grid,
        "against": {peer: bootstrap.paired(results, "eddy", peer) for peer in peers.METHODS},
        "collections": results,
        "transactions": of_cards,
    }
    lost = gate.losses(results, HERE.parent / "quality.json")
    if lost:
        # What is checked in stays as it was: the next run would be held against it.
        options.out = options.work
    (options.out / "quality.json").write_text(report.json_text(whole))
    (options.out / "quality.md").write_text(report.markdown(whole))
    plots.by_collection(results, options.out / "quality-by-collection.svg")
    plots.by_series(results, report.best_peer(results), options.out / "quality-by-series.svg")
    print(f"written: {options.out / 'quality.md'}")
    if lost:
        told = "; ".join(f"{name} VUS-PR {was:.3f} before, {now:.3f} now" for name, was, now in lost)
        raise SystemExit(f"quality: less is found than benches/quality.json says: {told}. If that is meant, copy the files")


if __name__ == "__main__":
    main()
