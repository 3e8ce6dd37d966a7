"""Which class an output names, and how often it is the true one: computed the same way for the float and the integer network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuits.errors import CalibrationError
from circuits.tensors import Integers, Reals

SINGLE_LOGIT = ("sigmoid", "sigmoid-complement", "threshold")


@dataclass(frozen=True)
class Accuracy:
    """Shares of `samples` held-back samples whose class was right, and on which both networks name the same class."""

    samples: int
    float_right: float
    integer_right: float
    agreement: float


def compute_classes(output: Reals | Integers, postprocess: str) -> NDArray[np.int64]:
    """(n,) class indices of outputs (n, size): the first maximum, or for one logit whether it is above zero."""
    if output.shape[1] == 1 and postprocess in SINGLE_LOGIT:
        return np.asarray(output[:, 0] > 0, np.int64)
    return np.asarray(output.argmax(axis=1), np.int64)


def compute_class_count(output_size: int, postprocess: str) -> int:
    return 2 if output_size == 1 and postprocess in SINGLE_LOGIT else output_size


def read_truth(values: object, samples: int, classes: Sequence[str] | None, count: int) -> NDArray[np.int64]:
    """(n,) class indices of labels given as indices, or as the model's own class names. Raises CalibrationError."""
    truth = np.asarray(values)
    if truth.shape != (samples,) or truth.dtype.kind not in "iuUSO":
        raise CalibrationError("held-back labels", f"{samples} class indices or names", f"{truth.dtype} of shape {list(truth.shape)}")
    names = [str(t) for t in truth]
    if classes is not None and set(names) <= set(classes):
        return np.array([list(classes).index(name) for name in names], np.int64)
    if truth.dtype.kind not in "iu" or truth.min() < 0 or truth.max() >= count:
        raise CalibrationError("held-back labels", f"indices below {count}, or names among {classes}", sorted(set(names))[:5])
    return truth.astype(np.int64)


def compute_accuracy(truth: NDArray[np.int64], floats: Reals, integers: Integers, postprocess: str) -> Accuracy:
    """Float outputs and integer outputs (n, size) for the same samples, side by side."""
    by_float, by_integer = compute_classes(floats, postprocess), compute_classes(integers, postprocess)
    return Accuracy(
        samples=len(truth),
        float_right=float(np.mean(by_float == truth)),
        integer_right=float(np.mean(by_integer == truth)),
        agreement=float(np.mean(by_float == by_integer)),
    )
