"""Minibatch Adam on softmax cross-entropy, in jax, from a fixed key: enough for the two digit networks.

Adam: Kingma and Ba 2014, algorithm 1, with decoupled weight decay (Loshchilov and Hutter 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Parameters = list[tuple[Any, Any]]
Network = Callable[[Parameters, Any], Any]
RATE, BETA1, BETA2, EPSILON, DECAY = 3e-3, 0.9, 0.999, 1e-8, 1e-2


def initialise(key: Any, shapes: list[tuple[int, ...]]) -> Parameters:
    """He-normal weights with the output axis first, zero biases."""
    keys = jax.random.split(key, len(shapes))
    fans = [int(jnp.prod(jnp.array(shape[1:]))) for shape in shapes]
    return [
        (jax.random.normal(k, shape) * (2.0 / fan) ** 0.5, jnp.zeros(shape[0])) for k, shape, fan in zip(keys, shapes, fans, strict=True)
    ]


def fit(network: Network, parameters: Parameters, x: Any, y: Any, *, epochs: int, batch: int = 64) -> Parameters:
    """Train and return the parameters; x is float (n, …), y is int (n,)."""

    def loss(p: Parameters, xb: Any, yb: Any) -> Any:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(network(p, xb)), yb[:, None], axis=1))

    @jax.jit
    def step(p: Any, m: Any, v: Any, t: Any, xb: Any, yb: Any) -> Any:
        g = jax.grad(loss)(p, xb, yb)
        m = jax.tree.map(lambda a, b: BETA1 * a + (1 - BETA1) * b, m, g)
        v = jax.tree.map(lambda a, b: BETA2 * a + (1 - BETA2) * b * b, v, g)
        scale = jnp.sqrt(1 - BETA2**t) / (1 - BETA1**t)
        p = jax.tree.map(lambda a, b, c: a * (1 - RATE * DECAY) - RATE * scale * b / (jnp.sqrt(c) + EPSILON), p, m, v)
        return p, m, v

    m = v = jax.tree.map(jnp.zeros_like, parameters)
    x, y, t = jnp.asarray(x), jnp.asarray(y), 0
    for epoch in range(epochs):
        order = jax.random.permutation(jax.random.key(epoch), len(x))
        for start in range(0, len(x) - batch + 1, batch):
            t += 1
            rows = order[start : start + batch]
            parameters, m, v = step(parameters, m, v, t, x[rows], y[rows])
    return parameters
