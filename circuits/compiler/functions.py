"""Functions of one number, applied to every element: what a table of 4096 entries can hold.

Functions compose, and two functions of the same tensor combine, so an activation that an exporter wrote as ten nodes
(a Gelu as Div, Erf, Add, Mul, Mul) ends as one table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import erf

import numpy as np

from circuits.tensors import Reals

Apply = Callable[[Reals], Reals]


@dataclass(frozen=True, eq=False)
class Function:
    """`affine` is (scale, offset) where it is scale·x + offset; `quanta` is (low, high) where it is clip(round(x), low, high).

    `origin` names the last node that it comes from.
    """

    name: str
    apply: Apply
    affine: tuple[float, float] | None = None
    is_relu: bool = False
    quanta: tuple[int, int] | None = None
    origin: str = ""

    @property
    def is_barrier(self) -> bool:
        """Whether a rescale does this by itself, so that it is better left alone than made part of a table."""
        return self.is_relu or self.quanta is not None

    def __call__(self, x: Reals) -> Reals:
        """Elementwise; NaN and infinities where the function has none, without a warning."""
        with np.errstate(all="ignore"):
            return np.asarray(self.apply(np.asarray(x, np.float64)), np.float64)


def make_affine(scale: float, offset: float) -> Function:
    return Function(f"{scale:.6g}·x+{offset:.6g}", lambda x: scale * x + offset, affine=(scale, offset))


def make_quanta(low: int, high: int) -> Function:
    """Rounding to an integer of a quantised model; ties to even, as ONNX has it."""
    return Function(f"quanta {low}…{high}", lambda x: np.clip(np.rint(x), low, high), quanta=(low, high))


RELU = Function("relu", lambda x: np.maximum(x, 0.0), is_relu=True)


def compose(outer: Function, inner: Function | None) -> Function:
    """outer(inner(x))."""
    if inner is None or inner.affine == (1.0, 0.0):
        return outer
    if outer.affine is not None and inner.affine is not None:
        (a, b), (c, d) = outer.affine, inner.affine
        return make_affine(a * c, a * d + b)
    if outer.affine == (1.0, 0.0):
        return inner
    return Function(f"{outer.name}({inner.name})", lambda x: outer.apply(inner.apply(x)))


def combine(operator: str, first: Function | None, second: Function | None) -> Function:
    """Add, Sub, Mul, Div, Max, Min or Pow of two functions of the same number; None is the number itself."""
    f, g = first or make_affine(1.0, 0.0), second or make_affine(1.0, 0.0)
    if f.affine is not None and g.affine is not None and operator in ("Add", "Sub"):
        sign = 1.0 if operator == "Add" else -1.0
        return make_affine(f.affine[0] + sign * g.affine[0], f.affine[1] + sign * g.affine[1])
    apply = BINARY[operator]
    return Function(f"{operator.lower()}({f.name}, {g.name})", lambda x: apply(f.apply(x), g.apply(x)))


BINARY: dict[str, Callable[[Reals, Reals], Reals]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
    "Pow": np.power,
}


def _sigmoid(x: Reals) -> Reals:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _erf(x: Reals) -> Reals:
    return np.asarray(np.frompyfunc(erf, 1, 1)(x), np.float64)


def _softplus(x: Reals) -> Reals:
    return np.logaddexp(0.0, x)


def _gelu(x: Reals) -> Reals:
    return np.asarray(0.5 * x * (1.0 + _erf(x / np.sqrt(2.0))))


def _gelu_tanh(x: Reals) -> Reals:
    return np.asarray(0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3))))


# ONNX operators without attributes that matter.
PLAIN: dict[str, Apply] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Erf": _erf,
    "Exp": np.exp,
    "Floor": np.floor,
    "HardSwish": lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "Log": np.log,
    "Mish": lambda x: x * np.tanh(_softplus(x)),
    "Reciprocal": lambda x: 1.0 / x,
    "Round": np.rint,
    "Sigmoid": _sigmoid,
    "Sign": np.sign,
    "Sin": np.sin,
    "Softplus": _softplus,
    "Softsign": lambda x: x / (1.0 + np.abs(x)),
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}


def make_plain(operator: str) -> Function:
    return Function(operator.lower(), PLAIN[operator])


def make_gelu(approximation: str) -> Function:
    return Function("gelu", _gelu_tanh if approximation == "tanh" else _gelu)


def make_clip(low: float, high: float) -> Function:
    return Function(f"clip {low:.6g}…{high:.6g}", lambda x: np.minimum(np.maximum(x, low), high))


def make_leaky(slope: float) -> Function:
    return Function(f"leaky relu {slope:.6g}", lambda x: np.where(x < 0, slope * x, x))


def make_elu(alpha: float, scale: float, inside: float) -> Function:
    """scale·(x if x > 0 else alpha·(e^(x/inside) − 1)): Elu, Selu and Celu."""
    return Function("elu", lambda x: scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0) / inside)))


def make_hard_sigmoid(alpha: float, beta: float) -> Function:
    return Function("hard sigmoid", lambda x: np.clip(alpha * x + beta, 0.0, 1.0))


def make_swish(alpha: float) -> Function:
    return Function("swish", lambda x: x * _sigmoid(alpha * x))


def make_thresholded(alpha: float) -> Function:
    return Function("thresholded relu", lambda x: np.where(x > alpha, x, 0.0))


def make_shrink(lambd: float, bias: float) -> Function:
    return Function("shrink", lambda x: np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0.0)))
