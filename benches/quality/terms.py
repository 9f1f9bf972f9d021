"""What an alert column is worth against the labels: the evaluator's terms and the opening of alerts."""

import numpy as np


def runs(mask):
    """Half-open [start, end) runs of true values."""
    edges = np.diff(np.concatenate(([0], np.asarray(mask).astype(np.int8), [0])))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist()))


def measure(labels, alert, opened, times, grace):
    """Counts of one series, scored rows only.

    `alert`: True while an alert stands. `opened`: rows at which one opens. An event is opened in when an
    alert opens on one of its rows; `grace` more rows count for `opened_in_grace`, since a window still
    holds an event's cells that long. `touched` and `false_runs` are the evaluator's: alert rows inside
    the event, whenever they began, and alert runs that touch no event.
    """
    events = runs(labels)
    near = labels.copy()
    for _, end in events:
        near[end : end + grace] = True
    opened = np.asarray(opened, dtype=int)
    delays, delays_s, opened_in, opened_near, touched, touched_delays = [], [], 0, 0, 0, []
    for start, end in events:
        inside = opened[(opened >= start) & (opened < end)]
        opened_near += bool(((opened >= start) & (opened < end + grace)).any())
        if len(inside):
            opened_in += 1
            delays.append(int(inside[0] - start))
            delays_s.append(float(times[inside[0]] - times[start]))
        standing = np.flatnonzero(alert[start:end])
        if len(standing):
            touched += 1
            touched_delays.append(int(standing[0]))
    return {
        "rows": len(labels),
        "days": float(max(times[-1] - times[0], 1e-9) / 86400.0),
        "events": len(events),
        "opened_in": opened_in,
        "opened_in_grace": opened_near,
        "delays_rows": delays,
        "delays_s": delays_s,
        "alerts": len(opened),
        "false_starts": int((~labels[opened]).sum()) if len(opened) else 0,
        "false_starts_grace": int((~near[opened]).sum()) if len(opened) else 0,
        "normal_rows": int((~labels).sum()),
        "normal_rows_in_alert": int((alert & ~labels).sum()),
        "touched": touched,
        "touched_delays_rows": touched_delays,
        "false_runs": sum(not labels[a:b].any() for a, b in runs(alert)),
    }


def total(parts):
    """One collection's figures from its series' counts."""
    add = lambda name: sum(part[name] for part in parts)
    pooled = lambda name: [value for part in parts for value in part[name]]
    median = lambda values: float(np.median(values)) if values else None
    days = add("days")
    return {
        "series": len(parts),
        "rows": add("rows"),
        "days": round(days, 2),
        "events": add("events"),
        "opened_in": add("opened_in"),
        "opened_in_or_16_rows_after": add("opened_in_grace"),
        "delay_rows_median": median(pooled("delays_rows")),
        "delay_s_median": median(pooled("delays_s")),
        "alerts": add("alerts"),
        "false_starts": add("false_starts"),
        "false_starts_a_day": round(add("false_starts") / days, 3),
        "false_starts_more_than_16_rows_after": add("false_starts_grace"),
        "normal_rows_in_alert_share": round(add("normal_rows_in_alert") / add("normal_rows"), 5),
        "evaluator": {
            "events_hit": add("touched"),
            "detection_delay_rows_median": median(pooled("touched_delays_rows")),
            "false_alert_runs": add("false_runs"),
            "false_alarms_per_day": round(add("false_runs") / days, 3),
        },
    }
