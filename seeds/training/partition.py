"""How every seed data set is divided, and where the divided data and the trained models go.

The held-back part is never shown to training or to calibration: accuracy is measured on it, and the demo takes its
inputs from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

SEEDS = Path(__file__).resolve().parent.parent
HELD_BACK_FRACTION = 0.3
CALIBRATION_SAMPLES = 300
RANDOM_STATE = 20261122


@dataclass(frozen=True)
class Partition:
    """x_* are float32 (n, features); y_* are int64 (n,) class indices. Calibration is a prefix of the shuffled training part."""

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_held_back: NDArray[np.float32]
    y_held_back: NDArray[np.int64]

    @property
    def x_calibration(self) -> NDArray[np.float32]:
        return self.x_train[:CALIBRATION_SAMPLES]


def split(bunch: Any) -> Partition:
    """Stratified, seeded division of a scikit-learn bunch."""
    x_train, x_held_back, y_train, y_held_back = train_test_split(
        bunch.data.astype(np.float32),
        bunch.target.astype(np.int64),
        test_size=HELD_BACK_FRACTION,
        stratify=bunch.target,
        random_state=RANDOM_STATE,
    )
    return Partition(x_train, y_train, x_held_back, y_held_back)


def write_source(name: str, onnx_bytes: bytes, part: Partition, sample_shape: tuple[int, ...]) -> None:
    """Write models/<name>/source.onnx and data/<name>.npz, inputs reshaped to the model's own sample shape."""
    folder = SEEDS / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.onnx").write_bytes(onnx_bytes)
    np.savez_compressed(
        SEEDS / "data" / f"{name}.npz",
        x_calibration=part.x_calibration.reshape(-1, *sample_shape),
        x_held_back=part.x_held_back.reshape(-1, *sample_shape),
        y_held_back=part.y_held_back,
    )
    print(f"{name}: source.onnx {len(onnx_bytes)} bytes, {len(part.y_held_back)} samples held back")
