"""Whether a difference in mean VUS-PR would last if other series of the same kinds had been drawn."""

import numpy as np

DRAWS = 10_000
LEVEL = 0.95


def paired(collections, method, peer):
    """Mean of `method` minus `peer`, series by series, with the bootstrap's interval: series are drawn anew inside
    each collection. Once with equal weight to each collection, once with equal weight to each series."""
    differences = []
    for collection in collections:
        each = [series["methods"] for series in collection["each_series"] if "vus_pr" in series["methods"][method]]
        if each:
            differences.append(np.array([m[method]["vus_pr"] - m[peer]["vus_pr"] for m in each]))
    random = np.random.default_rng(20_261_126)
    drawn = [d[random.integers(len(d), size=(DRAWS, len(d)))] for d in differences]
    sums, counts = [d.sum(1) for d in drawn], [len(d) for d in differences]
    by_collection = sum(s / n for s, n in zip(sums, counts)) / len(counts)
    every = np.concatenate(differences)
    return {
        "collections": summary(float(np.mean([d.mean() for d in differences])), by_collection),
        "series": summary(float(every.mean()), sum(sums) / sum(counts)),
        "series_won": int((every > 0).sum()),
        "series_lost": int((every < 0).sum()),
    }


def summary(mean, draws):
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"mean": mean, "low": float(low), "high": float(high)}
