"""Labelled series: a folder a collection, a manifest and one CSV (gzip) a series."""

import csv
import gzip
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np


@dataclass
class Series:
    name: str
    #: the manifest's entry, as the evaluator wants it
    entry: dict
    #: rows x columns, NaN where missing
    values: np.ndarray
    #: True on anomalous rows
    labels: np.ndarray
    #: as published, s since 1970
    times: np.ndarray
    #: rows a model may be fitted on; they are not scored
    prefix: int
    #: ms between rows; event time in a run is start + row x cadence
    cadence_ms: int
    #: of the file's bytes and the entry
    digest: str


def seconds(text):
    """ms since 1970, or ISO 8601 (UTC unless it says otherwise)."""
    try:
        return float(text) / 1000.0
    except ValueError:
        time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()


def read(folder: Path, entry: dict) -> Series:
    path = folder / entry["file"]
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise SystemExit(f"{folder / 'manifest.json'} names {entry['file']}, which cannot be read: {error}") from error
    rows = csv.reader(gzip.decompress(packed).decode("utf-8").splitlines())
    header = next(rows)
    rows = [row for row in rows if row]
    number = lambda cell: float(cell) if cell not in ("", "nan", "NaN", "null") else np.nan
    places = [header.index(name) for name in entry["value_columns"]]
    return Series(
        name=entry["name"],
        entry=entry,
        values=np.array([[number(row[place]) for place in places] for row in rows]),
        labels=np.array([row[-1] == "1" for row in rows]),
        times=np.array([seconds(row[header.index("timestamp")]) for row in rows]),
        prefix=int(entry["suggested_train_prefix"]),
        cadence_ms=round(1000 * entry["sampling_interval_seconds"]),
        digest=hashlib.sha256(packed + json.dumps(entry, sort_keys=True).encode()).hexdigest(),
    )


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def has_a_grid(found: dict) -> bool:
    """Rows at one interval and of one key; transactions of many keys are another matter."""
    return all(entry["sampling_interval_seconds"] and not entry["entity_columns"] for entry in found["series"])
