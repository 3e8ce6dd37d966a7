"""What the engine costs, function by function: medians of the kernel and of its plain-Python twin. `python -m circuits.bench.kernel`.

The sizes are those of a proof of a network with a million parameters. Each case runs for at least half a second or three
times, whichever is longer; the twin's column takes a minute.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from os import cpu_count
from statistics import median
from time import perf_counter
from types import ModuleType

import numpy as np
from py_arkworks_bls12381 import G1Point, Scalar

from circuits import twin
from circuits.field import MODULUS

CHUNK, ROWS, ROW_BITS, TABLE_BITS = 4096, 2048, 11, 12
MIN_SECONDS, MIN_RUNS = 0.5, 3
Case = tuple[str, Callable[[], object]]


def make_cases(engine: ModuleType) -> list[Case]:
    """The same inputs for every engine."""
    source, generator = random.Random(1), np.random.default_rng(1)
    scalars = [source.randrange(MODULUS) for _ in range(CHUNK)]
    full, weights = engine.from_scalars(scalars), engine.from_scalars(scalars[:1024])
    million = generator.integers(-(1 << 22), 1 << 22, 1 << 20)
    chunks = list(million.reshape(-1, CHUNK))
    column = generator.integers(-2048, 2048, CHUNK)
    points = make_points()
    powers = engine.Powers(points)
    lows = [[((1 - x) % MODULUS, x) for x in scalars[12 * i : 12 * i + 12]] for i in range(4)]
    compressed = [engine.compress_point(point) for point in points[:64]]
    return [
        ("eq_table, 12 variables", partial(engine.eq_table, scalars[:12])),
        ("evaluate, 4096 integers", partial(engine.evaluate, column, scalars[:12])),
        ("invert_all, 4096", partial(engine.invert_all, full)),
        ("dot, 4096 elements", partial(engine.dot, full, full)),
        ("contract, 1024 × 1024 integers by rows", partial(engine.contract, million, (1, 1024, 1024), weights)),
        ("contract, 1024 × 1024 integers by columns", partial(engine.contract, million, (1024, 1024, 1), weights)),
        ("accumulate, 256 × 4096 integers", partial(engine.accumulate, scalars[:256], chunks, CHUNK)),
        ("multiply_tensors, 4 × 12 pairs", partial(engine.multiply_tensors, [(low, [1], [full]) for low in lows])),
        ("divide, 4096", partial(engine.divide, full, 5)),
        ("ZeroCheck, 2048 rows and the table", partial(run_zero_check, engine, scalars)),
        ("ProductCheck, 3 × 1024", partial(run_product_check, engine, scalars)),
        ("Powers, 4096 points", partial(engine.Powers, points)),
        ("commit, 4096 of 12 bits", partial(powers.commit, column)),
        ("commit, 4096 of 23 bits", partial(powers.commit, million[:CHUNK])),
        ("commit, 4096 of 255 bits", partial(powers.commit, full)),
        ("commit_many, 8 × 4096 of 12 bits", partial(powers.commit_many, [column] * 8)),
        ("combine, 1000 points", partial(engine.combine, points[:1000], scalars[:1000])),
        ("decode_point", partial(engine.decode_point, points[9])),
        ("decompress_points, 64 checked", partial(engine.decompress_points, compressed, True)),
    ]


def make_points() -> list[bytes]:
    """1·G, 2·G, …: any basis costs the same."""
    point, points = G1Point(), []
    for _ in range(CHUNK):
        points.append(bytes(point.to_xy_bytes_be()))
        point = point + G1Point()
    assert point == G1Point() * Scalar(CHUNK + 1)
    return points


def run_zero_check(engine: ModuleType, scalars: Sequence[int]) -> None:
    generator = np.random.default_rng(2)
    columns = [generator.integers(0, high, ROWS) for high in (4096, 4096, 50, 2, 4096)]
    rows = (columns, engine.from_scalars(scalars[:ROWS]), np.zeros(ROWS, dtype=np.int64), np.ones(ROWS, dtype=np.int64), ROW_BITS)
    entries = engine.from_integers(np.arange(CHUNK))
    table = (entries, generator.integers(0, 9, CHUNK), engine.from_scalars(scalars), TABLE_BITS)
    check = engine.ZeroCheck(rows, None, table, *scalars[:4], scalars[4:16], 5)
    for challenge in scalars[20:32]:
        check.message()
        check.bind(challenge)


def run_product_check(engine: ModuleType, scalars: Sequence[int]) -> None:
    a, b = engine.from_scalars(scalars[:1024]), engine.from_scalars(scalars[1024:2048])
    check = engine.ProductCheck([(3, None, a, b, 10)] * 3, 10, 2)
    for challenge in scalars[:10]:
        check.message()
        check.bind(challenge)


def measure_ms(case: Callable[[], object]) -> float:
    """The median."""
    times: list[float] = []
    while len(times) < MIN_RUNS or sum(times) < MIN_SECONDS:
        start = perf_counter()
        case()
        times.append(perf_counter() - start)
    return median(times) * 1000


def main() -> int:
    try:
        kernel = import_module("affidavit_kernel")
    except ModuleNotFoundError:
        print("the kernel is not built: scripts/bootstrap builds it where there is a Rust toolchain", file=sys.stderr)
        return 1
    print(f"medians in milliseconds, {cpu_count()} cores\n\n{'':44}{'kernel':>10}{'twin':>12}{'factor':>9}")
    for (name, fast), (_, slow) in zip(make_cases(kernel), make_cases(twin), strict=True):
        fast_ms, slow_ms = measure_ms(fast), measure_ms(slow)
        print(f"{name:44}{fast_ms:10.3f}{slow_ms:12.2f}{slow_ms / fast_ms:9.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
