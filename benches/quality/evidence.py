"""What Eddy says of single columns, held against what was published: whom it names, and whether its bands hold.

Of every window that is judged: what was expected of each column's newest value, the band about it, and the column's
share of the surprise, as `eddy backtest --columns` writes them.
"""

import csv
from dataclasses import dataclass

import numpy as np

#: Collections that publish which columns an event is in.
WITH_CAUSES = ["asd", "smd"]
#: Collections whose bands are looked at.
WITH_BANDS = ["asd", "smd", "skab", "kpi", "nab"]
NOMINAL = 0.95
#: A band holds what it promises within this much.
CLOSE = 0.02
#: Fewer values of a column say nothing about the share within.
VALUES_MIN = 200


@dataclass
class Columns:
    """rows x columns, NaN where nothing was judged"""

    low: np.ndarray
    high: np.ndarray
    share: np.ndarray


def wanted(collection):
    return collection in WITH_CAUSES or collection in WITH_BANDS


def read(path, series, row_of) -> Columns:
    low, high, share = (np.full(series.values.shape, np.nan, np.float32) for _ in range(3))
    with path.open(newline="") as file:
        for _, end_ns, column, _, _, line_low, line_high, line_share in list(csv.reader(file))[1:]:
            at = row_of(series, end_ns), int(column[1:])
            low[at], high[at], share[at] = float(line_low), float(line_high), float(line_share)
    return Columns(low, high, share)


def is_flag(series):
    """By column: only ever 0 or 1 in the prefix, so that it is context and nothing is expected of it."""
    prefix = series.values[: series.prefix]
    return np.all(np.isin(prefix, (0, 1)) | np.isnan(prefix), axis=0)


def bands(series, columns, window):
    """Values within their band, and values, by column that is scored: of rows behind the prefix that are normal and whose
    window holds nothing else."""
    labels = series.labels.astype(int)
    odd = np.concatenate(([0], np.cumsum(labels)))
    ends = np.arange(len(labels)) + 1
    clean = (odd[ends] - odd[np.maximum(ends - window - 1, 0)]) == 0
    clean[: series.prefix] = False
    # As the engine holds them.
    x = series.values.astype(np.float32)
    seen = clean[:, None] & ~np.isnan(x) & ~np.isnan(columns.low) & ~is_flag(series)
    within = seen & (x >= columns.low) & (x <= columns.high)
    return {"within": within.sum(0).tolist(), "values": seen.sum(0).tolist()}


def bands_total(each):
    pairs = [pair for one in each if "bands" in one for pair in zip(one["bands"]["within"], one["bands"]["values"])]
    if not pairs:
        return {}
    within, values = (np.array(part) for part in zip(*pairs))
    told = values >= VALUES_MIN
    shares = within[told] / values[told]
    return {
        "values": int(values.sum()),
        "within_share": float(within.sum() / values.sum()),
        "columns": int(told.sum()),
        "columns_close": int((abs(shares - NOMINAL) <= CLOSE).sum()),
        "columns_share_median": float(np.median(shares)),
    }


def named(series, columns, alerts):
    """By event of the manifest's root causes: whether the column with the largest share, summed over the event's rows, is
    one of those published; one of the first three; a column by chance; and the one named where an alert opened in it."""
    scored = ~is_flag(series)
    found = []
    for event in series.entry["root_cause"]:
        rows = slice(event["first_row"], event["last_row"] + 1)
        shares = columns.share[rows]
        if np.isnan(shares).all():
            continue
        order = np.argsort(-np.nansum(shares, axis=0), kind="stable")
        causes = set(event["columns"])
        told = [column for row, column in alerts if rows.start <= row < rows.stop]
        found.append(
            {
                "first": bool(order[0] in causes),
                "first_three": bool(causes & set(order[:3].tolist())),
                "chance": len(causes) / int(scored.sum()),
                "told": bool(told[0] in causes) if told else None,
            }
        )
    return found


def named_total(each):
    events = [event for one in each for event in one.get("named", [])]
    if not events:
        return {}
    told = [event["told"] for event in events if event["told"] is not None]
    return {
        "events": len(events),
        "first": sum(event["first"] for event in events),
        "first_three": sum(event["first_three"] for event in events),
        "chance": float(np.mean([event["chance"] for event in events])),
        "told": len(told),
        "told_first": sum(told),
    }


NAMED = """For each event with published responsible columns, the column with the largest share of the surprise, summed over the
event's rows, and the one that the alert named where an alert opened in the event. By chance: the responsible part of the
columns that are scored.
"""

BANDS = f"""The share of observed values inside the band that is given with them, which should hold {100 * NOMINAL:.0f} % of
normal ones: of rows after the prefix that no label touches, nor the window before them. A column is close within
{100 * CLOSE:.0f} points, of those with {VALUES_MIN} such values. Nobody says that unlabelled rows are as the prefix was: where
a column has moved for good, its band is for what it was.
"""


def markdown(results):
    causes = [result for result in results if result["named"]]
    if causes:
        yield from ("## Columns named", "", NAMED)
        yield "| collection | events | named first is responsible | by chance | one of the first three is | alerts in events | the column told is |"
        yield "|---|---|---|---|---|---|---|"
        for result in causes:
            t = result["named"]
            yield (
                f"| {result['collection']} | {t['events']} | {t['first']} | {t['chance'] * t['events']:.1f} | {t['first_three']} "
                f"| {t['told']} | {t['told_first']} |"
            )
        yield ""
    held = [result for result in results if result["bands"]]
    if held:
        yield from ("## Bands", "", BANDS)
        yield "| collection | values | within the band | columns (of each series) | of these close | their median |"
        yield "|---|---|---|---|---|---|"
        for result in held:
            t = result["bands"]
            yield (
                f"| {result['collection']} | {t['values']} | {100 * t['within_share']:.1f} % | {t['columns']} | {t['columns_close']} "
                f"| {100 * t['columns_share_median']:.1f} % |"
            )
        yield ""
