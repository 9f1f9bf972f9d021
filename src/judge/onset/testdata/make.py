#!/usr/bin/env python3
"""The rule of ../../onset.rs, written a second time, standard library only: what `nab_exchange.csv` was made with.

  make.py SERIES.csv[.gz] VALUE_COLUMN WARMUP_ROWS ROWS > nab_exchange.csv     (here: value, 243, 640)

The state is rounded to f32 where the product keeps f32, so that the scores agree to the last bits."""
import csv, datetime, gzip, io, math, struct, sys

PHASES, DAYS_MIN, FAST, SETTLE, CAP, FLOOR = 6, 6, 10, 20, 9.0, 1e-6
W_FAST, W_PHASE, THRESHOLD, QUIET, AGAIN = 0.5, 0.1, 0.05, (2, 5), 2.0

def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]

def beyond(v, low, high, unit_low, unit_high):
    """by how much v is outside low..high, in units of the other range; 0 inside or where nothing is known"""
    over = max(v - high, low - v)
    if not (high >= low and over > 0):
        return 0.0
    unit = max(unit_high - unit_low, FLOOR * max(abs(unit_low), abs(unit_high)), 1e-30)
    return min(over / unit, CAP)

class Column:
    def __init__(self):
        self.rows, self.fast, self.visits, self.phase = 0, 0.0, [0] * PHASES, None
        self.low, self.high = math.inf, -math.inf
        self.lows, self.highs = [math.inf] * PHASES, [-math.inf] * PHASES
    def observe(self, x, phase, warmup):
        if math.isnan(x):
            return 0.0
        x = f32(x); t = self.rows; self.rows += 1
        self.fast += (x - self.fast) / min(t + 1, FAST)
        if phase != self.phase:
            self.phase = phase; self.visits[phase] = min(self.visits[phase] + 1, 255)
        if t < SETTLE:
            return 0.0
        f = f32(self.fast); low, high = min(self.lows), max(self.highs)
        m = max(beyond(x, self.low, self.high, self.low, self.high), W_FAST * beyond(f, low, high, low, high))
        if self.visits[phase] > DAYS_MIN:
            m = max(m, W_PHASE * beyond(f, self.lows[phase], self.highs[phase], low, high))
        self.low, self.high = min(self.low, x), max(self.high, x)
        self.lows[phase], self.highs[phase] = min(self.lows[phase], f), max(self.highs[phase], f)
        return m * math.sqrt(t / warmup) if t >= warmup else 0.0

def run(times, values, warmup):
    """(score, onset) of every row of one column; times in seconds"""
    column, since, strongest = Column(), 1 << 40, 0.0
    for t, x in zip(times, values):
        s = column.observe(x, int(t % 86400) // (86400 // PHASES), warmup); since += 1
        told = s >= THRESHOLD and (since > warmup * QUIET[0] // QUIET[1] or s > AGAIN * strongest)
        if told:
            since, strongest = 0, s
        yield s, told

def seconds(stamp):
    t = datetime.datetime.fromisoformat(stamp.strip().replace("Z", "+00:00"))
    return (t if t.tzinfo else t.replace(tzinfo=datetime.timezone.utc)).timestamp()

def main():
    path, name, warmup, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with (gzip.open(path, "rt") if path.endswith(".gz") else open(path)) as f:
        rows = [r for _, r in zip(range(count), csv.DictReader(f))]
    t, x = [seconds(r["timestamp"]) for r in rows], [float(r[name]) for r in rows]
    print("seconds,value,score,onset")
    for a, b, (s, told) in zip(t, x, run(t, x, warmup)):
        print(f"{int(a)},{b!r},{s:.12g},{int(told)}")

if __name__ == "__main__":
    main()
