"""What it costs that keys share a model: every series of a collection a key of one stream, against a model each."""

import tempfile
from pathlib import Path

import eddy
import terms


def can_share(all_series):
    """One stream has one schema and one grid; which columns are flags is the prefix's own affair."""
    return len(all_series) > 1 and len({(s.values.shape[1], s.cadence_ms) for s in all_series}) == 1


def measure(evaluator, binary, work, all_series, result):
    """Mean VUS-PR with a model a key, as in `result`, and with one for all of them."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        told = eddy.run_shared(binary, Path(folder), all_series)
    # A series without an event in its scored rows has no VUS-PR.
    own_of = {one["series"]: one["methods"]["eddy"].get("vus_pr") for one in result["each_series"]}
    pairs = [(own_of[s.name], terms.measure(evaluator, s, one).get("vus_pr")) for s, one in zip(all_series, told)]
    own, shared = zip(*(pair for pair in pairs if None not in pair))
    return {
        "keys": len(all_series),
        "vus_pr_own": sum(own) / len(own),
        "vus_pr_shared": sum(shared) / len(shared),
        "keys_worse_by_more_than_0.02": sum(o - s > 0.02 for o, s in zip(own, shared)),
    }


def rows(results):
    yield "| collection | keys | a model a key | one model for all | keys that lose more than 0.02 |"
    yield "|---|---|---|---|---|"
    for result in results:
        if t := result.get("sharing"):
            yield (
                f"| {result['collection']} | {t['keys']} | {t['vus_pr_own']:.3f} | {t['vus_pr_shared']:.3f} "
                f"| {t['keys_worse_by_more_than_0.02']} |"
            )
