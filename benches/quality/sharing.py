"""What it costs that keys share a model: every series of a collection a key of one stream, against a model each."""

import tempfile
from pathlib import Path

import eddy
import terms


def can_share(all_series):
    """One stream has one schema and one grid; which columns are flags is the prefix's own affair."""
    return len(all_series) > 1 and len({(s.values.shape[1], s.cadence_ms) for s in all_series}) == 1


def measure(evaluator, binary, work, all_series, result):
    """Mean VUS-PR with a model a key, as in `result`, with the cohorts that training finds, and with one for all of them."""
    # A series without an event in its scored rows has no VUS-PR.
    own = {one["series"]: one["methods"]["eddy"].get("vus_pr") for one in result["each_series"]}
    of_cohorts, cohorts = measured(evaluator, binary, work, all_series, own, None)
    of_one, _ = measured(evaluator, binary, work, all_series, own, "0B")
    return {
        "keys": len(all_series),
        "keys_of_cohorts": cohorts,
        "vus_pr_own": mean(own[name] for name in of_one),
        "vus_pr_cohorts": mean(of_cohorts.values()),
        "vus_pr_shared": mean(of_one.values()),
        "keys_worse_by_more_than_0.02": sum(own[name] - of > 0.02 for name, of in of_cohorts.items()),
    }


def measured(evaluator, binary, work, all_series, own, memory):
    """VUS-PR by series, and how many keys each cohort has."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        told, cohorts = eddy.run_shared(binary, Path(folder), all_series, memory)
    found = {s.name: terms.measure(evaluator, s, one).get("vus_pr") for s, one in zip(all_series, told)}
    return {name: of for name, of in found.items() if None not in (of, own[name])}, cohorts


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def rows(results):
    yield "| collection | keys | a model a key | cohorts | keys in them | one model for all | keys that lose more than 0.02 by cohorts |"
    yield "|---|---|---|---|---|---|---|"
    for result in results:
        if t := result.get("sharing"):
            keys = ", ".join(map(str, t["keys_of_cohorts"])) or "none"
            yield (
                f"| {result['collection']} | {t['keys']} | {t['vus_pr_own']:.3f} | {t['vus_pr_cohorts']:.3f} | {keys} "
                f"| {t['vus_pr_shared']:.3f} | {t['keys_worse_by_more_than_0.02']} |"
            )
