"""Cold starts: the same rows scored after less training, and after none."""

import numpy as np

import eddy

#: Those of which the model's design has figures.
COLLECTIONS = ["nab", "asd", "smd", "skab", "smap_msl", "kpi", "physio"]
#: Shares of the prefix that are trained on: its first rows, and no fewer than so many.
SHARES = {"5 %": 0.05, "10 %": 0.10, "25 %": 0.25}
ROWS_MIN = 60
GROWING = "none, growing"
WAYS = [*SHARES, GROWING]


def rows(series, share):
    return min(max(int(series.prefix * share), ROWS_MIN), series.prefix)


def run(binary, folder, series):
    """What is told after each way to begin."""
    told = {name: eddy.run(binary, folder, series, rows(series, share)) for name, share in SHARES.items()}
    return told | {GROWING: eddy.run_growing(binary, folder, series, rows(series, SHARES["5 %"]))}


def measure(evaluator, series, told):
    found = evaluator.score_arrays(
        series.entry, series.times, series.labels.astype(int), series.values[:, 0], told.scores, told.alert.astype(float), heavy=False
    )
    alerts = told.opened[told.opened >= series.prefix]
    return {
        "vus_pr": float(found["vus_pr"]) if "vus_pr" in found else None,
        "false_starts": int((~series.labels[alerts]).sum()),
        "failed": told.failed,
    }


def total(each):
    """Mean over the series of a collection, by way to begin; series without a model count with a score of 0."""
    if not all(one["cold"] for one in each):
        return {}
    mean = lambda values: float(np.mean(values)) if values else None
    of = lambda way, name: [one["cold"][way][name] for one in each]
    return {
        way: {
            "vus_pr": mean([v for v in of(way, "vus_pr") if v is not None]),
            "false_starts": sum(of(way, "false_starts")),
            "failed": sum(why is not None for why in of(way, "failed")),
        }
        for way in WAYS
    }


HOW = f"""The same rows scored after training on the first 5, 10 and 25 % of the prefix (its first rows, {ROWS_MIN} at least), and
after none: `model = "fit"` from the first row of the prefix on, with a warm-up of 5 % of it, so that models grow through the
whole of it, and on through the rows scored (rows a second apart at least, since models change once a minute of event time at most). In brackets: series without a model.
"""


def table(results):
    results = [result for result in results if result["cold"]]
    yield "| trained on | " + " | ".join(result["collection"] for result in results) + " | mean | of all |"
    yield "|---|" + "---|" * (len(results) + 2)
    whole = [result["methods"]["eddy"]["vus_pr"] for result in results]
    for way in WAYS:
        parts = [result["cold"][way] for result in results]
        cells = [f"{part['vus_pr']:.3f}" + (f" ({part['failed']})" if part["failed"] else "") for part in parts]
        mean = np.mean([part["vus_pr"] for part in parts])
        yield f"| {way} | " + " | ".join(cells) + f" | {mean:.3f} | {100 * mean / np.mean(whole):.0f} % |"
    yield "| all | " + " | ".join(f"{value:.3f}" for value in whole) + f" | {np.mean(whole):.3f} | 100 % |"
