"""What a method told, held against the labels of one series, and the figures of a collection."""

import numpy as np

#: Threshold-free, from the evaluator; they exist where the scored rows have both classes.
OF_SCORES = ["vus_pr", "vus_roc", "auc_pr"]


def runs(mask):
    """Half-open [start, end) runs of true values."""
    edges = np.diff(np.concatenate(([0], np.asarray(mask).astype(np.int8), [0])))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist()))


def measure(evaluator, series, told):
    """Figures of one series, rows after the prefix only."""
    found = evaluator.score_arrays(
        series.entry, series.times, series.labels.astype(int), series.values[:, 0], told.scores, told.alert.astype(float), heavy=False
    )
    a = series.prefix
    opened = openings(series.labels[a:], told.opened[told.opened >= a] - a, series.times[a:])
    normal = ~series.labels[a:]
    return {
        **{name: float(found[name]) for name in OF_SCORES if name in found},
        "event_f1": float(found["alert"]["event_f1"]),
        "rows": int(len(normal)),
        "normal_rows": int(normal.sum()),
        "normal_rows_in_alert": int((told.alert[a:] & normal).sum()),
        **opened,
    }


def openings(labels, opened, times):
    """An event is opened in when an alert opens on one of its rows, not when one merely stands there; a false start is
    an alert that opens on a normal row."""
    events = runs(labels)
    delays, delays_s = [], []
    for start, end in events:
        inside = opened[(opened >= start) & (opened < end)]
        if len(inside):
            delays.append(int(inside[0] - start))
            delays_s.append(float(times[inside[0]] - times[start]))
    return {
        "days": float(max(times[-1] - times[0], 1e-9) / 86_400.0),
        "events": len(events),
        "opened_in": len(delays),
        "delays_rows": delays,
        "delays_s": delays_s,
        "alerts": len(opened),
        "false_starts": int((~labels[opened]).sum()),
    }


def budget(series, told):
    """What a method under an alert budget opened in the rows after the prefix."""
    a = series.prefix
    normal = ~series.labels[a:]
    found = openings(series.labels[a:], told.opened[told.opened >= a] - a, series.times[a:])
    # Of event time as the run has it: some published times have gaps.
    days = len(normal) * series.cadence_ms / 86_400_000
    return {
        "days": days,
        "alerts": found["alerts"],
        "false_starts": found["false_starts"],
        "opened_in": found["opened_in"],
        "events": found["events"],
        "normal_rows": int(normal.sum()),
        "normal_rows_in_alert": int((told.alert[a:] & normal).sum()),
    }


def budget_total(each, per_day):
    """Over the series of a collection: each has its own budget."""
    parts = [one["budgets"][per_day] for one in each if per_day in one["budgets"]]
    return {name: sum(part[name] for part in parts) for name in parts[0]} if parts else {}


def total(parts):
    """A collection's figures from those of its series."""
    add = lambda name: sum(part[name] for part in parts)
    mean = lambda values: float(np.mean(values)) if values else None
    median = lambda name: float(np.median(pooled)) if (pooled := [v for part in parts for v in part[name]]) else None
    return {
        **{name: mean([part[name] for part in parts if name in part]) for name in OF_SCORES},
        "event_f1": mean([part["event_f1"] for part in parts if part["events"]]),
        "events": add("events"),
        "opened_in": add("opened_in"),
        "delay_rows_median": median("delays_rows"),
        "delay_s_median": median("delays_s"),
        "alerts": add("alerts"),
        "false_starts_a_day": add("false_starts") / add("days"),
        "normal_rows_in_alert_share": add("normal_rows_in_alert") / add("normal_rows"),
    }


def nab(evaluator, told_of):
    """NAB's standard profile over a collection's (series, told): at the alerts told, each counted once where it opens;
    and at the one threshold on the scores that is best for the whole collection, as NAB reports."""
    if not all("nab_windows" in series.entry for series, _ in told_of):
        return {}
    windows = lambda series: ([tuple(window) for window in series.entry["nab_windows"]], series.entry["nab_probation_rows"])
    at = lambda rows, told: np.isin(np.arange(len(told.scores)), rows).astype(float)
    of_openings = lambda all_rows: evaluator.nab_score(
        [(at(rows, told), *windows(series)) for rows, (series, told) in zip(all_rows, told_of)], 0.5, "standard"
    )[0]
    scores = [(evaluator.clean_scores(told.scores), *windows(series)) for series, told in told_of]
    of_onsets = [told.onsets for _, told in told_of]
    return {
        "nab_of_alerts": of_openings([told.opened for _, told in told_of]),
        "nab_of_onsets": None if any(one is None for one in of_onsets) else of_openings(of_onsets),
        "nab_of_scores": evaluator.nab_score(scores, None, "standard")[0],
    }
