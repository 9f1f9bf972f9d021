"""The peer: a rolling z-score, judged by Eddy's own calibration and alert rule."""

import numpy as np

WINDOW = 64
LOOK_BACK, NEEDED = 5, 3


def score(series):
    """Largest |z| over the columns of each row, against mean and sd of the 64 rows before it.

    Columns are first brought to the prefix's mean and sd, so that 0.1 of a normal sd can be the least
    spread a window is taken to have: a window that happens to be flat would make any change infinite.
    """
    values = filled(series.values)
    known = values[: series.prefix]
    spread = np.maximum(known.std(0), 1e-3 * np.maximum(np.abs(known).max(0), 1e-6))
    z = (values - known.mean(0)) / spread
    out = np.zeros(len(z))
    for row in range(2, len(z)):
        before = z[max(0, row - WINDOW) : row]
        out[row] = np.abs((z[row] - before.mean(0)) / np.sqrt(before.var(0) + 0.01)).max()
    return out


def filled(values):
    """Missing cells take the column's last value."""
    values = values.copy()
    for row in range(len(values)):
        missing = np.isnan(values[row])
        values[row, missing] = values[row - 1, missing] if row else 0.0
    return values


def p_values(scores, reference):
    """Eddy's calibration (src/judge/calibrate.rs) on a reference that stays as it is."""
    reference = np.sort(reference)
    n = len(reference)
    at = min(n * 9 // 10, n - 1)
    high, above = reference[at], n - at
    excess = max((reference[at:] - high).mean(), 1e-6)
    rank = lambda s: (n - np.searchsorted(reference, s, "left") + 0.5) / (n + 1.0)
    tail = rank(high) * (1.0 + np.maximum(scores - high, 0) / (above * excess)) ** -float(above)
    return np.where(scores <= high, rank(scores), tail)


def alerts(p, threshold, overlap, needed=NEEDED):
    """Eddy's rule (src/alert/lifecycle.rs): `needed` of the last five anomalous open, `overlap` clearly
    normal ones in a row close. Gives the alert column and the rows where one opens."""
    alert, opened = np.zeros(len(p), bool), []
    recent, calm, standing = [], 0, False
    for row, value in enumerate(p):
        calm = calm + 1 if value >= np.sqrt(threshold) else 0
        recent = (recent + [value < threshold])[-LOOK_BACK:]
        if standing and calm >= overlap:
            standing, recent = False, []
        elif not standing and recent[-1] and sum(recent) >= needed:
            standing = True
            opened.append(row)
        alert[row] = standing
    return alert, opened
