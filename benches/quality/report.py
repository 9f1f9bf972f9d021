"""The figures as a table in Markdown."""

METHODS = [
    ("eddy", "Eddy"),
    ("rolling_z", "rolling z, same rule"),
    ("rolling_z_one_row", "rolling z, one row opens"),
]


def number(value, digits=2):
    if value is None:
        return "-"
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def duration(seconds):
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.3g} s"


def line(result):
    parts = [
        f"{label} {result[key]['opened_in']}/{result[key]['events']} opened in, {result[key]['false_starts_a_day']} false a day"
        for key, label in METHODS
    ]
    return f"{result['collection']} ({result['messages_per_s']} messages/s, {result['replay_s']} s): " + "; ".join(parts)


def opening_table(results):
    yield "| collection | method | events | opened in | or up to 16 rows after | delay, median | false starts a day | normal rows in alert |"
    yield "|---|---|---|---|---|---|---|---|"
    for result in results:
        for key, label in METHODS:
            figures = result[key]
            delay = f"{number(figures['delay_rows_median'])} rows ({duration(figures['delay_s_median'])})"
            yield (
                f"| {result['collection']} | {label} | {figures['events']} | {figures['opened_in']} "
                f"| {figures['opened_in_or_16_rows_after']} | {delay if figures['opened_in'] else '-'} "
                f"| {number(figures['false_starts_a_day'])} | {number(100 * figures['normal_rows_in_alert_share'])} % |"
            )


def evaluator_table(results):
    yield "| collection | method | events hit | delay, median rows | false alarms a day |"
    yield "|---|---|---|---|---|"
    for result in results:
        for key, label in METHODS:
            figures = result[key]["evaluator"]
            yield (
                f"| {result['collection']} | {label} | {figures['events_hit']}/{result[key]['events']} "
                f"| {number(figures['detection_delay_rows_median'])} | {number(figures['false_alarms_per_day'])} |"
            )


def ran_table(results):
    yield "| collection | series | rows scored | days | messages/s | training | replay | licence of the data |"
    yield "|---|---|---|---|---|---|---|---|"
    for result in results:
        figures = result["eddy"]
        yield (
            f"| {result['collection']} | {figures['series']} | {figures['rows']} | {number(figures['days'])} "
            f"| {result['messages_per_s']} | {result['train_s']} s | {result['replay_s']} s | {result['licence']} |"
        )


def markdown(whole):
    results = whole["collections"]
    text = [
        "# Real labelled series through a real Mosquitto",
        "",
        "Written by `scripts/quality FOLDER`; every figure, series by series, is in `real-input.json`.",
        "",
        "Each series is a key of its own stream: `eddy train` on its training prefix, then every later row",
        "published at QoS 1 through Mosquitto into the release binary, as fast as both take it; the alerts are",
        "read from the API. One configuration for all: windows of 16 rows (13 and 9 where 16 would hold more",
        f"than 512 values), one row apart, p < {whole['p_value']} (the default). Event time is the row's number",
        "times the published interval. Nothing was chosen by looking past a prefix; labels are used here only.",
        "",
        "The peer is a rolling z-score of the 64 rows before, the largest over the columns, made a p-value by",
        "Eddy's own calibration on the prefix, under the same p and the same alert rule; and once more opening",
        "on a single row. Its threshold stays as the prefix set it, Eddy's calibration goes on learning.",
        "",
        "*Opened in*: an alert opened on one of the event's rows, not merely stood there. *Delay*: from the",
        "event's first row to the row whose window raised the alert; the verdict follows with the next row's",
        "arrival. *False start*: an alert that opened on a normal row.",
        "",
        *opening_table(results),
        "",
        "In the evaluator's terms (an event is hit by any row in alert, a false alarm is an alert run that",
        "touches no event), where standing alerts count as hits:",
        "",
        *evaluator_table(results),
        "",
        "## What was run",
        "",
        *ran_table(results),
        "",
        "A daily rate says little on skab (hours) and physio (minutes). The series themselves are not part of",
        "this project: skab is under the GPL, kpi has no licence file, and parts of physio refer to terms of",
        "their own; only figures are published here.",
        "",
    ]
    left_out = [f"{result['collection']}: {name}: {why}" for result in results for name, why in result["left_out"].items()]
    if left_out:
        text += ["Left out:", "", *(f"- {entry}" for entry in left_out), ""]
    return "\n".join(text)
