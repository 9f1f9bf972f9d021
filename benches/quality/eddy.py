"""The release binary: trained on each series' prefix, then run on everything after it."""

import csv
import json
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from broker import free_port

#: 2026-01-01T00:00:00Z, ms: row 0 of every series
START_MS = 1_767_225_600_000
CELLS = 16
VALUES_MAX = 512
#: the product's default
P_VALUE = 1e-4
DRAIN_MAX_S = 600


def cells(series):
    return min(CELLS, VALUES_MAX // series.values.shape[1])


def stream(name, series, source, model, more=""):
    grid, n = series.cadence_ms, cells(series)
    columns = "".join(f'columns.c{c} = {{ path = "c{c}" }}\n' for c in range(series.values.shape[1]))
    return (
        f'[stream.{name}]\nfrom = "{source}"\n{more}key = "k"\ntime = {{ path = "t", unit = "ms" }}\n{columns}'
        f'window = {{ type = "hopping", size = "{n * grid}ms", every = "{grid}ms", grid = "{grid}ms", lateness = "0s" }}\n'
        f'max_future = "none"\np_value = {P_VALUE}\nmodel = {model}\n'
    )


def train(binary, folder, name, series):
    """`eddy train` on the prefix; gives the model's path, or why there is none."""
    history, config, model = folder / f"{name}.csv", folder / f"{name}.toml", folder / f"{name}.safetensors"
    with history.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["t", "k", *(f"c{c}" for c in range(series.values.shape[1]))])
        for row in range(series.prefix):
            cells_ = ("" if value != value else repr(float(value)) for value in series.values[row])
            out.writerow([START_MS + row * series.cadence_ms, name, *cells_])
    config.write_text(
        f'[source.history]\ntype = "replay"\npath = "{history}"\n'
        + stream(name, series, "history", '{ type = "fit", warmup = "30d" }')
        + '[sink.console]\ntype = "stdout"\n'
    )
    command = [binary, "train", config, "--stream", name, "--data", history, "--out", model]
    done = subprocess.run(command, capture_output=True, text=True)
    return (model, None) if done.returncode == 0 else (None, done.stderr.strip())


def train_all(binary, folder, named):
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(named, pool.map(lambda item: train(binary, folder, *item), named.items())))


class Appliance:
    def __init__(self, binary, folder, broker_port, named, models):
        self.page = free_port()
        config = folder / "run.toml"
        config.write_text(
            f'[source.broker]\ntype = "mqtt"\nurl = "mqtt://127.0.0.1:{broker_port}"\ntopics = ["series/+"]\nqos = 1\n'
            + "".join(
                stream(name, series, "broker", f'{{ type = "load", path = "{models[name]}" }}', f'topics = "series/{name}"\n')
                for name, series in named.items()
            )
            + f'[sink.console]\ntype = "stdout"\n[dashboard]\nlisten = "127.0.0.1:{self.page}"\n'
            f'[durable]\npath = "{folder / "data"}"\n'
        )
        self.errors = (folder / "stderr").open("w+")
        self.process = subprocess.Popen([binary, "run", config], stdout=subprocess.DEVNULL, stderr=self.errors)
        for _ in range(600):
            try:
                if self.get("/readyz") is not None:
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.errors.seek(0)
        raise SystemExit("eddy is not ready:\n" + self.errors.read())

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page}{path}") as answer:
            return answer.read().decode()

    def drained(self, events):
        """Waits until all events are in their windows, and returns the counts by stream."""
        start = time.time()
        while True:
            partitions = json.loads(self.get("/api/v1/partitions"))["partitions"]
            if sum(p["events_total"] for p in partitions) >= events:
                break
            if time.time() - start > DRAIN_MAX_S:
                raise SystemExit("eddy did not take all events")
            time.sleep(0.1)
        # All events are in, so what came late or twice was sent again by the broker after a reconnect.
        counts = ["windows_total", "windows_unsure_total", "windows_unscored_total", "late_total", "duplicates_total"]
        return {name: sum(p[name] for p in partitions) for name in counts}

    def decisions(self):
        """Every revision, oldest first. The outbox is written behind the verdicts, so ask until it rests."""
        rows = self.pages()
        while True:
            time.sleep(1.0)
            again = self.pages()
            if len(again) == len(rows):
                return [row["alert"]["decision"] for row in reversed(rows)]
            rows = again

    def pages(self):
        rows, before = [], ""
        while True:
            page = json.loads(self.get(f"/api/v1/alerts?limit=500{before}"))
            rows += page["rows"]
            if page["next_before"] is None:
                return rows
            before = f"&before={page['next_before']}"

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.errors.close()
