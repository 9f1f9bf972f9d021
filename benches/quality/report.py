"""The figures as tables in Markdown, and as JSON."""

import json

import numpy as np

import bootstrap
import cards
import cold
import eddy
import evidence
import peers
import sharing

NAMES = {
    "eddy": "**Eddy**",
    "sub_pca": "Sub-PCA",
    "kmeans": "k-means",
    "ar": "AR",
    "rolling_z": "rolling z",
    "random": "random",
}
#: Significant digits in the JSON.
DIGITS = 5


def number(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def duration(seconds):
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.3g} s"


def mean(results, method, name):
    """Over collections that have it, each with the same weight."""
    values = [v for result in results if (v := result["methods"][method].get(name)) is not None]
    return float(np.mean(values)) if values else None


def best_peer(results):
    return max(peers.METHODS, key=lambda method: mean(results, method, "vus_pr"))


def line(result):
    failed = f", {len(result['failed'])} without a model" if result["failed"] else ""
    figures = ", ".join(f"{method} {number(total['vus_pr'], 3)}" for method, total in result["methods"].items())
    return f"{result['collection']} ({result['series']} series{failed}, {result['eddy_s']:.0f} s of eddy): VUS-PR {figures}"


def overview(whole):
    results = whole["collections"]
    yield (
        "| method | VUS-PR | VUS-ROC | AUC-PR | event F1 | Eddy's VUS-PR less this, 95 % | the same, each series alike "
        "| Eddy ahead / behind, series |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for method, name in NAMES.items():
        figures = " | ".join(number(mean(results, method, term), 3) for term in ("vus_pr", "vus_roc", "auc_pr", "event_f1"))
        against = whole["against"].get(method)
        if against is None:
            yield f"| {name} | {figures} | | | |"
            continue
        span = lambda of: f"{of['mean']:+.3f} ({of['low']:+.3f} to {of['high']:+.3f})"
        yield (
            f"| {name} | {figures} | {span(against['collections'])} | {span(against['series'])} "
            f"| {against['series_won']} / {against['series_lost']} |"
        )


def row(result, method, name):
    t = result["methods"][method]
    scored = " | ".join(number(t[term], 3) for term in ("vus_pr", "vus_roc", "auc_pr", "event_f1"))
    delay = "-" if t["delay_rows_median"] is None else f"{t['delay_rows_median']:g} rows ({duration(t['delay_s_median'])})"
    nab = f"{number(t.get('nab_of_alerts'), 1)} | {number(t.get('nab_of_onsets'), 1)} | {number(t.get('nab_of_scores'), 1)}"
    return (
        f"| {result['collection']} | {name} | {scored} | {t['opened_in']}/{t['events']} | {delay} "
        f"| {number(t['false_starts_a_day'])} | {number(100 * t['normal_rows_in_alert_share'])} % | {nab} |"
    )


def by_collection(results):
    yield (
        "| collection | method | VUS-PR | VUS-ROC | AUC-PR | event F1 | events opened in | delay, median | false starts a day "
        "| normal rows in alert | NAB, alerts | NAB, onsets | NAB, scores |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for result in results:
        for method, name in NAMES.items():
            yield row(result, method, name)


#: Where fewer alerts are promised, chance says more than the budget.
PROMISED_MIN = 10


def budget(results):
    yield (
        "| collection | days | budget a day | alerts promised | opened | opened to promised | false starts "
        "| false starts to promised | events opened in | normal rows in alert |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for result in results:
        for per_day, t in result["budgets"].items():
            promised = float(per_day) * t["days"] if t else 0
            if promised >= PROMISED_MIN:
                standing = 100 * t["normal_rows_in_alert"] / t["normal_rows"]
                yield (
                    f"| {result['collection']} | {number(t['days'], 1)} | {per_day} | {number(promised, 0)} | {t['alerts']} "
                    f"| {number(t['alerts'] / promised)} | {t['false_starts']} "
                    f"| {number(t['false_starts'] / promised)} | {t['opened_in']}/{t['events']} | {number(standing, 1)} % |"
                )


def ran(results):
    yield "| collection | series | without a model | rows scored | days | eddy, train and backtest | licence of the data |"
    yield "|---|---|---|---|---|---|---|"
    for result in results:
        yield (
            f"| {result['collection']} | {result['series']} | {len(result['failed'])} | {result['rows']} "
            f"| {number(result['days'])} | {result['eddy_s']:.0f} s | {result['licence']} |"
        )


HOW = f"""Written by `make quality DATA=FOLDER EVAL=FOLDER`; every series is in `quality.json`. The release binary's own `eddy train`
fits a model on each series' training prefix, and its `eddy backtest` judges the rest; onsets are taken from a run over the whole
series, since they are told by all that was before. One configuration for all: hopping windows one row apart, of {eddy.CELLS_OF_FEW} rows up to {eddy.FEW_COLUMNS} columns and {eddy.CELLS_OF_MANY} above (fewer where
that would be more than {eddy.VALUES_MAX} values); everything else is the product's default. Event time is the row's number
times the published interval. Labels are used by the evaluator only.

Some constants of the product were chosen on these very collections, none for one of them: what an odd key learns, the share of rows trimmed, the
weight of stillness, the warm-up, weights and threshold of onsets (nab), floor and closing of the alert budget, what makes
a key a cohort of its own (merlion_synth, skab), the causes of card fraud. Expect less on series of other kinds.

The score of a row is the surprise of the window that ends with it, 0 where none was judged. A series that no model could be
fitted on counts, with a score of 0 throughout. The baselines are the evaluator's, fitted on the same prefix and scored on
the same rows; their alerts stand while the score is above both the 99.9 % quantile of the prefix's scores and their median
plus eight scaled MAD.
"""

TERMS = """*VUS-PR, VUS-ROC, AUC-PR*: free of any threshold, mean over series. *Event F1*: of the alerts told, mean over series
with events; an event is found by any row in alert, so who stands in alert finds much. *Opened in*: an alert opened on
one of the event's rows. *Delay*: from the event's first row to that one; the verdict follows with the next row's arrival.
*False start*: an alert that opened on a normal row. *NAB*: the standard profile; of alerts, each counts once, where it
opens; of onsets, the same without the alerts on windows; of scores, at the one threshold that is best for the collection, as NAB reports.

Daily rates and delays in time say little where the scored part is minutes (physio) or hours (skab). The series are not
part of this project and keep their own licences; only figures are published here.
"""


BUDGET = f"""The same models with `alert_budget` instead of the default p-value, run over the whole series, as for onsets; counted
is what opens after the prefix. Each series is a stream of one key. The budget is of all alerts, true ones among them: where
these fill it, false starts are fewer. A row where at least {PROMISED_MIN} alerts are promised. An alert ends
only after as many clearly normal windows as a window is long (60 at most), and a key opens no other meanwhile: where
that takes hours, five a day cannot be.
"""


SHARING = """Every series of a collection as a key of one stream: `eddy train` on all prefixes together, each key with a level and
spread of its own, as the appliance does for a stream. Cohorts are those that training finds within the default memory;
keys in none of them, and one model for all, are scored by everyone's. Collections whose series have the same columns.
"""


def markdown(whole):
    results = whole["collections"]
    weight = f"Mean over {len(results)} collections, each with the same weight; differences with a paired bootstrap over series"
    text = ["# Detection quality on labelled series", ""]
    if whole["note"]:
        text += [f"**{whole['note']}**", ""]
    text += [HOW, f"{weight} ({bootstrap.DRAWS} draws inside collections).", "", *overview(whole), ""]
    text += ["![Mean VUS-PR of each collection](quality-by-collection.svg)", ""]
    text += [f"![VUS-PR of each series, Eddy and {NAMES[best_peer(results)]}](quality-by-series.svg)", ""]
    text += ["## By collection", "", TERMS, *by_collection(results), ""]
    if rows := list(budget(results))[2:]:
        text += ["## Budget", "", BUDGET, *list(budget(results))[:2], *rows, ""]
    if any(result["cold"] for result in results):
        text += ["## Cold start", "", cold.HOW, *cold.table(results), ""]
    if rows := list(sharing.rows(results))[2:]:
        text += ["## One model for many keys", "", SHARING, *list(sharing.rows(results))[:2], *rows, ""]
    text += evidence.markdown(results)
    if whole["transactions"]:
        text += ["## Card transactions", "", cards.HOW, *cards.rows(whole["transactions"]), ""]
        text += [*cards.licences(whole["transactions"]), ""]
    text += ["## What was run", "", *ran(results), ""]
    if whole["not_run"]:
        text += [f"Not run, since their rows are events of many keys at no interval: {', '.join(whole['not_run'])}.", ""]
    failed = [f"- {result['collection']}, {name}: {why}" for result in results for name, why in result["failed"].items()]
    if failed:
        text += ["Without a model:", "", *failed, ""]
    return "\n".join(text)


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, list) else value


def json_text(whole):
    """A line a series, so that two runs can be compared by eye."""
    whole = rounded(whole)
    for result in whole["collections"]:
        result["each_series"] = [json.dumps(slim(one)) for one in result["each_series"]]
    lines = json.dumps(whole, indent=1).splitlines()
    plain = lambda text: json.loads(text.strip().rstrip(",")) + ("," if text.endswith(",") else "")
    return "\n".join(plain(text) if text.lstrip().startswith('"{') else text for text in lines) + "\n"


def slim(one):
    """Without what only a collection's figures need, and what is the same for every method once."""
    of_labels = ("rows", "normal_rows", "days", "events")
    methods = one["methods"]
    one |= {name: methods["eddy"][name] for name in of_labels}
    left_out = (*of_labels, "delays_rows", "delays_s")
    kept = {method: {k: v for k, v in figures.items() if k not in left_out} for method, figures in methods.items()}
    return one | {"methods": kept}
