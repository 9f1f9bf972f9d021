"""Baselines for card transactions, with the same outcomes as the appliance gets, as late: what a payment turned out to be
is known a week after it, and that it was sound as well.

Each payment is scored by what was known when it came, in order of time.
"""

from collections import defaultdict, deque

import numpy as np

DAY_MS = 86_400_000
#: After so long it is known what a payment was: as the handbook has it that simulated the data.
KNOWN_AFTER_MS = 7 * DAY_MS
#: A terminal's share of frauds is taken over the payments of so many days, of those whose outcomes are known: the
#: handbook's longest.
SHARE_DAYS = 30
#: Of the logistic regression's weights, in their scaled units: one value, the first tried.
STEP = 0.05


def terminal_shares(times, terminals, labels):
    """Share of frauds among a terminal's payments of late, when each payment comes; a payment more in the divisor, so that
    one fraud of one payment is not certainty."""
    known, shares = deque(), np.zeros(len(times))
    bad, of_all = defaultdict(int), defaultdict(int)
    told = 0
    for at, time in enumerate(times):
        while times[told] <= time - KNOWN_AFTER_MS:
            known.append(told)
            bad[terminals[told]] += labels[told]
            of_all[terminals[told]] += 1
            told += 1
        while known and times[known[0]] <= time - KNOWN_AFTER_MS - SHARE_DAYS * DAY_MS:
            old = known.popleft()
            bad[terminals[old]] -= labels[old]
            of_all[terminals[old]] -= 1
        shares[at] = bad[terminals[at]] / (of_all[terminals[at]] + 1)
    return shares


def over_usual(cards, amounts):
    """Each amount over the mean of the card's earlier ones; of a card's first over the mean of everyone's earlier ones."""
    totals, counts = defaultdict(float), defaultdict(int)
    total, ratios = 0.0, np.ones(len(amounts))
    for at, (card, amount) in enumerate(zip(cards, amounts)):
        mean = totals[card] / counts[card] if counts[card] else total / max(at, 1)
        ratios[at] = amount / mean if mean > 0 else 1.0
        totals[card] += amount
        counts[card] += 1
        total += amount
    return ratios


def logistic(times, features, labels):
    """Log odds by a logistic regression that learns from one payment at a time, as its outcome becomes known; 0 before the
    first. Features are scaled by what was seen of them. Steps are AdaGrad's (Duchi, Hazan and Singer 2011)."""
    odds, told = np.zeros(len(times)), 0
    weights, squares = np.zeros(features.shape[1] + 1), np.full(features.shape[1] + 1, 1e-8)
    mean, spread = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    scaled = lambda at: np.append(1.0, (features[at] - mean) / np.sqrt(spread / max(told, 1) + 1e-9))
    for at, time in enumerate(times):
        while times[told] <= time - KNOWN_AFTER_MS:
            off = features[told] - mean
            mean = mean + off / (told + 1)
            spread = spread + off * (features[told] - mean)
            told += 1
            x = scaled(told - 1)
            slope = (1 / (1 + np.exp(-np.clip(x @ weights, -30, 30))) - labels[told - 1]) * x
            squares += slope**2
            weights -= STEP * slope / np.sqrt(squares)
        if told:
            odds[at] = scaled(at) @ weights
    return odds


def scores(payments):
    """By name of the baseline, a score of every payment."""
    times, cards, terminals, amounts, labels = zip(*payments)
    times, amounts, labels = np.array(times), np.array(amounts, dtype=float), np.array(labels)
    shares = terminal_shares(times, terminals, labels)
    hours = 2 * np.pi * (times % DAY_MS) / DAY_MS
    features = np.column_stack([amounts, np.sin(hours), np.cos(hours), shares, over_usual(cards, amounts)])
    return {"amount": amounts, "terminal risk": shares, "logistic regression": logistic(times, features, labels)}
