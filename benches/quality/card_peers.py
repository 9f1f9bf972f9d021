"""Baselines for card transactions, with the same outcomes as the appliance gets, as late: what a payment turned out to be
is known a week after it, and that it was sound as well.

Each payment is scored by what was known when it came.
"""

import numpy as np

DAY_MS = 86_400_000
#: After so long it is known what a payment was: as the handbook has it that simulated the data.
KNOWN_AFTER_MS = 7 * DAY_MS
#: Payments of a card and of a terminal are counted over so many days: the handbook's.
WINDOWS_DAYS = (1, 7, 30)
#: The longest of them is that of a terminal's share of frauds by itself.
SHARE_DAYS = WINDOWS_DAYS[-1]
#: Of the logistic regression, on the sum of the losses: one value, the first tried.
RIDGE = 1.0
#: Less of what the card usually pays is taken for so much.
RATIO_MIN = 0.01
#: Newton's steps end when no weight moves by more, or after so many.
STEP_MIN, STEPS_MAX = 1e-4, 30


class History:
    """Sums over the earlier payments at one entity (a card, a terminal); rows are in order of time."""

    def __init__(self, times, entities):
        self.times, self.entities = times - times[0], np.unique(entities, return_inverse=True)[1]
        self.long = int(self.times[-1]) + 1
        self.order = np.argsort(self.entities, kind="stable")
        self.sorted = self.at(self.times)[self.order]
        self.own = np.empty(len(times), dtype=int)
        self.own[self.order] = np.arange(len(times))

    def at(self, times):
        """Of a payment's entity: one number for it and the time, in order of both; before all of it where `times` is."""
        return self.entities * self.long + np.maximum(times, -1)

    def until(self, ago_ms):
        """Places in order behind the last payment that is so old, that one among the counted."""
        places = np.searchsorted(self.sorted, self.at(self.times - ago_ms), side="right")
        return np.maximum(places, np.searchsorted(self.sorted, self.entities * self.long))

    def sums(self, values, begin, end):
        total = np.concatenate([[0.0], np.cumsum(values[self.order])])
        return total[end] - total[begin]


def terminal_shares(terminals, labels, days):
    """Payments of so many days whose outcomes are known, and the frauds among them."""
    begin, end = terminals.until(KNOWN_AFTER_MS + days * DAY_MS), terminals.until(KNOWN_AFTER_MS)
    return end - begin, terminals.sums(labels, begin, end)


def over_usual(cards, amounts):
    """Each amount over the mean of the card's earlier ones; of a card's first over the mean of everyone's earlier ones."""
    first = cards.until(cards.long)
    earlier, count = cards.sums(amounts, first, cards.own), cards.own - first
    everyone = np.concatenate([[amounts[0]], np.cumsum(amounts)[:-1] / np.arange(1, len(amounts))])
    mean = np.where(count > 0, earlier / np.maximum(count, 1), everyone)
    return np.where(mean > 0, amounts / np.where(mean > 0, mean, 1.0), 1.0)


def features(times, amounts, labels, cards, terminals):
    """Of every payment: its amount, the hour, the amount over the card's mean, the terminal's share of frauds; and, over each
    of the windows, count and mean of the card's amounts, this one among them, and count and share of frauds of the terminal's
    payments whose outcomes are known. Counts and the ratio as logarithms: they have long tails."""
    hours = 2 * np.pi * (times % DAY_MS) / DAY_MS
    count, bad = terminal_shares(terminals, labels, SHARE_DAYS)
    columns = [amounts, np.sin(hours), np.cos(hours), np.log(np.maximum(over_usual(cards, amounts), RATIO_MIN)), bad / (count + 1)]
    for days in WINDOWS_DAYS:
        begin, end = cards.until(days * DAY_MS), cards.own + 1
        columns += [np.log1p(end - begin), cards.sums(amounts, begin, end) / (end - begin)]
        count, bad = terminal_shares(terminals, labels, days)
        columns += [np.log1p(count), bad / np.maximum(count, 1)]
    return np.column_stack(columns)


def fitted(x, labels, weights):
    """Weights of the logistic regression with an L2 penalty on all but the first column, by Newton's steps from `weights`, each
    halved until the loss is less for it."""
    ridge = RIDGE * (np.arange(x.shape[1]) > 0)
    loss = lambda w: np.sum(np.logaddexp(0.0, x @ w)) - labels @ (x @ w) + ridge @ w**2 / 2
    before = loss(weights)
    for _ in range(STEPS_MAX):
        odds = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (odds - labels) + ridge * weights
        bend = (x * (odds * (1 - odds))[:, None]).T @ x + np.diag(ridge + 1e-9)
        step = np.linalg.solve(bend, slope)
        while (after := loss(weights - step)) > before and np.abs(step).max() > STEP_MIN:
            step /= 2
        weights, before = weights - step, after
        if np.abs(step).max() < STEP_MIN:
            break
    return weights


def logistic(times, columns, labels):
    """Log odds by a logistic regression fitted anew at each midnight on all payments whose outcomes are known then; before
    there is a fraud among them, less than all others. Features are in sds of what was seen of them until then, outcomes known
    or not: of the latest shares and counts the payments with known outcomes have hardly any."""
    odds = np.full(len(times), np.nan)
    days = times // DAY_MS
    weights = np.zeros(columns.shape[1] + 1)
    for day in np.unique(days):
        known = np.searchsorted(times, day * DAY_MS - KNOWN_AFTER_MS, side="right")
        if not labels[:known].any():
            continue
        seen = np.searchsorted(times, day * DAY_MS)
        mean, spread = columns[:seen].mean(0), columns[:seen].std(0)
        scaled = lambda rows: np.column_stack([np.ones(len(rows)), (rows - mean) / np.where(spread > 0, spread, 1.0)])
        weights = fitted(scaled(columns[:known]), labels[:known], weights)
        odds[days == day] = scaled(columns[days == day]) @ weights
    return np.nan_to_num(odds, nan=np.nanmin(odds) - 1)


def scores(payments):
    """By name of the baseline, a score of every payment."""
    times, cards, terminals, amounts, labels = (np.array(column) for column in zip(*payments))
    amounts, labels = amounts.astype(float), labels.astype(float)
    cards, terminals = History(times, cards), History(times, terminals)
    count, bad = terminal_shares(terminals, labels, SHARE_DAYS)
    columns = features(times, amounts, labels, cards, terminals)
    return {
        "amount": amounts,
        "terminal risk": bad / (count + 1),
        "logistic regression": logistic(times, columns, labels),
    }
