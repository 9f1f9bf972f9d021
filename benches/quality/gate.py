"""Holds what was measured against what is checked in: a change that finds less must not go unseen."""

import json

# Series are few and differ by a hundredth between machines' order of sums; more than this is a loss.
LOSS_MAX = 0.02


def losses(results, checked_in):
    """Collections of `results` that find less than quality.json at `checked_in` says: (name, was, is)."""
    if not checked_in.is_file():
        return []
    known = {c["collection"]: vus_pr(c) for c in json.loads(checked_in.read_text())["collections"]}
    pairs = [(c["collection"], known.get(c["collection"]), vus_pr(c)) for c in results]
    return [(name, was, now) for name, was, now in pairs if was is not None and now < was - LOSS_MAX]


def vus_pr(collection):
    return collection["methods"]["eddy"]["vus_pr"]
