"""Results that cost time and do not change, by the digest of all that goes into them."""

import hashlib
import json
from pathlib import Path

import numpy as np

from eddy import Told


def digest(*parts):
    found = hashlib.sha256()
    for part in parts:
        part = part.tobytes() if isinstance(part, np.ndarray) else part.encode() if isinstance(part, str) else part
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()[:32]


class Cache:
    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def figures(self, key, compute):
        path = self.folder / f"{key}.json"
        if not path.is_file():
            self.put(path, lambda part: part.write_text(json.dumps(compute())))
        return json.loads(path.read_text())

    def told(self, key, compute) -> Told:
        path = self.folder / f"{key}.npz"
        if not path.is_file():
            told = compute()
            self.put(path, lambda part: np.savez_compressed(part, scores=told.scores, alert=told.alert, opened=told.opened))
        with np.load(path) as kept:
            return Told(kept["scores"], kept["alert"], kept["opened"])

    @staticmethod
    def put(path, write):
        # Whole or not at all: a run may be ended at any time.
        part = path.with_name("part-" + path.name)
        write(part)
        part.replace(path)
