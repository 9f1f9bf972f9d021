"""The baselines, by the evaluator's own code, on the same rows."""

import numpy as np

from eddy import Told

#: In the evaluator's baselines.py; those that take less than about 10 us a row.
METHODS = ["sub_pca", "kmeans", "ar", "rolling_z", "random"]
#: Fewer rows determine none of them.
PREFIX_MIN = 60


def run(baselines, method, series) -> Told:
    """Fitted on the prefix; the alert column is the one baselines.py gives every method, from the prefix alone."""
    values = baselines.ffill(series.values)
    moving = values.std(0) > 0
    values = values[:, moving] if moving.any() else values[:, :1]
    prefix = max(series.prefix, PREFIX_MIN)
    scores = baselines.METHODS[method](values, prefix)
    alert = baselines.alerts(scores, prefix) > 0
    opened = np.flatnonzero(alert & ~np.concatenate(([False], alert[:-1])))
    return Told(scores, alert, opened)
