"""Card transactions: a block through `eddy backtest`, with the charge-backs that its frauds bring days later.

A charge-back repeats the payment, as the appliance wants it, and stands in the data where it would have come: a week
after the payment. Payments that were no fraud bring no message. Nothing is trained; the rows after the suggested
prefix are scored.
"""

import csv
import gzip
import heapq
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import card_peers
from card_peers import DAY_MS, KNOWN_AFTER_MS
from eddy import ENVIRONMENT, reason

#: Cards that somebody can look into in a day.
CARDS_A_DAY = 100
#: The product with and without outcomes; [`card_peers`] has the baselines.
WAYS = ("eddy", "eddy without charge-backs")


def are_transactions(manifest):
    """Of a card and a terminal, with an amount."""
    return all(len(e["entity_columns"]) == 2 and len(e["value_columns"]) == 1 for e in manifest["series"])


def config(outcomes):
    """What the product's example has, but for names."""
    terminal = 'columns.terminal = { path = "terminal", aggregate = "risk" }\noutcome = "fraud"\n'
    return (
        '[source.file]\ntype = "replay"\npath = "payments.csv"\n[sink.console]\ntype = "stdout"\n'
        '[stream.cards]\nfrom = "file"\nkey = "card"\ntime = { path = "time", unit = "ms" }\ncolumns.amount = "amount"\n'
        + (terminal if outcomes else "")
        + 'window = { type = "sliding", size = "1h", lateness = "0s" }\n'
        'model = { type = "transactions", amount = "amount" }\nno_data = "off"\n'
    )


def read(path, entry):
    """Time in ms, card, terminal, amount as written, and the label, of every row."""
    rows = csv.reader(gzip.decompress(path.read_bytes()).decode("utf-8").splitlines())
    header = next(rows)
    names = ["timestamp", *entry["entity_columns"], *entry["value_columns"], header[-1]]
    places = [header.index(name) for name in names]
    picked = ([row[place] for place in places] for row in rows if row)
    return [(int(time), card, terminal, amount, label == "1") for time, card, terminal, amount, label in picked]


def write(path, payments, outcomes):
    known = []
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["time", "card", "terminal", "amount", "fraud"])
        for payment in payments:
            while known and known[0][0] <= payment[0]:
                out.writerow([*heapq.heappop(known)[1], 1])
            out.writerow([*payment[:4], ""])
            if outcomes and payment[4]:
                heapq.heappush(known, (payment[0] + KNOWN_AFTER_MS, payment[:4]))


def scores(binary, folder, payments, outcomes):
    (folder / "eddy.toml").write_text(config(outcomes))
    write(folder / "payments.csv", payments, outcomes)
    command = ["backtest", "eddy.toml", "--stream", "cards", "--data", "payments.csv", "--scores", "scores.csv"]
    done = subprocess.run([binary, *command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"quality: card transactions: {reason(done)}")
    with (folder / "scores.csv").open(newline="") as file:
        told = {(line["key"], int(line["window_end_ns"])): float(line["surprise_nats"]) for line in csv.DictReader(file)}
    return np.array([told.get((card, time * 1_000_000 + 1), 0.0) for time, card, *_ in payments])


def take(binary, work, folder, entry):
    payments = read(folder / entry["file"], entry)
    by_way = {}
    with tempfile.TemporaryDirectory(dir=work) as there:
        for way, outcomes in zip(WAYS, (True, False)):
            by_way[way] = scores(binary, Path(there), payments, outcomes)
    by_way |= card_peers.scores(payments)
    prefix = int(entry["suggested_train_prefix"])
    times, cards, _, _, labels = (np.array(column) for column in zip(*payments[prefix:]))
    of = lambda way: measure(times, cards, labels, by_way[way][prefix:])
    return {"series": entry["name"], "rows": len(labels), "frauds": int(labels.sum()), "ways": {w: of(w) for w in by_way}}


def measure(times, cards, labels, told):
    precision, recall, false_rate = curve(labels, told)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return {
        "auc_pr": float(np.sum(np.diff(recall, prepend=0.0) * precision)),
        "auc_roc": float(np.trapezoid(np.append(0.0, recall), np.append(0.0, false_rate))),
        "best_f1": float(f1.max()),
        "card_precision": card_precision(times, cards, labels, told),
    }


def curve(labels, told):
    """Precision, recall and false positive rate at every threshold, from the highest down; equal scores are one."""
    order = np.argsort(-told, kind="stable")
    hits, told = np.cumsum(labels[order]), told[order]
    ends = np.append(np.flatnonzero(np.diff(told)), len(told) - 1)
    hits, taken = hits[ends], ends + 1
    return hits / taken, hits / labels.sum(), (taken - hits) / (~labels).sum()


def card_precision(times, cards, labels, told):
    """Share of the highest cards of a day that had a fraud that day, mean over days; a card once caught is out."""
    caught, each_day = set(), []
    days = times // DAY_MS
    for day in np.unique(days):
        highest, bad = {}, set()
        for at in np.flatnonzero(days == day):
            card = cards[at]
            if card in caught:
                continue
            highest[card] = max(highest.get(card, -np.inf), told[at])
            if labels[at]:
                bad.add(card)
        looked_into = sorted(highest, key=lambda card: (-highest[card], card))[:CARDS_A_DAY]
        found = bad.intersection(looked_into)
        each_day.append(len(found) / CARDS_A_DAY)
        caught |= found
    return float(np.mean(each_day))


def total(each):
    """Mean over blocks."""
    mean = lambda way, term: float(np.mean([one["ways"][way][term] for one in each]))
    return {way: {term: mean(way, term) for term in terms} for way, terms in each[0]["ways"].items()}


WINDOWS = "{}, {} and {}".format(*card_peers.WINDOWS_DAYS)

HOW = f"""Simulated payments (card, terminal, amount) in blocks of 45 days, of which the rows after the suggested prefix are
scored. `model = "transactions"` is not trained; a charge-back follows each fraud, and no other payment, after seven days.
*Card precision*: of the {CARDS_A_DAY} highest cards of a day, the share that had a fraud that day, mean over days; a card
once caught is out. The causes were set knowing how the simulator makes fraud (high amounts, compromised terminals, leaked
cards): expect less elsewhere. The score is the surprise with which a payment became final, some minutes after it came;
charge-backs that arrived in those minutes count. Baselines, which learn of each payment, sound or not, what it was seven days
after it: *amount* alone; *terminal risk*, the share of frauds among the terminal's payments of {card_peers.SHARE_DAYS} days whose outcomes
are known; *logistic regression*, fitted anew each midnight on all payments whose outcomes are known: of the amount, the
hour, the amount over the card's mean, that share, and, over {WINDOWS} days, count and mean of the card's amounts and count and
share of frauds of the terminal's payments, as the handbook has them.
"""


def rows(results):
    yield "| collection | blocks | score | AUC-PR | AUC-ROC | best F1 | card precision |"
    yield "|---|---|---|---|---|---|---|"
    for result in results:
        for way, t in result["ways"].items():
            figures = " | ".join(f"{t[term]:.3f}" for term in ("auc_pr", "auc_roc", "best_f1", "card_precision"))
            yield f"| {result['collection']} | {len(result['each_series'])} | {way} | {figures} |"


def licences(results):
    return [f"Licence of the data of {result['collection']}: {result['licence']}." for result in results]
